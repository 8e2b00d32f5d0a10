"""Filtered magnification: what passes, what does not, and that nothing jumps, drifts or stays poisoned."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tremorscope.runtime.engines.interface.bundle import open_bundle
from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeBandEngine
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.magnification.band_magnifier import BandMagnifier
from tremorscope.runtime.magnification.filters import BandSettings, Design, design, first_frame, slow_average

RATE_HZ = 30.0
CENTRE_HZ = 3.5**0.5 * 2.5**0.5
THREE_HZ = partial(design, BandSettings(((2.5, 3.5),)))
SIX_HZ = partial(design, BandSettings(((5.5, 6.5),)))
SIZE_PX = 16


class Scene:
    """A flat picture whose grey level is the signal: what the stand-in network magnifies is then its level.

    The signal is spread over the pixels as thresholds, so that the mean of 8-bit pixels has its fractions.
    """

    def __init__(self, linear_bundle: Path, design: Design, amplification: float = 2.0) -> None:
        bundle = open_bundle(linear_bundle)
        self.engine = OnnxRuntimeBandEngine(
            bundle.graph_path("band"), bundle.representation, width_px=SIZE_PX, height_px=SIZE_PX, threads=1
        )
        self.magnifier = BandMagnifier(self.engine, design, amplification=amplification, rate_hz=RATE_HZ)
        self._frames = np.zeros((2, SIZE_PX, SIZE_PX, 3), np.uint8)
        self._thresholds = (np.arange(SIZE_PX * SIZE_PX).reshape(SIZE_PX, SIZE_PX, 1) + 0.5) / SIZE_PX**2
        self._number = 0
        self.magnified = np.zeros_like(self._frames[0])

    def show(self, level: float, time_s: float) -> float:
        """Film one frame of this level; the level of the magnified picture above that of the filmed one."""
        frame = self._frames[self._number % 2]
        self._number += 1
        frame[:] = np.floor(level + self._thresholds)
        self.magnifier.step(frame, self.magnified, time_s)
        return float(self.magnified.mean() - frame.mean())

    def play(self, levels: Iterable[float], rate_hz: float = RATE_HZ, start_s: float = 0.0) -> np.ndarray:
        """Film a sequence of levels."""
        return np.array([self.show(v, start_s + n / rate_hz) for n, v in enumerate(levels)])


def tone(
    frequency_hz: float, seconds: float, *, amplitude: float = 8.0, rate_hz: float = RATE_HZ
) -> np.ndarray:
    return 128 + amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate_hz)) / rate_hz)


def largest_step(values: np.ndarray) -> float:
    return float(np.abs(np.diff(values)).max())


# What passes


def test_motion_at_the_centre_gets_amplification_times_as_large_and_stays_in_step(
    linear_bundle: Path,
) -> None:
    levels = tone(CENTRE_HZ, 8)
    added = Scene(linear_bundle, THREE_HZ, amplification=4.0).play(levels)
    settled = slice(120, None)
    np.testing.assert_allclose(added[settled], 3 * (levels[settled] - 128), atol=1.5)


def test_motion_outside_the_band_stays_as_filmed(linear_bundle: Path) -> None:
    for frequency_hz in (0.5, 7.0, 12.0):
        added = Scene(linear_bundle, THREE_HZ, amplification=4.0).play(tone(frequency_hz, 8))
        assert np.abs(added[120:]).max() < 0.05 * 3 * 8


def test_magnification_fades_in_while_the_filter_settles(linear_bundle: Path) -> None:
    scene = Scene(linear_bundle, THREE_HZ)
    settling_s = scene.magnifier.settling_s
    assert settling_s == pytest.approx(2.333, abs=0.01)
    left = []
    for n, level in enumerate(tone(3.0, 4)):
        scene.show(level, n / RATE_HZ)
        left.append(scene.magnifier.settling_left_s)
    assert left[0] == pytest.approx(settling_s)
    assert left[30] == pytest.approx(settling_s - 1)
    assert left[75] == 0
    added = np.abs(Scene(linear_bundle, THREE_HZ).play(tone(3.0, 8, amplitude=40.0)))
    assert added[:6].max() < 1 < added[100:].max() / 30


def test_a_bright_scene_that_is_still_is_still_from_the_first_frame(linear_bundle: Path) -> None:
    assert np.abs(Scene(linear_bundle, THREE_HZ, 50.0).play([200.0] * 90)).max() == 0


# No bang


@pytest.mark.parametrize("other_rate_hz", [24.0, 29.0, 45.0, 60.0])
def test_a_changed_camera_rate_makes_no_jump_and_the_band_stays_in_hz(
    linear_bundle: Path, other_rate_hz: float
) -> None:
    scene = Scene(linear_bundle, THREE_HZ)
    before = scene.play(tone(CENTRE_HZ, 8, amplitude=20))
    time_s = 8 + np.arange(round(8 * other_rate_hz)) / other_rate_hz
    true = 20 * np.sin(2 * np.pi * CENTRE_HZ * time_s)
    after = scene.play(128 + true, rate_hz=other_rate_hz, start_s=8.0)
    assert scene.magnifier.rate_hz == pytest.approx(other_rate_hz, rel=0.0051)
    assert np.abs(after).max() <= np.abs(before).max() * 1.1
    assert np.abs(after[: len(after) // 4]).max() > 17, "it went on, it did not start again"
    # The rate needs a few frames to be known; from then on the tone is where it belongs.
    settled = slice(len(after) // 2, None)
    np.testing.assert_allclose(after[settled], true[settled], atol=2.0)


def test_a_rate_that_is_expected_is_designed_for_in_the_same_step(linear_bundle: Path) -> None:
    """Heat halves the rate: from the very next frame the filter is one for half the rate, with the state it had."""
    true = 20 * np.sin(2 * np.pi * CENTRE_HZ * np.arange(round(16 * RATE_HZ)) / RATE_HZ)
    scene = Scene(linear_bundle, THREE_HZ)
    whole = scene.play(128 + true)
    scene = Scene(linear_bundle, THREE_HZ)
    scene.play(128 + true[: 8 * round(RATE_HZ)])
    scene.magnifier.expect_rate(RATE_HZ / 2)
    assert scene.magnifier.rate_hz == RATE_HZ / 2
    half = slice(8 * round(RATE_HZ), None, 2)
    found = scene.play(128 + true[half], rate_hz=RATE_HZ / 2, start_s=8.0)
    assert scene.magnifier.rate_hz == pytest.approx(RATE_HZ / 2, rel=0.0051)
    assert scene.magnifier.bridged_frames == 0, "no frame is taken for lost"
    assert np.abs(found - whole[half]).max() < 2.0


def test_a_rate_at_which_the_band_cannot_be_seen_is_refused(linear_bundle: Path) -> None:
    levels = tone(3, 8)
    scene, undisturbed = Scene(linear_bundle, THREE_HZ), Scene(linear_bundle, THREE_HZ)
    scene.play(levels[:120])
    with pytest.raises(OptionFault, match="half of the 5 frames"):
        scene.magnifier.expect_rate(5.0)
    np.testing.assert_array_equal(scene.play(levels[120:], start_s=4.0), undisturbed.play(levels)[120:])


def test_dropped_frames_make_no_jump_and_are_counted(linear_bundle: Path) -> None:
    levels = tone(3, 12, amplitude=20)
    whole = Scene(linear_bundle, THREE_HZ).play(levels)
    rng = np.random.default_rng(1)
    kept = np.flatnonzero(rng.random(len(levels)) > 0.1)
    scene = Scene(linear_bundle, THREE_HZ)
    added = np.array([scene.show(levels[n], n / RATE_HZ) for n in kept])
    assert scene.magnifier.bridged_frames == kept[-1] + 1 - len(kept) > 20
    settled = kept > 120
    # A straight line between frames 0.07 s apart cuts off the tip of a wave of 0.33 s.
    assert np.abs(added - whole[kept])[settled].max() < 5.0
    assert np.abs(added).max() <= np.abs(whole).max() * 1.1


def test_a_jitter_of_timestamps_changes_nothing(linear_bundle: Path) -> None:
    levels = tone(3, 6)
    jitter_s = np.random.default_rng(0).uniform(-0.002, 0.002, len(levels))
    scene = Scene(linear_bundle, THREE_HZ)
    added = [scene.show(v, n / RATE_HZ + jitter_s[n]) for n, v in enumerate(levels)]
    np.testing.assert_allclose(added, Scene(linear_bundle, THREE_HZ).play(levels), atol=1.0)
    assert scene.magnifier.bridged_frames == 0


def test_after_a_long_gap_it_begins_anew(linear_bundle: Path) -> None:
    scene = Scene(linear_bundle, THREE_HZ, amplification=20.0)
    scene.play(tone(3, 4))
    added = scene.play([40.0] * 60, start_s=60.0)  # another scene altogether
    assert scene.magnifier.restarts == 1
    assert np.abs(added).max() < 0.5


# Damage


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf, 1e30, 500.0], ids=str)
def test_a_poisoned_state_is_reset_at_once_and_counted(linear_bundle: Path, poison: float) -> None:
    levels = tone(3, 16)
    scene, undisturbed = Scene(linear_bundle, THREE_HZ), Scene(linear_bundle, THREE_HZ)
    scene.play(levels[:240])
    scene.engine._states[0][:, 0, 1, 3, 4:8] = poison
    assert scene.show(levels[240], 8.0) == 0, "the picture of the step is as filmed"
    assert scene.magnifier.resets == 1
    added = scene.play(levels[241:], start_s=241 / RATE_HZ)
    assert np.isfinite(added).all()
    assert np.abs(added).max() <= 9
    np.testing.assert_allclose(added[120:], undisturbed.play(levels)[361:], atol=0.5)
    assert scene.magnifier.resets == 1


def test_damage_too_small_to_be_told_decays_by_itself(linear_bundle: Path) -> None:
    levels = tone(3, 12)
    scene = Scene(linear_bundle, THREE_HZ)
    scene.play(levels[:180])
    scene.engine._states[0][:, 0, 1, 3, 4:8] = 10.0
    added = scene.play(levels[180:], start_s=6.0)
    assert scene.magnifier.resets == 0
    np.testing.assert_allclose(added[140:], Scene(linear_bundle, THREE_HZ).play(levels)[320:], atol=0.1)


# A reference that follows the scene


def test_the_static_reference_as_a_filter_is_the_first_frame(linear_bundle: Path) -> None:
    levels = 100 + np.cumsum(np.random.default_rng(0).normal(0, 1, 200))
    added = Scene(linear_bundle, first_frame).play(levels)
    np.testing.assert_allclose(added, levels - levels[0], atol=0.01)


def test_a_refreshed_reference_follows_slow_light_and_keeps_fast_motion_without_a_jump(
    linear_bundle: Path,
) -> None:
    seconds, drift = 60.0, 0.5
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    levels = 60 + drift * time_s + 4 * np.sin(2 * np.pi * 2 * time_s)
    kept = Scene(linear_bundle, first_frame).play(levels)
    refreshed = Scene(linear_bundle, slow_average(4.0)).play(levels)
    assert kept[-60:].mean() == pytest.approx(drift * seconds, abs=1)
    assert refreshed[-600:].mean() == pytest.approx(drift * 4.0, abs=0.2)  # it lags by its time constant
    assert np.ptp(refreshed[-60:]) == pytest.approx(8, rel=0.02)
    # No frame differs from the one before by more than what was filmed does.
    assert np.abs(np.diff(refreshed) - np.diff(levels)).max() < 0.2


def test_a_scene_that_changes_for_good_becomes_the_reference(linear_bundle: Path) -> None:
    added = Scene(linear_bundle, slow_average(2.0)).play([100.0] * 60 + [140.0] * 300)
    assert added[60] == pytest.approx(40, abs=1)
    assert added[60 + 60] == pytest.approx(40 / np.e, abs=1)
    assert abs(added[-1]) < 0.5
    assert np.diff(added[60:]).min() >= -1, "it fades, it does not jump"
