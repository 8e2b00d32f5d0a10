"""MQTT where it goes wrong: who refuses, who never answers, who writes over what is ours; each told once an edge."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bridge_publisher import ALARM_TOPIC, board_of_bridge, edge, settings
from mosquitto_rig import Broker, Listener, needs_mosquitto, retained, wait_until

from tremorscope.runtime.health import HealthBoard
from tremorscope.runtime.outputs.metrics import render
from tremorscope.runtime.outputs.mqtt import publisher as mqtt
from tremorscope.runtime.outputs.mqtt import retained as mqtt_retained
from tremorscope.runtime.outputs.mqtt.publisher import MqttPublisher

pytestmark = needs_mosquitto
Publish = Callable[..., MqttPublisher]
CONNECT, SUBSCRIBE, PINGREQ = 1, 8, 12
"""Kinds of packets, MQTT 3.1.1, table 2.1."""
CONNACK, PINGRESP = b"\x20\x02\x00\x00", b"\xd0\x00"


class Deaf:
    """Takes connections and packets, and answers as little as it is told to."""

    def __init__(self, listening: socket.socket, *, connects: bool, cuts_subscribers: bool) -> None:
        self.port = int(listening.getsockname()[1])
        self.kinds: list[list[int]] = []
        """Of the packets of each connection."""
        self._listening, self._connects, self._cuts = listening, connects, cuts_subscribers
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.kinds.append([])
            threading.Thread(target=self._serve, args=(connection, self.kinds[-1]), daemon=True).start()

    def _serve(self, connection: socket.socket, kinds: list[int]) -> None:
        with connection, connection.makefile("rb") as stream:
            while head := stream.read(1):
                size, shift = 0, 0
                while True:
                    byte = stream.read(1)[0]
                    size, shift = size | (byte & 127) << shift, shift + 7
                    if byte < 128:
                        break
                stream.read(size)
                kinds.append(head[0] >> 4)
                if kinds[-1] == CONNECT and self._connects:
                    connection.sendall(CONNACK)
                elif kinds[-1] == PINGREQ:
                    connection.sendall(PINGRESP)
                elif kinds[-1] == SUBSCRIBE and self._cuts:
                    connection.shutdown(socket.SHUT_RDWR)
                    return


@contextmanager
def deaf_broker(*, connects: bool = True, cuts_subscribers: bool = False) -> Iterator[Deaf]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield Deaf(listening, connects=connects, cuts_subscribers=cuts_subscribers)


def standing(board: HealthBoard) -> str:
    return board.snapshot().outputs.get("mqtt", "")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [text for record in caplog.records if "output mqtt" in (text := record.getMessage())]


def test_an_absent_broker_is_told_once_at_each_edge(
    tmp_path: Path, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "tremorscope.outputs")
    broker, board = Broker(tmp_path), board_of_bridge()
    publisher = publish(board, broker.port)
    wait_until(lambda: "no connection" in standing(board))
    for number in range(3):  # the text changes with what waits, the line stands
        publisher.edge(edge(number))
    wait_until(lambda: "3 edges of alarms" in standing(board))
    assert b'output_ok{output="mqtt"} 0.0' in render(board.snapshot, dict)
    broker.start()
    try:
        wait_until(lambda: standing(board) == "")
        assert b'output_ok{output="mqtt"} 1.0' in render(board.snapshot, dict)
        begins, ends = lines(caplog)
        where = f"127.0.0.1:{broker.port}"
        assert begins.startswith(f"output mqtt: broker {where}: no connection (connection refused); 0 edges")
        assert ends == "output mqtt: works again"
    finally:
        broker.stop()


def test_a_login_that_is_refused_is_a_line(
    tmp_path: Path, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    broker, board = Broker(tmp_path, "allow_anonymous false").start(), board_of_bridge()
    try:
        publish(board, broker.port)
        wait_until(lambda: lines(caplog))
        wait_until(lambda: (tmp_path / "mosquitto.log").read_text().count("not authorised") >= 4)
        (line,) = lines(caplog)
        assert "the broker refuses the connection: Not authorized" in line
    finally:
        broker.stop()


def test_a_broker_that_confirms_nothing_is_not_healthy(
    publish: Publish, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mqtt, "_CONFIRM_S", 1.0)
    board = board_of_bridge()
    with deaf_broker() as deaf:
        publish(board, deaf.port).edge(edge(1))
        wait_until(lambda: "takes messages and has confirmed none" in standing(board))
        assert len(lines(caplog)) == 1


def test_a_broker_that_never_answers_is_told(publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "_ANSWER_S", 1.0)
    board = board_of_bridge()
    with deaf_broker(connects=False) as deaf:
        publish(board, deaf.port)
        wait_until(lambda: f"broker 127.0.0.1:{deaf.port}: no answer" in standing(board))


def test_a_broker_that_cuts_subscribers_off_is_not_asked_again(publish: Publish) -> None:
    """Some disconnect a client for a topic that it may not read, where others only refuse."""
    with deaf_broker(cuts_subscribers=True) as deaf:
        publish(board_of_bridge(), deaf.port)
        wait_until(lambda: len(deaf.kinds) == 2 and len(deaf.kinds[1]) > 2)
        assert [SUBSCRIBE in kinds for kinds in deaf.kinds] == [True, False]


def test_two_devices_of_one_name_do_not_push_each_other_out_and_say_so(
    tmp_path: Path, broker: Broker, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt_retained, "_AGAIN_S", 1.0)
    one, two = board_of_bridge(), board_of_bridge()
    listener = Listener(broker)
    publish(one, broker.port)
    wait_until(lambda: listener.last("site/bridge-7/state"))
    second = MqttPublisher(settings(broker.port), board=two, state_directory=tmp_path / "broker")
    second.start()
    told = "somebody else publishes under site/bridge-7/state as well: give each device a name of its own"
    wait_until(lambda: told in standing(one) and told in standing(two))
    second.close(1.0)
    listener.close()
    log = (tmp_path / "broker" / "mosquitto.log").read_text()
    assert log.count("already connected") == 0
    assert (
        len({line.split(" as ")[1].split(" ")[0] for line in log.splitlines() if " as tremorscope-" in line})
        == 2
    )


def test_what_somebody_else_has_written_over_ours_is_said_again(
    broker: Broker, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt_retained, "_AGAIN_S", 0.5)
    board = board_of_bridge()
    publish(board, broker.port)
    entity = "homeassistant/sensor/tremorscope_bridge-7/mode_1/config"
    wait_until(lambda: {ALARM_TOPIC, entity} <= retained(broker, "#").keys())
    before = retained(broker, "#")
    forger = Listener(broker, name="forger")
    forged = {
        "site/bridge-7/status": "offline",
        ALARM_TOPIC: json.dumps({"name": "mid span/RMS", "raised": True}),
        "site/bridge-7/alarm/never_heard_of": json.dumps({"raised": True}),
        "site/bridge-7/state": "",
        entity: "",
        entity.replace("mode_1", "rate"): "{}",
    }
    for topic, payload in forged.items():
        forger._client.publish(topic, payload, 1, retain=True)
    wait_until(lambda: retained(broker, "#") == before)
    wait_until(lambda: "somebody else publishes under homeassistant/sensor/tremorscope_" in standing(board))
    forger.close()


def test_the_last_will_of_a_process_before_does_not_stand(broker: Broker, publish: Publish) -> None:
    """It comes when the broker misses that process, long after the next one has said that it is there."""
    board = board_of_bridge()
    publish(board, broker.port)
    status = "site/bridge-7/status"
    wait_until(lambda: retained(broker, status) == {status: "online"})
    late = Listener(broker, name="before")
    late._client.publish(status, "offline", 1, retain=True)
    wait_until(lambda: late.last(status) == "offline")
    wait_until(lambda: late.last(status) == "online")
    assert retained(broker, status) == {status: "online"}
    assert standing(board) == ""
    late.close()
