"""Analysis of a recording: from displacement over time to spectra, frequencies with uncertainties, and modes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.displacement.coding_loss import LEAST_ERRORS
from tremorscope.runtime.vibration.spectra.artefacts import (
    ArtefactTable,
    Origin,
    Suspect,
    camera_cause,
    light_cause,
    may_be_coded,
)
from tremorscope.runtime.vibration.spectra.findings import AXES as AXES
from tremorscope.runtime.vibration.spectra.findings import Axis as Axis
from tremorscope.runtime.vibration.spectra.findings import FrequencyFinding as FrequencyFinding
from tremorscope.runtime.vibration.spectra.findings import Judged, judge, parted
from tremorscope.runtime.vibration.spectra.modes import Mode, find_modes, without_parts
from tremorscope.runtime.vibration.spectra.peaks import ChannelSpectrum, Peak, analyse
from tremorscope.runtime.vibration.spectra.region_series import RegionSeries as RegionSeries
from tremorscope.runtime.vibration.spectra.sampling import EvenSeries, resample_evenly
from tremorscope.runtime.vibration.spectra.spectra import HANN_BANDWIDTH_BINS, chance_over_floor, detrended
from tremorscope.runtime.vibration.spectra.tones import steady_amplitude

Values = NDArray[np.float64]
Verdict = Literal["vibrates", "moves, but not at a steady frequency", "below the noise floor", "lost"]

_MOST_LOST = 0.1
"""Share of lost frames up to which a region is analysed."""
_CLEARLY_MOVING = 3.0


@dataclass(frozen=True, eq=False)
class RegionResult:
    """Spectra, RMS displacement and verdict of one region."""

    series: RegionSeries
    x: ChannelSpectrum | None
    """None where x could not be measured."""
    y: ChannelSpectrum | None
    rms_px: tuple[float, float]
    """RMS displacement along x and y without its linear trend; NaN where it could not be measured."""
    verdict: Verdict

    def along(self, axis: Axis) -> ChannelSpectrum | None:
        """The spectrum along an axis."""
        return self.x if axis == "x" else self.y

    def smallest_visible_px(self, axis: Axis) -> float:
        """Amplitude that a steady tone must have to be told from noise, at a usual frequency; NaN if none can."""
        spectrum = self.along(axis)
        if spectrum is None:
            return math.nan
        wanted = chance_over_floor(spectrum.segments, spectrum.frequency_hz.size) * spectrum.floor
        over_noise = math.sqrt(2 * float(np.median(wanted)) * HANN_BANDWIDTH_BINS / spectrum.window_s)
        return max(over_noise, LEAST_ERRORS * self.series.coding_error_px[AXES.index(axis)])


@dataclass(frozen=True, eq=False)
class Analysis:
    """Result of a recording: regions, findings, modes and the quality of its time base."""

    regions: tuple[RegionResult, ...]
    findings: tuple[FrequencyFinding, ...]
    """The surest first."""
    artefacts: tuple[FrequencyFinding, ...]
    """Peaks that filming, light or compression made, strongest first, each with its cause."""
    modes: tuple[Mode, ...]
    """The surest first; shapes have x and y of every region in turn, 0 where not measured."""
    rate_hz: float
    duration_s: float
    window_s: float
    gaps: tuple[tuple[float, float, int], ...]
    """Start and end in seconds, and frames missing, of every gap of any region."""
    bridged: int
    """Single missing frames that were interpolated."""
    interpolated: bool
    """True if frames were so uneven in time that they had to be interpolated."""


def analyse_recording(
    time_s: Values,
    regions: Sequence[RegionSeries],
    *,
    tick_s: float = 0.0,
    window_s: float | None = None,
    band_hz: tuple[float, float] | None = None,
    origin: Origin | None = None,
) -> Analysis:
    """Spectra, findings and modes of all regions of a recording, and its artefacts apart from them.

    Args:
        time_s: capture time of every frame, (N,).
        regions: their displacements.
        tick_s: resolution of the times.
        window_s: length of Welch's segments; None takes the usual one.
        band_hz: where peaks are looked for; None looks everywhere.
        origin: what else makes tones; None is a live camera's.

    Raises:
        OptionFault: time does not run forwards; the recording is too short for the window or for any spectrum;
        the band holds no frequency that this rate can show; every region is lost.
    """
    known = _usable_channels(regions)
    channels = np.stack([regions[number].along(axis) for number, axis in known])  # (channels, N)
    together = resample_evenly(time_s, channels, tick_s=tick_s)
    _check_band(band_hz, together)
    each = [resample_evenly(time_s, channel, tick_s=tick_s) for channel in channels]
    bin_hz = together.rate_hz / together.longest_samples
    table = ArtefactTable(origin or Origin(), together.rate_hz, 1 / bin_hz)
    analysed = [analyse(series, window_s=window_s, band_hz=band_hz, channels=len(known)) for series in each]
    by_channel, judged = _judged(dict(zip(known, analysed, strict=True)), regions, time_s, table)
    results = tuple(_result(number, series, by_channel) for number, series in enumerate(regions))
    modes = [
        mode
        for found in find_modes(together, list(by_channel.values()), window_s=window_s, band_hz=band_hz)
        if (mode := _judged_mode(found, known, regions, time_s, (judged, table))) is not None
    ]
    return Analysis(
        regions=results,
        findings=judged.motion,
        artefacts=judged.artefacts,
        modes=tuple(_over_all_regions(mode, known, len(regions)) for mode in modes),
        rate_hz=together.rate_hz,
        duration_s=float(time_s[-1] - time_s[0]) + 1 / together.rate_hz,
        window_s=analysed[0].window_s,
        gaps=tuple(sorted({(gap.start_s, gap.end_s, gap.missing) for series in each for gap in series.gaps})),
        bridged=max(series.bridged for series in each),
        interpolated=any(series.interpolated for series in each),
    )


def _usable_channels(regions: Sequence[RegionSeries]) -> list[tuple[int, Axis]]:
    """Region index and axis of every channel that was measured in at least nine tenths of the frames."""
    usable = [number for number, each in enumerate(regions) if each.lost_share <= _MOST_LOST]
    if not usable:
        raise OptionFault(
            "every region is lost in more than a tenth of the frames",
            remedy="choose regions that stay in view and that one rigid part of the structure fills",
        )
    return [
        (number, axis)
        for number in usable
        for axis, floor in zip(AXES, regions[number].noise_floor_px, strict=True)
        if math.isfinite(floor)
    ]


def _judged(
    analysed: dict[tuple[int, Axis], ChannelSpectrum],
    regions: Sequence[RegionSeries],
    time_s: Values,
    table: ArtefactTable,
) -> tuple[dict[tuple[int, Axis], ChannelSpectrum], Judged]:
    """Spectra with artefacts apart from motion, and the findings of all of them."""
    told = {
        (number, axis): _with_causes(spectrum, time_s, regions[number], axis, table.rate_hz)
        for (number, axis), spectrum in analysed.items()
    }
    errors_px = {key: regions[key[0]].coding_error_px[AXES.index(key[1])] for key in told}
    bin_hz = 1 / table.duration_s
    judged = judge(told, errors_px, table, bin_hz)
    apart = {key: parted(each, key, judged, bin_hz, errors_px[key]) for key, each in told.items()}
    return apart, judged


def _with_causes(
    spectrum: ChannelSpectrum, time_s: Values, region: RegionSeries, axis: Axis, rate_hz: float
) -> ChannelSpectrum:
    """The spectrum, amplitudes as sure as coding leaves them, with the peaks apart that `_told` explains."""
    told = [
        (_as_coded(peak, region, axis), _told(peak, time_s, region, axis, rate_hz)) for peak in spectrum.peaks
    ]
    return replace(
        spectrum,
        peaks=tuple(peak for peak, cause in told if not cause),
        artefacts=tuple((peak, cause) for peak, cause in told if cause),
    )


def _as_coded(peak: Peak, region: RegionSeries, axis: Axis) -> Peak:
    error_px = region.coding_error_px[AXES.index(axis)]
    return replace(peak, amplitude_sigma=math.hypot(peak.amplitude_sigma, error_px))


def _told(peak: Peak, time_s: Values, region: RegionSeries, axis: Axis, rate_hz: float) -> str:
    """Cause of a peak that light or the camera's motion at its frequency explains, or rounding; empty of others."""
    known = np.isfinite(region.light).all(axis=0)

    def swing_at(frequency_hz: float) -> float:
        return max(steady_amplitude(time_s[known], each[known], frequency_hz) for each in region.light)

    if peak.amplitude <= region.rounding_floor_px[AXES.index(axis)]:
        return "rounding to 8 bit, where there is too little noise to even it out"
    if region.camera_px is not None and np.nan_to_num(region.camera_px).any():
        own_px = region.camera_px[AXES.index(axis)]
        seen = np.isfinite(own_px)
        left = camera_cause(peak, steady_amplitude(time_s[seen], own_px[seen], peak.frequency_hz))
        if left:
            return left
    return light_cause(peak, swing_at, rate_hz)


def _judged_mode(
    mode: Mode,
    known: list[tuple[int, Axis]],
    regions: Sequence[RegionSeries],
    time_s: Values,
    by: tuple[Judged, ArtefactTable],
) -> Mode | None:
    """The mode, its amplitude as sure as coding leaves it; None where it is an artefact."""
    judged, table = by
    errors_px = np.array([regions[at].coding_error_px[AXES.index(along)] for at, along in known])
    amplitudes_px = mode.peak.amplitude * np.abs(mode.shape)
    surest_px = amplitudes_px[int(np.argmax(amplitudes_px - 2 * errors_px))]
    are_unsure = may_be_coded(amplitudes_px, errors_px, surest_px)
    if are_unsure.any():
        surely = without_parts(mode, are_unsure)
        if surely is None:
            return None
        mode = surely
    number, axis = known[int(np.argmax(np.abs(mode.shape)))]
    light = _told(mode.peak, time_s, regions[number], axis, table.rate_hz)
    if light or judged.cause(mode.peak, 1 / table.duration_s):
        return None
    suspect = Suspect(mode.peak, regions[number].coding_error_px[AXES.index(axis)])
    if table.cause(suspect, [each.peak for each in judged.motion]):
        return None
    return replace(mode, peak=_as_coded(mode.peak, regions[number], axis))


def _check_band(band_hz: tuple[float, float] | None, series: EvenSeries) -> None:
    if band_hz is None:
        return
    low, high = band_hz
    nyquist = series.rate_hz / 2
    slowest = 2 * series.rate_hz / series.longest_samples
    if not 0 <= low < high:
        raise OptionFault(
            f"a band from {low:g} to {high:g} Hz holds nothing", remedy="give the lower frequency first"
        )
    if low >= nyquist or high <= slowest:
        raise OptionFault(
            f"a band from {low:g} to {high:g} Hz cannot be seen at {series.rate_hz:.6g} frames a second",
            remedy=f"choose within {slowest:.3g} to {nyquist:.6g} Hz, or state the true rate of capture",
        )


def _result(
    number: int, series: RegionSeries, by_channel: dict[tuple[int, Axis], ChannelSpectrum]
) -> RegionResult:
    x, y = (by_channel.get((number, axis)) for axis in AXES)
    if x is None and y is None:
        return RegionResult(series, None, None, (math.nan, math.nan), "lost")
    rms = (_rms(series.x_px) if x else math.nan, _rms(series.y_px) if y else math.nan)
    verdict: Verdict = "moves, but not at a steady frequency"
    if any(spectrum is not None and spectrum.peaks for spectrum in (x, y)):
        verdict = "vibrates"
    elif all(
        not rms_px > _CLEARLY_MOVING * floor for rms_px, floor in zip(rms, series.noise_floor_px, strict=True)
    ):
        verdict = "below the noise floor"
    return RegionResult(series, x, y, rms, verdict)


def _rms(values: Values) -> float:
    known = values[np.isfinite(values)]
    return float(detrended(known).std()) if known.size > 2 else math.nan


def _over_all_regions(mode: Mode, known: list[tuple[int, Axis]], count: int) -> Mode:
    """The mode with its shape over x and y of all regions, (2 * count,), 0 where nothing was measured."""
    shape = np.zeros(2 * count, dtype=np.complex128)
    for (number, axis), part in zip(known, mode.shape, strict=True):
        shape[2 * number + AXES.index(axis)] = part
    return replace(mode, shape=shape)
