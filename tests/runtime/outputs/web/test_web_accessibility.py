"""The page and the log-in can be used by keyboard and screen reader, as far as axe-core can tell."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
from browser_rig import DESK, PHONE, eventually, run, show

from tremorscope.runtime.outputs.web.server import WebServer

AXE = files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
FINDINGS = """
const done = arguments[0];
axe.run(document, {resultTypes: ["violations"]}).then((found) => done(found.violations.flatMap(
  ({id, impact, nodes}) => nodes.map(({html, failureSummary}) => `${impact} ${id}: ${html}: ${failureSummary}`))));
"""


def findings(chromium: Any) -> list[str]:
    chromium.execute_script(AXE)
    found: list[str] = chromium.execute_async_script(FINDINGS)
    return found


@pytest.mark.parametrize(("opened", "scheme"), [(DESK, "light"), (PHONE, "dark")], indirect=["opened"])
def test_the_page_has_no_finding(opened: Any, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    assert findings(opened) == []
    run(opened, "document.getElementById('edit-regions').click()")
    eventually(opened, "return page.regions.boxes.every((box) => box.verdict.textContent)")
    assert findings(opened) == []


def test_the_log_in_has_no_finding(chromium: Any, guarded: WebServer) -> None:
    show(chromium, f"http://localhost:{guarded.port}/", DESK)
    assert run(chromium, "return document.querySelector('input[type=password]') !== null")
    assert findings(chromium) == []


def test_a_picture_without_a_name_is_a_finding(opened: Any) -> None:
    run(opened, "document.querySelector('main').append(document.createElement('img'))")
    assert any("image-alt" in text for text in findings(opened))
