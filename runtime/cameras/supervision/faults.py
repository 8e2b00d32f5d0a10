"""Kinds of camera faults, their events, and the pauses between attempts to open a camera."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

FaultKind = Literal["missing", "lost", "refused", "frozen", "resized", "corrupt", "time", "stuck"]
"""missing: cannot be opened, and never gave a frame. lost: failed, ended, or cannot be opened again.
refused: cannot do what the configuration asks, such as a rate or a number of a camera that is not there.
frozen: no frame in time, or the same again and again. resized: frames of another size.
corrupt: damaged or constant frames. time: timestamps or sequence numbers that do not follow.
stuck: too many threads hang in the camera's driver.
"""
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
_MOST_EVENTS = 256


@dataclass(frozen=True)
class CameraEvent:
    """Beginning or end of a fault."""

    kind: FaultKind
    begins: bool
    """True where the fault begins, False where it has passed."""
    since_s: float
    """Time at which it began, on the supervisor's clock; of a frozen camera, the time of its last frame."""
    at_s: float
    """Time of this event, on the same clock."""
    episodes: int
    """Number of episodes of this kind, this one included."""
    occurrences: int
    """Failed attempts, damaged frames or jumps of this episode so far."""
    detail: str
    """Latest occurrence, in one line."""


@dataclass
class _Episode:
    active: bool = False
    since_s: float = 0.0
    episodes: int = 0
    occurrences: int = 0
    total: int = 0
    detail: str = ""


class FaultLog:
    """Counts faults by kind and turns them into events on both edges, in constant memory."""

    def __init__(self) -> None:
        self._kinds: dict[FaultKind, _Episode] = {kind: _Episode() for kind in FAULT_KINDS}
        self._events: deque[CameraEvent] = deque(maxlen=_MOST_EVENTS)
        self.events_lost = 0
        """Events that were dropped, the oldest first, because they were not fetched in time."""
        self._lasting = 0

    @property
    def active(self) -> tuple[FaultKind, ...]:
        """Faults that last at present."""
        return tuple(kind for kind, episode in self._kinds.items() if episode.active)

    @property
    def has_events(self) -> bool:
        """True while there are events to fetch."""
        return bool(self._events)

    def total(self, kind: FaultKind) -> int:
        """Occurrences of a kind in all episodes."""
        return self._kinds[kind].total

    def seen(self, kind: FaultKind, now_s: float, detail: str, since_s: float | None = None) -> None:
        """Count an occurrence; the first of an episode makes an event."""
        episode = self._kinds[kind]
        episode.total += 1
        episode.detail = detail
        if episode.active:
            episode.occurrences += 1
            return
        episode.active = True
        self._lasting += 1
        episode.since_s = now_s if since_s is None else since_s
        episode.episodes += 1
        episode.occurrences = 1
        self._report(kind, episode, now_s, begins=True)

    def passed(self, kind: FaultKind, now_s: float) -> None:
        """End a fault; makes an event if it was active."""
        episode = self._kinds[kind]
        if episode.active:
            episode.active = False
            self._lasting -= 1
            self._report(kind, episode, now_s, begins=False)

    def all_passed(self, kinds: Iterable[FaultKind], now_s: float) -> None:
        """End each of these faults; cheap while none lasts, as at almost every frame."""
        if self._lasting:
            for kind in kinds:
                self.passed(kind, now_s)

    def next_event(self) -> CameraEvent | None:
        """The oldest event that was not fetched yet."""
        return self._events.popleft() if self._events else None

    def _report(self, kind: FaultKind, episode: _Episode, now_s: float, *, begins: bool) -> None:
        self.events_lost += len(self._events) == _MOST_EVENTS
        self._events.append(
            CameraEvent(
                kind=kind,
                begins=begins,
                since_s=episode.since_s,
                at_s=now_s,
                episodes=episode.episodes,
                occurrences=episode.occurrences,
                detail=episode.detail,
            )
        )


@dataclass(frozen=True)
class BackoffSettings:
    """Pauses between attempts: each ``factor`` times the one before, up to ``longest_s``, less some jitter.

    An attempt follows the return of a camera that was away for T seconds within
    ``first_s + (factor - 1) / (1 - jitter) * T``, because the pauses so far are a geometric series of at
    least ``(1 - jitter)`` times their nominal sum: 1.92 s after 3 s with the defaults, ``longest_s`` at most.
    """

    first_s: float = 0.25
    longest_s: float = 30.0
    factor: float = 1.5
    jitter: float = 0.1
    """Largest share, drawn at random, by which a pause is shortened, so that cameras do not retry in lockstep."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 < self.first_s <= self.longest_s and self.factor >= 1 and 0 <= self.jitter < 1):
            raise ValueError(f"{self}: needs 0 < first_s <= longest_s, factor >= 1 and 0 <= jitter < 1")


class Backoff:
    """Sequence of pauses between attempts."""

    def __init__(self, settings: BackoffSettings) -> None:
        self._settings = settings
        self._random = random.Random(settings.seed)
        self._nominal_s = settings.first_s

    def next_s(self) -> float:
        """The pause before the next attempt."""
        settings = self._settings
        pause_s = self._nominal_s * (1 - settings.jitter * self._random.random())
        self._nominal_s = min(self._nominal_s * settings.factor, settings.longest_s)
        return pause_s

    def reset(self) -> None:
        """Begin with the first pause again."""
        self._nominal_s = self._settings.first_s


class BadFrameCounter:
    """Counter of bad frames against good ones: distinguishes occasional errors from a camera that has failed."""

    _WEIGHT = 4
    """Good frames that make up for a bad one."""

    def __init__(self, *, most: int, clear_after_frames: int) -> None:
        self._most = most * self._WEIGHT
        self._clear_after_frames = clear_after_frames
        self._sum = self._good_in_a_row = 0

    def reset(self) -> None:
        """Start counting anew."""
        self._sum = self._good_in_a_row = 0

    def bad(self) -> bool:
        """Count a bad frame; returns True where there are too many."""
        self._sum += self._WEIGHT
        self._good_in_a_row = 0
        return self._sum >= self._most

    def good(self) -> bool:
        """Count a good frame; returns True after ``clear_after_frames`` in a row."""
        self._sum = max(0, self._sum - 1)
        self._good_in_a_row += 1
        return self._good_in_a_row >= self._clear_after_frames
