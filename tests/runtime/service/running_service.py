"""The service within a test's own process, with a camera that can be made to fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tremorscope.runtime.errors import CameraFault
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.service.process import Service

PATIENCE_S = 90.0


@contextmanager
def running(service: Service) -> Iterator[Service]:
    service.start()
    try:
        yield service
    finally:
        service.close()


def until(service: Service, condition: Callable[[], object], what: str = "") -> None:
    limit_s = time.monotonic() + PATIENCE_S
    while not condition():
        service._threads.raise_failure()
        assert time.monotonic() < limit_s, what or service.board.snapshot()
        service.look()
        time.sleep(0.02)


def frames(service: Service, more: int) -> None:
    goal = service.parts.loop.frames + more
    until(service, lambda: service.parts.loop.frames >= goal)


class Camera:
    """Gives frames at 50 Hz of the host's time; what it shows and when it fails is decided from outside."""

    width_px, height_px, nominal_rate_hz = 320, 180, 50.0
    fails = flickers = dark = False
    true_rate_hz = 50.0
    """By its own times."""
    smooth_px = 0.0
    """Above 0 the picture has texture that displacement can be measured by."""

    def __init__(self) -> None:
        if Camera.fails:
            raise CameraFault("no camera there", remedy="plug it in")
        self._number = 0
        rng = np.random.default_rng(1)
        noise = rng.integers(0, 255, (180, 320, 3), np.uint8)
        self._picture = ndimage.gaussian_filter(noise, (Camera.smooth_px, Camera.smooth_px, 0))

    def read_into(self, pixels: NDArray[np.uint8]) -> FrameInfo | None:
        if Camera.fails:
            raise CameraFault("the camera has gone", remedy="plug it in")
        time.sleep(0.02)
        np.copyto(pixels, self._picture)
        if Camera.flickers and self._number % 2:
            pixels //= 2
        if Camera.dark:
            pixels.fill(0)
        self._number += 1
        return FrameInfo(self._number, self._number / Camera.true_rate_hz)

    def close(self) -> None:
        pass
