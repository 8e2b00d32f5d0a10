"""Everything that leaves the device, started and stopped as one: HTTP, MQTT, RTSP."""

from __future__ import annotations

import importlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.health import HealthBoard
from tremorscope.runtime.host.secrets import check_login, read_secret
from tremorscope.runtime.host.threads import Threads
from tremorscope.runtime.live.feed import LiveFeed
from tremorscope.runtime.outputs.controls import Controls
from tremorscope.runtime.outputs.keeping import KeptOutput, Output
from tremorscope.runtime.outputs.settings import OutputSettings
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge

if TYPE_CHECKING:
    from tremorscope.runtime.outputs.metrics import Counts
    from tremorscope.runtime.outputs.mqtt.publisher import MqttPublisher
    from tremorscope.runtime.outputs.rtsp import RtspPublisher
    from tremorscope.runtime.outputs.web.server import WebServer

_FIRST_TRY_S = 1.0
"""So long a start waits for all outputs; what takes longer, such as a name that does not resolve, goes on alone."""
_MOST_WAITING = 4096


class Publishing:
    """Publishes from threads of its own; no method waits for a network, but for ``close``, which is bounded.

    How each output stands is told to ``board.update_output``. An output that cannot start, or fails while it runs, is
    tried again for ever; it never ends the service, nor holds up what is measured.
    """

    def __init__(
        self,
        settings: OutputSettings,
        *,
        board: HealthBoard,
        feed: LiveFeed,
        state_directory: Path,
        store: Path | None = None,
        clips: Path | None = None,
        controls: Controls | None = None,
        threads: Threads | None = None,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            settings: what is published.
            board: how the service stands.
            feed: the live pictures and series.
            state_directory: where messages wait that a broker has not taken yet; it must be there.
            store: the SQLite store, for the lists of alarms and events; None shows none.
            clips: the directory of the clips; None offers none.
            controls: what people may do; None lets them look only.
            threads: starts those of the outputs.
        """
        self._settings, self._board, self._feed, self._controls = settings, board, feed, controls
        self._state_directory, self._store, self._clips = state_directory, store, clips
        self._threads = threads or Threads()
        self._kept: list[KeptOutput] = []
        self._lock = threading.Lock()
        self._waiting: deque[AlarmEdge] = deque()
        self._lost = 0
        self._mqtt: MqttPublisher | None = None
        self._rtsp: RtspPublisher | None = None

    def start(self) -> None:
        """Start everything that is configured, each as soon as that can be done.

        Raises:
            OptionFault: an output can never work like this: a token is missing, a password has no user.
            ModuleNotFoundError: a library of the extra ``service`` is not installed.
        """
        self._kept = [
            KeptOutput(name, make, board=self._board, threads=self._threads)
            for name, make in self._makers().items()
        ]
        for each in self._kept:
            each.start()
        until_s = time.monotonic() + _FIRST_TRY_S
        for each in self._kept:
            each.wait(max(0.0, until_s - time.monotonic()))

    def edge(self, edge: AlarmEdge) -> None:
        """Publish an edge of an alarm: handed over at once, kept on the disk until a broker has taken it."""
        with self._lock:
            if self._mqtt is not None:
                self._mqtt.edge(edge)
            elif self._settings.mqtt is not None:
                # It cannot be started yet: what came first is kept, as on a disk that takes nothing.
                if len(self._waiting) < _MOST_WAITING:
                    self._waiting.append(edge)
                else:
                    self._lost += 1

    def counts(self) -> Counts:
        """What MQTT and RTSP count."""
        found: dict[str, Mapping[str, int]] = {}
        for output in (self._mqtt, self._rtsp):
            if output is not None:
                found |= output.counts()
        if self._lost:
            drops = dict(found.get("mqtt_drops", {}))
            found["mqtt_drops"] = drops | {"edge": drops.get("edge", 0) + self._lost}
        return found

    def close(self, timeout_s: float = 3.0) -> None:
        """Say goodbye and stop, for at most ``timeout_s``."""
        until_s = time.monotonic() + timeout_s
        # The broker's farewell takes longest, and the others must not go without their share.
        shares = {"mqtt": 0.6, "http": 0.8, "rtsp": 1.0}
        for each in sorted(self._kept, key=lambda kept: shares[kept.name]):
            share = shares[each.name]
            each.close(max(0.1, until_s - (1 - share) * timeout_s - time.monotonic()))

    def _makers(self) -> dict[str, Callable[[], Output]]:
        """What makes each output; what can never work is refused here. Each is imported only where it is wanted."""
        found: dict[str, Callable[[], Output]] = {}
        settings = self._settings
        # A secret that cannot be read at present is told by the output that wants it, again and again.
        if settings.mqtt is not None:
            importlib.import_module("tremorscope.runtime.outputs.mqtt.publisher")
            found["mqtt"] = self._make_mqtt
            with suppress(OutputFault):
                check_login("outputs.mqtt", settings.mqtt.username, read_secret("mqtt-password"))
        if settings.rtsp is not None:
            importlib.import_module("tremorscope.runtime.outputs.rtsp")
            found["rtsp"] = self._make_rtsp
            with suppress(OutputFault):
                check_login("outputs.rtsp", settings.rtsp.username, read_secret("rtsp-password"))
        if settings.http.enabled:
            importlib.import_module("tremorscope.runtime.outputs.web.server")
            from tremorscope.runtime.outputs.web.access import check_exposure, read_tokens

            found["http"] = self._make_web
            with suppress(OutputFault):
                check_exposure(settings.http, read_tokens())
        return found

    def _make_mqtt(self) -> MqttPublisher:
        from tremorscope.runtime.outputs.mqtt.publisher import MqttPublisher

        assert self._settings.mqtt is not None
        publisher = MqttPublisher(
            self._settings.mqtt,
            board=self._board,
            state_directory=self._state_directory,
            password=read_secret("mqtt-password"),
            threads=self._threads,
        )
        with self._lock:
            self._mqtt = publisher
            while self._waiting:
                publisher.edge(self._waiting.popleft())
        return publisher

    def _make_rtsp(self) -> RtspPublisher:
        from tremorscope.runtime.outputs.rtsp import RtspPublisher

        assert self._settings.rtsp is not None
        password = read_secret("rtsp-password")
        self._rtsp = RtspPublisher(
            self._settings.rtsp,
            board=self._board,
            feed=self._feed,
            password=password,
            threads=self._threads,
        )
        return self._rtsp

    def _make_web(self) -> WebServer:
        from tremorscope.runtime.outputs.web.access import read_tokens
        from tremorscope.runtime.outputs.web.server import WebServer

        return WebServer(
            self._settings.http,
            read_tokens(),
            board=self._board,
            feed=self._feed,
            store=self._store,
            clips=self._clips,
            controls=self._controls,
            counts=self.counts,
            threads=self._threads,
        )
