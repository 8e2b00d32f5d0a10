"""Grey cameras of 10, 12 and 16 bits on Linux (V4L2's Y10, Y12, Y16), read straight from the driver's mapped buffers:
GStreamer's v4l2src knows no Y10 and no Y12.

Frames travel as RGB of 8 bits. Of a grey picture the three channels would carry the same; here they differ by three
steps at most, so that the luma 0.299 R + 0.587 G + 0.114 B, which is what is measured, keeps the fractions, to 0.02
grey levels.
Structures and numbers: linux/videodev2.h, of 64-bit systems.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import mmap
import os
import select
import struct
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tremorscope.files import reason_of
from tremorscope.runtime.cameras.gstreamer.exposure import ExposureHold
from tremorscope.runtime.cameras.settings import V4l2Settings
from tremorscope.runtime.cameras.v4l2 import V4l2Controls
from tremorscope.runtime.errors import CameraFault, CorruptFrameFault
from tremorscope.runtime.frames.buffers import CopyAccount
from tremorscope.runtime.frames.frame import BT601_LUMA, FrameInfo

SET_FORMAT, SET_RATE = 0xC0D05605, 0xC0CC5616
REQUEST_BUFFERS, QUERY_BUFFER = 0xC0145608, 0xC0585609
QUEUE, DEQUEUE = 0xC058560F, 0xC0585611
STREAM_ON, STREAM_OFF = 0x40045612, 0x40045613
CAPTURE, MMAP, PROGRESSIVE = 1, 1, 1
BUFFER = struct.Struct("=IIIII4xqq16xIIQI12x")
"""v4l2_buffer: index, type, bytesused, flags, field, seconds, microseconds, sequence, memory, offset, length."""
DAMAGED, MONOTONIC = 0x40, 0x2000
FOURCC = {"y10": b"Y10 ", "y12": b"Y12 ", "y16": b"Y16 "}
_BUFFERS = 4
_PLACE = "camera: picture into the ring"
Ioctl = Callable[[int, int, bytearray], object]
"""As ``fcntl.ioctl``: changes the bytes in place."""


def grey_table(bits: int) -> NDArray[np.uint8]:
    """Channels (2^bits, 3; RGB) whose luma, of 0 to 255, is that of each brightness, as nearly as they can."""
    steps = np.array(
        sorted(itertools.product((-1, 0, 1, 2), repeat=3), key=np.ptp)
    )  # (64, 3), nearly grey first
    shares = steps @ np.array(BT601_LUMA)
    value = np.arange(2**bits) * (255 / (2**bits - 1))
    whole = np.clip(np.floor(value), 1, 253)
    best = np.abs((value - whole)[:, None] - shares).argmin(axis=1)
    table: NDArray[np.uint8] = np.clip(whole[:, None] + steps[best], 0, 255).astype(np.uint8)
    return table


class DeepV4l2Camera:
    """A grey camera of more than 8 bits; see `runtime.frames.frame.Camera`."""

    def __init__(
        self,
        settings: V4l2Settings,
        *,
        account: CopyAccount | None = None,
        silence_s: float = 2.0,
        ioctl: Ioctl | None = None,
    ) -> None:
        """Open the device and start the stream.

        Raises:
            CameraFault: it cannot be opened, or does not offer format and size.
        """
        self._settings, self._account, self._silence_s = settings, account, silence_s
        self._ioctl: Ioctl = ioctl or (lambda fd, request, data: fcntl.ioctl(fd, request, data, True))
        self._name = f"camera {settings.device}"
        self.width_px, self.height_px = settings.width_px, settings.height_px
        self._table = grey_table(settings.bit_depth)
        self._maps: list[mmap.mmap] = []
        controls = V4l2Controls(settings.device, settings.exposure, ioctl=ioctl)
        self._hold = ExposureHold(settings.exposure, controls)
        self._fd = os.open(settings.device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._stride, self.nominal_rate_hz = self._agree(), self._set_rate()
            self._map_buffers()
            self._call(STREAM_ON, bytearray(struct.pack("=I", CAPTURE)), "start")
        except BaseException:
            self.close()
            raise

    def read_into(self, pixels: NDArray[np.uint8]) -> FrameInfo | None:
        """Write the next frame into ``pixels`` (H, W, 3; RGB).

        Raises:
            CameraFault: no frame comes, or the device is gone.
            CorruptFrameFault: the driver marks a frame as damaged, or it is too short.
        """
        while True:
            info = self._take(pixels)
            if self._hold.is_settled(time.monotonic()):
                segment = self._hold.look(pixels, time.monotonic())
                return FrameInfo(info.sequence, info.timestamp_s, segment, captured_s=info.captured_s)

    def close(self) -> None:
        """Give the device back; closing twice is harmless."""
        if self._fd < 0:
            return
        for each in self._maps:
            each.close()
        os.close(self._fd)  # ends the stream
        self._fd = -1

    def _take(self, pixels: NDArray[np.uint8]) -> FrameInfo:
        if not select.select([self._fd], [], [], self._silence_s)[0]:
            raise CameraFault(f"{self._name}: no frame for {self._silence_s:g} s", remedy="check its cable")
        data = bytearray(BUFFER.pack(0, CAPTURE, *[0] * 6, MMAP, 0, 0))
        self._call(DEQUEUE, data, "give a frame")
        index, _, nbytes, flags, _, seconds, micros, sequence, *_ = BUFFER.unpack(data)
        try:
            if flags & DAMAGED or nbytes < self._stride * self.height_px:
                raise CorruptFrameFault(
                    f"{self._name}: frame {sequence} is damaged or cut short", remedy="check its cable"
                )
            begun_s = time.perf_counter()
            rows = np.frombuffer(self._maps[index], "<u2", self._stride // 2 * self.height_px)
            raw = rows.reshape(self.height_px, -1)[:, : self.width_px]
            np.take(self._table, raw, axis=0, out=pixels, mode="clip")
            if self._account is not None:
                self._account.add(_PLACE, pixels.nbytes, time.perf_counter() - begun_s)
            del rows, raw
        finally:
            self._queue(index)
        time_s = seconds + 1e-6 * micros
        return FrameInfo(sequence, time_s, captured_s=time_s if flags & MONOTONIC else None)

    def _agree(self) -> int:
        """Set format and size; returns the bytes of a row."""
        wanted = FOURCC[self._settings.format]
        data = bytearray(
            struct.pack("=I4xII4sI", CAPTURE, self.width_px, self.height_px, wanted, PROGRESSIVE)
        )
        data += bytes(208 - len(data))
        self._call(SET_FORMAT, data, "set its format")
        width_px, height_px, given, _, stride = struct.unpack_from("=II4sII", data, 8)
        if (width_px, height_px, given) != (self.width_px, self.height_px, wanted):
            raise CameraFault(
                f"{self._name}: gives {width_px}x{height_px} {given.decode(errors='replace').strip()}, not "
                f"{self.width_px}x{self.height_px} {wanted.decode().strip()}",
                remedy="choose what `v4l2-ctl --list-formats-ext` lists",
            )
        return max(int(stride), 2 * self.width_px)

    def _set_rate(self) -> float:
        """Ask for the rate; returns the one that the driver states, or else the one that was asked for."""
        data = bytearray(struct.pack("=IIIII", CAPTURE, 0, 0, 1000, round(1000 * self._settings.rate_hz)))
        data += bytes(204 - len(data))
        try:
            self._ioctl(self._fd, SET_RATE, data)
        except OSError:  # many sensors' drivers have one rate, and no such call
            return self._settings.rate_hz
        period, per = struct.unpack_from("=II", data, 12)
        return per / period if period and per else self._settings.rate_hz

    def _map_buffers(self) -> None:
        data = bytearray(struct.pack("=IIIII", _BUFFERS, CAPTURE, MMAP, 0, 0))
        self._call(REQUEST_BUFFERS, data, "share its memory")
        for index in range(struct.unpack_from("=I", data)[0]):
            buffer = bytearray(BUFFER.pack(index, CAPTURE, *[0] * 6, MMAP, 0, 0))
            self._call(QUERY_BUFFER, buffer, "share its memory")
            *_, offset, length = BUFFER.unpack(buffer)
            self._maps.append(mmap.mmap(self._fd, length, prot=mmap.PROT_READ, offset=offset & 0xFFFFFFFF))
            self._queue(index)

    def _queue(self, index: int) -> None:
        self._call(QUEUE, bytearray(BUFFER.pack(index, CAPTURE, *[0] * 6, MMAP, 0, 0)), "take a buffer")

    def _call(self, request: int, data: bytearray, what: str) -> None:
        try:
            self._ioctl(self._fd, request, data)
        except OSError as error:
            busy = "stop the program that uses it" if error.errno == errno.EBUSY else "check its cable"
            raise CameraFault(
                f"{self._name}: does not {what} ({reason_of(error)})",
                remedy=f"{busy}; `v4l2-ctl --list-formats-ext` lists what it offers",
            ) from None
