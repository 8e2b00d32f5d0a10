"""Numbers of modes outlive a restart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tremorscope.runtime.service.history import followed_before, points_of
from tremorscope.runtime.service.storing import Storage
from tremorscope.runtime.store.records import ModePoint, ModeRecord
from tremorscope.runtime.store.settings import StoreSettings
from tremorscope.runtime.vibration.monitoring.tracking import Sighting

START_S = 1_700_000_000.0
SHAPES = {3: (1.0, 0.4), 7: (0.4, -1.0)}


def mode(number: int, time_s: float, frequency_hz: float) -> ModeRecord:
    points = tuple(
        ModePoint(region, "y", part, 0.0) for region, part in zip("ab", SHAPES[number], strict=True)
    )
    return ModeRecord(time_s, str(number), frequency_hz, 0.002, 0.01, shape=points)


STORED = [mode(7, START_S - 120, 2.16), mode(3, START_S - 60, 2.1), mode(7, START_S - 60, 2.15)]


def test_modes_keep_their_numbers_through_a_restart() -> None:
    tracker = followed_before(STORED)
    assert [(track.number, track.frequency_hz) for track in tracker.tracks] == [(3, 2.1), (7, 2.15)]
    # Their frequencies have come together: only the shapes tell them apart.
    sightings = [Sighting(hz, 0.002, np.array(SHAPES[n], complex)) for hz, n in ((2.13, 7), (2.12, 3))]
    seen = tracker.update(START_S, sightings)
    assert [track.number for track in seen] == [7, 3]


def test_a_new_mode_gets_a_number_that_nobody_had() -> None:
    tracker = followed_before(STORED)
    for minute in range(1, 5):
        seen = tracker.update(START_S + 60 * minute, [Sighting(9.0, 0.01, np.array([1, 1], complex))])
    assert [track.number for track in seen] == [8]


def test_history_begins_with_what_was_stored() -> None:
    found = points_of([*STORED, ModeRecord(START_S, "unnumbered", 5.0)])
    assert [(point.number, point.frequency_hz) for point in found] == [(7, 2.16), (3, 2.1), (7, 2.15)]


def test_the_store_hands_over_the_latest_day(tmp_path: Path) -> None:
    def opened() -> Storage:
        settings = StoreSettings.model_validate({"directory": tmp_path, "reserve_mb": 1})
        return Storage(settings, None, unix_clock=lambda: START_S)

    first = opened()
    assert first.modes == ()
    for each in (mode(3, START_S - 90_000, 2.2), *STORED):
        first.offer(each)
    first.close(5.0)
    second = opened()
    assert [(each.label, each.frequency_hz) for each in second.modes] == [
        ("7", pytest.approx(2.16)),
        ("3", pytest.approx(2.1)),
        ("7", pytest.approx(2.15)),
    ]
    second.close(5.0)
