"""Freed memory goes back to the system."""

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_what_lies_below_a_used_block_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", FRAGMENTS], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 80e6
