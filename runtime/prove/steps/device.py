"""The device: versions and board, to which all other results belong, and the doctor's findings; the clock, which
must be set, run evenly and be synchronised; storage, until a sample is on the disk and a clip written.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath

import numpy as np

from tremorscope.runtime.doctor.board import is_jetson, jetpack, l4t_release
from tremorscope.runtime.doctor.examination import examine
from tremorscope.runtime.doctor.memory_and_disks import mount_of
from tremorscope.runtime.doctor.probe import Machine, Needs, needs_of
from tremorscope.runtime.doctor.system import clock
from tremorscope.runtime.gpu.device import read_device
from tremorscope.runtime.prove.outcome import Fact, Outcome, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan

_DISTRIBUTIONS = (
    "tremorscope",
    "numpy",
    "scipy",
    "av",
    "onnxruntime",
    "tensorrt",
    "pycuda",
    "cuda-bindings",
    "jetson-stats",
)


def run_machine(plan: ProvePlan, findings: StepFindings) -> Outcome:
    """Add all versions, and check that nothing that the device needs is at fault."""
    machine = Machine()
    device, available_bytes = read_device()
    release = l4t_release(machine)
    facts: dict[str, Fact] = {
        "board": machine.text("/proc/device-tree/model") or f"a computer of type {device.machine}",
        "jetson": is_jetson(machine),
        "jetson_linux": release,
        "jetpack": jetpack(machine, release) if release else None,
        "gpu": device.gpu,
        "compute_capability": device.compute_capability,
        "cuda": device.cuda,
        "power_mode": device.power_mode,
        "memory_available_mib": available_bytes // 2**20,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "isolated": bool(sys.flags.isolated),
    }
    for name, value in facts.items():
        findings.fact(name, value)
    for distribution in _DISTRIBUTIONS:
        findings.fact(f"version_{distribution}", _version(distribution))
    configuration = plan.configuration()
    examined = examine(machine, needs_of(configuration) if configuration else Needs())
    findings.table(
        "What the doctor found",
        ["thing", "state", "found", "what mends it"],
        [[each.name, each.state, each.found, each.command] for each in examined.findings],
    )
    for each in examined.findings:
        if each.needed and each.is_amiss:
            findings.check(f"doctor, {each.name}", each.found, "nothing amiss that is needed", holds=False)
    findings.check(
        "doctor", "can run" if examined.can_run else "cannot run", "can run", holds=examined.can_run
    )
    return findings.outcome(examined.device)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


_FIRST_YEAR = 2025
"""Earliest plausible year: a device without a battery starts in 1970, or in the year of its system's image."""
_LARGEST_DRIFT_PPM = 500.0
"""Largest rate correction that the kernel allows a time server (adjtimex)."""


def run_clock(plan: ProvePlan, findings: StepFindings) -> Outcome:
    """Compare the real-time clock, which stamps alarms, with the monotonic one."""
    year = datetime.now(timezone.utc).year
    findings.check("year", year, f"{_FIRST_YEAR} or later", holds=year >= _FIRST_YEAR)
    kept = clock(Machine())
    findings.fact("kept_right_by", kept.found)
    if kept.is_amiss:
        findings.fact("what_mends_it", kept.command)
    seconds = 0.5 if plan.quick else 5.0
    before, begun_s = _offset_s(), time.monotonic()
    last_s, backwards = begun_s, 0
    while (now_s := time.monotonic()) - begun_s < seconds:
        backwards += now_s < last_s
        last_s = now_s
        time.sleep(0.001)
    after, elapsed_s = _offset_s(), time.monotonic() - begun_s
    drift_ppm = 1e6 * (after[0] - before[0]) / elapsed_s
    findings.check("monotonic clock went back", backwards, 0, holds=backwards == 0)
    allowed_ppm = _LARGEST_DRIFT_PPM + 1e6 * (before[1] + after[1]) / elapsed_s
    findings.check(
        "Unix time against it",
        f"{drift_ppm:+.0f} ppm",
        f"within {allowed_ppm:.0f} ppm",
        holds=abs(drift_ppm) <= allowed_ppm,
    )
    return findings.outcome(f"{kept.found}; Unix time {drift_ppm:+.0f} ppm against the monotonic clock")


def _offset_s() -> tuple[float, float]:
    """Unix time minus the monotonic clock, and its uncertainty: the quickest of many readings."""
    readings = []
    for _ in range(50):
        first_s, unix_s, second_s = time.monotonic(), time.time(), time.monotonic()
        readings.append((second_s - first_s, unix_s - (first_s + second_s) / 2))
    unsure_s, offset_s = min(readings)
    return offset_s, unsure_s


_BLOCK = 4096
_LONGEST_S = 5.0
"""Longest flush that the store tolerates: a longer one would delay the records behind it."""
_LEAST_MB_S = 5.0
"""Least rate of writing; a clip of full HD needs less."""


def run_storage(plan: ProvePlan, findings: StepFindings) -> Outcome:
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
