"""Client of an MQTT broker with the configured login, encryption and reconnection; and the retained topics of one
instance: published again if another client has changed them, which is reported.
"""

from __future__ import annotations

import re
import secrets
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from tremorscope.files import reason_of
from tremorscope.runtime.host.secrets import check_login, client_context
from tremorscope.runtime.outputs.mqtt.messages import OFFLINE, Topics, slug
from tremorscope.runtime.outputs.settings import MqttSettings

AT_LEAST_ONCE = 1
"""Quality of service of all messages."""
_RECONNECT_S = (1, 60)


def make_client(settings: MqttSettings, instance: str, status_topic: str, password: str | None) -> Client:
    """Create a client that is not connected yet; its last will is the offline status.

    Raises:
        OptionFault: there is a password and no username.
        OutputFault: the certificates cannot be used at present.
    """
    check_login("outputs.mqtt", settings.username, password)
    # Random, as a broker disconnects a client when another connects under the same identifier.
    client_id = f"tremorscope-{slug(instance)}-{secrets.token_hex(4)}"
    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id)
    client.will_set(status_topic, OFFLINE, AT_LEAST_ONCE, retain=True)
    if settings.username is not None:
        client.username_pw_set(settings.username, password)
    tls = settings.tls
    if tls is not None:
        client.tls_set_context(client_context(tls.ca_file, tls.certificate, tls.key))
    client.reconnect_delay_set(*_RECONNECT_S)
    return client


def failure() -> str:
    """A failed connection in words; to be called where paho tells it, while it handles the error."""
    error = sys.exc_info()[1]
    return f"no connection ({reason_of(error)})" if isinstance(error, Exception) else "no connection"


_AGAIN_S = 10.0
"""Shortest time between two corrections of a topic, so that two devices of one name do not chase each other."""
_REPORTED_FOR_S = 180.0
"""Time for which another client's message is reported."""
_OWN = 16
"""Own payloads, per topic, that are recognised when the broker sends them back."""
_MOST_RECEIVED = 1000
_COMES_AND_GOES = re.compile(r"/(mode|device)_[^/]+/config$")
"""Announcements of modes and readings, which are kept while these are missing for a while."""


class RetainedTopics:
    """The retained topics, with the payloads that were published in this connection.

    ``on_message`` may be called from any thread, everything else from one. A broker may forbid subscriptions, or
    even disconnect a client that tries: then changes by others are not seen, and not corrected.
    """

    def __init__(
        self, client: Client, topics: Topics, prefix: str | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._topics, self._clock = client, topics, clock
        self._announcements = [f"{prefix}/+/{topics.node}/+/config"] if prefix is not None else []
        self._published: dict[str, str] = {}
        self._own: dict[str, deque[str]] = {}
        self._corrected_s: dict[str, float] = {}
        self._changed: dict[str, bool] = {}
        self._received: deque[tuple[str, str, bool]] = deque(maxlen=_MOST_RECEIVED)
        self._begun_s = self._foreign_s = -1e9
        self._foreign = ""
        self._subscribes, self._asked = True, False

    def begin(self) -> None:
        """Begin a new connection: forget the published payloads, and subscribe to the topics."""
        self._published.clear()
        self._changed.clear()
        self._received.clear()
        self._begun_s = self._clock()
        if self._subscribes:
            self._asked = True
            levels = (self._topics.status, self._topics.state, self._topics.alarms, *self._announcements)
            self._client.subscribe([(level, AT_LEAST_ONCE) for level in levels])

    def on_subscribed(self) -> None:
        """Note that the broker has answered the subscription, with success or not."""
        self._asked = False

    def on_connection_lost(self) -> None:
        """Note a lost connection; if it was lost before the subscription was answered, never subscribe again."""
        self._subscribes = self._subscribes and not self._asked
        self._asked = False

    def put(self, topic: str, payload: str) -> None:
        """Publish a retained payload, unless the broker has it already."""
        if self._published.get(topic) != payload:
            self._published[topic] = payload
            self._publish(topic)

    def announce(self, found: Mapping[str, str], before: set[str]) -> set[str]:
        """Publish announcements of entities by topic, withdraw those of ``before`` that are gone; returns all kept.

        Modes and readings of the device may be missing for a while; regions and alarms only go with the configuration.
        """
        gone = {topic for topic in before - set(found) if not _COMES_AND_GOES.search(topic)}
        for topic, payload in found.items():
            self.put(topic, payload)
        for topic in gone:
            self._published.pop(topic, None)
            self._client.publish(topic, "", AT_LEAST_ONCE, retain=True)
        return (before | set(found)) - gone

    def republish(self, topic: str) -> None:
        """Publish the present payload of a topic once more."""
        if topic in self._published:
            self._publish(topic)

    def on_message(self, message: MQTTMessage) -> None:
        """Take a message on one of the topics, from this instance or from another client."""
        self._received.append((message.topic, message.payload.decode("utf-8", "replace"), message.retain))

    def reconcile(self, alarms: Collection[str]) -> str:
        """Correct the changes that other clients have made; returns a warning about them, or an empty text.

        Args:
            alarms: topics of the present alarms; others are withdrawn.
        """
        now_s = self._clock()
        while self._received:
            self._judge(*self._received.popleft(), now_s)
        for topic in list(self._changed):
            if now_s - self._corrected_s.get(topic, -1e9) < _AGAIN_S:
                continue
            if topic in self._published:
                self._publish(topic)
            elif now_s - self._begun_s < _AGAIN_S:
                continue  # the present alarms may not be known yet
            elif topic not in alarms:
                self._client.publish(topic, "", AT_LEAST_ONCE, retain=True)
            self._corrected_s[topic] = now_s
            del self._changed[topic]
        if now_s - self._foreign_s > _REPORTED_FOR_S:
            return ""
        return (
            f"somebody else publishes under {self._foreign} as well: give each device a name of its own, "
            "and let nobody else write there"
        )

    def _judge(self, topic: str, payload: str, is_kept: bool, now_s: float) -> None:
        if payload in self._own.get(topic, ()):
            return
        if is_kept and (topic in self._published or not payload):
            return  # from before this connection, and replaced meanwhile
        if topic not in self._published and (not payload or topic.endswith("/config")):
            return  # an entity that is missing for a while stays announced
        self._changed[topic] = True
        # The status may be the last will of this instance's former connection, and a retained payload its own.
        if payload and not is_kept and topic != self._topics.status:
            self._foreign, self._foreign_s = topic, now_s

    def _publish(self, topic: str) -> None:
        payload = self._published[topic]
        self._own.setdefault(topic, deque(maxlen=_OWN)).append(payload)
        self._client.publish(topic, payload, AT_LEAST_ONCE, retain=True)
