"""Process of the service: starts the components, supervises them, reloads the configuration, and ends them in time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from tremorscope.runtime.configuration.reading import LoadedConfiguration
from tremorscope.runtime.engines.upkeep import LOWEST_PRIORITY
from tremorscope.runtime.errors import Fault
from tremorscope.runtime.health import ReloadHealth
from tremorscope.runtime.host.privileged import is_updating
from tremorscope.runtime.host.signals import RECORD, RELOAD, STOPPING, SignalQueue
from tremorscope.runtime.host.systemd import FrameWatchdog, Notifier
from tremorscope.runtime.host.threads import BACKGROUND, SECOND, Threads, release_freed_memory
from tremorscope.runtime.magnification.load import LoadStep, ThermalGovernor
from tremorscope.runtime.outputs.state import RegionsTaken, ServiceView
from tremorscope.runtime.service.assembly import Components
from tremorscope.runtime.service.device import DeviceWatch
from tremorscope.runtime.service.publishing import Publishing
from tremorscope.runtime.service.recovery import EXIT_RECOVERY, CameraRecovery
from tremorscope.runtime.service.region_changes import RegionChanges
from tremorscope.runtime.service.reloading import Reloader
from tremorscope.runtime.service.reporting import Reporter, status_line
from tremorscope.runtime.service.store_keeper import state_directory
from tremorscope.runtime.store.records import Notice
from tremorscope.runtime.vibration.displacement.regions import RegionEdit
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge

log = logging.getLogger("tremorscope.service")

STOP_WITHIN_S = 8.0
"""Time from SIGTERM to the end of `close`; the process itself takes up to two seconds more on a busy machine."""
_LOOK_S = 0.25
_SECOND_S = 1.0
_STATUS_S = 5.0
_FILE_S = 1.0
_MORE_S = 120.0
"""Time to start that systemd is asked for while frames come and none is good: longer than a pause between openings."""


class Service:
    """One instance, from its construction to the end of ``run``; implements `Controls`."""

    def __init__(self, loaded: LoadedConfiguration, *, notifier: Notifier | None = None) -> None:
        """Build everything that the configuration names.

        Raises:
            Fault: it cannot be followed on this machine.
            MemoryError: the system has no room for the frames.
        """
        self._loaded, self._configuration = loaded, loaded.configuration
        self._notifier = notifier or Notifier(None)
        self._threads = Threads()
        self._exit_status = 0
        self._publishing: Publishing | None = None
        configuration = loaded.configuration
        self._recovery = CameraRecovery(
            configuration, self._threads, busy=self._busy, end=self._end_to_be_started_anew
        )
        self.parts = parts = Components(configuration, on_edge=self._on_edge, threads=self._threads)
        self.board = parts.board
        self._device = DeviceWatch(configuration.thermal, threads=self._threads)
        self._governor = ThermalGovernor(configuration.thermal, self._device.heat, on_step=self._on_heat)
        self._reporter = Reporter(parts, self._recovery.ladder, self._governor, self._threads, self._device)
        self._publishing = Publishing(
            configuration.outputs,
            ServiceView(
                *(parts.board, parts.feed, parts.storage.path, parts.storage.clips),
                controls=self,
                bit_depth=parts.picture.bit_depth,
                on_damage=parts.storage.doubt,
                planes=lambda: self._reloader.configuration.vibration.planes(),
            ),
            state_directory=state_directory(configuration.store),
            threads=self._threads,
            notice=lambda topic, text: parts.storage.offer(Notice(time.time(), topic, text)),
        )
        self._watchdog = FrameWatchdog(self._notifier)
        self._is_ready = False
        self._second_s = self._status_s = self._file_s = self._more_s = 0.0
        self._refused = 0
        self._reloader = Reloader(loaded, parts, self._notifier)
        self._region_changes = RegionChanges(loaded.file, parts, self._reloader)

    # Controls for people; see `runtime.outputs.state.Controls`.

    def acknowledge(self, alarm: str, by: str) -> bool:
        """Acknowledge the latest raise of an alarm; False if there is none to acknowledge."""
        return self.parts.alarms.acknowledge(alarm, by, self.parts.clock.now_s())

    def record_event(self, reason: str) -> str | None:
        """Record a clip around this moment; returns the event's name, or None where nothing is recorded."""
        storage, latest_s = self.parts.storage, self.parts.loop.latest_s
        if storage.recorder is not None and latest_s is not None:
            return storage.recorder.trigger(latest_s, reason)
        why = storage.health().trouble if latest_s is not None else "no frame has come yet"
        is_off = self._configuration.recording is None
        log.warning("%s: no clip is recorded: %s", reason, "recording is null" if is_off else why)
        return None

    def adjust(
        self, *, amplification: float | None = None, bands_hz: tuple[tuple[float, float], ...] | None = None
    ) -> None:
        """Change the amplification, the bands, or both, until the service is started or reconfigured again.

        Raises:
            Fault: the values are out of range; the present ones stay.
        """
        changes: dict[str, object] = {}
        if amplification is not None:
            changes["amplification"] = float(amplification)
        if bands_hz is not None:
            changes |= {"mode": "band", "bands_hz": bands_hz}
        with self._reloader.changing:
            self.parts.magnifying.configure(self.parts.magnifying.settings.model_copy(update=changes))
        log.info("adjusted: %s", changes)

    def change_regions(self, wanted: Sequence[RegionEdit], *, before: Sequence[str], by: str) -> RegionsTaken:
        """Measure in other regions from now on, and write them into the configuration file."""
        return self._region_changes.ask(wanted, before, by)

    # The life of the process.

    def run(self, signals: SignalQueue) -> int:
        """Run until a signal, the end of the source, or the end of the recovery ladder; returns the exit status.

        Raises:
            Fault: an output can never work as configured.
        """
        for warning in self._loaded.warnings:
            log.warning("%s", warning)
        try:
            self.start()
            while not self._threads.stopping and not self.parts.loop.ended:
                received = signals.wait(_LOOK_S)
                if received in STOPPING:
                    log.info("%s: ending", received.name if received else "")
                    break
                if received == RELOAD:
                    self.reload()
                elif received == RECORD:
                    self.record_event("by SIGUSR1")
                self.look()
        finally:
            self.close()
        self._threads.raise_failure()
        return self._exit_status

    def start(self) -> None:
        """Start all threads; frames flow soon after.

        Raises:
            Fault: an output can never work as configured.
        """
        parts, threads = self.parts, self._threads
        log.info("engine: %s, because %s", parts.runtime.description, parts.runtime.why)
        for note in (*parts.runtime.passed_over, *parts.runtime.notes):
            log.info("engine: %s", note)
        assert self._publishing is not None
        self._publishing.start()
        self._device.start()
        parts.supervisor.start()
        threads.start("frames", lambda: parts.loop.work(lambda: threads.stopping))
        # On the CPU the engine uses all cores: it and its threads run behind camera and measurement.
        threads.start("magnifying", lambda: parts.magnifying.work(lambda: threads.stopping), niceness=SECOND)
        threads.start("analysis", self._analyse, niceness=BACKGROUND)
        threads.start("engines", lambda: parts.upkeep.work(threads), niceness=LOWEST_PRIORITY, again=True)
        threads.hear_others()
        self._notifier.status("waiting for the first frame")
        watchdog_s = self._notifier.watchdog_s
        if watchdog_s is not None and watchdog_s <= self._recovery.ladder.longest_s:
            log.warning(
                "systemd's watchdog strikes after %.0f s, before the recovery ladder has come to its end after %.0f s: "
                "shorten the dwells under recovery, or lengthen WatchdogSec",
                watchdog_s,
                self._recovery.ladder.longest_s,
            )

    def look(self) -> None:
        """Do what is due: watchdog, status, recovery, heat, disk, a changed file."""
        now_s, parts = time.monotonic(), self.parts
        self._region_changes.attend()
        # Frames that are refused count: a dark night and a stuck encoder are told better by a process that lives.
        refused = parts.supervisor.state().drops.corrupt
        self._watchdog.progress(parts.loop.frames + refused, now_s)
        if not self._is_ready and refused != self._refused and now_s >= self._more_s:
            self._refused, self._more_s = refused, now_s + _MORE_S / 4
            self._notifier.still_starting(
                _MORE_S, f"waiting for the first good frame: {refused} were refused"
            )
        if not self._is_ready and parts.loop.frames:
            self._is_ready = True
            self._reporter.report()
            self._notifier.ready(status_line(parts.board.snapshot()))
            log.info("ready: %s", status_line(parts.board.snapshot()))
        if now_s >= self._second_s:
            self._second_s = now_s + _SECOND_S
            parts.storage.check()
            parts.alarms.advance(now_s, parts.clock.now_s())
            rate = parts.loop.meter.rate
            parts.magnifying.hold_back(self._governor.update(now_s), rate.rate_hz if rate else None)
            self._recovery.look(now_s, parts)
            self._reporter.report()
            if parts.upkeep.wants_restart and not self._busy():
                log.info("the service ends, to be started with the engines that were built")
                self._end_to_be_started_anew()
        if now_s >= self._status_s and self._is_ready:
            self._status_s = now_s + _STATUS_S
            self._notifier.status(status_line(parts.board.snapshot()))
        if now_s >= self._file_s:
            self._file_s = now_s + _FILE_S
            self._reloader.look()

    def close(self) -> None:
        """End everything within `STOP_WITHIN_S`: clips complete, store written, outputs and camera closed."""
        until_s = time.monotonic() + STOP_WITHIN_S
        self._notifier.stopping("completing clips and store")
        self.board.update(stopping=True)
        self._device.close()
        parts = self.parts
        parts.feed.close()
        closing = [threading.Thread(target=work, daemon=True) for work in self._slow_to_close()]
        for thread in closing:
            thread.start()
        hanging = self._threads.stop(1.5)
        parts.loop.flush()
        parts.alarms.keep_learning()
        left = parts.storage.close(max(1.0, until_s - time.monotonic() - 0.5))
        for thread in closing:
            thread.join(max(0.0, until_s - time.monotonic()))
        if not hanging and not left:
            try:
                parts.magnifying.close()
                parts.close_runtime()
            except Fault as fault:  # a GPU that is gone takes nothing back
                log.error("at the end: %s", fault)
        for text in (*(f"thread {name} still runs" for name in hanging), left):
            if text:
                log.error("at the end: %s", text)
        log.info("ended after %d frames", parts.loop.frames)
        threading.excepthook = threading.__excepthook__
        self._notifier.close()

    def reload(self) -> ReloadHealth:
        """Read the configuration again and apply what can change while the service runs; see `Reloader.reload`."""
        return self._reloader.reload()

    def _analyse(self) -> None:
        while not self._threads.wait(_LOOK_S):
            if self.parts.analyst is not None and self.parts.analyst.look():
                release_freed_memory()  # an analysis leaves 10 MB

    def _end_to_be_started_anew(self) -> None:
        self._exit_status = EXIT_RECOVERY
        self._threads.end()

    def _on_edge(self, edge: AlarmEdge, record: bool) -> None:
        if self._publishing is not None:
            self._publishing.edge(edge)
        recording = self._configuration.recording
        recorder, latest_s = self.parts.storage.recorder, self.parts.loop.latest_s
        wanted = record and recording is not None and recording.on_alarm and edge.edge == "raised"
        if wanted and recorder is not None and latest_s is not None:
            recorder.trigger(latest_s, str(edge), alarm=edge.name, alarm_raised_s=edge.time_s)

    def _on_heat(self, step: LoadStep) -> None:
        log.warning("%s", step, extra={"fields": {"level": step.after.index}})
        self.parts.storage.offer(Notice(time.time(), "heat", str(step)))

    def _busy(self) -> str:
        recorder = self.parts.storage.recorder
        if recorder and ((state := recorder.state()).recording or state.waiting):
            return "a clip is being written"
        return "an installation is going on" if is_updating() else ""

    def _slow_to_close(self) -> list[Callable[[], object]]:
        """Functions that may wait for a camera or a network, each to be called in a thread of its own."""
        publishing = self._publishing
        return [self.parts.supervisor.close, *([publishing.close] if publishing is not None else [])]
