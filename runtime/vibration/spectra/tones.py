"""Fit of sinusoids to a displacement signal: frequencies, amplitudes and phases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, optimize

from tremorscope.runtime.errors import OptionFault

Values = NDArray[np.float64]
_SLOW_SAMPLES_A_CYCLE = 24
_PADDING = 8
"""Zero padding of the first spectrum, in lengths of the signal: its peak is then near enough for the fit."""


@dataclass(frozen=True)
class Tone:
    """One sinusoid, amplitude * sin(2 pi frequency t + phase); the amplitude has the signal's unit."""

    frequency_hz: float
    amplitude: float
    phase_rad: float


@dataclass(frozen=True)
class SlowTone:
    """A sinusoid of few cycles, with the standard uncertainties of frequency and amplitude."""

    frequency_hz: float
    frequency_sigma_hz: float
    amplitude: float
    amplitude_sigma: float


def find_tones(time_s: ArrayLike, signal: ArrayLike, count: int) -> tuple[Tone, ...]:
    """Find the ``count`` strongest sinusoids of a signal (N,), lowest frequency first.

    Each starts from the peak of the Hann-windowed spectrum of the residual of the others; then all are fitted
    together with a mean value by nonlinear least squares, on the true times (N,). Meant for a handful of
    steady tones at least 1/T apart, T being the length of the recording; damped or dense spectra need other
    methods.

    Raises:
        OptionFault: there are too few samples for so many tones.

    >>> time_s = np.arange(150) / 25
    >>> first, second = 2 * np.pi * 2.1 * time_s, 2 * np.pi * 4.7 * time_s
    >>> signal = 0.12 * np.sin(first) + 0.05 * np.cos(second)
    >>> [(round(tone.frequency_hz, 3), round(tone.amplitude, 3)) for tone in find_tones(time_s, signal, 2)]
    [(2.1, 0.12), (4.7, 0.05)]
    >>> round(find_tones(time_s, signal, 2)[1].phase_rad, 2)  # a cosine is a sine a quarter ahead
    1.57
    >>> find_tones(time_s[:8], signal[:8], 2)
    Traceback (most recent call last):
        ...
    tremorscope.runtime.errors.OptionFault: 8 samples are too few to find 2 tones in: record at least 16
    """
    times, values = np.asarray(time_s, dtype=np.float64), np.asarray(signal, dtype=np.float64)
    if count < 1 or times.size < 8 * count:
        raise OptionFault(
            f"{times.size} samples are too few to find {count} tones in",
            remedy=f"record at least {8 * count}",
        )
    frequencies = np.empty(0)
    for _ in range(count):
        rest = values - _model(times, frequencies) @ _coefficients(times, values, frequencies)
        frequencies = np.append(frequencies, _spectral_peak(times, rest))
        frequencies = _refine(times, values, frequencies)
    found = _coefficients(times, values, frequencies)
    sines, cosines = found[1::2], found[2::2]
    order = np.argsort(frequencies)
    amplitudes, phases = np.hypot(sines, cosines), np.arctan2(cosines, sines)
    return tuple(Tone(float(frequencies[i]), float(amplitudes[i]), float(phases[i])) for i in order)


def amplitudes_at(time_s: ArrayLike, signal: ArrayLike, frequencies_hz: ArrayLike) -> tuple[float, ...]:
    """Amplitudes of sinusoids of known frequencies in a signal, by linear least squares with a mean value.

    >>> time_s = np.arange(150) / 25
    >>> signal = 7 + 0.12 * np.sin(2 * np.pi * 2.1 * time_s)
    >>> [round(each, 3) for each in amplitudes_at(time_s, signal, [2.1, 5.0])]
    [0.12, 0.0]
    """
    times = np.asarray(time_s, dtype=np.float64)
    found = _coefficients(
        times, np.asarray(signal, dtype=np.float64), np.asarray(frequencies_hz, dtype=np.float64)
    )
    return tuple(float(amplitude) for amplitude in np.hypot(found[1::2], found[2::2]))


def steady_amplitude(time_s: ArrayLike, signal: ArrayLike, frequency_hz: float) -> float:
    """Amplitude of a steady sinusoid of known frequency, beside a drift that a Hann window keeps from leaking into it.

    >>> time_s = np.arange(150) / 25
    >>> moved = 5 * (time_s / 6) ** 2 + 0.12 * np.sin(2 * np.pi * 2.1 * time_s)
    >>> [round(steady_amplitude(time_s, moved, hz), 2) for hz in (2.1, 4.0)]
    [0.12, 0.0]
    """
    times, values = np.asarray(time_s, dtype=np.float64), np.asarray(signal, dtype=np.float64)
    passed = (times - times[0]) / max(float(times[-1] - times[0]), 1e-9)
    root = np.sin(np.pi * passed)
    columns = np.column_stack([_model(times, np.array([frequency_hz])), passed])
    found = np.linalg.lstsq(root[:, None] * columns, root * values, rcond=None)[0]
    return float(np.hypot(found[1], found[2]))


def fit_slow_tone(values: Values, rate_hz: float, frequency_hz: float) -> SlowTone:
    """Fit one tone of few cycles and a straight drift to evenly spaced values (N,), near a frequency.

    The fit is in time, because so few cycles, their mirror image at negative frequencies and the drift share the
    same bins of a spectrum.
    """
    block = max(1, int(rate_hz / frequency_hz / _SLOW_SAMPLES_A_CYCLE))
    count = values.size // block
    means = values[: count * block].reshape(count, block).mean(axis=1)
    times: Values = (np.arange(count, dtype=np.float64) + 0.5) * (block / rate_hz)
    length_s = count * block / rate_hz

    def columns(candidate: float) -> Values:
        drift = (times - times.mean()) / length_s
        return np.column_stack([_model(times, np.array([candidate])), drift])

    def rest(candidate: float) -> Values:
        model = columns(candidate)
        left: Values = means - model @ np.linalg.lstsq(model, means, rcond=None)[0]
        return left

    bounds = (max(0.6 / length_s, frequency_hz - 1 / length_s), frequency_hz + 1 / length_s)
    search: Any = optimize.minimize_scalar(
        lambda candidate: float((rest(candidate) ** 2).sum()),
        bounds=bounds,
        method="bounded",
        options={"xatol": 1e-4 / length_s},
    )
    best, step = float(search.x), 1e-3 / length_s
    model = columns(best)
    weights = np.linalg.lstsq(model, means, rcond=None)[0]
    slope = (columns(best + step) - columns(best - step)) @ weights / (2 * step)
    amplitude = float(np.hypot(weights[1], weights[2]))
    growing = model[:, 1:3] @ weights[1:3] / amplitude
    turning = model[:, 1:3] @ (weights[[2, 1]] * (-1, 1)) / amplitude
    jacobian = np.column_stack([slope, growing, turning, model[:, [0, 3]]])
    # The residual of slow motion is drift, whose neighbouring samples are correlated: four count a cycle.
    independent = max(1.0, 4 * best * length_s - jacobian.shape[1])
    variance = float((rest(best) ** 2).mean()) * count / independent
    variances = np.diag(np.linalg.pinv(jacobian.T @ jacobian)) * variance
    return SlowTone(best, float(np.sqrt(variances[0])), amplitude, float(np.sqrt(variances[1])))


def _spectral_peak(times: Values, values: Values) -> float:
    step = float(times[-1] - times[0]) / (times.size - 1)
    spectrum = np.abs(fft.rfft((values - values.mean()) * np.hanning(times.size), _PADDING * times.size))
    # Less than one cycle in the recording is drift, not a tone.
    spectrum[:_PADDING] = 0
    return int(np.argmax(spectrum)) / (_PADDING * times.size * step)


def _model(times: Values, frequencies: Values) -> Values:
    """Columns: 1, then sine and cosine of every frequency, (N, 1 + 2 * frequencies)."""
    angles = 2 * np.pi * np.outer(times - times[0], frequencies)
    columns = np.empty((times.size, 1 + 2 * frequencies.size))
    columns[:, 0] = 1
    columns[:, 1::2], columns[:, 2::2] = np.sin(angles), np.cos(angles)
    return columns


def _coefficients(times: Values, values: Values, frequencies: Values) -> Values:
    solution = np.linalg.lstsq(_model(times, frequencies), values, rcond=None)[0]
    return solution.astype(np.float64)


def _refine(times: Values, values: Values, frequencies: Values) -> Values:
    """Frequencies at which the residual is least; amplitudes and phases follow from each linearly."""
    resolution = 1 / float(times[-1] - times[0])

    def residual(candidates: Values) -> Values:
        rest: Values = values - _model(times, candidates) @ _coefficients(times, values, candidates)
        return rest

    bounds = (frequencies - resolution / 2, frequencies + resolution / 2)
    refined: Any = optimize.least_squares(
        residual, frequencies, bounds=bounds, x_scale=resolution, xtol=1e-10, ftol=1e-12
    ).x
    fitted: Values = refined
    return fitted
