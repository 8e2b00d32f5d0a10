"""The recovery ladder: what is tried, step by step, when the camera gives no good frames.

It decides and counts; whoever holds the camera carries its actions out. The rungs, mildest first:

    reopen          open the camera anew
    restart_argus   restart nvargus-daemon (cameras on the CSI connector only)
    exit            end with ``EXIT_RECOVERY``, so that systemd starts the service anew
    reboot          restart the device: opt-in, bounded a day, never while a clip or an update is being written
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from runtime.configuration.device import RecoverySettings

Rung = Literal["reopen", "restart_argus", "exit", "reboot"]
RUNGS: tuple[Rung, ...] = ("reopen", "restart_argus", "exit", "reboot")

EXIT_RECOVERY = 75
"""The process ended to be started anew (EX_TEMPFAIL of sysexits.h); systemd restarts it."""
EXIT_CONFIGURATION = 78
"""The configuration cannot be followed (EX_CONFIG); a restart would not help, and systemd does not try."""


@dataclass(frozen=True)
class Action:
    """What is to be done now."""

    rung: Rung
    attempt: int
    """The how-manieth time on this rung in this outage, from 1."""
    outage_s: float
    """How long there have been no good frames."""
    note: str = ""
    """Why a rung was passed over, for a person."""

    def __str__(self) -> str:
        what = {
            "reopen": "opening the camera anew",
            "restart_argus": "restarting nvargus-daemon",
            "exit": "ending, to be started anew",
            "reboot": "restarting the device",
        }[self.rung]
        text = f"no good frames for {self.outage_s:.0f} s: {what} (attempt {self.attempt})"
        return f"{text}; {self.note}" if self.note else text


class Memory(Protocol):
    """What outlives the process: see ``runtime.reboots.RebootMemory``."""

    def note_exit(self) -> int:
        """Note one more start that came to nothing; returns how many there were in a row."""
        ...

    def note_health(self) -> None:
        """Note that frames came for good: the row of failed starts is over."""
        ...

    def refusal(self) -> str:
        """Why the device must not be restarted now; empty if it may be."""
        ...

    def note_reboot(self) -> str:
        """Note, on disk, that the device is about to be restarted; returns why that failed, or nothing."""
        ...


class RecoveryLadder:
    """Climbs from rung to rung while the camera stays away; steps down when it has been well for a while.

    Every action is followed by its dwell, in which nothing else is done. Frames that come for less than
    ``steady_s`` end the wait, but not the outage: a camera that comes and goes climbs on.
    """

    def __init__(
        self,
        settings: RecoverySettings,
        *,
        has_argus: bool,
        memory: Memory | None = None,
        busy: Callable[[], str] = lambda: "",
        opening_s: float = 0.0,
    ) -> None:
        """Begin at the bottom.

        Args:
            settings: dwells and attempts.
            has_argus: whether nvargus-daemon stands behind the camera; without it that rung is left out.
            memory: what outlives the process; None never restarts the device.
            busy: what must not be interrupted by a restart of the device, e.g. "a clip is being written"; empty
                if nothing.
            opening_s: how long opening this camera may take: no dwell is shorter, else the ladder would climb on
                while a camera on the network still answers.
        """
        self._settings, self._memory, self._busy = settings, memory, busy
        self._reopen_s = max(settings.reopen_after_s, opening_s)
        self._restart_argus_s = max(settings.restart_argus_dwell_s, opening_s)
        self._attempts: dict[Rung, int] = {
            "reopen": settings.reopen_attempts,
            "restart_argus": settings.restart_argus_attempts if has_argus else 0,
        }
        self._counts: dict[Rung, int] = dict.fromkeys(RUNGS, 0)
        self._in_outage: dict[Rung, int] = dict.fromkeys(RUNGS, 0)
        self._began_s: float | None = None
        self._bad_since_s: float | None = None
        self._good_since_s: float | None = None
        self._next_s = 0.0
        self._ended = False
        self._well_noted = False

    @property
    def counts(self) -> Mapping[Rung, int]:
        """How often each rung was taken since the process began."""
        return dict(self._counts)

    @property
    def longest_s(self) -> float:
        """Most time from the last good frame to the last rung; systemd's WatchdogSec must be longer."""
        return self._reopen_s * (1 + self._attempts["reopen"]) + (
            self._restart_argus_s * self._attempts["restart_argus"]
        )

    @property
    def in_outage(self) -> bool:
        """Whether good frames are missing, or have not been back for long enough."""
        return self._began_s is not None

    def advance(self, now_s: float, healthy: bool, *, stuck: bool = False) -> Action | None:
        """Take how the camera stands and return what to do now, if anything.

        Args:
            now_s: seconds on a clock that never goes back.
            healthy: whether good frames come.
            stuck: opening the camera cannot help, because threads hang in its driver: that rung is passed over.
        """
        if self._ended:
            return None
        if healthy:
            self._well(now_s)
            return None
        self._good_since_s = None
        if self._began_s is None:
            self._began_s = now_s
        if self._bad_since_s is None:
            self._bad_since_s = now_s
            self._next_s = max(self._next_s, now_s + self._reopen_s)
        if now_s < self._next_s:
            return None
        return self._climb(now_s, now_s - self._began_s, stuck)

    def _well(self, now_s: float) -> None:
        self._bad_since_s = None
        if self._good_since_s is None:
            self._good_since_s = now_s
        if now_s - self._good_since_s < self._settings.steady_s:
            return
        self._began_s = None
        self._in_outage = dict.fromkeys(RUNGS, 0)
        if not self._well_noted and self._memory is not None:
            self._memory.note_health()
            self._well_noted = True

    def _climb(self, now_s: float, outage_s: float, stuck: bool) -> Action:
        can_reopen = not stuck and not self._in_outage["restart_argus"]
        if can_reopen and self._in_outage["reopen"] < self._attempts["reopen"]:
            self._next_s = now_s + self._reopen_s
            return self._take("reopen", outage_s)
        if self._in_outage["restart_argus"] < self._attempts["restart_argus"]:
            self._next_s = now_s + self._restart_argus_s
            return self._take("restart_argus", outage_s)
        self._ended = True
        return self._end(outage_s)

    def _end(self, outage_s: float) -> Action:
        reboot = self._settings.reboot
        exits = self._memory.note_exit() if self._memory is not None else 0
        if self._memory is None or not reboot.enabled or exits <= reboot.after_exits:
            return self._take("exit", outage_s)
        busy = self._busy()
        refusal = f"{busy}" if busy else self._memory.refusal() or self._memory.note_reboot()
        if refusal:
            return self._take("exit", outage_s, f"the device is not restarted: {refusal}")
        return self._take("reboot", outage_s)

    def _take(self, rung: Rung, outage_s: float, note: str = "") -> Action:
        self._counts[rung] += 1
        self._in_outage[rung] += 1
        return Action(rung, self._in_outage[rung], outage_s, note)
