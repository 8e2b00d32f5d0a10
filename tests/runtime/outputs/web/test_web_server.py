"""The web server as a client meets it: health, tokens, numbers, pictures, clips, and what it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from http_rig import Answer, ask, post, raw
from mosquitto_rig import free_port, wait_until
from prometheus_client.parser import text_string_to_metric_families
from service_rig import MODES_HZ, RATE_HZ, REGIONS, RULE, ServiceRig
from web_rig import TOKENS, make_server

from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.health import HealthBoard
from tremorscope.runtime.live.feed import LiveFeed
from tremorscope.runtime.outputs.settings import HttpSettings
from tremorscope.runtime.outputs.state import ServiceView
from tremorscope.runtime.outputs.web.access import Tokens
from tremorscope.runtime.outputs.web.archive import Archive
from tremorscope.runtime.outputs.web.limits import HttpLimits
from tremorscope.runtime.outputs.web.server import WebServer
from tremorscope.runtime.store.records import Channel, Notice, SeriesBlock
from tremorscope.runtime.store.store import Store

VIEW = {"Authorization": f"Bearer {TOKENS.view}"}
CONTROL = {"Authorization": f"Bearer {TOKENS.control}"}


@pytest.fixture
def quick(service: ServiceRig) -> Iterator[WebServer]:
    """A server that is impatient, and small."""
    limits = HttpLimits(connections=6, idle_s=0.6, least_idle_s=0.3, stall_s=1.0, send_buffer_bytes=8192)
    server = make_server(service, limits=limits, most_viewers=2)
    yield server
    server.close()


def picture_of(jpeg: bytes) -> tuple[int, int]:
    with av.open(io.BytesIO(jpeg), format="mjpeg") as container:
        frame = next(container.decode(video=0))
        return frame.width, frame.height


def test_healthz_follows_the_frames(web: WebServer, service: ServiceRig) -> None:
    wait_until(lambda: ask(web.port, "/healthz").status == 200)
    assert ask(web.port, "/readyz").status == 200
    service.frozen.set()
    try:
        wait_until(lambda: ask(web.port, "/healthz").status == 503)
        answer = ask(web.port, "/healthz")
        age = re.match(r"no frame for (\d+\.\d) s", answer.text)
        assert age is not None, answer.text
        assert float(age[1]) >= 3.0
        assert ask(web.port, "/readyz").status == 503
    finally:
        service.frozen.clear()
    wait_until(lambda: ask(web.port, "/healthz").status == 200)


def test_before_the_first_frame_nothing_is_healthy() -> None:
    feed = LiveFeed(width_px=64, height_px=48)
    server = WebServer(
        HttpSettings.model_construct(**dict(HttpSettings()) | {"port": 0}),
        Tokens(),
        ServiceView(HealthBoard(), feed),
    )
    server.start()
    try:
        answer = ask(server.port, "/readyz")
        assert (answer.status, answer.text[:12]) == (503, "no frame yet")
    finally:
        server.close()


def test_metrics_are_read_by_prometheus(web: WebServer) -> None:
    answer = ask(web.port, "/metrics")
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"tremorscope_frames", "tremorscope_displacement_rms_mm", "tremorscope_http_responses"} <= names


def test_the_page_is_told_numbers(web: WebServer) -> None:
    # A second or more of it: of 2.1 Hz at least two whole swings.
    wait_until(lambda: len(ask(web.port, "/api/live?region=midspan").json["motion"]["times_s"]) > RATE_HZ)
    wait_until(lambda: ask(web.port, "/healthz").status == 200)
    state = ask(web.port, "/api/state").json
    assert (state["name"], state["ok"]) == ("bridge-7", True)
    assert (state["may_control"], state["may_adjust"], state["logged_in"]) == (True, True, False)
    answer = ask(web.port, "/api/live?region=midspan").json
    motion = answer["motion"]
    assert motion["regions"] == list(REGIONS)
    assert 0.1 < max(motion["y_px"]) < 0.2  # 0.12 px and 0.05 px, and noise
    after, question = motion["times_s"][-1], "/api/live?region=midspan"
    wait_until(lambda: len(ask(web.port, f"{question}&after={after}").json["motion"]["times_s"]) >= 5)
    later = ask(web.port, f"{question}&after={after}&spectrum_after=9e9").json
    whole = ask(web.port, question).json["motion"]["times_s"]
    new = [each for each in whole if each > after]
    times_s = later["motion"]["times_s"]
    assert len(times_s) >= 5
    assert times_s == new[: len(times_s)]  # each once, and nothing from before
    assert "axes" not in later["spectra"]
    spectrum = answer["spectra"]["axes"]["y"]
    assert spectrum["peaks"][0]["frequency_hz"] == MODES_HZ[0]
    points = ask(web.port, "/api/frequencies").json
    assert set(points["mode"]) == {1, 2}
    assert len(points["time_s"]) == len(points["frequency_hz"]) == len(points["deviation_hz"]) == 1440


def test_every_view_of_the_picture_moves_and_is_encoded_once_for_all(
    web: WebServer, service: ServiceRig
) -> None:
    for view in ("magnified", "split", "difference"):
        assert picture_of(ask(web.port, f"/live.jpg?view={view}").body) == (320, 180)
    wait_until(lambda: service.feed.viewers == 0)
    viewers = [open_stream(web.port) for _ in range(5)]
    for each in viewers:
        each.settimeout(60.0)
    before, begun_s = web.counts()["pictures"]["encoded"], time.monotonic()
    parts = [read_parts(viewer, 12) for viewer in viewers]
    elapsed_s = time.monotonic() - begun_s
    encoded = web.counts()["pictures"]["encoded"] - before
    for viewer in viewers:
        viewer.close()
    assert all(picture_of(jpeg) == (320, 180) for jpeg in parts[0][:2])
    assert len(set(parts[0])) >= 10  # it moves
    assert encoded <= 15 * elapsed_s + 4  # the stated rate, not five times it
    wait_until(lambda: service.feed.viewers == 0)  # and magnification may rest


def open_stream(port: int, view: str = "magnified") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(f"GET /live.mjpeg?view={view} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
    return connection


def read_parts(connection: socket.socket, count: int) -> list[bytes]:
    found: list[bytes] = []
    buffer = b""
    while len(found) < count:
        head, separator, rest = buffer.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), None
        )
        if separator and length is None:  # the head of the answer itself
            buffer = rest
        elif separator and length is not None and len(rest) >= length:
            found.append(rest[:length])
            buffer = rest[length:]
        else:
            part = connection.recv(65536)
            assert part, "the stream has ended"
            buffer += part
    return found


def test_series_are_downloaded_and_the_journal_is_shown(web: WebServer, service: ServiceRig) -> None:
    channel, now_s = Channel("midspan", "y"), time.time()
    times_s = now_s - 7200 + np.arange(3000) / 30
    values = np.sin(times_s).astype(np.float32)[None]
    for part in range(10):
        some = slice(300 * part, 300 * part + 300)
        service.write(SeriesBlock((channel,), times_s[some], values[:, some]))
    service.write(Notice(now_s, "recovery", "camera opened anew"))
    day = ask(web.port, "/api/series.csv")
    assert (day.status, day.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    assert re.fullmatch(
        r'attachment; filename="series-\d{8}T\d{6}Z\.csv"', day.headers["content-disposition"]
    )
    rows = list(csv.DictReader(io.StringIO(day.text)))
    found = [float(row["midspan y displacement (px)"]) for row in rows]
    assert found == pytest.approx(values[0].tolist(), rel=1e-6)
    part = ask(web.port, f"/api/series.csv?from={times_s[300]}&to={times_s[600]}").text
    assert len(part.splitlines()) == 1 + 300
    assert ask(web.port, "/api/series.csv?from=yesterday").status == 400
    wait_until(lambda: ask(web.port, "/api/history").json["notices"])
    notice = ask(web.port, "/api/history").json["notices"][0]
    assert (notice["topic"], notice["text"]) == ("recovery", "camera opened anew")


def test_history_has_pages_with_a_cursor(web: WebServer, service: ServiceRig) -> None:
    service.write(*(Notice(1e9 + number, "paging", f"number {number}") for number in range(300)))
    first = ask(web.port, "/api/history?kind=notices&most=50&before=1000000299.5,1000000").json
    assert [each["text"] for each in first["notices"]] == [f"number {n}" for n in range(299, 249, -1)]
    assert set(first) == {"notices", "next", "trouble"}
    second = ask(web.port, f"/api/history?kind=notices&before={first['next']['notices']}").json
    assert [each["text"] for each in second["notices"]] == [f"number {n}" for n in range(249, 49, -1)]
    third = ask(web.port, f"/api/history?kind=notices&before={second['next']['notices']}").json
    assert [each["text"] for each in third["notices"]] == [f"number {n}" for n in range(49, -1, -1)]
    assert third["next"] == {"notices": None}
    whole = ask(web.port, "/api/history").json
    assert [len(whole[kind]) <= 200 for kind in ("alarms", "events", "notices")] == [True, True, True]
    assert set(whole["next"]) == {"alarms", "events", "notices"}
    for query in ("kind=x", "kind=alarms&before=1", "kind=alarms&before=nan,1", "kind=alarms&most=201",
                  "kind=alarms&most=0", "kind=alarms&before=1,9999999999999999999", "kind="):  # fmt: skip
        assert ask(web.port, f"/api/history?{query}").status == 400


def test_history_is_of_the_store_that_lies_there_now(tmp_path: Path) -> None:
    async def texts(archive: Archive) -> list[str]:
        return [each["text"] for each in (await archive.page("notices", None, 5))["notices"]]

    path = tmp_path / "tremorscope.db"
    archive = Archive(path, None)
    for text in ("of the first", "of the second"):
        with Store(path) as store:
            store.write([Notice(1.0, "a", text)])
        assert asyncio.run(texts(archive)) == [text]
        path.rename(tmp_path / f"{text}.damaged")
    archive.close()


def test_events_are_listed_played_in_parts_and_kept(web: WebServer, service: ServiceRig) -> None:
    history = ask(web.port, "/api/history").json
    event = history["events"][0]
    assert event["alarms"] == [RULE.name]
    clips = {clip["kind"]: clip for clip in event["clips"]}
    assert set(clips) == {"raw", "magnified"}
    file = clips["magnified"]["file"]
    whole = ask(web.port, f"/clips/{file}")
    assert (whole.status, whole.headers["content-type"]) == (200, "video/mp4")
    assert whole.body == (service.clips / file).read_bytes()
    part = ask(web.port, f"/clips/{file}", Range="bytes=100-299")
    assert (part.status, part.body) == (206, whole.body[100:300])
    kept = ask(web.port, f"/clips/{file}?download")
    assert kept.headers["content-disposition"] == f'attachment; filename="{file}"'


@pytest.mark.parametrize(
    "path",
    [
        "/clips/../tremorscope.db", "/clips/..%2ftremorscope.db", "/clips/%2e%2e/tremorscope.db",
        "/clips/....//tremorscope.db", "/clips/%2fetc%2fpasswd", "/clips/..%5ctremorscope.db",
        "/clips/secret.mp4", "/clips/link.mp4", "/clips/", "/clips", "/page/../server.py", "/page/..%2fserver.py",
        "/page/%2e%2e%2fserver.py", "/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/clips/x%00.mp4",
    ],
)  # fmt: skip
def test_no_path_leads_out(web: WebServer, service: ServiceRig, path: str) -> None:
    (service.clips / "secret.mp4").write_bytes(b"not listed")
    link = service.clips / "link.mp4"
    if not link.is_symlink():
        link.symlink_to(service.store)
    found = raw(web.port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert found.split(b" ", 2)[1] in (b"404", b"400", b"403"), found[:200]
    assert b"SQLite" not in found
    assert b"root:" not in found
    assert b"not listed" not in found


def test_every_answer_forbids_what_the_page_does_not_need(web: WebServer) -> None:
    for path in ("/", "/page/app.js", "/api/state", "/healthz", "/nowhere"):
        headers = ask(web.port, path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["server"] == "tremorscope"


def test_the_page_names_nothing_on_the_internet() -> None:
    page = Path(__file__).parents[4] / "runtime/outputs/web/page"
    for file in page.iterdir():
        text = file.read_text()
        for name in (
            "http://www.w3.org/2000/svg",
            "https://github.com/leeoniya/uPlot",
        ):  # named, never asked for
            text = text.replace(name, "")
        assert "http:" not in text, file
        assert "https:" not in text, file
        assert 'style="' not in text, file  # the policy would refuse it


@pytest.mark.parametrize("name", ["app.js", "uPlot.iife.min.js", "uPlot.min.css", "uPlot.LICENSE.txt"])
def test_files_are_sent_once(web: WebServer, name: str) -> None:
    first = ask(web.port, f"/page/{name}")
    again = ask(web.port, f"/page/{name}", If_None_Match=first.headers["etag"])
    assert (first.status, again.status, again.body) == (200, 304, b"")
    assert first.headers["content-type"].partition("/")[0] == "text"


# Tokens.

ASKED = [
    "/metrics",
    "/api/state",
    "/api/live",
    "/api/history",
    "/api/frequencies",
    "/api/series.csv",
    "/live.jpg",
    "/live.mjpeg",
]


@pytest.mark.parametrize("path", ASKED)
def test_nothing_is_told_without_the_token(guarded: WebServer, path: str) -> None:
    answer = ask(guarded.port, path)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    if path != "/live.mjpeg":
        assert ask(guarded.port, path, **VIEW).status == 200


def test_probes_and_the_login_need_no_token(guarded: WebServer) -> None:
    assert ask(guarded.port, "/healthz").status == 200
    assert ask(guarded.port, "/login").status == 200
    home = ask(guarded.port, "/")
    assert (home.status, home.headers["location"]) == (303, "login")


def test_a_wrong_token_is_refused_and_costs_time(guarded: WebServer) -> None:
    begun_s = time.monotonic()
    assert ask(guarded.port, "/api/state", Authorization="Bearer wrong-wrong-wrong-wrong").status == 401
    assert time.monotonic() - begun_s >= 0.9


def session_of(answer: Answer) -> dict[str, str]:
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    return {"Cookie": cookie.partition(";")[0]}


def test_a_login_lasts_and_the_token_leaves_the_address(guarded: WebServer) -> None:
    by_form = ask(
        guarded.port, "/login", method="POST", body=f"token={TOKENS.view}",
        Content_Type="application/x-www-form-urlencoded",
    )  # fmt: skip
    by_link = ask(guarded.port, f"/?token={TOKENS.control}")
    assert (by_form.status, by_link.status) == (303, 303)
    assert by_link.headers["location"] == "."
    assert ask(guarded.port, "/", **session_of(by_form)).status == 200
    looks = ask(guarded.port, "/api/state", **session_of(by_form)).json
    controls = ask(guarded.port, "/api/state", **session_of(by_link)).json
    assert (looks["may_control"], controls["may_control"], controls["logged_in"]) == (False, True, True)
    wrong = ask(guarded.port, "/?token=wrong")
    assert (wrong.headers["location"], "set-cookie" in wrong.headers) == ("login?wrong", False)


def test_only_the_control_token_changes_anything(guarded: WebServer, service: ServiceRig) -> None:
    for path, content in (
        ("/api/acknowledge", {"alarm": RULE.name}),
        ("/api/adjust", {"amplification": 5}),
        ("/api/record", {}),
        ("/api/regions", {"regions": [], "before": []}),
    ):
        asked = len(service.controls.asked)
        assert post(guarded.port, path, content).status == 401
        refused = post(guarded.port, path, content, **VIEW)
        assert (refused.status, refused.text) == (
            403,
            "this token may view, not control: use the control token\n",
        )
        assert len(service.controls.asked) == asked
        assert post(guarded.port, path, content, **CONTROL).status == 200
        assert len(service.controls.asked) == asked + 1
    rectangle = {"x_px": 40, "y_px": 90, "width_px": 60, "height_px": 24}
    assert post(guarded.port, "/api/regions/quality", rectangle, **VIEW).status == 403
    assert post(guarded.port, "/api/regions/quality", rectangle, **CONTROL).status == 200


# What may be changed.


def test_amplification_and_band_are_adjusted_or_refused_in_a_line(
    web: WebServer, service: ServiceRig
) -> None:
    before = service.magnification
    assert post(web.port, "/api/adjust", {"amplification": 35.5, "bands_hz": [[4.0, 5.0]]}).status == 200
    time.sleep(0.3)
    shown = ask(web.port, "/api/state").json["magnification"]
    assert (shown["amplification"], shown["bands_hz"]) == (35.5, [[4.0, 5.0]])
    refused = post(web.port, "/api/adjust", {"bands_hz": [[4.0, 20.0]]})
    assert (refused.status, refused.text) == (
        409, "a band up to 20 Hz cannot be seen at 30 frames/s: keep it below 15 Hz\n",
    )  # fmt: skip
    service.magnification = before
    service.board.update(magnification=before)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"amplification": 1e9}, "amplification: "),
        ({"amplification": "20"}, "amplification: "),
        ({"amplfication": 2}, "amplfication: "),
        ({"bands_hz": [[1, 2, 3]]}, "bands_hz.0"),
        ([], "body: "),
    ],
)
def test_what_cannot_be_understood_is_refused(web: WebServer, content: object, said: str) -> None:
    answer = post(web.port, "/api/adjust", content)
    assert (answer.status, answer.text[: len(said)]) == (400, said)


def test_an_alarm_is_acknowledged_once(web: WebServer, service: ServiceRig) -> None:
    service.edge("raised")
    try:
        assert post(web.port, "/api/acknowledge", {"alarm": RULE.name}).json == {"done": True}
        assert post(web.port, "/api/acknowledge", {"alarm": RULE.name}).json == {"done": False}
        time.sleep(2.1)  # an answer serves everybody for two seconds
        alarm = ask(web.port, "/api/history").json["alarms"][0]
        assert (alarm["name"], alarm["acknowledged_by"]) == (RULE.name, "web page")
    finally:
        service.edge("cleared")


def test_where_nothing_may_be_adjusted_it_is_said(service: ServiceRig) -> None:
    server = make_server(service, adjustable=False)
    try:
        assert ask(server.port, "/api/state").json["may_adjust"] is False
        assert post(server.port, "/api/adjust", {"amplification": 5}).status == 403
        answer = post(server.port, "/api/regions", {"regions": [], "before": []})
        assert (answer.status, answer.text) == (403, "outputs.http.adjustable is off\n")
    finally:
        server.close()


def test_other_pages_and_other_names_are_refused(web: WebServer) -> None:
    assert ask(web.port, "/api/state", Host="evil.example").status == 403
    assert ask(web.port, "/healthz", Host="10.0.0.7").status == 200  # a probe tells nothing that is worth it
    assert post(web.port, "/api/record", {}, Origin="http://evil.example").status == 403
    form = ask(web.port, "/api/record", method="POST", body="{}", Content_Type="text/plain")
    assert form.status == 415


# What is sent to hurt.


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
        b"GET / HTTP/9.9\r\n\r\n",
        b"G\x00T / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    ],
)
def test_malformed_requests_are_refused(web: WebServer, request_bytes: bytes) -> None:
    found = raw(web.port, request_bytes, timeout_s=2.0)
    assert found == b"" or found.startswith(
        (b"HTTP/1.0 400", b"HTTP/1.1 400", b"HTTP/1.1 404", b"HTTP/1.0 404")
    )
    assert ask(web.port, "/healthz").status == 200


def test_too_much_is_cut_off(web: WebServer) -> None:
    big = post(web.port, "/api/record", {"reason": "x" * 20_000})
    assert big.status == 413
    head = b"POST /api/record HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    promised = raw(web.port, head + b"Content-Length: 9999999\r\n\r\n", *[b"a" * 65536] * 20, timeout_s=3.0)
    assert promised == b"" or promised.startswith(b"HTTP/1.1 413")
    before = web.counts()["http_refused"].get("oversized", 0)
    endless = raw(web.port, b"GET /healthz HTTP/1.1\r\n", *[b"X: a\r\n" * 10_000] * 5, timeout_s=3.0)
    assert b"200 OK" not in endless
    wait_until(lambda: web.counts()["http_refused"].get("oversized", 0) > before)
    pipelined = b"GET /api/frequencies HTTP/1.1\r\nHost: localhost\r\n\r\n" * 10_000
    before, begun_s = web.counts()["http_refused"]["oversized"], time.monotonic()
    answered = raw(web.port, pipelined, timeout_s=3.0).count(b"200 OK")
    if web.counts()["http_refused"]["oversized"] > before:
        assert answered < 100
    else:  # so slowly sent, where much else is done, that no more than may be lay unread: it waits as others do
        assert answered < 100 + HttpLimits.requests_hz * (time.monotonic() - begun_s)


def test_who_brings_no_request_in_time_is_cut_off(quick: WebServer) -> None:
    begun_s = time.monotonic()
    assert raw(quick.port, b"GET / HT", timeout_s=60.0) == b""
    assert time.monotonic() - begun_s < 30.0  # it was the server that closed
    slow = [b"GET /healthz HTTP/1.1\r\n"]
    with socket.create_connection(("127.0.0.1", quick.port), timeout=60) as connection:
        connection.sendall(slow[0])
        for _ in range(600):  # a byte now and then does not help
            time.sleep(0.1)
            try:
                connection.sendall(b"X")
            except OSError:
                break
        else:
            pytest.fail("a request may not take for ever")
    assert quick.counts()["http_refused"]["late"] >= 2


def test_an_idle_connection_makes_room_for_another(service: ServiceRig) -> None:
    patient = make_server(service, limits=HttpLimits(connections=6, idle_s=60.0, least_idle_s=0.3))
    idle = [socket.create_connection(("127.0.0.1", patient.port)) for _ in range(6)]
    try:
        assert ask(patient.port, "/healthz").status == 200
        assert patient.counts()["http_refused"]["evicted"] >= 1
        idle[0].settimeout(60.0)
        with contextlib.suppress(ConnectionResetError):
            assert idle[0].recv(1) == b""  # the one that had been idle longest; an abort resets
    finally:
        for connection in idle:
            connection.close()
        patient.close()


def test_a_viewer_who_reads_nothing_is_cut_off_and_the_others_see_on(quick: WebServer) -> None:
    stuck, eager = open_stream(quick.port), open_stream(quick.port)
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    eager.settimeout(60.0)
    assert ask(quick.port, "/live.jpg").status == 503  # two may watch
    assert len(read_parts(eager, 40)) == 40
    wait_until(lambda: quick.counts()["http_refused"].get("stalled", 0) == 1)
    assert len(read_parts(eager, 3)) == 3
    stuck.close()
    eager.close()


# Starting and stopping.


def test_a_port_that_is_taken_is_said_in_a_line(service: ServiceRig, web: WebServer) -> None:
    with pytest.raises(OutputFault, match=f"port {web.port} cannot be listened at"):
        WebServer(HttpSettings(port=web.port), Tokens(), ServiceView(service.board, service.feed))
    with pytest.raises(OutputFault, match="nowhere-at-all"):
        WebServer(
            HttpSettings(host="nowhere-at-all.invalid", port=free_port()),
            Tokens(view="x" * 16),
            ServiceView(service.board, service.feed),
        )


def test_it_stops_at_once_also_with_viewers(service: ServiceRig) -> None:
    server = make_server(service)
    viewers = [open_stream(server.port) for _ in range(4)]
    for viewer in viewers:
        viewer.settimeout(60.0)
        read_parts(viewer, 1)
    begun_s = time.monotonic()
    server.close(30.0)
    assert time.monotonic() - begun_s < 15.0  # though each of them would watch on for an hour
    for viewer in viewers:
        viewer.close()
    wait_until(lambda: service.feed.viewers == 0)
    assert replace(service.board.snapshot(), outputs={}).ready
