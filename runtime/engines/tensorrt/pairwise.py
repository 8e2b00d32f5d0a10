"""TensorRT on the GPU: the runner of the ``pairwise`` graph, which reads and writes frames where they lie.

Frames belong into memory from the GPU's own allocator (`gpu.protocol.Gpu.allocate_mapped`): then nothing is copied.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.engines.tensorrt.load import LoadedEngine
from tremorscope.runtime.engines.tensorrt.memory import TensorrtStep, frame_channels, warm_up
from tremorscope.runtime.frames.copies import CopyAccount
from tremorscope.runtime.gpu.protocol import Gpu


class TensorrtEngine(TensorrtStep):
    """The ``pairwise`` engine: see `runtime.engines.interface.engine.PairwiseEngine`."""

    def __init__(
        self,
        gpu: Gpu,
        loaded: LoadedEngine,
        *,
        width_px: int,
        height_px: int,
        account: CopyAccount | None = None,
    ) -> None:
        """Prepare for frames of ``width_px`` x ``height_px``, and run a few steps to warm up.

        ``account`` takes note of frames that are not in mapped memory, and have to be copied.

        Raises:
            EngineFault: the engine is of another graph or size, or cannot be run.
            MemoryError: there is no room for it.
        """
        self._take_frames(width_px, height_px, frame_channels(loaded))
        loaded.check_interface(
            {
                "frame": ("u1", (1, *self._input_shape)),
                "reference": ("u1", (1, *self._input_shape)),
                "amplification": ("f4", (1,)),
                "magnified": ("u1", (1, *self._picture_shape)),
            }
        )
        self._open_step(
            gpu,
            loaded,
            account,
            frames=("frame", "reference"),
            numbers={"amplification": 1},
            varying=("magnified",),
        )
        with gpu.current():
            warm_up(gpu, self._steps, math.prod(self._picture_shape))

    def step(
        self,
        frame: NDArray[np.uint8],
        reference: NDArray[np.uint8],
        amplification: float,
        magnified: NDArray[np.uint8],
    ) -> None:
        """Magnify the motion from ``reference`` to ``frame`` into ``magnified``; see `engines.interface.engine`.

        Raises:
            ValueError: an array has another shape or type, or is not contiguous.
            EngineFault: TensorRT or the GPU failed, or hangs.
        """
        self._check_frames(frame, reference, magnified)
        steps, address = self._steps, self._picture.address_of(magnified)
        with self._gpu.current():
            steps.begin()
            self._numbers.send("amplification", amplification, steps)
            self._frames.send("frame", frame, steps)
            self._frames.send("reference", reference, steps)
            steps.run((address,))
        self._picture.deliver(magnified)
