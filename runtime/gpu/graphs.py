"""CUDA graphs by cuda-bindings, which PyCUDA lacks: work captured from a stream once and launched as one.

This and `runtime.gpu.egl` are the modules that import cuda-bindings. They are optional: without them each step is put
into the stream layer by layer, which costs the CPU more and the GPU the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tremorscope.runtime.errors import EngineFault
from tremorscope.runtime.gpu.protocol import CudaGraph, Stream

Capture = Callable[[Stream, Callable[[], None]], CudaGraph]


def load_capture() -> Capture | None:
    """Function that captures graphs, or None where cuda-bindings are not installed, or not for this CUDA."""
    try:
        from cuda.bindings import driver
    except ImportError:
        return None

    def capture(stream: Stream, work: Callable[[], None]) -> CudaGraph:
        return _capture(driver, stream, work)

    return capture


class _Graph:
    def __init__(self, driver: Any, executable: Any) -> None:
        self._driver, self._executable = driver, executable

    def launch(self, stream: Stream) -> None:
        _checked(self._driver, self._driver.cuGraphLaunch(self._executable, stream.handle))

    def free(self) -> None:
        _checked(self._driver, self._driver.cuGraphExecDestroy(self._executable))


def _capture(driver: Any, stream: Stream, work: Callable[[], None]) -> CudaGraph:
    # Thread-local: calls of other threads meanwhile, for cameras for example, neither enter nor break the capture.
    mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    _checked(driver, driver.cuStreamBeginCapture(stream.handle, mode))
    try:
        work()
    except BaseException:
        # A capture that is left open makes every later use of the stream fail.
        _, unwanted = driver.cuStreamEndCapture(stream.handle)
        if unwanted is not None and int(unwanted):
            driver.cuGraphDestroy(unwanted)
        raise
    graph = _checked(driver, driver.cuStreamEndCapture(stream.handle))
    try:
        return _Graph(driver, _checked(driver, driver.cuGraphInstantiate(graph, 0)))
    finally:
        _checked(driver, driver.cuGraphDestroy(graph))


def _checked(driver: Any, answer: tuple[Any, ...]) -> Any:
    """The driver's answer without its status.

    Raises:
        EngineFault: the status is an error.
    """
    status, *values = answer
    if status != driver.CUresult.CUDA_SUCCESS:
        raise EngineFault(
            f"the GPU refused a CUDA graph ({status.name})",
            remedy="restart the service, or remove cuda-bindings",
        )
    return values[0] if values else None
