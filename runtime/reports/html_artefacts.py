"""The report's list of peaks that are no motion, each with its cause."""

from __future__ import annotations

from html import escape

from tremorscope.runtime.reports.digits import frequency_text
from tremorscope.runtime.reports.html_style import table_section
from tremorscope.runtime.reports.measurement import Measurement

_MOST_ROWS = 20


def artefact_section(measurement: Measurement) -> str:
    """The section as HTML; empty where there are none."""
    found = measurement.analysis.artefacts
    rows = [
        [
            f"<b>{escape(frequency_text(each.peak))}</b>",
            escape(measurement.amplitude_text(each.peak)),
            escape(each.cause),
        ]
        for each in found[:_MOST_ROWS]
    ]
    rest = len(found) - _MOST_ROWS
    more = f"{rest} weaker ones in summary.json." if rest > 0 else ""
    title = "Not motion: peaks that filming, light or compression makes"
    return table_section(title, ["frequency", "amplitude", "cause"], rows, more) if rows else ""
