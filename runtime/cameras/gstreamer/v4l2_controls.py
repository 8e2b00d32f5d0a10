"""A video device's controls by ioctl: exposure, gain and white balance, under numbers that every kernel agrees on.

GStreamer can set them only by name, and the names differ between kernels; nor can it read what automatic exposure
has found, which is what a lock must hold. A second file descriptor may do both while another process streams.
Structures and numbers: linux/videodev2.h and linux/v4l2-controls.h.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path

from tremorscope.runtime.cameras.gstreamer.settings import ExposureSettings
from tremorscope.runtime.errors import CameraFault

GET_CONTROL = 0xC008561B
SET_CONTROL = 0xC008561C
AUTO_EXPOSURE = 0x009A0901
EXPOSURE_100_US = 0x009A0902
EXPOSURE_MAY_SLOW_RATE = 0x009A0903
AUTO_WHITE_BALANCE = 0x0098090C
WHITE_BALANCE_K = 0x0098091A
AUTO_GAIN = 0x00980912
GAIN = 0x00980913
MANUAL, APERTURE_PRIORITY, AUTO = 1, 3, 0

_NOT_THIS_ONE = (errno.EINVAL, errno.ENOTTY, errno.ERANGE, errno.EACCES, errno.EIO, errno.EBUSY)
"""The camera has no such control, or does not take the value now. A worse fault shows in its frames."""

Ioctl = Callable[[int, int, bytearray], object]
"""As ``fcntl.ioctl``: changes the bytes in place."""


class V4l2Controls:
    """The controls of one device. What a camera does not have is left alone and listed in ``missing``."""

    def __init__(self, device: Path, settings: ExposureSettings, *, ioctl: Ioctl | None = None) -> None:
        """Apply what the settings fix, and leave the rest to the camera until it is locked.

        Raises:
            CameraFault: the device cannot be opened.
        """
        self._device, self._settings = device, settings
        self._ioctl: Ioctl = ioctl or (lambda fd, request, data: fcntl.ioctl(fd, request, data, True))
        self.missing: list[str] = []
        """Settings that this camera has no control for."""
        self.free()

    def free(self) -> None:
        """Let the camera adapt; what the settings fix stays fixed."""
        with _Opened(self._device) as fd:
            # Else a dark scene halves the rate of many cameras, and the frequencies with it.
            self._set(fd, EXPOSURE_MAY_SLOW_RATE, 0)
            if self._settings.exposure_us is None:
                # Of the two automatic modes a camera has one; nearly all have this.
                if not self._set(fd, AUTO_EXPOSURE, APERTURE_PRIORITY):
                    self._set(fd, AUTO_EXPOSURE, AUTO)
            else:
                self._fix(fd, "exposure_us", AUTO_EXPOSURE, MANUAL)
                self._fix(fd, "exposure_us", EXPOSURE_100_US, max(1, round(self._settings.exposure_us / 100)))
            if self._settings.gain is None:
                self._set(fd, AUTO_GAIN, 1)
            else:
                self._set(fd, AUTO_GAIN, 0)
                self._fix(fd, "gain", GAIN, round(self._settings.gain))
            self._set(fd, AUTO_WHITE_BALANCE, 1)

    def lock(self) -> None:
        """Hold exposure, gain and white balance at what the camera has found."""
        with _Opened(self._device) as fd:
            self._hold(fd, "exposure", EXPOSURE_100_US, AUTO_EXPOSURE, MANUAL)
            self._hold(fd, "gain", GAIN, AUTO_GAIN, 0)
            self._hold(fd, "white balance", WHITE_BALANCE_K, AUTO_WHITE_BALANCE, 0)

    def _hold(self, fd: int, what: str, control: int, automatic: int, off: int) -> None:
        found = self._get(fd, control)
        if self._get(fd, automatic) is not None and not self._set(fd, automatic, off):
            self._note(what)
        if found is not None:
            self._set(fd, control, found)  # some cameras fall back to their default when they become manual

    def _fix(self, fd: int, what: str, control: int, value: int) -> None:
        if not self._set(fd, control, value):
            self._note(what)

    def _note(self, what: str) -> None:
        if what not in self.missing:
            self.missing.append(what)

    def _get(self, fd: int, control: int) -> int | None:
        data = bytearray(struct.pack("=Ii", control, 0))
        return struct.unpack("=Ii", data)[1] if self._call(fd, GET_CONTROL, data) else None

    def _set(self, fd: int, control: int, value: int) -> bool:
        return self._call(fd, SET_CONTROL, bytearray(struct.pack("=Ii", control, value)))

    def _call(self, fd: int, request: int, data: bytearray) -> bool:
        try:
            self._ioctl(fd, request, data)
        except OSError as error:
            if error.errno in _NOT_THIS_ONE:
                return False
            raise CameraFault(
                f"camera {self._device}: its controls cannot be set ({error.strerror})",
                remedy="check the camera's cable and its power",
            ) from None
        return True


class _Opened:
    """The device, opened for the controls alone."""

    def __init__(self, device: Path) -> None:
        self._device = device
        self._fd = -1

    def __enter__(self) -> int:
        try:
            self._fd = os.open(self._device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise _cannot_open(self._device, error) from None
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _cannot_open(device: Path, error: OSError) -> CameraFault:
    remedies = {
        errno.ENOENT: "plug it in; `v4l2-ctl --list-devices` lists what is there",
        errno.ENODEV: "plug it in; `v4l2-ctl --list-devices` lists what is there",
        errno.EACCES: "let the user into group video: sudo usermod -aG video USER, and log in again",
        errno.EBUSY: "stop the program that uses it; `fuser -v` followed by the device names it",
    }
    return CameraFault(
        f"camera {device}: cannot be opened ({error.strerror})",
        remedy=remedies.get(error.errno or 0, "check the camera's cable and its power"),
    )
