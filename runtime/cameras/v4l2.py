"""A USB camera, or any other video device of Linux, through v4l2src; its exposure, gain and white balance by ioctl,
under numbers that every kernel agrees on.

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
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from tremorscope.files import reason_of
from tremorscope.runtime.cameras.gstreamer.camera import SILENCE_S, GStreamerCamera, RequestedFormat
from tremorscope.runtime.cameras.gstreamer.exposure import ExposureControl, ExposureHold, ExposureSettings
from tremorscope.runtime.cameras.gstreamer.faults import Advice, Cause
from tremorscope.runtime.cameras.gstreamer.load import FLIPS, SINK_ANY_TEXT, SINK_TEXT, rate_text
from tremorscope.runtime.cameras.gstreamer.memory import cpu_writer
from tremorscope.runtime.cameras.gstreamer.pipeline import PipelinePlan, first_offered
from tremorscope.runtime.cameras.settings import V4l2Settings
from tremorscope.runtime.errors import CameraFault
from tremorscope.runtime.frames.buffers import CopyAccount

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
                f"camera {self._device}: its controls cannot be set ({reason_of(error)})",
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
        f"camera {device}: cannot be opened ({reason_of(error)})",
        remedy=remedies.get(error.errno or 0, "check the camera's cable and its power"),
    )


_REMEDIES: MappingProxyType[Cause, str] = MappingProxyType(
    {
        "absent": "plug it in; `v4l2-ctl --list-devices` lists what is there",
        "busy": "stop the program that uses it; `fuser -v` followed by the device names it",
        "forbidden": "let the user into group video: sudo usermod -aG video USER, and log in again",
        "not negotiable": "choose a size and rate that it offers, e.g. as `v4l2-ctl --list-formats-ext` lists",
    }
)


def open_v4l2(
    settings: V4l2Settings,
    *,
    account: CopyAccount | None = None,
    silence_s: float = SILENCE_S,
    controls: Callable[[V4l2Settings], ExposureControl] | None = None,
) -> GStreamerCamera:
    """Open a video device.

    Args:
        settings: of the device.
        account: takes note of what the CPU copies.
        silence_s: time without a frame after which the camera counts as frozen.
        controls: makes the control of exposure and gain; None takes the device's own controls.

    Raises:
        CameraFault: it cannot be opened, or does not offer what is asked for.
    """
    make_controls = controls or _controls
    return GStreamerCamera(
        plan(settings),
        RequestedFormat(settings.size_px, settings.rate_hz),
        cpu_writer(account),
        hold=lambda _: ExposureHold(settings.exposure, make_controls(settings)),
        silence_s=silence_s,
    )


def plan(settings: V4l2Settings) -> PipelinePlan:
    """The pipeline; with format auto the device is asked what it offers.

    Raises:
        CameraFault: GStreamer is not there, or the device cannot be opened.
    """
    compressed = settings.format == "mjpeg"
    if settings.format == "auto":
        asking = replace(_plan(settings, compressed=False), text=f"v4l2src name=source ! {SINK_ANY_TEXT}")
        choices = [_caps(settings, compressed=False), _caps(settings, compressed=True)]
        compressed = first_offered(asking, choices) == 1
    return _plan(settings, compressed=compressed)


def _plan(settings: V4l2Settings, *, compressed: bool) -> PipelinePlan:
    parts = ["v4l2src name=source", _caps(settings, compressed=compressed)]
    elements = ["v4l2src", "appsink"]
    if compressed:
        parts.append("jpegdec")
        elements.append("jpegdec")
    if settings.flip != "none":
        parts.append(f"videoflip video-direction={FLIPS[settings.flip]}")
        elements.append("videoflip")
    return PipelinePlan(
        text=" ! ".join([*parts, SINK_TEXT]),
        elements=tuple(elements),
        advice=Advice(f"camera {settings.device}", _REMEDIES),
        properties=(("device", str(settings.device)),),
    )


def _caps(settings: V4l2Settings, *, compressed: bool) -> str:
    kind = "image/jpeg" if compressed else "video/x-raw"
    return f"{kind},width={settings.width_px},height={settings.height_px},framerate={rate_text(settings.rate_hz)}"


def _controls(settings: V4l2Settings) -> ExposureControl:
    exposure: ExposureSettings = settings.exposure
    return V4l2Controls(settings.device, exposure)
