"""Regions edited on the page of a real service: judged, measured, and in the file with its comments."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from browser_rig import DESK, PHONE, eventually, run, show
from http_rig import Answer, ask, post
from mosquitto_rig import free_port, wait_until

from tremorscope.runtime.configuration.reading import load_configuration
from tremorscope.runtime.outputs.web.regions import _Judge
from tremorscope.runtime.service.process import Service
from tremorscope.runtime.store.reader import StoreReader
from tremorscope.runtime.vibration.displacement.windows import rounding_sigma

TEXT = """\
# The footbridge.
version: 1
camera: {{kind: synthetic, width_px: 320, height_px: 180}}
magnification: {{bundle: {bundle}}}
vibration:
  regions:              # one rigid part each
    - {{name: mid-span, x_px: 130, y_px: 90, width_px: 60, height_px: 24}}   # under the lamp
    # Seen from the pier.
    - name: quarter
      x_px: 68          # beside the bolt
      y_px: 92
      width_px: 44
      height_px: 20
  analyse_every_s: 30   # often
  alarms:
    - {{name: sways, quantity: rms, region: mid-span, above_px: 2}}
recording: null
store: {{directory: {state}, disk: {{previews_below_gb: 0.003, clips_below_gb: 0.002, series_below_gb: 0.001}}}}
outputs: {{http: {{port: {port}}}}}
reload_on_change: false
"""
BOTH = [
    {"name": "mid-span", "was": "mid-span", "x_px": 130, "y_px": 90, "width_px": 60, "height_px": 24},
    {"name": "quarter", "was": "quarter", "x_px": 68, "y_px": 92, "width_px": 44, "height_px": 20},
]
BEFORE = ["mid-span", "quarter"]
LONG = "x" * 246 + ".yaml"
"""Name that leaves no room for a temporary one beside it: even root cannot replace such a file."""


@dataclass
class Edited:
    """A service whose main loop runs in a thread."""

    service: Service
    file: Path
    port: int

    def is_measuring(self) -> bool:
        state = ask(self.port, "/api/state").json
        found, still_px = state["regions"], state["still_px"]
        return (
            [each["name"] for each in found] == BEFORE
            and all(e["noise_floor_px"] for e in found)
            and not still_px
        )

    def regions(self) -> list[tuple[Any, ...]]:
        """Those that are measured: name and rectangle."""
        return [
            (each["name"], *each["rectangle_px"]) for each in ask(self.port, "/api/state").json["regions"]
        ]

    def change(self, regions: list[dict[str, Any]], before: list[str] = BEFORE) -> Answer:
        return post(self.port, "/api/regions", {"regions": regions, "before": before})

    def begin_anew(self, text: str) -> None:
        """The file and the service as they were at first."""
        self.file.write_text(text)
        assert not self.service.reload().refused
        wait_until(self.is_measuring)


@pytest.fixture(scope="module", params=["bridge.yaml"])
def edited(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, linear_bundle: Path
) -> Iterator[Edited]:
    place, port = tmp_path_factory.mktemp("edited"), free_port()
    file = place / request.param
    file.write_text(TEXT.format(bundle=linear_bundle, state=place / "state", port=port))
    service, ended = Service(load_configuration(file)), threading.Event()

    def look() -> None:
        while not ended.wait(0.05):
            service.look()

    service.start()
    thread = threading.Thread(target=look)
    thread.start()
    try:
        edited = Edited(service, file, port)
        wait_until(edited.is_measuring, 60)
        yield edited
    finally:
        ended.set()
        thread.join()
        service.close()


@pytest.fixture
def anew(edited: Edited) -> Iterator[Edited]:
    """The same, put back at the end."""
    text = edited.file.read_text()
    yield edited
    edited.begin_anew(text)


def test_the_quality_is_that_of_the_measurement(edited: Edited) -> None:
    measured = ask(edited.port, "/api/state").json["regions"][0]["noise_floor_px"]
    rectangle = {key: value for key, value in BOTH[0].items() if key.endswith("_px")}
    found = post(edited.port, "/api/regions/quality", rectangle).json
    worse = max(found["noise_floor_x_px"], found["noise_floor_y_px"])
    assert (found["trouble"], found["remark"]) == ("", "")
    assert 0.5 * measured < worse < 2 * measured  # the structure stands elsewhere when each begins
    narrow = post(edited.port, "/api/regions/quality", rectangle | {"width_px": 10}).json
    assert narrow["noise_floor_y_px"] > 1.2 * found["noise_floor_y_px"]
    sky = post(
        edited.port, "/api/regions/quality", {"x_px": 4, "y_px": 4, "width_px": 8, "height_px": 8}
    ).json
    assert sky["noise_floor_x_px"] is None
    assert sky["trouble"].startswith("region 8x8 at x 4, y 4: no texture to measure displacement by: choose")
    outside = post(edited.port, "/api/regions/quality", rectangle | {"x_px": 300}).json
    assert "reaches outside the picture of 320x180 px" in outside["trouble"]
    small = post(edited.port, "/api/regions/quality", rectangle | {"width_px": 3})
    assert (small.status, small.text[:9]) == (400, "width_px:")


@pytest.mark.parametrize("bit_depth", [8, 10, 12])
def test_the_noise_that_is_judged_by_is_of_the_cameras_bits(bit_depth: int) -> None:
    frame, numbers = np.full((64, 64, 3), 128, np.uint8), count()

    def latest(*_: object) -> Any:
        number = next(numbers)
        return MagicMock(frame=frame, info=SimpleNamespace(sequence=number, time_s=float(number)))

    feed: Any = SimpleNamespace(watch=nullcontext, latest=latest)
    judge = _Judge(feed, bit_depth)
    judge._take()
    assert judge._sigma == rounding_sigma(bit_depth)


def test_the_file_is_changed_where_it_must_be(anew: Edited) -> None:
    before = anew.file.read_text()
    anew.file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(anew.file, 7, 8)
    kept = anew.file.stat()
    added = {"name": "deck", "x_px": 200, "y_px": 88, "width_px": 40, "height_px": 24}
    answer = anew.change([BOTH[0], BOTH[1] | {"name": "pier", "x_px": 70}, added])
    assert answer.json == {"written": True, "text": f"written into {anew.file}", "block": ""}
    expected = before.replace("name: quarter", "name: pier").replace("68    ", "70    ")
    line = "      height_px: 20\n"
    new = "    - {name: deck, x_px: 200, y_px: 88, width_px: 40, height_px: 24}\n"
    assert anew.file.read_text() == expected.replace(line, line + new)
    now = anew.file.stat()
    assert (now.st_uid, now.st_gid, now.st_mode) == (kept.st_uid, kept.st_gid, kept.st_mode)
    assert stat.S_IMODE(now.st_mode) == 0o640
    wait_until(lambda: [each[0] for each in anew.regions()] == ["mid-span", "pier", "deck"])
    assert anew.regions()[1:] == [("pier", 70, 92, 44, 20), ("deck", 200, 88, 40, 24)]
    assert not anew.service.reload().applied  # file and service agree
    path = anew.service.parts.storage.path
    assert path is not None
    told = [
        "changed by web page from 127.0.0.1: quarter is now pier, region 44x20 at x 70, y 92, "
        f"deck is new, region 40x24 at x 200, y 88; written into {anew.file}"
    ]
    wait_until(lambda: [each.text for each in StoreReader(path).notices() if each.topic == "regions"] == told)


@pytest.mark.parametrize(
    ("regions", "before", "said"),
    [
        (BOTH[1:], BEFORE, 'vibration.alarms[0].region = "mid-span": is none of vibration.regions: '),
        ([BOTH[0], BOTH[1] | {"name": "mid-span"}], BEFORE, 'vibration.regions[1].name = "mid-span": is the name of'),
        ([BOTH[0], BOTH[1] | {"name": "a/b"}], BEFORE, 'vibration.regions[1].name = "a/b": has characters that'),
        ([BOTH[0] | {"x_px": 300}, BOTH[1]], BEFORE, "region 60x24 at x 300, y 90: reaches outside the picture"),
        (BOTH, ["mid-span"], "the regions have changed meanwhile: cancel, and edit them as they are now"),
    ],
)  # fmt: skip
def test_what_is_not_valid_changes_nothing(
    edited: Edited, regions: list[dict[str, Any]], before: list[str], said: str
) -> None:
    content, measured = edited.file.read_bytes(), edited.regions()
    answer = edited.change(regions, before)
    assert (answer.status, answer.text[: len(said)]) == (409, said)
    assert answer.text.count("\n") == 1
    assert (edited.file.read_bytes(), edited.regions()) == (content, measured)


# On the page.

PLACE = "const r = document.getElementById('overlay').getBoundingClientRect(); return [r.left, r.top, r.width / 320]"


def open_editor(chromium: Any, port: int, size: tuple[int, int]) -> None:
    show(chromium, f"http://localhost:{port}/", size)
    eventually(chromium, "return page.picture.count > 2 && !document.getElementById('edit-regions').hidden")
    run(chromium, "document.getElementById('stage').scrollIntoView()")
    run(chromium, "document.getElementById('edit-regions').click()")


def drag(chromium: Any, start: tuple[int, int], end: tuple[int, int], kind: str = "mouse") -> None:
    """Press, move and release at points of the filmed picture, by mouse or finger."""
    run(chromium, "scrollTo(0, document.getElementById('stage').offsetTop - 90)")
    left, top, scale = run(chromium, PLACE)
    points = [
        [corner + scale * (a + share * (b - a)) for corner, a, b in zip((left, top), start, end, strict=True)]
        for share in (0, 0.3, 0.7, 1)
    ]
    for number, (x, y) in enumerate([*points, points[-1]]):
        is_last = number == len(points)
        if kind == "mouse":
            name = "mouseReleased" if is_last else "mouseMoved" if number else "mousePressed"
            told = {"type": name, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
            chromium.execute_cdp_cmd("Input.dispatchMouseEvent", told)
        else:
            name = "touchEnd" if is_last else "touchMove" if number else "touchStart"
            touches = [] if is_last else [{"x": x, "y": y}]
            chromium.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": name, "touchPoints": touches})


def press(chromium: Any, *keys: str) -> None:
    from selenium.webdriver.common.keys import Keys

    named = "".join(getattr(Keys, key, key) for key in keys)
    chromium.switch_to.active_element.send_keys(named)


SIDES = "return page.regions.boxes.map((box) => [box.name.value, ...box.sides])"


def test_a_region_is_dragged_into_the_file(anew: Edited, chromium: Any) -> None:
    before = anew.file.read_text()
    open_editor(chromium, anew.port, DESK)
    verdicts = "return page.regions.boxes.every((box) => box.verdict.textContent.startsWith('noise 0.0'))"
    eventually(chromium, verdicts)
    drag(chromium, (160, 102), (170, 102))  # by its middle
    drag(chromium, (112, 112), (120, 116))  # by its corner
    assert run(chromium, SIDES) == [["mid-span", 140, 90, 60, 24], ["quarter", 68, 92, 52, 24]]
    press(chromium, "ARROW_RIGHT", "ARROW_RIGHT")
    press(chromium, "SHIFT", "ARROW_UP")
    assert run(chromium, SIDES)[1] == ["quarter", 70, 82, 52, 24]
    drag(chromium, (4, 4), (13, 13))  # on the empty sky
    assert run(chromium, "return page.regions.boxes.map((box) => box.name.value)[2]") == "region 1"
    eventually(chromium, "return page.regions.boxes[2].verdict.textContent.includes('no texture to measure')")
    press(chromium, "DELETE")
    drag(chromium, (210, 86), (250, 118))
    run(chromium, "page.regions.boxes[2].name.focus(); page.regions.boxes[2].name.value = ''")
    press(chromium, "d", "e", "c", "k", "ENTER")
    said = eventually(chromium, "return document.getElementById('regions-said').textContent")
    assert said == f"written into {anew.file}"
    text = before.replace("x_px: 130", "x_px: 140").replace("x_px: 68 ", "x_px: 70 ")
    text = text.replace("y_px: 92", "y_px: 82").replace("width_px: 44", "width_px: 52")
    new = "    - {name: deck, x_px: 210, y_px: 86, width_px: 40, height_px: 32}\n"
    text = text.replace("      height_px: 20\n", f"      height_px: 24\n{new}")
    assert anew.file.read_text() == text
    eventually(chromium, "return document.querySelectorAll('#overlay rect').length === 3")
    assert run(chromium, "return document.getElementById('overlay').getAttribute('aria-hidden')") == "true"
    eventually(chromium, "return document.getElementById('journal').innerText.includes('deck is new')")


def test_a_still_region_is_drawn_and_moved_with_the_others(anew: Edited, chromium: Any) -> None:
    before = anew.file.read_text()
    open_editor(chromium, anew.port, DESK)
    drag(chromium, (6, 128), (46, 168))  # the abutment
    run(chromium, "page.regions.boxes[2].still.click(); document.getElementById('editor-apply').click()")
    said = eventually(chromium, "return document.getElementById('regions-said').textContent")
    assert said == f"written into {anew.file}"
    line = "  still:\n    - {{x_px: {}, y_px: 128, width_px: 40, height_px: 40}}\n"
    assert anew.file.read_text() == before.replace("  regions:  ", f"{line.format(6)}  regions:  ")
    assert anew.change(BOTH).json["text"] == "nothing has changed"  # by somebody who knows no still ones
    eventually(chromium, "return document.querySelector('#overlay rect.still') !== null")
    run(chromium, "document.getElementById('edit-regions').click()")
    drag(chromium, (26, 148), (34, 148))
    assert run(chromium, SIDES)[2] == ["still 1", 14, 128, 40, 40]
    run(chromium, "document.getElementById('editor-apply').click()")
    eventually(chromium, "return document.getElementById('journal').innerText.includes('still 1 is now')")
    assert anew.file.read_text() == before.replace("  regions:  ", f"{line.format(14)}  regions:  ")


def test_a_finger_moves_one_on_a_phone_and_a_refusal_is_shown(anew: Edited, chromium: Any) -> None:
    before = anew.file.read_bytes()
    open_editor(chromium, anew.port, PHONE)
    drag(chromium, (160, 102), (150, 112), "finger")
    assert run(chromium, SIDES)[0] == ["mid-span", 120, 100, 60, 24]
    assert run(chromium, "return document.documentElement.scrollWidth <= window.innerWidth")
    run(chromium, "page.regions.boxes[1].name.value = 'mid-span'")
    run(chromium, "document.getElementById('editor-apply').click()")
    said = "return document.getElementById('regions-said').textContent"
    assert "is the name of another region" in eventually(chromium, said)
    run(chromium, "document.getElementById('editor-cancel').click()")
    assert run(chromium, said) == ""
    eventually(chromium, "return document.querySelectorAll('#overlay rect').length === 2")
    assert anew.file.read_bytes() == before


@pytest.mark.parametrize("edited", [LONG], indirect=True)
def test_where_the_file_cannot_be_written_nothing_is_half_written(edited: Edited) -> None:
    before = edited.file.read_bytes()
    answer = edited.change([BOTH[0] | {"x_px": 140}, BOTH[1]]).json
    assert not answer["written"]
    assert answer["text"].startswith(
        "in effect until the next reload or start, because the file was not written: "
    )
    assert answer["text"].endswith("cannot be written (file name too long)")
    assert "- {name: mid-span, x_px: 140, y_px: 90, width_px: 60, height_px: 24}   # under" in answer["block"]
    assert answer["block"].startswith("  regions:              # one rigid part each\n")
    wait_until(lambda: edited.regions()[0] == ("mid-span", 140, 90, 60, 24))
    # The next change goes on from there.
    again = edited.change([BOTH[0] | {"x_px": 140}, BOTH[1] | {"name": "pier"}]).json
    assert "x_px: 140" in again["block"]
    assert "name: pier" in again["block"]
    assert [each.name for each in edited.file.parent.iterdir() if each.is_file()] == [edited.file.name]
    assert edited.file.read_bytes() == before
    edited.service.reload()
    wait_until(lambda: edited.regions()[0] == ("mid-span", 130, 90, 60, 24))
