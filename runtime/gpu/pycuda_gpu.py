"""The protocol of `runtime.gpu.protocol` by PyCUDA, on the first GPU's primary context, which TensorRT uses too.

This is the one module that imports PyCUDA. A context is current in one thread at a time and PyCUDA frees nothing
from a thread in which it is not, so that everything here is made, used and freed within ``PycudaGpu.current``.

Memory is mapped by ``cuMemHostAlloc`` with DEVICEMAP. The context flag MAP_HOST, which that once needed, has had no
effect since CUDA 11.0: "all contexts as of CUDA 3.2 behave as though the flag is enabled" (cuda.h).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.errors import EngineFault
from tremorscope.runtime.frames.buffers import Allocator
from tremorscope.runtime.frames.ring import LeaseError
from tremorscope.runtime.gpu.cuda_bindings import load_capture
from tremorscope.runtime.gpu.device import CUDA_DRIVER
from tremorscope.runtime.gpu.mapped import MappedBlocks, Mapping
from tremorscope.runtime.gpu.protocol import CudaEvent, CudaGraph, DeviceMemory, GpuInfo, Stream

INSTALL_PYCUDA = "pip install 'tremorscope[jetson]', which compiles PyCUDA against JetPack's CUDA"
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: in no order with the default stream, which others may use
_RESTART = "restart the service; if it comes again, look for the GPU's own messages with dmesg"


def load_pycuda() -> Any:
    """PyCUDA's driver module, imported without touching a GPU.

    Raises:
        EngineFault: it is not installed or cannot be loaded.
    """
    try:
        import pycuda.driver as drv
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pycuda":
            raise
        raise EngineFault("PyCUDA is not installed", remedy=INSTALL_PYCUDA) from None
    except ImportError as error:
        raise EngineFault(f"PyCUDA cannot be loaded ({error})", remedy=INSTALL_PYCUDA) from None
    return drv


def open_gpu() -> PycudaGpu:
    """The first GPU of the machine.

    Raises:
        EngineFault: PyCUDA is not installed or cannot be loaded, or there is no GPU.
    """
    drv = load_pycuda()
    try:
        drv.init()
        return PycudaGpu(drv, drv.Device(0))
    except drv.Error as error:
        raise EngineFault(
            f"no GPU answers ({_one_line(error)})", remedy="check that the NVIDIA driver is loaded"
        ) from None


class _Stream:
    def __init__(self, drv: Any) -> None:
        self.made: Any = drv.Stream(_NON_BLOCKING)
        self.handle = int(self.made.handle)

    def free(self) -> None:
        self.made = None  # PyCUDA gives back what nothing refers to


class _Event:
    def __init__(self, drv: Any) -> None:
        self._made: Any = drv.Event()

    def record(self, stream: Stream) -> None:
        self._made.record(cast("_Stream", stream).made)

    def done(self) -> bool:
        return bool(self._made.query())

    def ms_since(self, earlier: CudaEvent) -> float:
        return float(self._made.time_since(cast("_Event", earlier)._made))

    def free(self) -> None:
        self._made = None


class _DeviceMemory:
    def __init__(self, drv: Any, nbytes: int) -> None:
        self._made = drv.mem_alloc(nbytes)
        self.address = int(self._made)
        self.nbytes = nbytes

    def free(self) -> None:
        self._made.free()


class PycudaGpu:
    """A GPU: see `runtime.gpu.protocol.Gpu`."""

    def __init__(self, drv: Any, device: Any) -> None:
        """Retain the primary context of a device.

        Raises:
            pycuda.driver.Error: the driver refuses.
        """
        self._drv = drv
        self._context: Any = device.retain_primary_context()
        self._mapped = MappedBlocks(self._obtain)
        self._info = _describe(drv, device)
        self._capture = load_capture()

    @property
    def info(self) -> GpuInfo:
        """Properties of the GPU."""
        return self._info

    @property
    def captures(self) -> bool:
        """True where cuda-bindings, which capture graphs, are installed."""
        return self._capture is not None

    @property
    def allocate_mapped(self) -> Allocator:
        """Allocator of page-locked memory that CPU and GPU both see."""
        return self._allocate

    @property
    def mapped_nbytes(self) -> int:
        """Bytes of mapped memory at present."""
        return self._mapped.nbytes

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the GPU's context current in this thread.

        Raises:
            EngineFault: the driver reports an error of anything done within.
            MemoryError: it has no room.
        """
        if self._context is None:
            raise LeaseError("the GPU was used after it had been given back")
        try:
            self._context.push()
            try:
                yield
            finally:
                self._context.pop()
        except self._drv.MemoryError as error:
            raise MemoryError(f"the GPU has no room ({_one_line(error)})") from None
        except self._drv.Error as error:
            raise EngineFault(f"the GPU failed ({_one_line(error)})", remedy=_RESTART) from None

    def free_bytes(self) -> int:
        """Bytes that are free on the GPU."""
        free, _ = self._drv.mem_get_info()
        return int(free)

    def find(self, array: NDArray[Any]) -> int | None:
        """Device address of a contiguous array; None where it lies outside of mapped memory."""
        return self._mapped.find(array)

    def device_address(self, array: NDArray[Any]) -> int:
        """Device address of a contiguous array in mapped memory."""
        return self._mapped.device_address(array)

    def allocate_device(self, nbytes: int) -> DeviceMemory:
        """Device memory; see `runtime.gpu.protocol.Gpu.allocate_device`."""
        return _DeviceMemory(self._drv, nbytes)

    def zero(self, memory: DeviceMemory, stream: Stream) -> None:
        """Fill with zeros, in the stream's order."""
        self._drv.memset_d8_async(memory.address, 0, memory.nbytes, cast("_Stream", stream).made)

    def upload(self, array: NDArray[Any], memory: DeviceMemory) -> None:
        """Copy a contiguous array to the GPU."""
        self._drv.memcpy_htod(memory.address, array)

    def send(self, array: NDArray[Any], memory: DeviceMemory, stream: Stream) -> None:
        """Copy a contiguous array of mapped memory to the GPU, in the stream's order."""
        self._drv.memcpy_htod_async(memory.address, array, cast("_Stream", stream).made)

    def fetch_picture(
        self, device_address: int, pitch_bytes: int, picture: NDArray[np.uint8], stream: Stream
    ) -> None:
        """Let the GPU copy a picture from device memory into mapped memory."""
        row_bytes = picture[0].nbytes
        copy = self._drv.Memcpy2D()
        copy.set_src_device(device_address)
        copy.set_dst_device(self.device_address(picture))
        copy.src_pitch, copy.dst_pitch = pitch_bytes, row_bytes
        copy.width_in_bytes, copy.height = row_bytes, picture.shape[0]
        copy(cast("_Stream", stream).made)

    def stream(self) -> Stream:
        """New stream, independent of all others."""
        return _Stream(self._drv)

    def event(self) -> CudaEvent:
        """New event."""
        return _Event(self._drv)

    def capture(self, stream: Stream, work: Callable[[], None]) -> CudaGraph:
        """Capture the work that ``work`` puts into the stream as a graph."""
        if self._capture is None:
            raise NotImplementedError("there are no graphs without cuda-bindings: see captures")
        return self._capture(stream, work)

    def close(self) -> None:
        """Free memory and context.

        Raises:
            LeaseError: mapped memory is in use still; the context stays with it.
        """
        if self._context is None:
            return
        with self.current():
            self._mapped.close()
        context, self._context = self._context, None
        _release(context)

    def _allocate(self, nbytes: int) -> NDArray[np.uint8]:
        with self.current():
            return self._mapped.allocate(nbytes)

    def _obtain(self, nbytes: int) -> Mapping:
        drv = self._drv
        # Kept by its mapping: were it left to the garbage collector, it would be freed in any thread.
        array = drv.pagelocked_empty(nbytes, np.uint8, mem_flags=drv.host_alloc_flags.DEVICEMAP)
        locked = array.base
        return Mapping(array.ctypes.data, int(locked.get_device_pointer()), locked.free)


def _release(context: Any) -> None:
    # PyCUDA releases a primary context that it takes for current, but leaves it on the thread's stack in the driver.
    context.push()
    ctypes.CDLL(CUDA_DRIVER).cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
    context.detach()


def _describe(drv: Any, device: Any) -> GpuInfo:
    version = int(drv.get_driver_version())
    major, minor = device.compute_capability()
    return GpuInfo(
        name=str(device.name()),
        compute_capability=f"{major}.{minor}",
        driver_cuda=f"{version // 1000}.{version % 1000 // 10}",
        total_bytes=int(device.total_memory()),
        integrated=bool(device.get_attribute(drv.device_attribute.INTEGRATED)),
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
