"""GStreamer's memory by ctypes, without the copy that PyGObject's ``MapInfo.data`` makes, and the writers of
pictures from there into the ring: the CPU from ordinary memory, or the GPU from where the camera left them.

A boxed object of PyGObject has its C pointer as its hash (PyGObject up to 3.50, and Ubuntu's python3-gi).
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_uint, c_uint32, c_void_p
from functools import cache
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.cameras.gstreamer.load import load_gstreamer
from tremorscope.runtime.errors import CameraFault, CorruptFrameFault
from tremorscope.runtime.frames.buffers import CopyAccount
from tremorscope.runtime.gpu.egl import DevicePicture

_READ, _WRITE = 1, 2
_VIDEO_FRAME_BYTES = 4096  # of a GstVideoFrame, which is smaller on every system
_MOST_SLOTS = 64
_OPTIONS = b"options, GstVideoConverter.dither-method=(GstVideoDitherMethod)none"


class _MapInfo(ctypes.Structure):
    _fields_ = (
        ("memory", c_void_p),
        ("flags", c_int),
        ("data", c_void_p),
        ("size", c_size_t),
        ("maxsize", c_size_t),
        ("user_data", c_void_p * 4),
        ("reserved", c_void_p * 4),
    )


class _FrameNumber(ctypes.Structure):
    """Frame number and time that NVIDIA's camera source attaches to each buffer under the name GstBufferMetaData."""

    _fields_ = (("number", c_int64), ("time_ns", c_int64))


_CORE: dict[str, tuple[Any, list[Any]]] = {
    "gst_buffer_map": (c_int, [c_void_p, POINTER(_MapInfo), c_int]),
    "gst_buffer_unmap": (None, [c_void_p, POINTER(_MapInfo)]),
    "gst_buffer_new_wrapped_full": (
        c_void_p,
        [c_int, c_void_p, c_size_t, c_size_t, c_size_t, c_void_p, c_void_p],
    ),
    "gst_mini_object_get_qdata": (c_void_p, [c_void_p, c_uint32]),
    "gst_mini_object_unref": (None, [c_void_p]),
    "gst_structure_from_string": (c_void_p, [c_char_p, c_void_p]),
}
_VIDEO: dict[str, tuple[Any, list[Any]]] = {
    "gst_video_info_new": (c_void_p, []),
    "gst_video_info_from_caps": (c_int, [c_void_p, c_void_p]),
    "gst_video_info_free": (None, [c_void_p]),
    "gst_video_frame_map": (c_int, [c_void_p, c_void_p, c_void_p, c_int]),
    "gst_video_frame_unmap": (None, [c_void_p]),
    "gst_video_converter_new": (c_void_p, [c_void_p, c_void_p, c_void_p]),
    "gst_video_converter_frame": (None, [c_void_p, c_void_p, c_void_p]),
    "gst_video_converter_free": (None, [c_void_p]),
    "gst_video_format_from_string": (c_int, [c_char_p]),
    "gst_buffer_add_video_meta_full": (
        c_void_p,
        [c_void_p, c_int, c_int, c_uint, c_uint, c_uint, POINTER(c_size_t), POINTER(c_int)],
    ),
}
_GLIB: dict[str, tuple[Any, list[Any]]] = {"g_quark_from_string": (c_uint32, [c_char_p])}


@cache
def _library(name: str) -> Any:
    functions = {"gstreamer-1.0": _CORE, "gstvideo-1.0": _VIDEO, "glib-2.0": _GLIB}[name]
    try:
        library = ctypes.CDLL(f"lib{name}.so.0")
    except OSError as error:
        raise CameraFault(
            f"GStreamer's library lib{name}.so.0 cannot be loaded ({error})",
            remedy="sudo apt install libgstreamer1.0-0 libgstreamer-plugins-base1.0-0",
        ) from None
    for function, (result, arguments) in functions.items():
        getattr(library, function).restype = result
        getattr(library, function).argtypes = arguments
    return library


def pointer_to(boxed: Any) -> int:
    """Address of the GstBuffer or GstCaps behind a boxed object, which must outlive its use."""
    address: int = hash(boxed) & (2 ** (8 * ctypes.sizeof(c_void_p)) - 1)
    return address


@contextmanager
def mapped(buffer: Any) -> Iterator[tuple[int, int]]:
    """Map a buffer for reading; yields the address and the number of its bytes, valid within the context.

    Raises:
        CorruptFrameFault: the buffer cannot be mapped.
    """
    core, info = _library("gstreamer-1.0"), _MapInfo()
    if not core.gst_buffer_map(pointer_to(buffer), byref(info), _READ):
        raise CorruptFrameFault("a frame's memory cannot be mapped", remedy="open the camera again")
    try:
        yield info.data or 0, info.size
    finally:
        core.gst_buffer_unmap(pointer_to(buffer), byref(info))


def argus_frame(buffer: Any) -> tuple[int, int] | None:
    """Number and capture time in ns, both the sensor's own, that nvarguscamerasrc attached; None if it did not."""
    quark = _library("glib-2.0").g_quark_from_string(b"GstBufferMetaData")
    address = _library("gstreamer-1.0").gst_mini_object_get_qdata(pointer_to(buffer), quark)
    if not address:
        return None
    attached = _FrameNumber.from_address(address)
    return attached.number, attached.time_ns


class RgbConverter:
    """Writes pictures of any raw format straight into slots of the ring: the one pass of the CPU over them.

    No dithering, no change of primaries or gamma: only the matrix and the range that the caps state.
    """

    def __init__(self, caps: Any, rgb_caps: Any, width_px: int, height_px: int) -> None:
        """Prepare for pictures of ``caps``; ``rgb_caps`` are the same in RGB, of the same size and rate.

        Raises:
            CameraFault: pictures of this format cannot be read.
        """
        self._core, self._video = _library("gstreamer-1.0"), _library("gstvideo-1.0")
        self._width_px, self._height_px = width_px, height_px
        self._converter = None
        self._slots: dict[int, int] = {}
        self._source_frame = ctypes.create_string_buffer(_VIDEO_FRAME_BYTES)
        self._target_frame = ctypes.create_string_buffer(_VIDEO_FRAME_BYTES)
        self._source_info, self._target_info = (
            self._video.gst_video_info_new(),
            self._video.gst_video_info_new(),
        )
        understood = self._video.gst_video_info_from_caps(
            self._source_info, pointer_to(caps)
        ) and self._video.gst_video_info_from_caps(self._target_info, pointer_to(rgb_caps))
        if understood:
            options = self._core.gst_structure_from_string(_OPTIONS, None)
            self._converter = self._video.gst_video_converter_new(
                self._source_info, self._target_info, options
            )
        if not self._converter:
            self.close()
            raise CameraFault(
                f"pictures of {caps.to_string()} cannot be read", remedy="choose another format of the camera"
            )

    def convert(self, buffer: Any, pixels: NDArray[np.uint8]) -> None:
        """Write a buffer's picture into ``pixels``, u8[H, W, 3] RGB, contiguous.

        Raises:
            CorruptFrameFault: the buffer holds less than a whole picture.
        """
        if pixels.shape != (self._height_px, self._width_px, 3) or not pixels.flags.c_contiguous:
            raise ValueError(
                f"a slot of shape {pixels.shape} does not take {self._width_px}x{self._height_px}"
            )
        target = self._wrapped(pixels.ctypes.data)
        map_frame, unmap_frame = self._video.gst_video_frame_map, self._video.gst_video_frame_unmap
        if not map_frame(self._source_frame, self._source_info, pointer_to(buffer), _READ):
            raise CorruptFrameFault(
                "a frame is shorter than a picture", remedy="check the camera's cable and its power"
            )
        try:
            if not map_frame(self._target_frame, self._target_info, target, _WRITE):
                raise ValueError("a slot of the ring cannot be written")
            self._video.gst_video_converter_frame(self._converter, self._source_frame, self._target_frame)
            unmap_frame(self._target_frame)
        finally:
            unmap_frame(self._source_frame)

    def close(self) -> None:
        """Give everything back; closing twice is harmless."""
        for buffer in self._slots.values():
            self._core.gst_mini_object_unref(buffer)
        self._slots.clear()
        if self._converter:
            self._video.gst_video_converter_free(self._converter)
        for info in (self._source_info, self._target_info):
            if info:
                self._video.gst_video_info_free(info)
        self._converter = self._source_info = self._target_info = None

    def _wrapped(self, address: int) -> int:
        """A slot as a GstBuffer, made once for each slot, with rows as close as those of the ring."""
        known = self._slots.get(address)
        if known is not None:
            return known
        if len(self._slots) >= _MOST_SLOTS:  # whoever uses ever new memory instead of a ring
            for buffer in self._slots.values():
                self._core.gst_mini_object_unref(buffer)
            self._slots.clear()
        nbytes = 3 * self._width_px * self._height_px
        made: int = self._core.gst_buffer_new_wrapped_full(0, address, nbytes, 0, nbytes, None, None)
        offsets, strides = (c_size_t * 4)(0), (c_int * 4)(3 * self._width_px)
        rgb = self._video.gst_video_format_from_string(b"RGB")
        self._video.gst_buffer_add_video_meta_full(
            made, 0, rgb, self._width_px, self._height_px, 1, offsets, strides
        )
        self._slots[address] = made
        return made


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
