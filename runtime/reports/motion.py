"""Velocity, acceleration, phases, orbits, orders and limits of a recording, beside its displacement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.reports.digits import with_uncertainty
from tremorscope.runtime.vibration.displacement.regions import Scale
from tremorscope.runtime.vibration.monitoring.limits import Criterion, Judgement
from tremorscope.runtime.vibration.monitoring.motion_levels import LimitWatch, RateLevels, judge_recording
from tremorscope.runtime.vibration.spectra.analysis import AXES, Analysis, Axis
from tremorscope.runtime.vibration.spectra.derivatives import (
    ORDERS,
    BandHz,
    MotionQuantity,
    crest,
    derivative_at_frames,
    noise_rms,
    trusted_band_hz,
    usual_unit,
    whole_band_hz,
)
from tremorscope.runtime.vibration.spectra.peaks import Peak
from tremorscope.runtime.vibration.spectra.phases import PhaseFinding, find_phases

Values = NDArray[np.float64]
RATES: tuple[MotionQuantity, ...] = ("velocity", "acceleration")


@dataclass(frozen=True, eq=False)
class RecordedMotion:
    """All that follows from the displacement of a recording."""

    band_hz: BandHz
    """Band in which velocity and acceleration are true."""
    series: dict[tuple[MotionQuantity, int, Axis], Values]
    """Quantity, number of the region, axis -> values at the frames, (N,), in px, px/s or px/s2; NaN where unknown."""
    levels: dict[tuple[MotionQuantity, int, Axis], RateLevels]
    """RMS, peak and noise over the whole recording, likewise."""
    phases: tuple[PhaseFinding, ...]
    judgements: tuple[tuple[int, Judgement], ...]
    """Number of a region, and its use of a limit."""


def recorded_motion(
    time_s: Values, analysis: Analysis, *, tick_s: float, scale: Scale | None, criteria: Sequence[Criterion]
) -> RecordedMotion:
    """Differentiate, compare and judge all that was measured.

    Raises:
        OptionFault: a limit needs a scale, and none is known.
    """
    series: dict[tuple[MotionQuantity, int, Axis], Values] = {}
    levels: dict[tuple[MotionQuantity, int, Axis], RateLevels] = {}
    by_scale = (scale.mm_per_px, scale.relative_sigma) if scale else (None, 0.0)
    for number, region in enumerate(analysis.regions):
        for axis in AXES:
            spectrum = region.along(axis)
            if spectrum is None:
                continue
            moved = region.series.along(axis)
            series["displacement", number, axis] = moved
            for quantity in RATES:
                order = ORDERS[quantity]
                found = derivative_at_frames(time_s, moved, order, tick_s=tick_s)
                band_hz = whole_band_hz(2 * float(spectrum.frequency_hz[-1]))
                noise = noise_rms(spectrum.frequency_hz, spectrum.floor, order, band_hz)
                series[quantity, number, axis] = found
                peak = crest(time_s, moved, order, tick_s=tick_s)
                levels[quantity, number, axis] = _levels(found, peak, noise)
    return RecordedMotion(
        trusted_band_hz(analysis.rate_hz, analysis.duration_s),
        series,
        levels,
        find_phases(time_s, analysis, tick_s=tick_s),
        tuple(
            (number, judge_recording(LimitWatch(number, criterion, *by_scale), time_s, region.series, tick_s))
            for criterion in criteria
            for number, region in enumerate(analysis.regions)
            if region.verdict != "lost"
        ),
    )


def _levels(values: Values, peak: float, noise: float) -> RateLevels:
    known = values[np.isfinite(values)]
    rms = math.sqrt(float((known**2).mean())) if known.size else None
    return RateLevels(rms, peak if math.isfinite(peak) else None, noise)


def peak_rate(peak: Peak, quantity: MotionQuantity, mm_per_px: float | None) -> tuple[float, str]:
    """Amplitude of a peak as velocity or acceleration, and its unit."""
    unit, factor = usual_unit(quantity, mm_per_px)
    return factor * (2 * math.pi * peak.frequency_hz) ** ORDERS[quantity] * peak.amplitude, unit


def peak_rate_sigma(peak: Peak, quantity: MotionQuantity, scale: Scale | None) -> float:
    """Standard uncertainty of that: of amplitude, frequency and scale, relative, in quadrature."""
    value, _ = peak_rate(peak, quantity, scale.mm_per_px if scale else None)
    of_frequency = ORDERS[quantity] * peak.frequency_sigma_hz / peak.frequency_hz
    of_scale = scale.relative_sigma if scale else 0.0
    return value * math.hypot(peak.amplitude_sigma / peak.amplitude, of_frequency, of_scale)


def order_of(peak: Peak, speed_rpm: float, resolution_hz: float) -> tuple[float, int | None]:
    """Frequency of a peak in orders of a speed, and the whole order that it is, if it is one."""
    turning_hz = speed_rpm / 60
    order = peak.frequency_hz / turning_hz
    whole = round(order)
    off_hz = abs(peak.frequency_hz - whole * turning_hz)
    near = off_hz < max(resolution_hz / 2, 3 * peak.frequency_sigma_hz)
    return order, whole if whole >= 1 and near else None


def order_text(peak: Peak, speed_rpm: float, resolution_hz: float) -> str:
    """The order for a person, e.g. ``order 2`` or ``2.37 orders``."""
    order, whole = order_of(peak, speed_rpm, resolution_hz)
    return f"{order:.2f} orders" if whole is None else f"order {whole}"


def rate_text(peak: Peak, quantity: MotionQuantity, scale: Scale | None) -> str:
    """Amplitude of a peak as velocity or acceleration, with its standard uncertainty, without its unit."""
    value, _ = peak_rate(peak, quantity, scale.mm_per_px if scale else None)
    return with_uncertainty(value, peak_rate_sigma(peak, quantity, scale))


def peak_text(peak: Peak, scale: Scale | None, speed_rpm: float | None, resolution_hz: float) -> str:
    """A peak as velocity and acceleration and, where a speed is stated, its order."""
    mm_per_px = scale.mm_per_px if scale else None
    told = [f"{rate_text(peak, each, scale)} {usual_unit(each, mm_per_px)[0]}" for each in RATES]
    return "  ".join(told + ([order_text(peak, speed_rpm, resolution_hz)] if speed_rpm else []))


def scale_share(scale: Scale | None) -> str:
    """Human-readable standard uncertainty that a scale brings into every level, e.g. ``± 1.2 %``; empty if none."""
    return f"± {100 * scale.relative_sigma:.2g} %" if scale and scale.relative_sigma else ""


def motion_line(motion: RecordedMotion, scale: Scale | None) -> str:
    """Band in which velocity and acceleration are true, and the noise of the best channel."""
    told = []
    for quantity in RATES:
        noises = [each.noise for (of, _, _), each in motion.levels.items() if of == quantity and each.noise]
        unit, factor = usual_unit(quantity, scale.mm_per_px if scale else None)
        told.append(f"{factor * min(noises):.2g} {unit}" if noises else f"unknown {unit}")
    low, high = motion.band_hz
    return f"{low:.3g} to {high:.4g} Hz; noise of the quietest region {' and '.join(told)} RMS" + (
        f"; levels {scale_share(scale)} by the scale" if scale_share(scale) else ""
    )


def judgement_lines(motion: RecordedMotion, names: Sequence[str]) -> list[str]:
    """Every region against every limit, a line each."""
    width = max((len(judged.verdict) for _, judged in motion.judgements), default=0)
    return [
        f"{judged.verdict:<{width}}  {names[number]}: {judged.text().removeprefix('not judged: ')}"
        for number, judged in motion.judgements
    ]


def rate_entries(motion: RecordedMotion, number: int, axis: Axis, scale: Scale | None) -> dict[str, Any]:
    """Levels of velocity and acceleration of one channel, for programs: keys name statistic and unit.

    Those to scale have a standard uncertainty beside them, which is the scale's.
    """
    entry: dict[str, Any] = {}
    for quantity in RATES:
        found = motion.levels.get((quantity, number, axis))
        if found is not None:
            told = entry[quantity] = {}
            for each in dict.fromkeys((None, scale)):
                unit, factor = usual_unit(quantity, each.mm_per_px if each else None)
                named = unit.replace("/", "_")
                for statistic, value in asdict(found).items():
                    told[f"{statistic}_{named}"] = None if value is None else factor * value
                    if each and value is not None:
                        told[f"{statistic}_sigma_{named}"] = factor * value * each.relative_sigma
    return entry


def peak_entries(
    peak: Peak, scale: Scale | None, speed_rpm: float | None, resolution_hz: float
) -> dict[str, float | int | None]:
    """A peak's amplitude as velocity and acceleration, and its order, for programs."""
    entry: dict[str, float | int | None] = {}
    for quantity in RATES:
        for each in dict.fromkeys((None, scale)):
            value, unit = peak_rate(peak, quantity, each.mm_per_px if each else None)
            sigma, named = peak_rate_sigma(peak, quantity, each), unit.replace("/", "_")
            entry[f"{quantity}_{named}"] = value
            entry[f"{quantity}_sigma_{named}"] = sigma if math.isfinite(sigma) else None
    if speed_rpm is not None:
        entry["orders"], entry["order"] = order_of(peak, speed_rpm, resolution_hz)
    return entry


def phase_entries(motion: RecordedMotion, frequency_hz: float, names: Sequence[str]) -> dict[str, Any]:
    """Phases and orbits at a peak, for programs; empty where none were found."""
    for found in motion.phases:
        if found.frequency_hz == frequency_hz:
            reference, axis = found.reference
            return {
                "phases": {
                    "reference": {"region": names[reference], "axis": axis},
                    "windows": found.windows,
                    "channels": [{**asdict(each), "region": names[each.region]} for each in found.channels],
                },
                "orbits": [
                    {
                        "region": names[each.region],
                        "major_px": each.major_px,
                        "minor_px": each.minor_px,
                        "angle_deg": each.angle_deg,
                        "sense": each.sense,
                    }
                    for each in found.orbits
                ],
            }
    return {}
