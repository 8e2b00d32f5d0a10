"""What a broker keeps of ours: said again where somebody else has changed it, and told where that goes on."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection

from paho.mqtt.client import Client, MQTTMessage

from tremorscope.runtime.outputs.mqtt.messages import Topics

_AT_LEAST_ONCE = 1
_AGAIN_S = 10.0
"""A topic is said again once within this time, so that two devices of one name do not chase each other."""
_TOLD_FOR_S = 180.0
_OWN = 16
"""So many payloads of ours are known again when they come back, a topic."""
_MOST_HEARD = 1000


class RetainedTopics:
    """The topics that the broker keeps, and what it was told of each in this connection.

    ``heard`` may be called from any thread, everything else from one. A broker may allow nobody to subscribe, or
    even cut the connection of who tries: then what others have written is not known, and not said again.
    """

    def __init__(self, client: Client, topics: Topics, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._topics, self._clock = client, topics, clock
        self._told: dict[str, str] = {}
        self._own: dict[str, deque[str]] = {}
        self._said_again_s: dict[str, float] = {}
        self._wrong: dict[str, bool] = {}
        self._heard: deque[tuple[str, str, bool]] = deque(maxlen=_MOST_HEARD)
        self._begun_s = self._foreign_s = -1e9
        self._foreign = ""
        self._subscribes, self._asked = True, False

    def begin(self) -> None:
        """A connection was made: the broker is to be told everything."""
        self._told.clear()
        self._wrong.clear()
        self._heard.clear()
        self._begun_s = self._clock()
        if self._subscribes:
            self._asked = True
            levels = (self._topics.status, self._topics.state, self._topics.alarms)
            self._client.subscribe([(level, _AT_LEAST_ONCE) for level in levels])

    def answered(self) -> None:
        """The broker has answered the subscription, whatever it said."""
        self._asked = False

    def lost(self) -> None:
        """The connection was lost; if that is the broker's answer to the subscription, there is none from now on."""
        self._subscribes = self._subscribes and not self._asked
        self._asked = False

    def put(self, topic: str, payload: str) -> None:
        """Let the broker keep a payload, unless it has it already."""
        if self._told.get(topic) != payload:
            self._told[topic] = payload
            self._say(topic)

    def say_again(self, topic: str) -> None:
        """Tell the broker what it should have already."""
        if topic in self._told:
            self._say(topic)

    def heard(self, message: MQTTMessage) -> None:
        """Take note of what was published under one of our topics, by ourselves or by others."""
        self._heard.append((message.topic, message.payload.decode("utf-8", "replace"), message.retain))

    def look(self, alarms: Collection[str]) -> str:
        """Mend what others have changed; returns what a person should know of it, or nothing.

        Args:
            alarms: topics of the alarms that there are; others are taken back.
        """
        now_s = self._clock()
        while self._heard:
            self._judge(*self._heard.popleft(), now_s)
        for topic in list(self._wrong):
            if now_s - self._said_again_s.get(topic, -1e9) < _AGAIN_S:
                continue
            if topic in self._told:
                self._say(topic)
            elif now_s - self._begun_s < _AGAIN_S:
                continue  # what alarms there are may not be known yet
            elif topic not in alarms:
                self._client.publish(topic, "", _AT_LEAST_ONCE, retain=True)
            self._said_again_s[topic] = now_s
            del self._wrong[topic]
        if now_s - self._foreign_s > _TOLD_FOR_S:
            return ""
        return (
            f"somebody else publishes under {self._foreign} as well: give each device a name of its own, "
            "and let nobody else write there"
        )

    def _judge(self, topic: str, payload: str, is_kept: bool, now_s: float) -> None:
        if payload in self._own.get(topic, ()):
            return
        if is_kept and (topic in self._told or not payload):
            return  # from before this connection; it has been replaced meanwhile
        if not payload and topic not in self._told:
            return
        self._wrong[topic] = True
        # The status may be the last will of our own connection before, and what was kept may be ours as well.
        if payload and not is_kept and topic != self._topics.status:
            self._foreign, self._foreign_s = topic, now_s

    def _say(self, topic: str) -> None:
        payload = self._told[topic]
        self._own.setdefault(topic, deque(maxlen=_OWN)).append(payload)
        self._client.publish(topic, payload, _AT_LEAST_ONCE, retain=True)
