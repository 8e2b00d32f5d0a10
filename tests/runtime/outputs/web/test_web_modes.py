"""Modes on the page: the address that gives them, and the photograph that moves in a real Chromium."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from browser_rig import changes, eventually, run
from http_rig import ask
from service_rig import MODES_HZ, REGIONS, ServiceRig, stored_modes

from tremorscope.runtime.outputs.web.server import WebServer
from tremorscope.runtime.store.records import Clip, ModeRecord, magnification_text


def test_the_latest_modes_are_told_with_shapes_the_surest_first(web: WebServer, service: ServiceRig) -> None:
    service.write(ModeRecord(time.time(), "9", 0.2, None))  # not determined
    answer = ask(web.port, "/api/modes").json
    assert answer["trouble"] == ""
    first, second = answer["modes"]
    assert (first["frequency_hz"], second["frequency_hz"]) == MODES_HZ  # of the later analysis
    assert first["frequency_deviation_hz"] == 0.003
    assert time.time() - answer["time_s"] == pytest.approx(60, abs=30)
    assert {(each["region"], each["axis"]): each["real"] for each in first["shape"]}[
        "quarter span", "y"
    ] == 0.7


def test_their_motion_is_given_at_the_regions_of_the_picture(web: WebServer) -> None:
    moving = ask(web.port, "/api/modes").json["moving"]
    assert (moving["width"], moving["height"], moving["frame_px"]) == (320, 180, 1.0)
    assert len(moving["anchors"]) == len(REGIONS)
    first, second = moving["modes"]
    assert first["name"] == "2.10 Hz"
    assert first["text"] == "2.100 ± 0.003 Hz, up to 0.12 px = 0.288 mm (scale ± 2 %)"
    assert second["text"] == "4.700 ± 0.012 Hz, up to 0.05 px"
    assert max(abs(each[2]) for each in first["parts"]) > 0.9
    # The clip of the event was magnified at 1.8 to 2.4 Hz.
    assert first["clip"].startswith("clips/")
    assert ask(web.port, f"/{first['clip']}").status == 200
    assert second["clip"] is None


def test_a_clip_of_all_motion_is_none_of_a_band() -> None:
    def magnifies(detail: str, hz: float) -> bool:
        return Clip("e", "magnified", "e.mp4", "saved", detail=detail).magnifies(hz)

    bands = magnification_text(20.0, [(0.5, 2.4), (1e-05, 1e-04)])
    assert magnifies(f"{bands}; made after the event, of the raw clip", 2.1)
    assert magnifies(bands, 5e-5)
    assert not magnifies(bands, 4.7)
    assert not magnifies(magnification_text(20.0, ()), 2.1)


def test_the_photograph_moves_with_the_mode_that_is_chosen(opened: Any, service: ServiceRig) -> None:
    eventually(opened, "document.getElementById('moving').scrollIntoView(); return page.moving.mode")
    assert changes(opened, "moving")
    told = "document.querySelector('#moving .told').textContent"
    assert re.match(r"2\.100 ± 0\.003 Hz, up to .* shown \d+ times as large", run(opened, f"return {told}"))
    eventually(opened, "return document.querySelector('#moving video')?.videoWidth === 320")
    run(opened, "document.querySelectorAll('#moving .choice button')[1].click()")
    assert run(opened, f"return {told}").startswith("4.700")
    assert "No magnified clip" in run(opened, "return document.querySelector('#moving .beside').textContent")
    assert run(opened, "return document.querySelector('#moving video')") is None
    # What is told of it stands beside it then: half a panel is not left empty.
    box = "((name) => document.querySelector(`#moving ${name}`).getBoundingClientRect())"
    assert run(opened, f"return {box}('.told').left >= {box}('canvas').right")
    # Newer modes come by themselves, and the choice stays, though it is the surest by now.
    service.write(*stored_modes(time.time(), 0.011, (0.02, 0.002)))
    run(opened, "page.wake('modes')")
    eventually(opened, f"return {told}.startsWith('4.711')")
    run(opened, "document.querySelector('#moving .controls button').click()")
    assert not changes(opened, "moving", within_s=0.5)
    assert run(opened, "return document.documentElement.scrollWidth <= window.innerWidth")
