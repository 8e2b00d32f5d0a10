"""A camera supervisor's settings, counters and state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tremorscope.runtime.cameras.supervision.faults import BackoffSettings, FaultKind

Status = Literal["opening", "running", "closing", "waiting", "stuck", "ended", "closed"]


@dataclass(frozen=True)
class SupervisorSettings:
    """Limits beyond which a camera counts as failing, and the reaction to it."""

    frozen_periods: float = 15.0
    """A camera is frozen after this many periods of its nominal rate without a frame ..."""
    frozen_least_s: float = 0.5
    """... but not sooner than this."""
    open_timeout_s: float = 10.0
    """Most time for opening, and again for the first frame."""
    close_timeout_s: float = 3.0
    """Most time that closing a camera may take, and the bound on ``CameraSupervisor.close``."""
    jump_s: float = 0.5
    """Most disagreement of a timestamp with counts and clocks."""
    still_s: float | None = 5.0
    """Longest time of the same picture, noise and all, before the camera counts as frozen; None: for ever."""
    reject_constant: bool = True
    """Refuse frames of one value throughout."""
    clear_after_frames: int = 30
    """Good frames in a row after which corruption or jumps are over."""
    most_strikes: int = 8
    """Bad frames, beyond one in four good ones, after which the camera is opened again."""
    steady_s: float = 5.0
    """Time without a failure after which the backoff begins anew."""
    most_waiting: int = 1
    """Frames that wait for the consumer; a newer one pushes the oldest out."""
    most_abandoned: int = 2
    """Threads hanging in the driver that make the camera stuck: it is not opened again until one returns."""
    end_is_fault: bool = True
    """Treat the end of the source as a failure, as of a live camera; False for a clip."""
    backoff: BackoffSettings = field(default_factory=BackoffSettings)

    def __post_init__(self) -> None:
        if self.most_waiting < 1 or self.most_abandoned < 1 or self.most_strikes < 1:
            raise ValueError(f"{self}: most_waiting, most_abandoned and most_strikes must each be at least 1")

    def slots(self, *, held_by_consumer: int) -> int:
        """Slots that the ring needs for a consumer that holds so many frames at a time."""
        return self.most_waiting + held_by_consumer + self.most_abandoned


@dataclass(frozen=True)
class Drops:
    """Frames that the source produced and that never reached the consumer, by reason."""

    source: int = 0
    """Numbered by the source, but never given out: gaps in its count."""
    late: int = 0
    """Pushed out by a newer frame before the consumer took them."""
    no_slot: int = 0
    """Refused because the consumer held every slot."""
    corrupt: int = 0
    """Damaged, and known by their number."""
    abandoned: int = 0
    """Came from a thread that had been given up, or while closing."""
    unfetched: int = 0
    """Numbered by the source and lost while frames were fetched from it too late: this device had no time for them."""

    @property
    def total(self) -> int:
        """All of them."""
        return sum(vars(self).values())


@dataclass(frozen=True)
class SupervisorState:
    """State of a supervised camera and its counters."""

    status: Status
    active: tuple[FaultKind, ...]
    """Faults that last at present."""
    taken: int
    """Frames that the consumer got."""
    waiting: int
    """Frames that wait for it."""
    drops: Drops
    openings: int
    """Number of successful openings."""
    opened_in_vain: int
    """Failed attempts to open it since its last good frame."""
    segments: int
    """Number of segments so far, each a new beginning of time or picture."""
    abandoned_threads: int
    """Threads that hang in the driver at present."""
    events_lost: int
    """Events that were dropped because too many came at once."""
