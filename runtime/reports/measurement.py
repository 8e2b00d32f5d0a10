"""A finished measurement, as lines for a terminal and as a summary for programs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.frames.clip_times import TimeAxis
from tremorscope.runtime.reports.digits import damping_text, frequency_text, short_frequency, with_uncertainty
from tremorscope.runtime.reports.motion import (
    RecordedMotion,
    judgement_lines,
    motion_line,
    peak_entries,
    peak_text,
    phase_entries,
    rate_entries,
    recorded_motion,
)
from tremorscope.runtime.reports.provenance import Provenance
from tremorscope.runtime.vibration.displacement.geometry import PlaneScale
from tremorscope.runtime.vibration.displacement.regions import Region, Scale
from tremorscope.runtime.vibration.monitoring.limits import Criterion
from tremorscope.runtime.vibration.monitoring.modal_baseline import ModeChange, stored_mode
from tremorscope.runtime.vibration.spectra.analysis import AXES, Analysis, FrequencyFinding, RegionResult
from tremorscope.runtime.vibration.spectra.modes import Mode
from tremorscope.runtime.vibration.spectra.peaks import Peak
from tremorscope.runtime.vibration.spectra.subspace import SubspaceFinding

_MOST_LINES, _MOST_ARTEFACTS = 12, 5


@dataclass(frozen=True, eq=False)
class Measurement:
    """All that was found in a clip."""

    clip: str
    frame: NDArray[np.uint8]
    """The first frame, (H, W, 3; RGB): the reference."""
    time_axis: TimeAxis
    times_s: NDArray[np.float64]
    """Time of every measured frame since the first, in reality rather than in playback, (N,)."""
    clip_notes: tuple[str, ...]
    """Peculiarities of the clip, such as repeated or interlaced frames."""
    analysis: Analysis
    still: tuple[Region, ...]
    proposed: bool
    """True where the regions were proposed rather than named."""
    scale: Scale | None
    plane: PlaneScale | None
    """The plane by which displacements were carried to mm along axes nearest to the picture's; None: none."""
    undistorted: bool
    """True where the lens's distortion is taken out of displacements."""
    comparisons: tuple[ModeChange, ...]
    refreshes: int
    """Renewals of regions' references."""
    elapsed_s: float
    files: tuple[str, ...]
    """Names of the files that it left."""
    provenance: Provenance
    tick_s: float = 0.0
    """Resolution of the times."""
    speed_rpm: float | None = None
    """Speed of the machine, whose orders peaks are named by; None where none was stated."""
    criteria: tuple[Criterion, ...] = ()
    """Limits to judge by."""
    subspace: SubspaceFinding | None = None
    """Modes by stochastic subspaces; None where not asked for."""

    @cached_property
    def motion(self) -> RecordedMotion:
        """Velocity, acceleration, phases, orbits and the use of limits."""
        return recorded_motion(
            self.times_s, self.analysis, tick_s=self.tick_s, scale=self.scale, criteria=self.criteria
        )

    def _names(self) -> list[str]:
        return [each.series.name for each in self.analysis.regions]

    @property
    def mm_per_px(self) -> float | None:
        """The scale's value; None where none is known."""
        return None if self.scale is None else self.scale.mm_per_px

    def lines(self) -> list[str]:
        """Human-readable report: the recording, the peaks, the surest first, and what is no motion, a line each."""
        analysis = self.analysis
        axis = self.time_axis
        strongest = analysis.findings[:_MOST_LINES]
        width = max((len(self.amplitude_text(each.peak)) for each in strongest), default=0)
        shown = [self._finding_line(each, width) for each in strongest]
        if len(analysis.findings) > _MOST_LINES:
            shown.append(f"and {len(analysis.findings) - _MOST_LINES} weaker ones, in the report")
        return [
            f"measured    {self.clip}: {self.times_s.size} frames, {analysis.duration_s:.4g} s at "
            f"{analysis.rate_hz:.6g} Hz, {len(analysis.regions)} regions"
            + (" (proposed)" if self.proposed else ""),
            f"resolution  {1 / analysis.duration_s:.3g} Hz, frequencies up to {axis.nyquist_hz:.6g} Hz",
            f"rates       velocity and acceleration are true from {motion_line(self.motion, self.scale)}",
            *(f"note        {note}" for note in self.notes()),
            "",
            *(shown or [self._nothing()]),
            *self._artefact_lines(),
            *(self.subspace.lines(analysis.modes) if self.subspace else []),
            *(["", *map(_comparison_line, self.comparisons)] if self.comparisons else []),
            *(["", *judgement_lines(self.motion, self._names())] if self.criteria else []),
        ]

    def _finding_line(self, finding: FrequencyFinding, width: int) -> str:
        peak = finding.peak
        place = f"{self.analysis.regions[finding.region].series.name} {finding.axis}"
        damping = "" if peak.damping is None else f"  damping {damping_text(peak)}"
        size, exactly = self.amplitude_text(peak), f"({frequency_text(peak)})"
        told = peak_text(peak, self.scale, self.speed_rpm, 1 / self.analysis.duration_s)
        return f"{short_frequency(peak):<10} {size:<{width}}  {place:<6} {exactly}{damping}  {told}"

    def _artefact_lines(self) -> list[str]:
        """Peaks that are no motion, each with its cause."""
        found = self.analysis.artefacts
        shown = [
            f"{short_frequency(each.peak):<10} {each.peak.amplitude:.2g} px: {each.cause}"
            for each in found[:_MOST_ARTEFACTS]
        ]
        if len(found) > _MOST_ARTEFACTS:
            shown.append(f"and {len(found) - _MOST_ARTEFACTS} weaker ones, in the report")
        return ["", "not motion", *shown] if shown else []

    def _nothing(self) -> str:
        verdicts = {region.verdict for region in self.analysis.regions}
        if verdicts <= {"below the noise floor", "lost"}:
            return "no vibration: every region is below the noise floor"
        return "no vibration at a steady frequency stands out from noise and drift"

    def amplitude_text(self, peak: Peak) -> str:
        """Amplitude with its uncertainty, in px and, where the scale is known, in mm."""
        text = f"{with_uncertainty(peak.amplitude, peak.amplitude_sigma)} px"
        if self.scale is None:
            return text
        return f"{text} = {with_uncertainty(self.scale.mm_per_px * peak.amplitude, self.sigma_mm(peak))} mm"

    def sigma_mm(self, peak: Peak) -> float:
        """Standard uncertainty of an amplitude in mm, that of the scale included."""
        assert self.scale is not None
        return self.scale.sigma_mm(peak.amplitude, peak.amplitude_sigma)

    def notes(self) -> list[str]:
        """Human-readable limits of the results, a line each."""
        analysis, axis, notes = self.analysis, self.time_axis, list(self.clip_notes)
        if axis.capture_rate_hz is None:
            notes.append("the rate is that of the file: state --capture-fps if the camera filmed faster")
        if not axis.measured:
            notes.append("the clip holds no times: frames are taken as evenly spaced")
        if analysis.interpolated:
            notes.append("frames come unevenly: they were interpolated, and high frequencies are damped")
        if analysis.bridged:
            notes.append(f"frames that were missing one by one were interpolated: {analysis.bridged}")
        if analysis.gaps:
            missing = sum(gap[2] for gap in analysis.gaps)
            notes.append(f"{len(analysis.gaps)} gaps of {missing} frames in all: spectra do not reach across")
        notes += [
            f"{each.series.name} was lost in {each.series.lost_share:.0%} of the frames and is left out"
            for each in analysis.regions
            if each.verdict == "lost"
        ]
        return notes

    def summary(self) -> dict[str, Any]:
        """Everything for programs; also the baseline that a later measurement is compared with."""
        analysis, axis = self.analysis, self.time_axis
        return {
            "format": "tremorscope measurement 1",
            "provenance": self.provenance.summary(),
            "clip": self.clip,
            "frames": int(self.times_s.size),
            "width_px": int(self.frame.shape[1]),
            "height_px": int(self.frame.shape[0]),
            "duration_s": analysis.duration_s,
            "rate_hz": analysis.rate_hz,
            "rate_stated": axis.capture_rate_hz is not None,
            "resolution_hz": 1 / analysis.duration_s,
            "window_s": analysis.window_s,
            "scale": None if self.scale is None else asdict(self.scale),
            "undistorted": self.undistorted,
            "rates_true_hz": list(self.motion.band_hz),
            "speed_rpm": self.speed_rpm,
            "notes": self.notes(),
            "regions": [self._region(number, each) for number, each in enumerate(analysis.regions)],
            "still": [asdict(region) for region in self.still],
            "gaps": [
                {"start_s": start, "end_s": end, "missing_frames": missing}
                for start, end, missing in analysis.gaps
            ],
            "bridged_frames": analysis.bridged,
            "reference_refreshes": self.refreshes,
            "peaks": [self._finding(each) for each in analysis.findings],
            "artefacts": [{**self._finding(each), "cause": each.cause} for each in analysis.artefacts],
            "modes": [self._mode(each) for each in analysis.modes],
            "ssi": None if self.subspace is None else self.subspace.summary(analysis.modes),
            "baseline": [_comparison(each) for each in self.comparisons],
            "limits": [
                {"region": analysis.regions[number].series.name, **judged.detail()}
                for number, judged in self.motion.judgements
            ],
        }

    def _region(self, at: int, result: RegionResult) -> dict[str, Any]:
        series = result.series
        entry: dict[str, Any] = {"name": series.name, **asdict(series.region), "verdict": result.verdict}
        if self.plane is not None:
            place = series.region.centre_px
            entry["map_mm_per_px"] = self.plane.map_at(place).tolist()
            entry["map_relative_sigma"] = self.plane.relative_sigma_at(place)
        entry["lost_share"] = series.lost_share
        entry["quality"] = _number(float(np.nanmedian(series.quality)))
        for number, axis in enumerate(AXES):
            spectrum = result.along(axis)
            entry[axis] = {
                "rms_px": _number(result.rms_px[number]),
                "noise_floor_px": _number(series.noise_floor_px[number]),
                "noise_bound_px": _number(series.bound_px[number]),
                "coding_error_px": _number(series.coding_error_px[number]),
                "measured_noise_px": None if spectrum is None else spectrum.noise_sigma,
                "smallest_visible_px": _number(result.smallest_visible_px(axis)),
                **rate_entries(self.motion, at, axis, self.scale),
            }
        return entry

    def _finding(self, finding: FrequencyFinding) -> dict[str, Any]:
        regions = self.analysis.regions
        return {
            **self._peak(finding.peak),
            "region": regions[finding.region].series.name,
            "axis": finding.axis,
            "multiple_of": None
            if finding.multiple_of is None
            else {"order": finding.multiple_of[0], "frequency_hz": finding.multiple_of[1]},
            "seen_in": [
                {"region": regions[region].series.name, "axis": axis, "amplitude_px": amplitude}
                for region, axis, amplitude in finding.seen_in
            ],
            **phase_entries(self.motion, finding.peak.frequency_hz, self._names()),
        }

    def _peak(self, peak: Peak) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "frequency_hz": peak.frequency_hz,
            "frequency_sigma_hz": peak.frequency_sigma_hz,
            "amplitude_px": peak.amplitude,
            "amplitude_sigma_px": peak.amplitude_sigma,
            "kind": peak.kind,
            "damping": peak.damping,
            "damping_sigma": _number(peak.damping_sigma),
            "damping_below": peak.damping_below,
            "over_floor": peak.over_floor,
        }
        if self.scale is not None:
            entry["amplitude_mm"] = self.scale.mm_per_px * peak.amplitude
            entry["amplitude_sigma_mm"] = self.sigma_mm(peak)
        return entry | peak_entries(peak, self.scale, self.speed_rpm, 1 / self.analysis.duration_s)

    def _mode(self, mode: Mode) -> dict[str, Any]:
        return {
            **self._peak(mode.peak),
            "collinearity": mode.collinearity,
            "shape": stored_mode(mode).model_dump()["shape"],
        }


def _comparison_line(each: ModeChange) -> str:
    if each.found is None or each.shift is None:
        return f"baseline    {each.baseline_hz:.4g} Hz: not found"
    return (
        f"baseline    {each.baseline_hz:.4g} Hz: now {each.found.frequency_hz:.4g} Hz, {each.shift:+.2%}, "
        f"MAC {each.mac:.2f}"
    )


def _comparison(each: ModeChange) -> dict[str, Any]:
    return {
        "baseline_hz": each.baseline_hz,
        "found_hz": None if each.found is None else each.found.frequency_hz,
        "shift": each.shift,
        "mac": each.mac,
    }


def _number(value: float | None) -> float | None:
    """A number that JSON can hold: infinite and unknown become null."""
    return value if value is not None and math.isfinite(value) else None
