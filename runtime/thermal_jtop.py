"""The one door to jtop (jetson-stats, AGPL-3.0), an optional source of temperatures; nothing of it is shipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtime.errors import OptionFault
from runtime.thermal import ThermalReading, reading_of

_REMEDY = "set thermal.source to sysfs, which needs nothing, or install jetson-stats and start its service"


class JtopThermometer:
    """Takes temperatures from jtop's service, and whatever it does not tell from another source.

    jtop does not say whether the device holds itself back; and its service may end, in which case the other
    source tells the temperatures too.
    """

    def __init__(self, zones: tuple[str, ...], otherwise: Callable[[], ThermalReading]) -> None:
        """Connect.

        Raises:
            OptionFault: jtop is not installed, or its service does not answer.
        """
        try:
            from jtop import JtopException, jtop
        except ImportError:
            raise OptionFault("thermal.source: jtop is not installed", remedy=_REMEDY) from None
        self._zones, self._otherwise = zones, otherwise
        self._failures: tuple[type[Exception], ...] = (JtopException, OSError, EOFError)
        self._jtop: Any = jtop(interval=1.0)
        try:
            self._jtop.start()
        except self._failures as error:
            why = " ".join(str(error).split())
            raise OptionFault(f"thermal.source: jtop does not answer ({why})", remedy=_REMEDY) from None

    def read(self) -> ThermalReading:
        """How things stand now."""
        other = self._otherwise()
        try:
            sensors = self._jtop.temperature if self._jtop.ok(spin=True) else {}
        except self._failures:
            return other
        temperatures_c = {name: float(each["temp"]) for name, each in sensors.items() if each.get("online")}
        if not temperatures_c:
            return other
        return reading_of(temperatures_c, self._zones, other.throttled, other.limit_events)
