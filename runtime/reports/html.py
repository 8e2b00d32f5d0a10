"""Report of a measurement: one self-contained page of HTML, for screen, phone and paper."""

from __future__ import annotations

import math
from html import escape

from tremorscope.runtime.reports.digits import (
    damping_text,
    decimals,
    frequency_text,
    short_frequency,
    with_uncertainty,
)
from tremorscope.runtime.reports.html_artefacts import artefact_section
from tremorscope.runtime.reports.html_motion import limits_section, motion_sections
from tremorscope.runtime.reports.html_style import Column, column_section, facts, html_page, picture
from tremorscope.runtime.reports.interactive import interactive_part, moving_section
from tremorscope.runtime.reports.measurement import Measurement
from tremorscope.runtime.reports.provenance import setting_text
from tremorscope.runtime.reports.signals import PROGRAM
from tremorscope.runtime.reports.stabilisation import ssi_section
from tremorscope.runtime.vibration.spectra.analysis import AXES, FrequencyFinding, RegionResult
from tremorscope.runtime.vibration.spectra.modes import Mode
from tremorscope.runtime.vibration.spectra.peaks import Peak

_MOST_ROWS = 12
_KINDS = {"steady": "steady tone", "decaying": "free decay", "random": "resonance"}
_METHOD = """<section><h2>How this was measured</h2>
<p>Displacement is measured in every frame against a reference frame, by least squares on brightness gradients. A
change of light (gain, offset, and a slope of brightness across the region) is solved for at the same time, so
that flicker does not pass for motion. Spectra are Welch's, on even times made from the frames' own timestamps;
they never reach across a gap. A peak is reported where chance alone would show one in fewer than one of a
thousand recordings of noise. Amplitudes are those of a sinusoid of the same mean square over the recording.</p>
<p>Uncertainties are standard uncertainties (one sigma) from noise, compression and the length of the recording. In mm
that of a calibrated scale is included, in quadrature of relative errors; a scale that was stated counts as exact. They
do not include that of the camera's clock, or of motion across the picture's plane. Damping is given
where the recording is long enough to resolve it; else its upper bound. Mode shapes are operational: what moved
while it was filmed.</p></section>"""


def report_page(
    measurement: Measurement,
    *,
    overlay: bytes,
    spectrum: bytes,
    history: bytes,
    orbits: bytes,
    scale: bytes | None = None,
    stabilisation: bytes | None = None,
) -> str:
    """The page as HTML; the pictures are PNGs, which are embedded."""
    title = f"Vibration in {measurement.clip}"
    sections = [
        _headline(measurement),
        limits_section(measurement),
        _notes(measurement),
        picture("Where it moves", overlay, "Regions and the shapes of the strongest modes."),
        _peaks(measurement),
        moving_section(measurement),
        picture("Spectrum", spectrum, "Amplitude spectral density of the liveliest regions.", "spectrum"),
        picture("Displacement", history, "Displacement of the liveliest regions over time.", "displacement"),
        *motion_sections(measurement, orbits),
        _modes(measurement),
        ssi_section(measurement, measurement.subspace) if measurement.subspace else "",
        picture("Stabilisation", stabilisation, "Poles over model order.") if stabilisation else "",
        artefact_section(measurement),
        _baseline(measurement),
        _regions(measurement),
        picture("Scale", scale, "Axes and grid of the calibrated plane on the first frame.") if scale else "",
        _recording(measurement),
        _METHOD,
        _repeat(measurement),
        interactive_part(measurement),
    ]
    return html_page(title, sections)


def _headline(measurement: Measurement) -> str:
    analysis = measurement.analysis
    cards = []
    for rank, finding in enumerate(analysis.findings[:3]):
        peak = finding.peak
        cards.append(
            f'<div class="card{" first" if rank == 0 else ""}">'
            f"<p class=big>{escape(short_frequency(peak))}</p>"
            f"<p>{escape(measurement.amplitude_text(peak))}</p>"
            f"<p class=small>{_place(measurement, finding)}, {_KINDS[peak.kind]}"
            f"{_multiple(finding)}</p></div>"
        )
    if not cards:
        cards.append(
            "<div class='card first'><p class=big>No vibration</p>"
            "<p>Nothing stands out from noise and drift.</p></div>"
        )
    cards.append(
        f'<div class="card facts"><p><b>{analysis.duration_s:.4g} s</b> at <b>{analysis.rate_hz:.6g} Hz</b></p>'
        f"<p>{len(analysis.regions)} regions{', proposed' if measurement.proposed else ''}</p>"
        f"<p>resolution <b>{1 / analysis.duration_s:.2g} Hz</b></p></div>"
    )
    return f"<section class=cards>{''.join(cards)}</section>"


def _place(measurement: Measurement, finding: FrequencyFinding) -> str:
    return escape(f"{measurement.analysis.regions[finding.region].series.name} {finding.axis}")


def _multiple(finding: FrequencyFinding) -> str:
    if finding.multiple_of is None:
        return ""
    order, frequency_hz = finding.multiple_of
    return f", {order} &times; {frequency_hz:.4g} Hz"


def _notes(measurement: Measurement) -> str:
    notes = "".join(f"<li>{escape(note)}</li>" for note in measurement.notes())
    return f"<section class=notes><h2>To note</h2><ul>{notes}</ul></section>" if notes else ""


def _amplitude_columns(measurement: Measurement, heading: str) -> list[Column]:
    """Amplitude in px, and in mm if the scale is known: a phone then shows mm alone."""
    if measurement.scale is None:
        return [Column(f"{heading} (px)")]
    return [Column(f"{heading} (px)", minor=True), Column(f"{heading} (mm)")]


def _amplitudes(measurement: Measurement, peak: Peak) -> list[str]:
    sizes = [(peak.amplitude, peak.amplitude_sigma)]
    if measurement.scale is not None:
        sizes.append((measurement.scale.mm_per_px * peak.amplitude, measurement.sigma_mm(peak)))
    return [with_uncertainty(*each) for each in sizes]


def _remark(shown: int, number: int, what: str) -> str:
    return f"{number - shown} weaker {what} in summary.json. " if number > shown else ""


def _peaks(measurement: Measurement) -> str:
    findings = measurement.analysis.findings
    if not findings:
        return ""
    rows = [
        [
            f"<b>{frequency_text(finding.peak)}</b>{_multiple(finding).replace(', ', '<br>', 1)}",
            *_amplitudes(measurement, finding.peak),
            _place(measurement, finding),
            _KINDS[finding.peak.kind],
            escape(damping_text(finding.peak)),
            f"{10 * math.log10(finding.peak.over_floor):.0f} dB",
            str(len({region for region, _, _ in finding.seen_in})),
        ]
        for finding in findings[:_MOST_ROWS]
    ]
    minor = ("kind", "damping", "over noise", "regions")
    columns = [
        Column("frequency"),
        *_amplitude_columns(measurement, "amplitude"),
        Column("most in"),
        *(Column(heading, minor=True) for heading in minor),
    ]
    return column_section(
        "Peaks, the surest first",
        columns,
        rows,
        _remark(len(rows), len(findings), "peaks")
        + "Damping with &lt; is an upper bound: the recording is too short to resolve it.",
    )


def _modes(measurement: Measurement) -> str:
    modes = measurement.analysis.modes
    if not modes:
        return ""
    rows = [
        [
            f"<b>{frequency_text(mode.peak)}</b>",
            *_amplitudes(measurement, mode.peak),
            escape(damping_text(mode.peak)),
            f"{mode.collinearity:.2f}",
            escape(_largest_part(measurement, mode)),
        ]
        for mode in modes[:_MOST_ROWS]
    ]
    columns = [
        Column("frequency"),
        *_amplitude_columns(measurement, "largest"),
        Column("damping", minor=True),
        Column("in phase"),
        Column("most in"),
    ]
    return column_section(
        "Modes",
        columns,
        rows,
        _remark(len(rows), len(modes), "modes")
        + "&ldquo;In phase&rdquo; is the modal phase collinearity: near 1 where all regions move in phase or in "
        "opposition, as in a natural mode.",
    )


def _largest_part(measurement: Measurement, mode: Mode) -> str:
    at = int(abs(mode.shape).argmax())
    return f"{measurement.analysis.regions[at // 2].series.name} {AXES[at % 2]}"


def _baseline(measurement: Measurement) -> str:
    if not measurement.comparisons:
        return ""
    rows = []
    for each in measurement.comparisons:
        if each.found is None or each.shift is None or each.mac is None:
            rows.append([f"{each.baseline_hz:.4g} Hz", "not found", "", ""])
        else:
            rows.append(
                [
                    f"{each.baseline_hz:.4g} Hz",
                    escape(frequency_text(each.found.peak)),
                    f"{each.shift:+.2%}",
                    f"{each.mac:.3f}",
                ]
            )
    return column_section(
        "Against the baseline", [Column(each) for each in ("baseline", "now", "shift", "MAC")], rows
    )


def _regions(measurement: Measurement) -> str:
    return column_section(
        "Regions",
        [
            Column("region"),
            Column("place", minor=True),
            Column("verdict"),
            Column("RMS x, y"),
            Column("noise of a frame x, y", minor=True),
            Column("smallest visible x, y"),
            Column("quality", minor=True),
            Column("lost", minor=True),
        ],
        [_region_row(result) for result in measurement.analysis.regions],
        "In px. Noise of a frame is predicted from texture and picture noise; the smallest visible amplitude "
        "is what a steady tone must have to be told from what else moves. A dash: no texture shows motion "
        "along that axis.",
    )


def _region_row(result: RegionResult) -> list[str]:
    series = result.series
    region = series.region
    quality = series.quality[series.quality == series.quality]
    return [
        f"<b>{escape(series.name)}</b>",
        f"{region.width_px} &times; {region.height_px} at {region.x_px}, {region.y_px}",
        escape(result.verdict),
        " / ".join(_px(value) for value in result.rms_px),
        " / ".join(_px(value) for value in series.noise_floor_px)
        + f"<br>(bound {' / '.join(_px(value) for value in series.bound_px)})",
        " / ".join(_px(result.smallest_visible_px(axis)) for axis in AXES),
        f"{float(quality.mean()):.3f}" if quality.size else "&ndash;",
        f"{series.lost_share:.1%}",
    ]


def _px(value: float) -> str:
    if not math.isfinite(value):
        return "&ndash;"
    return f"{value:.{min(5, max(2, decimals(value) + 1))}f}"


def _recording(measurement: Measurement) -> str:
    axis, analysis = measurement.time_axis, measurement.analysis
    height_px, width_px = measurement.frame.shape[:2]
    entries = [
        ("Clip", f"{escape(measurement.clip)}, {measurement.times_s.size} frames of {width_px} &times; {height_px} px"),
        ("Rate", f"{analysis.rate_hz:.6g} Hz, " + ("as stated" if axis.capture_rate_hz else "as in the file")),
        ("In the file", f"{axis.playback_s:.4g} s at {axis.playback_rate_hz:.6g} frames/s"),
        ("Frequencies", f"up to {axis.nyquist_hz:.6g} Hz; faster motion appears at a wrong, lower frequency"),
        ("Window", f"{analysis.window_s:.4g} s, Hann, overlapping by half"),
        ("Scale", escape(str(measurement.scale)) if measurement.scale else "not stated: amplitudes are in px"),
        ("Camera&rsquo;s shake", "removed by still regions" if measurement.still else "not removed: no still region"),
        ("Gaps", f"{len(analysis.gaps)}; interpolated where one by one were missing: {analysis.bridged}"),
        ("References", f"renewed {measurement.refreshes} times"),
    ]  # fmt: skip
    return facts("Recording", entries)


def _repeat(measurement: Measurement) -> str:
    """All that is needed to measure the same again."""
    source = measurement.provenance
    settings = "; ".join(f"{name} {value}" for name, value in source.settings.items())
    regions = [setting_text(each.series.region) for each in measurement.analysis.regions]
    entries = [
        ("Command", f"<code>{escape(source.command)}</code>" if source.command else "called from Python"),
        ("Settings", escape(settings) or "all at their defaults"),
        ("Regions", escape(", ".join(regions))),
        ("Clip", f"{escape(source.clip)}, {source.bytes} bytes, SHA-256 <code>{source.sha256}</code>"),
        ("Program", escape(PROGRAM)),
        ("Libraries", escape(", ".join(f"{name} {version}" for name, version in source.libraries.items()))),
    ]
    return facts("To repeat it", entries)
