"""Phase between channels at a frequency, with coherence and uncertainty, and the orbit of each region.

Each channel is demodulated at exactly the frequency, in Hann windows that overlap by half; the averages of their
products give cross spectrum, coherence and phase (Bendat and Piersol, "Random Data", 4th ed., 9.2.4: the standard
deviation of a phase is sqrt((1 - coherence) / (2 n coherence)) for n independent windows).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.spectra.analysis import AXES, Analysis, Axis
from tremorscope.runtime.vibration.spectra.sampling import EvenSeries, resample_evenly
from tremorscope.runtime.vibration.spectra.spectra import degrees_of_freedom

Values = NDArray[np.float64]
Complex = NDArray[np.complex128]

_CYCLES, _APART_BINS, _WINDOWS = 5.0, 4.0, 8
_LEAST_COHERENCE, _CHANCE = 0.5, 0.01
"""Least coherence of a phase that says something, and the chance with which noise alone may pass for it."""


@dataclass(frozen=True)
class ChannelPhase:
    """Motion of one channel at a frequency, against the reference channel."""

    region: int
    """Number of the region, from 0."""
    axis: Axis
    ratio: float
    """Amplitude over that of the reference."""
    phase_deg: float
    """Lead over the reference, -180 to 180; y counts downwards."""
    phase_sigma_deg: float
    """Standard uncertainty."""
    coherence: float
    """Magnitude-squared coherence with the reference: 1 where all of its motion belongs together."""


@dataclass(frozen=True)
class Orbit:
    """Ellipse that a region moves on at a frequency."""

    region: int
    major_px: float
    """Longer half axis."""
    minor_px: float
    angle_deg: float
    """Direction of the longer one, from x to the right counter-clockwise, 0 to 180."""
    sense: str
    """clockwise or counter-clockwise as seen in the picture; straight where the minor axis is noise."""
    x: complex
    """Complex amplitude along x in px, of exp(2 pi i f t)."""
    y: complex
    """Likewise along y, downwards."""


@dataclass(frozen=True)
class PhaseFinding:
    """Phases and orbits at one of the peaks."""

    frequency_hz: float
    reference: tuple[int, Axis]
    """Region and axis that all others are compared with: what moves most."""
    windows: int
    channels: tuple[ChannelPhase, ...]
    """Channels that move together with the reference, the reference left out."""
    orbits: tuple[Orbit, ...]


def find_phases(
    time_s: Values, analysis: Analysis, *, tick_s: float = 0.0, most: int = 6
) -> tuple[PhaseFinding, ...]:
    """Phases between all channels, and orbits, at the strongest peaks of a recording."""
    known = [
        (number, axis)
        for number, region in enumerate(analysis.regions)
        for axis in AXES
        if region.along(axis) is not None
    ]
    if not known or not analysis.findings:
        return ()
    values = np.stack([analysis.regions[number].series.along(axis) for number, axis in known])
    try:
        series = resample_evenly(time_s, values, tick_s=tick_s)
    except OptionFault:  # the regions were never all seen at once for long enough
        return ()
    frequencies = [each.peak.frequency_hz for each in analysis.findings]
    found = []
    for finding in analysis.findings[:most]:
        frequency_hz = finding.peak.frequency_hz
        amplitudes = _demodulated(series, frequency_hz, _window_s(series, frequency_hz, frequencies))
        if amplitudes.shape[1] >= 3:
            reference = known.index((finding.region, finding.axis))
            found.append(_finding(frequency_hz, known, reference, amplitudes))
    return tuple(found)


def _window_s(series: EvenSeries, frequency_hz: float, others: Sequence[float]) -> float:
    """Length of the windows: some cycles, long enough to keep neighbours out, else an eighth of the recording."""
    longest_s = series.longest_samples / series.rate_hz
    apart = min((abs(each - frequency_hz) for each in others if each != frequency_hz), default=math.inf)
    return min(max(_CYCLES / frequency_hz, _APART_BINS / apart, longest_s / _WINDOWS), longest_s / 2)


def _demodulated(series: EvenSeries, frequency_hz: float, window_s: float) -> Complex:
    """Complex amplitude of each channel in each window, (channels, windows), all against one time."""
    length = max(4, round(window_s * series.rate_hz))
    taper = np.hanning(length + 1)[:length]
    parts = []
    for run in series.runs:
        for start in range(0, run.samples - length + 1, length // 2):
            piece = run.values[:, start : start + length]
            times = run.start_s + np.arange(start, start + length) / series.rate_hz
            middle = piece - piece.mean(axis=1, keepdims=True)
            parts.append(2 * (middle * taper) @ np.exp(-2j * np.pi * frequency_hz * times) / taper.sum())
    amplitudes: Complex = np.array(parts, dtype=np.complex128).reshape(len(parts), -1).T
    return amplitudes


def _finding(
    frequency_hz: float, known: Sequence[tuple[int, Axis]], reference: int, amplitudes: Complex
) -> PhaseFinding:
    windows = amplitudes.shape[1]
    independent = degrees_of_freedom(windows) / 2
    # Carter, "Coherence and time delay estimation", Proc. IEEE 75(2), 1987: what noise shows in n windows.
    least = max(_LEAST_COHERENCE, 1 - _CHANCE ** (1 / (independent - 1)))
    powers = (np.abs(amplitudes) ** 2).mean(axis=1)
    cross = (amplitudes * amplitudes[reference].conj()).mean(axis=1)
    coherence = np.minimum(np.abs(cross) ** 2 / np.maximum(powers * powers[reference], 1e-300), 1.0)
    channels = [
        ChannelPhase(
            region,
            axis,
            float(abs(cross[at]) / powers[reference]),
            math.degrees(float(np.angle(cross[at]))),
            math.degrees(math.sqrt((1 - coherence[at]) / (2 * independent * coherence[at]))),
            float(coherence[at]),
        )
        for at, (region, axis) in enumerate(known)
        if at != reference and coherence[at] >= least
    ]
    # Turned to the reference's phase and scaled to its RMS, so that windows of any phase add up.
    together = cross / math.sqrt(powers[reference])
    noise = np.sqrt((1 - coherence) * powers / independent)
    places = {each: at for at, each in enumerate(known)}
    orbits = [
        _orbit(region, together[[x, y]], float(max(noise[x], noise[y])))
        for region in sorted({number for number, _ in known})
        if (x := places.get((region, "x"))) is not None and (y := places.get((region, "y"))) is not None
        if max(coherence[x], coherence[y]) >= least
    ]
    return PhaseFinding(frequency_hz, known[reference], windows, tuple(channels), tuple(orbits))


def _orbit(region: int, amplitudes: Complex, noise_px: float) -> Orbit:
    """Ellipse of two complex amplitudes, from the two circles that turn either way."""
    x, y = complex(amplitudes[0]), complex(amplitudes[1])
    upwards = -y  # seen in the picture, where y counts downwards
    left, right = (x + 1j * upwards) / 2, (x.conjugate() + 1j * upwards.conjugate()) / 2
    major, minor = abs(left) + abs(right), abs(abs(left) - abs(right))
    angle = math.degrees((np.angle(left) + np.angle(right)) / 2) % 180
    sense = "straight"
    if minor > 3 * noise_px:
        sense = "counter-clockwise" if abs(left) > abs(right) else "clockwise"
    return Orbit(region, major, minor, angle, sense, x, y)


def path(orbit: Orbit, points: int = 97) -> tuple[Values, Values]:
    """Points of the ellipse in px, x to the right and y downwards."""
    turn = np.exp(2j * np.pi * np.linspace(0, 1, points))
    return (orbit.x * turn).real, (orbit.y * turn).real
