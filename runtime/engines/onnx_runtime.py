"""ONNX Runtime on the CPU: the reference runner, and the one of machines without a GPU."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as _state

from runtime.buffers import Allocator, allocate_host
from runtime.engines.bundle import Representation
from runtime.errors import BundleFault, EngineFault

# ONNX Runtime's exceptions have no common base but Exception.
_ONNX_RUNTIME_ERRORS = (
    _state.EPFail,
    _state.Fail,
    _state.InvalidArgument,
    _state.InvalidGraph,
    _state.InvalidProtobuf,
    _state.NoSuchFile,
    _state.NotImplemented,
    _state.RuntimeException,
)

RELEASE: str = onnxruntime.__version__
_U8, _F32 = "tensor(uint8)", "tensor(float)"
_REMEDY = "export the bundle again with this release of tremorscope"
_Shapes = dict[str, tuple[int | None, ...]]
"""Shape of every input and output by name; None where each step may have another."""


class OnnxRuntimeEngine:
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
        self._shape = (1, height_px, width_px, 3)
        inputs = {"frame": _U8, "reference": _U8, "amplification": _F32}
        shapes: _Shapes = dict.fromkeys(("frame", "reference", "magnified"), self._shape)
        sizes = {"width": width_px, "height": height_px}
        self._bound = _BoundGraph(
            graph, inputs, {"magnified": _U8}, shapes | {"amplification": (1,)}, sizes, threads
        )
        self._amplification = np.ones(1, dtype=np.float32)
        self._bound.read("amplification", self._amplification)

    @property
    def width_px(self) -> int:
        """Width of every frame in pixels."""
        return self._shape[2]

    @property
    def height_px(self) -> int:
        """Height of every frame in pixels."""
        return self._shape[1]

    def step(
        self,
        frame: NDArray[np.uint8],
        reference: NDArray[np.uint8],
        amplification: float,
        magnified: NDArray[np.uint8],
    ) -> None:
        """Magnify the motion from ``reference`` to ``frame`` into ``magnified``; each u8[H, W, 3], RGB.

        Raises:
            ValueError: an array has another shape or type, or is not contiguous.
            EngineFault: the graph failed while running, for want of memory for example.
        """
        for pixels in (frame, reference, magnified):
            _check_frame(pixels, self._shape[1:])
        self._amplification[0] = amplification
        self._bound.read("frame", frame[None])
        self._bound.read("reference", reference[None])
        self._bound.write("magnified", magnified[None])
        self._bound.run()


class OnnxRuntimeBandEngine:
    """The ``band`` graph on the CPU: see `runtime.engines.BandEngine`."""

    def __init__(
        self,
        graph: Path,
        representation: Representation,
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
        self._shape = (1, height_px, width_px, 3)
        self._cell_px = representation.cell_px
        rows, columns = (-(-side // self._cell_px) for side in (height_px, width_px))
        self._planes = (representation.channels, rows, columns)
        self._allocate = allocate
        inputs = dict.fromkeys(
            ("amplification", "max_displacement_px", "mask", "coefficients", "state"), _F32
        )
        shapes: _Shapes = dict.fromkeys(("frame", "previous", "magnified"), self._shape)
        shapes |= dict.fromkeys(("state", "next_state"), (2, None, *self._planes))
        shapes |= dict.fromkeys(("amplification", "max_displacement_px", "activity"), (1,))
        shapes |= {"mask": (1, 1, rows, columns), "coefficients": (3, 2, None)}
        self._bound = _BoundGraph(
            graph,
            {"frame": _U8, "previous": _U8} | inputs,
            {"magnified": _U8, "next_state": _F32, "activity": _F32},
            shapes,
            {"width": width_px, "height": height_px, "rows": rows, "columns": columns},
            threads,
        )
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
    def width_px(self) -> int:
        """Width of every frame in pixels."""
        return self._shape[2]

    @property
    def height_px(self) -> int:
        """Height of every frame in pixels."""
        return self._shape[1]

    @property
    def cell_px(self) -> int:
        """Pixels along each axis of a cell of mask and state."""
        return self._cell_px

    @property
    def state_nbytes(self) -> int:
        """Bytes of one of the two buffers of the state."""
        return self._states[0].nbytes

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
        """Where to magnify from the next step on, f32[rows, columns] by cells: from 0 (as filmed) to 1."""
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
        """One step; see `runtime.engines.BandEngine.step`.

        Raises:
            ValueError: an array has another shape or type, or is not contiguous.
            EngineFault: the graph failed while running, for want of memory for example.
        """
        for pixels in (frame, previous, magnified):
            _check_frame(pixels, self._shape[1:])
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


class _BoundGraph:
    """A graph of checked interface whose inputs and outputs lie in the caller's memory."""

    def __init__(
        self,
        graph: Path,
        inputs: dict[str, str],
        outputs: dict[str, str],
        shapes: _Shapes,
        sizes: dict[str, int],
        threads: int | None,
    ) -> None:
        """Load a graph whose inputs and outputs must be of these types and shapes, with named sizes as stated."""
        self._at = f"{sizes['width']}x{sizes['height']}"
        try:
            self._session = onnxruntime.InferenceSession(
                str(graph), _session_options(sizes, threads), providers=["CPUExecutionProvider"]
            )
        except _ONNX_RUNTIME_ERRORS as error:
            raise BundleFault(f"{graph}: cannot be loaded ({_first_line(error)})", remedy=_REMEDY) from None
        _check_types(graph, self._session, inputs, outputs)
        _check_shapes(graph, self._session, shapes)
        self._binding = self._session.io_binding()

    def read(self, name: str, array: NDArray[np.generic]) -> None:
        """Let an input be read from a contiguous array, which must outlive its use."""
        self._binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)

    def write(self, name: str, array: NDArray[np.generic]) -> None:
        """Let an output be written into a contiguous array, which must outlive its use."""
        self._binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)

    def run(self) -> None:
        """Compute the outputs from the inputs.

        Raises:
            EngineFault: the graph failed while running.
        """
        try:
            self._session.run_with_iobinding(self._binding)
        except _ONNX_RUNTIME_ERRORS as error:
            raise EngineFault(
                f"a step at {self._at} failed ({_first_line(error)})",
                remedy="free memory or use a smaller picture",
            ) from None


def _check_frame(pixels: NDArray[np.uint8], shape: tuple[int, ...]) -> None:
    # Bound by pointer: a wrong array would be read beyond its end instead of being refused.
    if pixels.shape != shape or pixels.dtype != np.uint8 or not pixels.flags.c_contiguous:
        raise ValueError(f"not a contiguous uint8 frame of shape {shape}: {pixels.dtype} {pixels.shape}")


def _session_options(sizes: dict[str, int], threads: int | None) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # With the size known, shapes are folded and memory is planned once, instead of at every step.
    for name, size in sizes.items():
        options.add_free_dimension_override_by_name(name, size)
    # Idle threads sleep: spinning ones take the core that decodes and encodes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    if threads is not None:
        options.intra_op_num_threads = threads
    return options


def _check_types(
    graph: Path, session: onnxruntime.InferenceSession, inputs: dict[str, str], outputs: dict[str, str]
) -> None:
    kind = "pairwise" if "reference" in inputs else "band"
    for found, expected in ((session.get_inputs(), inputs), (session.get_outputs(), outputs)):
        types = {tensor.name: tensor.type for tensor in found}
        if types != expected:
            raise BundleFault(f"{graph}: not a {kind} graph (has {types}, not {expected})", remedy=_REMEDY)


def _check_shapes(graph: Path, session: onnxruntime.InferenceSession, shapes: _Shapes) -> None:
    for tensor in (*session.get_inputs(), *session.get_outputs()):
        wanted = shapes[tensor.name]
        # A size that is still a name is decided at run time; a number must be ours.
        agrees = len(tensor.shape) == len(wanted) and all(
            not isinstance(have, int) or want is None or have == want
            for have, want in zip(tensor.shape, wanted, strict=True)
        )
        if not agrees:
            raise BundleFault(
                f"{graph}: made for {tensor.name} of shape {tensor.shape}, not {list(wanted)}",
                remedy="export a bundle for this size, or for any size by leaving --size out",
            )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
