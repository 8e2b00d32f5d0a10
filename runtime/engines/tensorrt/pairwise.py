"""TensorRT on the GPU: the runner of the ``pairwise`` graph, which reads and writes frames where they lie.

Frames belong into memory from the GPU's own allocator (`gpu.protocol.Gpu.allocate_mapped`): then nothing is copied.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.engines.interface.arrays import FixedFrames
from tremorscope.runtime.engines.tensorrt.load import LoadedEngine
from tremorscope.runtime.engines.tensorrt.memory import (
    FrameInputs,
    NumberInputs,
    PictureOutput,
    frame_channels,
    warm_up,
)
from tremorscope.runtime.engines.tensorrt.step import GraphUse, StepContext
from tremorscope.runtime.frames.copies import CopyAccount
from tremorscope.runtime.gpu.protocol import Gpu


class TensorrtEngine(FixedFrames):
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
        self._gpu = gpu
        self._picture = PictureOutput(gpu, account)
        with gpu.current():
            self._steps = StepContext(gpu, loaded, ("magnified",))
            self._numbers = NumberInputs(gpu, {"amplification": 1})
            self._frames = FrameInputs(gpu, account, ("frame", "reference"), self._input_shape)
            self._numbers.bind(self._steps)
            self._frames.bind(self._steps)
            warm_up(gpu, self._steps, math.prod(self._picture_shape))

    @property
    def last_gpu_ms(self) -> float:
        """Time of the latest step on the GPU."""
        return self._steps.last_gpu_ms

    @property
    def graphs(self) -> int:
        """CUDA graphs that are kept at present; 0 where none are captured."""
        return self._steps.graphs

    @property
    def graph_use(self) -> GraphUse:
        """Use of CUDA graphs since the warm-up."""
        return self._steps.use

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

    def close(self) -> None:
        """Give everything back to the GPU."""
        self._picture.close()
        with self._gpu.current():
            self._steps.close()
            self._numbers.close()
            self._frames.close()
