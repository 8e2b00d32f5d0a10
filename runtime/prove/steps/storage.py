"""Storage: time until a sample is on the disk, and rate at which a clip is written."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path, PurePosixPath

import numpy as np

from tremorscope.runtime.doctor.machine import Machine
from tremorscope.runtime.doctor.storage import mount_of
from tremorscope.runtime.prove.outcome import Outcome, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan

_BLOCK = 4096
_LONGEST_S = 5.0
"""Longest flush that the store tolerates: a longer one would delay the records behind it."""
_LEAST_MB_S = 5.0
"""Least rate of writing; a clip of full HD needs less."""


def run(plan: ProvePlan, findings: StepFindings) -> Outcome:
    """Append and fsync small blocks in the store's directory, then write one large file."""
    directory = _directory(plan)
    findings.fact("directory", str(directory))
    mount = mount_of(Machine(), PurePosixPath(directory))
    findings.fact("file_system", mount[2] if mount else "unknown")
    blocks, large_mib = (20, 8) if plan.quick else (200, 128)
    with tempfile.NamedTemporaryFile(dir=directory, prefix=".tremorscope-prove-") as file:
        times_ms = []
        for _ in range(blocks):
            file.write(os.urandom(_BLOCK))
            file.flush()
            begun_s = time.perf_counter()
            os.fsync(file.fileno())
            times_ms.append(1e3 * (time.perf_counter() - begun_s))
    median_ms, p99_ms, most_ms = (float(each) for each in np.percentile(times_ms, (50, 99, 100)))
    findings.fact("fsync_median_ms", median_ms)
    findings.fact("fsync_p99_ms", p99_ms)
    findings.check(
        "longest fsync", f"{most_ms:.1f} ms", f"below {_LONGEST_S:g} s", holds=most_ms < 1e3 * _LONGEST_S
    )
    speed_mb_s = _speed(directory, large_mib)
    findings.check(
        "one large file",
        f"{speed_mb_s:.0f} MB/s",
        f"at least {_LEAST_MB_S:g} MB/s",
        holds=speed_mb_s >= _LEAST_MB_S,
    )
    return findings.outcome(
        f"fsync {median_ms:.2f} ms (median), {most_ms:.1f} ms at most; {speed_mb_s:.0f} MB/s"
    )


def _speed(directory: Path, mebibytes: int) -> float:
    """Rate in MB a second, the flush to the disk included."""
    block = os.urandom(2**20)
    with tempfile.NamedTemporaryFile(dir=directory, prefix=".tremorscope-prove-") as file:
        begun_s = time.perf_counter()
        for _ in range(mebibytes):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        return mebibytes * 2**20 / 1e6 / (time.perf_counter() - begun_s)


def _directory(plan: ProvePlan) -> Path:
    """The store's directory, if it exists and may be written; else that of the report."""
    configuration = plan.configuration()
    stated = configuration.store.directory if configuration else None
    here = Path(stated or os.environ.get("STATE_DIRECTORY", "").partition(":")[0] or plan.work)
    return here if here.is_dir() and os.access(here, os.W_OK) else plan.work
