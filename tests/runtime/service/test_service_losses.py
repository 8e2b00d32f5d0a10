"""Frames that are being lost are told while they are, and not for ever after."""

from __future__ import annotations

import logging

import pytest

from tremorscope.runtime.frames.rates import MeasuredRate
from tremorscope.runtime.service.reporting import LossWatch, ShownRateWatch


def test_what_is_lost_now_is_told_with_its_share_and_cause() -> None:
    watch = LossWatch()
    assert watch.look(1000, {"source": 7, "late": 0}) == ""
    assert watch.look(1027, {"source": 7, "late": 3}) == (
        "10% of the camera's frames are being lost (too much to do)"
    )
    told = watch.look(1054, {"source": 13, "late": 3})
    assert told == "14% of the camera's frames are being lost (camera or link, too much to do)"


def test_a_frame_now_and_then_is_not_told() -> None:
    watch = LossWatch()
    for second in range(600):
        assert watch.look(30 * second, {"late": second // 10}) == ""


def test_it_ends_with_the_losses() -> None:
    watch = LossWatch()
    told = [watch.look(20 * min(s, 10) + 30 * max(s - 10, 0), {"late": 10 * min(s, 10)}) for s in range(60)]
    assert told[10].startswith("33%")
    assert told[20].startswith("11%")
    assert not any(told[30:])


def test_the_camera_is_not_blamed_for_what_the_processor_did() -> None:
    watch = LossWatch()
    watch.look(0, {"source": 0, "unfetched": 0}, None)
    assert watch.look(27, {"source": 3, "unfetched": 0}, 0.99) == (
        "10% of the camera's frames are being lost (at the camera while this device's processor was full)"
    )
    told = watch.look(54, {"source": 3, "unfetched": 3}, 0.5)
    assert "camera or link" not in told
    assert "this device fetched them too late" in told
    for second in range(3, 19):  # all that is forgotten
        told = watch.look(27 * second, {"source": 3 * (second - 1), "unfetched": 3}, 0.5)
    assert told == "10% of the camera's frames are being lost (camera or link)"


def shown(rate_hz: float, drop_ratio: float) -> MeasuredRate:
    return MeasuredRate(rate_hz, 0.0, 0.0, drop_ratio, 256)


def test_too_few_pictures_a_second_for_what_vibrates_are_told_on_both_edges(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A slow CPU shows every twentieth of 30 frames a second: 1.5 pictures/s of a motion of 4.7 Hz."""
    watch = ShownRateWatch()
    with caplog.at_level(logging.INFO, "tremorscope.magnification"):
        assert watch.look(None, [4.7]) == watch.look(shown(30, 0.0), [4.7, 2.1]) == ""
        assert watch.look(shown(30, 0.95), []) == ""
        for _ in range(3):
            told = watch.look(shown(30, 0.95), [2.1, 4.7])
            assert told.startswith(
                "1.5 pictures/s are shown: too few for 4.7 Hz, which looks slower than it is"
            )
        assert watch.look(shown(30, 0.68), [4.7])  # 9.6/s, hardly enough
        assert watch.look(shown(30, 0.5), [4.7]) == ""
    assert [each.getMessage()[:33] for each in caplog.records] == [
        "live picture: 1.5 pictures/s are ", "live picture: shows enough pictur",
    ]  # fmt: skip
