"""Fit of spectral lines, steady or decaying sinusoids, in the few bins around them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

Values = NDArray[np.float64]
Complex = NDArray[np.complexfloating[Any, Any]]

_REACH_BINS = 6
_HANN_CORRELATION = (1.0, -2 / 3, 1 / 6)
"""Correlation of white noise between bins 0, 1 and 2 apart, behind a Hann window."""
_LARGEST_DECAY = 40.0
_LEAST_DECAY = 0.05
"""Decay over the recording, as a logarithm, that counts; a camera's light and focus drift by less."""
_SURE_DECAY = 5.0
"""Decay over its standard deviation from which on it is one."""


@dataclass(frozen=True)
class SpectralLine:
    """One sinusoid in a segment of T seconds: amplitude * exp(-decay t / T) at its start."""

    place_bins: float
    """Frequency times T."""
    place_sigma_bins: float
    decay: float
    """Natural logarithm of the ratio of its amplitudes at start and end of the segment; 0 for a steady one."""
    decay_sigma: float
    amplitude: float
    """Root of twice the mean square over the segment: of a steady sinusoid, its amplitude."""
    amplitude_sigma: float

    @property
    def surely_decays(self) -> bool:
        """True if the decay is neither noise nor a drift of the light."""
        return self.decay > max(_LEAST_DECAY, _SURE_DECAY * self.decay_sigma)


@dataclass(frozen=True)
class LineFit:
    """Sinusoids that together explain some bins of a spectrum."""

    lines: tuple[SpectralLine, ...]
    explained: float
    """Share of the power above the noise floor that they explain."""
    left: float
    """Power that they leave unexplained, as a multiple of that of the noise alone."""


def fit_lines(
    factors: Complex, floor: Values, places_bins: list[float], rate_hz: float, *, decaying: bool = False
) -> LineFit:
    """Fit sinusoids near given places to one Hann-windowed transform, by variable projection.

    The transform of a sinusoid of complex frequency is known in closed form, so only its place (and decay) is
    searched for; amplitude and phase follow linearly. Uncertainties are those of least squares under the
    noise floor, or under the residual where that is more, with the correlation of neighbouring bins.

    Args:
        factors: the segment's transform, (F,), in the density scaling of `scipy.signal.stft`.
        floor: one-sided noise density, (F,).
        places_bins: starting points of the search, in bins; well above 0 and below F.
        rate_hz: sampling rate.
        decaying: True also fits a decay of each.
    """
    samples = 2 * (factors.size - 1)
    low = max(1, math.floor(min(places_bins)) - _REACH_BINS)
    high = min(factors.size - 2, math.ceil(max(places_bins)) + _REACH_BINS)
    problem = _Problem(
        bins=np.arange(low, high + 1, dtype=np.float64),
        seen=factors[low : high + 1],
        samples=samples,
        count=len(places_bins),
        decaying=decaying,
    )
    best = problem.solve(places_bins)
    model = problem.columns(best)
    weights = np.linalg.lstsq(model, problem.seen, rcond=None)[0]
    left = float((np.abs(problem.seen - model @ weights) ** 2).sum())
    total, of_noise = float((np.abs(problem.seen) ** 2).sum()), float(floor[low : high + 1].sum()) / 2
    explained = 1 - max(left - of_noise, 0) / max(total - of_noise, 1e-300)
    spread = max(of_noise, left) / problem.bins.size
    deviations = _deviations(problem.columns, best, weights, spread)
    # In the density scaling a transform is multiplied by 1 / sqrt(rate * sum of the squared window).
    unit = 2 * math.sqrt(rate_hz * 3 / 8 * samples)
    lines = tuple(problem.line(k, best, deviations, unit * weights, unit) for k in range(problem.count))
    return LineFit(lines, explained, left / max(of_noise, 1e-300))


@dataclass(frozen=True, eq=False)
class _Problem:
    """Least squares for the places, and the decays if wanted, of some lines in some bins."""

    bins: Values
    seen: Complex
    samples: int
    count: int
    decaying: bool

    def columns(self, parameters: Values) -> Complex:
        """The transform of each line at unit amplitude, (bins, lines)."""
        decays = self._decays(parameters)
        return np.stack(
            [
                _hann_line(self.bins - place, decay, self.samples)
                for place, decay in zip(parameters[: self.count], decays, strict=True)
            ],
            axis=1,
        )

    def solve(self, places_bins: list[float]) -> Values:
        """The best places, then the best decays, no further than a bin from where they start."""
        count, decays = self.count, self.count * self.decaying
        start = np.array(places_bins + [0.5] * decays)
        reach = np.array([1.0] * count + [_LARGEST_DECAY] * decays)
        lower = start - reach
        lower[count:] = 0
        scale = max(float(np.abs(self.seen).max()), 1e-300)

        def residual(parameters: Values) -> Values:
            model = self.columns(parameters)
            rest = (self.seen - model @ np.linalg.lstsq(model, self.seen, rcond=None)[0]) / scale
            return np.concatenate([rest.real, rest.imag])

        found: Any = optimize.least_squares(
            residual, start, bounds=(lower, start + reach), xtol=1e-10, ftol=1e-12, gtol=1e-12
        )
        best: Values = found.x
        return best

    def line(
        self, number: int, best: Values, deviations: Values, amplitudes: Complex, unit: float
    ) -> SpectralLine:
        """One line of the solution; ``unit`` turns the deviation of a weight into that of an amplitude."""
        decay = float(self._decays(best)[number])
        size = _mean_size(decay)
        return SpectralLine(
            place_bins=float(best[number]),
            place_sigma_bins=float(deviations[number]),
            decay=decay,
            decay_sigma=float(deviations[self.count + number]) if self.decaying else 0.0,
            amplitude=abs(complex(amplitudes[number])) * size,
            amplitude_sigma=unit * float(deviations[number - self.count]) * size,
        )

    def _decays(self, parameters: Values) -> Values:
        return parameters[self.count :] if self.decaying else np.zeros(self.count)


def _hann_line(offset_bins: Values, decay: float, samples: int) -> Complex:
    """Hann-windowed transform of exp(-decay n / samples) of unit amplitude, at offsets from its frequency."""

    def ramp(offset: Complex) -> Complex:
        exponent = 2j * np.pi * offset
        near = np.abs(exponent) < 1e-9
        safe = np.where(near, 1.0, exponent)
        geometric = (1 - np.exp(-safe)) / (1 - np.exp(-safe / samples))
        return np.where(near, samples, geometric)

    place = offset_bins - 1j * decay / (2 * np.pi)
    line: Complex = 0.5 * ramp(place) - 0.25 * (ramp(place - 1) + ramp(place + 1))
    return line


def _mean_size(decay: float) -> float:
    """Root of the mean square of exp(-decay t) from 0 to 1."""
    return math.sqrt(-math.expm1(-2 * decay) / (2 * decay)) if decay > 1e-6 else 1.0


def _deviations(columns: Any, best: Values, weights: Complex, spread: float) -> Values:
    """Standard deviations of places, decays and the sizes of the weights; ``spread`` is the noise a bin."""
    model = columns(best)
    slopes = []
    for number in range(best.size):
        step = np.zeros(best.size)
        step[number] = 1e-4
        slopes.append((columns(best + step) - columns(best - step)) @ weights / 2e-4)
    directions = weights / np.maximum(np.abs(weights), 1e-300)
    jacobian = np.column_stack([*slopes, model * directions, 1j * model * directions])
    bins = jacobian.shape[0]
    first = np.zeros(bins)
    first[: min(bins, 3)] = _HANN_CORRELATION[: min(bins, 3)]
    correlated = linalg.toeplitz(first) * spread / 2
    real = np.vstack([jacobian.real, jacobian.imag])
    covariance = linalg.block_diag(correlated, correlated)
    inverse = np.linalg.pinv(real)
    variances = np.einsum("ij,jk,ik->i", inverse, covariance, inverse)
    kept: Values = np.sqrt(variances[: best.size + weights.size])
    return kept
