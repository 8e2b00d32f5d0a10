"""A clip is measured: true frequencies and amplitudes, nothing from light alone, results that others can read."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyuff
from scenes import shifted, textured
from support import ROOT, Picture, write_clip

from tremorscope.api.measurement import ClipMeasurement
from tremorscope.runtime.cameras.synthetic import SyntheticCamera, SyntheticMode, SyntheticSettings
from tremorscope.runtime.clips.h264 import EncodingSettings
from tremorscope.runtime.clips.video import VideoWriter
from tremorscope.runtime.jobs.measure import RESULT_NAMES, MeasureJob, measure_clip
from tremorscope.runtime.reports import measurement_pictures
from tremorscope.runtime.reports.measurement import Measurement
from tremorscope.runtime.vibration.displacement.regions import Region, Scale
from tremorscope.runtime.vibration.spectra.modes import mac

SETTINGS = SyntheticSettings(
    480,
    270,
    rate_hz=25.0,
    modes=(SyntheticMode(2.13, 0.12, 1), SyntheticMode(4.71, 0.06, 2)),
    duration_s=12.0,
)
GIRDER = tuple(Region(*SETTINGS.girder_px(along)) for along in (0.25, 0.5, 0.75))
ABUTMENT = Region(*SETTINGS.abutment_px)
CLIPS = ROOT.parent / "shared" / "clips"

needs_clips = pytest.mark.skipif(
    not CLIPS.is_dir(), reason="needs the collection of real clips beside the repository"
)


def film(settings: SyntheticSettings) -> Iterator[Picture]:
    camera = SyntheticCamera(settings)
    frame = np.empty((settings.height_px, settings.width_px, 3), np.uint8)
    while camera.read_into(frame) is not None:
        yield frame.copy()


def signals_in(path: Path) -> list[dict[str, Any]]:
    return [each for each in pyuff.UFF(str(path)).read_sets() if each["type"] == 58]


def true_px(region: Region, mode: SyntheticMode) -> float:
    """Amplitude of a mode, averaged over a region's columns."""
    alone = SyntheticSettings(SETTINGS.width_px, SETTINGS.height_px, rate_hz=25.0, modes=(mode,))
    columns = np.arange(region.x_px, region.x_px + region.width_px)
    return abs(float(alone.displacement_px(columns, 0.25 / mode.frequency_hz).mean()))


def drawn_history(measurement: Measurement) -> Any:
    """The figure of displacement over time, before it becomes a PNG."""
    kept: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measurement_pictures, "png", lambda drawn: kept.append(drawn) or b"")
        measurement_pictures.history_picture(measurement)
    return kept[0]


def plotted_channels(measurement: Measurement) -> list[tuple[int, str]]:
    """Channels whose spectra are drawn, from the legend."""
    kept: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measurement_pictures, "png", lambda drawn: kept.append(drawn) or b"")
        measurement_pictures.spectrum_picture(measurement)
    names = [text.get_text() for text in kept[0].axes[0].get_legend().get_texts()]
    return [(int(name[1 : name.index(" ")]) - 1, name[-1]) for name in names]


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "bridge.mp4", film(SETTINGS))


@pytest.fixture(scope="module")
def measured(bridge: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Measurement, Path]:
    directory = tmp_path_factory.mktemp("results") / "bridge"
    job = MeasureJob(bridge, directory, GIRDER, (ABUTMENT,), scale=Scale.from_length(600, 300))
    return measure_clip(job), directory


class TestFootbridge:
    def test_frequencies_are_true_to_a_tenth_of_the_resolution(
        self, measured: tuple[Measurement, Path]
    ) -> None:
        frequencies = [finding.peak.frequency_hz for finding in measured[0].analysis.findings]
        assert frequencies == pytest.approx([2.13, 4.71], abs=0.1 / 12)

    def test_amplitudes_are_true(self, measured: tuple[Measurement, Path]) -> None:
        first, second = measured[0].analysis.findings
        assert (first.region, first.axis) == (1, "y")
        assert first.peak.amplitude == pytest.approx(true_px(GIRDER[1], SETTINGS.modes[0]), rel=0.03)
        assert second.region in (0, 2)
        assert second.peak.amplitude == pytest.approx(true_px(GIRDER[0], SETTINGS.modes[1]), rel=0.05)

    def test_mode_shapes_are_the_true_ones(self, measured: tuple[Measurement, Path]) -> None:
        first, second = measured[0].analysis.modes
        assert mac(first.shape[1::2], [np.sqrt(0.5), 1, np.sqrt(0.5)]) > 0.99
        assert mac(second.shape[1::2], [1, 0, -1]) > 0.98

    def test_every_region_has_a_verdict(self, measured: tuple[Measurement, Path]) -> None:
        assert [region.verdict for region in measured[0].analysis.regions] == ["vibrates"] * 3

    def test_lines_tell_the_strongest_first(self, measured: tuple[Measurement, Path]) -> None:
        lines = measured[0].lines()
        peaks = [line for line in lines if re.match(r"\d+\.\d+ Hz ", line)]
        assert len(peaks) == 2
        assert re.match(
            r"2\.13 Hz +0\.1[12]\d+ ± 0\.00\d+ px = 0\.2\d+ ± 0\.0\d+ mm +R2 y +\(2\.1\d+ ± 0\.000\d+ Hz\)",
            peaks[0],
        )


class TestFiles:
    def test_hold_mode_shapes_as_they_were_found(self, measured: tuple[Measurement, Path]) -> None:
        """The overlay is drawn first, and must not scale them to its arrows."""
        summary = json.loads((measured[1] / "summary.json").read_text())
        for mode, found in zip(summary["modes"], measured[0].analysis.modes, strict=True):
            shape = np.array(mode["shape"]) @ (1, 1j)
            assert np.abs(shape).max() == pytest.approx(1)
            assert shape.ravel() == pytest.approx(found.shape)

    def test_are_all_there_and_no_other(self, measured: tuple[Measurement, Path]) -> None:
        directory = measured[1]
        assert {path.name for path in directory.iterdir()} == set(RESULT_NAMES)
        assert [path.name for path in directory.parent.iterdir()] == ["bridge"]

    def test_displacement_is_a_table(self, measured: tuple[Measurement, Path]) -> None:
        with (measured[1] / "displacement.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 300
        assert list(rows[0])[:6] == ["time_s", "R1_x_px", "R1_x_mm", "R1_y_px", "R1_y_mm", "R1_quality"]
        time_s, moved = (np.array([float(row[name]) for row in rows]) for name in ("time_s", "R2_y_px"))
        columns = np.arange(GIRDER[1].x_px, GIRDER[1].x_px + GIRDER[1].width_px)
        true = np.array([SETTINGS.displacement_px(columns, t).mean() for t in time_s])
        assert np.std(moved - true) < 0.01
        assert float(rows[7]["R2_y_mm"]) == pytest.approx(2 * float(rows[7]["R2_y_px"]), rel=1e-4)

    def test_displacement_is_read_by_modal_software(self, measured: tuple[Measurement, Path]) -> None:
        sets = signals_in(measured[1] / "displacement.uff")
        assert len(sets) == 6
        assert all(len(each["data"]) == 300 for each in sets)
        assert sets[0]["abscissa_inc"] == pytest.approx(0.04)
        assert "in mm" in sets[3]["id1"]

    def test_y_counts_downwards_in_every_one(self, measured: tuple[Measurement, Path]) -> None:
        """The truth is drawn, downwards positive; CSV, API, UFF (its -Y), the report's chart and the page agree."""
        found, directory = measured
        columns = np.arange(GIRDER[1].x_px, GIRDER[1].x_px + GIRDER[1].width_px)
        true = np.array([SETTINGS.displacement_px(columns, t).mean() for t in found.times_s])
        with (directory / "displacement.csv").open(newline="") as file:
            told = np.array([float(row["R2_y_px"]) for row in csv.DictReader(file)])
        given = ClipMeasurement(found, directory).displacement
        (uff,) = [each for each in signals_in(directory / "displacement.uff") if "R2 y" in each["id1"]]
        assert uff["rsp_dir"] == -2
        for values in (told, given.y[1] / 2, np.asarray(uff["data"]).real / 2):
            assert np.polyfit(true, values, 1)[0] == pytest.approx(1, abs=0.03)
        figure = drawn_history(found)
        chart = next(axes for axes in figure.axes if axes.get_ylabel() == "R2 y, down (px)")
        assert chart.yaxis_inverted()
        drawn = np.asarray(chart.get_lines()[0].get_ydata())
        assert np.polyfit(true, drawn, 1)[0] == pytest.approx(1, abs=0.03)
        page = (ROOT / "runtime/outputs/web/page/charts.js").read_text()
        assert '"vertical (down)", Y_COLOUR, view.y' in page

    def test_labels_of_the_spectrum_have_their_lines(self, measured: tuple[Measurement, Path]) -> None:
        strongest = measured[0].analysis.findings[:6]
        drawn = plotted_channels(measured[0])
        assert len(strongest) > 1
        assert all(set(drawn) & {seen[:2] for seen in finding.seen_in} for finding in strongest)

    def test_pictures_are_pictures(self, measured: tuple[Measurement, Path]) -> None:
        for name in ("spectrum.png", "overlay.png"):
            content = (measured[1] / name).read_bytes()
            assert content.startswith(b"\x89PNG")
            assert len(content) > 20_000

    def test_the_summary_holds_every_number(self, measured: tuple[Measurement, Path]) -> None:
        summary = json.loads((measured[1] / "summary.json").read_text())
        assert summary["rate_hz"] == pytest.approx(25)
        assert summary["duration_s"] == pytest.approx(12)
        assert summary["scale"] == {
            "mm_per_px": 2.0,
            "provenance": "from a length of 600 mm that spans 300 px",
            "relative_sigma": 0.0,
        }
        peak = summary["peaks"][0]
        assert peak["frequency_hz"] == pytest.approx(2.13, abs=0.1 / 12)
        assert peak["amplitude_mm"] == pytest.approx(2 * peak["amplitude_px"])
        assert (peak["region"], peak["axis"], peak["kind"]) == ("R2", "y", "steady")
        assert {"noise_floor_px", "rms_px", "smallest_visible_px"} <= set(summary["regions"][0]["y"])

    def test_the_report_needs_nothing_else(self, measured: tuple[Measurement, Path]) -> None:
        page = (measured[1] / "report.html").read_text()
        assert page.startswith("<!doctype html>")
        assert page.count("data:image/png;base64,") == 4
        assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
        assert "2.13 Hz" in page
        assert "bridge.mp4" in page
        for tag in ("section", "table", "tr", "td", "main", "ul"):
            assert len(re.findall(rf"<{tag}[ >]", page)) == page.count(f"</{tag}>")


class TestBaseline:
    def test_a_shift_is_told(self, measured: tuple[Measurement, Path], tmp_path: Path) -> None:
        softer = SyntheticSettings(
            480,
            270,
            rate_hz=25.0,
            modes=(SyntheticMode(2.05, 0.12, 1), SyntheticMode(4.71, 0.06, 2)),
            duration_s=12.0,
            seed=1,
        )
        clip = write_clip(tmp_path / "later.mp4", film(softer))
        found = measure_clip(MeasureJob(clip, tmp_path / "later", baseline=measured[1] / "summary.json"))
        first, second = found.comparisons
        assert first.shift == pytest.approx(2.05 / 2.13 - 1, abs=0.002)
        assert second.shift == pytest.approx(0, abs=0.001)
        assert min(first.mac or 0, second.mac or 0) > 0.98
        assert [region.series.region for region in found.analysis.regions] == list(GIRDER)
        assert any("MAC" in line for line in found.lines())


class TestLight:
    @pytest.mark.parametrize("sigma", [0.0, 1.0])
    @pytest.mark.parametrize("sloped", [False, True])
    def test_of_a_room_that_flickers_moves_nothing(self, sigma: float, sloped: bool, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        still = SyntheticCamera(SyntheticSettings(320, 180, modes=(), noise_sigma=0)).render(0).copy()
        across = np.linspace(-1, 1, 320)[None, :, None]

        def flickering() -> Iterator[Picture]:
            for number in range(180):
                t = number / 30
                light = 1 + 0.08 * math.sin(2 * math.pi * 3.3 * t) + 0.03 * math.sin(2 * math.pi * 10 * t + 1)
                lit = 0.8 * still * light
                if sloped:
                    lit = lit * (1 + 0.03 * across * math.sin(2 * math.pi * 5.1 * t))
                yield np.clip(np.rint(lit + sigma * rng.standard_normal(lit.shape)), 0, 255).astype(np.uint8)

        clip = write_clip(tmp_path / "still.mp4", flickering(), rate=30)
        found = measure_clip(MeasureJob(clip, tmp_path / "out"))
        assert found.analysis.findings == ()
        assert found.analysis.modes == ()
        assert {region.verdict for region in found.analysis.regions} == {"below the noise floor"}
        assert "no vibration: every region is below the noise floor" in found.lines()


class TestTime:
    def test_the_capture_rate_scales_frequencies(self, bridge: Path, tmp_path: Path) -> None:
        found = measure_clip(MeasureJob(bridge, tmp_path / "out", GIRDER[1:2], capture_rate_hz=250.0))
        assert found.analysis.findings[0].peak.frequency_hz == pytest.approx(21.3, abs=0.1 / 1.2)
        assert found.analysis.duration_s == pytest.approx(1.2)

    def test_gaps_in_the_clip_are_marked(self, tmp_path: Path) -> None:
        frames = list(film(SyntheticSettings(320, 180, rate_hz=25.0, duration_s=16.0)))
        ticks = [number for number in range(400) if not 180 <= number < 200 and number != 50]
        clip = write_clip(tmp_path / "gaps.mp4", (frames[n] for n in ticks), ticks=ticks)
        found = measure_clip(MeasureJob(clip, tmp_path / "out", (Region(130, 90, 60, 24),)))
        ((start, end, missing),) = found.analysis.gaps
        assert (start, end, missing) == (pytest.approx(179 / 25), pytest.approx(200 / 25), 20)
        assert found.analysis.bridged == 1
        assert any("1 gaps of 20 frames" in note for note in found.notes())
        assert found.analysis.findings[0].peak.frequency_hz == pytest.approx(2.1, abs=0.02)
        pieces = [each for each in signals_in(tmp_path / "out" / "displacement.uff") if each["rsp_dir"] == -2]
        assert sum(len(each["data"]) for each in pieces) == 379
        assert [each["x"][0] for each in pieces] == pytest.approx([0, 51 / 25, 200 / 25])


@needs_clips
class TestRealClips:
    def test_the_tuning_fork_sounds_at_its_mark_in_proposed_regions(self, tmp_path: Path) -> None:
        clip = CLIPS / "nvva_tuning_hz64_fps500.mp4"
        found = measure_clip(MeasureJob(clip, tmp_path / "out", capture_rate_hz=500))
        assert found.analysis.findings[0].peak.frequency_hz == pytest.approx(64, rel=0.01)
        assert any(line.startswith("64.0 Hz ") for line in found.lines())

    def test_a_compressor_and_the_fork_beside_it(self, tmp_path: Path) -> None:
        clip = CLIPS / "nvva_koolkast-cool_fps240.mp4"
        found = measure_clip(
            MeasureJob(clip, tmp_path / "out", (Region(130, 150, 64, 64),), capture_rate_hz=240)
        )
        frequencies = [finding.peak.frequency_hz for finding in found.analysis.findings]
        assert frequencies[0] == pytest.approx(32.1, rel=0.01)
        # At quantiser 32 amplitudes are uncertain by .05 px; the .03 px at twice the tone are told apart from motion.
        doubtful = {each.peak.frequency_hz: each.cause for each in found.analysis.artefacts}
        second = min(doubtful, key=lambda frequency_hz: abs(frequency_hz - 63.9))
        assert second == pytest.approx(63.9, abs=0.3)
        assert re.match(r"31\.9[456] Hz, mirrored", doubtful[second])

    def test_a_crane_sways(self, tmp_path: Path) -> None:
        clip = CLIPS / "crane_crop.mp4"
        job = MeasureJob(clip, tmp_path / "out", (Region(150, 100, 64, 64),), (Region(240, 140, 40, 140),))
        (finding,) = measure_clip(job).analysis.findings
        assert 0.2 <= finding.peak.frequency_hz <= 0.255


@pytest.mark.parametrize("scale", [None, Scale.stated(2.0)])
def test_millimetres_are_right_on_both_axes_of_pixels_that_are_not_square(
    scale: Scale | None, tmp_path: Path
) -> None:
    scene, path = textured(0, side=96), tmp_path / "wide.mp4"
    settings = EncodingSettings(
        96, 96, 25.0, Fraction(1, 25), constant_rate_factor=1, pixel_aspect=Fraction(4, 3)
    )
    with VideoWriter(path, settings) as video:
        for number in range(100):
            moved = shifted(scene, *(0.3 * math.sin(2 * math.pi * 3 * number / 25),) * 2)
            grey = np.clip(np.rint(moved), 0, 255).astype(np.uint8)
            video.write(np.repeat(grey[..., None], 3, axis=2), number / 25)
    found = measure_clip(MeasureJob(path, None, (Region(16, 16, 64, 64),), scale=scale))
    x, y = (found.analysis.regions[0].along(axis) for axis in ("x", "y"))
    assert x is not None
    assert y is not None
    along_x = 0.4 if scale else 0.3
    assert x.peaks[0].amplitude == pytest.approx(along_x, rel=0.02)
    assert y.peaks[0].amplitude == pytest.approx(0.3, rel=0.02)
    (note,) = (each for each in found.notes() if each.startswith("a pixel is 1.333 times as wide as high: "))
    assert note.endswith("all along x is told in such px" if scale else "another length than one along y")
