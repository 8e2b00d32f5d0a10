"""CUDA stream of the highest priority, by cuda-bindings: PyCUDA's streams all have the lowest.

Converting a camera's picture takes the GPU microseconds, and a step of the network many milliseconds: without priority
the camera's buffers would wait for the whole step.
"""

from __future__ import annotations

from typing import Any

from tremorscope.runtime.errors import EngineFault

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
