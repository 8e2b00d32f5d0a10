"""NVIDIA's NvBufSurface by ctypes: where a picture lies that a Jetson's camera left in its own memory.

Offsets are those of nvbufsurface.h of L4T 36 and 39, whose structures begin alike and differ in size. A surface is
one picture (batchSize 1), so that only the first element is ever looked at and the size does not matter.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from ctypes import POINTER, c_int, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass

from tremorscope.runtime.errors import CameraFault

LIBRARIES = ("libnvbufsurface.so.1.0.0", "libnvbufsurface.so")
CUDA_MEMORY = frozenset({1, 2, 3})
"""NVBUF_MEM_CUDA_PINNED, _DEVICE and _UNIFIED: the data pointer is one of CUDA's. On a Jetson it is 4, SURFACE_ARRAY,
and 0 stands for that."""
_PITCH_LAYOUT = 0
_RGBA_BYTES = 4


class NvmmFault(CameraFault):
    """Pictures cannot stay in NVIDIA's memory here; they can be copied instead."""


class _Parameters(ctypes.Structure):
    """The common beginning of NvBufSurfaceParams."""

    _fields_ = (
        ("width", c_uint32),
        ("height", c_uint32),
        ("pitch", c_uint32),
        ("color_format", c_int),
        ("layout", c_int),
        ("buffer_desc", c_uint64),
        ("data_size", c_uint32),
        ("data_ptr", c_void_p),
        ("planes", ctypes.c_uint8 * 232),
        ("mapped", c_void_p * 4),
        ("egl_image", c_void_p),
    )


class _Surface(ctypes.Structure):
    """The beginning of NvBufSurface."""

    _fields_ = (
        ("gpu_id", c_uint32),
        ("batch_size", c_uint32),
        ("num_filled", c_uint32),
        ("is_contiguous", ctypes.c_bool),
        ("mem_type", c_int),
        ("surface_list", POINTER(_Parameters)),
    )


@dataclass(frozen=True)
class Surface:
    """One picture in NVIDIA's memory."""

    address: int
    """Address of the NvBufSurface itself."""
    key: tuple[int, int]
    """The same for each picture that comes in the same buffer of the pool."""
    width_px: int
    height_px: int
    pitch_bytes: int
    cuda_address: int | None
    """Address of the pixels in CUDA's memory; None where only EGL leads to them."""


class SurfaceLibrary:
    """libnvbufsurface, and what it says of a surface."""

    def __init__(self, names: tuple[str, ...] = LIBRARIES) -> None:
        """Load it.

        Raises:
            NvmmFault: it is not there.
        """
        library = _load(names)
        self._map, self._unmap = library.NvBufSurfaceMapEglImage, library.NvBufSurfaceUnMapEglImage
        for call in (self._map, self._unmap):
            call.argtypes, call.restype = [c_void_p, c_int], c_int

    def read(self, address: int, size: int, width_px: int, height_px: int) -> Surface:
        """The surface at ``address``, of which ``size`` bytes are mapped.

        Raises:
            NvmmFault: it is not one RGBA picture of this size in rows.
        """
        if size < ctypes.sizeof(_Surface) or not address:
            raise _strange(f"a buffer of {size} bytes is no NvBufSurface")
        surface = _Surface.from_address(address)
        if surface.batch_size != 1 or not surface.surface_list:
            raise _strange(f"it holds {surface.batch_size} pictures")
        first = surface.surface_list[0]
        if (first.width, first.height) != (width_px, height_px):
            raise _strange(f"it says {first.width}x{first.height} px, the caps {width_px}x{height_px} px")
        if first.layout != _PITCH_LAYOUT or first.pitch < _RGBA_BYTES * width_px:
            raise _strange(f"its layout is {first.layout} with {first.pitch} bytes a row")
        in_cuda = surface.mem_type in CUDA_MEMORY
        return Surface(
            address=address,
            key=(ctypes.addressof(first), first.buffer_desc),
            width_px=width_px,
            height_px=height_px,
            pitch_bytes=first.pitch,
            cuda_address=first.data_ptr if in_cuda else None,
        )

    def egl_image(self, surface: Surface) -> tuple[int, bool]:
        """The EGLImage of a surface, and whether this call made it: whoever made it has to `unmap` it.

        Raises:
            NvmmFault: none can be made.
        """
        first = _Surface.from_address(surface.address).surface_list[0]
        if first.egl_image:
            return int(first.egl_image), False
        status = self._map(surface.address, 0)
        if status != 0 or not first.egl_image:
            raise NvmmFault(
                f"NvBufSurfaceMapEglImage failed ({status})",
                remedy="unset DISPLAY and WAYLAND_DISPLAY for the service",
            )
        return int(first.egl_image), True

    def unmap(self, surface: Surface) -> None:
        """Give the EGLImage of a surface back, which must still exist; nobody may use the image any more."""
        self._unmap(surface.address, 0)


def _load(names: tuple[str, ...]) -> ctypes.CDLL:
    for name in names[:-1]:
        with suppress(OSError):
            return ctypes.CDLL(name)
    try:
        return ctypes.CDLL(names[-1])
    except OSError as error:
        raise NvmmFault(
            f"NVIDIA's buffer library cannot be loaded ({error})",
            remedy="on a Jetson: sudo apt install nvidia-l4t-multimedia",
        ) from None


def _strange(what: str) -> NvmmFault:
    return NvmmFault(
        f"the camera's buffer is not laid out as this release knows it: {what}",
        remedy="report it with the version in /etc/nv_tegra_release",
    )
