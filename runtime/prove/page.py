"""Report as one self-contained HTML page, for phone, desk and paper."""

from __future__ import annotations

from html import escape
from typing import Any

from tremorscope.runtime.reports.html_style import html_page, table

_MARKS = {"holds": "holds", "fails": "fails", "skipped": "skipped", "unfinished": "not run", "open": "open"}
_MOST_ROWS = 16
"""Rows above which a table is folded."""
_MORE_STYLE = """
.mark { display: inline-block; min-width: 4.6em; text-align: center; border-radius: 999px; padding: 1px 10px;
  font-size: .82rem; font-weight: 600; white-space: nowrap; }
.holds { background: #e3f3e6; color: #14602a; }
.fails { background: #fbe3e0; color: #a01c10; }
.skipped, .open { background: #e9edf0; color: #47545e; }
.unfinished { background: #fff0d6; color: #7a4b00; }
details { margin: 8px 0 0; }
summary { cursor: pointer; color: var(--soft); }
h2 .mark { margin-right: 8px; vertical-align: 2px; }
h3 { margin: 14px 0 4px; font-size: .95rem; color: var(--soft); }
.wide { overflow-x: auto; }
td { overflow-wrap: anywhere; }
td:first-child { white-space: nowrap; overflow-wrap: normal; padding-right: 16px; }
td.minor { white-space: nowrap; }
a { color: inherit; }
pre { overflow-x: auto; background: var(--wash); border: 1px solid var(--line); border-radius: 6px; padding: 10px;
  font-size: .8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.remedy { font-weight: 600; }
@media print { details > * { display: block; } pre { white-space: pre-wrap; } }
"""


def page(report: dict[str, Any]) -> str:
    """The page of a report, from its values of JSON (`runtime.prove.record.ProveReport.as_json`)."""
    sections = [part(report) for part in (_cards, _summary, _steps, _open_points)]
    return html_page("tremorscope prove", sections, more_style=_MORE_STYLE, header=_header(report))


def _header(report: dict[str, Any]) -> str:
    machine = _step(report, "machine")
    board = machine.get("facts", {}).get("board") or "this device"
    quick = ", quick" if report["quick"] else ""
    return (
        '<header><p class="kit">tremorscope prove</p>'
        f"<h1>{escape(str(board))}</h1>"
        f'<p class="small">{escape(report["begun"])}, release {escape(report["tremorscope"])}{quick}</p></header>'
    )


def _cards(report: dict[str, Any]) -> str:
    load = _step(report, "load").get("facts", {})
    verdict = {
        "running": "Not finished",
        "interrupted": "Interrupted",
        "complete": "All holds" if report["holds"] else "Not all holds",
    }[report["end"]]
    counts = report["counts"]
    cards = [
        ("first", verdict, f"{counts['holds']} hold, {counts['fails']} fail, {counts['skipped']} skipped")
    ]
    for name, unit, small in (
        ("rate_hz", "frames/s", f"at load, {load.get('runtime')}"),
        ("power_w", "W", f"{_number(load.get('frames_per_j'), 'frames a joule')}"),
        ("temperature_most_c", "°C", "at most, at load"),
    ):
        if load.get(name) is not None:
            cards.append(("", _number(load[name], unit), small))
    drawn = "".join(
        f'<div class="card {kind}"><p class="big">{escape(big)}</p><p class="small">{escape(small)}</p></div>'
        for kind, big, small in cards
    )
    return f'<section class="cards">{drawn}</section>'


def _summary(report: dict[str, Any]) -> str:
    rows = [
        [
            _mark(step["state"]),
            f'<a href="#{escape(step["name"])}">{escape(step["title"])}</a>',
            escape(step["said"]),
            f"{step['seconds']:.1f} s" if step["seconds"] is not None else "",
        ]
        for step in report["steps"]
    ]
    return f"<section><h2>Steps</h2>{_rows(['', 'step', 'found', 'took'], rows, minor=3)}</section>"


def _steps(report: dict[str, Any]) -> str:
    return "".join(_detail(step) for step in report["steps"] if step["said"] != "not run")


def _detail(step: dict[str, Any]) -> str:
    parts = [
        f'<section id="{escape(step["name"])}"><h2>{_mark(step["state"])} {escape(step["title"])}</h2>',
        f"<p>{escape(step['said'])}</p>",
    ]
    if step["remedy"]:
        parts.append(f'<p class="remedy">{escape(step["remedy"])}</p>')
    if step["checks"]:
        checks = [
            [
                _mark("holds" if each["holds"] else "fails"),
                *(escape(each[key]) for key in ("what", "found", "wanted")),
            ]
            for each in step["checks"]
        ]
        parts.append(_rows(["", "checked", "found", "wanted"], checks))
    for told in step["tables"]:
        rows = [[escape("" if each is None else str(each)) for each in row] for row in told["rows"]]
        drawn = _rows(told["columns"], rows)
        if len(rows) > _MOST_ROWS:
            parts.append(f"<details><summary>{escape(told['title'])}</summary>{drawn}</details>")
        else:
            parts.append(f"<h3>{escape(told['title'])}</h3>{drawn}")
    facts = {name: value for name, value in step["facts"].items() if value is not None}
    if facts:
        entries = "".join(
            f"<dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(_plain(value))}</dd>"
            for name, value in facts.items()
        )
        parts.append(f"<details><summary>All that was noted</summary><dl>{entries}</dl></details>")
    if step["output"]:
        parts.append(f"<h3>Its last words</h3><pre>{escape(step['output'])}</pre>")
    return "".join(parts) + "</section>"


def _open_points(report: dict[str, Any]) -> str:
    rows = [
        [
            f"<b>{escape(each['id'])}</b>",
            escape(each["question"]),
            _mark(each["answer"]),
            escape(each["said"]),
            escape(each["guide"]),
        ]
        for each in report["open_points"]
    ]
    answered = sum(each["answer"] != "open" for each in report["open_points"])
    return (
        "<section><h2>What has not been run on a Jetson</h2>"
        f'<p class="small">{answered} of {len(rows)} questions are answered by this run. The guides under docs/ '
        "raise them; docs/prove.md lists them.</p>"
        f"{_rows(['', 'question', '', 'answer', 'guide'], rows, minor=4)}</section>"
    )


def _rows(columns: list[str], rows: list[list[str]], minor: int | None = None) -> str:
    """A table, whose cells are HTML; column ``minor`` is hidden on a phone."""

    classes = ["minor" if at == minor else "" for at in range(len(columns))]
    return f'<div class="wide">{table([escape(each) for each in columns], rows, classes)}</div>'


def _mark(state: str) -> str:
    return f'<span class="mark {state}">{_MARKS[state]}</span>'


def _step(report: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next((each for each in report["steps"] if each["name"] == name), {})
    return found


def _number(value: Any, unit: str) -> str:
    return f"{value:.3g} {unit}" if isinstance(value, (int, float)) else "not measured"


def _plain(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
