"""Publisher of alarms and summaries to an MQTT broker, through outages of any length; every loss is counted.

Two threads: paho's, which talks to the broker and reconnects for ever, and the publisher's own, which stores messages
in `runtime.outputs.mqtt.outbox.MqttBuffer`, hands them to paho in order, and removes them when the broker has
confirmed them. The service's threads only put edges into a queue.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from tremorscope.runtime.health import Health, HealthBoard
from tremorscope.runtime.host.threads import Threads
from tremorscope.runtime.outputs.metrics import Counts
from tremorscope.runtime.outputs.mqtt import messages as messages
from tremorscope.runtime.outputs.mqtt.outbox import Message, MessageKind, MqttBuffer
from tremorscope.runtime.outputs.mqtt.retained import AT_LEAST_ONCE, RetainedTopics, failure, make_client
from tremorscope.runtime.outputs.settings import MqttSettings
from tremorscope.runtime.outputs.state import judge
from tremorscope.runtime.store.sqlite_file import StoreFault
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge

_UPDATE_EVERY_S = 1.0
_IN_FLIGHT = 20
"""Messages that may wait for the broker's confirmation at a time."""
_MOST_UNWRITTEN = 4096
"""Messages that may wait for the disk."""
_ANSWER_S = 10.0
"""Time for which the first connection may stay unanswered before that is reported."""
_CONFIRM_S = 30.0
"""Time for which the broker may take messages without confirming one before that is reported."""


class MqttPublisher:
    """Publisher of edges, summaries and status of one instance, from start to close."""

    def __init__(
        self,
        settings: MqttSettings,
        *,
        board: HealthBoard,
        state_directory: Path,
        password: str | None = None,
        threads: Threads | None = None,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Prepare; nothing is opened or sent yet. ``threads`` starts the own thread, ``notice`` fills the journal.

        Raises:
            OptionFault: there is a password and no username.
            OutputFault: the certificates cannot be used at present.
        """
        self._settings, self._board = settings, board
        name = board.snapshot().name
        self._topics = messages.Topics(settings.topic, name)
        self._where = f"{settings.host}:{settings.broker_port}"
        self._client = make_client(settings, name, self._topics.status, password)
        self._retained = RetainedTopics(self._client, self._topics, settings.discovery_prefix)
        self._client.max_inflight_messages_set(_IN_FLIGHT)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = lambda *_: self._retained.on_subscribed()
        self._client.on_message = lambda _, __, message: self._retained.on_message(message)
        self._buffer = MqttBuffer(
            state_directory / "mqtt-buffer.db",
            most_summaries=settings.most_buffered_summaries,
            most_edges=settings.most_buffered_alarms,
            notice=notice,
        )
        self._changed = threading.Condition()
        self._unwritten: deque[tuple[MessageKind, str, str]] = deque()
        self._acknowledged: deque[int] = deque()
        self._in_flight: dict[int, Message] = {}  # by paho's number
        self._sent_up_to = self._openings = 0
        self._connected = self._fresh = self._stopping = False
        self._refusal = self._trouble = self._foreign = ""
        self._begun_s = self._confirmed_s = self._summary_due_s = time.monotonic()
        self._overflow: dict[str, int] = {"edge": 0, "summary": 0}
        self._taken: dict[str, int] = {"edge": 0, "summary": 0}
        self._was_ok: bool | None = None
        self._threads = threads or Threads()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Connect, and reconnect whenever the connection is lost; returns at once."""
        self._client.connect_async(
            self._settings.host, self._settings.broker_port, keepalive=self._settings.keepalive_s
        )
        self._client.loop_start()
        self._thread = self._threads.start("mqtt", self._run, again=True, owned=True)

    def edge(self, edge: AlarmEdge) -> None:
        """Publish an edge of an alarm; returns at once."""
        payload = messages.to_json(messages.edge_payload(edge))
        self._offer("edge", self._topics.edge, payload, _MOST_UNWRITTEN)

    def counts(self) -> Counts:
        """Messages that the broker has confirmed, and messages given up, by kind."""
        dropped = {kind: count + self._overflow.get(kind, 0) for kind, count in self._buffer.dropped.items()}
        return {"mqtt_messages": dict(self._taken), "mqtt_drops": dropped}

    def close(self, timeout_s: float = 3.0) -> None:
        """Send pending messages, publish the offline status, and disconnect, within ``timeout_s``."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout_s / 2)
        if self._connected:
            offline = self._client.publish(self._topics.status, messages.OFFLINE, AT_LEAST_ONCE, retain=True)
            with contextlib.suppress(RuntimeError, ValueError):  # the connection is lost, or its queue full
                offline.wait_for_publish(max(0.0, deadline_s - time.monotonic()))
        self._client.disconnect()
        self._client.loop_stop()
        if self._thread is None or not self._thread.is_alive():
            self._buffer.close()

    # Callbacks of paho's thread: they only record the event, and never wait.

    def _on_connect(self, _: Client, __: object, ___: object, reason: ReasonCode, ____: object) -> None:
        with self._changed:
            self._connected = self._fresh = not reason.is_failure
            self._refusal = f"the broker refuses the connection: {reason}" if reason.is_failure else ""
            self._changed.notify()

    def _on_disconnect(self, _: Client, __: object, ___: object, reason: ReasonCode, ____: object) -> None:
        with self._changed:
            self._connected = False
            self._retained.on_connection_lost()
            if not self._refusal:
                self._refusal = f"connection lost ({reason})"
            self._changed.notify()

    def _on_connect_fail(self, _: Client, __: object) -> None:
        with self._changed:
            self._refusal = failure()

    def _on_publish(self, _: Client, __: object, number: int, *___: object) -> None:
        self._acknowledged.append(number)
        with self._changed:
            self._changed.notify()

    # Called by the publisher's own thread.

    def _run(self) -> None:
        due_s, stopping = time.monotonic(), False
        while not stopping:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._stopping or self._unwritten or self._acknowledged or self._fresh,
                    max(0.0, due_s - time.monotonic()),
                )
                stopping = self._stopping
            try:
                self._begin_session()
                self._store_new()
                self._remove_confirmed()
                if self._connected:
                    self._send()
                self._trouble = ""
            except StoreFault as fault:
                self._trouble = str(fault)
                time.sleep(_UPDATE_EVERY_S)
            if time.monotonic() >= due_s:
                due_s = time.monotonic() + _UPDATE_EVERY_S
                self._update()

    def _offer(self, kind: MessageKind, topic: str, payload: str, most: int) -> None:
        with self._changed:
            # Only a disk that fails for long fills this; then the first messages are kept.
            if len(self._unwritten) >= most:
                self._overflow[kind] += 1
                return
            self._unwritten.append((kind, topic, payload))
            self._changed.notify()

    def _store_new(self) -> None:
        """Move new messages from memory into the buffer on the disk, whose file may be another one by now."""
        self._buffer.open()
        if self._buffer.openings != self._openings:  # all that it holds is sent, once more
            self._openings, self._sent_up_to = self._buffer.openings, 0
            self._in_flight.clear()
        with self._changed:
            new = list(self._unwritten)
        if not new:
            return
        self._buffer.add(new)
        with self._changed:
            for _ in new:
                self._unwritten.popleft()

    def _remove_confirmed(self) -> None:
        """Remove the messages that the broker has confirmed."""
        taken = []
        while self._acknowledged:
            message = self._in_flight.pop(self._acknowledged.popleft(), None)
            if message is not None:
                taken.append(message.number)
                self._taken[message.kind] += 1
                self._confirmed_s = time.monotonic()
        if taken:
            self._buffer.remove(taken)

    def _begin_session(self) -> None:
        """After connecting: publish the online status and every retained topic."""
        with self._changed:
            fresh, self._fresh = self._fresh, False
        if not fresh:
            return
        self._retained.begin()
        self._retained.put(self._topics.status, messages.ONLINE)
        self._was_ok = None
        self._confirmed_s = time.monotonic()
        self._update()

    def _send(self) -> None:
        """Hand the oldest messages to paho, as many as may wait for a confirmation."""
        for message in self._buffer.after(self._sent_up_to, max(0, _IN_FLIGHT - len(self._in_flight))):
            payload = f'{{"id":{message.number},{message.payload[1:]}'
            info = self._client.publish(message.topic, payload, AT_LEAST_ONCE)
            if info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
                return
            if not self._in_flight:
                self._confirmed_s = time.monotonic()
            # Without a connection paho keeps it and sends it in order when there is one.
            self._in_flight[info.mid] = message
            self._sent_up_to = message.number

    def _update(self) -> None:
        """Bring the retained topics up to date with the board, and publish a summary when one is due."""
        health = self._board.snapshot()
        is_ok = judge(health).ok
        summary_is_due = time.monotonic() >= self._summary_due_s
        if summary_is_due or is_ok is not self._was_ok:
            payload = messages.to_json(messages.summary_payload(health))
            self._retain(self._topics.state, payload)
            self._was_ok = is_ok
            if summary_is_due:
                self._summary_due_s = time.monotonic() + self._settings.summary_every_s
                self._offer("summary", self._topics.summary, payload, _MOST_UNWRITTEN // 4)
                if self._connected:  # the last will of a connection before may have come late
                    self._retained.republish(self._topics.status)
        alarms = {self._topics.alarm(alarm.rule.name): alarm for alarm in health.alarms}
        for topic, alarm in alarms.items():
            self._retain(topic, messages.to_json(messages.alarm_payload(alarm)))
        self._foreign = self._retained.reconcile(alarms) if self._connected else ""
        if self._settings.discovery_prefix is not None:
            self._announce(health, self._settings.discovery_prefix)
        status = self._status()
        if status is not None:
            self._board.update_output("mqtt", status)

    def _announce(self, health: Health, prefix: str) -> None:
        """Announce the present entities to Home Assistant, and withdraw those that are gone."""
        if not (self._connected and health.ready):
            return
        found = messages.discovery(health, self._topics, prefix, self._settings.summary_every_s)
        before = self._buffer.announced()
        payloads = {topic: messages.to_json(configuration) for topic, configuration in found.items()}
        now = self._retained.announce(payloads, before)
        if now != before:
            try:
                self._buffer.note_announced(now)
            except StoreFault as fault:
                self._trouble = str(fault)

    def _retain(self, topic: str, payload: str) -> None:
        """Publish a retained payload, unless the broker has it already."""
        if self._connected:
            self._retained.put(topic, payload)

    def _status(self) -> str | None:
        """Reason for which publishing fails, or an empty text; None while that is not known yet."""
        now_s = time.monotonic()
        if self._trouble:
            return self._trouble
        if self._connected:
            if self._in_flight and now_s - self._confirmed_s > _CONFIRM_S:
                return f"broker {self._where}: takes messages and has confirmed none for {_CONFIRM_S:.0f} s"
            return self._foreign
        if not self._refusal and now_s - self._begun_s < _ANSWER_S:
            return None
        waiting = self._buffer.waiting()
        return (
            f"broker {self._where}: {self._refusal or 'no answer'}; {waiting.get('edge', 0)} edges of alarms and "
            f"{waiting.get('summary', 0)} summaries wait"
        )
