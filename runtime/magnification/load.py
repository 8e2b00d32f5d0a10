"""Thermal governor: reduces the load of a hot device level by level, and restores it when the device has cooled."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tremorscope.runtime.host.settings import ThermalLevelSettings, ThermalSettings
from tremorscope.runtime.host.thermal import ThermalReading


@dataclass(frozen=True)
class LoadLevel:
    """Load level: the share of the work that is done; ``index`` 0 is all of it."""

    index: int = 0
    rate_fraction: float = 1.0
    """Magnified frames over the camera's frames."""
    region_fraction: float = 1.0
    """Factor on the magnified region's width and height."""
    precision: Literal["configured", "int8"] = "configured"
    magnify: bool = True

    def __str__(self) -> str:
        if self.index == 0:
            return "level 0 (nothing held back)"
        held = [
            f"{self.rate_fraction:.0%} of the rate" if self.rate_fraction < 1 else "",
            f"{self.region_fraction:.0%} of the region" if self.region_fraction < 1 else "",
            "INT8" if self.precision == "int8" else "",
            "" if self.magnify else "no magnification",
        ]
        return f"level {self.index} ({', '.join(text for text in held if text) or 'nothing held back'})"


@dataclass(frozen=True)
class LoadStep:
    """Change of the load level, and the reading that led to it."""

    time_s: float
    before: LoadLevel
    after: LoadLevel
    reading: ThermalReading

    def __str__(self) -> str:
        direction = "hotter" if self.after.index > self.before.index else "cooler"
        return f"{direction}: {self.reading}: from {self.before} to {self.after}"


class ThermalGovernor:
    """Follows the device's heat with bands, hysteresis and dwell; one level a step.

    ``update`` goes once a second or so. A level is entered when its temperature has lasted ``heat_dwell_s``, and left
    when the device has been cooler by the hysteresis for ``cool_dwell_s``; both count from the latest step on. Where
    nothing can be read the level stays as it is.
    """

    def __init__(
        self,
        settings: ThermalSettings,
        read: Callable[[], ThermalReading],
        *,
        on_step: Callable[[LoadStep], None] = lambda _: None,
    ) -> None:
        """Begin with nothing held back.

        Args:
            settings: bands and dwells.
            read: the device's heat now; see ``runtime.host.thermal``.
            on_step: called with every change of level.
        """
        self._settings, self._read, self._on_step = settings, read, on_step
        self._levels = (LoadLevel(), *(_level(i + 1, each) for i, each in enumerate(settings.levels)))
        self._hotter_since_s: float | None = None
        self._cooler_since_s: float | None = None
        self.level = self._levels[0]
        """Present load level."""
        self.reading = ThermalReading(None)
        """The latest reading."""
        self.steps = 0
        """Changes of level so far."""

    def update(self, now_s: float) -> LoadLevel:
        """Read the device's heat and return the level from now on; ``now_s`` is on a clock that never goes back."""
        self.reading = self._read()
        if not self._settings.enabled:
            return self.level
        hotter, cooler = self._verdict(self.reading)
        self._hotter_since_s = _since(self._hotter_since_s, now_s, hotter)
        self._cooler_since_s = _since(self._cooler_since_s, now_s, cooler)
        if self._has_lasted(self._hotter_since_s, now_s, self._settings.heat_dwell_s):
            self._step(now_s, +1)
        elif self._has_lasted(self._cooler_since_s, now_s, self._settings.cool_dwell_s):
            self._step(now_s, -1)
        return self.level

    def _verdict(self, reading: ThermalReading) -> tuple[bool, bool]:
        """Two booleans: the reading asks for the next level; it asks for the one before."""
        index, held = self.level.index, self._settings.throttled_counts and bool(reading.throttled)
        temperature_c = reading.temperature_c
        if temperature_c is None:
            return held and index == 0, False
        hotter = temperature_c >= self._enter_c(index + 1) or (held and index == 0)
        cooler = temperature_c < self._enter_c(index) - self._settings.hysteresis_c
        return hotter and index + 1 < len(self._levels), cooler and not (held and index == 1)

    def _enter_c(self, index: int) -> float:
        """Temperature in °C at which a level is entered; infinite for a level that does not exist."""
        if index == 0:
            return -math.inf
        levels = self._settings.levels
        return levels[index - 1].enter_c if index <= len(levels) else math.inf

    @staticmethod
    def _has_lasted(since_s: float | None, now_s: float, dwell_s: float) -> bool:
        return since_s is not None and now_s - since_s >= dwell_s

    def _step(self, now_s: float, by: int) -> None:
        before, self.level = self.level, self._levels[self.level.index + by]
        self._hotter_since_s = self._cooler_since_s = None
        self.steps += 1
        self._on_step(LoadStep(now_s, before, self.level, self.reading))


def _level(index: int, settings: ThermalLevelSettings) -> LoadLevel:
    return LoadLevel(
        index, settings.rate_fraction, settings.region_fraction, settings.precision, settings.magnify
    )


def _since(since_s: float | None, now_s: float, lasts: bool) -> float | None:
    if not lasts:
        return None
    return now_s if since_s is None else since_s
