"""Peak memory of a block of code: of this process, and of the system, whose memory the GPU of a Jetson shares."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tremorscope.runtime.bench.memory import peak_bytes, reset_peak

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
    before = lowest = available_bytes()

    def watch() -> None:
        nonlocal lowest
        while not stop.wait(_EVERY_S):
            lowest = min(lowest, available_bytes())

    reset_peak()
    thread = threading.Thread(target=watch, name="memory", daemon=True)
    thread.start()
    try:
        yield taken
    finally:
        stop.set()
        thread.join()
        taken.process_mib = peak_bytes() / _MIB
        taken.system_mib = max(0, before - min(lowest, available_bytes())) / _MIB


def available_bytes() -> int:
    """Memory that is available to programs at present."""
    found = re.search(
        r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"), re.MULTILINE
    )
    return int(found[1]) * 1024 if found else 0
