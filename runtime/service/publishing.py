"""All outputs over the network, HTTP, MQTT and RTSP, started and stopped as one. Each is tried until it works: the
address may not be up yet, the port taken, a key missing.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tremorscope.runtime.errors import Fault, OutputFault
from tremorscope.runtime.health import HealthBoard
from tremorscope.runtime.host.secrets import check_login, read_secret
from tremorscope.runtime.host.threads import Threads
from tremorscope.runtime.outputs.settings import OutputSettings
from tremorscope.runtime.outputs.state import ServiceView
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge

if TYPE_CHECKING:
    from tremorscope.runtime.outputs.metrics import Counts
    from tremorscope.runtime.outputs.mqtt.publisher import MqttPublisher
    from tremorscope.runtime.outputs.rtsp import RtspPublisher
    from tremorscope.runtime.outputs.web.server import WebServer

_PAUSES_S = (1.0, 60.0)
"""First and longest pause between two attempts; each is twice the one before."""


class Output(Protocol):
    """An output that publishes from threads of its own, once it is started."""

    def start(self) -> None:
        """Start publishing; returns soon."""

    def close(self, timeout_s: float = 3.0) -> None:
        """Stop publishing, within a time."""


class RetriedOutput:
    """One output, started in a thread of its own and retried until that works; no caller waits for it.

    The reason of a failure goes to the board, and so to the log, the metrics and the page.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Output],
        *,
        board: HealthBoard,
        threads: Threads,
        pauses_s: tuple[float, float] = _PAUSES_S,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            name: name of the output on the board.
            make: factory of the output, which raises a Fault if that fails at present; it may take long.
            board: status board that takes the reason of a failure.
            threads: starter of the thread that tries.
            pauses_s: first and longest pause between two attempts.
        """
        self.name = name
        self._make, self._board, self._threads, self._pauses_s = make, board, threads, pauses_s
        self._stopping, self._tried = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._output: Output | None = None

    def start(self) -> None:
        """Start the attempts."""
        self._threads.start(f"{self.name} start", self._try_on, again=True, owned=True)

    def wait(self, seconds: float) -> None:
        """Wait until the first attempt is over, within a time."""
        self._tried.wait(seconds)

    def close(self, timeout_s: float) -> None:
        """Close the output, or end the attempts."""
        self._stopping.set()
        with self._lock:
            output = self._output
        if output is not None:
            output.close(timeout_s)

    def _try_on(self) -> None:
        pause_s, longest_s = self._pauses_s
        while not self._stopping.is_set():
            try:
                self._begin(self._make())
                return
            except Fault as fault:
                self._board.update_output(self.name, f"{fault}; it is tried again")
            finally:
                self._tried.set()
            self._stopping.wait(pause_s)
            pause_s = min(2 * pause_s, longest_s)

    def _begin(self, output: Output) -> None:
        with self._lock:
            if not self._stopping.is_set():
                output.start()
                self._output = output
                return
        with contextlib.suppress(Fault):
            output.close(0.1)


_FIRST_TRY_S = 1.0
"""Time for which a start waits for all outputs; slower attempts, such as unresolved names, go on in the background."""
_MOST_WAITING = 4096
"""Edges that may wait for the MQTT publisher to start."""


class Publishing:
    """All configured outputs, in threads of their own; no method waits for a network, except ``close``, for a time.

    The status of each output goes to ``board.update_output``. An output that cannot start, or fails while it runs, is
    retried for ever; it never ends the service, nor delays measurement.
    """

    def __init__(
        self,
        settings: OutputSettings,
        service: ServiceView,
        *,
        state_directory: Path,
        threads: Threads | None = None,
        notice: Callable[[str, str], None] = lambda _topic, _text: None,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            settings: the configured outputs.
            service: the service that they publish.
            state_directory: directory of the messages that a broker has not confirmed yet; it must exist.
            threads: starter of the outputs' threads.
            notice: takes a topic and a text for the store's journal.
        """
        self._notice = notice
        self._settings, self._service, self._state_directory = settings, service, state_directory
        self._threads = threads or Threads()
        self._outputs: list[RetriedOutput] = []
        self._lock = threading.Lock()
        self._waiting: deque[AlarmEdge] = deque()
        self._lost = 0
        self._mqtt: MqttPublisher | None = None
        self._rtsp: RtspPublisher | None = None

    def start(self) -> None:
        """Start all configured outputs, each as soon as possible.

        Raises:
            OptionFault: an output can never work as configured: a token is missing, a password has no user.
            ModuleNotFoundError: a library of the extra ``service`` is not installed.
        """
        self._outputs = [
            RetriedOutput(name, make, board=self._service.board, threads=self._threads)
            for name, make in self._factories().items()
        ]
        for each in self._outputs:
            each.start()
        until_s = time.monotonic() + _FIRST_TRY_S
        for each in self._outputs:
            each.wait(max(0.0, until_s - time.monotonic()))

    def edge(self, edge: AlarmEdge) -> None:
        """Publish an edge of an alarm; returns at once. It is stored until a broker has confirmed it."""
        with self._lock:
            if self._mqtt is not None:
                self._mqtt.edge(edge)
            elif self._settings.mqtt is not None:
                # The publisher cannot be started yet: keep the first edges, as it does on a failing disk.
                if len(self._waiting) < _MOST_WAITING:
                    self._waiting.append(edge)
                else:
                    self._lost += 1

    def counts(self) -> Counts:
        """Counts of MQTT and RTSP."""
        found: dict[str, Mapping[str, int]] = {}
        for output in (self._mqtt, self._rtsp):
            if output is not None:
                found |= output.counts()
        if self._lost:
            drops = dict(found.get("mqtt_drops", {}))
            found["mqtt_drops"] = drops | {"edge": drops.get("edge", 0) + self._lost}
        return found

    def close(self, timeout_s: float = 3.0) -> None:
        """Close all outputs within ``timeout_s``."""
        until_s = time.monotonic() + timeout_s
        # Disconnecting from a broker takes longest, and the others must have their share of the time.
        shares = {"mqtt": 0.6, "http": 0.8, "rtsp": 1.0}
        for each in sorted(self._outputs, key=lambda output: shares[output.name]):
            share = shares[each.name]
            each.close(max(0.1, until_s - (1 - share) * timeout_s - time.monotonic()))

    def _factories(self) -> dict[str, Callable[[], Output]]:
        """Factory of each configured output, with its modules imported and its secrets checked."""
        found: dict[str, Callable[[], Output]] = {}
        settings = self._settings
        # A secret that cannot be read at present is reported by the output that needs it, at each attempt.
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
            board=self._service.board,
            state_directory=self._state_directory,
            password=read_secret("mqtt-password"),
            threads=self._threads,
            notice=lambda text: self._notice("mqtt", text),
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
            board=self._service.board,
            feed=self._service.feed,
            password=password,
            threads=self._threads,
        )
        return self._rtsp

    def _make_web(self) -> WebServer:
        from tremorscope.runtime.outputs.web.access import read_tokens
        from tremorscope.runtime.outputs.web.server import WebServer

        return WebServer(
            self._settings.http, read_tokens(), self._service, counts=self.counts, threads=self._threads
        )
