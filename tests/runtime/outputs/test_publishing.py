"""All outputs together: started and stopped as one, with secrets from the environment."""

from __future__ import annotations

import http.client
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from bridge_publisher import make_certificates, openssl
from http_rig import ask
from mosquitto_rig import Broker, Listener, free_port, needs_mosquitto, wait_until
from service_rig import RULE, ServiceRig
from support import ROOT
from web_rig import TOKENS

from tremorscope.runtime.errors import OptionFault, OutputFault
from tremorscope.runtime.host.threads import Threads
from tremorscope.runtime.outputs.mqtt.publisher import MqttPublisher
from tremorscope.runtime.outputs.rtsp import RtspPublisher
from tremorscope.runtime.outputs.settings import HttpSettings, OutputSettings
from tremorscope.runtime.outputs.state import ServiceView
from tremorscope.runtime.outputs.web.access import Tokens
from tremorscope.runtime.outputs.web.listener import Listener as Accepting
from tremorscope.runtime.outputs.web.pictures import _Renderer
from tremorscope.runtime.outputs.web.server import WebServer
from tremorscope.runtime.service.publishing import Publishing


def publishing(rig: ServiceRig, directory: Path, **outputs: Any) -> Publishing:
    view = ServiceView(rig.board, rig.feed, rig.store, rig.clips, rig.controls)
    return Publishing(OutputSettings.model_validate(outputs), view, state_directory=directory)


@needs_mosquitto
def test_everything_starts_counts_and_stops(
    service: ServiceRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TREMORSCOPE_WEB_TOKEN", str(TOKENS.view))
    broker = Broker(tmp_path).start()
    nobody, port = free_port(), free_port()
    all_of_it = publishing(
        service, tmp_path, http={"port": port}, mqtt={"host": "127.0.0.1", "port": broker.port},
        rtsp={"url": f"rtsp://127.0.0.1:{nobody}/bridge"},
    )  # fmt: skip
    all_of_it.start()
    listener = Listener(broker)
    try:
        edge = service.edge("raised")
        all_of_it.edge(edge)
        wait_until(lambda: listener.of("tremorscope/bridge-7/edge"))
        assert listener.of("tremorscope/bridge-7/edge")[0]["value"] == edge.value
        assert ask(port, "/metrics").status == 401
        metrics = ask(port, "/metrics", Authorization=f"Bearer {TOKENS.view}").text
        assert 'tremorscope_mqtt_messages_total{reason="edge"}' in metrics
        assert 'tremorscope_rtsp_total{reason="published"} 0.0' in metrics
        wait_until(lambda: service.board.snapshot().outputs["mqtt"] == "")
        wait_until(lambda: "connection refused" in service.board.snapshot().outputs.get("rtsp", ""))
        assert service.board.snapshot().outputs["http"] == ""
    finally:
        service.acknowledge(RULE.name)
        service.edge("cleared")
        begun_s = time.monotonic()
        all_of_it.close(3.0)
        assert time.monotonic() - begun_s < 4.0
        wait_until(lambda: listener.last("tremorscope/bridge-7/status") == "offline")
        listener.close()
        broker.stop()


def outputs_of(rig: ServiceRig) -> Any:
    return rig.board.snapshot().outputs


def test_a_port_that_is_taken_is_taken_over_as_soon_as_it_is_free(
    service: ServiceRig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "tremorscope.outputs")
    port = free_port()
    first = publishing(service, tmp_path, http={"port": port})
    first.start()
    second = publishing(service, tmp_path, http={"port": port})
    second.start()  # raises nothing
    try:
        told = f"outputs.http: 127.0.0.1 port {port} cannot be listened at (address already in use"
        assert outputs_of(service)["http"].startswith(told)
        assert 'tremorscope_output_ok{output="http"} 0.0' in ask(port, "/metrics").text
        first.close()
        wait_until(lambda: outputs_of(service)["http"] == "")
        assert ask(port, "/healthz").status in (200, 503)
    finally:
        first.close()
        second.close()
    lines = [record.getMessage() for record in caplog.records if "output http" in record.getMessage()]
    assert [line.partition(": ")[2][:12] for line in lines] == ["outputs.http", "works again"]


def test_an_address_the_device_has_not_yet_ends_nothing(service: ServiceRig, tmp_path: Path) -> None:
    for host in ("192.0.2.7", "not-there.invalid"):  # reserved by RFC 5737 and RFC 2606
        waiting = publishing(service, tmp_path, http={"host": "127.0.0.1", "port": free_port()})
        # Only a loopback address is served without a token.
        waiting._settings = waiting._settings.model_copy(
            update={"http": HttpSettings(host=host, port=free_port())}
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TREMORSCOPE_WEB_TOKEN", str(TOKENS.view))
            waiting.start()
            wait_until(lambda host=host: host in outputs_of(service).get("http", ""))
        waiting.close()


def test_a_certificate_that_comes_late_is_taken(service: ServiceRig, tmp_path: Path) -> None:
    authority, certificate, key = make_certificates(tmp_path)
    late, port = tmp_path / "late.pem", free_port()
    given = {"port": port, "tls_certificate": str(certificate), "tls_key": str(late)}
    encrypted = publishing(service, tmp_path, http=given)
    encrypted.start()
    try:
        assert outputs_of(service)["http"] == (
            f"outputs.http.tls_key: {late} cannot be read (no such file or directory): "
            "put a PEM file there that the service may read; it is tried again"
        )
        openssl("ec", "-in", key, "-aes128", "-passout", "pass:secret", "-out", late)  # asks nobody
        wait_until(lambda: "cannot be used together" in outputs_of(service)["http"])
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", late)
        late.write_bytes(key.read_bytes())
        wait_until(lambda: outputs_of(service)["http"] == "")
        context = ssl.create_default_context(cafile=authority)
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status in (200, 503)
        connection.close()
    finally:
        encrypted.close()


@needs_mosquitto
def test_edges_wait_for_what_mqtt_needs_to_begin(service: ServiceRig, tmp_path: Path) -> None:
    """First its authority's file is missing, then the directory of its buffer."""
    authority, certificate, key = make_certificates(tmp_path)
    late, state = tmp_path / "late-ca.pem", tmp_path / "late-state"
    (tmp_path / "broker").mkdir()
    broker = Broker(tmp_path / "broker").with_tls(authority, certificate, key).start()
    mqtt = {"host": "127.0.0.1", "port": broker.port, "tls": {"ca_file": str(late)}}
    waiting = publishing(service, state, http={"enabled": False}, mqtt=mqtt)
    waiting.start()
    try:
        assert f"ca_file: {late} cannot be read" in outputs_of(service)["mqtt"]
        edges = [service.edge("raised"), service.edge("cleared")]
        for edge in edges:
            waiting.edge(edge)
        late.write_bytes(authority.read_bytes())
        wait_until(lambda: "cannot be written" in outputs_of(service)["mqtt"])
        state.mkdir()
        wait_until(lambda: waiting.counts().get("mqtt_messages", {}).get("edge") == len(edges))
        wait_until(lambda: outputs_of(service)["mqtt"] == "")
    finally:
        service.acknowledge(RULE.name)
        waiting.close()
        broker.stop()


def test_only_what_can_never_work_is_refused(
    service: ServiceRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exposed = publishing(service, tmp_path, http={"host": "0.0.0.0", "port": free_port()})
    with pytest.raises(OptionFault, match="there is no token"):
        exposed.start()
    monkeypatch.setenv("TREMORSCOPE_MQTT_PASSWORD", "secret")
    nameless = publishing(service, tmp_path, http={"enabled": False}, mqtt={"host": "127.0.0.1"})
    with pytest.raises(OptionFault, match="no username"):
        nameless.start()


def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path) -> None:
    code = f"""
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("aiohttp", "paho", "prometheus_client"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from tremorscope import cli
from tremorscope.runtime.outputs.settings import OutputSettings
from tremorscope.runtime.health import HealthBoard
from tremorscope.runtime.live.feed import LiveFeed
from tremorscope.runtime.outputs.state import ServiceView
from tremorscope.runtime.service.publishing import Publishing
view = ServiceView(HealthBoard(), LiveFeed(width_px=64, height_px=48))
outputs = Publishing(OutputSettings(), view, state_directory=Path({str(tmp_path)!r}))
try:
    outputs.start()
except ModuleNotFoundError as error:
    print(cli._missing_extra(error))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip().endswith("pip install 'tremorscope[service]'"), done.stderr


def test_the_page_is_encrypted_where_there_is_a_certificate(service: ServiceRig, tmp_path: Path) -> None:
    authority, certificate, key = make_certificates(tmp_path)
    given = HttpSettings(tls_certificate=certificate, tls_key=key).model_copy(update={"port": 0})
    server = WebServer(given, TOKENS, ServiceView(service.board, service.feed))
    server.start()
    try:
        context = ssl.create_default_context(cafile=authority)
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=10)
        connection.request("GET", f"/?token={TOKENS.view}")
        answer = connection.getresponse()
        assert (answer.status, "; Secure" in str(answer.headers["Set-Cookie"])) == (303, True)
        connection.close()
        with pytest.raises(OSError, match=r"reset|closed|Remote"):
            ask(server.port, "/healthz", timeout_s=8.0)
    finally:
        server.close()
    with pytest.raises(OutputFault, match="tls_certificate"):
        WebServer(
            HttpSettings(port=free_port(), tls_certificate=tmp_path / "no.pem", tls_key=key),
            Tokens(),
            ServiceView(service.board, service.feed),
        )


def test_a_buffer_that_was_lost_is_told_in_journal_and_metrics(service: ServiceRig, tmp_path: Path) -> None:
    (tmp_path / "mqtt-buffer.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    told: list[tuple[str, str]] = []
    settings = {"http": {"enabled": False}, "mqtt": {"host": "127.0.0.1", "port": free_port()}}
    all_of_it = Publishing(
        OutputSettings.model_validate(settings),
        ServiceView(service.board, service.feed),
        state_directory=tmp_path,
        notice=lambda topic, text: told.append((topic, text)),
    )
    all_of_it.start()
    try:
        wait_until(lambda: told)
        assert all_of_it.counts()["mqtt_drops"] == {"summary": 0, "edge": 0, "unknown": 1}
        assert [(topic, "how many messages is not known" in text) for topic, text in told] == [("mqtt", True)]
    finally:
        all_of_it.close(1.0)


@needs_mosquitto
def test_outputs_that_a_mistake_ends_begin_again_and_it_is_told(
    service: ServiceRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each thread of an output fails once, in the midst of its work."""
    failed: dict[str, bool] = {}

    def fail_once(owner: Any, method: str) -> None:
        whole = getattr(owner, method)

        def failing(*args: Any, **more: Any) -> Any:
            if not failed.setdefault(method, False):
                failed[method] = True
                raise ValueError(f"a mistake in {method}")
            return whole(*args, **more)

        monkeypatch.setattr(owner, method, failing)

    fail_once(Accepting, "run")
    fail_once(_Renderer, "render")
    fail_once(MqttPublisher, "_update")
    fail_once(RtspPublisher, "_connection")
    broker, port = Broker(tmp_path).start(), free_port()
    threads = Threads(pauses_s=(0.05, 0.1))
    outputs = OutputSettings.model_validate(
        {
            "http": {"port": port},
            "mqtt": {"host": "127.0.0.1", "port": broker.port},
            "rtsp": {"url": f"rtsp://127.0.0.1:{free_port()}/bridge"},
        }
    )
    all_of_it = Publishing(
        outputs, ServiceView(service.board, service.feed), state_directory=tmp_path, threads=threads
    )
    all_of_it.start()
    try:
        wait_until(lambda: set(threads.failures) >= {"http", "mqtt", "rtsp"})
        wait_until(lambda: service.board.snapshot().outputs.get("http") == "")
        assert ask(port, "/healthz").status in (200, 503)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/live.mjpeg?view=magnified")
        assert b"image/jpeg" in connection.getresponse().read(4000)
        connection.close()
        wait_until(lambda: service.board.snapshot().outputs.get("mqtt") == "")
        wait_until(lambda: "connection refused" in service.board.snapshot().outputs.get("rtsp", ""))
        assert threads.failures == {"http": 1, "mqtt": 1, "rtsp": 1, "live pictures": 1}
        assert not threads.stopping
    finally:
        all_of_it.close(3.0)
        broker.stop()
