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
from support import ROOT, Picture, run_command, write_clip

from tremorscope.runtime.cameras.synthetic import SyntheticCamera, SyntheticMode, SyntheticSettings
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.jobs.measure import RESULT_NAMES, MeasureJob, measure_clip
from tremorscope.runtime.reports.measurement import Measurement
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.displacement.scale import Scale
from tremorscope.runtime.vibration.monitoring.standards import criterion_of, stated_criteria

SETTINGS = SyntheticSettings(
    400,
    224,
    rate_hz=25.0,
    modes=(SyntheticMode(2.13, 0.4, 1), SyntheticMode(6.0, 0.2, 2)),
    duration_s=10.0,
    reuse_noise=True,
)
GIRDER = tuple(Region(*SETTINGS.girder_px(along)) for along in (0.25, 0.5, 0.75))
CLIPS = ROOT.parent / "shared" / "clips"
TURN = 2 * math.pi
Values = NDArray[np.float64]


def film(settings: SyntheticSettings) -> Iterator[Picture]:
    camera = SyntheticCamera(settings)
    frame = np.empty((settings.height_px, settings.width_px, 3), np.uint8)
    while camera.read_into(frame) is not None:
        yield frame.copy()


def true_px(region: Region, mode: SyntheticMode) -> float:
    """Amplitude of a mode, averaged over a region's columns; with its sign."""
    alone = SyntheticSettings(SETTINGS.width_px, SETTINGS.height_px, rate_hz=25.0, modes=(mode,))
    columns = np.arange(region.x_px, region.x_px + region.width_px)
    return float(alone.displacement_px(columns, 0.25 / mode.frequency_hz).mean())


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "bridge.mp4", film(SETTINGS))


@pytest.fixture(scope="module")
def measured(bridge: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Measurement, Path]:
    directory = tmp_path_factory.mktemp("results") / "bridge"
    job = MeasureJob(
        bridge,
        directory,
        GIRDER,
        scale=Scale.stated(2.0),
        speed_rpm=2.13 * 60,
        criteria=(
            criterion_of("en-1990-footbridge", "vertical"),
            criterion_of("din-4150-3", "residential"),
            *stated_criteria(limits=("velocity", "rms", "mm/s", "1:20 8:40")),
        ),
    )
    return measure_clip(job), directory


@pytest.mark.parametrize(("quantity", "order"), [("velocity", 1), ("acceleration", 2)])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_rates_are_true_to_a_per_cent_with_their_phase(
    measured: tuple[Measurement, Path], quantity: str, order: int, number: int
) -> None:
    """6 Hz are 0.6 of the trusted band. The meter's own amplitude is within a good per cent of this drawn clip's."""
    found = measured[0]

    def exact(times: int) -> Values:
        parts = [
            true_px(GIRDER[number], mode)
            * (TURN * mode.frequency_hz) ** times
            * np.sin(TURN * mode.frequency_hz * found.times_s + times * math.pi / 2)
            for mode in SETTINGS.modes
        ]
        return np.sum(parts, axis=0)

    rate = found.motion.series[quantity, number, "y"]  # type: ignore[index]
    moved = found.motion.series["displacement", number, "y"]
    known, true = np.isfinite(rate), exact(order)
    assert known.mean() > 0.85
    slope = float(rate[known] @ true[known] / (true[known] @ true[known]))
    metered = float((moved - moved.mean()) @ exact(0) / (exact(0) @ exact(0)))
    assert slope == pytest.approx(metered, abs=0.01)
    assert slope == pytest.approx(1, abs=0.02)
    levels = found.motion.levels[quantity, number, "y"]  # type: ignore[index]
    rest = np.sqrt(np.mean((rate[known] - slope * true[known]) ** 2))
    assert rest < 3 * (levels.noise or 0)
    assert levels.rms == pytest.approx(np.sqrt(np.mean(true[known] ** 2)), rel=0.025)
    assert levels.peak == pytest.approx(np.abs(true).max(), rel=0.05)


def test_peaks_are_told_as_velocity_acceleration_and_order(measured: tuple[Measurement, Path]) -> None:
    first, second = measured[0].summary()["peaks"][:2]
    amplitude = abs(true_px(GIRDER[1], SETTINGS.modes[0]))
    assert first["velocity_px_s"] == pytest.approx(amplitude * TURN * 2.13, rel=0.02)
    assert first["velocity_mm_s"] == pytest.approx(2 * first["velocity_px_s"])
    assert first["acceleration_m_s2"] == pytest.approx(2e-3 * first["acceleration_px_s2"])
    assert (first["order"], second["order"]) == (1, None)
    assert second["orders"] == pytest.approx(6 / 2.13, abs=0.01)
    lines = measured[0].lines()
    assert any("order 1" in line and "mm/s" in line and "m/s2" in line for line in lines)
    assert any("2.82 orders" in line for line in lines)
    assert any(
        line.startswith("rates       velocity and acceleration are true from 0.2 to 10 Hz") for line in lines
    )


def test_phases_between_the_quarters_are_those_of_the_modes(measured: tuple[Measurement, Path]) -> None:
    first, second = measured[0].summary()["peaks"][:2]
    quarters = [each for each in first["phases"]["channels"] if each["axis"] == "y"]
    assert [each["phase_deg"] for each in quarters] == pytest.approx([0, 0], abs=4)
    (opposite,) = [
        each for each in second["phases"]["channels"] if each["axis"] == "y" and each["ratio"] > 0.5
    ]
    assert abs(opposite["phase_deg"]) == pytest.approx(180, abs=3)
    assert {each["region"] for each in first["orbits"]} <= {"R1", "R2", "R3"}
    assert all(each["sense"] == "straight" for each in first["orbits"])


def test_limits_are_told_with_edition_clause_margin_and_what_was_not_judged(
    measured: tuple[Measurement, Path],
) -> None:
    entries = measured[0].summary()["limits"]
    assert len(entries) == 9
    comfort, building, curve = entries[1], entries[4], entries[7]
    acceleration = 2e-3 * abs(true_px(GIRDER[1], SETTINGS.modes[0])) * (TURN * 2.13) ** 2
    assert comfort["source"] == "EN 1990:2002/A1:2005, A2.4.3.2, vertical"
    assert comfort["value"] == pytest.approx(acceleration, rel=0.06)
    assert comfort["margin"] == pytest.approx(1 - comfort["value"] / 0.7)
    assert building["verdict"] == "exceeded"  # 10 mm/s at 2 Hz, where 5 are allowed
    assert building["judged_hz"] == [1.0, 10.0]
    assert "table 1, line 2" in building["source"]
    assert curve["verdict"] == "kept"
    lines = [line for line in measured[0].lines() if "judged only up to 10 of 100 Hz" in line]
    assert len(lines) == 3


def test_every_file_is_left_and_read_by_others(measured: tuple[Measurement, Path]) -> None:
    found, directory = measured
    assert {each.name for each in directory.iterdir()} == set(RESULT_NAMES)
    for quantity, kind, unit in (
        ("displacement", 8, "mm"),
        ("velocity", 11, "mm/s"),
        ("acceleration", 12, "m/s2"),
    ):
        sets = pyuff.UFF(str(directory / f"{quantity}.uff")).read_sets()
        assert {each["ordinate_spec_data_type"] for each in sets} == {kind}
        assert {each["ordinate_axis_units_lab"] for each in sets} == {unit}
        with (directory / f"{quantity}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == found.times_s.size
        column = f"R2_y_{unit.replace('/', '_')}"
        values = np.array([float(row[column]) for row in rows if row[column]])
        (of_mid_span,) = [each for each in sets if each["rsp_node"] == 2 and each["rsp_dir"] == -2]
        assert of_mid_span["data"] == pytest.approx(values, rel=1e-4, abs=1e-4 * np.abs(values).max())
    assert json.loads((directory / "summary.json").read_text())["rates_true_hz"] == pytest.approx([0.2, 10])
    page = (directory / "report.html").read_text()
    for words in ("Velocity and acceleration", "Phase at", "A2.4.3.2", "mm/s", "m/s²", "order 1", "exceeded"):
        assert words in page


def test_without_a_scale_nothing_is_told_in_millimetres(bridge: Path, tmp_path: Path) -> None:
    curve = stated_criteria(limits=("velocity", "rms", "px/s", "1:20 8:40"))
    found = measure_clip(MeasureJob(bridge, tmp_path / "out", GIRDER[1:2], criteria=curve))
    text = "\n".join([*found.lines(), json.dumps(found.summary())])
    assert "px/s" in text
    assert "mm/s" not in text
    assert "m/s2" not in text
    assert (tmp_path / "out" / "velocity.csv").read_text().startswith("time_s,R1_x_px_s,R1_y_px_s,R1_quality")
    with pytest.raises(OptionFault, match="a limit in m/s2 needs a scale"):
        measure_clip(
            MeasureJob(bridge, None, GIRDER, criteria=(criterion_of("en-1990-footbridge", "vertical"),))
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
        raw, None, GIRDER[1:2], scale=Scale.stated(2.0), criteria=(criterion_of("din-4150-3", "sensitive"),)
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
    assert peak["order"] == 1
    assert peak["velocity_px_s"] == pytest.approx(TURN * 64.04 * peak["amplitude_px"], rel=0.01)
    (other,) = [each for each in peak["phases"]["channels"] if each["axis"] == "x" and each["ratio"] > 0.3]
    assert abs(other["phase_deg"]) > 160
    band = found.motion.band_hz
    assert band[1] == pytest.approx(200, rel=0.01)


def test_the_command_takes_it_all_and_tells_mistakes_in_a_line(bridge: Path, tmp_path: Path) -> None:
    place = ["--roi", *map(str, (GIRDER[1].x_px, GIRDER[1].y_px, GIRDER[1].width_px, GIRDER[1].height_px))]
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
        "measure", bridge, "-o", tmp_path / "b", *place, "--scale", 2, "--speed-rpm", 60,
        "--standard", "iso-20816-3", "--class", "group-1-rigid", "--limits", "velocity", "rms", "mm/s", "1:1 8:1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "not judged  R1: 25 frames/s show up to 10 Hz, and its band begins at 10 Hz" in done.stdout
    assert "exceeded    R1: RMS velocity" in done.stdout
    assert "2.13 orders" in done.stdout
