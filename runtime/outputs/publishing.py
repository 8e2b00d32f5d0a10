"""Everything that leaves the device, started and stopped as one: HTTP, MQTT, RTSP."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.configuration.outputs import OutputSettings
from runtime.health import HealthBoard
from runtime.live import LiveFeed
from runtime.outputs.controls import Controls
from runtime.outputs.secrets import read_secret
from runtime.threads import Threads
from runtime.vibration.alarms import AlarmEdge

if TYPE_CHECKING:
    from runtime.outputs.metrics import Counts
    from runtime.outputs.mqtt import MqttPublisher
    from runtime.outputs.rtsp import RtspPublisher
    from runtime.outputs.web.server import WebServer


class Publishing:
    """Publishes from threads of its own; no method waits for a network, but for ``close``, which is bounded.

    How each output stands is told to ``board.update_output``. An output that fails while it runs tries again for
    ever; it never ends the service.
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
        self._web: WebServer | None = None
        self._mqtt: MqttPublisher | None = None
        self._rtsp: RtspPublisher | None = None

    def start(self) -> None:
        """Start everything that is configured.

        Raises:
            Fault: an output can never work like this, e.g. a port that is taken or a token that is missing.
            ModuleNotFoundError: a library of the extra ``service`` is not installed.
        """
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def edge(self, edge: AlarmEdge) -> None:
        """Publish an edge of an alarm: handed over at once, kept on the disk until a broker has taken it."""
        if self._mqtt is not None:
            self._mqtt.edge(edge)

    def counts(self) -> Counts:
        """What MQTT and RTSP count."""
        found: dict[str, Mapping[str, int]] = {}
        for output in (self._mqtt, self._rtsp):
            if output is not None:
                found |= output.counts()
        return found

    def close(self, timeout_s: float = 3.0) -> None:
        """Say goodbye and stop, for at most ``timeout_s``."""
        until_s = time.monotonic() + timeout_s
        # The broker's farewell takes longest, and the others must not go without their share.
        for output, share in ((self._mqtt, 0.6), (self._web, 0.8), (self._rtsp, 1.0)):
            if output is not None:
                output.close(max(0.1, until_s - (1 - share) * timeout_s - time.monotonic()))

    def _start(self) -> None:
        # Each is imported only where it is wanted: a device may do without.
        settings, board, feed = self._settings, self._board, self._feed
        if settings.mqtt is not None:
            from runtime.outputs.mqtt import MqttPublisher

            password = read_secret("mqtt-password")
            self._mqtt = MqttPublisher(
                settings.mqtt,
                board=board,
                state_directory=self._state_directory,
                password=password,
                threads=self._threads,
            )
            self._mqtt.start()
        if settings.rtsp is not None:
            from runtime.outputs.rtsp import RtspPublisher

            password = read_secret("rtsp-password")
            self._rtsp = RtspPublisher(
                settings.rtsp, board=board, feed=feed, password=password, threads=self._threads
            )
            self._rtsp.start()
        if settings.http.enabled:
            from runtime.outputs.web.access import read_tokens
            from runtime.outputs.web.server import WebServer

            self._web = WebServer(
                settings.http,
                read_tokens(),
                board=board,
                feed=feed,
                store=self._store,
                clips=self._clips,
                controls=self._controls,
                counts=self.counts,
                threads=self._threads,
            )
            self._web.start()
