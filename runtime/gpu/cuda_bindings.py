"""CUDA by cuda-bindings, where PyCUDA lacks it: graphs, captured from a stream once and launched as one, and a
stream of the highest priority, where PyCUDA's all have the lowest.

This and `runtime.gpu.egl` are the modules that import cuda-bindings. They are optional: without them each step is put
into the stream layer by layer, which costs the CPU more and the GPU the same.

Converting a camera's picture takes the GPU microseconds, and a step of the network many milliseconds: without priority
the camera's buffers would wait for the whole step.
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


_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: in no order with the default stream, which others may use


class UrgentStream:
    """CUDA stream of the highest priority; made, queried and freed within ``Gpu.current``.

    Its blocks take the next room on the GPU that gets free; what runs there already is not interrupted. A device that
    knows no priorities gives a stream like any other.
    """

    def __init__(self, driver: Any) -> None:
        """Make it with ``cuda.bindings.driver``.

        Raises:
            EngineFault: the GPU refuses.
        """
        self._driver = driver
        _, greatest = self._checked(driver.cuCtxGetStreamPriorityRange())  # the lower number goes first
        (self._made,) = self._checked(driver.cuStreamCreateWithPriority(_NON_BLOCKING, greatest))
        self.handle = int(self._made)

    def done(self) -> bool:
        """Return True once all work in the stream is done.

        Raises:
            EngineFault: the GPU failed.
        """
        status, *_ = answer = self._driver.cuStreamQuery(self._made)
        if status == self._driver.CUresult.CUDA_ERROR_NOT_READY:
            return False
        self._checked(answer)
        return True

    def free(self) -> None:
        """Destroy the stream; work already in it is completed."""
        self._checked(self._driver.cuStreamDestroy(self._made))

    def _checked(self, answer: tuple[Any, ...]) -> list[Any]:
        status, *values = answer
        if status != self._driver.CUresult.CUDA_SUCCESS:
            raise EngineFault(f"the GPU failed ({status.name})", remedy="restart the service")
        return values
