"""A real broker for tests, and somebody who listens to it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="needs mosquitto")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


PATIENCE_S = 60.0
"""Nothing here takes a second where a core is free; a machine with too much to do is no fault of what is tested."""


def wait_until(condition: Callable[[], object], timeout_s: float = PATIENCE_S, what: str = "") -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, what or "waited in vain"
        time.sleep(0.02)


class Broker:
    """Mosquitto on a free port of the loopback interface; what it keeps survives a stop."""

    def __init__(self, directory: Path, *lines: str) -> None:
        self.port = free_port()
        self._directory = directory
        self._configuration = directory / "mosquitto.conf"
        self._configuration.write_text(
            "\n".join(
                [
                    "per_listener_settings false", *(lines or ("allow_anonymous true",)),
                    "persistence true", f"persistence_location {directory}/", "max_queued_messages 100000",
                    f"listener {self.port} 127.0.0.1", f"user {_user()}",
                ]
            )
            + "\n"
        )  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def with_tls(self, authority: Path, certificate: Path, key: Path) -> Broker:
        with self._configuration.open("a") as file:
            file.write(f"cafile {authority}\ncertfile {certificate}\nkeyfile {key}\n")
        return self

    def start(self) -> Broker:
        assert MOSQUITTO is not None
        log = (self._directory / "mosquitto.log").open("ab")
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._configuration), "-v"], stdout=log, stderr=log
        )
        wait_until(self._answers, what="mosquitto does not start")
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._directory / "mosquitto.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Listener:
    """Hears everything, also what was said while it was away (a persistent session)."""

    def __init__(self, broker: Broker, *, name: str = "listener", topic: str = "#") -> None:
        self.heard: list[tuple[str, str, bool]] = []
        self._subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
        self._client.on_connect = lambda *_: self._client.subscribe(topic, 1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._hear
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert self._subscribed.wait(PATIENCE_S)

    def hear_the_rest(self) -> None:
        """Wait until all has come that the broker had for us before: it sends in order."""
        mark = f"mark/{time.monotonic_ns()}"
        self._client.subscribe(mark, 1)
        self._client.publish(mark, b"", qos=1)
        wait_until(
            lambda: any(topic == mark for topic, _, _ in self.heard), what="the broker does not answer"
        )

    def _hear(self, _: Client, __: object, message: MQTTMessage) -> None:
        self.heard.append((message.topic, message.payload.decode(), message.retain))

    def of(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(payload) for at, payload, _ in self.heard if at == topic]

    def last(self, topic: str) -> str | None:
        return next((payload for at, payload, _ in reversed(self.heard) if at == topic), None)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def retained(broker: Broker, topic: str = "#") -> dict[str, str]:
    """What the broker keeps, as somebody is told who comes now."""
    listener = Listener(broker, name="newcomer", topic=topic)
    listener.hear_the_rest()
    listener.close()
    return {topic: payload for topic, payload, is_retained in listener.heard if is_retained}


def _user() -> str:
    import getpass

    return getpass.getuser()
