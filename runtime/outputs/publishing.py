"""Everything that leaves the device, started and stopped as one: HTTP, MQTT, RTSP."""

from __future__ import annotations

from pathlib import Path

from runtime.configuration.outputs import OutputSettings
from runtime.health import HealthBoard
from runtime.live import LiveFeed
from runtime.outputs.controls import Controls
from runtime.vibration.alarms import AlarmEdge


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
        """
        self._settings, self._board, self._feed, self._controls = settings, board, feed, controls
        self._state_directory, self._store, self._clips = state_directory, store, clips

    def start(self) -> None:
        """Start everything that is configured.

        Raises:
            Fault: an output can never work like this, e.g. a port that is taken or a token that is missing.
        """

    def edge(self, edge: AlarmEdge) -> None:
        """Publish an edge of an alarm: handed over at once, kept on the disk until a broker has taken it."""

    def close(self, timeout_s: float = 3.0) -> None:
        """Say goodbye and stop, for at most ``timeout_s``."""
