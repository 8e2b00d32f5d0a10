"""Magnifies the clips of events, in the recorder's thread, on engines of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.clips.pre_roll import Magnify
from tremorscope.runtime.errors import EngineFault, Fault
from tremorscope.runtime.magnification.factory import EngineFactory, Engines, memory_as_fault
from tremorscope.runtime.magnification.settings import Magnification, MagnificationSettings
from tremorscope.runtime.store.records import magnification_text

log = logging.getLogger("tremorscope.magnification")


class EventMagnifier:
    """Magnifier of one clip after the other, used by one thread; its engine is opened before the first event."""

    def __init__(
        self, factory: EngineFactory, settings: Callable[[], MagnificationSettings], rate_hz: float
    ) -> None:
        self._factory, self._settings, self._rate_hz = factory, settings, rate_hz
        self._engines: Engines | None = None
        self._prepared: Magnification | None = None
        self.told = ""
        """Human-readable magnification of the latest clip."""

    def prepare(self) -> None:
        """Open the engine for the next event, as opening takes longer than frames wait, and let it rest meanwhile.

        A failure is logged.
        """
        wanted = self._settings().wanted()
        if wanted == self._prepared:
            if self._engines is not None:
                self._engines.rest()
            return
        self._prepared = wanted
        try:
            self._open(wanted).prepare(wanted)
        except Fault as fault:
            log.warning("clips of events cannot be magnified: %s", fault)

    def make(self) -> Magnify:
        """Magnifier of the frames of one clip, with the present settings of the live picture.

        Raises:
            Fault: the engine cannot be opened.
        """
        wanted = self._settings().wanted()
        magnifier = self._open(wanted).make(wanted, self._rate_hz)
        self.told = magnification_text(wanted.amplification, wanted.band.bands_hz if wanted.band else ())

        def step(frame: NDArray[np.uint8], magnified: NDArray[np.uint8], timestamp_s: float) -> None:
            try:
                with memory_as_fault():
                    magnifier.step(frame, magnified, timestamp_s)
            except EngineFault:
                self._give_back()  # the next clip gets a new one
                raise

        return step

    def _open(self, wanted: Magnification) -> Engines:
        self._engines = self._engines or self._factory.open(wanted)
        return self._engines

    def _give_back(self) -> None:
        engines, self._engines, self._prepared = self._engines, None, None
        if engines is not None:
            engines.close()
