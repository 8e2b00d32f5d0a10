"""Measuring in the service: every frame, what cannot be measured, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from service_parts import MID_SPAN, QUARTER, STILL, Told, vibration

from tremorscope.runtime.cameras.synthetic import SyntheticCamera, SyntheticSettings
from tremorscope.runtime.live.feed import LiveFeed
from tremorscope.runtime.service.analysing import AnalysisOutputs, Analyst
from tremorscope.runtime.service.history import MotionHistory
from tremorscope.runtime.service.measuring import CompletedResults, Measuring
from tremorscope.runtime.store.records import ModeRecord, PeakRecord
from tremorscope.runtime.vibration.displacement.meters import PictureFacts
from tremorscope.runtime.vibration.monitoring.alarms import AlarmReading
from tremorscope.runtime.vibration.monitoring.tracking import FrequencyTracker

RATE_HZ = 30.0
START_S = 1_700_000_000.0
Picture = NDArray[np.uint8]
Change = Callable[[Picture], Picture]


class Rig:
    """What measures the drawn bridge, frame by frame."""

    def __init__(self, *, pixel_aspect: float = 1.0, **fields: object) -> None:
        self.settings = vibration(**fields)
        self.told, self.feed = Told(), LiveFeed(width_px=320, height_px=180)
        self.history = MotionHistory(
            [each.name for each in self.settings.regions],
            [each.region() for each in self.settings.regions],
            most_samples=4000,
        )
        self.live = self.feed.begin_motion([each.name for each in self.settings.regions])
        self.measuring = Measuring(
            self.settings,
            history=self.history,
            live=self.live,
            tell=self.told,
            rate_hz=RATE_HZ,
            picture=PictureFacts(pixel_aspect=lambda: pixel_aspect),
        )
        self.camera = SyntheticCamera(SyntheticSettings(320, 180, reuse_noise=True))
        self.number = 0

    def film(self, seconds: float, change: Change | None, every: int) -> Iterator[CompletedResults]:
        frame = np.empty((180, 320, 3), np.uint8)
        for _ in range(round(seconds * RATE_HZ / every)):
            self.camera.read_into(frame)
            shown = change(frame) if change else frame
            time_s = self.number / RATE_HZ
            self.number += every
            yield self.measuring.take(shown, time_s, START_S + time_s)

    def run(self, seconds: float, change: Change | None = None, every: int = 1) -> list[CompletedResults]:
        """Film for so long; ``every`` lets time pass faster than the camera films."""
        return list(self.film(seconds, change, every))


def covered(box: dict[str, object]) -> Change:
    """Fog before one region: nothing of it is seen."""
    x, y, w, h = (int(str(box[key])) for key in ("x_px", "y_px", "width_px", "height_px"))

    def cover(frame: Picture) -> Picture:
        foggy = frame.copy()
        foggy[y - 12 : y + h + 12, x - 12 : x + w + 12] = 128
        return foggy

    return cover


class TestMeasuring:
    def test_gives_the_true_displacement_of_every_frame_but_those_it_learns_from(self) -> None:
        rig = Rig(still=[STILL])
        rig.run(6.0)
        series = rig.feed.series()
        assert series.times_s.size == pytest.approx(6.0 * RATE_HZ - RATE_HZ, abs=3)
        assert np.allclose(np.diff(series.times_s), 1 / RATE_HZ, atol=1e-6)
        columns = np.arange(130, 190)
        true = [rig.camera.settings.displacement_px(columns, t - START_S).mean() for t in series.times_s]
        first = rig.camera.settings.displacement_px(columns, 0.0).mean()
        # Relative to the first of the frames from which noise was learned.
        error = series.y_px[0] - np.array(true) + first
        assert np.std(error) < 0.01
        assert abs(np.mean(error)) < 0.02

    def test_tells_levels_of_each_window_in_px_and_the_scale(self) -> None:
        rig = Rig(scale={"mm_per_px": 5}, window_s=1)
        levels = [each for measured in rig.run(8.0) for each in measured.levels]
        assert len(levels) == 7
        # 0.12 px at 2.1 Hz, hardly anything of the second mode at mid-span.
        for each in levels:
            assert (each.name, each.scale and each.scale.mm_per_px) == ("mid-span", 5)
            assert each.levels.rms == pytest.approx(0.12 / np.sqrt(2), rel=0.2)
            assert each.levels.samples == pytest.approx(RATE_HZ, abs=1)
        (region,) = rig.measuring.regions()
        assert region.displacement_rms_px == levels[-1].levels.rms
        assert region.trouble == ""
        assert region.quality is not None
        assert region.quality > 0.8
        assert region.rectangle_px == (130, 90, 60, 24)
        assert region.noise_floor_px is not None
        assert 0 < region.noise_floor_px < 0.03

    @pytest.mark.parametrize("scaled", [{}, {"scale": {"mm_per_px": 5}}])
    def test_one_scale_holds_for_both_axes_of_pixels_that_are_not_square(
        self, scaled: dict[str, object]
    ) -> None:
        """The bridge as a camera films it whose pixels are twice as wide as high: half as far along x."""
        wide, square = Rig(pixel_aspect=2.0, still=[STILL], **scaled), Rig(still=[STILL], **scaled)
        for rig in (wide, square):
            rig.run(4.0)
        found, plain = wide.feed.series(), square.feed.series()
        assert np.allclose(found.y_px, plain.y_px, equal_nan=True)
        assert np.nanstd(plain.x_px) > 1e-5
        assert np.allclose(found.x_px, (2 if scaled else 1) * plain.x_px, equal_nan=True)
        floors = [rig.measuring._floors_px[0, 0] for rig in (wide, square)]
        assert floors[0] == pytest.approx((2 if scaled else 1) * floors[1])
        end = (
            "all along x is told in such px" if scaled else "a px along x is another length than one along y"
        )
        assert next(each for each in wide.told.all if each.startswith("a pixel is 2 times as wide")).endswith(
            end
        )
        assert not any("as wide as high" in each for each in square.told.all)

    def test_hands_over_blocks_for_the_store_that_hold_every_frame(self) -> None:
        rig = Rig(regions=[MID_SPAN, QUARTER], scale={"mm_per_px": 5})
        blocks = [m.block for m in rig.run(13.0) if m.block is not None]
        last = rig.measuring.flush()
        assert last is not None
        times = np.concatenate([block.times_s for block in (*blocks, last)])
        assert np.allclose(np.diff(times), 1 / RATE_HZ, atol=1e-6)
        assert times.size == rig.feed.series().times_s.size
        assert [(c.region, c.axis, c.unit, c.mm_per_px) for c in last.channels] == [
            ("mid-span", "x", "px", 5), ("mid-span", "y", "px", 5),
            ("quarter", "x", "px", 5), ("quarter", "y", "px", 5),
        ]  # fmt: skip

    def test_goes_on_with_the_others_where_one_region_cannot_be_measured_and_tries_again(self) -> None:
        rig = Rig(regions=[MID_SPAN, QUARTER])
        rig.run(3.0, covered(QUARTER))
        mid_span, quarter = rig.measuring.regions()
        assert mid_span.trouble == ""
        assert mid_span.displacement_rms_px is not None
        assert "no texture" in quarter.trouble
        assert quarter.displacement_rms_px is None
        assert any(text.startswith("region quarter: region 44x20") for text in rig.told.all)
        rig.run(57.0, covered(QUARTER), every=30)
        rig.run(3.0)  # the fog has gone
        assert [region.trouble for region in rig.measuring.regions()] == ["", ""]
        assert "region quarter: is measured" in rig.told.all

    def test_disturbs_nobody_while_it_tries_again_in_vain(self) -> None:
        rig = Rig(regions=[MID_SPAN, QUARTER])
        rig.run(3.0, covered(QUARTER))
        rig.run(58.0, covered(QUARTER), every=30)
        before = rig.feed.series().times_s.size
        rig.run(5.0, covered(QUARTER))
        series = rig.feed.series(after_s=START_S + 60.0)
        assert rig.feed.series().times_s.size - before == round(5.0 * RATE_HZ)
        assert np.isfinite(series.y_px[0]).all()
        assert np.abs(np.diff(series.y_px[0])).max() < 0.1  # no step
        assert rig.told.all.count("region mid-span: is measured") == 1
        recorded = rig.history.latest(100.0)
        assert recorded is not None
        assert recorded.times_s[0] < 2.0  # nothing was begun anew

    def test_counts_a_region_as_lost_while_it_is_covered_and_knows_it_again(self) -> None:
        rig = Rig(window_s=1)
        rig.run(3.0)
        lost = [each.levels for m in rig.run(4.0, covered(MID_SPAN)) for each in m.levels]
        assert lost[-1].samples == 0
        assert np.isnan(lost[-1].rms)
        assert rig.measuring.regions()[0].lost_ratio == 1.0
        back = [each.levels for m in rig.run(4.0) for each in m.levels]
        assert back[-1].rms == pytest.approx(0.12 / np.sqrt(2), rel=0.2)

    def test_begins_anew_where_a_region_has_been_lost_for_five_minutes(self) -> None:
        rig = Rig(window_s=1)
        rig.run(2.0)

        def elsewhere(frame: Picture) -> Picture:
            return np.ascontiguousarray(frame[::-1])

        rig.run(304.0, elsewhere, every=120)
        assert any("lost for 300 s; all are measured from here anew" in str(text) for text in rig.told.all)
        rig.run(4.0, elsewhere)
        assert rig.measuring.regions()[0].lost_ratio == 0.0


class TestAnalysis:
    def test_finds_the_bridges_modes_again_and_again(self) -> None:
        rig = Rig(
            regions=[MID_SPAN, QUARTER], still=[STILL], analyse_every_s=10, analyse_over_s=40,
            modes=[{"name": "first", "low_hz": 1.8, "high_hz": 2.4}],
        )  # fmt: skip
        stored, readings, now = Told(), Told(), [0.0]
        analyst = Analyst(
            rig.settings,
            rig.history,
            AnalysisOutputs(rig.live, rig.feed, store=stored, read=readings),
            tracker=FrequencyTracker(),
            clock=lambda: now[0],
        )
        assert not analyst.look()
        for _ in range(5):
            rig.run(10.0)
            now[0] += 10.0
            analyst.look()
        modes = analyst.findings.modes
        assert [mode.frequency_hz for mode in modes] == [
            pytest.approx(2.1, abs=0.01),
            pytest.approx(4.7, abs=0.01),
        ]
        assert len({mode.number for mode in modes}) == 2
        frequencies = dict(analyst.findings.regions)
        assert frequencies["mid-span"][0].frequency_hz == pytest.approx(2.1, abs=0.01)
        assert pytest.approx(4.7, abs=0.01) in [each.frequency_hz for each in frequencies["quarter"]]
        for reading in readings.of(AlarmReading):
            assert (reading.source, reading.quantity) == ("first", "frequency")
            assert reading.value == pytest.approx(2.1, abs=0.02)
        assert len(readings.all) == 5
        spectra = {(each.region, each.axis): each for each in rig.feed.spectra()}
        found = spectra["quarter", "y"]
        assert {round(peak.frequency_hz, 1) for peak in found.peaks} >= {2.1, 4.7}
        strongest = found.amplitude_px[np.abs(found.frequency_hz - 2.1).argmin()]
        assert strongest == pytest.approx(0.12 * np.sin(np.pi * 0.25), rel=0.35)
        points = rig.feed.frequency_history()
        assert {point.number for point in points} == {m.number for m in modes}
        assert {record.label for record in stored.of(ModeRecord)} == {str(mode.number) for mode in modes}
        assert {peak.channel.unit for peak in stored.of(PeakRecord)} == {"px"}

    def test_what_was_analysed_once_is_no_new_reading_while_the_camera_is_silent(self) -> None:
        rig = Rig(
            regions=[MID_SPAN, QUARTER], still=[STILL], analyse_every_s=10, analyse_over_s=40,
            modes=[{"name": "first", "low_hz": 1.8, "high_hz": 2.4}],
        )  # fmt: skip
        stored, readings, now = Told(), Told(), [0.0]
        outputs = AnalysisOutputs(rig.live, rig.feed, store=stored, read=readings)
        analyst = Analyst(
            rig.settings, rig.history, outputs, tracker=FrequencyTracker(), clock=lambda: now[0]
        )
        for _ in range(3):
            rig.run(10.0)
            now[0] += 10.0
            analyst.look()
        modes, tracker = analyst.findings.modes, analyst.tracker
        told = len(readings.all), len(stored.all)
        now[0] += 3600.0
        assert analyst.look()
        assert (len(readings.all), len(stored.all)) == told == (3, told[1])
        assert analyst.findings.trouble == "no frame has come since the last analysis"
        assert (analyst.findings.modes, analyst.tracker) == (modes, tracker)
        rig.run(10.0)
        now[0] += 10.0
        analyst.look()
        assert (len(readings.all), analyst.findings.trouble) == (4, "")

    def test_says_why_there_is_nothing(self) -> None:
        rig = Rig(analyse_every_s=10, frequencies_hz=[0.001, 0.002])
        now = [0.0]
        analyst = Analyst(
            rig.settings,
            rig.history,
            AnalysisOutputs(rig.live, rig.feed, store=Told(), read=Told()),
            tracker=FrequencyTracker(),
            clock=lambda: now[0],
        )
        now[0] = 10.0
        assert analyst.look()
        assert analyst.findings.trouble == "nothing is being measured"
        rig.run(10.0)
        now[0] = 20.0
        assert analyst.look()
        assert analyst.findings.trouble.startswith("the latest 9 s could not be analysed: ")
        assert "cannot be seen" in analyst.findings.trouble
        assert not analyst.look()


def shifted_by(x_px: int, y_px: int) -> Change:
    """The camera has been turned: the same scene stands elsewhere in the picture."""
    return lambda frame: np.roll(frame, (y_px, x_px), axis=(0, 1))


class TestKnock:
    def test_regions_are_found_again_after_a_gap_and_it_is_told(self) -> None:
        rig = Rig(regions=[MID_SPAN, QUARTER])
        rig.run(5.0)
        before = rig.feed.series()
        rig.run(5.0, shifted_by(17, -6))
        after = rig.feed.series(after_s=START_S + 5.0)
        assert np.abs(before.y_px[np.isfinite(before.y_px)]).max() < 0.5
        known = np.isfinite(after.y_px).all(axis=0)
        first_s = after.times_s[known][0]
        assert START_S + 6.0 < first_s < START_S + 8.0
        assert not known[after.times_s < first_s].any()
        assert np.abs(after.y_px[:, known]).max() < 0.5  # the knock is in no displacement
        mid_span, _ = rig.measuring.regions()
        x, y, *_ = mid_span.rectangle_px or (0, 0)
        assert (x - int(str(MID_SPAN["x_px"])), y - int(str(MID_SPAN["y_px"]))) == (17, -6)
        (told,) = [text for text in rig.told.all if "knocked" in text]
        assert "+17.0 px along x and -6.0 px along y" in told
        assert told == rig.measuring.placed.moved

    def test_levels_begin_anew_with_the_displacement(self) -> None:
        rig = Rig(regions=[MID_SPAN, QUARTER], window_s=8)
        rig.run(1.2)
        rig.run(4.0, shifted_by(0, 1))  # less than a knock
        levels = [each.levels for m in rig.run(12.0, shifted_by(17, -6)) for each in m.levels]
        assert levels[0].rms == pytest.approx(0.12 / np.sqrt(2), rel=0.2)

    @pytest.mark.parametrize("fields", [{}, {"still": [STILL]}], ids=["alone", "beside still regions"])
    def test_a_retry_meanwhile_does_not_hide_it(self, fields: dict[str, object]) -> None:
        rig = Rig(regions=[MID_SPAN, QUARTER], **fields)
        rig.run(1.5, covered(QUARTER))
        rig.run(59.0, covered(QUARTER), every=30)
        rig.run(1.0)  # the retry has gathered frames from 60.9 s on
        rig.run(3.0, shifted_by(17, -6))
        assert "+17.0 px along x" in rig.measuring.placed.moved
        mid_span, quarter = rig.measuring.regions()
        assert mid_span.rectangle_px == (147, 84, 60, 24)
        assert quarter.trouble == ""

    def test_what_the_structure_does_is_none(self) -> None:
        rig = Rig(regions=[MID_SPAN, QUARTER])
        rig.run(8.0)
        assert rig.measuring.placed.moved == ""
        assert np.isfinite(rig.feed.series().y_px).all()
