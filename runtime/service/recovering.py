"""Recovery of a camera that gives no good frames: carries out the actions of `runtime.service.recovery`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from tremorscope.runtime.cameras.opening import has_argus, supervisor_settings
from tremorscope.runtime.configuration.schema import Configuration
from tremorscope.runtime.host.argus_daemon import ArgusDaemon
from tremorscope.runtime.host.privileged import ask
from tremorscope.runtime.host.threads import Threads
from tremorscope.runtime.service.assembly import Components
from tremorscope.runtime.service.reboots import RebootMemory, memory_file
from tremorscope.runtime.service.recovery import Action, Outlook, RecoveryLadder
from tremorscope.runtime.service.storing import state_directory
from tremorscope.runtime.store.records import Notice

log = logging.getLogger("tremorscope.service")

_SILENT_PERIODS, _SILENT_S = 15.0, 1.0
"""Silence that counts as missing frames: in frame periods, and in seconds at least."""


class CameraRecovery:
    """Recovery ladder of the service's camera, and the actions on its rungs; used by the main thread."""

    def __init__(
        self,
        configuration: Configuration,
        threads: Threads,
        *,
        busy: Callable[[], str],
        end: Callable[[], None],
    ) -> None:
        """Begin at the bottom; to be made before anything can load the camera's plugin.

        Loading the plugin connects this process to nvargus-daemon: which daemon that was must be known before.

        Args:
            configuration: of the service.
            threads: starts the one that waits for a restart of nvargus-daemon.
            busy: returns the work that a restart of the device must not interrupt; empty if there is none.
            end: ends the process, to be started anew.
        """
        self._threads, self._end = threads, end
        self._is_drawn = configuration.camera.kind == "synthetic"
        recovery, name = configuration.recovery, configuration.name
        self._argus = ArgusDaemon(recovery, instance=name) if has_argus(configuration.camera) else None
        memory = memory_file(state_directory(configuration.store))
        self.ladder = RecoveryLadder(
            recovery,
            argus=self._argus,
            memory=RebootMemory(memory, recovery.reboot, instance=name),
            busy=busy,
            opening_s=supervisor_settings(configuration.camera).open_timeout_s,
        )

    def look(self, now_s: float, parts: Components) -> None:
        """Check the camera, once a second, and carry out what the ladder asks for."""
        loop, state = parts.loop, parts.supervisor.state()
        if loop.ended or (self._is_drawn and state.status == "opening"):
            return
        silent_s = max(_SILENT_PERIODS / parts.source.rate_hz, _SILENT_S)
        healthy = loop.latest_at_s is not None and now_s - loop.latest_at_s < silent_s
        outlook = Outlook(
            stuck=state.status == "stuck",
            refused="refused" in state.active,
            opened_in_vain=state.opened_in_vain > 0,
        )
        action = self.ladder.advance(now_s, healthy, outlook)
        if action is not None:
            self._carry_out(action, parts)

    def _carry_out(self, action: Action, parts: Components) -> None:
        log.error("%s", action, extra={"fields": {"rung": action.rung, "attempt": action.attempt}})
        parts.storage.offer(Notice(time.time(), "recovery", str(action)))
        if action.rung == "reopen":
            parts.supervisor.reopen()
        elif action.rung == "restart_argus":
            self._threads.start("restart argus", self._restart_argus)
        else:
            if action.rung == "reboot" and (refusal := ask("reboot")):
                log.error("the device could not be restarted: %s", refusal)
            self._end()

    def _restart_argus(self) -> None:
        assert self._argus is not None
        log.warning("%s", self._argus.restart())
        self._end()
