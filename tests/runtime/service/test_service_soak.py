"""The service for minutes or hours, where TREMORSCOPE_SOAK_S says for how long; see tests/soak.py."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from soak import Sample, judge, soak

SECONDS = float(os.environ.get("TREMORSCOPE_SOAK_S", "0"))


@pytest.mark.skipif(not SECONDS, reason="takes as long as TREMORSCOPE_SOAK_S says, in seconds")
def test_stays_as_it_is(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    verdict, _ = soak(SECONDS, tmp_path, port, warm_up_s=min(300.0, SECONDS / 2))
    print(verdict)
    assert verdict.faults == []


def sample(at_s: float, **changes: float) -> Sample:
    metrics = {
        "tremorscope_frames_total": 29 * at_s,
        "tremorscope_drops_total": at_s,
        "tremorscope_camera_frames_total": 30 * at_s,
        "tremorscope_magnified_frames_total": at_s,
        "tremorscope_camera_openings_total": 1.0,
    }
    fields = {"rss_bytes": 4e8, "threads": 20, "files": 30, "cpu_s": 0.2 * at_s} | changes
    process = {name: fields.pop(name) for name in ("rss_bytes", "threads", "files", "cpu_s")}
    return Sample(at_s, metrics=metrics | fields, **process)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, ""),
        ({"rss_bytes": lambda t: 4e8 + 1e4 * t}, "memory grew"),
        ({"rss_bytes": lambda t: 4e8 + 1e3 * t}, ""),
        ({"threads": lambda t: 20 + t // 300}, "threads rose"),
        ({"files": lambda t: 30 + t // 100}, "open files rose"),
        ({"tremorscope_store_records_pending": lambda t: t}, "records waited"),
        ({"tremorscope_drops_total": lambda t: 0.5 * t}, "unaccounted"),
        ({"tremorscope_magnified_frames_total": lambda t: 0 * t}, "nothing was magnified"),
    ],
)
def test_the_judge_notices(changes: dict[str, object], fault: str) -> None:
    """Each of these must be found, or a green soak would mean nothing."""
    samples = [
        sample(5.0 * n, **{name: value(5.0 * n) for name, value in changes.items()})  # type: ignore[operator]
        for n in range(400)
    ]
    faults = judge(samples, warm_up_s=200.0).faults
    assert len(faults) == bool(fault)
    assert all(fault in each for each in faults)
