"""The health board: one picture, true at the moment at which it is asked for."""

from __future__ import annotations

import pytest

from tremorscope.runtime.health import CameraHealth, HealthBoard
from tremorscope.runtime.vibration.monitoring.alarms import AlarmRule, AlarmStatus


class Clock:
    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def test_ages_while_nothing_happens() -> None:
    steady, unix = Clock(100.0), Clock(1_700_000_000.0)
    board = HealthBoard("mast", version="1", clock=steady, unix_clock=unix)
    before = board.snapshot()
    assert (before.ready, before.last_frame_age_s, before.frames, before.uptime_s) == (False, None, 0, 0.0)
    steady.now_s, unix.now_s = 105.0, 1_700_000_005.0
    board.frame_processed(1)
    steady.now_s, unix.now_s = 107.5, 1_700_000_007.5
    after = board.snapshot()
    assert (after.ready, after.last_frame_age_s, after.frames, after.uptime_s) == (True, 2.5, 1, 7.5)
    assert (after.name, after.started_s, after.time_s) == ("mast", 1_700_000_000.0, 1_700_000_007.5)


def test_takes_fields_by_name_and_no_others() -> None:
    board = HealthBoard()
    board.update(camera=CameraHealth(status="running", nominal_rate_hz=50.0, drops={"late": 2, "source": 3}))
    found = board.snapshot()
    assert (found.camera.dropped, found.period_s) == (5, 0.02)
    with pytest.raises(TypeError):
        board.update(camra=CameraHealth())


def test_keeps_each_output_apart() -> None:
    board = HealthBoard()
    board.update_output("mqtt", "no route to host")
    board.update_output("web", "")
    found = board.snapshot()
    assert found.outputs == {"mqtt": "no route to host", "web": ""}


def test_names_the_alarms_that_are_raised() -> None:
    def status(name: str, phase: str) -> AlarmStatus:
        return AlarmStatus(AlarmRule(name, "r", "rms", 1, 1), phase, None, None, None, None)  # type: ignore[arg-type]

    board = HealthBoard()
    board.update(
        alarms=(
            status("a", "normal"), status("b", "raised"), status("c", "pending"), status("d", "clearing"),
        )
    )  # fmt: skip
    assert [each.rule.name for each in board.snapshot().raised] == ["b", "d"]
