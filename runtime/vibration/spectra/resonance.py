"""Fit of a resonance under random excitation: natural frequency, damping and power from its spectrum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from tremorscope.runtime.vibration.spectra.spectra import hann

Values = NDArray[np.float64]

_LAGS = 256
_NEAR_BINS = 42
"""Distance from the resonance up to which the window widens it."""
_BROAD = 40.0
"""Decay within a segment beyond which the window no longer widens the resonance."""
_DECAYS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Decays of which the likeliest is where the search begins."""
_HANN_INFLATION = 1 + 2 * (4 / 9 + 1 / 36)
"""Ratio of the number of bins behind a Hann window to the number of independent ones."""


@dataclass(frozen=True)
class Resonance:
    """One mode of vibration under random excitation, in a segment of T seconds."""

    place_bins: float
    """Natural frequency times T."""
    place_sigma_bins: float
    decay: float
    """2 pi * damping ratio * natural frequency * T."""
    decay_sigma: float
    power: float
    """Mean square of its motion."""
    power_sigma: float

    def expected_density(self, bins: int, bin_hz: float) -> Values:
        """Expected one-sided density of a segment, (bins,)."""
        expected: Values = self.power / bin_hz * _expected(0, bins, self.place_bins, self.decay)
        return expected


def fit_resonance(
    density: Values, floor: Values, low: int, high: int, top: float, bin_hz: float
) -> Resonance:
    """Fit a resonance to the bins from low to high of one segment's density, by Whittle's likelihood.

    Near its natural frequency the density of a lightly damped mode under white excitation is a Lorentzian; the
    expectation of a windowed periodogram is that, widened by the window: the transform of its correlation
    times the window's (Brillinger, "Time Series: Data Analysis and Theory", 1981, ch. 5). So the width of the
    window is taken out of the damping. Uncertainties come from the curvature of the likelihood.

    Args:
        density: one-sided density of a single Hann-windowed segment, (F,).
        floor: of the noise, (F,).
        low: first bin.
        high: last bin.
        top: starting point of the search, in bins.
        bin_hz: width of a bin.
    """
    seen, noise = density[low : high + 1] * bin_hz, floor[low : high + 1] * bin_hz
    power = max(float((seen - noise).sum()), 1e-3 * float(seen.sum()))

    def negative_log_likelihood(parameters: Values) -> float:
        place, log_decay, log_power = parameters
        model = noise + math.exp(log_power) * _expected(low, seen.size, place, math.exp(log_decay))
        return float((np.log(model) + seen / model).sum())

    widest = math.log(math.pi * (high - low))
    starts = [np.array([top, min(math.log(decay), widest), math.log(power)]) for decay in _DECAYS]
    best: Any = optimize.minimize(
        negative_log_likelihood,
        min(starts, key=negative_log_likelihood),
        method="Nelder-Mead",
        bounds=[(low, high), (math.log(0.05), widest), (None, None)],
        options={"xatol": 1e-4, "fatol": 1e-5, "maxiter": 300},
    )
    deviations = _deviations(negative_log_likelihood, np.asarray(best.x))
    place, decay, strength = float(best.x[0]), math.exp(best.x[1]), math.exp(best.x[2])
    return Resonance(
        place,
        float(deviations[0]),
        decay,
        decay * float(deviations[1]),
        strength,
        strength * float(deviations[2]),
    )


def _expected(first: int, count: int, place_bins: float, decay: float) -> Values:
    """Expected density a bin, (count,) from the first on, of a resonance of power 1 behind a Hann window."""
    offset_bins: Values = np.arange(first, first + count, dtype=np.float64) - place_bins
    expected: Values = 2 * decay / (decay**2 + (2 * np.pi * offset_bins) ** 2)
    if decay > _BROAD:
        return expected
    low = max(math.ceil(place_bins - _NEAR_BINS), first)
    near = max(0, min(math.floor(place_bins + _NEAR_BINS), first + count - 1) - low + 1)
    lags, correlation, cosines, sines = _window_correlation()
    damped = correlation * np.exp(-decay * lags)
    damped[0] /= 2  # twice the half axis; the lag 0 counts once
    turned, row = 2 * np.pi * place_bins * lags, low % _LAGS
    widened = cosines[row : row + near] @ (damped * np.cos(turned))
    widened += sines[row : row + near] @ (damped * np.sin(turned))
    expected[low - first : low - first + near] = 2 / _LAGS * widened
    return np.maximum(expected, 1e-12)


@cache
def _window_correlation() -> tuple[Values, Values, Values, Values]:
    """Lags from 0 to 1 in segments, (L,), and the correlation there of a Hann window with itself, 1 at lag 0; cosine
    and sine of every bin's turn at every lag, (bins, L), of whole bins from 0 on, which come again after L of them.
    """
    window = hann(_LAGS)
    correlation = np.correlate(window, window, "full")[_LAGS - 1 :]
    lags = np.arange(_LAGS) / _LAGS
    turns = 2 * np.pi * np.outer(np.arange(_LAGS + 2 * _NEAR_BINS + 1), lags)
    return lags, correlation / correlation[0], np.cos(turns), np.sin(turns)


def _deviations(negative_log_likelihood: Any, best: Values) -> Values:
    """Standard deviations from the curvature at the best parameters; infinite where there is none."""
    steps = np.array([0.05, 0.05, 0.05])
    middle = negative_log_likelihood(best)
    curvature = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            first, second = np.zeros(3), np.zeros(3)
            first[i], second[j] = steps[i], steps[j]
            if i == j:
                ends = (
                    negative_log_likelihood(best + first) + negative_log_likelihood(best - first) - 2 * middle
                )
                curvature[i, i] = ends / steps[i] ** 2
            else:
                corners = negative_log_likelihood(best + first + second) + negative_log_likelihood(
                    best - first - second
                )
                corners -= negative_log_likelihood(best + first - second) + negative_log_likelihood(
                    best - first + second
                )
                curvature[i, j] = corners / (4 * steps[i] * steps[j])
    try:
        variances = np.diag(np.linalg.inv(curvature)) * _HANN_INFLATION
    except np.linalg.LinAlgError:
        return np.full(3, np.inf)
    deviations: Values = np.sqrt(np.where(variances > 0, variances, np.inf))
    return deviations
