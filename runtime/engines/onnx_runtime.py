"""ONNX Runtime on the CPU: the reference runner, and the one of machines without a GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as _state

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

_INPUT_TYPES = {
    "frame": "tensor(uint8)",
    "reference": "tensor(uint8)",
    "amplification": "tensor(float)",
}
_OUTPUT_TYPES = {"magnified": "tensor(uint8)"}
_REMEDY = "export the bundle again with this release of tremorscope"


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
        try:
            self._session = onnxruntime.InferenceSession(
                str(graph), _session_options(width_px, height_px, threads), providers=["CPUExecutionProvider"]
            )
        except _ONNX_RUNTIME_ERRORS as error:
            raise BundleFault(f"{graph}: cannot be loaded ({_first_line(error)})", remedy=_REMEDY) from None
        _check_signature(graph, self._session, self._shape)
        self._binding = self._session.io_binding()
        self._amplification = np.ones(1, dtype=np.float32)
        self._bind_input("amplification", self._amplification, (1,))

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
            self._check(pixels)
        self._amplification[0] = amplification
        self._bind_input("frame", frame, self._shape)
        self._bind_input("reference", reference, self._shape)
        self._binding.bind_output("magnified", "cpu", 0, np.uint8, self._shape, magnified.ctypes.data)
        try:
            self._session.run_with_iobinding(self._binding)
        except _ONNX_RUNTIME_ERRORS as error:
            raise EngineFault(
                f"a step at {self.width_px}x{self.height_px} failed ({_first_line(error)})",
                remedy="free memory or use a smaller picture",
            ) from None

    def _bind_input(self, name: str, array: NDArray[np.generic], shape: tuple[int, ...]) -> None:
        self._binding.bind_input(name, "cpu", 0, array.dtype.type, shape, array.ctypes.data)

    def _check(self, pixels: NDArray[np.uint8]) -> None:
        # Bound by pointer: a wrong array would be read beyond its end instead of being refused.
        if pixels.shape != self._shape[1:] or pixels.dtype != np.uint8 or not pixels.flags.c_contiguous:
            raise ValueError(
                f"not a contiguous uint8 frame of shape {self._shape[1:]}: {pixels.dtype} {pixels.shape}"
            )


def _session_options(width_px: int, height_px: int, threads: int | None) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # With the size known, shapes are folded and memory is planned once, instead of at every step.
    options.add_free_dimension_override_by_name("width", width_px)
    options.add_free_dimension_override_by_name("height", height_px)
    # Idle threads sleep: spinning ones take the core that decodes and encodes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    if threads is not None:
        options.intra_op_num_threads = threads
    return options


def _check_signature(graph: Path, session: onnxruntime.InferenceSession, shape: tuple[int, ...]) -> None:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    for found, expected in ((inputs, _INPUT_TYPES), (outputs, _OUTPUT_TYPES)):
        types = {tensor.name: tensor.type for tensor in found}
        if types != expected:
            raise BundleFault(f"{graph}: not a pairwise graph (has {types}, not {expected})", remedy=_REMEDY)
    for tensor in (*inputs, *outputs):
        wanted = (1,) if tensor.name == "amplification" else shape
        # A size that is still a name is decided at run time; a number must be ours.
        agrees = len(tensor.shape) == len(wanted) and all(
            not isinstance(have, int) or have == want for have, want in zip(tensor.shape, wanted, strict=True)
        )
        if not agrees:
            raise BundleFault(
                f"{graph}: made for {tensor.name} of shape {tensor.shape}, not {list(wanted)}",
                remedy="export a bundle for this size, or for any size by leaving --size out",
            )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
