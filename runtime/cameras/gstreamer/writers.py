"""Who writes a picture into the ring: the CPU from ordinary memory, or the GPU from where the camera left it."""

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
        """copy: the CPU passes over each picture. nvmm: the GPU does."""

    def picture(self, buffer: Any) -> DevicePicture | None:
        """Where the GPU finds a GstBuffer's picture while the buffer is held; None where it cannot."""

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
"""Takes a GstSample, width and height; makes what writes that picture and those to come."""


class CpuWriter:
    """One pass of the CPU from any raw format to RGB, and every byte of it told."""

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
    """Makes writers that tell ``account``."""
    return lambda sample, width_px, height_px: CpuWriter(sample.get_caps(), width_px, height_px, account)
