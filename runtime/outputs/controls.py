"""What people may do to a running service from outside; the service does it, the outputs only ask."""

from __future__ import annotations

from typing import Protocol


class Controls(Protocol):
    """May be called from any thread, and returns soon."""

    def acknowledge(self, alarm: str, by: str) -> bool:
        """Note that somebody has seen the latest raise of an alarm; False if there is nothing to see."""

    def record_event(self, reason: str) -> str | None:
        """Record a clip of what happens now; returns the event's name, or None where nothing is recorded."""

    def adjust(
        self,
        *,
        amplification: float | None = None,
        bands_hz: tuple[tuple[float, float], ...] | None = None,
    ) -> None:
        """Change the amplification, the bands, or both, until the service is started or reconfigured again.

        Raises:
            Fault: it cannot be done, e.g. a band above half the rate; all goes on as before.
        """
