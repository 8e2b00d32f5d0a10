"""Detection of maxima of a spectrum above its noise floor, with leakage and chance excluded."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal, stats

from tremorscope.runtime.vibration.spectra.spectra import (
    RESOLUTION_BINS,
    Spectrum,
    degrees_of_freedom,
    noise_floor,
)

Values = NDArray[np.float64]

FALSE_ALARM = 1e-3
"""Chance that a whole recording of noise shows a peak."""
_LOWEST_BIN = 2
"""First bin in which a maximum counts: below it, drift looks like a peak."""
_LEAKAGE_MARGIN = 6.0
_VALLEY_CHANCE = 0.01


@dataclass(frozen=True)
class Bump:
    """A maximum of a spectrum that noise does not explain."""

    bin: int
    low_hz: float
    """Frequency at half its height on the lower side, no nearer than the resolution."""
    high_hz: float
    """The same on the upper side."""
    frequency_hz: float
    density: float
    over_floor: float
    """Its density over that of the noise."""


def chance_over_floor(segments: int, bins: int, channels: int = 1) -> Values:
    """Detection threshold as density over the noise floor, (bins,): one noise recording in 1,000 exceeds it anywhere.

    Every octave gets the same share of that probability, as structures are as likely to vibrate in the few bins
    of the lowest octave as in the many of the highest.
    """
    freedom = degrees_of_freedom(segments)
    numbers = np.arange(1, bins + 1)
    shares = FALSE_ALARM / (channels * numbers * (1 / numbers).sum())
    thresholds: Values = stats.chi2.isf(shares, freedom) / freedom
    return thresholds


def find_bumps(
    spectrum: Spectrum, density: Values, *, split_easily: bool, channels: int = 1
) -> tuple[Bump, ...]:
    """Find the bumps of one density (F,), highest over the floor first.

    Leakage of the Hann window from a higher bump is left out, and so is a bump that is separated from a higher
    one by a valley no deeper than chance makes.

    Args:
        spectrum: the spectrum that the density belongs to.
        density: one-sided density, (F,).
        split_easily: let a valley of half the height separate two bumps; the caller then tests further.
        channels: number of spectra that are searched at once, which share the chance of a false alarm.
    """
    floor = noise_floor(spectrum, density)
    over = density / floor
    maxima, _ = signal.find_peaks(density)
    chance = chance_over_floor(spectrum.segments, spectrum.frequency_hz.size, channels)
    maxima = maxima[(maxima >= _LOWEST_BIN) & (over[maxima] > chance[maxima])]
    freedom = degrees_of_freedom(spectrum.segments)
    valley = 2.0 if split_easily else float(stats.f.isf(_VALLEY_CHANCE, freedom, freedom))
    accepted: list[int] = []
    for candidate in maxima[np.argsort(density[maxima])[::-1]].tolist():
        if all(_stands_apart(density, candidate, higher, valley) for higher in accepted):
            accepted.append(candidate)
    bumps = [_bump(spectrum, density, over, each) for each in accepted]
    return tuple(sorted(bumps, key=lambda bump: -bump.over_floor))


def grouped(
    wide: tuple[Bump, ...], narrow: tuple[Bump, ...], within_hz: float
) -> list[tuple[list[Bump], list[Bump]]]:
    """Bumps that belong together: near each other, or within the same wide one; the strongest group first."""
    spans = [(each.low_hz, each.high_hz, each, None) for each in wide]
    reach = within_hz / 2
    ends = [(each.frequency_hz - reach, each.frequency_hz + reach, None, each) for each in narrow]
    groups: list[tuple[list[Bump], list[Bump]]] = []
    until = -math.inf
    for low, high, broad, thin in sorted([*spans, *ends], key=lambda span: span[0]):
        if low > until:
            groups.append(([], []))
        until = max(until, high)
        if broad is not None:
            groups[-1][0].append(broad)
        if thin is not None:
            groups[-1][1].append(thin)
    for group in groups:
        for bumps in group:
            bumps.sort(key=lambda bump: -bump.density)
    return sorted(groups, key=lambda group: -max(bump.density for bumps in group for bump in bumps))


def _stands_apart(density: Values, candidate: int, higher: int, valley: float) -> bool:
    apart = abs(candidate - higher)
    if apart < 2:
        return False
    # Hann's transform is sin(pi k) / (pi k (1 - k^2)); its crests follow this envelope.
    leaked = density[higher] / (np.pi * apart * max(apart**2 - 1, 1)) ** 2
    if apart > 2 and density[candidate] < _LEAKAGE_MARGIN * leaked:
        return False
    lowest = density[min(candidate, higher) : max(candidate, higher) + 1].min()
    return bool(density[candidate] > valley * lowest)


def _bump(spectrum: Spectrum, density: Values, over: Values, top: int) -> Bump:
    half = density[top] / 2
    low = top
    while low > 1 and density[low - 1] > half:
        low -= 1
    high = top
    while high < density.size - 2 and density[high + 1] > half:
        high += 1
    reach = RESOLUTION_BINS
    return Bump(
        bin=top,
        low_hz=float(min(low, top - reach) * spectrum.bin_hz),
        high_hz=float(max(high, top + reach) * spectrum.bin_hz),
        frequency_hz=float(_vertex(density, top) * spectrum.bin_hz),
        density=float(density[top]),
        over_floor=float(over[top]),
    )


def _vertex(density: Values, top: int) -> float:
    """Position of a maximum in fractional bins: the vertex of the parabola through three log densities."""
    before, at, after = np.log(np.maximum(density[top - 1 : top + 2], 1e-300))
    curvature = before - 2 * at + after
    return top + (0.5 * (before - after) / curvature if curvature < 0 else 0.0)
