"""Peaks of one displacement signal: frequency, amplitude and damping, each with its uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.vibration.spectra.lines import LineFit, SpectralLine, fit_lines
from tremorscope.runtime.vibration.spectra.resonance import Resonance, fit_resonance
from tremorscope.runtime.vibration.spectra.sampling import EvenSeries
from tremorscope.runtime.vibration.spectra.spectra import (
    RESOLUTION_BINS,
    Bump,
    Spectrum,
    chance_over_floor,
    find_bumps,
    grouped,
    noise_floor,
    usual_window_s,
    welch,
)
from tremorscope.runtime.vibration.spectra.tones import fit_slow_tone

Values = NDArray[np.float64]
Kind = Literal["steady", "decaying", "random"]

_STEADY, _JOINTLY_STEADY, _DECAYING = 0.9, 0.95, 0.9
"""Share of the power that sinusoids must explain for a peak to be of that kind."""
_NOISE_ALONE = 2.0
"""Residual of a fit, as a multiple of the noise expected in its bins, up to which it is likely noise alone."""
_CLEARLY_DECAYING = 2.5
_SLOW_BINS = 6.0
_MOST_LINES = 4
_TOGETHER_BINS = 8
_FEWEST_CYCLES = 5.0
_VAGUE = 0.25
"""Uncertainty of an amplitude, against the amplitude, from which on a peak ranks behind others."""


@dataclass(frozen=True)
class Peak:
    """One frequency at which something moves. Amplitudes have the unit of the signal, usually pixels."""

    frequency_hz: float
    frequency_sigma_hz: float
    """Standard uncertainty, from noise and length of the recording."""
    amplitude: float
    """Amplitude of a sinusoid of the same mean square over the recording."""
    amplitude_sigma: float
    kind: Kind
    """A steady tone, a free decay, or a resonance shaken at random."""
    damping: float | None
    """Share of critical damping; None where the peak is too narrow for the length of the recording."""
    damping_sigma: float | None
    damping_below: float | None
    """Upper bound if damping is None: the width that the recording resolves; None if too weak to tell."""
    over_floor: float
    """Power density over that of the noise."""

    def rank(self, duration_s: float) -> tuple[bool, float]:
        """Key that sorts the strongest first, behind them those of few cycles or of a vague amplitude."""
        few = self.frequency_hz * duration_s < _FEWEST_CYCLES
        return few or not self.amplitude_sigma < _VAGUE * self.amplitude, -self.amplitude


@dataclass(frozen=True)
class ChannelSpectrum:
    """The spectrum of one signal, its noise and its peaks."""

    frequency_hz: Values
    density: Values
    """Welch's, one-sided, in squared units a hertz, (F,)."""
    floor: Values
    """Noise density, (F,)."""
    peaks: tuple[Peak, ...]
    """The surest first."""
    segments: int
    window_s: float
    artefacts: tuple[tuple[Peak, str], ...] = ()
    """Peaks that are no motion, each with its cause in words."""

    @property
    def noise_sigma(self) -> float:
        """Standard deviation of one sample's noise, from the noise floor's total power."""
        return math.sqrt(float(np.median(self.floor)) * float(self.frequency_hz[-1]))


def analyse(
    series: EvenSeries,
    *,
    window_s: float | None = None,
    band_hz: tuple[float, float] | None = None,
    channels: int = 1,
) -> ChannelSpectrum:
    """Compute spectrum and peaks of a series of one channel.

    Peaks are searched in Welch's average, which steadies broad ones, and in a single transform of the longest
    run, which shows narrow ones and separates close ones.

    Args:
        series: evenly sampled, of one channel.
        window_s: length of Welch's segments; None takes the usual one for the length of the recording.
        band_hz: peaks outside are not reported; None reports all.
        channels: number of series of the recording that are analysed: the more there are, the more a peak must
        stand out, so that the chance of a false alarm in any of them stays the same.

    Raises:
        OptionFault: the window does not fit the recording.
    """
    longest_s = series.longest_samples / series.rate_hz
    averaged = welch(series, window_s or usual_window_s(longest_s, series.rate_hz))
    density, floor = averaged.density[0], noise_floor(averaged, averaged.density[0])
    found = _Study(series, averaged, channels).peaks()
    low, high = band_hz or (0.0, math.inf)
    kept = [peak for peak in found if low <= peak.frequency_hz <= high]
    kept.sort(key=lambda peak: peak.rank(longest_s))
    return ChannelSpectrum(
        averaged.frequency_hz, density, floor, tuple(kept), averaged.segments, averaged.segment_s
    )


class _Study:
    """Classification and measurement of each group of bumps, from the strongest to the weakest."""

    def __init__(self, series: EvenSeries, averaged: Spectrum, channels: int) -> None:
        longest = max(series.runs, key=lambda run: run.samples)
        self._values = longest.values[0]
        self._rate_hz = series.rate_hz
        self._fine = welch(replace(series, runs=(longest,)), longest.samples / series.rate_hz)
        self._floor = noise_floor(self._fine, self._fine.density[0])
        self._explained = self._floor.copy()
        self._averaged = averaged
        self._channels = channels

    def peaks(self) -> list[Peak]:
        """All peaks of the series."""
        wide = find_bumps(
            self._averaged, self._averaged.density[0], split_easily=False, channels=self._channels
        )
        narrow = find_bumps(self._fine, self._fine.density[0], split_easily=True, channels=self._channels)
        found: list[Peak] = []
        for group in grouped(wide, narrow, _TOGETHER_BINS * self._fine.bin_hz):
            found += self._judge(*self._still_unexplained(*group))
        return found

    def _still_unexplained(self, wide: list[Bump], narrow: list[Bump]) -> tuple[list[Bump], list[Bump]]:
        """The bumps that do not merely stand on the flank of a stronger resonance."""

        def stands(bump: Bump, spectrum: Spectrum) -> bool:
            chance = chance_over_floor(spectrum.segments, spectrum.frequency_hz.size, self._channels)[
                bump.bin
            ]
            explained = self._explained[round(bump.frequency_hz / self._fine.bin_hz)]
            return bool(bump.density > chance * explained)

        return [each for each in wide if stands(each, self._averaged)], [
            each for each in narrow if stands(each, self._fine)
        ]

    def _judge(self, wide: list[Bump], narrow: list[Bump]) -> list[Peak]:
        if not (wide or narrow):
            return []
        over = max(bump.over_floor for bump in (*narrow, *wide))
        places = [bump.frequency_hz / self._fine.bin_hz for bump in narrow]
        if places and min(places) < _SLOW_BINS:
            return [self._slow(places[0], over)]
        if 1 < len(places) <= _MOST_LINES:
            fit = self._fit(places, decaying=False)
            if fit.explained >= _JOINTLY_STEADY and _apart(fit):
                return self._several(places, fit, over)
        if places:
            single = self._one_line(places[0], over)
            if single is not None:
                return [single]
        resonances = [self._random(bump, wide, over) for bump in wide or narrow[:1]]
        return [peak for peak in resonances if peak is not None]

    def _fit(self, places: list[float], *, decaying: bool) -> LineFit:
        return fit_lines(
            self._fine.factors[0, :, 0], self._explained, places, self._rate_hz, decaying=decaying
        )

    def _several(self, places: list[float], steady: LineFit, over: float) -> list[Peak]:
        """Lines that are fitted together, each steady unless it surely decays."""
        decaying = self._fit(places, decaying=True)
        if steady.left > _CLEARLY_DECAYING * decaying.left:
            return [
                self._decaying(after, over) if after.surely_decays else self._steady(before, over)
                for before, after in zip(steady.lines, decaying.lines, strict=True)
            ]
        return [self._steady(line, over) for line in steady.lines]

    def _one_line(self, place: float, over: float) -> Peak | None:
        steady, decaying = self._fit([place], decaying=False), self._fit([place], decaying=True)
        line = decaying.lines[0]
        better = steady.left > _CLEARLY_DECAYING * decaying.left
        if line.surely_decays and better and decaying.explained >= _DECAYING:
            return self._decaying(line, over)
        if steady.explained >= _STEADY:
            return self._steady(steady.lines[0], over)
        if steady.left < _NOISE_ALONE:
            # Too weak to tell a tone from a narrow resonance: the tone's frequency is the better one.
            return self._peak(steady.lines[0], "steady", (None, None, None), over)
        return None

    def _decaying(self, line: SpectralLine, over: float) -> Peak:
        per_damping = 2 * math.pi * line.place_bins
        damping = (line.decay / per_damping, line.decay_sigma / per_damping, None)
        return self._peak(line, "decaying", damping, over)

    def _steady(self, line: SpectralLine, over: float) -> Peak:
        return self._peak(line, "steady", (None, None, self._narrowest_damping(line.place_bins)), over)

    def _peak(
        self,
        line: SpectralLine,
        kind: Kind,
        damping: tuple[float | None, float | None, float | None],
        over: float,
    ) -> Peak:
        bin_hz = self._fine.bin_hz
        return Peak(
            line.place_bins * bin_hz,
            line.place_sigma_bins * bin_hz,
            line.amplitude,
            line.amplitude_sigma,
            kind,
            *damping,
            over,
        )

    def _random(self, bump: Bump, others: list[Bump], over: float) -> Peak | None:
        """A resonance shaken at random, from the bins around a bump, up to halfway to its neighbours."""
        bin_hz = self._fine.bin_hz
        top = bump.frequency_hz / bin_hz
        neighbours = [each.frequency_hz / bin_hz for each in others if each is not bump]
        lowest = max([1.0, *((top + each) / 2 for each in neighbours if each < top)])
        highest = min([self._floor.size - 2.0, *((top + each) / 2 for each in neighbours if each > top)])
        reach = max(3 * (bump.high_hz - bump.low_hz) / 2 / bin_hz, 6.0)
        found: Resonance | None = None
        for _ in range(4):
            low, high = math.floor(max(lowest, top - reach)), math.ceil(min(highest, top + reach))
            if (
                high - low < 4 or not self._fine.density[0][low : high + 1].any()
            ):  # too few, or nothing ever moved
                return None
            found = fit_resonance(self._fine.density[0], self._explained, low, high, top, bin_hz)
            wanted = max(6.0, 4 * found.decay / (2 * math.pi))
            if abs(wanted - reach) < 0.25 * reach:
                break
            reach = wanted
        assert found is not None
        self._explained = self._explained + found.expected_density(self._floor.size, bin_hz)
        return self._resonance_peak(found, reach, over)

    def _resonance_peak(self, found: Resonance, reach: float, over: float) -> Peak:
        bin_hz, per_damping = self._fine.bin_hz, 2 * math.pi * found.place_bins
        amplitude = math.sqrt(2 * found.power)
        uncertainty = min(found.power_sigma / found.power, 1.0) * amplitude / 2
        narrow = found.decay / math.pi < RESOLUTION_BINS
        return Peak(
            found.place_bins * bin_hz,
            min(found.place_sigma_bins, reach) * bin_hz,
            amplitude,
            uncertainty,
            "random",
            None if narrow else found.decay / per_damping,
            None if narrow else found.decay_sigma / per_damping,
            self._narrowest_damping(found.place_bins) if narrow else None,
            over,
        )

    def _slow(self, place: float, over: float) -> Peak:
        tone = fit_slow_tone(self._values, self._rate_hz, place * self._fine.bin_hz)
        return Peak(
            tone.frequency_hz,
            tone.frequency_sigma_hz,
            tone.amplitude,
            tone.amplitude_sigma,
            "steady",
            None,
            None,
            self._narrowest_damping(place),
            over,
        )

    def _narrowest_damping(self, place_bins: float) -> float:
        return RESOLUTION_BINS / (2 * place_bins)


def _apart(fit: LineFit) -> bool:
    """True if all lines are significant and further apart than the resolution."""
    gaps = np.diff(sorted(line.place_bins for line in fit.lines))
    return bool(gaps.min() > RESOLUTION_BINS) and all(
        line.amplitude > 4 * line.amplitude_sigma for line in fit.lines
    )
