"""Report of an examination: all findings, then the faults with the commands that mend them."""

from __future__ import annotations

import textwrap

from tremorscope.runtime.doctor.examination import Examination
from tremorscope.runtime.doctor.finding import ProbeFinding

_WIDTH = 110
_MARKS = {"ok": "ok", "missing": "missing", "wrong": "wrong", "not needed": "-"}


def lines(examined: Examination) -> list[str]:
    """The report as lines of text."""
    widest = max(len(finding.name) for finding in examined.findings)
    found = [examined.device, ""]
    for _, findings in examined.groups:
        found += [_line(finding, widest) for finding in findings]
        found.append("")
    amiss = sorted((each for each in examined.findings if each.is_amiss), key=lambda each: not each.prevents)
    for finding in amiss:
        found += _advice(finding)
    if amiss:
        found.append("")
    return [*found, _verdict(examined)]


def _line(finding: ProbeFinding, widest: int) -> str:
    mark = _MARKS[finding.state].upper() if finding.prevents else _MARKS[finding.state]
    head = f"  {mark:<8}{finding.name:<{widest}}  "
    found = finding.found + (f" ({finding.means})" if finding.state == "not needed" and finding.means else "")
    return head + found


def _advice(finding: ProbeFinding) -> list[str]:
    urgency = "needed" if finding.prevents else "advised"
    text = f"{finding.name}: {finding.found}. {finding.means[:1].upper()}{finding.means[1:]}."
    wrapped = textwrap.wrap(
        text, _WIDTH, initial_indent=f"  {urgency:<8}", subsequent_indent=" " * 10, break_long_words=False
    )
    return [*wrapped, f"          $ {finding.command}"]


def _verdict(examined: Examination) -> str:
    needed = sum(finding.prevents for finding in examined.findings)
    advised = sum(finding.is_amiss for finding in examined.findings) - needed
    if needed:
        more = f"; {advised} more should be mended" if advised else ""
        what = "1 thing that it needs is" if needed == 1 else f"{needed} things that it needs are"
        return f"This device cannot run yet: {what} amiss{more}."
    if advised:
        return f"This device can run; {advised} {'thing' if advised == 1 else 'things'} should be mended."
    return "This device can run, and nothing is amiss."
