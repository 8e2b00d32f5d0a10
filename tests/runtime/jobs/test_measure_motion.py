"""A clip's velocity, acceleration, orders, phases and limits: true, and in every file that is left."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import pyuff
from av.bitstream import BitStreamFilterContext
from numpy.typing import NDArray
from scenes import filmed, shifted, textured
from support import ROOT, Picture, run_command, write_clip

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.jobs.measure import RESULT_NAMES, MeasureJob, measure_clip
from tremorscope.runtime.reports.measurement import Measurement
from tremorscope.runtime.reports.motion import peak_text
from tremorscope.runtime.vibration.displacement.regions import Region, Scale
from tremorscope.runtime.vibration.monitoring.standards import criterion_of, stated_criteria

RATE_HZ, SECONDS = 25.0, 10.0
TIMES = np.arange(round(RATE_HZ * SECONDS)) / RATE_HZ
PARTS = (Region(48, 48, 64, 64), Region(208, 48, 64, 64))
HZ = (2.13, 6.0)
ALONG_Y = ((0.4, 0.2), (0.28, -0.2))
"""Amplitude in px of each part of the picture at either frequency; along x the first runs on an ellipse besides."""
ASIDE = 0.15
CLIPS = ROOT.parent / "shared" / "clips"
TURN = 2 * math.pi
Values = NDArray[np.float64]


def exact(part: int, order: int = 0) -> Values:
    """The true displacement of a part along y in px, or its derivative."""
    tones = [
        amplitude * (TURN * hz) ** order * np.sin(TURN * hz * TIMES + order * math.pi / 2)
        for amplitude, hz in zip(ALONG_Y[part], HZ, strict=True)
    ]
    return np.sum(tones, axis=0)


def film() -> Iterator[Picture]:
    """Two textures side by side, each moved by exact Fourier shifts, as a camera of some noise sees them."""
    rng, halves = np.random.default_rng(3), (textured(1), textured(2))
    aside = ASIDE * np.cos(TURN * HZ[0] * TIMES)
    for number in range(TIMES.size):
        moved = [
            shifted(half, aside[number] * (part == 0), exact(part)[number])
            for part, half in enumerate(halves)
        ]
        grey = filmed(np.concatenate(moved, axis=1), rng, 0.7).astype(np.uint8)
        yield np.repeat(grey[:, :, None], 3, axis=2)


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "bridge.mp4", film())


@pytest.fixture(scope="module")
def measured(bridge: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Measurement, Path]:
    directory = tmp_path_factory.mktemp("results") / "bridge"
    job = MeasureJob(
        bridge,
        directory,
        PARTS,
        scale=Scale.stated(2.0),
        speed_rpm=2.13 * 60,
        criteria=(
            criterion_of("en-1990-footbridge", "vertical"),
            criterion_of("din-4150-3", "residential"),
            *stated_criteria(limits=("velocity", "rms", "mm/s", "1:20 8:60")),
        ),
    )
    return measure_clip(job), directory


@pytest.mark.parametrize(("quantity", "order"), [("velocity", 1), ("acceleration", 2)])
@pytest.mark.parametrize("number", [0, 1])
def test_rates_are_true_to_a_per_cent_with_their_phase(
    measured: tuple[Measurement, Path], quantity: str, order: int, number: int
) -> None:
    """6 Hz are 0.6 of the trusted band; a shift in time by a hundredth of a cycle would leave 6 per cent."""
    motion = measured[0].motion
    rate, true = motion.series[quantity, number, "y"], exact(number, order)  # type: ignore[index]
    known = np.isfinite(rate)
    assert known.sum() == TIMES.size - 30
    assert float(rate[known] @ true[known] / (true[known] @ true[known])) == pytest.approx(1, abs=0.01)
    levels = motion.levels[quantity, number, "y"]  # type: ignore[index]
    assert np.sqrt(np.mean((rate - true)[known] ** 2)) < 2 * (levels.noise or 0) < 0.05 * np.abs(true).max()
    assert levels.rms == pytest.approx(np.sqrt(np.mean(true[known] ** 2)), rel=0.01)
    assert levels.peak == pytest.approx(np.abs(true).max(), rel=0.04)


def test_peaks_are_told_as_velocity_acceleration_and_order(measured: tuple[Measurement, Path]) -> None:
    first, second = measured[0].summary()["peaks"][:2]
    assert first["velocity_px_s"] == pytest.approx(0.4 * TURN * 2.13, rel=0.01)
    assert first["velocity_mm_s"] == pytest.approx(2 * first["velocity_px_s"])
    assert first["acceleration_m_s2"] == pytest.approx(2e-3 * first["acceleration_px_s2"])
    assert second["acceleration_px_s2"] == pytest.approx(0.2 * (TURN * 6) ** 2, rel=0.01)
    assert (first["order"], second["order"]) == (1, None)
    assert second["orders"] == pytest.approx(6 / 2.13, abs=0.01)
    lines = measured[0].lines()
    assert any("order 1" in line and "mm/s" in line and "m/s2" in line for line in lines)
    assert any("2.82 orders" in line for line in lines)
    assert any(
        line.startswith("rates       velocity and acceleration are true from 0.2 to 10 Hz") for line in lines
    )


def test_phases_and_orbits_are_those_of_the_motion(measured: tuple[Measurement, Path]) -> None:
    first, second = measured[0].summary()["peaks"][:2]
    (beside,) = [
        each for each in first["phases"]["channels"] if (each["region"], each["axis"]) == ("R2", "y")
    ]
    assert beside["phase_deg"] == pytest.approx(0, abs=3)
    assert beside["ratio"] == pytest.approx(0.7, rel=0.02)
    (opposite,) = [each for each in second["phases"]["channels"] if each["axis"] == "y"]
    assert abs(opposite["phase_deg"]) == pytest.approx(180, abs=3)
    (ellipse,) = [each for each in first["orbits"] if each["region"] == "R1"]
    assert (ellipse["major_px"], ellipse["minor_px"]) == pytest.approx((0.4, ASIDE), rel=0.03)
    assert ellipse["angle_deg"] == pytest.approx(90, abs=2)
    # At the start it is at the right and goes down: clockwise as seen.
    assert ellipse["sense"] == "clockwise"


def test_limits_are_told_with_edition_clause_margin_and_what_was_not_judged(
    measured: tuple[Measurement, Path],
) -> None:
    entries = measured[0].summary()["limits"]
    assert len(entries) == 6
    comfort, building, curve = entries[0], entries[2], entries[4]
    assert comfort["source"] == "EN 1990:2002/A1:2005, A2.4.3.2, vertical"
    # 6 Hz lie in the edge of the band: a tenth of them passes.
    edge = math.cos(math.pi / 2 * 0.8) ** 2
    crest = 0.4 * (TURN * 2.13) ** 2 + edge * 0.2 * (TURN * 6) ** 2
    assert comfort["value"] == pytest.approx(2e-3 * crest, rel=0.03)
    assert comfort["margin"] == pytest.approx(1 - comfort["value"] / 0.7)
    assert building["verdict"] == "exceeded"  # 10 mm/s at 2 Hz, where 5 are allowed
    assert building["judged_hz"] == [1.0, 10.0]
    assert "table 1, line 2" in building["source"]
    assert curve["verdict"] == "kept"
    lines = [line for line in measured[0].lines() if "judged only up to 10 of 100 Hz" in line]
    assert len(lines) == 2


def test_every_file_is_left_and_read_by_others(measured: tuple[Measurement, Path]) -> None:
    found, directory = measured
    assert {each.name for each in directory.iterdir()} == set(RESULT_NAMES)
    for quantity, kind, unit in (
        ("displacement", 8, "mm"),
        ("velocity", 11, "mm/s"),
        ("acceleration", 12, "m/s2"),
    ):
        sets = [
            each for each in pyuff.UFF(str(directory / f"{quantity}.uff")).read_sets() if each["type"] == 58
        ]
        assert {each["ordinate_spec_data_type"] for each in sets} == {kind}
        assert {each["ordinate_axis_units_lab"] for each in sets} == {unit}
        with (directory / f"{quantity}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == found.times_s.size
        column = f"R1_y_{unit.replace('/', '_')}"
        values = np.array([float(row[column]) for row in rows if row[column]])
        (of_first,) = [each for each in sets if each["rsp_node"] == 1 and each["rsp_dir"] == -2]
        assert of_first["data"] == pytest.approx(values, rel=1e-4, abs=1e-4 * np.abs(values).max())
    assert json.loads((directory / "summary.json").read_text())["rates_true_hz"] == pytest.approx([0.2, 10])
    page = (directory / "report.html").read_text()
    for words in ("Velocity and acceleration", "Phase at", "A2.4.3.2", "mm/s", "m/s²", "order 1", "exceeded"):
        assert words in page
    # Every peak's velocity and acceleration with its uncertainty, as the terminal tells them.
    table = page[page.index("Peaks as velocity and acceleration") :].partition("</table>")[0]
    for told in (
        peak_text(each.peak, measured[0].scale, None, 1.0) for each in measured[0].analysis.findings
    ):
        for amount in told.split("  "):
            assert f">{amount.rpartition(' ')[0]}<" in table


def test_without_a_scale_nothing_is_told_in_millimetres(bridge: Path, tmp_path: Path) -> None:
    curve = stated_criteria(limits=("velocity", "rms", "px/s", "1:20 8:60"))
    found = measure_clip(MeasureJob(bridge, tmp_path / "out", PARTS[:1], criteria=curve))
    text = "\n".join([*found.lines(), json.dumps(found.summary())])
    assert "px/s" in text
    assert "mm/s" not in text
    assert "m/s2" not in text
    assert (tmp_path / "out" / "velocity.csv").read_text().startswith("time_s,R1_x_px_s,R1_y_px_s,R1_quality")
    with pytest.raises(OptionFault, match="a limit in m/s2 needs a scale"):
        measure_clip(
            MeasureJob(bridge, None, PARTS, criteria=(criterion_of("en-1990-footbridge", "vertical"),))
        )


def test_a_clip_without_times_is_not_judged(tmp_path: Path, bridge: Path) -> None:
    """A raw stream holds no rate: 25 frames a second are FFmpeg's guess."""
    raw = tmp_path / "bridge.h264"
    with av.open(str(bridge)) as source, raw.open("wb") as file:
        stream = source.streams.video[0]
        annexb = BitStreamFilterContext("h264_mp4toannexb", stream)
        for packet in source.demux(stream):
            for plain in annexb.filter(packet):
                file.write(bytes(plain))
    job = MeasureJob(
        raw, None, PARTS[:1], scale=Scale.stated(2.0), criteria=(criterion_of("din-4150-3", "sensitive"),)
    )
    with pytest.raises(
        OptionFault, match=r"its rate is unknown and no limit can be judged: state the true rate"
    ):
        measure_clip(job)


@pytest.mark.skipif(not CLIPS.is_dir(), reason="needs the collection of real clips beside the repository")
def test_a_real_forks_prongs_are_in_opposition_at_its_mark() -> None:
    prongs = (Region(268, 60, 64, 96), Region(340, 60, 56, 96))
    clip = CLIPS / "nvva_tuning_hz64_fps500.mp4"
    found = measure_clip(MeasureJob(clip, None, prongs, capture_rate_hz=500, speed_rpm=64.04 * 60))
    peak = found.summary()["peaks"][0]
    assert peak["frequency_hz"] == pytest.approx(64, rel=0.01)
    left, right = found.analysis.modes[0].shape[0::2].real
    assert left * right < -0.8
    assert peak["order"] == 1
    assert peak["velocity_px_s"] == pytest.approx(TURN * 64.04 * peak["amplitude_px"], rel=0.01)
    (other,) = [each for each in peak["phases"]["channels"] if each["axis"] == "x" and each["ratio"] > 0.3]
    assert abs(other["phase_deg"]) > 160
    band = found.motion.band_hz
    assert band[1] == pytest.approx(200, rel=0.01)


def test_the_command_takes_it_all_and_tells_mistakes_in_a_line(bridge: Path, tmp_path: Path) -> None:
    place = ["--roi", *map(str, (PARTS[0].x_px, PARTS[0].y_px, PARTS[0].width_px, PARTS[0].height_px))]
    wrong = run_command(
        "measure",
        bridge,
        "-o",
        tmp_path / "a",
        *place,
        "--scale",
        2,
        "--standard",
        "en1990",
        "--class",
        "vertical",
    )
    assert wrong.returncode != 0
    assert "did you mean en-1990-footbridge" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    assert not (tmp_path / "a").exists()
    done = run_command(
        "measure", bridge, "-o", tmp_path / "b", *place, "--scale", 2, "--speed-rpm", 1278,
        "--standard", "iso-20816-3", "--class", "group-1-rigid", "--limits", "velocity", "rms", "mm/s", "1:1 8:1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "not judged  R1: 25 frames/s show up to 10 Hz, and its band begins at 10 Hz" in done.stdout
    assert "exceeded    R1: RMS velocity" in done.stdout
    assert "0.10 orders" in done.stdout
