"""The protocol of small motion: a sinusoid of hundredths of a pixel, and how straight its magnification stays.

A method that shrinks what it trusts least, small motion most, does not only reach less: it bends the sinusoid, which
shows as harmonics, and a spectrum of the magnified film then has lines that the structure has not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tremorscope.model.evaluation.evaluate import Conditions, Magnifier
from tremorscope.model.evaluation.registration import reached_displacement_px
from tremorscope.model.evaluation.scenes import BORDER_PX, VIEW_PX, Frame, Scene, noisy, whole_frames

DISPLACEMENTS_PX = (0.01, 0.02, 0.05, 0.1)
AMPLIFICATION = 100.0
NOISE_GREY_LEVELS = 1.0
FRAMES, PERIODS = 32, 2
_HIGHEST_HARMONIC = 5
_SEED = 0


@dataclass(frozen=True)
class SmallMotionTrial(Conditions):
    """Result for a sinusoid of one amplitude, over several scenes."""

    gain: float = 0.0
    """Amplitude of what is drawn over what was asked for, mean over scenes."""
    gain_spread: float = 0.0
    """Standard deviation between scenes."""
    harmonics: float = 0.0
    """RMS of the second to fifth harmonic over the fundamental, what noise puts there left out: root of the mean
    square over scenes."""


def run(
    magnifiers: Mapping[str, Magnifier],
    photographs: Sequence[Frame],
    displacements_px: Sequence[float] = DISPLACEMENTS_PX,
    noise_grey_levels: float = NOISE_GREY_LEVELS,
) -> Iterator[dict[str, SmallMotionTrial]]:
    """All magnifiers on the very same films: for every amplitude a dictionary of trials by magnifier."""
    for displacement_px in displacements_px:
        target_px = AMPLIFICATION * displacement_px
        yield judge(magnifiers, photographs, Conditions(displacement_px, target_px, noise_grey_levels))


def judge(
    magnifiers: Mapping[str, Magnifier], photographs: Sequence[Frame], conditions: Conditions
) -> dict[str, SmallMotionTrial]:
    """Films of whole photographs that swing about their place, each against one frame at rest."""
    rng, sigma = np.random.default_rng(_SEED), conditions.noise_grey_levels
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in magnifiers}
    for scene in whole_frames(photographs):
        reference = noisy(scene.picture(0.0), sigma, rng)
        drawn_px: dict[str, list[float]] = {name: [] for name in magnifiers}
        for true_px in sinusoid_px(conditions.displacement_px):
            frame = noisy(scene.picture(true_px), sigma, rng)
            for name, magnify in magnifiers.items():
                result = magnify(frame, reference, conditions.amplification)
                drawn_px[name].append(signed_displacement_px(result, scene, true_px, conditions.target_px))
        for name, series in drawn_px.items():
            amplitude_px, share = tones(series)
            found[name].append((amplitude_px / conditions.target_px, share))
    trials = {}
    for name, scores in found.items():
        gain, share = np.array(scores).T
        trials[name] = SmallMotionTrial(
            **vars(conditions),
            gain=float(gain.mean()),
            gain_spread=float(gain.std()),
            harmonics=float(np.sqrt(np.mean(share))),
        )
    return trials


def sinusoid_px(amplitude_px: float) -> list[float]:
    """Position of a structure in each frame."""
    turns = 2 * np.pi * PERIODS / FRAMES * np.arange(FRAMES)
    return [float(each) for each in amplitude_px * np.sin(turns)]


def tones(series_px: Sequence[float]) -> tuple[float, float]:
    """Amplitude of the fundamental, and the harmonics' power over the fundamental's.

    Bins that are of neither tell how much noise there is in each; it is left out of the harmonics' power, which may so
    come out a little below zero, and then counts as none.
    """
    amplitudes = 2.0 / FRAMES * np.abs(np.fft.rfft(series_px))[: FRAMES // 2]
    fundamental = float(amplitudes[PERIODS])
    harmonics = np.arange(2, _HIGHEST_HARMONIC + 1) * PERIODS
    beside = np.setdiff1d(np.arange(1, len(amplitudes)), np.arange(PERIODS, len(amplitudes), PERIODS))
    noise = float(np.mean(amplitudes[beside] ** 2))
    power = float(np.sum(amplitudes[harmonics] ** 2)) - len(harmonics) * noise
    return fundamental, max(power, 0.0) / max(fundamental**2, 1e-12)


def signed_displacement_px(result: Frame, scene: Scene, true_px: float, target_px: float) -> float:
    """Distance of a drawn scene from its rest along its direction, searched on the side on which it truly is."""
    side = 1.0 if true_px >= 0 else -1.0
    angle = scene.angle if side > 0 else scene.angle + np.pi
    inner = slice(BORDER_PX, VIEW_PX - BORDER_PX)
    shown = result[inner, inner]
    top, left = ((length - shown.shape[0]) // 2 for length in scene.moving.shape[:2])
    within = slice(top, top + shown.shape[0]), slice(left, left + shown.shape[1])
    return side * reached_displacement_px(shown, scene.moving, within, angle, 1.5 * target_px + 1.0)
