"""The live feed: newest wins, nobody waits, nothing is held for nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from lent import Shown

from tremorscope.runtime.health import NaturalFrequency
from tremorscope.runtime.live.feed import HELD, LiveFeed, LiveSpectrum
from tremorscope.runtime.live.picture import LiveInfo


class Stage:
    """A feed and a ring that pictures are offered from, all of one value: their number, magnified 100 more."""

    def __init__(self) -> None:
        self.feed = LiveFeed(width_px=64, height_px=36, most_samples=10, most_points=5)
        self._shown = Shown(self.feed)

    def offer(self, number: int, *, magnified: bool = False) -> bool:
        return self._shown.offer(number, number + 100 if magnified else None, LiveInfo(number, number / 10))

    def close(self) -> None:
        """End, and check that every picture was given back."""
        self.feed.close()
        self._shown.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


class TestPictures:
    def test_are_taken_only_while_somebody_watches(self, stage: Stage) -> None:
        feed, offer = stage.feed, stage.offer
        assert not offer(1)
        with feed.watch():
            assert feed.wanted
            assert offer(2)
            with feed.watch():
                assert feed.viewers == 2
        assert not feed.wanted
        assert not offer(3)

    def test_lent_are_the_newest_and_stay_as_they_are(self, stage: Stage) -> None:
        feed, offer = stage.feed, stage.offer
        with feed.watch():
            for number in (1, 2, 3):
                offer(number, magnified=number == 3)
            found = feed.latest()
            assert found is not None
            with found:
                for number in range(4, 30):
                    offer(number)
                offer(30)
                assert not found.frame.flags.writeable
                assert (found.info.sequence, int(found.frame[0, 0, 0])) == (3, 3)
                assert found.magnified is not None
                assert (found.magnified == 103).all()
            newer = feed.latest(after_sequence=3)
            assert newer is not None
            with newer:
                assert newer.magnified is None
                assert (newer.frame == 30).all()

    def test_of_long_ago_are_not_shown_to_who_comes_next(self, stage: Stage) -> None:
        with stage.feed.watch():
            stage.offer(1)
        with stage.feed.watch():
            assert stage.feed.latest(timeout_s=0) is None

    def test_on_loan_stay_as_they_are_while_others_are_dropped_and_counted(self, stage: Stage) -> None:
        feed = stage.feed
        loans = []
        with feed.watch():
            for number in range(1, HELD + 1):
                assert stage.offer(number)
                again = [feed.latest(number - 1) for _ in range(2)]  # two viewers of one picture count once
                loans += [loan for loan in again if loan is not None]
            assert len(loans) == 2 * HELD
            assert not stage.offer(HELD + 1)
            assert feed.dropped == 1
            assert [int(loan.frame[0, 0, 0]) for loan in loans] == [1, 1, 2, 2, 3, 3]
            for loan in loans:
                loan.release()
            assert stage.offer(HELD + 2)

    def test_that_are_left_behind_by_the_loop_are_given_back_by_viewers_later(self, stage: Stage) -> None:
        with stage.feed.watch():
            stage.offer(1, magnified=True)
            loan = stage.feed.latest()
        assert loan is not None
        stage.feed.close()
        assert not stage.offer(2)
        with loan:
            assert loan.magnified is not None
            assert (loan.magnified == 101).all()

    def test_are_waited_for_no_longer_than_asked_and_not_beyond_the_end(self, stage: Stage) -> None:
        feed = stage.feed
        with feed.watch():
            begun_s = time.monotonic()
            assert feed.latest(timeout_s=0.05) is None
            assert time.monotonic() - begun_s >= 0.05
            waiting = threading.Timer(0.05, feed.close)
            waiting.start()
            assert feed.latest(timeout_s=30) is None
            assert time.monotonic() - begun_s < 20
        assert feed.closed

    def test_wake_who_waits(self, stage: Stage) -> None:
        with stage.feed.watch():
            threading.Timer(0.05, stage.offer, (7,)).start()
            found = stage.feed.latest(after_sequence=6, timeout_s=30)
            assert found is not None
            with found:
                assert found.info.sequence == 7

    def test_are_never_half_of_one_and_half_of_another(self) -> None:
        """A writer and four readers as fast as they can: every picture is of one value."""
        feed, torn, seen = LiveFeed(width_px=320, height_px=180), [], set()
        shown = Shown(feed)

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
                shown.offer(number % 16, None, LiveInfo(number, 0.0))
                if number % 20 == 0:
                    time.sleep(0.002)
            time.sleep(0.05)
            feed.close()
            for reader in readers:
                reader.join(10)
        assert torn == []
        assert len(seen) > 5
        shown.close()


class TestSeries:
    def test_keeps_the_latest_in_order(self, stage: Stage) -> None:
        feed = stage.feed
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

    def test_of_other_regions_begins_anew(self, stage: Stage) -> None:
        feed = stage.feed
        one = feed.begin_motion(["a"])
        one.add(1.0, np.zeros((1, 2)))
        before = feed.series().generation
        feed.begin_motion(["b", "c", "d"])
        after = feed.series()
        assert after.generation == before + 1
        assert (after.times_s.size, after.x_px.shape) == (0, (3, 0))

    def test_what_is_measured_of_the_regions_before_is_not_shown_as_of_the_new_ones(
        self, stage: Stage
    ) -> None:
        feed = stage.feed
        one = feed.begin_motion(["a"])
        three = feed.begin_motion(["b", "c", "d"])
        one.add(1.0, np.full((1, 2), 7.0))
        one.spectra = (LiveSpectrum("a", "x", 1.0, 60.0, np.zeros(2), np.zeros(2), None),)
        assert (feed.series().times_s.size, feed.spectra()) == (0, ())
        three.add(2.0, np.zeros((3, 2)))
        assert feed.series().x_px.tolist() == [[0.0], [0.0], [0.0]]

    def test_frequencies_are_bounded(self, stage: Stage) -> None:
        feed = stage.feed
        feed.add_frequencies([NaturalFrequency(1, 2.0, None, None, float(n)) for n in range(9)])
        assert [point.time_s for point in feed.frequency_history()] == [4, 5, 6, 7, 8]
        assert [point.time_s for point in feed.frequency_history(6)] == [7, 8]
