"""TensorRT on the GPU: the runner of the ``pairwise`` graph, which reads and writes frames where they lie.

Frames belong into memory from the GPU's own allocator (`runtime.cuda.Gpu.allocate_mapped`): then nothing is copied.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from runtime.copies import CopyAccount
from runtime.cuda import Gpu
from runtime.engines.frames import check_frame
from runtime.engines.tensorrt_load import LoadedEngine
from runtime.engines.tensorrt_memory import FrameAddresses, Scalars, frame_channels, warm_up
from runtime.engines.tensorrt_step import StepContext


class TensorrtEngine:
    """The ``pairwise`` engine: see `runtime.engines.PairwiseEngine`."""

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

        ``account`` is told of frames that are not in mapped memory, and have to be copied.

        Raises:
            EngineFault: the engine is of another graph or size, or cannot be run.
            MemoryError: there is no room for it.
        """
        channels = frame_channels(loaded)
        self._input_shape, self._picture_shape = (height_px, width_px, channels), (height_px, width_px, 3)
        loaded.check_interface(
            {
                "frame": ("u1", (1, *self._input_shape)),
                "reference": ("u1", (1, *self._input_shape)),
                "amplification": ("f4", (1,)),
                "magnified": ("u1", (1, *self._picture_shape)),
            }
        )
        self._gpu = gpu
        self._frames = FrameAddresses(gpu, account)
        self._scalars = Scalars(gpu, {"amplification": 1})
        with gpu.current():
            self._steps = StepContext(gpu, loaded, ("frame", "reference", "magnified"))
            self._scalars.bind(self._steps)
            frame, picture = math.prod(self._input_shape), math.prod(self._picture_shape)
            warm_up(gpu, self._steps, (frame, frame, picture))

    @property
    def width_px(self) -> int:
        """Width of every frame in pixels."""
        return self._picture_shape[1]

    @property
    def height_px(self) -> int:
        """Height of every frame in pixels."""
        return self._picture_shape[0]

    @property
    def channels(self) -> int:
        """Bytes a pixel of ``frame`` and ``reference``."""
        return self._input_shape[2]

    @property
    def last_gpu_ms(self) -> float:
        """What the latest step took on the GPU."""
        return self._steps.last_gpu_ms

    @property
    def graphs(self) -> int:
        """CUDA graphs that are kept at present; 0 where none are captured."""
        return self._steps.graphs

    def step(
        self,
        frame: NDArray[np.uint8],
        reference: NDArray[np.uint8],
        amplification: float,
        magnified: NDArray[np.uint8],
    ) -> None:
        """Magnify the motion from ``reference`` to ``frame`` into ``magnified``; see `runtime.engines`.

        Raises:
            ValueError: an array has another shape or type, or is not contiguous.
            EngineFault: TensorRT or the GPU failed, or hangs.
        """
        check_frame(frame, self._input_shape)
        check_frame(reference, self._input_shape)
        check_frame(magnified, self._picture_shape)
        at = self._frames
        self._scalars["amplification"][0] = amplification
        addresses = (
            at.of_input("frame", frame),
            at.of_input("reference", reference),
            at.of_output("magnified", magnified),
        )
        with self._gpu.current():
            self._steps.run(addresses)
        at.deliver("magnified", magnified)

    def close(self) -> None:
        """Give everything back to the GPU."""
        self._scalars.close()
        self._frames.close()
        with self._gpu.current():
            self._steps.close()
