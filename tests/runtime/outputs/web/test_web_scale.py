"""The check view of a scale on the page: axes and grid of the calibrated plane over the live picture."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest
from browser_rig import DESK, eventually, run, show
from http_rig import ask
from service_rig import ServiceRig
from web_rig import make_server

from tremorscope.runtime.outputs.web.server import WebServer
from tremorscope.runtime.vibration.displacement.geometry import NO_LENS, PlaneScale

# 2 mm a pixel along the picture's axes, with the plane's origin at (100, 60).
HOMOGRAPHY = (2.0, 0.0, -200.0, 0.0, 2.0, -120.0, 0.0, 0.0, 1.0)
PLACES_PX = ((100.0, 60.0), (200.0, 60.0), (200.0, 110.0), (100.0, 110.0))
PLANE = PlaneScale(
    made_from="four points",
    residual_px=0.1,
    method="points",
    lens=None,
    homography=HOMOGRAPHY,
    ensemble=((*NO_LENS, *HOMOGRAPHY),),
    width_px=320,
    height_px=180,
    points=tuple((x, y, 2 * (x - 100), 2 * (y - 60)) for x, y in PLACES_PX),
)
SVG = "{http://www.w3.org/2000/svg}"


def test_the_axes_lie_where_the_scale_says(service: ServiceRig) -> None:
    server = make_server(service, planes=(PLANE,))
    try:
        answer = ask(server.port, "/api/scale.svg")
    finally:
        server.close()
    assert answer.headers["content-type"].startswith("image/svg+xml")
    drawn = ElementTree.fromstring(answer.text)
    assert drawn.get("viewBox") == "0 0 320 180"
    lines = {
        colour: [
            np.array([place.split(",") for place in line.get("points", "").split()], float)
            for line in drawn.iter(f"{SVG}polyline")
            if line.get("stroke") == colour
        ]
        for colour in ("#D55E00", "#009E73", "#56B4E9")
    }
    assert np.concatenate(lines["#D55E00"])[:, 1] == pytest.approx(60)
    assert np.concatenate(lines["#009E73"])[:, 0] == pytest.approx(100)
    across = sorted({round(float(each[0, 0]), 1) for each in lines["#56B4E9"] if np.ptp(each[:, 0]) == 0})
    assert np.diff([x for x in across if x > 100]) == pytest.approx(25)  # a grid of 50 mm
    assert "grid of 50 mm" in answer.text
    assert len(list(drawn.iter(f"{SVG}circle"))) == 4


def test_without_a_calibrated_scale_it_says_so(web: WebServer) -> None:
    assert "no scale of a calibrated plane" in ask(web.port, "/api/scale.svg").text


def test_the_page_lays_it_over_the_picture_where_it_is_asked_for(chromium: Any, service: ServiceRig) -> None:
    server = make_server(service, planes=(PLANE,))
    try:
        show(chromium, f"http://localhost:{server.port}/", DESK)
        eventually(chromium, "return page.picture.count")
        assert not run(chromium, "return document.getElementById('scale-view').offsetParent")
        run(chromium, "document.getElementById('show-scale').click()")
        eventually(chromium, "return document.getElementById('scale-view').naturalWidth")
        assert run(
            chromium,
            "const sizes = ['scale-view', 'live'].map(id => document.getElementById(id).getBoundingClientRect());"
            "const [image, live] = sizes;"
            "return Math.abs(image.width - live.width) < 1 && Math.abs(image.height - live.height) < 1",
        )
        assert [each for each in chromium.get_log("browser") if each["source"] != "rendering"] == []
    finally:
        server.close()
