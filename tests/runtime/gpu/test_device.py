"""What is read of a device, from a system's files and a driver that are made for the test."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from tremorscope.runtime.gpu.device import read_device

GIB = 1 << 30

DRIVER = """
#include <stddef.h>
#include <string.h>
static int context;
int cuInit(unsigned flags) { return %(init)s; }
int cuDeviceGet(int *device, int ordinal) { *device = 7; return 0; }
int cuDeviceGetName(char *name, int length, int device) { strncpy(name, "%(name)s", length); return device != 7; }
int cuDriverGetVersion(int *version) { *version = 12060; return 0; }
int cuDeviceGetAttribute(int *value, int which, int device)
{ *value = which == 75 ? 8 : which == 76 ? 7 : which == 18 ? %(integrated)s : which == 16 ? 8 : -1;
  return device != 7; }
int cuDevicePrimaryCtxRetain(void **made, int device) { *made = &context; return device != 7; }
int cuDevicePrimaryCtxRelease_v2(int device) { return device != 7; }
int cuCtxPushCurrent_v2(void *pushed) { return pushed != &context; }
int cuCtxPopCurrent_v2(void **popped) { *popped = &context; return 0; }
int cuMemGetInfo_v2(size_t *free, size_t *total) { *free = 5ull << 30; *total = 8ull << 30; return 0; }
"""


def driver(directory: Path, *, init: int = 0, name: str = "Orin", integrated: int = 1) -> str:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    source, library = directory / "cuda.c", directory / "libcuda-stand-in.so"
    source.write_text(DRIVER % {"init": init, "name": name, "integrated": integrated})
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return str(library)


@pytest.fixture
def jetson(tmp_path: Path) -> Path:
    files = {
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
        "var/lib/nvpmodel/status": "pmode:0002 fmode:fanNull\n",
        "usr/local/cuda/version.json": '{"cuda": {"name": "CUDA SDK", "version": "12.6.11"}}',
        "proc/meminfo": "MemTotal:        7802808 kB\nMemFree:          301204 kB\nMemAvailable:    3145728 kB\n",
    }
    for name, content in files.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path / "root"


def test_a_jetson_shares_its_memory_with_the_gpu(jetson: Path, tmp_path: Path) -> None:
    device, free_bytes = read_device(jetson, driver(tmp_path))
    assert (device.gpu, device.compute_capability, device.cuda) == ("Orin", "8.7", "12.6")
    assert (device.sm_count, device.cuda_toolkit) == (8, "12.6.11")
    assert (device.l4t, device.power_mode, device.machine) == ("36.4.3", "2", platform.machine())
    assert free_bytes == 3 * GIB  # what is available, not what is free: the page cache gives way


def test_a_workstation_has_the_memory_of_its_gpu(tmp_path: Path) -> None:
    device, free_bytes = read_device(tmp_path, driver(tmp_path, name="RTX 4090", integrated=0))
    assert device.gpu == "RTX 4090"
    assert free_bytes == 5 * GIB
    assert (device.l4t, device.power_mode) == (None, None)


def test_a_driver_without_a_gpu_is_none(jetson: Path, tmp_path: Path) -> None:
    device, free_bytes = read_device(jetson, driver(tmp_path, init=100))
    assert (device.gpu, device.compute_capability, device.cuda) == (None, None, None)
    assert free_bytes == 3 * GIB


def test_without_a_driver_the_system_alone_is_read(jetson: Path) -> None:
    device, free_bytes = read_device(jetson, "libcuda-that-is-not-there.so")
    assert device.gpu is None
    assert device.l4t == "36.4.3"
    assert free_bytes == 3 * GIB


def test_files_that_say_nothing_are_no_facts(jetson: Path) -> None:
    for name in (
        "etc/nv_tegra_release",
        "var/lib/nvpmodel/status",
        "proc/meminfo",
        "usr/local/cuda/version.json",
    ):
        (jetson / name).write_bytes(b"\xff\xfe nothing")
    device, free_bytes = read_device(jetson, "libcuda-that-is-not-there.so")
    assert (device.l4t, device.power_mode, device.cuda_toolkit, free_bytes) == (None, None, None, 0)


def test_this_machine_is_read() -> None:
    device, free_bytes = read_device()
    assert device.machine == platform.machine()
    assert free_bytes > 0
