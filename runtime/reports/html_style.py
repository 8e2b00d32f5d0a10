"""Parts that all reports in HTML share, and their style sheet, for phone, desk and paper."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
:root { --ink: #1d2730; --soft: #5b6873; --line: #d9dfe4; --paper: #ffffff; --wash: #f4f6f8; --accent: #b34700; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--wash); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 24px 20px 64px; }
header { margin: 8px 0 20px; }
.kit { margin: 0; color: var(--accent); font-weight: 600; letter-spacing: .02em; }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 0 0 12px; font-size: 1.12rem; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px;
  padding: 18px 20px; margin: 0 0 16px; }
section p { margin: 0 0 10px; }
section p:last-child { margin-bottom: 0; }
.small { color: var(--soft); font-size: .88rem; }
table + .small { margin-top: 12px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); gap: 16px;
  background: none; border: 0; padding: 0; }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px; }
.card p { margin: 0; }
.card .big { font-size: 1.75rem; font-weight: 700; line-height: 1.25; font-variant-numeric: tabular-nums; }
.card.first { border-color: var(--accent); border-width: 2px; }
.card.first .big { color: var(--accent); }
.card .small { margin-top: 4px; }
.facts { display: flex; flex-direction: column; justify-content: center; }
.notes { background: #fff8ec; border-color: #ecd3a4; }
.notes ul { margin: 0; padding-left: 20px; }
.picture img { display: block; width: 100%; height: auto; border-radius: 4px; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .94rem; }
th { text-align: left; color: var(--soft); font-weight: 600; font-size: .86rem; vertical-align: bottom;
  border-bottom: 2px solid var(--line); padding: 4px 12px 6px 0; }
td b { white-space: nowrap; }
td { border-bottom: 1px solid var(--line); padding: 7px 12px 7px 0; vertical-align: top; }
tr:last-child td b { white-space: nowrap; }
td { border-bottom: 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.chart { margin: 0 -6px; }
.chart .u-over { touch-action: pan-y; }
.chart .u-legend { font-size: .84rem; text-align: left; }
.chart .u-legend :is(th, td) { border: 0; padding: 2px 4px; }
.chart .aside { display: none; }
button { font: inherit; font-size: .88rem; padding: 3px 12px; border: 1px solid var(--line); border-radius: 6px;
  background: var(--wash); color: var(--ink); cursor: pointer; }
button[aria-pressed=true] { border-color: var(--accent); color: var(--accent); font-weight: 600; }
canvas, video { max-width: 100%; }
#moving canvas, #moving video { display: block; width: 100%; height: auto; border-radius: 4px; }
.choice, .controls { display: flex; flex-wrap: wrap; gap: 8px 14px; align-items: center; }
.controls label { display: flex; gap: 8px; align-items: center; }
#moving .controls { margin: 10px 0; }
code { font-size: .86em; overflow-wrap: anywhere; }
[hidden] { display: none !important; }
@media screen { .live > img { display: none !important; } }
@media (max-width: 640px) {
  main { padding: 14px 12px 40px; }
  section { padding: 14px; }
  .cards { gap: 10px; }
  h1 { font-size: 1.35rem; }
  .minor { display: none; }
  table { font-size: .88rem; }
  th, td { padding-right: 8px; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: 8px; }
}
@media print {
  body { background: none; font-size: 10.5pt; }
  main { max-width: none; padding: 0; }
  section { border: 0; padding: 0; margin: 0 0 16pt; border-radius: 0; }
  .card { break-inside: avoid; }
  .cards { grid-template-columns: repeat(4, 1fr); gap: 8pt; }
  .card .big { font-size: 15pt; }
  .notes { background: none; }
  .noprint, .chart { display: none !important; }
  .picture, tr { break-inside: avoid; }
  h2 { break-after: avoid; }
  @page { margin: 14mm; }
}
"""


def html_page(title: str, sections: Iterable[str], *, more_style: str = "", header: str = "") -> str:
    """A self-contained page of sections; empty ones are left out. The header is the title, if no other is given."""
    header = header or f"<header><p class=kit>tremorscope</p><h1>{escape(title)}</h1></header>"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}{more_style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in (header, *sections) if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def picture(title: str, png: bytes, alternative: str, name: str = "") -> str:
    """A section with an embedded PNG; a script finds it by its name."""
    data, known = base64.b64encode(png).decode("ascii"), f' id="{name}"' if name else ""
    return (
        f'<section class=picture{known}><h2>{title}</h2><img alt="{escape(alternative)}" '
        f'src="data:image/png;base64,{data}"></section>'
    )


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    heading: str
    minor: bool = False
    """True hides the column on a phone."""


def column_section(title: str, columns: list[Column], rows: list[list[str]], remark: str = "") -> str:
    """A section with a table, whose cells are HTML, and a remark below it."""
    classes = ["minor" if column.minor else "" for column in columns]
    return table_section(title, [column.heading for column in columns], rows, remark, classes)


def facts(title: str, entries: Iterable[tuple[str, str]]) -> str:
    """A section with names and values, both HTML."""
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in entries)
    return f"<section><h2>{title}</h2><dl>{listed}</dl></section>"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], classes: Sequence[str] = ()) -> str:
    """A table whose cells are HTML; ``classes`` has one of the style sheet for each column, or none."""
    kinds = [f' class="{name}"' if name else "" for name in classes or [""] * len(headings)]

    def line(tag: str, cells: Sequence[str]) -> str:
        marked = zip(kinds, cells, strict=True)
        return f"<tr>{''.join(f'<{tag}{kind}>{cell}</{tag}>' for kind, cell in marked)}</tr>"

    body = "".join(line("td", row) for row in rows)
    return f"<table><thead>{line('th', headings)}</thead><tbody>{body}</tbody></table>"


def table_section(
    title: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    remark: str = "",
    classes: Sequence[str] = (),
) -> str:
    """A section with a table, and a remark below it; see `table`."""
    note = f"<p class=small>{remark}</p>" if remark else ""
    return f"<section><h2>{title}</h2>{table(headings, rows, classes)}{note}</section>"
