"""The report's list of peaks that are no motion, each with its cause."""

from __future__ import annotations

from html import escape

from tremorscope.runtime.reports.measurement import Measurement, frequency_text

_MOST_ROWS = 20


def artefact_section(measurement: Measurement) -> str:
    """The section as HTML; empty where there are none."""
    found = measurement.analysis.artefacts
    rows = "".join(
        f"<tr><td><b>{escape(frequency_text(each.peak))}</b></td>"
        f"<td>{escape(measurement.amplitude_text(each.peak))}</td><td>{escape(each.cause)}</td></tr>"
        for each in found[:_MOST_ROWS]
    )
    rest = len(found) - _MOST_ROWS
    more = f"<p class=small>{rest} weaker ones in summary.json.</p>" if rest > 0 else ""
    return rows and (
        "<section><h2>Not motion: peaks that filming, light or compression makes</h2><table><thead><tr>"
        f"<th>frequency</th><th>amplitude</th><th>cause</th></tr></thead><tbody>{rows}</tbody></table>{more}</section>"
    )
