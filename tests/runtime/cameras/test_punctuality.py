"""Frames lost at the camera are told from those that this device fetched too late."""

from __future__ import annotations

import pytest

from tremorscope.runtime.cameras.supervision.faults import FaultLog
from tremorscope.runtime.cameras.supervision.intake import Intake
from tremorscope.runtime.cameras.supervision.settings import SupervisorSettings
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.frames.ring import LeasingRing

PERIOD_S = 1 / 30


def counted(arrivals: list[tuple[int, float]], *, knows: bool = True) -> tuple[int, int]:
    """Lost at the source and unfetched, after frames given as number and age on arrival in periods."""
    settings = SupervisorSettings(most_waiting=1)
    ring = LeasingRing(4, width_px=16, height_px=16)
    intake = Intake(ring, settings, FaultLog())
    intake.reopen(1 / PERIOD_S, 0.0)
    lease = ring.acquire("camera")
    for number, age in arrivals:
        captured_s = number * PERIOD_S
        info = FrameInfo(number, captured_s, captured_s=captured_s if knows else None)
        assert lease is not None
        lease = intake.take_over(lease, info, captured_s + age * PERIOD_S)
    assert lease is not None
    lease.release()
    return intake.drops.source, intake.drops.unfetched


def test_a_gap_among_punctual_frames_is_the_cameras() -> None:
    steady = [(number, 2.0 + 0.3 * (number % 3)) for number in range(60)]
    assert counted([*steady, *((number, 2.2) for number in range(65, 80))]) == (5, 0)


@pytest.mark.parametrize("deep", [1, 4])
def test_a_gap_after_frames_that_waited_is_this_devices(deep: int) -> None:
    """Nobody fetches for ten periods: ``deep`` frames wait in the source's buffers, and those after them are lost."""
    waited = [(60 + index, 2.0 + 10 - index) for index in range(deep)]
    after = [(71 + index, 2.0) for index in range(9)]
    assert counted([*((number, 2.0) for number in range(60)), *waited, *after]) == (0, 11 - deep)


def test_a_source_that_is_never_emptied_in_time_goes_on_being_told() -> None:
    late = [(60 + 2 * index, 6.0) for index in range(500)]
    assert counted([*((number, 2.0) for number in range(60)), *late]) == (0, 499)


def test_nothing_is_said_where_nobody_knows_when_frames_were_captured() -> None:
    assert counted([(0, 2.0), (1, 9.0), (8, 2.0)], knows=False) == (6, 0)
