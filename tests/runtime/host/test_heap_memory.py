"""Freed memory goes back to the system, once in a while and not with every block."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FRAGMENTS = """
from tremorscope.runtime.host.threads import release_freed_memory
from tremorscope.runtime.telemetry.load import resident_bytes

blocks = [b"x" * 100_000 for _ in range(1000)]
last = blocks.pop()
blocks.clear()
held = resident_bytes()
release_freed_memory()
print(held - resident_bytes())
"""

BLOCKS = """
import resource

import numpy as np

from tremorscope.runtime.host.threads import share_arenas

share_arenas()
for turn in range(1000):
    if turn == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = np.empty(1_000_000, np.uint8)
    block[::4096] = 1
    del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def printed_by(program: str) -> int:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_what_lies_below_a_used_block_is_given_back() -> None:
    assert printed_by(FRAGMENTS) > 80e6


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_blocks_that_come_with_every_frame_keep_their_pages() -> None:
    assert printed_by(BLOCKS) < 1000  # page faults of 990 blocks of 244 pages
