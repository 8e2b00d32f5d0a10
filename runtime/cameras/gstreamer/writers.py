"""Writers of pictures into the ring: the CPU from ordinary memory, or the GPU from where the camera left them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.cameras.gstreamer.load import load_gstreamer
from tremorscope.runtime.cameras.gstreamer.memory import RgbConverter
from tremorscope.runtime.frames.copies import CopyAccount
from tremorscope.runtime.gpu.egl import DevicePicture

COPY_PLACE = "camera: picture into the ring"


class PictureWriter(Protocol):
    """Writes pictures of one format and size."""

    @property
    def memory(self) -> Literal["copy", "nvmm"]:
        """copy: the CPU writes each picture. nvmm: the GPU does."""

    def picture(self, buffer: Any) -> DevicePicture | None:
        """A GstBuffer's picture in the GPU's address space while the buffer is held; None where it has none."""

    def write(self, buffer: Any, pixels: NDArray[np.uint8]) -> None:
        """Write a GstBuffer's picture into ``pixels``, u8[H, W, 3] RGB, contiguous; whole when this returns.

        Raises:
            CorruptFrameFault: the buffer holds less than a picture.
            CameraFault: it cannot be read.
        """

    def close(self, *, buffers_are_gone: bool = False) -> None:
        """Give everything back; closing twice is harmless.

        Args:
            buffers_are_gone: those that came may not exist any more, because the camera has changed its format.
        """


MakeWriter = Callable[[Any, int, int], PictureWriter]
"""Makes the writer of a GstSample's picture and those to come, from the sample, width and height."""


class CpuWriter:
    """Writer on the CPU: one pass from any raw format to RGB, counted in the account."""

    memory: Literal["copy"] = "copy"

    def __init__(self, caps: Any, width_px: int, height_px: int, account: CopyAccount | None) -> None:
        """Prepare for pictures of ``caps``.

        Raises:
            CameraFault: pictures of this format cannot be read.
        """
        self._account = account
        structure = caps.get_structure(0)
        stated, numerator, denominator = structure.get_fraction("framerate")
        # The converter refuses a pair that differs in anything but the format.
        rgb = (
            f"video/x-raw,format=RGB,width={width_px},height={height_px}"
            f",interlace-mode={structure.get_value('interlace-mode') or 'progressive'}"
            + (f",framerate={numerator}/{denominator}" if stated else "")
        )
        self._converter = RgbConverter(caps, load_gstreamer().Caps.from_string(rgb), width_px, height_px)

    def picture(self, buffer: Any) -> DevicePicture | None:  # noqa: ARG002
        """None: it lies in the CPU's memory."""
        return None

    def write(self, buffer: Any, pixels: NDArray[np.uint8]) -> None:
        """Convert and copy in one."""
        begun_s = time.perf_counter()
        self._converter.convert(buffer, pixels)
        if self._account is not None:
            self._account.add(COPY_PLACE, pixels.nbytes, time.perf_counter() - begun_s)

    def close(self, *, buffers_are_gone: bool = False) -> None:  # noqa: ARG002
        """Give the converter back."""
        self._converter.close()


def cpu_writer(account: CopyAccount | None) -> MakeWriter:
    """Factory of writers that count their copies in ``account``."""
    return lambda sample, width_px, height_px: CpuWriter(sample.get_caps(), width_px, height_px, account)
