"""MQTT with a real Mosquitto: outages, replay, last will, what is kept, discovery, passwords and TLS."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jinja2
import pytest
from bridge_publisher import ALARM_TOPIC, RULE, board_of_bridge, edge, make_certificates, settings
from mosquitto_rig import Broker, Listener, free_port, needs_mosquitto, retained, wait_until
from support import ROOT

from tremorscope.runtime.errors import OptionFault, OutputFault
from tremorscope.runtime.health import DeviceHealth
from tremorscope.runtime.outputs.mqtt.messages import slug
from tremorscope.runtime.outputs.mqtt.publisher import MqttPublisher
from tremorscope.runtime.telemetry import EngineReading, Reading
from tremorscope.runtime.vibration.monitoring.alarms import AlarmStatus

pytestmark = needs_mosquitto


def test_who_comes_later_is_told_how_everything_stands(
    broker: Broker, publish: Callable[..., MqttPublisher]
) -> None:
    publish(board_of_bridge(), broker.port)
    wait_until(lambda: ALARM_TOPIC in retained(broker, "site/#"))
    kept = retained(broker, "site/#")
    assert kept["site/bridge-7/status"] == "online"
    state = json.loads(kept["site/bridge-7/state"])
    assert state["ok"] is True
    assert state["regions"][slug("mid span")] == {
        "name": "mid span", "rms_px": 0.08, "peak_px": None, "rms_mm": 0.2, "peak_mm": None, "frequencies_hz": [],
        "velocity_rms_px_s": None, "velocity_rms_mm_s": None, "acceleration_rms_px_s2": None,
        "acceleration_rms_m_s2": None, "rms_sigma_mm": 0.002,
            "peak_sigma_mm": None, "velocity_noise_px_s": None, "velocity_noise_mm_s": None,
            "velocity_noise_sigma_mm_s": None, "acceleration_noise_px_s2": None, "acceleration_noise_m_s2": None,
            "acceleration_noise_sigma_m_s2": None, "velocity_rms_sigma_mm_s": None, "acceleration_rms_sigma_m_s2": None,
    }  # fmt: skip
    assert state["modes_hz"] == {"1": 2.1}
    alarm = json.loads(kept[ALARM_TOPIC])
    assert (alarm["raised"], alarm["name"]) == (False, "mid span/RMS")
    assert "site/bridge-7/summary" not in kept  # a report, not a state


def test_both_edges_of_an_alarm_are_told_at_once_and_its_state_follows(
    broker: Broker, publish: Callable[..., MqttPublisher]
) -> None:
    board = board_of_bridge()
    publisher = publish(board, broker.port)
    listener = Listener(broker)
    board.update(alarms=(AlarmStatus(RULE, "raised", 0.25, 1_795_000_000.0, None, None),))
    publisher.edge(edge(1, "raised"))
    wait_until(lambda: listener.of("site/bridge-7/edge"))
    board.update(alarms=(AlarmStatus(RULE, "normal", 0.1, 1_795_000_000.0, 1_795_000_009.0, None),))
    publisher.edge(edge(1, "cleared"))
    wait_until(lambda: len(listener.of("site/bridge-7/edge")) == 2)
    first, second = listener.of("site/bridge-7/edge")
    assert (first["edge"], second["edge"]) == ("raised", "cleared")
    assert first["id"] < second["id"]
    assert first["time"] == "2026-11-18T11:06:41.000Z"  # 1795000001
    assert (first["value"], first["threshold"], first["unit"]) == (0.25, 0.2, "mm")
    wait_until(lambda: (listener.of(ALARM_TOPIC) or [{}])[-1].get("acknowledged_s"))
    assert [each["raised"] for each in listener.of(ALARM_TOPIC)][-1] is False
    wait_until(lambda: publisher.counts()["mqtt_messages"]["edge"] == 2)
    listener.close()


def test_frames_that_stop_are_told_at_once_not_with_the_next_summary(
    broker: Broker, publish: Callable[..., MqttPublisher]
) -> None:
    now_s = [100.0]
    publish(board_of_bridge(clock=lambda: now_s[0]), broker.port, summary_every_s=3600.0)
    listener = Listener(broker)
    wait_until(lambda: listener.of("site/bridge-7/state"))
    now_s[0] += 30
    wait_until(lambda: listener.of("site/bridge-7/state")[-1]["ok"] is False)
    assert listener.of("site/bridge-7/state")[-1]["verdict"].startswith("no frame for 30.0 s")
    wait_until(lambda: listener.of("site/bridge-7/summary"))
    assert len(listener.of("site/bridge-7/summary")) == 1
    listener.close()


def test_an_outage_is_replayed_in_order_without_loss_or_repetition(
    broker: Broker, publish: Callable[..., MqttPublisher]
) -> None:
    board = board_of_bridge()
    publisher = publish(board, broker.port, summary_every_s=0.1)
    listener = Listener(broker)  # its session waits in the broker
    wait_until(lambda: listener.of("site/bridge-7/summary"))
    broker.stop()
    for number in range(300):
        publisher.edge(edge(number))
    wait_until(lambda: "300 edges of alarms and" in board.snapshot().outputs["mqtt"])
    assert (
        "connection lost" in board.snapshot().outputs["mqtt"]
        or "no connection" in board.snapshot().outputs["mqtt"]
    )
    wait_until(lambda: publisher._buffer.waiting().get("summary", 0) >= 2)
    broker.start()
    wait_until(lambda: len(listener.of("site/bridge-7/edge")) >= 300)
    wait_until(lambda: board.snapshot().outputs["mqtt"] == "")
    reports = [
        json.loads(payload)["id"]
        for topic, payload, _ in listener.heard
        if topic in ("site/bridge-7/edge", "site/bridge-7/summary")
    ]
    # What was on its way when the broker went may come twice, never out of order.
    first_times = list(dict.fromkeys(reports))
    assert len(reports) - len(first_times) <= 40
    assert first_times == list(range(first_times[0], first_times[0] + len(first_times)))
    names = list(dict.fromkeys(each["name"] for each in listener.of("site/bridge-7/edge")))
    assert names == [f"alarm {n}" for n in range(300)]
    wait_until(lambda: publisher._buffer.waiting() == {})
    listener.close()


def test_what_was_not_sent_outlives_the_process(
    tmp_path: Path, broker: Broker, publish: Callable[..., MqttPublisher]
) -> None:
    nobody = free_port()
    before = MqttPublisher(settings(nobody), board=board_of_bridge(), state_directory=tmp_path)
    before.start()
    for number in range(25):
        before.edge(edge(number))
    wait_until(lambda: before._buffer.waiting().get("edge") == 25)  # on the disk
    before.close(30.0)
    listener = Listener(broker)
    publish(board_of_bridge(), broker.port)
    wait_until(lambda: len(listener.of("site/bridge-7/edge")) >= 25)
    names = [each["name"] for each in listener.of("site/bridge-7/edge")]
    assert list(dict.fromkeys(names)) == [f"alarm {n}" for n in range(25)]
    listener.close()


CRASHING = """
import sys, time
sys.path[:0] = [{root!r}, {here!r}]
from pathlib import Path
from bridge_publisher import board_of_bridge, settings, MqttPublisher
publisher = MqttPublisher(settings({port}), board=board_of_bridge(), state_directory=Path({directory!r}))
publisher.start()
time.sleep(600)
"""


def test_the_broker_tells_that_we_are_gone_when_we_cannot(tmp_path: Path, broker: Broker) -> None:
    listener = Listener(broker)
    code = CRASHING.format(
        root=str(ROOT), here=str(Path(__file__).parents[1]), port=broker.port, directory=str(tmp_path)
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    try:
        wait_until(lambda: listener.last("site/bridge-7/status") == "online")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_until(lambda: listener.last("site/bridge-7/status") == "offline")
    assert retained(broker, "site/bridge-7/status") == {"site/bridge-7/status": "offline"}
    listener.close()


def test_a_clean_stop_says_goodbye(tmp_path: Path, broker: Broker) -> None:
    publisher = MqttPublisher(settings(broker.port), board=board_of_bridge(), state_directory=tmp_path)
    publisher.start()
    wait_until(lambda: retained(broker, "site/bridge-7/status").get("site/bridge-7/status") == "online")
    begun_s = time.monotonic()
    publisher.close(30.0)
    assert time.monotonic() - begun_s < 30.0
    assert retained(broker, "site/bridge-7/status") == {"site/bridge-7/status": "offline"}


def test_home_assistant_is_told_what_there_is_and_what_is_no_more(
    broker: Broker, publish: Callable[..., MqttPublisher]
) -> None:
    board = board_of_bridge()
    publish(board, broker.port, summary_every_s=20.0)
    prefix = "homeassistant/sensor/tremorscope_bridge-7"
    wait_until(lambda: f"{prefix}/disk_free/config" in retained(broker, "homeassistant/#"))
    kept = {topic: json.loads(text) for topic, text in retained(broker, "homeassistant/#").items()}
    rms = kept[f"{prefix}/rms_{slug('mid span')}/config"]
    assert (rms["unit_of_measurement"], rms["state_class"], rms["expire_after"]) == ("mm", "measurement", 60)
    assert rms["value_template"] == f"{{{{ value_json.regions['{slug('mid span')}'].rms_mm }}}}"
    assert rms["state_topic"] == "site/bridge-7/state"
    assert kept[f"{prefix}/rms_pier/config"]["unit_of_measurement"] == "px"
    assert kept[f"{prefix}/mode_1/config"]["device_class"] == "frequency"
    alarm = kept[f"homeassistant/binary_sensor/tremorscope_bridge-7/alarm_{slug(RULE.name)}/config"]
    assert (alarm["device_class"], alarm["state_topic"]) == ("problem", ALARM_TOPIC)
    for entity in kept.values():
        assert entity["availability_topic"] == "site/bridge-7/status"
        assert entity["device"]["identifiers"] == ["tremorscope_bridge-7"]
    assert len({entity["unique_id"] for entity in kept.values()}) == len(kept)

    board.update(alarms=(), modes=())
    wait_until(lambda: not any("/alarm_" in topic for topic in retained(broker, "homeassistant/#")))
    time.sleep(2.2)  # the publisher hears its own withdrawal, and must not take it for somebody else's
    assert not any("/alarm_" in topic for topic in retained(broker, "homeassistant/#"))
    assert f"{prefix}/mode_1/config" in retained(broker, "homeassistant/#")  # modes come back


def test_what_the_device_measures_is_in_every_summary_and_known_to_home_assistant(
    broker: Broker, publish: Callable[..., MqttPublisher]
) -> None:
    board, prefix = board_of_bridge(), "homeassistant/sensor/tremorscope_bridge-7"
    reading = Reading(
        source="jtop", power_w=8.2, power_of="VDD_IN", rails_w={"VDD_SOC": 2.2}, gpu_load_ratio=0.1 + 0.2,
        fan_speed_rpm={"pwmfan": 0.0}, engines={"NVENC": EngineReading(None, 115.2e6)}, jetson_clocks=False,
    )  # fmt: skip
    board.update(device=DeviceHealth(throttled=("cpufreq-cpu0",), reading=reading))
    publish(board, broker.port, summary_every_s=0.2)
    wait_until(lambda: f"{prefix}/device_power_w/config" in retained(broker, "homeassistant/#"))
    state = json.loads(retained(broker, "site/#")["site/bridge-7/state"])
    assert state["throttled"] == ["cpufreq-cpu0"]
    assert state["device"] == {
        "source": "jtop", "power_w": 8.2, "power_of": "VDD_IN", "rails_w": {"VDD_SOC": 2.2}, "gpu_load_ratio": 0.3,
        "fan_speed_rpm": {"pwmfan": 0.0}, "engines": {"NVENC": {"active": None, "frequency_hz": 115.2e6}},
        "jetson_clocks": False,
    }  # fmt: skip
    kept = retained(broker, "homeassistant/#")
    power = json.loads(kept[f"{prefix}/device_power_w/config"])
    assert (power["unit_of_measurement"], power["device_class"]) == ("W", "power")
    assert f"{prefix}/device_cpu_load_ratio/config" not in kept  # it is not measured
    render = jinja2.Environment().from_string
    load = render(json.loads(kept[f"{prefix}/device_gpu_load_ratio/config"])["value_template"])
    assert load.render(value_json=state) == "30.0"
    assert load.render(value_json={"device": {}}) == "None"  # which Home Assistant calls unknown

    board.update(device=DeviceHealth())
    wait_until(lambda: json.loads(retained(broker, "site/#")["site/bridge-7/state"])["device"] == {})
    assert f"{prefix}/device_power_w/config" in retained(broker, "homeassistant/#")  # it comes back


def test_a_wrong_password_is_said_and_the_right_one_lets_in(
    tmp_path: Path, publish: Callable[..., MqttPublisher]
) -> None:
    directory = tmp_path / "guarded"
    directory.mkdir()
    passwords = directory / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run(
        ["mosquitto_passwd", "-b", str(passwords), "bridge", "right and long"],
        check=True,
        capture_output=True,
    )
    broker = Broker(directory, "allow_anonymous false", f"password_file {passwords}").start()
    try:
        wrong = board_of_bridge()
        publish(wrong, broker.port, "wrong", username="bridge")
        wait_until(
            lambda: "refuses the connection: Not authorized" in wrong.snapshot().outputs.get("mqtt", "")
        )
        (tmp_path / "mqtt-buffer.db").unlink()
        right = board_of_bridge()
        publish(right, broker.port, "right and long", username="bridge")
        wait_until(lambda: right.snapshot().outputs.get("mqtt") == "")
    finally:
        broker.stop()


def test_the_broker_is_checked_by_its_certificate(
    tmp_path: Path, publish: Callable[..., MqttPublisher]
) -> None:
    directory = tmp_path / "tls"
    directory.mkdir()
    authority, certificate, key = make_certificates(directory)
    broker = Broker(directory).with_tls(authority, certificate, key).start()
    try:
        stranger = board_of_bridge()
        publish(stranger, broker.port, tls={})  # the system's authorities do not know it
        trusted = board_of_bridge()
        wait_until(lambda: "no connection" in stranger.snapshot().outputs.get("mqtt", ""))
        (tmp_path / "mqtt-buffer.db").unlink()
        publish(trusted, broker.port, tls={"ca_file": str(authority)})
        wait_until(lambda: trusted.snapshot().outputs.get("mqtt") == "")
    finally:
        broker.stop()


def test_names_become_levels_of_topics_that_stay_apart() -> None:
    names = ["mid span", "mid_span", "mid/span", "mid+span", "mid#span", "Brücke", "bridge-7"]
    levels = [slug(name) for name in names]
    assert len(set(levels)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", level) for level in levels)
    assert slug("bridge-7") == "bridge-7"


def test_what_can_never_work_is_refused_at_the_start(tmp_path: Path) -> None:
    board = board_of_bridge()
    with pytest.raises(OptionFault, match="no username"):
        MqttPublisher(settings(1883), board=board, state_directory=tmp_path, password="secret")
    with pytest.raises(OutputFault, match=r"outputs\.mqtt\.tls\.ca_file: .*none\.pem cannot be read"):
        MqttPublisher(
            settings(8883, tls={"ca_file": str(tmp_path / "none.pem")}), board=board, state_directory=tmp_path
        )
