"""Whom the web server must let in: monitors that ask by HEAD, players without a header, pages behind a proxy."""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_rig import ask, raw
from service_rig import ServiceRig
from web_rig import TOKENS, make_server

from tremorscope.runtime.outputs.web.server import WebServer
from tremorscope.runtime.store.reader import StoreReader

VIEW, CONTROL = str(TOKENS.view), str(TOKENS.control)
PICTURES = ["/live.jpg", "/live.mjpeg"]


@pytest.fixture(scope="module")
def open_to_players(service: ServiceRig) -> Iterator[WebServer]:
    server = make_server(service, TOKENS, players_need_no_header=True)
    yield server
    server.close()


@pytest.fixture(scope="module")
def behind_a_proxy(service: ServiceRig) -> Iterator[WebServer]:
    server = make_server(service, TOKENS, base_path="/site/bridge-7")
    yield server
    server.close()


def a_clip(service: ServiceRig) -> Path:
    """One that is listed as saved: other tests leave files beside them."""
    with StoreReader(service.store) as reader:
        return service.clips / next(clip.file for clip in reader.clips() if clip.state == "saved")


def basic(password: str) -> str:
    return f"Basic {base64.b64encode(f'anybody:{password}'.encode()).decode()}"


def test_head_is_answered_wherever_get_is(web: WebServer, service: ServiceRig) -> None:
    clip = a_clip(service).name
    addresses = [
        "/", "/login", "/page/app.js", "/healthz", "/readyz", "/metrics", "/api/state", "/api/live",
        "/api/frequencies", "/api/history", "/api/series.csv", f"/clips/{clip}", *PICTURES,
    ]  # fmt: skip
    for address in addresses:
        head = ask(web.port, address, method="HEAD", timeout_s=10)
        assert (address, head.status, head.body) == (address, 200, b"")
    assert ask(web.port, "/live.mjpeg", method="HEAD").headers["content-type"].startswith("multipart/")
    assert ask(web.port, "/clips/none.mp4", method="HEAD").status == 404
    assert ask(web.port, "/api/record", method="HEAD").status == 405


@pytest.mark.parametrize("address", PICTURES)
def test_players_are_let_in_only_where_that_is_configured(
    guarded: WebServer, open_to_players: WebServer, address: str
) -> None:
    for port, status in ((guarded.port, 401), (open_to_players.port, 200)):
        assert ask(port, f"{address}?token={VIEW}", method="HEAD").status == status
        assert ask(port, address, method="HEAD", Authorization=basic(VIEW)).status == status
        assert ask(port, f"{address}?token={VIEW}x", method="HEAD").status == 401
        assert ask(port, address, method="HEAD", Authorization=basic("wrong")).status == 401
        assert ask(port, address, method="HEAD", Authorization="Basic \xff!").status in (400, 401)
    asked = ask(open_to_players.port, address, method="HEAD").headers["www-authenticate"]
    assert asked == 'Basic realm="tremorscope", Bearer'
    assert ask(guarded.port, address, method="HEAD").headers["www-authenticate"] == "Bearer"


def test_a_player_gets_clips_and_nothing_else(open_to_players: WebServer, service: ServiceRig) -> None:
    port, clip = open_to_players.port, a_clip(service)
    assert ask(port, f"/clips/{clip.name}?token={VIEW}").body == clip.read_bytes()
    for address in ("/api/state", "/metrics", "/api/history"):
        assert ask(port, f"{address}?token={CONTROL}").status == 401
        assert ask(port, address, Authorization=basic(CONTROL)).status == 401


def test_behind_a_proxy_every_address_works_with_its_base_and_without(behind_a_proxy: WebServer) -> None:
    port, base = behind_a_proxy.port, "/site/bridge-7"
    assert ask(port, base).headers["location"] == f"{base}/"
    for front in (base, ""):
        home = ask(port, f"{front}/")
        assert urllib.parse.urljoin(f"{front}/", home.headers["location"]) == f"{front}/login"
        entered = ask(port, f"{front}/?token={VIEW}")
        assert urllib.parse.urljoin(f"{front}/", entered.headers["location"]) == f"{front}/"
        assert f"Path={base};" in f"{entered.headers['set-cookie']};"
        cookie = entered.headers["set-cookie"].partition(";")[0]
        page = ask(port, f"{front}/", Cookie=cookie)
        assert page.status == 200
        assert '="/' not in page.text  # nothing that a proxy would send elsewhere
        assert ask(port, f"{front}/healthz").status in (200, 503)
        assert ask(port, f"{front}/page/app.js").status == 200
        assert ask(port, f"{front}/api/state", Cookie=cookie).status == 200
        assert ask(port, f"{front}/api/state").status == 401


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /api/state HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
        b"GET /api/state HTTP/1.1\r\nHost: localhost\r\nCookie: tremorscope=\xff.\xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b"Content-Length: 7\r\n\r\nrubbish",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data\r\n"
        b"Content-Length: 7\r\n\r\nrubbish",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b"Content-Length: 29\r\n\r\n--x\r\nContent-Length: z\r\n\r\nab\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b"Content-Length: 18\r\n\r\n--x\r\nfoo\xff\xff\r\n\r\nab",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded; charset=none\r\n"
        b"Content-Length: 7\r\n\r\ntoken=x",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: 7\r\n\r\ntoken=\xff",
        *(
            b"POST %b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\nContent-Type: application/%b\r\n%b"
            % (b"/api/acknowledge", CONTROL.encode(), b"json", body)
            for body in (
                b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
                b"Content-Encoding: deflate\r\nContent-Length: 9\r\n\r\n\x1f\x8brubbish",
                b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
                b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}{}{}\r\n0\r\n\r\n",
            )
        ),
    ],
)
def test_what_is_no_text_and_broken_forms_are_refused_without_a_traceback(
    guarded: WebServer, caplog: pytest.LogCaptureFixture, request_bytes: bytes
) -> None:
    answer = raw(guarded.port, request_bytes, timeout_s=3.0)
    assert answer[9:13] == b"400 ", answer[:200]
    assert [record for record in caplog.records if record.exc_info] == []
