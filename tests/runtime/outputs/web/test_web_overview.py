"""Days and months of a region: the address, and the chart of the page in a real Chromium."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from browser_rig import DESK, eventually, run, show
from http_rig import ask
from service_rig import MM_PER_PX, RULE, ServiceRig
from web_rig import make_server

from tremorscope.runtime.outputs.web.server import WebServer
from tremorscope.runtime.store.records import Channel, SeriesBlock
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge

DAYS = 59
ALARM_DAYS_AGO = 5.0


@pytest.fixture(scope="module")
def aged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceRig]:
    """A service with two months in its store: 0.1 px RMS along x and 0.2 px along y by day, half by night."""
    now_s = time.time() // 3600 * 3600
    raised_s = now_s - 86_400 * ALARM_DAYS_AGO
    channels = tuple(Channel("midspan", axis, mm_per_px=MM_PER_PX) for axis in "xy")
    swing = np.array([1, -1, 1, -1], np.float32)
    with ServiceRig(tmp_path_factory.mktemp("aged"), width_px=320, height_px=180) as rig:
        rig.write(
            *(
                SeriesBlock(
                    channels, now_s - 3600 * hour + np.array([0.0, 20.0, 40.0, 59.0]),
                    (1.0 if (hour // 12) % 2 else 0.5) * np.stack([0.1 * swing, 0.2 * swing]),
                )
                for hour in range(DAYS * 24, 0, -1)
            ),
            *(
                AlarmEdge(RULE.name, "midspan", "rms", edge, raised_s + at_s, 0.0, 0.24, 0.2, "mm")
                for edge, at_s in (("raised", 0.0), ("cleared", 600.0))
            ),
        )  # fmt: skip
        yield rig


@pytest.fixture(scope="module")
def server(aged: ServiceRig) -> Iterator[WebServer]:
    made = make_server(aged)
    yield made
    made.close()


def test_the_address_gives_thirty_days_unless_asked_otherwise(server: WebServer) -> None:
    answer = ask(server.port, "/api/overview?region=midspan").json
    assert answer["bin_s"] == 3600
    assert len(answer["axes"]["y"]["start_s"]) == pytest.approx(30 * 24, abs=1)
    assert set(np.round(answer["axes"]["y"]["rms"], 4)) == {0.1, 0.2}
    assert [mark["text"] for mark in answer["marks"] if mark["kind"] == "alarm"] == [RULE.name]
    assert ask(server.port, "/api/overview?region=pier").json["axes"] == {}


@pytest.mark.parametrize("query", ["from=9&to=8", "from=x", "to=nan", "from=1e13"])
def test_what_is_no_span_is_refused_in_a_line(server: WebServer, query: str) -> None:
    answer = ask(server.port, f"/api/overview?region=midspan&{query}")
    assert answer.status == 400
    assert answer.text.count("\n") == 1


def test_months_are_scrolled_through_with_their_alarms_marked(chromium: Any, server: WebServer) -> None:
    show(chromium, f"http://localhost:{server.port}/", DESK)
    eventually(chromium, "return page.overview.found?.axes?.y && page.charts.scale")
    run(chromium, "document.querySelector('[data-overview=\"2592000\"]').click()")
    eventually(chromium, "return page.overview.found.axes.y?.start_s.length > 700")
    told = run(chromium, "return document.getElementById('overview-marks').innerText")
    assert RULE.name in told
    content = json.loads(run(chromium, "return JSON.stringify(page.overview.chart.content)"))
    vertical = next(each for each in content["series"] if each["name"] == "vertical")
    assert content["unit"] == "mm"
    assert max(each for each in vertical["y"] if each is not None) == pytest.approx(0.2 * MM_PER_PX, rel=1e-3)
    (line,) = [each for each in content["marks"] if each["text"]]
    assert time.time() - line["x"] == pytest.approx(ALARM_DAYS_AGO * 86_400, abs=7200)
    # A month earlier there are other days, without the alarm; before the first day there is no way.
    first = content["at"][0]
    run(chromium, "document.getElementById('overview-earlier').click()")
    eventually(chromium, f"return page.overview.chart.content.at.at(-1) <= {first}")
    assert RULE.name not in run(chromium, "return document.getElementById('overview-marks').innerText")
    assert run(chromium, "return document.getElementById('overview-earlier').disabled")
    run(chromium, "document.getElementById('overview-later').click()")
    eventually(chromium, "return document.getElementById('overview-later').disabled")


def test_a_zoom_asks_for_finer_numbers(chromium: Any, server: WebServer) -> None:
    show(chromium, f"http://localhost:{server.port}/", DESK)
    eventually(chromium, "return page.overview.found?.axes?.y")
    run(chromium, "page.overview.chart.zoomTo([Date.now() / 1000 - 7 * 3600, Date.now() / 1000])")
    eventually(chromium, "return page.overview.found.bin_s === 60")
    assert run(chromium, "return page.overview.chart.back.hidden") is False
