"""Engines of the live magnification: opened once for each load level, and used for one magnifier after the other."""

from __future__ import annotations

import logging

from tremorscope.runtime.errors import Fault
from tremorscope.runtime.magnification.factory import EngineFactory, Engines
from tremorscope.runtime.magnification.load import LoadLevel
from tremorscope.runtime.magnification.settings import Magnification
from tremorscope.runtime.vibration.displacement.regions import Region

log = logging.getLogger("tremorscope.magnification")

_Load = tuple[str, float, tuple[Region, ...]]
"""Precision, share of the region, and the regions where that share is below 1."""
_FULL_LOAD: _Load = ("configured", 1.0, ())


class EnginePool:
    """Engines of the live magnification by load level, opened once each; used by one thread.

    Engines for a lighter load are kept, for heat comes and goes every day, but not those for regions that are no longer
    magnified.
    """

    def __init__(self, factory: EngineFactory) -> None:
        self._factory = factory
        self._by_load: dict[_Load, Engines] = {}
        self._retired: list[Engines] = []
        self._load = _FULL_LOAD
        self.present: Engines | None = None
        """Engines for the present load; None before `open` and after `close`."""

    @property
    def is_int8(self) -> bool:
        """True while engines in INT8 stand in for the configured ones."""
        return self._load[0] == "int8" and self._load in self._by_load

    def open(self, wanted: Magnification) -> Engines:
        """Return the present engines, or open those for the full load.

        Raises:
            Fault: they cannot be opened.
        """
        if self.present is None:
            self.present = self._factory.open(wanted)
            self._load = _FULL_LOAD
            self._by_load[_FULL_LOAD] = self.present
        return self.present

    def follow(self, wanted: Magnification, level: LoadLevel) -> bool:
        """Take the engines for a load level; returns True if they are other ones than before.

        Engines that cannot be opened are logged once, and the present ones stay in use.
        """
        load = (level.precision, level.region_fraction, wanted.regions if level.region_fraction < 1 else ())
        if load == self._load:
            return False
        self._load = load
        engines = self._by_load.get(load)
        try:
            engines = engines or self._factory.open(wanted, level)
            engines.prepare(wanted)
        except Fault as fault:
            log.warning("%s cannot be had, magnification stays as it is: %s", level, fault)
            if engines is not None and load not in self._by_load:
                engines.close()
            return False
        for other in [other for other in self._by_load if other[2] and load[2] and other[2] != load[2]]:
            self._retired.append(self._by_load.pop(other))
        self._by_load[load] = self.present = engines
        return True

    def close_retired(self) -> None:
        """Close engines that are not wanted any more, once the latest magnifier on them has faded out."""
        while self._retired:
            self._retired.pop().close()

    def close(self) -> None:
        """Close all engines; the pool can be opened again."""
        self.present = None
        self._retired += self._by_load.values()
        self._by_load.clear()
        self.close_retired()
