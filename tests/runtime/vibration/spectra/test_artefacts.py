"""Artefacts told from motion by their frequencies and strengths, each with its cause."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.spectra.analysis import RegionSeries, analyse_recording
from tremorscope.runtime.vibration.spectra.artefacts import ArtefactTable, Origin, Suspect
from tremorscope.runtime.vibration.spectra.peaks import Peak

RATE_HZ, DURATION_S = 30.0, 20.0
TIMES = np.arange(round(RATE_HZ * DURATION_S)) / RATE_HZ
CODED = Origin(key_rate_hz=RATE_HZ / 12, pattern_rate_hz=RATE_HZ / 4)
LIVE = Origin()


def suspect(frequency_hz: float, amplitude_px: float, error_px: float = 0.0) -> Suspect:
    return Suspect(
        Peak(frequency_hz, 0.001, amplitude_px, 0.001, "steady", None, None, None, 100.0), error_px
    )


def causes(origin: Origin, *suspects: Suspect) -> list[str]:
    return ArtefactTable(origin, RATE_HZ, DURATION_S).causes(suspects)


def series(
    *tones: tuple[float, float], noise_px: float = 0.002, brightness: tuple[float, float] = (1.0, 0.0)
) -> RegionSeries:
    """A region that moves along x by tones of frequency and amplitude, under light that swings at a frequency."""
    rng = np.random.default_rng(3)
    x_px = sum((a * np.sin(2 * np.pi * f * TIMES + 0.4) for f, a in tones), np.zeros(TIMES.size))
    swing = 1 + brightness[1] * np.sin(2 * np.pi * brightness[0] * TIMES)
    still_px = noise_px * rng.standard_normal((2, TIMES.size))
    region = Region(0, 0, 64, 64)
    return RegionSeries(
        "R1",
        region,
        x_px + still_px[0],
        still_px[1],
        np.ones(TIMES.size),
        np.stack([np.ones(TIMES.size), swing]),
        (noise_px,) * 2,
    )


@pytest.mark.parametrize(
    ("frequency_hz", "words"),
    [
        (7.5 - 3.37, "3.37 Hz, mirrored at 7.5 Hz by the pattern of B pictures"),
        (15 - 3.37, "3.37 Hz, mirrored at 15 Hz by the pattern of B pictures"),
        (2.5 + 3.37, "3.37 Hz, mirrored at 2.5 Hz by the key frames"),
        (30 - 9 * 3.37 + 1e-9, "9 x 3.37 Hz, folded at half the frame rate"),
    ],
)
def test_lines_of_coding_are_named(frequency_hz: float, words: str) -> None:
    found = causes(CODED, suspect(3.37, 0.3, 0.1), suspect(abs(frequency_hz), 0.05, 0.1))
    assert found == ["", words]


def test_jolts_of_key_frames_are_named_in_a_still_scene() -> None:
    (found,) = causes(CODED, suspect(7.5, 0.01, 0.1))
    assert found.startswith("jolts at the key frames, 2.5 a second")


def test_what_is_stronger_than_compression_makes_stays() -> None:
    assert causes(CODED, suspect(3.37, 0.3, 0.01), suspect(7.5 - 3.37, 0.05, 0.01)) == ["", ""]


def test_what_is_weaker_than_compression_takes_is_no_finding() -> None:
    assert causes(CODED, suspect(3.37, 0.3, 0.1), suspect(8.88, 0.05, 0.1))[1].startswith(
        "weaker than 1.2 times the 0.1 px"
    )
    for mirrored_px, lost_px in ((0.110, 0.065), (0.104, 0.032)):  # clips 23 and 15 of tests/phantoms.py
        told = causes(CODED, suspect(7.5 - 3.37, mirrored_px, 0.1), suspect(3.37, lost_px, 0.1))
        assert all(told), told
    assert causes(CODED, suspect(3.37, 0.13, 0.1)) == [""]
    assert causes(LIVE, suspect(3.37, 0.3), suspect(8.88, 0.0005)) == ["", ""]


def test_of_a_frequency_in_several_regions_the_surest_is_told_and_moves_in_the_mode() -> None:
    """Along an edge a coder moves the picture as it likes: 0.28 px along x came out of 0.1 px along y."""
    edge = replace(series((2.1, 0.28)), coding_error_px=(0.15, 0.05))
    sure = series((2.1, 0.1))
    sure = replace(sure, name="R2", x_px=sure.y_px, y_px=sure.x_px, coding_error_px=(0.03, 0.03))
    found = analyse_recording(TIMES, [edge, sure], origin=CODED)
    (finding,) = found.findings
    assert (finding.region, finding.axis) == (1, "y")
    assert finding.peak.amplitude == pytest.approx(0.1, abs=0.001)
    assert finding.seen_in == ((1, "y", finding.peak.amplitude),)
    (mode,) = found.modes
    assert np.abs(mode.shape) == pytest.approx([0, 0, 0, 1])
    assert mode.peak.amplitude == pytest.approx(0.1, abs=0.001)
    assert mode.peak.amplitude_sigma == pytest.approx(0.03, abs=0.001)
    uncoded = [replace(each, coding_error_px=(0.0, 0.0)) for each in (edge, sure)]
    assert analyse_recording(TIMES, uncoded).findings[0].peak.amplitude == pytest.approx(0.28, abs=0.001)
    (mode,) = analyse_recording(TIMES, uncoded).modes
    assert np.abs(mode.shape) == pytest.approx([1, 0, 0, 0.1 / 0.28], abs=0.02)


@given(st.floats(0.5, 14.5), st.floats(0.5, 14.5), st.floats(0.05, 0.7))
def test_a_second_tone_is_lost_only_on_a_folded_multiple(
    one_hz: float, other_hz: float, share: float
) -> None:
    """Of a live camera, where nothing but folding and regular drops makes tones."""
    found = causes(LIVE, suspect(one_hz, 0.3), suspect(other_hz, 0.3 * share))
    assert found[0] == ""
    if found[1]:
        folded = [abs(math.remainder(n * one_hz, RATE_HZ)) for n in (2, 3, 4, 5, 6)]
        held = [abs(RATE_HZ / 2 - one_hz), abs(RATE_HZ / 2 - 3 * one_hz), abs(3 * one_hz - RATE_HZ)]
        assert min(abs(other_hz - hz) for hz in (*folded, *held)) < 1 / DURATION_S + 0.1


def test_a_tone_on_a_rhythm_of_a_live_camera_is_motion() -> None:
    assert causes(LIVE, suspect(7.5, 0.3), suspect(5.0, 0.1)) == ["", ""]


def test_pictures_held_in_a_cycle_mirror_a_tone() -> None:
    """24 pictures a second shown as 30, and 15 as 30, in a recording that hides the repeats."""
    for filmed_hz in (24, 15):
        held = np.floor(np.arange(TIMES.size) * filmed_hz / RATE_HZ + 1e-9) / filmed_hz
        moved = series()
        moved.x_px[:] += 0.3 * np.sin(2 * np.pi * 3.37 * held)
        found = analyse_recording(TIMES, [moved])
        assert [round(each.peak.frequency_hz, 1) for each in found.findings] == [3.4]
        assert "repeat or are missing" in found.artefacts[0].cause
        assert [round(mode.frequency_hz, 1) for mode in found.modes] == [3.4]


def test_lamps_behind_a_rolling_shutter_are_named() -> None:
    """Bands of light leave more motion than an even change of it: 0.05 px for a swing of a tenth."""
    found = analyse_recording(TIMES, [series((2.1, 0.1), (10.3, 0.03), brightness=(10.3, 0.1))])
    assert [round(each.peak.frequency_hz, 1) for each in found.findings] == [2.1]
    (lamp,) = found.artefacts
    assert lamp.cause == "lamps that flicker at 100 Hz, folded by the frame rate"
    assert found.regions[0].x is not None
    assert [cause for _, cause in found.regions[0].x.artefacts] == [lamp.cause]


def test_multiples_of_a_lamps_flicker_are_named_where_the_light_swings_as_they_say() -> None:
    """Twice 100.3 Hz is seen at 9.4 Hz, of 30 frames a second."""
    tones = (2.1, 0.1), (10.3, 0.03), (9.4, 0.004)
    found = analyse_recording(TIMES, [series(*tones, brightness=(10.3, 0.1))])
    assert [round(each.peak.frequency_hz, 1) for each in found.findings] == [2.1]
    assert [each.cause for each in found.artefacts] == [
        f"lamps that flicker at {times}100 Hz, folded by the frame rate" for times in ("", "2 times ")
    ]
    found = analyse_recording(TIMES, [series((2.1, 0.1), (9.4, 0.004), brightness=(5.0, 0.1))])
    assert [round(each.peak.frequency_hz, 1) for each in found.findings] == [2.1, 9.4]


def test_slow_light_makes_no_lamp_of_a_slow_tone() -> None:
    """At 30 frames a second 120 Hz stands still, and clouds swing by 1 % at a third of a bridge's first frequency."""
    found = analyse_recording(TIMES, [series((1.2, 0.008), noise_px=0.0005, brightness=(0.4, 0.01))])
    assert [round(each.peak.frequency_hz, 1) for each in found.findings] == [1.2]
    assert [round(mode.frequency_hz, 1) for mode in found.modes] == [1.2]


def test_a_camera_that_drifts_hides_no_tone() -> None:
    """It pans by 50 px, ever faster; over 20 s that is .4 px at 2.1 Hz, were it taken for a tone."""
    panned = 50 * (TIMES / TIMES[-1]) ** 2
    moved = replace(series((2.1, 0.008), noise_px=0.0005), camera_px=np.stack([panned, panned]))
    assert [round(each.peak.frequency_hz, 1) for each in analyse_recording(TIMES, [moved]).findings] == [2.1]


def test_a_tone_at_the_mains_without_a_swing_of_light_is_motion() -> None:
    found = analyse_recording(TIMES, [series((10.0, 0.03))])
    assert [round(each.peak.frequency_hz, 2) for each in found.findings] == [10.0]
    assert found.artefacts == ()


def test_few_cycles_never_rank_above_a_tone_that_is_well_determined() -> None:
    found = analyse_recording(TIMES, [series((0.17, 0.8), (12.8, 0.02))])
    assert [round(each.peak.frequency_hz, 1) for each in found.findings] == [12.8, 0.2]
    assert found.findings[1].peak.amplitude > 10 * found.findings[0].peak.amplitude
    assert found.regions[0].x is not None
    assert round(found.regions[0].x.peaks[0].frequency_hz, 1) == 12.8
    assert round(found.modes[0].frequency_hz, 1) == 12.8


@pytest.mark.parametrize(("left_px", "is_motion"), [(0.02, False), (0.2, True)])
def test_what_is_left_of_the_cameras_own_motion_is_no_finding(left_px: float, is_motion: bool) -> None:
    """A camera that sways by .6 px at 9.4 Hz, taken out by still regions up to what is left."""
    swayed = 0.6 * np.sin(2 * np.pi * 9.4 * TIMES + 1.0)
    moved = replace(series((4.7, 0.05), (9.4, left_px)), camera_px=np.stack([swayed, np.zeros(TIMES.size)]))
    found = analyse_recording(TIMES, [moved])
    assert {round(each.peak.frequency_hz, 1) for each in found.findings} == (
        {4.7, 9.4} if is_motion else {4.7}
    )
    assert {round(each.frequency_hz, 1) for each in found.modes} == ({4.7, 9.4} if is_motion else {4.7})
    if not is_motion:
        assert [each.cause for each in found.artefacts] == [
            "what is left of the camera's own 0.6 px at this frequency"
        ]
