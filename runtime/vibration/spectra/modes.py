"""Modes of vibration from all regions at once: frequency domain decomposition.

The cross spectral density matrix of all channels is decomposed by singular values at every frequency (Brincker,
Zhang and Andersen, "Modal identification of output-only systems using frequency domain decomposition", Smart
Materials and Structures 10, 2001): near a natural frequency the first singular vector is the mode's shape; where
a second mode lies close by, it shows in the second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tremorscope.runtime.vibration.spectra.peaks import ChannelSpectrum, Peak, analyse
from tremorscope.runtime.vibration.spectra.sampling import EvenSeries
from tremorscope.runtime.vibration.spectra.spectra import (
    RESOLUTION_BINS,
    Spectrum,
    find_bumps,
    noise_floor,
    usual_window_s,
    welch,
)

Values = NDArray[np.float64]
Complex = NDArray[np.complexfloating[Any, Any]]

_SAME_SHAPE = 0.7
"""MAC above which two neighbouring candidates are one mode."""
_SLOW_BINS = 3.0


@dataclass(frozen=True)
class Mode:
    """One mode, or operating deflection where a machine drives the structure at that frequency."""

    peak: Peak
    """Peak of the modal coordinate: its amplitude is that of the channel that moves most."""
    shape: Complex
    """(channels,), largest part of size 1, turned to be as real as it can; operational, not mass-scaled."""
    collinearity: float
    """Modal phase collinearity: 1 where all channels move in phase or opposition, 0 where they do not."""

    @property
    def frequency_hz(self) -> float:
        """Natural frequency."""
        return self.peak.frequency_hz


def mac(first: ArrayLike, second: ArrayLike) -> float:
    """Modal assurance criterion of two shapes (channels,): 1 for the same shape, 0 for orthogonal ones.

    Allemang and Brown, "A correlation coefficient for modal vector analysis", IMAC 1982.

    >>> mac([1.0, 0.5], [2.0, 1.0])
    1.0
    >>> mac([1.0, 0.0], [0.0, 1.0])
    0.0
    >>> round(mac([1.0, 0.7], [1.0, -0.7]), 2)
    0.12
    >>> mac([1.0, 1j], [1j, -1.0])
    1.0
    >>> mac([0.0, 0.0], [1.0, 0.5])
    0.0
    """
    a, b = np.asarray(first), np.asarray(second)
    lengths = float(np.vdot(a, a).real * np.vdot(b, b).real)
    return float(abs(np.vdot(a, b)) ** 2 / lengths) if lengths > 0 else 0.0


def collinearity(shape: ArrayLike) -> float:
    """Modal phase collinearity of a shape (channels,), 0 to 1 (Juang and Pappa, JGCD 8(5), 1985).

    >>> collinearity([1.0, -0.7, 0.2])
    1.0
    >>> collinearity([1.0, 1j])
    0.0
    >>> round(collinearity([1.0, 0.7 + 0.1j]), 2)
    0.98
    """
    vector = np.asarray(shape)
    xx, yy = float(vector.real @ vector.real), float(vector.imag @ vector.imag)
    xy = float(vector.real @ vector.imag)
    return ((xx - yy) ** 2 + 4 * xy**2) / (xx + yy) ** 2 if xx + yy > 0 else 0.0


def without_parts(mode: Mode, are_unsure: NDArray[np.bool_]) -> Mode | None:
    """The mode at rest in some channels, (channels,); None where nothing else moves."""
    left = np.where(are_unsure, 0, mode.shape)
    if not left.any():
        return None
    shape = phase_aligned(left)
    factor = float(np.abs(left).max() / np.abs(shape).max())
    peak = mode.peak
    peak = replace(peak, amplitude=factor * peak.amplitude, amplitude_sigma=factor * peak.amplitude_sigma)
    return Mode(peak, shape, collinearity(shape))


def find_modes(
    series: EvenSeries,
    channels: Sequence[ChannelSpectrum],
    *,
    window_s: float | None = None,
    band_hz: tuple[float, float] | None = None,
) -> tuple[Mode, ...]:
    """Find the modes of a series of several channels, the surest first.

    Candidates are the peaks of each channel and of the first two singular values. The channels, weighed by the
    noise of each, are projected onto a candidate's shape; that modal coordinate is analysed like any other
    signal. So a mode has the same kind of frequency, damping and uncertainty as a peak, and two modes that
    overlap in every channel are separated if their shapes differ.

    Args:
        series: (channels, samples) in runs.
        channels: the analysis of each channel by itself.
        window_s: length of Welch's segments; None takes the usual one.
        band_hz: modes outside are not reported.

    Raises:
        OptionFault: the window does not fit the recording.
    """
    longest_s = series.longest_samples / series.rate_hz
    averaged = welch(series, window_s or usual_window_s(longest_s, series.rate_hz))
    longest = max(series.runs, key=lambda run: run.samples)
    decompositions = (
        _Decomposition(averaged),
        _Decomposition(welch(replace(series, runs=(longest,)), longest_s)),
    )
    resolution_hz = RESOLUTION_BINS * decompositions[1].spectrum.bin_hz
    found: list[Mode] = []
    for candidate in _candidates(channels, *decompositions):
        mode = _mode_along(series, candidate, decompositions[0], band_hz)
        if mode is not None and not any(_is_same(mode, other, resolution_hz) for other in found):
            found.append(mode)
    return tuple(sorted(found, key=lambda mode: mode.peak.rank(longest_s)))


class _Decomposition:
    """Singular values of the cross spectra, each channel in units of its own noise."""

    def __init__(self, spectrum: Spectrum) -> None:
        self.spectrum = spectrum
        self._scales = np.stack([np.sqrt(noise_floor(spectrum, density)) for density in spectrum.density])
        whitened = np.moveaxis(spectrum.factors / self._scales[:, :, None], 1, 0)
        vectors, values, _ = np.linalg.svd(whitened, full_matrices=False)
        self._vectors = vectors
        self.singular: Values = 2 * values.T**2 / spectrum.segments
        """Power densities in units of the noise, largest first, (singular values, F)."""

    def nearest(self, frequency_hz: float) -> int:
        """The bin of the largest first singular value within the resolution of a frequency."""
        place = frequency_hz / self.spectrum.bin_hz
        low, high = max(1, math.floor(place)), min(self.singular.shape[1] - 1, math.ceil(place))
        return low + int(np.argmax(self.singular[0, low : high + 1]))

    def shape(self, at: int, order: int) -> Complex:
        """Shape in the channels' own units at a bin, from its singular vector of an order."""
        vector: Complex = self._vectors[at, :, order] * self._scales[:, at]
        return vector

    def weights(self, shape: Complex, frequency_hz: float) -> Values:
        """Weights of the channels, (channels,), that sum a shape to 1 with the least noise."""
        precision = 1 / self._scales[:, self.nearest(frequency_hz)] ** 2
        real = shape.real * precision
        weights: Values = real / float(real @ shape.real)
        return weights


@dataclass(frozen=True)
class _Candidate:
    frequency_hz: float
    resolution_hz: float
    """Distance below which two candidates of the same shape are one."""
    shape: Complex
    strength: float


def _candidates(
    channels: Sequence[ChannelSpectrum], averaged: _Decomposition, fine: _Decomposition
) -> list[_Candidate]:
    """Frequencies, and a shape at each, strongest first; some may turn out to be the same mode."""
    found: list[_Candidate] = []
    for peak in (peak for channel in channels for peak in channel.peaks):
        slow = peak.frequency_hz < _SLOW_BINS * averaged.spectrum.bin_hz
        source = fine if slow or peak.kind == "steady" else averaged
        at = source.nearest(peak.frequency_hz)
        resolution_hz = RESOLUTION_BINS * source.spectrum.bin_hz
        strength = float(source.singular[0, at])
        found.append(_Candidate(peak.frequency_hz, resolution_hz, source.shape(at, 0), strength))
    for source, order in [(averaged, 0), (averaged, 1), (fine, 0)]:
        if order < source.singular.shape[0]:
            found += _bumps(source, order, len(channels))
    kept: list[_Candidate] = []
    for candidate in sorted(found, key=lambda each: -each.strength):
        if not any(
            abs(candidate.frequency_hz - other.frequency_hz)
            < max(candidate.resolution_hz, other.resolution_hz)
            and mac(candidate.shape, other.shape) > _SAME_SHAPE
            for other in kept
        ):
            kept.append(candidate)
    return kept


def _bumps(source: _Decomposition, order: int, channels: int) -> list[_Candidate]:
    """Candidates at the bumps of one singular value."""
    resolution_hz = RESOLUTION_BINS * source.spectrum.bin_hz
    density = source.singular[order]
    return [
        _Candidate(bump.frequency_hz, resolution_hz, source.shape(bump.bin, order), bump.density)
        for bump in find_bumps(source.spectrum, density, split_easily=order == 0, channels=channels)
    ]


def _mode_along(
    series: EvenSeries, candidate: _Candidate, averaged: _Decomposition, band_hz: tuple[float, float] | None
) -> Mode | None:
    """Mode of a candidate's shape nearest its frequency; None if no peak stands out there."""
    shape = phase_aligned(candidate.shape)
    weights = averaged.weights(shape, candidate.frequency_hz)
    runs = tuple(replace(run, values=weights[None, :] @ run.values) for run in series.runs)
    window_s = averaged.spectrum.segment_s
    peaks = analyse(
        replace(series, runs=runs), window_s=window_s, band_hz=band_hz, channels=candidate.shape.size
    ).peaks
    near = [
        each for each in peaks if abs(each.frequency_hz - candidate.frequency_hz) < candidate.resolution_hz
    ]
    if not near:
        return None
    peak = min(near, key=lambda each: abs(each.frequency_hz - candidate.frequency_hz))
    return Mode(peak, shape, collinearity(shape))


def phase_aligned(vector: Complex) -> Complex:
    """The shape turned in phase to be as real as it can, scaled so that its largest part is 1."""
    turned = vector * np.exp(-0.5j * np.angle(np.sum(vector**2)))
    largest = turned[int(np.argmax(np.abs(turned.real)))]
    aligned: Complex = turned / (abs(largest) * np.sign(largest.real))
    return aligned


def _is_same(mode: Mode, other: Mode, resolution_hz: float) -> bool:
    apart = abs(mode.frequency_hz - other.frequency_hz)
    if apart < resolution_hz / 2:
        return True
    width = 2 * max(mode.peak.damping or 0, other.peak.damping or 0) * mode.frequency_hz
    both_lines = mode.peak.kind == "steady" and other.peak.kind == "steady"
    return (
        not both_lines
        and apart < max(resolution_hz, 2 * width)
        and mac(mode.shape, other.shape) > _SAME_SHAPE
    )
