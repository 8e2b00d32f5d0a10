"""Sections of the report on velocity and acceleration, phases and orbits, orders, and limits."""

from __future__ import annotations

from html import escape

from tremorscope.runtime.reports.digits import short_frequency
from tremorscope.runtime.reports.html_style import Column, column_section, picture
from tremorscope.runtime.reports.measurement import Measurement
from tremorscope.runtime.reports.motion import RATES, order_text, rate_text, scale_share
from tremorscope.runtime.vibration.spectra.analysis import AXES
from tremorscope.runtime.vibration.spectra.derivatives import usual_unit

_MOST_PEAKS, _MOST_PHASES = 12, 3
_BLANK = "&ndash;"


def limits_section(measurement: Measurement) -> str:
    """Use of every limit in every region; empty where none was stated."""
    rows = []
    for number, judged in measurement.motion.judgements:
        criterion, told = judged.criterion, judged.detail()
        value, limit = told["value"], told["limit"]
        unit = criterion.unit.replace("s2", "s²")
        margin = _BLANK if judged.refusal else f"{100 * (1 - judged.share):.0f} %"
        rows.append(
            [
                f"<b>{escape(measurement.analysis.regions[number].series.name)}</b> {judged.axis}",
                f"<b>{judged.verdict}</b>" + (f", zone {judged.zone}" if judged.zone else ""),
                _BLANK if value is None else f"{value:.3g} {unit}",
                _BLANK if limit is None else f"{limit:.3g} {unit} at {judged.mainly_hz:.3g} Hz",
                margin,
                escape("; ".join(filter(None, (judged.refusal, judged.coverage.partly)))) or _BLANK,
            ]
        )
    if not rows:
        return ""
    columns = [Column(each) for each in ("region", "verdict", "found", "limit", "margin")]
    sources = dict.fromkeys(
        f"{each.criterion.name()}: {each.criterion.source}. {each.criterion.remark}"
        for _, each in measurement.motion.judgements
    )
    return column_section(
        "Limits", [*columns, Column("not judged", minor=True)], rows, escape("; ".join(sources))
    )


def motion_sections(measurement: Measurement, orbits: bytes) -> list[str]:
    """Sections on velocity and acceleration, phases, and orbits."""
    return [_rates(measurement), _peaks(measurement), *_phases(measurement), _orbits(measurement, orbits)]


def _rates(measurement: Measurement) -> str:
    low, high = measurement.motion.band_hz
    columns, rows = [Column("region")], []
    for quantity in RATES:
        unit, _ = usual_unit(quantity, measurement.mm_per_px)
        columns += [
            Column(f"{quantity} RMS x, y ({unit.replace('s2', 's²')})"),
            Column("peak", minor=True),
            Column("noise", minor=True),
        ]
    for number, region in enumerate(measurement.analysis.regions):
        row = [f"<b>{escape(region.series.name)}</b>"]
        for quantity in RATES:
            _, factor = usual_unit(quantity, measurement.mm_per_px)
            found = [measurement.motion.levels.get((quantity, number, axis)) for axis in AXES]
            for kind in ("rms", "peak", "noise"):
                values = [None if each is None else getattr(each, kind) for each in found]
                row.append(
                    " / ".join(_BLANK if value is None else f"{factor * value:.3g}" for value in values)
                )
        rows.append(row)
    return column_section(
        "Velocity and acceleration",
        columns,
        rows,
        f"Displacement, differentiated in the frequency domain with its phase kept; true from {low:.3g} to "
        f"{high:.4g} Hz, about zero, over the recording but its ends. Noise: RMS that the noise floor alone shows."
        + (
            f" The scale makes every value uncertain by {sure}."
            if (sure := scale_share(measurement.scale))
            else ""
        ),
    )


def _peaks(measurement: Measurement) -> str:
    findings, speed = measurement.analysis.findings[:_MOST_PEAKS], measurement.speed_rpm
    if not findings:
        return ""
    units = [usual_unit(each, measurement.mm_per_px)[0].replace("s2", "s²") for each in RATES]
    columns = [
        Column("frequency"),
        *(Column(f"{name} ({unit})") for name, unit in zip(RATES, units, strict=True)),
    ]
    rows = []
    for peak in (each.peak for each in findings):
        rates = [rate_text(peak, each, measurement.scale) for each in RATES]
        order = [order_text(peak, speed, 1 / measurement.analysis.duration_s)] if speed else []
        rows.append([f"<b>{short_frequency(peak)}</b>", *rates, *order])
    if speed:
        columns.append(Column(f"of {speed:g} r/min"))
    return column_section("Peaks as velocity and acceleration", columns, rows)


def _phases(measurement: Measurement) -> list[str]:
    names = [each.series.name for each in measurement.analysis.regions]
    sections = []
    for found in measurement.motion.phases[:_MOST_PHASES]:
        if not found.channels:
            continue
        number, axis = found.reference
        rows = [
            [
                f"<b>{escape(names[each.region])} {each.axis}</b>",
                f"{each.phase_deg:+.1f} ± {each.phase_sigma_deg:.1f}°",
                f"{each.ratio:.3f}",
                f"{each.coherence:.3f}",
            ]
            for each in found.channels
        ]
        sections.append(
            column_section(
                f"Phase at {found.frequency_hz:.4g} Hz",
                [Column(each) for each in ("channel", "phase", "amplitude ratio", "coherence")],
                rows,
                f"Against {escape(names[number])} {axis}, from {found.windows} windows; a lead counts positive, y "
                "downwards. Channels whose coherence may be chance are left out.",
            )
        )
    return sections


def _orbits(measurement: Measurement, orbits: bytes) -> str:
    if not any(found.orbits for found in measurement.motion.phases):
        return ""
    return picture("Orbits", orbits, "Paths of the regions in the picture's plane, at the strongest peaks.")
