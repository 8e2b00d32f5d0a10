"""The device that an engine is bound to: GPU, driver, L4T release, power mode; and the memory that is free.

The GPU is asked through the driver's own library, which is there wherever a GPU is, so that building needs
nothing else. Facts that a machine does not have are None.
"""

from __future__ import annotations

import ctypes
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from tremorscope.runtime.host.files import kernel_text, l4t_release, meminfo, power_mode_number

CUDA_DRIVER = "libcuda.so.1"

# CUdevice_attribute of the CUDA driver API.
_SM_COUNT, _INTEGRATED, _CAPABILITY_MAJOR, _CAPABILITY_MINOR = 16, 18, 75, 76
_TOOLKIT = "usr/local/cuda/version.json"


@dataclass(frozen=True)
class Device:
    """The machine that builds or runs an engine."""

    machine: str
    """Architecture, e.g. ``aarch64``."""
    gpu: str | None
    """Name of the GPU, e.g. ``Orin``."""
    compute_capability: str | None
    """Compute capability of the GPU, e.g. ``8.7``, also written SM 87."""
    cuda: str | None
    """The CUDA version of the driver, e.g. ``12.6``."""
    l4t: str | None
    """Release of Jetson Linux, e.g. ``36.4.3``; None where there is none."""
    power_mode: str | None
    """Number of the power mode that ``nvpmodel`` set."""
    sm_count: int | None = None
    """Multiprocessors of the GPU: all Orins have one name and one compute capability, and Nano, NX and AGX differ here
    (4 to 8, 8 and 14 to 16)."""
    cuda_toolkit: str | None = None
    """The CUDA libraries that are installed beside the driver, e.g. ``12.6.68``."""


@dataclass(frozen=True)
class _Gpu:
    name: str
    compute_capability: str
    sm_count: int
    cuda: str
    free_bytes: int | None
    """None where the GPU shares the system's memory."""


def read_device(root: Path = Path("/"), cuda_driver: str = CUDA_DRIVER) -> tuple[Device, int]:
    """The machine, and the bytes of memory that an engine could have.

    Args:
        root: where the system's files are.
        cuda_driver: the driver's library.
    """
    gpu, mode = _read_gpu(cuda_driver), power_mode_number(root)
    device = Device(
        machine=platform.machine(),
        gpu=gpu.name if gpu else None,
        compute_capability=gpu.compute_capability if gpu else None,
        cuda=gpu.cuda if gpu else None,
        l4t=l4t_release(root),
        power_mode=None if mode is None else str(mode),
        sm_count=gpu.sm_count if gpu else None,
        cuda_toolkit=_toolkit(kernel_text(root / _TOOLKIT)),
    )
    if gpu is not None and gpu.free_bytes is not None:
        return device, gpu.free_bytes
    return device, meminfo(root).get("MemAvailable", 0)


def _toolkit(text: str) -> str | None:
    """From ``{"cuda": {"name": "CUDA SDK", "version": "12.6.11"}, ...}``."""
    found = re.search(r'"cuda"\s*:\s*\{[^}]*"version"\s*:\s*"([\d.]+)"', text)
    return found[1] if found else None


def _read_gpu(cuda_driver: str) -> _Gpu | None:
    """The first GPU; None where there is no driver or no GPU."""
    try:
        cuda = ctypes.CDLL(cuda_driver)
    except OSError:
        return None
    device, version = ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    if (
        cuda.cuInit(0)
        or cuda.cuDeviceGet(ctypes.byref(device), 0)
        or cuda.cuDeviceGetName(name, len(name), device)
        or cuda.cuDriverGetVersion(ctypes.byref(version))
    ):
        return None
    major, minor, integrated, sm_count = (
        _attribute(cuda, device, which)
        for which in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR, _INTEGRATED, _SM_COUNT)
    )
    return _Gpu(
        name=name.value.decode("utf-8", "replace"),
        compute_capability=f"{major}.{minor}",
        sm_count=sm_count,
        cuda=f"{version.value // 1000}.{version.value % 1000 // 10}",
        free_bytes=None if integrated else _free_on_gpu(cuda, device),
    )


def _attribute(cuda: ctypes.CDLL, device: ctypes.c_int, which: int) -> int:
    value = ctypes.c_int()
    cuda.cuDeviceGetAttribute(ctypes.byref(value), which, device)
    return value.value


def _free_on_gpu(cuda: ctypes.CDLL, device: ctypes.c_int) -> int:
    """Bytes free on a GPU with memory of its own; 0 where it would not tell."""
    context, free, total = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()
    if cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
        return 0
    try:
        cuda.cuCtxPushCurrent_v2(context)
        cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
        cuda.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
    finally:
        cuda.cuDevicePrimaryCtxRelease_v2(device)
    return free.value
