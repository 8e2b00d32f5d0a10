"""Peak memory of a block of code: of this process, and of the system, whose memory the GPU of a Jetson shares."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tremorscope.runtime.bench.memory import peak_bytes, reset_peak
from tremorscope.runtime.host.kernel_files import meminfo

_EVERY_S = 0.05
_MIB = 2**20


@dataclass
class MemoryTaken:
    """Peak memory of a block, complete when the block has ended."""

    process_mib: float = 0.0
    """Peak resident memory of the process."""
    system_mib: float = 0.0
    """Largest fall of the system's available memory, caused by any process."""


@contextmanager
def memory_watched() -> Iterator[MemoryTaken]:
    """Measure the peak memory while the block runs."""
    taken, stop = MemoryTaken(), threading.Event()
    before = lowest = _available_bytes()

    def watch() -> None:
        nonlocal lowest
        while not stop.wait(_EVERY_S):
            lowest = min(lowest, _available_bytes())

    reset_peak()
    thread = threading.Thread(target=watch, name="memory", daemon=True)
    thread.start()
    try:
        yield taken
    finally:
        stop.set()
        thread.join()
        taken.process_mib = peak_bytes() / _MIB
        taken.system_mib = max(0, before - min(lowest, _available_bytes())) / _MIB


def _available_bytes() -> int:
    return meminfo().get("MemAvailable", 0)
