"""What can go wrong with a camera, how it is told, and how long to wait before the next attempt."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import Literal, get_args

FaultKind = Literal["missing", "lost", "refused", "frozen", "resized", "corrupt", "time", "stuck"]
"""missing: cannot be opened, and never gave a frame. lost: failed, ended, or cannot be opened again.
refused: cannot do what the configuration asks, such as a rate or a number of a camera that is not there.
frozen: no frame in time, or the same again and again. resized: frames of another size.
corrupt: damaged or constant frames. time: timestamps or sequence numbers that do not follow.
stuck: too many threads hang in the driver.
"""
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
_MOST_UNTOLD = 256


@dataclass(frozen=True)
class CameraEvent:
    """One edge of a fault."""

    kind: FaultKind
    begins: bool
    """True where the fault begins, False where it has passed."""
    since_s: float
    """When it began, on the supervisor's clock; of a frozen camera, when its last frame came."""
    at_s: float
    """When this was told, on the same clock."""
    episodes: int
    """How often this kind has begun, this time included."""
    occurrences: int
    """Failed attempts, damaged frames or jumps of this episode so far."""
    detail: str
    """What was seen last, in one line."""


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
        self._untold: deque[CameraEvent] = deque(maxlen=_MOST_UNTOLD)
        self.events_lost = 0
        """Events that nobody fetched in time, the oldest first."""

    @property
    def active(self) -> tuple[FaultKind, ...]:
        """Faults that last at present."""
        return tuple(kind for kind, episode in self._kinds.items() if episode.active)

    @property
    def has_untold(self) -> bool:
        """Whether there are events to fetch."""
        return bool(self._untold)

    def total(self, kind: FaultKind) -> int:
        """How often a kind has occurred in all episodes."""
        return self._kinds[kind].total

    def seen(self, kind: FaultKind, now_s: float, detail: str, since_s: float | None = None) -> None:
        """Note an occurrence; the first of an episode is told."""
        episode = self._kinds[kind]
        episode.total += 1
        episode.detail = detail
        if episode.active:
            episode.occurrences += 1
            return
        episode.active = True
        episode.since_s = now_s if since_s is None else since_s
        episode.episodes += 1
        episode.occurrences = 1
        self._tell(kind, episode, now_s, begins=True)

    def passed(self, kind: FaultKind, now_s: float) -> None:
        """Note that a fault is over; told if it was active."""
        episode = self._kinds[kind]
        if episode.active:
            episode.active = False
            self._tell(kind, episode, now_s, begins=False)

    def next_event(self) -> CameraEvent | None:
        """The oldest event that was not fetched yet."""
        return self._untold.popleft() if self._untold else None

    def _tell(self, kind: FaultKind, episode: _Episode, now_s: float, *, begins: bool) -> None:
        self.events_lost += len(self._untold) == _MOST_UNTOLD
        self._untold.append(
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
    """Largest part, drawn at random, by which a pause is shortened, so that several cameras do not march in step."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 < self.first_s <= self.longest_s and self.factor >= 1 and 0 <= self.jitter < 1):
            raise ValueError(f"{self} cannot be")


class Backoff:
    """The pauses one after the other."""

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


class Strikes:
    """Tells a camera that errs now and then from one that has gone wrong."""

    _WEIGHT = 4
    """A bad frame weighs as much as so many good ones."""

    def __init__(self, *, most: int, clear_after_frames: int) -> None:
        self._most = most * self._WEIGHT
        self._clear_after_frames = clear_after_frames
        self._sum = self._good_in_a_row = 0

    def reset(self) -> None:
        """Forget what was."""
        self._sum = self._good_in_a_row = 0

    def bad(self) -> bool:
        """Take note of a bad frame; returns True where it is one too many."""
        self._sum += self._WEIGHT
        self._good_in_a_row = 0
        return self._sum >= self._most

    def good(self) -> bool:
        """Take note of a good frame; returns True where so many came in a row that all is well again."""
        self._sum = max(0, self._sum - 1)
        self._good_in_a_row += 1
        return self._good_in_a_row >= self._clear_after_frames
