"""Faults are told once on each edge, and attempts come ever less often."""

from __future__ import annotations

import pytest

from tremorscope.runtime.cameras.supervision.faults import (
    Backoff,
    BackoffSettings,
    BadFrameCounter,
    CameraEvent,
    FaultLog,
)


def test_a_fault_is_told_when_it_begins_and_when_it_has_passed() -> None:
    log = FaultLog()
    log.seen("lost", 10.0, "unplugged", since_s=9.5)
    log.seen("lost", 11.0, "still unplugged")
    assert log.active == ("lost",)
    log.passed("lost", 12.0)
    log.passed("lost", 13.0)
    log.seen("lost", 20.0, "again")
    assert [log.next_event() for _ in range(4)] == [
        CameraEvent("lost", True, 9.5, 10.0, 1, 1, "unplugged"),
        CameraEvent("lost", False, 9.5, 12.0, 1, 2, "still unplugged"),
        CameraEvent("lost", True, 20.0, 20.0, 2, 1, "again"),
        None,
    ]
    assert log.total("lost") == 3


def test_events_that_nobody_fetches_are_bounded_and_counted() -> None:
    log = FaultLog()
    for number in range(200):
        log.seen("time", number, "")
        log.passed("time", number)
    assert log.events_lost == 400 - 256
    newest = None
    while (event := log.next_event()) is not None:
        newest = event
    assert newest == CameraEvent("time", False, 199, 199, 200, 1, "")


@pytest.mark.parametrize("seed", range(50))
def test_an_attempt_follows_the_return_of_the_camera_as_soon_as_is_stated(seed: int) -> None:
    settings = BackoffSettings(seed=seed)
    backoff, at_s = Backoff(settings), 0.0
    for _ in range(40):
        pause_s = backoff.next_s()
        assert pause_s <= settings.longest_s
        assert pause_s <= settings.first_s + (settings.factor - 1) / (1 - settings.jitter) * at_s
        at_s += pause_s
    assert pause_s > 0.9 * settings.longest_s
    backoff.reset()
    assert 0.9 * 0.25 <= backoff.next_s() <= 0.25


def test_pauses_depend_on_the_seed_alone() -> None:
    def pauses(seed: int) -> list[float]:
        backoff = Backoff(BackoffSettings(seed=seed))
        return [backoff.next_s() for _ in range(20)]

    assert pauses(1) == pauses(1) != pauses(2)


@pytest.mark.parametrize(
    "wrong", [{"first_s": 0.0}, {"first_s": 60.0}, {"factor": 0.9}, {"jitter": 1.0}, {"jitter": -0.1}]
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="needs"):
        BackoffSettings(**wrong)


def test_a_bad_frame_now_and_then_is_forgiven_and_a_fifth_of_all_is_not() -> None:
    def first_straw(every: int) -> int | None:
        strikes = BadFrameCounter(most=8, clear_after_frames=30)
        for number in range(5000):
            if number % every == 0:
                if strikes.bad():
                    return number
            else:
                strikes.good()
        return None

    assert first_straw(5) is None
    assert first_straw(4) == 7 * 4 * 4
    assert first_straw(1) == 7


def test_all_is_well_again_after_so_many_good_frames_in_a_row() -> None:
    strikes = BadFrameCounter(most=8, clear_after_frames=3)
    strikes.bad()
    assert [strikes.good() for _ in range(4)] == [False, False, True, True]
