"""Does what CUDA's driver, Argus and TensorRT do to the system, and writes down what came of each.

    driver_calls.py RESULT

An errno's name stands for a refusal. System calls newer than 5.1 have one number on every processor.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import platform
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
PIDFD_GETFD = 438
PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}[platform.machine()]


def call(number: int, *arguments: object) -> None:
    """A system call by its number; raises OSError where it is refused."""
    ctypes.set_errno(0)
    if LIBC.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")


def mincore() -> None:
    """Whether a page of one's own is in memory."""
    page = mmap.mmap(-1, mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    ctypes.set_errno(0)
    if LIBC.mincore(ctypes.c_void_p(address), ctypes.c_size_t(mmap.PAGESIZE), ctypes.create_string_buffer(1)):
        raise OSError(ctypes.get_errno(), "refused")


def pidfd_getfd() -> None:
    """A file of another process, here of this one."""
    call(PIDFD_GETFD, os.pidfd_open(os.getpid()), 1, 0)


def perf_event_open() -> None:
    """A counter; without its description, which the kernel reads first of all."""
    call(PERF_EVENT_OPEN, None, 0, -1, -1, 0)


def write(path: str) -> Callable[[], object]:
    """Open for writing, and write."""
    return lambda: Path(path).write_text("tremorscope", encoding="ascii")


def connect() -> None:
    """As libargus does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as argus:
        argus.connect("/tmp/argus_socket")


def adjtimex() -> None:
    """Whether the clock is synchronised, by the C library."""
    ctypes.set_errno(0)
    if LIBC.adjtimex(ctypes.create_string_buffer(256)) < 0:
        raise OSError(ctypes.get_errno(), "refused")


ATTEMPTS: dict[str, Callable[[], object]] = {
    "mincore": mincore,
    "adjtimex": adjtimex,
    "pidfd_getfd": pidfd_getfd,
    "perf_event_open": perf_event_open,
    "memfd_create": lambda: os.memfd_create("cuda"),
    "memory that is written and run": lambda: mmap.mmap(
        -1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    ),
    "the name of a thread": lambda: write(f"/proc/self/task/{threading.get_native_id()}/comm")(),
    "what the processor is": lambda: Path("/proc/cpuinfo").read_bytes(),
    "which cores there are": lambda: Path("/sys/devices/system/cpu/possible").read_bytes(),
    "a setting of the kernel": lambda: os.open("/sys/kernel/mm/transparent_hugepage/enabled", os.O_WRONLY),
    "shared memory": write("/dev/shm/tremorscope"),
    "/dev/nvmap": write("/dev/nvmap"),
    "/dev/dri/renderD128": write("/dev/dri/renderD128"),
    "argus": connect,
    "cores of one's own": lambda: os.sched_setaffinity(0, os.sched_getaffinity(0)),
    "real-time scheduling": lambda: os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1)),
}


def outcome(attempt: Callable[[], object]) -> str:
    """``ok``, or by what it was refused."""
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "ok"


if __name__ == "__main__":
    found = {name: outcome(attempt) for name, attempt in ATTEMPTS.items()}
    Path(sys.argv[1]).write_text(json.dumps(found), encoding="ascii")
