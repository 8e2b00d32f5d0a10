"""NVIDIA's memory without NVIDIA: a library that the test compiles, its pool of surfaces, and a GPU that is the CPU."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections import deque
from ctypes import CFUNCTYPE, c_int, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tremorscope.runtime.cameras.gstreamer.load import load_gstreamer
from tremorscope.runtime.cameras.gstreamer.memory import _library, pointer_to
from tremorscope.runtime.errors import EngineFault
from tremorscope.runtime.gpu.egl import DevicePicture
from tremorscope.runtime.gpu.protocol import Gpu

L4T = {"L4T 36": 0, "L4T 39": 32}
"""Bytes that were added at the end of NvBufSurfaceParams."""
SURFACE_ARRAY, CUDA_DEVICE = 4, 2
_NOTIFY = CFUNCTYPE(None, c_void_p)
_KEPT: list[Any] = []
"""What GStreamer may call until the end of the process, when it lets go of the last buffer."""


def compile_library(directory: Path, l4t: str) -> Path:
    """The stand-in for libnvbufsurface.so; skips where there is no compiler."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs gcc")
    made = directory / f"libnvbufsurface-{L4T[l4t]}.so"
    source = Path(__file__).with_name("nvbufsurface.c")
    later = [f"-DLATER={L4T[l4t]}"] if L4T[l4t] else []
    command = [compiler, "-shared", "-fPIC", "-Wall", "-Werror", *later, "-o", str(made), str(source)]
    subprocess.run(command, check=True)
    return made


class FakeSurfaces:
    """A pool of surfaces, as nvvidconv has one: a surface is filled anew only when its buffer was let go."""

    def __init__(
        self, path: Path, *, count: int = 12, mem_type: int = SURFACE_ARRAY, slack_bytes: int = 64
    ) -> None:
        self.path = path
        self.library = ctypes.CDLL(str(path))
        self.library.fake_make.restype = self.library.fake_pixels.restype = c_void_p
        self.library.fake_make.argtypes = [c_uint32, c_uint32, c_uint32, c_int, c_uint64, c_int]
        self.library.fake_pixels.argtypes = [c_void_p]
        self._count, self._mem_type, self._slack = count, mem_type, slack_bytes
        self.batch = 1
        self.lie_px = 0
        self._free: deque[int] = deque()
        self._made: list[int] = []
        self._attached: dict[int, Any] = {}
        _KEPT.append(self._attached)
        self.starved = 0

    @property
    def held(self) -> int:
        """Surfaces whose buffers somebody holds."""
        return len(self._made) - len(self._free)

    def buffer(self, rgba: NDArray[np.uint8]) -> Any:
        """A GstBuffer whose memory is the NvBufSurface of a surface that holds this picture."""
        height, width = rgba.shape[:2]
        pitch = 4 * width + self._slack
        if not self._made:
            for n in range(self._count):
                made = self.library.fake_make(
                    width + self.lie_px, height, pitch, self._mem_type, 100 + n, self.batch
                )
                self._made.append(made)
                self._free.append(made)
        if not self._free:
            self.starved += 1
            raise RuntimeError("the pool is empty: somebody holds every buffer")
        surface = self._free.popleft()
        pixels = _view(self.library.fake_pixels(surface), height, width, pitch)
        pixels[:] = rgba
        made = _wrapped(surface, 24 + 8 + 32)
        self._free_when_let_go(made, surface)
        return made

    def _free_when_let_go(self, buffer: Any, surface: int) -> None:
        core = _library("gstreamer-1.0")
        core.gst_mini_object_set_qdata.argtypes = [c_void_p, c_uint32, c_void_p, c_void_p]
        core.gst_mini_object_set_qdata.restype = None
        quark = _library("glib-2.0").g_quark_from_string(b"FakeSurface")
        free = self._free
        notify = self._attached.setdefault(surface, _NOTIFY(lambda _: free.append(surface)))
        core.gst_mini_object_set_qdata(
            pointer_to(buffer), quark, surface, ctypes.cast(notify, c_void_p).value
        )


def _wrapped(address: int, nbytes: int) -> Any:
    """A GstBuffer on memory that is there already, as NVIDIA's allocator makes them: mapped, it is the surface."""
    core = _library("gstreamer-1.0")
    core.gst_memory_new_wrapped.restype = c_void_p
    core.gst_memory_new_wrapped.argtypes = [c_int, c_void_p, *[ctypes.c_size_t] * 3, c_void_p, c_void_p]
    core.gst_buffer_append_memory.restype = None
    core.gst_buffer_append_memory.argtypes = [c_void_p, c_void_p]
    memory = core.gst_memory_new_wrapped(0, address, nbytes, 0, nbytes, None, None)
    made = load_gstreamer().Buffer.new()
    core.gst_buffer_append_memory(pointer_to(made), memory)
    return made


class HostPictures:
    """`EglPictures` where the CPU plays the GPU: it reads a surface only through its EGLImage."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        self.registered: list[int] = []
        self.unregistered = 0
        self.written = 0
        self.refuses = False
        self.closed = False

    def register(self, egl_image: int, width_px: int, height_px: int) -> DevicePicture:
        if self.refuses:
            raise EngineFault("the GPU refused to register the camera's buffer", remedy="use memory: copy")
        self.registered.append(egl_image)
        address = c_void_p.from_address(egl_image).value
        pitch, width, height = (c_uint32 * 3).from_address(egl_image + ctypes.sizeof(c_void_p))
        assert (width, height) == (width_px, height_px)
        assert address is not None
        return DevicePicture(address, pitch, width_px, height_px, resource=egl_image)

    def unregister(self, picture: DevicePicture) -> None:
        self.unregistered += picture.resource is not None
        if picture.resource is not None:  # an EGLImage must last for as long as it is registered
            assert c_void_p.from_address(picture.resource).value == picture.address

    def write(self, picture: DevicePicture, pixels: NDArray[np.uint8]) -> None:
        self.gpu.device_address(pixels)  # a slot that is not mapped is no place to write to
        pixels[:] = read(picture)[..., :3]
        self.written += 1

    def close(self) -> None:
        self.closed = True


def read(shown: DevicePicture) -> NDArray[np.uint8]:
    """A picture, u8[H, W, 4], where it lies."""
    return _view(shown.address, shown.height_px, shown.width_px, shown.pitch_bytes)


def _view(address: int, height: int, width: int, pitch: int) -> NDArray[np.uint8]:
    rows = np.ctypeslib.as_array((ctypes.c_uint8 * (height * pitch)).from_address(address))
    return rows.reshape(height, pitch)[:, : 4 * width].reshape(height, width, 4)
