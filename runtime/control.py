"""What a person may ask of the running service, through the web page or MQTT."""

from __future__ import annotations

from typing import Protocol


class Control(Protocol):
    """Asked from any thread; every call returns at once."""

    def acknowledge(self, alarm: str, by: str) -> bool:
        """Note that somebody has seen the latest raise of an alarm; False if there is nothing to see."""

    def record_event(self, reason: str) -> str | None:
        """Record a clip of what happens now; returns the event's name, or None where nothing is recorded.

        The reason why not stands in ``Health.storage`` and in the store.
        """

    def set_amplification(self, amplification: float) -> None:
        """Amplify more or less, with a short fade, until the configuration is read again.

        Raises:
            OptionFault: the bundle's weights cannot give it.
        """

    def set_bands(self, bands_hz: tuple[tuple[float, float], ...]) -> None:
        """Magnify other bands, with a fade over the change, until the configuration is read again.

        Raises:
            OptionFault: a band cannot be had at the measured rate, or the mode knows no bands; all goes on as before.
        """
