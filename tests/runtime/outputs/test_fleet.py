"""The example of a fleet: dashboard and alerts ask for what is published, the broker keeps devices apart."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from bridge_publisher import board_of_bridge, edge, make_certificates, settings
from http_rig import ask
from mosquitto_rig import MOSQUITTO, PATIENCE_S, free_port, needs_mosquitto, wait_until
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from prometheus_client.parser import text_string_to_metric_families
from support import ROOT
from test_metrics import FULL
from web_rig import TOKENS

from tremorscope.runtime.outputs.metrics import render
from tremorscope.runtime.outputs.mqtt.messages import slug
from tremorscope.runtime.outputs.mqtt.publisher import MqttPublisher
from tremorscope.runtime.outputs.web.server import WebServer

FLEET = ROOT / "configs" / "fleet"
DASHBOARD = json.loads((FLEET / "grafana-dashboard.json").read_text())
RULES = yaml.safe_load((FLEET / "prometheus-alerts.yml").read_text())["groups"][0]["rules"]
PROMETHEUS = shutil.which("prometheus")
needs_prometheus = pytest.mark.skipif(PROMETHEUS is None, reason="needs prometheus")


def queries() -> list[tuple[str, str]]:
    """What the panels ask, with Grafana's variables filled in."""
    return [
        (panel["title"], target["expr"].replace("$instance", ".*").replace("$__rate_interval", "4s"))
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", [])
    ]


def published() -> set[str]:
    counts = {"http_refused": {"late": 1}, "http_responses": {"2xx": 1}}
    families = text_string_to_metric_families(render(lambda: FULL, lambda: counts).decode())
    return {sample.name for family in families for sample in family.samples}


@pytest.mark.parametrize(
    "expression", [expression for _, expression in queries()] + [rule["expr"] for rule in RULES]
)
def test_only_what_is_published_is_asked_for(expression: str) -> None:
    asked = set(re.findall(r"\btremorscope_\w+", expression))
    assert asked or expression.startswith("up{")
    assert asked <= published()


def test_every_panel_of_the_dashboard_is_whole() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 15
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        if panel["type"] != "row":
            assert panel["targets"]
    labels = {label for _, query in queries() for label in re.findall(r"(\w+)=~?\"", query)}
    assert labels <= {"instance", "quantile"}


@needs_prometheus
def test_the_rules_and_the_configuration_are_sound(tmp_path: Path) -> None:
    text = (FLEET / "prometheus.yml").read_text()
    (tmp_path / "token").write_text("x")
    (tmp_path / "prometheus.yml").write_text(
        text.replace("/etc/prometheus/tremorscope-token", str(tmp_path / "token"))
    )
    shutil.copy(FLEET / "prometheus-alerts.yml", tmp_path)
    done = subprocess.run(
        ["promtool", "check", "config", str(tmp_path / "prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(RULES)} rules found" in done.stdout


@pytest.fixture
def prometheus(tmp_path: Path, guarded: WebServer) -> Iterator[int]:
    """A Prometheus with the example's configuration that asks a service in miniature once a second."""
    assert PROMETHEUS is not None
    port = free_port()
    (tmp_path / "token").write_text(f"{TOKENS.view}\n")
    shutil.copy(FLEET / "prometheus-alerts.yml", tmp_path)
    text = (FLEET / "prometheus.yml").read_text().replace("15s", "1s")
    text = text.replace("/etc/prometheus/tremorscope-token", str(tmp_path / "token"))
    text = text.replace("bridge-7.example.net:8080", f"localhost:{guarded.port}")
    text = text.replace("          - mast-2.example.net:8080\n", "")
    (tmp_path / "prometheus.yml").write_text(text)
    process = subprocess.Popen(
        [
            PROMETHEUS, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL, stderr=(tmp_path / "log").open("wb"),
    )  # fmt: skip
    yield port
    process.terminate()
    process.wait(10)


def result_of(port: int, expression: str) -> list[Any]:
    answer = ask(port, f"/api/v1/query?{urlencode({'query': expression})}").json
    assert answer["status"] == "success", answer
    return list(answer["data"]["result"])


@needs_prometheus
def test_a_real_prometheus_answers_every_panel_and_every_rule(prometheus: int) -> None:
    def is_up() -> bool:
        try:
            return bool(result_of(prometheus, "min_over_time(up[4s]) == 1 and count_over_time(up[10s]) > 3"))
        except (OSError, ValueError):  # it is starting
            return False

    wait_until(is_up, what="Prometheus does not reach the service")
    empty = [title for title, expression in queries() if not result_of(prometheus, expression)]
    assert empty == []
    groups = ask(prometheus, "/api/v1/rules").json["data"]["groups"]
    health = {rule["name"]: rule["health"] for rule in groups[0]["rules"]}
    assert set(health.values()) == {"ok"}, health
    firing = {rule["name"] for rule in groups[0]["rules"] if rule["state"] != "inactive"}
    assert not firing & {"DeviceSilent", "FramesStopped", "NothingStored", "DiskNearlyFull", "DeviceHot"}


def fires(tmp_path: Path, alert: str, after: str, **series: str) -> bool:
    """Whether an alert fires, as Prometheus' own tool judges, after a time of these series, one value a minute."""
    shutil.copy(FLEET / "prometheus-alerts.yml", tmp_path)
    given = [{"series": f"tremorscope_{name}", "values": values} for name, values in series.items()]
    wanted = {"eval_time": after, "alertname": alert, "exp_alerts": []}
    test = {"interval": "1m", "input_series": given, "alert_rule_test": [wanted]}
    (tmp_path / "test.yml").write_text(
        yaml.safe_dump({"rule_files": ["prometheus-alerts.yml"], "tests": [test]})
    )
    done = subprocess.run(
        ["promtool", "test", "rules", tmp_path / "test.yml"], capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) is ("got:" not in done.stdout + done.stderr), done.stdout + done.stderr
    return done.returncode != 0


@needs_prometheus
@pytest.mark.parametrize(
    ("alert", "after", "series", "expected"),
    [
        ("SupplyTooWeak", "10m", {'limit_events_total{limit="oc1"}': "0x5 1x5"}, True),
        ("SupplyTooWeak", "90m", {'limit_events_total{limit="oc1"}': "0x5 1x200"}, False),  # long over
        ("SupplyTooWeak", "10m", {'limit_events_total{limit="oc3"}': "0x5 900x5"}, False),  # harmless peaks
        (
            "FanStandsStill",
            "11m",
            {'fan_duty_ratio{fan="f"}': "0.5x20", 'fan_speed_rpm{fan="f"}': "0x20"},
            True,
        ),
        (
            "FanStandsStill",
            "9m",
            {'fan_duty_ratio{fan="f"}': "0.5x20", 'fan_speed_rpm{fan="f"}': "0x20"},
            False,
        ),
        (
            "FanStandsStill",
            "11m",
            {'fan_duty_ratio{fan="f"}': "0x20", 'fan_speed_rpm{fan="f"}': "0x20"},
            False,
        ),
        ("FanStandsStill", "11m", {'fan_duty_ratio{fan="f"}': "0.5x20"}, False),  # has no tachometer
        ("MemoryNearlyFull", "31m", {"memory_used_bytes": "77e8x40", "memory_total_bytes": "80e8x40"}, True),
        ("MemoryNearlyFull", "31m", {"memory_used_bytes": "75e8x40", "memory_total_bytes": "80e8x40"}, False),
    ],
)
def test_alerts_about_the_device_fire_when_they_should(
    tmp_path: Path, alert: str, after: str, series: dict[str, str], expected: bool
) -> None:
    assert fires(tmp_path, alert, after, **series) is expected


@needs_mosquitto
def test_the_broker_lets_a_device_write_under_its_own_name_alone(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    passwords, acl = tmp_path / "fleet.passwords", tmp_path / "fleet.acl"
    passwords.touch(mode=0o600)
    acl.write_text((FLEET / "mosquitto.acl").read_text())
    acl.chmod(0o600)
    for user in ("bridge-7", "mast-2", "fleet"):
        subprocess.run(
            ["mosquitto_passwd", "-b", passwords, user, f"{user} secret"], check=True, capture_output=True
        )
    port = free_port()
    text = (FLEET / "mosquitto.conf").read_text()
    text = text.replace("/etc/mosquitto/fleet/", f"{tmp_path}/").replace("/etc/mosquitto/", f"{tmp_path}/")
    text = text.replace("listener 8883", f"listener {port} 127.0.0.1")
    (tmp_path / "mosquitto.conf").write_text(f"{text}\nuser {tmp_path.owner()}\n")
    assert MOSQUITTO is not None
    broker = subprocess.Popen([MOSQUITTO, "-c", str(tmp_path / "mosquitto.conf")], stderr=subprocess.DEVNULL)
    heard: list[tuple[str, str]] = []
    listens = threading.Event()
    looker = Client(CallbackAPIVersion.VERSION2)
    looker.username_pw_set("fleet", "fleet secret")
    looker.tls_set(str(tmp_path / "ca.pem"))
    looker.on_connect = lambda *_: looker.subscribe("tremorscope/#", 1)
    looker.on_subscribe = lambda *_: listens.set()
    looker.reconnect_delay_set(1, 1)
    looker.on_message = lambda _, __, message: heard.append((message.topic, message.payload.decode()))
    intruder = Client(CallbackAPIVersion.VERSION2)
    intruder.username_pw_set("mast-2", "mast-2 secret")
    intruder.tls_set(str(tmp_path / "ca.pem"))
    tls = {"ca_file": str(tmp_path / "ca.pem")}
    own = settings(port, topic="tremorscope", username="bridge-7", tls=tls)
    publisher = MqttPublisher(
        own, board=board_of_bridge(), state_directory=tmp_path, password="bridge-7 secret"
    )
    try:
        looker.connect_async("127.0.0.1", port)
        looker.loop_start()
        assert listens.wait(PATIENCE_S)  # edges are not retained: who comes later does not hear them
        publisher.start()
        publisher.edge(edge(1))
        wait_until(lambda: any(topic == "tremorscope/bridge-7/edge" for topic, _ in heard))
        wait_until(lambda: ("tremorscope/bridge-7/status", "online") in heard)
        intruder.connect("127.0.0.1", port)
        intruder.loop_start()
        intruder.publish("tremorscope/bridge-7/edge", "forged", 1).wait_for_publish(5.0)
        intruder.publish("tremorscope/mast-2/edge", "own", 1).wait_for_publish(5.0)
        wait_until(lambda: ("tremorscope/mast-2/edge", "own") in heard)
        time.sleep(0.2)
        assert not [
            text for topic, text in heard if topic == "tremorscope/bridge-7/edge" and text == "forged"
        ]
    finally:
        publisher.close(0.5)
        for client in (looker, intruder):
            client.disconnect()
            client.loop_stop()
        broker.terminate()
        broker.wait(10)


def test_the_users_name_in_the_example_is_the_topic() -> None:
    assert slug("bridge-7") == "bridge-7"
    assert "tremorscope/%u/#" in (FLEET / "mosquitto.acl").read_text()


def test_the_play_calls_what_a_box_has() -> None:
    (play,) = yaml.safe_load((FLEET / "ansible/site.yml").read_text())
    text = (FLEET / "ansible/site.yml").read_text()
    assert (play["serial"], play["force_handlers"]) == (1, True)
    handlers = {handler["name"] for handler in play["handlers"]}
    assert {task["notify"] for task in play["tasks"] if "notify" in task} == handlers
    library = (ROOT / "systemd/lib.sh").read_text()
    assert {
        found for found in re.findall(r"/usr/local/bin/\w+", text) if f"={found}\n" not in library
    } == set()
    script = ROOT / "systemd" / re.findall(r"current/systemd/(\S+) set", text)[0]
    (unchanged,) = re.findall(r"changed_when: \"'(.*)' not in secret.stderr", text)
    assert f"$1 {unchanged}" in script.read_text()
    inventory = yaml.safe_load((FLEET / "ansible/inventory.yml").read_text())["boxes"]
    assert inventory["hosts"]
    page = (ROOT / "docs/fleet.md").read_text()
    assert all(f"boxes/{name}.yaml" in page for name in inventory["hosts"])
    assert yaml.safe_load(page[page.index("    credentials:\n") :].split("\n\n")[0])["credentials"].keys() == {
        "mqtt-password", "web-token",
    }  # fmt: skip


def test_an_image_keeps_engines_and_no_secret(tmp_path: Path) -> None:
    """The page's `credential.sh`, `find` and `truncate --size 0` on a tree of files; by root, as the first asks."""
    if os.geteuid() != 0:
        pytest.skip("needs root, who alone may give files to others")
    credential = ROOT / "systemd/credential.sh"
    state, keys = tmp_path / "var/lib/tremorscope", tmp_path / "etc/ssh"
    for name in ("main/tremorscope.db", "recovery.json", "engines/realtime/pairwise.plan", ".hidden"):
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).touch()
    keys.mkdir(parents=True)
    for name in ("ssh_host_rsa_key", "ssh_host_rsa_key.pub", "sshd_config"):
        (keys / name).touch()
    for name in ("web-token", "mqtt-password"):
        subprocess.run([credential, "--root", tmp_path, "set", name], input=b"x" * 32, check=True)
    page = (ROOT / "docs/fleet.md").read_text()
    block = page[page.index("    sudo systemctl stop") :].split("\n\n")[0]
    # The user's own shell expands a pattern before sudo, and sees nothing in folders that only root may read.
    assert not re.search(r"\*", re.sub(r"'[^']*'", "", block))
    block = block.replace("/opt/tremorscope/current/systemd/credential.sh", f"{credential} --root {tmp_path}")
    block = re.sub(r"(?<=[ '])/(var|etc)/", rf"{tmp_path}/\1/", block)
    done = subprocess.run(
        ["bash", "-ec", f'systemctl() {{ :; }}; sudo() {{ "$@"; }}\n{block}'],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {
        "etc/machine-id", "etc/ssh/sshd_config", "var/lib/tremorscope/engines/realtime/pairwise.plan",
    }  # fmt: skip
