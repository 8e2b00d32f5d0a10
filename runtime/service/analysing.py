"""Periodic analysis of the latest minutes, in a thread of its own: spectra, natural frequencies and modes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.health import NaturalFrequency
from tremorscope.runtime.live.feed import LiveFeed, LiveMotion, LiveSpectrum
from tremorscope.runtime.service.history import MotionHistory, Recorded
from tremorscope.runtime.store import records
from tremorscope.runtime.vibration.monitoring.alarms import AlarmReading
from tremorscope.runtime.vibration.monitoring.temperature import TemperatureTrends, read_temperature
from tremorscope.runtime.vibration.monitoring.tracking import FrequencyTracker, Sighting, Track
from tremorscope.runtime.vibration.settings import VibrationSettings
from tremorscope.runtime.vibration.spectra.analysis import (
    AXES,
    Analysis,
    Axis,
    RegionResult,
    analyse_recording,
)
from tremorscope.runtime.vibration.spectra.modes import Mode
from tremorscope.runtime.vibration.spectra.peaks import ChannelSpectrum, Peak
from tremorscope.runtime.vibration.spectra.spectra import HANN_BANDWIDTH_BINS

_FIRST_AFTER_S = 20.0
"""The first analysis need not wait for the whole recording."""
_SHORTEST_S = 5.0
_MOST_PEAKS = 24
"""Peaks stored of one channel and analysis, strongest first."""


@dataclass(frozen=True)
class AnalysisFindings:
    """Results of one analysis, and the time that it took."""

    time_s: float = 0.0
    """Unix time of the end of the analysed samples."""
    elapsed_s: float = 0.0
    regions: tuple[tuple[str, tuple[NaturalFrequency, ...]], ...] = ()
    """Natural frequencies that each region shows, lowest first."""
    modes: tuple[NaturalFrequency, ...] = ()
    """Followed natural frequencies of the whole structure, lowest first."""
    trouble: str = ""
    """Reason why nothing could be analysed; empty if all is well."""


@dataclass(frozen=True)
class AnalysisOutputs:
    """Receivers of what an analysis finds; none of them may wait."""

    live: LiveMotion
    """Shows the spectra of the analysed regions."""
    feed: LiveFeed
    """Shows natural frequencies over time."""
    store: Callable[[records.Record], None]
    """Takes peaks and modes."""
    read: Callable[[AlarmReading], None]
    """Takes readings of the modes that alarms watch."""


class Analyst:
    """Analyses the history at regular intervals and hands the results over."""

    def __init__(
        self,
        settings: VibrationSettings,
        history: MotionHistory,
        outputs: AnalysisOutputs,
        *,
        tracker: FrequencyTracker,
        trends: TemperatureTrends | None = None,
        clock: Callable[[], float] = time.monotonic,
        set_by_s: Callable[[], float] = float,
    ) -> None:
        """Prepare; ``work`` does it all.

        Args:
            settings: interval, length, and the modes that alarms watch.
            history: what was measured.
            outputs: take what is found.
            tracker: numbers modes; it outlives a change of the settings.
            trends: lines over temperature, which outlive it too; None begins anew.
            clock: seconds on a clock that never goes back.
            set_by_s: sum of the steps of the device's clock so far.
        """
        self._settings, self._history, self._outputs, self._clock = settings, history, outputs, clock
        self.tracker = tracker
        self._set_by_s, self._was_set_by_s = set_by_s, set_by_s()
        self._due_s = clock() + min(settings.analyse_every_s, settings.analyse_over_s, _FIRST_AFTER_S)
        self._analysed_s = -math.inf
        self._trends = trends or TemperatureTrends()
        self.findings = AnalysisFindings()
        """Latest results; replaced as a whole."""

    def look(self) -> bool:
        """Analyse if it is due; returns True if it was."""
        if self._clock() < self._due_s:
            return False
        self._due_s = self._clock() + self._settings.analyse_every_s
        recorded = self._history.latest(self._settings.analyse_over_s)
        if recorded is None or not recorded.regions:
            self.findings = AnalysisFindings(trouble="nothing is being measured")
            return True
        if recorded.times_s[-1] - recorded.times_s[0] < _SHORTEST_S:
            self._due_s = self._clock() + _SHORTEST_S
            return True
        if recorded.times_s[-1] == self._analysed_s:
            # What is seen once must not be read again and again: it is no reading, and modes are silent.
            self.findings = replace(self.findings, trouble="no frame has come since the last analysis")
            return True
        self._analysed_s = recorded.times_s[-1]
        started_s = self._clock()
        try:
            analysis = analyse_recording(
                recorded.times_s, recorded.regions, band_hz=self._settings.frequencies_hz
            )
        except OptionFault as fault:
            over_s = recorded.times_s[-1] - recorded.times_s[0]
            trouble = f"the latest {over_s:.0f} s could not be analysed: {fault}"
            self.findings = AnalysisFindings(recorded.unix_s, self._clock() - started_s, trouble=trouble)
            return True
        self._publish(recorded, analysis, started_s)
        return True

    def _publish(self, recorded: Recorded, analysis: Analysis, started_s: float) -> None:
        unix_s = recorded.unix_s
        tracks = self._follow(unix_s, analysis.modes)
        self._outputs.live.spectra = tuple(
            _live_spectrum(region.series.name, axis, spectrum, unix_s, analysis.duration_s)
            for region in analysis.regions
            for axis in AXES
            if (spectrum := region.along(axis)) is not None
        )
        self._outputs.feed.add_frequencies(
            [
                _natural_frequency(track.number, mode.peak, unix_s)
                for mode, track in zip(analysis.modes, tracks, strict=True)
                if track is not None
            ]
        )
        temperature_c = read_temperature(self._settings.temperature_file)
        for record in _records(unix_s, analysis, tracks, temperature_c):
            self._outputs.store(record)
        for reading in self._readings(unix_s, started_s, analysis.modes, temperature_c):
            self._outputs.read(reading)
        self.findings = AnalysisFindings(
            unix_s,
            self._clock() - started_s,
            tuple((each.series.name, _frequencies(each, tracks, unix_s)) for each in analysis.regions),
            _followed(self.tracker.tracks, analysis.modes, tracks),
        )

    def _follow(self, unix_s: float, modes: Sequence[Mode]) -> list[Track | None]:
        """The track of each mode; None where it was not seen often enough yet."""
        before_s, self._was_set_by_s = self._was_set_by_s, self._set_by_s()
        self.tracker.shift(self._was_set_by_s - before_s)
        sightings = [Sighting(m.frequency_hz, m.peak.frequency_sigma_hz, m.shape) for m in modes]
        try:
            seen = self.tracker.update(unix_s, sightings)
        except OptionFault:  # two analyses of one moment: modes are numbered anew
            self.tracker = FrequencyTracker(self.tracker.settings)
            seen = self.tracker.update(unix_s, sightings)
        latest = {track.latest.frequency_hz: track for track in seen}
        return [latest.get(mode.frequency_hz) for mode in modes]

    def _readings(
        self, unix_s: float, steady_s: float, modes: Sequence[Mode], temperature_c: float | None
    ) -> list[AlarmReading]:
        """The frequency of each mode named in the settings, the strongest within its range, free of temperature."""
        found = []
        for named in self._settings.modes:
            within = [mode for mode in modes if named.low_hz <= mode.frequency_hz <= named.high_hz]
            if within:
                peak = max(within, key=lambda mode: mode.peak.amplitude).peak
                trend = self._trends.of(self._settings.temperature_file, named)
                hz = trend.take_out(peak.frequency_hz, temperature_c)
                sigma_hz = peak.frequency_sigma_hz
                found.append(AlarmReading(named.name, "frequency", unix_s, hz, sigma_hz, steady_s=steady_s))
        return found


def _live_spectrum(
    name: str, axis: Axis, spectrum: ChannelSpectrum, unix_s: float, duration_s: float
) -> LiveSpectrum:
    per_bin = 2 * HANN_BANDWIDTH_BINS / spectrum.window_s
    return LiveSpectrum(
        name,
        axis,
        unix_s,
        duration_s,
        spectrum.frequency_hz,
        np.sqrt(per_bin * spectrum.density),
        np.sqrt(per_bin * spectrum.floor),
        spectrum.peaks[:_MOST_PEAKS],
        spectrum.artefacts[:_MOST_PEAKS],
    )


def _records(
    unix_s: float, analysis: Analysis, tracks: Sequence[Track | None], temperature_c: float | None
) -> list[records.Record]:
    found: list[records.Record] = []
    for region in analysis.regions:
        for axis in AXES:
            spectrum = region.along(axis)
            if spectrum is None:
                continue
            told = [*((peak, "") for peak in spectrum.peaks), *spectrum.artefacts][:_MOST_PEAKS]
            channel = records.Channel(region.series.name, axis)
            found += [_stored_peak(unix_s, channel, peak, cause) for peak, cause in told]
    names = [each.series.name for each in analysis.regions]
    for mode, track in zip(analysis.modes, tracks, strict=True):
        if track is not None:
            found.append(replace(_stored_mode(unix_s, mode, track, names), temperature_c=temperature_c))
    return found


def _stored_peak(unix_s: float, channel: records.Channel, peak: Peak, cause: str) -> records.PeakRecord:
    return records.PeakRecord(
        unix_s,
        channel,
        peak.frequency_hz,
        _finite(peak.frequency_sigma_hz),
        peak.amplitude,
        peak.damping,
        cause,
    )


def _stored_mode(unix_s: float, mode: Mode, track: Track, names: Sequence[str]) -> records.ModeRecord:
    shape = tuple(
        records.ModePoint(name, axis, float(part.real), float(part.imag))
        for name, parts in zip(names, mode.shape.reshape(-1, 2), strict=True)
        for axis, part in zip(AXES, parts, strict=True)
    )
    return records.ModeRecord(
        unix_s,
        str(track.number),
        mode.frequency_hz,
        _finite(mode.peak.frequency_sigma_hz),
        mode.peak.damping,
        shape=shape,
    )


def _frequencies(
    region: RegionResult, tracks: Sequence[Track | None], unix_s: float
) -> tuple[NaturalFrequency, ...]:
    """The peaks of a region, strongest axis first, with the number of the mode that they belong to; 0 of none."""
    peaks = [peak for axis in AXES if (spectrum := region.along(axis)) for peak in spectrum.peaks]
    peaks.sort(key=lambda peak: -peak.amplitude)
    kept: list[Peak] = []
    for peak in peaks:
        if not any(_is_same(peak, other) for other in kept):
            kept.append(peak)
    numbered = [
        _natural_frequency(next((t.number for t in tracks if t and _is_near(peak, t)), 0), peak, unix_s)
        for peak in kept[:_MOST_PEAKS]
    ]
    return tuple(sorted(numbered, key=lambda each: each.frequency_hz))


def _followed(
    confirmed: Sequence[Track], modes: Sequence[Mode], tracks: Sequence[Track | None]
) -> tuple[NaturalFrequency, ...]:
    damping = {track.number: mode.peak.damping for mode, track in zip(modes, tracks, strict=True) if track}
    return tuple(
        NaturalFrequency(
            track.number, track.frequency_hz, _finite(track.sigma_hz), damping.get(track.number), track.last_s
        )
        for track in confirmed
    )


def _natural_frequency(number: int, peak: Peak, unix_s: float) -> NaturalFrequency:
    return NaturalFrequency(number, peak.frequency_hz, _finite(peak.frequency_sigma_hz), peak.damping, unix_s)


def _is_same(peak: Peak, other: Peak) -> bool:
    return (
        abs(peak.frequency_hz - other.frequency_hz)
        < 3 * (peak.frequency_sigma_hz + other.frequency_sigma_hz) + 1e-3 * peak.frequency_hz
    )


def _is_near(peak: Peak, track: Track) -> bool:
    return abs(peak.frequency_hz / track.frequency_hz - 1) < 0.02


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
