"""The live feed: newest wins, nobody waits, nothing is copied for nobody."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from tremorscope.runtime.live.feed import FrequencyPoint, LiveFeed, LiveInfo, LiveSpectrum


def picture(value: int) -> NDArray[np.uint8]:
    return np.full((36, 64, 3), value, np.uint8)


def feed_of(slots: int = 4, most_samples: int = 10) -> LiveFeed:
    return LiveFeed(width_px=64, height_px=36, slots=slots, most_samples=most_samples, most_points=5)


def offer(feed: LiveFeed, number: int, *, magnified: bool = False) -> bool:
    return feed.offer(
        picture(number), picture(number + 100) if magnified else None, LiveInfo(number, number / 10)
    )


class TestPictures:
    def test_are_taken_only_while_somebody_watches(self) -> None:
        feed = feed_of()
        assert not offer(feed, 1)
        with feed.watch():
            assert feed.wanted
            assert offer(feed, 2)
            with feed.watch():
                assert feed.viewers == 2
        assert not feed.wanted
        assert not offer(feed, 3)

    def test_are_copies_of_the_newest(self) -> None:
        feed = feed_of()
        with feed.watch():
            for number in (1, 2, 3):
                offer(feed, number, magnified=number == 3)
            found = feed.latest()
            assert found is not None
            with found:
                offer(feed, 4)
                assert (found.info.sequence, int(found.frame[0, 0, 0])) == (3, 3)
                assert found.magnified is not None
                assert (found.magnified == 103).all()
            newer = feed.latest(after_sequence=3)
            assert newer is not None
            with newer:
                assert newer.magnified is None
                assert (newer.frame == 4).all()

    def test_copied_while_the_last_viewer_leaves_is_not_shown_to_who_comes_next(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        feed, copy = feed_of(), np.copyto
        viewer = feed.watch()
        viewer.__enter__()

        def leave_meanwhile(to: NDArray[np.uint8], of: NDArray[np.uint8]) -> None:
            copy(to, of)
            viewer.__exit__(None, None, None)

        monkeypatch.setattr(np, "copyto", leave_meanwhile)
        assert not offer(feed, 1)
        with feed.watch():
            assert feed.latest(timeout_s=0.0) is None

    def test_of_long_ago_are_not_shown_to_who_comes_next(self) -> None:
        feed = feed_of()
        with feed.watch():
            offer(feed, 1)
        with feed.watch():
            assert feed.latest(timeout_s=0) is None

    def test_on_loan_stay_as_they_are_while_others_are_dropped_and_counted(self) -> None:
        feed = feed_of(slots=3)
        with feed.watch():
            offer(feed, 1)
            first = feed.latest()
            offer(feed, 2)
            second = feed.latest(1)
            assert first is not None
            assert second is not None
            with first, second:
                assert offer(feed, 3)
                assert feed.dropped == 0
                third = feed.latest(2)
                assert third is not None
                with third:
                    assert not offer(feed, 4)
                assert feed.dropped == 1
                assert [(each.frame == n).all() for each, n in ((first, 1), (second, 2))] == [True, True]
            assert offer(feed, 5)

    def test_are_waited_for_no_longer_than_asked_and_not_beyond_the_end(self) -> None:
        feed = feed_of()
        with feed.watch():
            begun_s = time.monotonic()
            assert feed.latest(timeout_s=0.05) is None
            assert time.monotonic() - begun_s >= 0.05
            waiting = threading.Timer(0.05, feed.close)
            waiting.start()
            assert feed.latest(timeout_s=30) is None
            assert time.monotonic() - begun_s < 20
        assert feed.closed

    def test_wake_who_waits(self) -> None:
        feed = feed_of()
        with feed.watch():
            threading.Timer(0.05, offer, (feed, 7)).start()
            found = feed.latest(after_sequence=6, timeout_s=30)
            assert found is not None
            with found:
                assert found.info.sequence == 7

    def test_are_never_half_of_one_and_half_of_another(self) -> None:
        """A writer and four readers as fast as they can: every picture is of one value."""
        feed, torn, seen = LiveFeed(width_px=320, height_px=180, slots=6), [], set()
        frames = [np.full((180, 320, 3), n, np.uint8) for n in range(16)]

        def look() -> None:
            last = -1
            while (found := feed.latest(last, 5.0)) is not None:
                with found:
                    last = found.info.sequence
                    if not (found.frame == found.frame[0, 0, 0]).all() or found.frame[0, 0, 0] != last % 16:
                        torn.append(last)
                    seen.add(last)

        with feed.watch():
            readers = [threading.Thread(target=look) for _ in range(4)]
            for reader in readers:
                reader.start()
            for number in range(400):
                feed.offer(frames[number % 16], None, LiveInfo(number, 0.0))
                if number % 20 == 0:
                    time.sleep(0.002)
            time.sleep(0.05)
            feed.close()
            for reader in readers:
                reader.join(10)
        assert torn == []
        assert len(seen) > 5


class TestSeries:
    def test_keeps_the_latest_in_order(self) -> None:
        feed = feed_of(most_samples=10)
        motion = feed.begin_motion(["a", "b"])
        for number in range(25):
            motion.add(float(number), np.array([[number, -number], [np.nan, 1.0]]))
        found = feed.series()
        assert found.regions == ("a", "b")
        assert found.times_s.tolist() == list(range(15, 25))
        assert found.x_px[0].tolist() == list(range(15, 25))
        assert found.y_px[0].tolist() == [-n for n in range(15, 25)]
        assert np.isnan(found.x_px[1]).all()
        assert feed.series(after_s=22).times_s.tolist() == [23, 24]
        assert feed.series(after_s=24).times_s.size == 0

    def test_of_other_regions_begins_anew(self) -> None:
        feed = feed_of()
        one = feed.begin_motion(["a"])
        one.add(1.0, np.zeros((1, 2)))
        before = feed.series().generation
        feed.begin_motion(["b", "c", "d"])
        after = feed.series()
        assert after.generation == before + 1
        assert (after.times_s.size, after.x_px.shape) == (0, (3, 0))

    def test_what_is_measured_of_the_regions_before_is_not_shown_as_of_the_new_ones(self) -> None:
        feed = feed_of()
        one = feed.begin_motion(["a"])
        three = feed.begin_motion(["b", "c", "d"])
        one.add(1.0, np.full((1, 2), 7.0))
        one.spectra = (LiveSpectrum("a", "x", 1.0, 60.0, np.zeros(2), np.zeros(2), None),)
        assert (feed.series().times_s.size, feed.spectra()) == (0, ())
        three.add(2.0, np.zeros((3, 2)))
        assert feed.series().x_px.tolist() == [[0.0], [0.0], [0.0]]

    def test_frequencies_are_bounded(self) -> None:
        feed = feed_of()
        feed.add_frequencies([FrequencyPoint(1, float(n), 2.0, None) for n in range(9)])
        assert [point.time_s for point in feed.frequency_history()] == [4, 5, 6, 7, 8]
        assert [point.time_s for point in feed.frequency_history(6)] == [7, 8]


def test_too_few_slots_are_refused() -> None:
    with pytest.raises(ValueError, match="2 slots are too few"):
        feed_of(slots=2)
