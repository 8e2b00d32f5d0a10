"""Recovery ladder: escalating actions while the camera gives no good frames, and their execution.

It decides and counts; the owner of the camera carries its actions out. The rungs, mildest first:

    reopen          open the camera anew
    restart_argus   restart nvargus-daemon and end with ``EXIT_RECOVERY``, because a process that lives through
                    that sees no frames any more (cameras on the CSI connector only; see `runtime.host.privileged`)
    exit            end with ``EXIT_RECOVERY``, so that systemd starts the service anew
    reboot          restart the device: opt-in, bounded a day, never while a clip or an update is being written

Where frames come and all are refused, as at night, the last two wait: a fresh process could tell of it no better.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from tremorscope.runtime.cameras.opening import has_argus, supervisor_settings
from tremorscope.runtime.configuration.schema import Configuration
from tremorscope.runtime.host.privileged import ArgusDaemon, ask
from tremorscope.runtime.host.settings import RecoverySettings
from tremorscope.runtime.host.threads import Threads
from tremorscope.runtime.service.assembly import Components
from tremorscope.runtime.service.reboots import RebootMemory, memory_file
from tremorscope.runtime.service.store_keeper import state_directory
from tremorscope.runtime.store.records import Notice

Rung = Literal["reopen", "restart_argus", "exit", "reboot"]
RUNGS: tuple[Rung, ...] = ("reopen", "restart_argus", "exit", "reboot")

EXIT_RECOVERY = 75
"""The process ended to be started anew (EX_TEMPFAIL of sysexits.h); systemd restarts it."""
EXIT_CONFIGURATION = 78
"""The configuration cannot be followed (EX_CONFIG); a restart would not help, and systemd does not try."""
LEAST_LIFE_S = 30.0
"""A process that cannot help itself does not end sooner, else systemd would give it up: ten starts in 300 s."""
ALL_REFUSED_S = 600.0
"""A process whose camera gives frames, and none that is good, does not end sooner."""

_LONGEST_REQUEST_S = 70.0
"""For the lock that all instances share and the answer to a request: see `runtime.host`."""


@dataclass(frozen=True)
class Action:
    """Recovery action to carry out now."""

    rung: Rung
    attempt: int
    """Attempt number on this rung in this outage, from 1."""
    outage_s: float
    """Time without good frames."""
    note: str = ""
    """Human-readable reason why a rung was passed over."""

    def __str__(self) -> str:
        what = {
            "reopen": "opening the camera anew",
            "restart_argus": "restarting nvargus-daemon, and ending, to be started anew",
            "exit": "ending, to be started anew",
            "reboot": "restarting the device",
        }[self.rung]
        text = f"no good frames for {self.outage_s:.0f} s: {what} (attempt {self.attempt})"
        return f"{text}; {self.note}" if self.note else text


@dataclass(frozen=True)
class Outlook:
    """State of a camera that gives no good frames."""

    stuck: bool = False
    """Opening it cannot help, because threads hang in its driver."""
    refused: bool = False
    """The camera is there and refuses the configuration: neither reopening nor a restart helps."""
    opened_in_vain: bool = False
    """It was opened since its last good frame, and gave none."""
    all_refused: bool = False
    """Frames come, and all are refused: damaged, of one colour throughout, or one picture again and again."""


NO_OUTLOOK = Outlook()


class RecoveryLadder:
    """Climbs from rung to rung while the camera stays away; steps down when it has been well for a while.

    Every action is followed by its dwell, in which nothing else is done. Frames that come for less than
    ``steady_s`` end the wait, but not the outage: a camera that comes and goes climbs on.
    """

    def __init__(
        self,
        settings: RecoverySettings,
        *,
        argus: ArgusDaemon | None = None,
        memory: RebootMemory | None = None,
        busy: Callable[[], str] = lambda: "",
        opening_s: float = 0.0,
    ) -> None:
        """Begin at the bottom.

        Args:
            settings: dwells and attempts.
            argus: nvargus-daemon, where the camera needs it; without it that rung is left out.
            memory: outlives the process; None never restarts the device.
            busy: returns the work that a restart of the device must not interrupt, e.g. "a clip is being
                written"; empty if there is none.
            opening_s: how long opening this camera may take: no dwell is shorter, else the ladder would climb on
                while a camera on the network still answers.
        """
        self._settings, self._memory, self._busy, self._argus = settings, memory, busy, argus
        self._reopen_s = max(settings.reopen_after_s, opening_s)
        self._counts: dict[Rung, int] = dict.fromkeys(RUNGS, 0)
        self._in_outage: dict[Rung, int] = dict.fromkeys(RUNGS, 0)
        self._first_s: float | None = None
        self._began_s: float | None = None
        self._bad_since_s: float | None = None
        self._good_since_s: float | None = None
        self._next_s, self._reopened_s = 0.0, -math.inf
        self._ended = False
        self._well_noted = False

    @property
    def counts(self) -> Mapping[Rung, int]:
        """Actions since the process began, by rung."""
        return dict(self._counts)

    @property
    def longest_s(self) -> float:
        """Most time from the last frame to the last rung; systemd's WatchdogSec must be longer."""
        asking_s = _LONGEST_REQUEST_S if self._argus is not None else 0.0
        return self._reopen_s * (1 + self._settings.reopen_attempts) + asking_s

    def advance(self, now_s: float, healthy: bool, outlook: Outlook = NO_OUTLOOK) -> Action | None:
        """Take the state of the camera and return the action to carry out now, if any.

        Args:
            now_s: seconds on a clock that never goes back.
            healthy: whether good frames come.
            outlook: state of the camera while they do not.
        """
        if self._ended:
            return None
        if self._first_s is None:
            self._first_s = now_s
        if healthy:
            self._well(now_s)
            return None
        self._good_since_s = None
        if self._began_s is None:
            self._began_s = now_s
        if self._bad_since_s is None:
            self._bad_since_s = now_s
            self._next_s = max(self._next_s, now_s + self._reopen_s)
        outage_s = now_s - self._began_s
        if self._argus is not None and self._argus.is_blind():
            # Neither opening the camera nor restarting the daemon once more would help.
            why = "nvargus-daemon was restarted, and only a new process sees frames"
            return self._end(outage_s, why) if self._is_old_enough(now_s) else None
        may_restart = self._argus is not None and not outlook.refused and not self._argus.refusal()
        if may_restart and (outlook.opened_in_vain or outlook.stuck):
            # The supervisor has opened it anew already: once more would only cost time.
            if now_s >= max(self._bad_since_s, self._reopened_s) + self._settings.reopen_after_s:
                return self._restart_argus(outage_s)
        elif now_s >= self._next_s:
            return self._climb(now_s, outage_s, outlook, may_restart)
        return None

    def _well(self, now_s: float) -> None:
        self._bad_since_s = None
        if self._good_since_s is None:
            self._good_since_s = now_s
        if now_s - self._good_since_s < self._settings.steady_s:
            return
        self._began_s = None
        self._in_outage = dict.fromkeys(RUNGS, 0)
        if not self._well_noted:
            self._well_noted = True
            for memory in (self._memory, self._argus):
                if memory is not None:
                    memory.note_health()

    def _climb(self, now_s: float, outage_s: float, outlook: Outlook, may_restart: bool) -> Action | None:
        if not outlook.stuck and self._in_outage["reopen"] < self._settings.reopen_attempts:
            self._next_s, self._reopened_s = now_s + self._reopen_s, now_s
            return self._take("reopen", outage_s)
        if may_restart:
            return self._restart_argus(outage_s)
        may_end = self._is_old_enough(now_s) and not (outlook.all_refused and outage_s < ALL_REFUSED_S)
        return self._end(outage_s) if may_end else None

    def _is_old_enough(self, now_s: float) -> bool:
        return self._first_s is not None and now_s - self._first_s >= LEAST_LIFE_S

    def _restart_argus(self, outage_s: float) -> Action:
        self._ended = True
        if self._memory is not None:
            self._memory.note_exit()
        return self._take("restart_argus", outage_s)

    def _end(self, outage_s: float, why: str = "") -> Action:
        self._ended = True
        reboot = self._settings.reboot
        exits = self._memory.note_exit() if self._memory is not None else 0
        if self._memory is None or not reboot.enabled or exits <= reboot.after_exits:
            return self._take("exit", outage_s, why)
        refusal = self._busy() or self._memory.refusal() or self._memory.note_reboot()
        if refusal:
            return self._take("exit", outage_s, f"the device is not restarted: {refusal}")
        return self._take("reboot", outage_s)

    def _take(self, rung: Rung, outage_s: float, note: str = "") -> Action:
        self._counts[rung] += 1
        self._in_outage[rung] += 1
        return Action(rung, self._in_outage[rung], outage_s, note)


log = logging.getLogger("tremorscope.service")

_SILENT_PERIODS, _SILENT_S = 15.0, 1.0
"""Silence that counts as missing frames: in frame periods, and in seconds at least."""
_REOPENED_WITHIN_S = 60.0
"""Time between two refused frames at most: the supervisor's longest pause, and the longest opening."""


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
        self._came, self._came_at_s, self._all_refused = (0, 0), -math.inf, False
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
        good = state.taken + state.waiting + state.drops.late + state.drops.no_slot
        if (came := (good, state.drops.corrupt)) != self._came:
            self._came, self._came_at_s, self._all_refused = came, now_s, good == self._came[0]
        outlook = Outlook(
            stuck=state.status == "stuck",
            refused="refused" in state.active,
            opened_in_vain=state.opened_in_vain > 0,
            all_refused=self._all_refused and now_s - self._came_at_s < _REOPENED_WITHIN_S,
        )
        if (action := self.ladder.advance(now_s, healthy, outlook)) is not None:
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
