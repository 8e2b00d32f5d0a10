"""ONNX Runtime on the CPU: the reference runner, and the one of machines without a GPU."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.engines.interface.engine import FixedFrames
from tremorscope.runtime.engines.interface.manifest import RepresentationLayout
from tremorscope.runtime.engines.onnx.graph import F32, U8, BoundGraph, Shapes
from tremorscope.runtime.frames.buffers import Allocator, allocate_host


class OnnxRuntimeEngine(FixedFrames):
    """The ``pairwise`` graph on the CPU, its inputs and outputs bound by pointer to the caller's frames."""

    def __init__(self, graph: Path, *, width_px: int, height_px: int, threads: int | None = None) -> None:
        """Load ``graph`` for frames of ``width_px`` x ``height_px``.

        Args:
            graph: the ONNX file of a bundle's ``pairwise`` step.
            width_px: width of every frame in pixels.
            height_px: height of every frame in pixels.
            threads: how many threads compute a step; None takes one a core.

        Raises:
            BundleFault: the graph cannot be loaded, or is not a ``pairwise`` graph for frames of this size.
        """
        inputs = {"frame": U8, "reference": U8, "amplification": F32}
        shapes: Shapes = dict.fromkeys(("frame", "reference"), (1, height_px, width_px, None))
        shapes |= {"magnified": (1, height_px, width_px, 3)}
        sizes = {"width": width_px, "height": height_px}
        self._bound = BoundGraph(
            graph, inputs, {"magnified": U8}, shapes | {"amplification": (1,)}, sizes, threads
        )
        self._take_frames(width_px, height_px, self._bound.channels)
        self._amplification = np.ones(1, dtype=np.float32)
        self._bound.read("amplification", self._amplification)

    def rest(self) -> None:
        """See `engines.interface.engine.Engine.rest`."""
        self._bound.rest()

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
            EngineFault: the graph failed while running, for want of memory for example.
        """
        self._check_frames(frame, reference, magnified)
        self._amplification[0] = amplification
        self._bound.read("frame", frame[None])
        self._bound.read("reference", reference[None])
        self._bound.write("magnified", magnified[None])
        self._bound.run()


class OnnxRuntimeBandEngine(FixedFrames):
    """The ``band`` graph on the CPU: see `runtime.engines.interface.engine.BandEngine`."""

    def __init__(
        self,
        graph: Path,
        representation: RepresentationLayout,
        *,
        width_px: int,
        height_px: int,
        threads: int | None = None,
        allocate: Allocator = allocate_host,
    ) -> None:
        """Load ``graph`` for frames of ``width_px`` x ``height_px``.

        Args:
            graph: the ONNX file of a bundle's ``band`` step.
            representation: channels and cells of the graph's state, as the bundle states them.
            width_px: width of every frame in pixels.
            height_px: height of every frame in pixels.
            threads: how many threads compute a step; None takes one a core.
            allocate: makes the memory of the state.

        Raises:
            BundleFault: the graph cannot be loaded, or is not a ``band`` graph for frames of this size.
        """
        self._cell_px = representation.cell_px
        rows, columns = (-(-side // self._cell_px) for side in (height_px, width_px))
        self._planes = (representation.channels, rows, columns)
        self._allocate = allocate
        inputs = dict.fromkeys(("amplification", "max_displacement_px", "mask", "coefficients", "state"), F32)
        self._bound = BoundGraph(
            graph,
            {"frame": U8, "previous": U8} | inputs,
            {"magnified": U8, "next_state": F32, "activity": F32},
            _band_shapes(width_px, height_px, self._planes),
            {"width": width_px, "height": height_px, "rows": rows, "columns": columns},
            threads,
        )
        self._take_frames(width_px, height_px, self._bound.channels)
        self._scalars = {
            name: np.ones(1, np.float32) for name in ("amplification", "max_displacement_px", "activity")
        }
        self._bound.read("amplification", self._scalars["amplification"])
        self._bound.read("max_displacement_px", self._scalars["max_displacement_px"])
        self._bound.write("activity", self._scalars["activity"])
        self._mask = np.ones((1, 1, rows, columns), np.float32)
        self._bound.read("mask", self._mask)
        self._states: tuple[NDArray[np.float32], NDArray[np.float32]]
        self._coefficients = np.zeros((3, 2, 0), np.float32)
        self.start(1)

    @property
    def cell_px(self) -> int:
        """Pixels along each axis of a cell of mask and state."""
        return self._cell_px

    @property
    def state_nbytes(self) -> int:
        """Bytes of one of the two buffers of the state."""
        return self._states[0].nbytes

    def rest(self) -> None:
        """See `engines.interface.engine.Engine.rest`."""
        self._bound.rest()

    def start(self, sections: int) -> None:
        """Set the state to zero, for a filter of so many sections; allocates only where their number changes."""
        if sections == self._coefficients.shape[2]:
            self._states[0].fill(0)
            return
        self._coefficients = np.zeros((3, 2, sections), np.float32)
        shape = (2, sections, *self._planes)
        nbytes = 4 * math.prod(shape)
        first, second = (self._allocate(nbytes).view(np.float32).reshape(shape) for _ in range(2))
        self._states = first, second
        self._bound.read("coefficients", self._coefficients)

    def set_mask(self, mask: NDArray[np.float32]) -> None:
        """Set the mask from the next step on, f32[rows, columns] by cells: from 0 (as filmed) to 1 (magnified)."""
        self._mask[0, 0] = mask

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
            EngineFault: the graph failed while running, for want of memory for example.
        """
        self._check_frames(frame, previous, magnified)
        if coefficients.shape != self._coefficients.shape:
            raise ValueError(f"coefficients of shape {coefficients.shape}, not {self._coefficients.shape}")
        np.copyto(self._coefficients, coefficients)
        self._scalars["amplification"][0] = amplification
        self._scalars["max_displacement_px"][0] = max_displacement_px
        state, next_state = self._states
        self._bound.read("frame", frame[None])
        self._bound.read("previous", previous[None])
        self._bound.read("state", state)
        self._bound.write("next_state", next_state)
        self._bound.write("magnified", magnified[None])
        self._bound.run()
        self._states = next_state, state
        return float(self._scalars["activity"][0])


def _band_shapes(width_px: int, height_px: int, planes: tuple[int, int, int]) -> Shapes:
    """Shapes of a ``band`` graph's inputs and outputs; ``planes`` are the state's channels, rows and columns."""
    shapes: Shapes = dict.fromkeys(("frame", "previous"), (1, height_px, width_px, None))
    shapes |= {"magnified": (1, height_px, width_px, 3)}
    shapes |= dict.fromkeys(("state", "next_state"), (2, None, *planes))
    shapes |= dict.fromkeys(("amplification", "max_displacement_px", "activity"), (1,))
    return shapes | {"mask": (1, 1, *planes[1:]), "coefficients": (3, 2, None)}
