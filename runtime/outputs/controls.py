"""Interface between the service and its outputs: state, live data, stored results, and controls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tremorscope.runtime.health import HealthBoard
from tremorscope.runtime.live.feed import LiveFeed


class Controls(Protocol):
    """Actions on the running service. Every method may be called from any thread, and returns soon."""

    def acknowledge(self, alarm: str, by: str) -> bool:
        """Acknowledge the latest raise of an alarm; False if there is none that is unacknowledged."""

    def record_event(self, reason: str) -> str | None:
        """Record a clip around the present; returns the event's name, or None if nothing is recorded."""

    def adjust(
        self,
        *,
        amplification: float | None = None,
        bands_hz: tuple[tuple[float, float], ...] | None = None,
    ) -> None:
        """Change the amplification, the bands, or both, until the service is started or reconfigured again.

        Raises:
            Fault: it cannot be done, e.g. a band above half the rate; nothing is changed then.
        """


@dataclass(frozen=True)
class ServiceView:
    """The service as its outputs see it."""

    board: HealthBoard
    """Status of the service, to which outputs also report their own."""
    feed: LiveFeed
    """Live pictures and series."""
    store: Path | None = None
    """SQLite store, for the lists of alarms and events; None if nothing is stored."""
    clips: Path | None = None
    """Directory of the clips; None if there are none."""
    controls: Controls | None = None
    """Actions that clients may request; None lets them only look."""
