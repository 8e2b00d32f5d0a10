"""A broker and paho's client to it, stepped by a simulation: at least once, in order, retained topics kept."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from paho.mqtt.enums import MQTTErrorCode

OK, LOST = type("Reason", (), {"is_failure": False}), type("Reason", (), {"is_failure": True})


@dataclass
class Broker:
    """What has arrived."""

    retained: dict[str, str] = field(default_factory=dict)
    arrived: set[tuple[str, str, float]] = field(default_factory=set)
    """Alarm, edge and its time."""
    is_up: bool = True
    confirms: bool = True

    def take(self, topic: str, payload: str, retain: bool) -> None:
        if retain:
            self.retained[topic] = payload
            return
        if topic.endswith("/edge"):
            told: dict[str, Any] = json.loads(payload)
            self.arrived.add((told["name"], told["edge"], round(told["time_s"], 3)))


class Client:
    """As paho's: queues while it is not connected, and sends again what was not confirmed.

    paho-mqtt 2, ``Client.publish``: with quality of service 1 a message that cannot be sent is kept, the result is
    MQTT_ERR_NO_CONN, and ``_messages_reconnect_reset_out`` sends all that are not confirmed after a reconnection.
    """

    def __init__(self, broker: Broker, clock: Callable[[], float]) -> None:
        self._broker, self._clock = broker, clock
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[str, str, bool]] = {}
        self._sent_s: dict[int, float] = {}
        self.is_connected = False
        self._runs = False
        self.subscribed: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("on_"):
            raise AttributeError(name)
        return lambda *_, **__: None

    @property
    def longest_wait_s(self) -> float:
        """Time for which the oldest message that is not retained has waited for its confirmation."""
        return self._clock() - min(self._sent_s.values(), default=self._clock())

    def loop_start(self) -> None:
        self._runs = True

    def loop_stop(self) -> None:
        self._runs = False

    def disconnect(self) -> None:
        self.is_connected = self._runs = False

    def subscribe(self, topics: list[tuple[str, int]]) -> None:
        self.subscribed = [topic for topic, _ in topics]

    def publish(self, topic: str, payload: str, qos: int = 0, retain: bool = False) -> Any:
        assert qos == 1
        number = next(self._numbers)
        self._waiting[number] = (topic, payload, retain)
        if not retain:
            self._sent_s[number] = self._clock()
        rc = MQTTErrorCode.MQTT_ERR_SUCCESS if self.is_connected else MQTTErrorCode.MQTT_ERR_NO_CONN
        if self.is_connected:
            self._broker.take(topic, payload, retain)
        wait = lambda *_: None  # noqa: E731
        return type("Info", (), {"rc": rc, "mid": number, "wait_for_publish": staticmethod(wait)})

    def step(self) -> bool:
        """Do what paho's thread would do meanwhile; True if the broker has confirmed anything."""
        if not self._runs:
            return False
        if self._broker.is_up and not self.is_connected:
            self.is_connected = True
            for sent in self._waiting.values():
                self._broker.take(*sent)
            self.on_connect(self, None, None, OK, None)
            self.on_subscribe()
        elif not self._broker.is_up and self.is_connected:
            self.is_connected = False
            self.on_disconnect(self, None, None, LOST, None)
        elif not self._broker.is_up:
            self.on_connect_fail(self, None)
        if self.is_connected and self._broker.confirms:
            confirmed = list(self._waiting)
            for number in confirmed:
                del self._waiting[number]
                self._sent_s.pop(number, None)
                self.on_publish(self, None, number)
            return bool(confirmed)
        return False
