"""TensorRT on the GPU: the runner of the ``pairwise`` graph, which reads and writes frames where they lie, and that
of the ``band`` graph, whose filter's state never leaves the GPU.

Frames belong into memory from the GPU's own allocator (`gpu.protocol.Gpu.allocate_mapped`): then nothing is copied.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.engines.interface.manifest import RepresentationLayout
from tremorscope.runtime.engines.tensorrt.library import LoadedEngine, Shape
from tremorscope.runtime.engines.tensorrt.memory import TensorrtStep, frame_channels, warm_up
from tremorscope.runtime.errors import EngineFault
from tremorscope.runtime.frames.buffers import CopyAccount
from tremorscope.runtime.gpu.protocol import DeviceMemory, Gpu


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


class TensorrtBandEngine(TensorrtStep):
    """The ``band`` engine: see `runtime.engines.interface.engine.BandEngine`. Its state stays on the GPU."""

    def __init__(
        self,
        gpu: Gpu,
        loaded: LoadedEngine,
        representation: RepresentationLayout,
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
        self._cell_px = representation.cell_px
        rows, columns = (-(-side // self._cell_px) for side in (height_px, width_px))
        self._planes = (representation.channels, rows, columns)
        loaded.check_interface(self._interface())
        self._loaded = loaded
        self._most_sections = loaded.tensors["coefficients"].largest[2]
        self._activity = gpu.allocate_mapped(4).view(np.float32)
        self._sections = 0
        self._states: list[DeviceMemory] = []
        self._open_step(
            gpu,
            loaded,
            account,
            frames=("frame", "previous"),
            numbers={"amplification": 1, "max_displacement_px": 1, "coefficients": 6 * self._most_sections},
            varying=("magnified", "state", "next_state"),
        )
        with gpu.current():
            self._steps.bind_fixed("activity", gpu.device_address(self._activity))
            self._mask = gpu.allocate_device(4 * rows * columns)
            self._steps.bind_fixed("mask", self._mask.address)
        self.set_mask(np.ones((rows, columns), np.float32))
        self.start(1 if loaded.tensors["coefficients"].shape[2] == -1 else self._most_sections)
        with gpu.current():
            ends = (self._states[0].address, self._states[1].address)
            warm_up(gpu, self._steps, math.prod(self._picture_shape), ends)
        self.start(self._sections)

    @property
    def cell_px(self) -> int:
        """Pixels along each axis of a cell of mask and state."""
        return self._cell_px

    @property
    def state_nbytes(self) -> int:
        """Bytes of one of the two buffers of the state."""
        return self._states[0].nbytes

    def start(self, sections: int) -> None:
        """Set the state to zero, for a filter of so many sections; allocates only where their number changes.

        Raises:
            EngineFault: the engine was built for fewer.
            MemoryError: there is no room for the state.
        """
        coefficients = self._loaded.tensors["coefficients"]
        if sections > self._most_sections or coefficients.shape[2] not in (-1, sections):
            raise EngineFault(
                f"{self._loaded.path}: takes a filter of {self._most_sections} sections, and this one has {sections}",
                remedy=f"build it again with tremorscope build --rebuild --sections {sections}",
            )
        with self._gpu.current():
            if sections != self._sections:
                self._resize(sections, varies=coefficients.shape[2] == -1)
            for state in self._states:
                self._gpu.zero(state, self._steps.stream)

    def set_mask(self, mask: NDArray[np.float32]) -> None:
        """Set the mask from the next step on, f32[rows, columns] by cells: from 0 (as filmed) to 1 (magnified)."""
        if mask.shape != self._planes[1:]:
            raise ValueError(f"a mask of shape {mask.shape}, not {self._planes[1:]}")
        with self._gpu.current():
            self._gpu.upload(np.ascontiguousarray(mask, np.float32), self._mask)

    def step(
        self,
        frame: NDArray[np.uint8],
        previous: NDArray[np.uint8],
        *,
        amplification: float,
        max_displacement_px: float,
        coefficients: NDArray[np.float32],
        magnified: NDArray[np.uint8],
    ) -> float:
        """One step; see `runtime.engines.interface.engine.BandEngine.step`.

        Raises:
            ValueError: an array has another shape or type, or is not contiguous.
            EngineFault: TensorRT or the GPU failed, or hangs.
        """
        self._check_frames(frame, previous, magnified)
        if coefficients.shape != (3, 2, self._sections):
            raise ValueError(f"coefficients of shape {coefficients.shape}, not {(3, 2, self._sections)}")
        steps, (state, next_state) = self._steps, self._states
        address = self._picture.address_of(magnified)
        with self._gpu.current():
            steps.begin()
            self._numbers.send("amplification", amplification, steps)
            self._numbers.send("max_displacement_px", max_displacement_px, steps)
            self._numbers.send("coefficients", coefficients, steps)
            self._frames.send("frame", frame, steps)
            self._frames.send("previous", previous, steps)
            steps.run((address, state.address, next_state.address))
        self._picture.deliver(magnified)
        self._states = [next_state, state]
        return float(self._activity[0])

    def close(self) -> None:
        """Give everything back to the GPU."""
        self._activity = np.zeros(1, np.float32)
        super().close()
        with self._gpu.current():
            for memory in (self._mask, *self._states):
                memory.free()
        self._states = []

    def _interface(self) -> dict[str, tuple[str, Shape]]:
        """Types and shapes of all inputs and outputs; -1 is the number of sections."""
        return {
            "frame": ("u1", (1, *self._input_shape)),
            "previous": ("u1", (1, *self._input_shape)),
            "amplification": ("f4", (1,)),
            "max_displacement_px": ("f4", (1,)),
            "mask": ("f4", (1, 1, *self._planes[1:])),
            "coefficients": ("f4", (3, 2, -1)),
            "state": ("f4", (2, -1, *self._planes)),
            "magnified": ("u1", (1, *self._picture_shape)),
            "next_state": ("f4", (2, -1, *self._planes)),
            "activity": ("f4", (1,)),
        }

    def _resize(self, sections: int, *, varies: bool) -> None:
        shape = (2, sections, *self._planes)
        if varies:
            self._steps.set_shape("coefficients", (3, 2, sections))
            self._steps.set_shape("state", shape)
        for state in self._states:
            state.free()
        self._states = []
        self._states = [self._gpu.allocate_device(4 * math.prod(shape)) for _ in range(2)]
        self._sections = sections
