"""Limits of standards and of one's own: their numbers, the part that a camera judges, values, and clear refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.monitoring.limits import Criterion, Judgement, coverage
from tremorscope.runtime.vibration.monitoring.motion_levels import LimitWatch, judge_recording
from tremorscope.runtime.vibration.monitoring.standards import STANDARDS, criterion_of, stated_criteria
from tremorscope.runtime.vibration.spectra.analysis import RegionSeries

Values = NDArray[np.float64]
FLAT = Criterion("velocity", "rms", "px/s", ((1.0, 5.0), (20.0, 5.0)))


def moving(y: Values, x: Values | None = None, noise_px: float = 0.001) -> RegionSeries:
    """A region that shows motion along y, and along x where that is given."""
    count, floors = y.size, (math.inf if x is None else noise_px, noise_px)
    blank = np.zeros(count)
    region = Region(0, 0, 32, 32)
    return RegionSeries(
        "a", region, blank if x is None else x, y, np.ones(count), np.ones((2, count)), noise_floor_px=floors
    )


def tone(
    hz: float, velocity: float, rate_hz: float, seconds: float, phase: float = 0.0
) -> tuple[Values, Values]:
    """Times, and displacement of a sinusoid whose velocity has that amplitude."""
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    return times, velocity / (2 * math.pi * hz) * np.sin(2 * math.pi * hz * times + phase)


def judged(
    criterion: Criterion, times: Values, region: RegionSeries, mm_per_px: float | None = 1.0
) -> Judgement:
    return judge_recording(LimitWatch(0, criterion, mm_per_px), times, region, 0.0)


class TestNumbers:
    """As docs/standards.md tells, with its sources."""

    @pytest.mark.parametrize(
        ("line", "at"),
        [
            ("industrial", {1: 20, 10: 20, 30: 30, 50: 40, 75: 45, 100: 50}),
            ("residential", {1: 5, 10: 5, 30: 10, 50: 15, 75: 17.5, 100: 20}),
            ("sensitive", {1: 3, 10: 3, 30: 5.5, 50: 8, 75: 9, 100: 10}),
        ],
    )
    def test_din_4150_3_at_the_foundation(self, line: str, at: dict[float, float]) -> None:
        criterion = criterion_of("din-4150-3", line)
        assert (criterion.quantity, criterion.statistic, criterion.unit) == ("velocity", "peak", "mm/s")
        assert (criterion.band_hz, criterion.axes) == ((1, 100), ("x", "y"))
        assert {hz: criterion.limit_at(hz) for hz in at} == pytest.approx(at)
        assert "DIN 4150-3:2016-12, 5.1.1, table 1, line" in criterion.source

    @pytest.mark.parametrize(("line", "limit"), [("industrial", 40), ("residential", 15), ("sensitive", 8)])
    def test_din_4150_3_on_the_topmost_floor(self, line: str, limit: float) -> None:
        criterion = criterion_of("din-4150-3", f"{line}-top-floor")
        assert [criterion.limit_at(hz) for hz in (1, 30, 100)] == [limit] * 3
        assert criterion.axes == ("x",)  # horizontal

    @pytest.mark.parametrize(
        ("group", "zones"),
        [
            ("group-1-rigid", (2.3, 4.5, 7.1)),
            ("group-1-flexible", (3.5, 7.1, 11.0)),
            ("group-2-rigid", (1.4, 2.8, 4.5)),
            ("group-2-flexible", (2.3, 4.5, 7.1)),
        ],
    )
    def test_iso_20816_3(self, group: str, zones: tuple[float, ...]) -> None:
        for boundary, limit in zip(("A/B", "B/C", "C/D"), zones, strict=True):
            criterion = criterion_of("iso-20816-3", group, boundary)
            assert (criterion.lowest, criterion.zones, criterion.statistic) == (limit, zones, "rms")
            assert criterion.band_hz == (10, 1000)
            assert boundary in criterion.source
        assert criterion_of("iso-20816-3", group, speed_rpm=300).band_hz == (2, 1000)
        assert criterion_of("iso-20816-3", group, speed_rpm=600).band_hz == (10, 1000)

    def test_en_1990_for_footbridges(self) -> None:
        found = [criterion_of("en-1990-footbridge", each) for each in STANDARDS["en-1990-footbridge"]]
        assert [(each.lowest, each.unit, each.band_hz, each.axes) for each in found] == [
            (0.7, "m/s2", (0, 5), ("y",)),
            (0.2, "m/s2", (0, 2.5), ("x",)),
            (0.4, "m/s2", (0, 2.5), ("x",)),
        ]
        assert all(each.statistic == "peak" and each.quantity == "acceleration" for each in found)

    def test_every_class_is_a_sound_curve_with_edition_and_clause(self) -> None:
        for standard, classes in STANDARDS.items():
            for of_class in classes:
                criterion = criterion_of(standard, of_class)
                criterion.check()
                assert any(year in criterion.source for year in ("2016", "2022", "2005")), criterion.source


class TestCoverage:
    def test_120_frames_a_second_see_48_of_isos_1000_hz(self) -> None:
        found = coverage(criterion_of("iso-20816-3", "group-1-rigid"), 120)
        assert (found.band_hz, found.refusal) == ((10, 48), "")
        assert found.partly == "judged only up to 48 of 1000 Hz"

    def test_what_begins_above_all_that_is_seen_is_refused(self) -> None:
        found = coverage(criterion_of("iso-20816-3", "group-1-rigid"), 25)
        assert found.refusal == "25 frames/s show up to 10 Hz, and its band begins at 10 Hz"

    def test_a_band_that_is_seen_is_judged_whole(self) -> None:
        found = coverage(criterion_of("en-1990-footbridge", "vertical"), 25)
        assert (found.band_hz, found.partly, found.refusal) == ((0, 5), "", "")

    def test_what_is_kept_in_part_of_the_band_is_never_called_kept(self) -> None:
        times, y = tone(20, 1.0, 120, 5)
        found = judged(criterion_of("iso-20816-3", "group-1-rigid"), times, moving(y))
        assert found.verdict == "kept as far as judged"
        assert "judged only up to 48 of 1000 Hz" in found.text()
        times, y = tone(20, 10.0, 120, 5)
        assert judged(criterion_of("iso-20816-3", "group-1-rigid"), times, moving(y)).verdict == "exceeded"


class TestJudging:
    @settings(deadline=None, max_examples=30)
    @given(hz=st.floats(1.5, 90), share=st.floats(0.05, 3), phase=st.floats(0, 6))
    def test_a_tone_uses_the_share_of_the_limit_at_its_frequency(
        self, hz: float, share: float, phase: float
    ) -> None:
        criterion = criterion_of("din-4150-3", "residential")
        limit = criterion.limit_at(hz)
        times, y = tone(hz, share * limit, 300, 8, phase)
        found = judged(criterion, times, moving(y / 2, noise_px=1e-6), mm_per_px=2.0)
        assert 0.985 * share < found.share < 1.012 * share  # also at three frames a cycle
        assert found.mainly_hz == pytest.approx(hz, abs=0.25)
        assert (found.verdict == "exceeded") == (found.share > 1)

    @pytest.mark.parametrize(("share", "turns"), [(0.5, False), (0.95, True), (1.04, True)])
    def test_the_scales_uncertainty_is_in_value_and_margin(self, share: float, turns: bool) -> None:
        criterion = criterion_of("din-4150-3", "residential")
        times, y = tone(20, share * criterion.limit_at(20), 300, 8)
        region = moving(y / 2, noise_px=1e-6)
        found = judge_recording(LimitWatch(0, criterion, 2.0, 0.03), times, region, 0.0)
        assert found.detail()["margin_sigma"] == pytest.approx(0.03 * share, rel=0.02)
        assert f"± {0.03 * share * criterion.limit_at(20):.2g} mm/s" in found.text()
        assert ("uncertainty may turn" in found.text()) == turns
        exact = judge_recording(LimitWatch(0, criterion, 2.0), times, region, 0.0)
        assert "±" not in exact.text()

    def test_rms_is_that_of_the_larger_direction(self) -> None:
        times, y = tone(5, 3.0, 60, 20)
        _, x = tone(7, 4.0, 60, 20)
        found = judged(FLAT, times, moving(y, x), None)
        assert (found.axis, found.value) == ("x", pytest.approx(4 / math.sqrt(2), rel=0.01))
        assert "RMS velocity 2.83 px/s along x, mainly at 7 Hz, limit 5 px/s, margin 43 %" in found.text()

    def test_motion_outside_the_band_is_not_counted(self) -> None:
        times, inside = tone(5, 3.0, 60, 20)
        _, outside = tone(0.3, 30.0, 60, 20)
        alone, together = (judged(FLAT, times, moving(y), None).value for y in (inside, inside + outside))
        assert together == pytest.approx(alone, rel=0.01)

    def test_zones_are_told(self) -> None:
        zones = []
        for velocity in (1.0, 3.0, 6.0, 9.0):
            times, y = tone(20, velocity * math.sqrt(2), 120, 5)
            zones.append(judged(criterion_of("iso-20816-3", "group-1-rigid"), times, moving(y)).zone)
        assert zones == ["A", "B", "C", "D"]

    def test_noise_above_the_lowest_limit_is_refused_and_near_it_is_told(self) -> None:
        times, y = tone(5, 1.0, 60, 20)
        refused = judged(FLAT, times, moving(y, noise_px=0.2), None)
        assert refused.verdict == "not judged"
        assert "noise alone shows" in refused.text()
        assert math.isnan(refused.value)
        told = judged(FLAT, times, moving(y, noise_px=0.04), None)
        assert told.verdict == "kept"
        assert "noise alone shows" in told.text()
        assert "noise" not in judged(FLAT, times, moving(y), None).text()

    def test_a_direction_that_is_not_seen_is_refused(self) -> None:
        times, y = tone(2, 1.0, 25, 20)
        found = judged(criterion_of("en-1990-footbridge", "horizontal"), times, moving(y))
        assert found.text().startswith("not judged: the region shows no motion along the axis")

    def test_a_recording_that_is_too_short_for_the_band_is_refused(self) -> None:
        times, y = tone(2, 1.0, 25, 5)
        found = judged(FLAT, times, moving(y), None)
        assert found.refusal == "a band from 1 Hz needs more than 6 s without a gap"

    def test_details_are_for_programs(self) -> None:
        times, y = tone(5, 3.0, 60, 20)
        detail = judged(FLAT, times, moving(y), None).detail()
        assert detail["verdict"] == "kept"
        assert detail["margin"] == pytest.approx(1 - 3 / math.sqrt(2) / 5, abs=0.01)
        assert detail["judged_hz"] == [1, 20]


class TestMistakes:
    @pytest.mark.parametrize(
        ("attempt", "words"),
        [
            (lambda: criterion_of("din4150", "residential"), "no standard din4150: did you mean din-4150-3"),
            (lambda: criterion_of("ISO 20816-3", "group-1-rigid"), "did you mean iso-20816-3"),
            (lambda: criterion_of("eurocode", "vertical"), "there is no standard eurocode"),
            (lambda: criterion_of("din-4150-3", "residental"), "did you mean residential"),
            (lambda: criterion_of("iso-20816-3", "group-3-rigid"), "did you mean group-"),
            (lambda: criterion_of("iso-20816-3", "group-1-rigid", "D"), "choose A/B, B/C, C/D"),
            (
                lambda: stated_criteria("din-4150-3", "residential", "A/B"),
                "no boundary of zones: leave A/B out",
            ),
            (lambda: stated_criteria(of_class="residential"), "belong to a standard"),
            (lambda: stated_criteria("din-4150-3"), "needs a class"),
            (lambda: stated_criteria(limits=("speed", "rms", "mm/s", "1:2 3:4")), "no quantity speed"),
            (lambda: stated_criteria(limits=("velocity", "mean", "mm/s", "1:2 3:4")), "no statistic mean"),
            (lambda: stated_criteria(limits=("velocity", "rms", "knots", "1:2 3:4")), "no unit that exists"),
            (
                lambda: stated_criteria(limits=("velocity", "rms", "m/s2", "1:2 3:4")),
                "a unit of acceleration",
            ),
            (lambda: stated_criteria(limits=("velocity", "rms", "mm/s", "1:2 3:")), "have a gap"),
            (
                lambda: stated_criteria(limits=("velocity", "rms", "mm/s", "1:2 3:4 2:5")),
                "backwards from 3 to 2",
            ),
            (lambda: stated_criteria(limits=("velocity", "rms", "mm/s", "1:2 1:4")), "backwards from 1 to 1"),
            (lambda: stated_criteria(limits=("velocity", "rms", "mm/s", "1:2 3:nan")), "gap at 3 Hz"),
            (lambda: stated_criteria(limits=("velocity", "rms", "mm/s", "1:2 3:0")), "gap at 3 Hz"),
            (lambda: stated_criteria(limits=("velocity", "rms", "mm/s", "1:2")), "bounds no band"),
            (lambda: stated_criteria(limits=("velocity", "rms", "mm/s", "1:2 inf:4")), "gap at inf Hz"),
            (lambda: FLAT.check() or criterion_of("din-4150-3", "sensitive").factor(None), "needs a scale"),
        ],
    )
    def test_are_told_in_a_line_with_the_remedy(self, attempt: object, words: str) -> None:
        with pytest.raises(OptionFault) as caught:
            attempt()  # type: ignore[operator]
        assert words in str(caught.value)
        assert caught.value.remedy
        assert "\n" not in str(caught.value)

    def test_points_are_taken_as_text_or_as_pairs(self) -> None:
        (text,) = stated_criteria(limits=("velocity", "rms", "mm/s", "2:4.5, 50:7.1"))
        (pairs,) = stated_criteria(limits=("velocity", "rms", "mm/s", [(2, 4.5), (50, 7.1)]))
        assert text == pairs
        assert text.limit_at(26) == pytest.approx(5.8)
