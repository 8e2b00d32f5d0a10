"""The page in a real Chromium: pictures move, charts live, alarms appear, a wrong token stays outside."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from browser_rig import DESK, DIGEST, PHONE, changes, eventually, run, show
from mosquitto_rig import wait_until
from service_rig import DEVICE, RULE, ServiceRig
from web_rig import TOKENS, make_server

from tremorscope.runtime.health import HealthBoard
from tremorscope.runtime.outputs.web.server import WebServer
from tremorscope.runtime.store.records import Notice

NOTHING = "\u2013"


@pytest.mark.parametrize("opened", [DESK, PHONE], ids=["desk", "phone"], indirect=True)
def test_everything_that_moves_moves_and_fits(opened: Any, service: ServiceRig) -> None:
    assert changes(opened, "live")
    assert changes(opened, "motion")
    assert opened.execute_script(DIGEST, "spectrum") != 0
    assert eventually(opened, "return document.getElementById('verdict').textContent") == "30.00 frames/s"
    assert run(opened, "return page.picture.rate()") > 2
    # Nothing is wider than the screen, and what is pressed is large enough for a finger.
    assert run(opened, "return document.documentElement.scrollWidth <= window.innerWidth")
    small = run(
        opened,
        "return [...document.querySelectorAll('button')].filter(b => b.offsetHeight && b.offsetHeight < 32).length",
    )
    assert small == 0
    text = run(opened, "return document.getElementById('regions').innerText")
    assert "midspan" in text
    # 0.0845 px at 2.4 mm a pixel, known to 2 %; at 2.1 Hz; 30 frames/s are trusted to 12 Hz.
    assert "0.203\u202f\u00b1\u202f0.0041\u202fmm" in text
    assert "2.68\u202f\u00b1\u202f0.054\u202fmm/s (noise 0.0096)" in text
    assert "Velocity to 12.0\u202fHz" in text
    assert service.feed.viewers >= 1


def test_nothing_goes_wrong_and_nothing_comes_from_elsewhere(opened: Any, web: WebServer) -> None:
    # "rendering" complains of the tests themselves, which read the canvas back.
    complaints = [each for each in opened.get_log("browser") if each["source"] != "rendering"]
    assert complaints == []
    asked = [json.loads(each["message"])["message"] for each in opened.get_log("performance")]
    addresses = {
        each["params"]["request"]["url"] for each in asked if each["method"] == "Network.requestWillBeSent"
    }
    assert addresses
    own = f"http://localhost:{web.port}/"
    assert all(address.startswith((own, "data:", "chrome")) for address in addresses), addresses


ROWS = """
return Object.fromEntries([...document.querySelectorAll("#device dt")].map(
  (term) => [term.textContent, term.nextElementSibling.textContent]));
"""


def test_the_device_tells_what_it_measures_and_has_no_row_for_what_it_does_not(
    opened: Any, service: ServiceRig
) -> None:
    thin = "\u202f"
    rows = run(opened, ROWS)
    assert rows["Power"] == f"8.20{thin}W (VDD_IN), VDD_CPU_GPU_CV 3.10{thin}W, VDD_SOC 2.20{thin}W"
    assert rows["Power mode"] == "MAXN_SUPER, clocks by load"
    assert rows["GPU"] == f"37{thin}%, 612 of 1020{thin}MHz"
    assert rows["Memory traffic"] == f"31{thin}%, 2133 of 3199{thin}MHz"
    assert rows["Processor"] == f"22{thin}%, 6 cores, 1728{thin}MHz"
    assert rows["Video units"] == f"NVDEC off, VIC 730{thin}MHz"
    assert rows["Fan"] == f"29{thin}%, 1786{thin}rpm"
    assert (
        rows["Memory"] == f"2.97{thin}GB of 7.99{thin}GB, this program 312{thin}MB, swap 0 B of 4.00{thin}GB"
    )
    assert rows["Limits met"] == "4 \u00d7 peak of current"
    assert not {"Slowed down by", "Told by"} & set(rows)
    by_files = replace(DEVICE.reading, source="sysfs")
    held = replace(
        DEVICE, throttled=("devfreq-17000000.gpu",), reading=by_files, note="jtop: its service has ended"
    )
    try:
        service.board.update(device=held)
        slowed = "return document.getElementById('device').innerText.includes('devfreq-17000000.gpu')"
        eventually(opened, slowed)
        assert run(opened, ROWS)["Told by"] == "sysfs; jtop: its service has ended"
    finally:
        service.board.update(device=DEVICE)


def test_nothing_known_is_no_row(chromium: Any, service: ServiceRig) -> None:
    web = make_server(service, board=HealthBoard("bridge-7"))
    try:
        show(chromium, f"http://localhost:{web.port}/", DESK)
        eventually(chromium, "return document.querySelector('#device dt')")
        rows = run(chromium, ROWS)
    finally:
        web.close()
    assert set(rows) == {"Camera", "Magnification", "Heat", "Clips", "Recoveries", "Watching", "Running for"}
    assert not [text for text in rows.values() if NOTHING in text or "0 \u00d7 0" in text]


def test_views_and_regions_are_chosen(opened: Any) -> None:
    run(opened, "document.querySelector('[data-view=difference]').click()")
    eventually(opened, "return page.picture.view === 'difference' && page.picture.rate() > 2")
    # Grey where nothing moves: the corner of the sky.
    corner = "return [...document.getElementById('live').getContext('2d').getImageData(4, 4, 1, 1).data]"
    wait_until(lambda: all(abs(value - 128) < 12 for value in run(opened, corner)[:3]))
    run(opened, "document.querySelector('[data-view=magnified]').click()")
    run(opened, "[...document.querySelectorAll('.pick')].find(b => b.textContent === 'quarter span').click()")
    eventually(opened, "return document.querySelector('#motion-title .of').textContent === 'of quarter span'")
    eventually(opened, "return document.getElementById('peaks').textContent.includes('4.7000')")
    run(opened, "[...document.querySelectorAll('.pick')].find(b => b.textContent === 'midspan').click()")
    eventually(opened, "return document.getElementById('peaks').textContent.includes('2.1000')")


def test_an_alarm_appears_and_is_acknowledged(opened: Any, service: ServiceRig) -> None:
    service.edge("raised")
    try:
        said = "Alarm: midspan rms rms of midspan passed 0.200\u202fmm"
        eventually(opened, f"return document.getElementById('raised').innerText.startsWith('{said}')")
        assert run(opened, "return document.title").startswith("\u26a0")
        asked = len(service.controls.asked)
        run(opened, "document.querySelector('[data-acknowledge]').click()")
        eventually(opened, "return document.getElementById('raised').innerText.includes('acknowledged')")
        assert service.controls.asked[asked:] == [("acknowledge", RULE.name, "web page")]
        eventually(opened, "return !document.querySelector('[data-acknowledge]')")
    finally:
        service.edge("cleared")
    eventually(opened, "return document.getElementById('raised').innerText === ''")


def test_amplification_is_set_and_a_refusal_is_shown(opened: Any, service: ServiceRig) -> None:
    before = service.magnification
    fill = """
      for (const [id, value] of Object.entries(arguments[0])) {
        const field = document.getElementById(id);
        field.value = value;
        field.dispatchEvent(new Event("input", {bubbles: true}));
      }
      document.querySelector("#adjust button").click();
    """
    opened.execute_script(fill, {"amplification": 55, "band-low": 4, "band-high": 5})
    eventually(
        opened,
        "return document.getElementById('magnification').textContent.startsWith('\u00d7 55 \u00b7 4 to 5 Hz')",
    )
    assert service.magnification.bands_hz == ((4.0, 5.0),)
    opened.execute_script(fill, {"band-high": 20})
    eventually(
        opened, "return document.getElementById('adjusted').textContent.includes('keep it below 15 Hz')"
    )
    service.magnification = before
    service.board.update(magnification=before)


PLAYED = """
const video = document.getElementById("video");
return video.readyState >= 2 || video.error ? [video.videoWidth, video.error?.message ?? ""] : 0;
"""


def test_a_clip_of_an_event_plays(opened: Any) -> None:
    run(opened, "document.querySelector('#events [data-play]').click()")
    state = eventually(opened, PLAYED)
    assert state == [320, ""]
    moved = "return document.getElementById('video').currentTime > 0.1"
    eventually(opened, moved)
    run(opened, "document.getElementById('player-close').click()")
    eventually(opened, "return document.getElementById('video').getAttribute('src') === null")


SCROLL = """
const list = document.getElementById("journal");
list.scrollTop = list.scrollHeight;
const isAtEnd = list.innerText.includes("the first of all") && !list.querySelector("button");
return isAtEnd ? list.querySelectorAll("li").length : 0;
"""


def test_the_journal_scrolls_back_to_its_first_line(opened: Any, service: ServiceRig) -> None:
    """It showed the latest twenty of the latest month."""
    first = Notice(1e9 - 1.0, "paging", "the first of all")
    service.write(first, *(Notice(1e9 + number, "paging", f"number {number}") for number in range(1, 300)))
    opened.refresh()
    assert eventually(opened, SCROLL) >= 300
    assert run(opened, "return page.history.lists[0].records.size") >= 300
    service.write(*(Notice(2e9, "storm", "refused", 1, None) for _ in range(7)))
    eventually(
        opened, "return document.getElementById('journal').innerText.includes('storm: refused (7 times')"
    )
    # More at once than a page holds, as after a night without connection: nothing between is lost.
    service.write(*(Notice(3e9 + number, "night", f"number {number}") for number in range(250)))
    eventually(opened, "return document.getElementById('journal').innerText.includes('night: number 249')")
    assert eventually(opened, SCROLL) >= 551


def test_frames_that_stop_are_told_and_come_back(opened: Any, service: ServiceRig) -> None:
    service.frozen.set()
    try:
        eventually(opened, "return document.getElementById('status').classList.contains('bad')")
        assert "no frame for" in run(opened, "return document.getElementById('verdict').textContent")
        eventually(opened, "return document.getElementById('curtain').textContent === 'no new picture'")
        assert run(opened, "return page.charts.behind") > 2.5  # the curve moves away from now
    finally:
        service.frozen.clear()
    eventually(opened, "return document.getElementById('status').classList.contains('ok')")
    eventually(opened, "return document.getElementById('curtain').hidden")
    eventually(opened, "return page.charts.behind < 1.5")


def test_a_paused_page_lets_magnification_rest(opened: Any, service: ServiceRig) -> None:
    assert service.feed.wanted
    run(opened, "document.getElementById('pause').click()")
    wait_until(lambda: not service.feed.wanted)
    run(opened, "document.getElementById('pause').click()")
    wait_until(lambda: service.feed.wanted)


def test_an_answer_that_never_comes_is_told_in_our_words(opened: Any) -> None:
    run(
        opened,
        "AbortSignal.timeout = () => AbortSignal.abort(new DOMException('signal timed out', 'TimeoutError'))",
    )
    eventually(
        opened,
        "return document.getElementById('verdict').textContent === "
        "'no answer from the device within 10 s; trying again'",
    )


def test_a_device_that_was_away_is_found_again(
    chromium: Any, service: ServiceRig, make_page: Callable[..., WebServer]
) -> None:
    first = make_page()
    show(chromium, f"http://localhost:{first.port}/", DESK)
    eventually(chromium, "return page.picture.count > 3")
    first.close()
    eventually(
        chromium,
        "return document.getElementById('verdict').textContent.startsWith('no answer from the device')",
    )
    make_page(port=first.port)
    count = run(chromium, "return page.picture.count")
    eventually(chromium, f"return page.picture.count > {count} + 3", 25.0)
    eventually(chromium, "return document.getElementById('status').classList.contains('ok')", 25.0)
    assert service.feed.wanted


@pytest.fixture
def make_page(service: ServiceRig) -> Iterator[Callable[..., WebServer]]:
    made: list[WebServer] = []

    def make(port: int = 0) -> WebServer:
        made.append(make_server(service, at_port=port))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_only_the_right_token_opens_the_page(chromium: Any, guarded: WebServer) -> None:
    chromium.delete_all_cookies()
    address = f"http://127.0.0.1:{guarded.port}/"
    show(chromium, address, PHONE)
    assert chromium.current_url == f"{address}login"

    def enter(token: str) -> None:
        run(
            chromium,
            f"document.getElementById('token').value = '{token}'; document.querySelector('form').submit()",
        )

    enter("wrong-token-0123456789")
    wait_until(lambda: chromium.current_url == f"{address}login?wrong")
    eventually(chromium, "return !document.getElementById('wrong').hidden")
    assert chromium.get_cookies() == []
    enter(str(TOKENS.view))
    wait_until(lambda: chromium.current_url == address)
    eventually(chromium, "return window.page && page.picture.count > 3")
    eventually(chromium, "return !document.getElementById('leave').hidden")
    # Who may only look is offered nothing else.
    assert run(
        chromium,
        "return ['adjust', 'record', 'edit-regions'].every((id) => document.getElementById(id).hidden)",
    )
    assert chromium.get_cookies()[0]["httpOnly"]
    run(chromium, "document.querySelector('#leave button').click()")
    wait_until(lambda: chromium.current_url == f"{address}login")
    chromium.get(f"{address}?token={TOKENS.control}")
    wait_until(lambda: chromium.current_url == address)  # the token is gone from the address
    eventually(chromium, "return !document.getElementById('adjust').hidden")
