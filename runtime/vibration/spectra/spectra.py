"""Power spectral densities of displacement after Welch, their noise floor, and the detection of maxima above it,
with leakage and chance excluded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, special

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.spectra.sampling import EvenSeries

Values = NDArray[np.float64]
Complex = NDArray[np.complexfloating[Any, Any]]

HANN_BANDWIDTH_BINS = 1.5
"""Equivalent noise bandwidth of the Hann window."""
RESOLUTION_BINS = 1.44
"""Width of the Hann window's main lobe at half power, in bins: the resolution of a spectrum."""
_SHORTEST_SAMPLES = 16
_USUAL_WINDOW_S, _USUAL_SAMPLES, _USUAL_SEGMENTS = 60.0, 128, 8
_SLOPE_DEGREE = 2
_FEWEST_NEIGHBOURS = 10
_DRIFT_BINS = 12
_DRIFT_JUDGES = np.arange(3, 12)


@dataclass(frozen=True)
class Spectrum:
    """Spectra of several channels, averaged over overlapping segments."""

    frequency_hz: Values
    """(F,)."""
    density: Values
    """One-sided power spectral density, (channels, F), in squared units a hertz."""
    segments: int
    segment_s: float
    factors: Complex
    """Transforms of the segments, (channels, F, segments): their products give the cross spectra."""

    @property
    def bin_hz(self) -> float:
        """Distance of two frequencies."""
        return float(self.frequency_hz[1])


def degrees_of_freedom(segments: int) -> float:
    """Degrees of freedom of the chi-squared distribution of noise density, for Hann windows that overlap by half.

    Percival and Walden, "Spectral Analysis for Physical Applications", Cambridge 1993, eq. 292b.

    >>> degrees_of_freedom(1)
    2.0
    >>> round(degrees_of_freedom(15), 1)
    28.5
    """
    return 36 * segments**2 / (19 * segments - 1)


def usual_window_s(duration_s: float, rate_hz: float) -> float:
    """Length of a segment: half of a short recording; an eighth of a long one, though no less than 60 s or 128 frames.

    >>> usual_window_s(6.0, 30.0), usual_window_s(100.0, 30.0), usual_window_s(3600.0, 30.0)
    (3.0, 50.0, 450.0)
    >>> usual_window_s(1.0, 30.0), usual_window_s(300.0, 0.2), usual_window_s(86400.0, 0.01)
    (0.5333333333333333, 150.0, 12800.0)
    """
    usual_s = max(_USUAL_WINDOW_S, duration_s / _USUAL_SEGMENTS, _USUAL_SAMPLES / rate_hz)
    return max(min(duration_s / 2, usual_s), _SHORTEST_SAMPLES / rate_hz)


def welch(series: EvenSeries, window_s: float) -> Spectrum:
    """Estimate the spectrum after Welch (IEEE Trans. AU-15(2), 1967) from every run that is at least a window long.

    Hann windows that overlap by half, linear trend removed from each, scaled so that the mean of the squares is
    `scipy.signal.welch`, which brings 20 MB of SciPy with it. Segments never reach across a gap.

    Raises:
        OptionFault: the window is too short, or no run is as long.
    """
    length = 2 * round(window_s * series.rate_hz / 2)
    longest_s = series.longest_samples / series.rate_hz
    if length > series.longest_samples + 1:
        raise OptionFault(
            f"a window of {window_s:g} s is longer than the {longest_s:.4g} s that were measured without a gap",
            remedy=f"choose a window of at most {longest_s:.4g} s, or record longer",
        )
    length = min(length, 2 * (series.longest_samples // 2))
    if length < _SHORTEST_SAMPLES:
        raise OptionFault(
            f"a window of {window_s:g} s holds {length} frames, too few for a spectrum",
            remedy=f"choose a window of at least {_SHORTEST_SAMPLES / series.rate_hz:.4g} s",
        )
    parts: list[Complex] = []
    window = hann(length)
    for run in series.runs:
        if run.samples >= length:
            segments = np.lib.stride_tricks.sliding_window_view(run.values, length, axis=-1)[
                ..., :: length // 2, :
            ]
            factors = fft.rfft(detrended(segments) * window)  # (channels, segments, F)
            parts.append(np.moveaxis(factors, -1, -2) / math.sqrt(series.rate_hz * (window @ window)))
    frequency = fft.rfftfreq(length, 1 / series.rate_hz)
    together = np.concatenate(parts, axis=-1)
    count = together.shape[-1]
    density = 2 * np.mean(np.abs(together) ** 2, axis=-1)
    # The constant part and, as the length is even, the Nyquist frequency have no negative twin.
    density[:, [0, -1]] /= 2
    return Spectrum(frequency, density, count, length / series.rate_hz, together)


def hann(length: int) -> Values:
    """The Hann window, (length,), as a period: the sample after the last would be the first, 0."""
    window: Values = 0.5 - 0.5 * np.cos(2 * np.pi / length * np.arange(length))
    return window


def detrended(values: Values) -> Values:
    """Values (..., N) without their mean and their linear trend along the last axis."""
    places = np.arange(values.shape[-1]) - (values.shape[-1] - 1) / 2
    slope = values @ places / (places @ places)
    trend: Values = values.mean(axis=-1, keepdims=True) + slope[..., None] * places
    return values - trend


def noise_floor(spectrum: Spectrum, density: Values) -> Values:
    """Smooth noise floor, (F,), under the peaks of a density (F,): mean power without the peaks.

    The largest of a running median, which follows broad hills; a parabola over log frequency, fitted without the
    values that stand out, which follows slopes; and, for the lowest few bins, drift that falls with the square of
    frequency, extrapolated from the bins above.
    """
    freedom = degrees_of_freedom(spectrum.segments)
    median = float(special.chdtri(freedom, 0.5))
    to_mean = math.log(freedom / median)
    logs = np.log(np.maximum(density[1:], 1e-300))
    half = min(max(_FEWEST_NEIGHBOURS, logs.size // 20), max(1, (logs.size - 1) // 2))
    running = ndimage.median_filter(logs, 2 * half + 1, mode="reflect")
    place = np.log(spectrum.frequency_hz[1:])
    # Every octave counts alike, or the few bins near 0 Hz would not be followed.
    weights = 1 / np.sqrt(np.arange(1, logs.size + 1))
    spread = math.log(float(special.chdtri(freedom, 0.01)) / median)
    fitted, kept = running, logs - running < spread
    for _ in range(8):
        fitted = np.polyval(np.polyfit(place[kept], logs[kept], _SLOPE_DEGREE, w=weights[kept]), place)
        fitted = fitted + np.median((logs - fitted)[kept])
        following = logs - fitted < spread
        if following.sum() < 8 * _SLOPE_DEGREE or np.array_equal(following, kept):
            break
        kept = following
    floor = np.exp(np.maximum(np.maximum(running, fitted), _drift(logs)) + to_mean)
    whole: Values = np.concatenate([floor[:1], floor])
    return whole


def _drift(logs: Values) -> Values:
    """Log density that a random walk would have in each bin, judged by the bins above; -inf in higher ones."""
    drift = np.full(logs.size, -np.inf)
    for number in range(1, min(_DRIFT_BINS, logs.size - _DRIFT_JUDGES[-1] - 1) + 1):
        judges = number + _DRIFT_JUDGES
        drift[number - 1] = np.median(logs[judges - 1] + 2 * np.log(judges / number))
    return drift


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
    thresholds: Values = special.chdtri(freedom, shares) / freedom
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
    maxima = 1 + np.flatnonzero((density[1:-1] > density[:-2]) & (density[1:-1] >= density[2:]))
    chance = chance_over_floor(spectrum.segments, spectrum.frequency_hz.size, channels)
    maxima = maxima[(maxima >= _LOWEST_BIN) & (over[maxima] > chance[maxima])]
    freedom = degrees_of_freedom(spectrum.segments)
    valley = 2.0 if split_easily else 1 / float(special.fdtri(freedom, freedom, _VALLEY_CHANCE))
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
