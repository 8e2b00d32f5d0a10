"""Pictures that stay where a CSI camera's hardware wrote them, and are read there by the GPU: no copy by the CPU."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.cameras.gstreamer.memory import mapped
from tremorscope.runtime.cameras.gstreamer.nvbufsurface import Surface, SurfaceLibrary
from tremorscope.runtime.gpu.egl import DevicePicture


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
