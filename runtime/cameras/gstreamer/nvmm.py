"""Pictures that stay where a CSI camera's hardware wrote them (NVIDIA's NvBufSurface, by ctypes), and are read there
by the GPU: no copy by the CPU.

Offsets are those of nvbufsurface.h of L4T 36 and 39, whose structures begin alike and differ in size. A surface is
one picture (batchSize 1), so that only the first element is ever looked at and the size does not matter.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import ExitStack, suppress
from ctypes import POINTER, c_int, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.cameras.gstreamer.memory import mapped
from tremorscope.runtime.errors import CameraFault
from tremorscope.runtime.gpu.egl import DevicePicture

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


class DevicePictures(Protocol):
    """Door through which pictures reach the GPU: `runtime.gpu.egl.EglPictures`."""

    def register(self, egl_image: int, width_px: int, height_px: int) -> DevicePicture:
        """Make an EGLImage known to the GPU.

        Raises:
            EngineFault: it refuses.
        """

    def unregister(self, picture: DevicePicture) -> None:
        """Forget a picture."""

    def write(self, picture: DevicePicture, pixels: NDArray[np.uint8]) -> None:
        """Let the GPU write a picture into mapped memory, u8[H, W, 3]; whole when this returns.

        Raises:
            EngineFault: it failed, or did not finish in time.
        """

    def close(self) -> None:
        """Give everything back."""


class NvmmWriter:
    """Has the GPU write each picture from the camera's buffer into the ring; the CPU touches none of it.

    A buffer of the camera's pool is registered when it first comes, and then known by its address.
    """

    memory: Literal["nvmm"] = "nvmm"

    def __init__(
        self,
        sample: Any,
        width_px: int,
        height_px: int,
        *,
        surfaces: SurfaceLibrary,
        make_pictures: Callable[[], DevicePictures],
    ) -> None:
        """Prepare for pictures like the one in ``sample``, and register it.

        Raises:
            NvmmFault: it does not lie in memory that can be registered.
            EngineFault: the GPU refuses it.
        """
        self._size_px = width_px, height_px
        self._surfaces = surfaces
        self._known: dict[tuple[int, int], DevicePicture] = {}
        self._mapped: list[Surface] = []
        self._pictures: DevicePictures | None = make_pictures()
        with ExitStack() as undo:
            undo.callback(self.close)
            self.picture(sample.get_buffer())
            undo.pop_all()

    @property
    def registered(self) -> int:
        """Number of registered buffers of the pool."""
        return len(self._known)

    def picture(self, buffer: Any) -> DevicePicture:
        """A buffer's picture in the GPU's address space, valid for as long as the buffer is held.

        Raises:
            NvmmFault: it does not lie in memory that can be registered.
            EngineFault: the GPU refuses it.
        """
        assert self._pictures is not None, "used after it was closed"
        with mapped(buffer) as (address, size):
            surface = self._surfaces.read(address, size, *self._size_px)
            known = self._known.get(surface.key)
            if known is not None:
                return known
            if surface.cuda_address is not None:
                picture = DevicePicture(surface.cuda_address, surface.pitch_bytes, *self._size_px)
            else:
                image, is_ours = self._surfaces.egl_image(surface)
                if is_ours:
                    self._mapped.append(surface)
                picture = self._pictures.register(image, *self._size_px)
            self._known[surface.key] = picture
        return picture

    def write(self, buffer: Any, pixels: NDArray[np.uint8]) -> None:
        """Let the GPU write a buffer's picture into ``pixels``, u8[H, W, 3] RGB; whole when this returns."""
        picture = self.picture(buffer)
        assert self._pictures is not None
        self._pictures.write(picture, pixels)

    def close(self, *, buffers_are_gone: bool = False) -> None:
        """Forget all buffers, before the camera gives them back, and the EGLImages that were made of them.

        Args:
            buffers_are_gone: the camera has freed them already, and with each its EGLImage: they are not touched.
        """
        pictures, self._pictures = self._pictures, None
        if pictures is None:
            return
        for picture in self._known.values():
            pictures.unregister(picture)
        self._known.clear()
        if not buffers_are_gone:
            for surface in self._mapped:
                self._surfaces.unmap(surface)
        self._mapped.clear()
        pictures.close()
