"""Frequencies of all channels together, and which of them are motion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tremorscope.runtime.vibration.spectra.artefacts import ArtefactTable, Suspect, may_be_coded, weakness
from tremorscope.runtime.vibration.spectra.peaks import ChannelSpectrum, Peak
from tremorscope.runtime.vibration.spectra.spectra import RESOLUTION_BINS

Axis = Literal["x", "y"]
AXES: tuple[Axis, ...] = ("x", "y")
Channel = tuple[int, Axis]

_HIGHEST_MULTIPLE = 6


@dataclass(frozen=True)
class FrequencyFinding:
    """One frequency at which something moves, as seen by the channel that surely moves most."""

    peak: Peak
    region: int
    """Index of that channel's region, from 0."""
    axis: Axis
    seen_in: tuple[tuple[int, Axis, float], ...]
    """Every channel that shows it: region, axis, amplitude in px."""
    multiple_of: tuple[int, float] | None = None
    """Order and fundamental frequency in Hz, if it is a whole multiple of a stronger finding; None otherwise."""
    cause: str = ""
    """Cause in words of an artefact; empty for motion."""


@dataclass(frozen=True)
class Judged:
    """Findings of a recording, motion and artefacts apart."""

    motion: tuple[FrequencyFinding, ...]
    """The surest first."""
    artefacts: tuple[FrequencyFinding, ...]
    """Strongest first, each with its cause."""

    def cause(self, peak: Peak, bin_hz: float, channel: Channel | None = None) -> str:
        """Cause of the nearest finding that a peak belongs to; empty of motion, and of a frequency that is new."""
        place = (*channel, peak.amplitude) if channel else None
        near = [each for each in (*self.motion, *self.artefacts) if is_same(peak, each.peak, bin_hz)]
        near.sort(
            key=lambda each: (place not in each.seen_in, abs(each.peak.frequency_hz - peak.frequency_hz))
        )
        return near[0].cause if near else ""


def judge(
    channels: Mapping[Channel, ChannelSpectrum],
    errors_px: Mapping[Channel, float],
    table: ArtefactTable,
    bin_hz: float,
) -> Judged:
    """Gather the peaks of all channels by frequency and tell motion from artefacts.

    Args:
        channels: the spectrum of each; what is known to be an artefact already stands apart in it.
        errors_px: standard error of an amplitude by compression, by channel.
        table: rhythms of the recording.
        bin_hz: resolution of the longest run.
    """
    found = _gathered([(peak, *key) for key, each in channels.items() for peak in each.peaks], bin_hz)
    found = [_without_weak(each, errors_px) for each in found]
    suspects = [Suspect(each.peak, errors_px[each.region, each.axis]) for each in found]
    told = [
        replace(each, cause=cause) for each, cause in zip(found, table.causes(suspects), strict=True) if cause
    ]
    motion = [each for each in found if not any(each.seen_in == other.seen_in for other in told)]
    motion = [replace(each, multiple_of=_multiple(each, motion, bin_hz)) for each in motion]
    causes = {cause for each in channels.values() for _, cause in each.artefacts}
    for cause in sorted(causes):
        peaks = [
            (peak, *key) for key, each in channels.items() for peak, why in each.artefacts if why == cause
        ]
        told += [replace(each, cause=cause) for each in _gathered(peaks, bin_hz)]
    motion.sort(key=lambda each: each.peak.rank(1 / bin_hz))
    told.sort(key=lambda each: -each.peak.amplitude)
    return Judged(tuple(motion), tuple(told))


def _without_weak(finding: FrequencyFinding, errors_px: Mapping[Channel, float]) -> FrequencyFinding:
    """The finding without the channels, but its own, in which compression alone may show as much."""
    own, surest_px = (finding.region, finding.axis), finding.peak.amplitude
    seen = tuple(
        each
        for each in finding.seen_in
        if each[:2] == own or not may_be_coded(each[2], errors_px[each[:2]], surest_px)
    )
    return replace(finding, seen_in=seen)


def parted(
    spectrum: ChannelSpectrum, channel: Channel, judged: Judged, bin_hz: float, error_px: float
) -> ChannelSpectrum:
    """A channel's spectrum with the peaks apart that belong to artefacts, or that compression alone may show."""
    told = [
        (peak, judged.cause(peak, bin_hz, channel) or weakness(peak, error_px)) for peak in spectrum.peaks
    ]
    return replace(
        spectrum,
        peaks=tuple(peak for peak, why in told if not why),
        artefacts=(*spectrum.artefacts, *((peak, why) for peak, why in told if why)),
    )


def _gathered(peaks: list[tuple[Peak, int, Axis]], bin_hz: float) -> list[FrequencyFinding]:
    """Peaks of the same frequency in several channels as one finding, that of the surely largest; strongest first."""
    peaks.sort(key=lambda each: 2 * each[0].amplitude_sigma - each[0].amplitude)
    found: list[FrequencyFinding] = []
    for peak, region, axis in peaks:
        same = next((at for at, other in enumerate(found) if is_same(peak, other.peak, bin_hz)), None)
        if same is None:
            found.append(FrequencyFinding(peak, region, axis, ((region, axis, peak.amplitude),)))
        elif (region, axis) not in {seen[:2] for seen in found[same].seen_in}:
            seen = (*found[same].seen_in, (region, axis, peak.amplitude))
            found[same] = replace(found[same], seen_in=seen)
    return sorted(found, key=lambda each: -each.peak.amplitude)


def is_same(peak: Peak, other: Peak, bin_hz: float) -> bool:
    """True where two peaks cannot be told apart by their frequencies."""
    lines = peak.kind == "steady" and other.kind == "steady"
    width = RESOLUTION_BINS * bin_hz / (2 if lines else 1)
    for each in (peak, other):
        width = max(width, 3 * each.frequency_sigma_hz, (each.damping or 0) * each.frequency_hz)
    return abs(peak.frequency_hz - other.frequency_hz) < width


def _multiple(
    finding: FrequencyFinding, found: list[FrequencyFinding], bin_hz: float
) -> tuple[int, float] | None:
    frequency = finding.peak.frequency_hz
    for stronger in found[: found.index(finding)]:
        order = round(frequency / stronger.peak.frequency_hz)
        off = abs(frequency - order * stronger.peak.frequency_hz)
        allowed = max(bin_hz / 2, 3 * finding.peak.frequency_sigma_hz)
        if 2 <= order <= _HIGHEST_MULTIPLE and off < allowed:
            return order, stronger.peak.frequency_hz
    return None
