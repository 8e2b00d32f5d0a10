"""Magnifies the clips of events, in the recorder's thread, on engines of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.clips.pre_roll import Magnify
from tremorscope.runtime.errors import EngineFault, Fault
from tremorscope.runtime.magnification.engines import EngineFactory, Maker
from tremorscope.runtime.magnification.factory import Magnification
from tremorscope.runtime.magnification.load import LoadLevel
from tremorscope.runtime.magnification.settings import MagnificationSettings

log = logging.getLogger("tremorscope.magnification")


class EventMagnifier:
    """Magnifier of one clip after the other, used by one thread; its engine is opened before the first event."""

    def __init__(
        self, open_engines: EngineFactory, settings: Callable[[], MagnificationSettings], rate_hz: float
    ) -> None:
        self._open_engines, self._settings, self._rate_hz = open_engines, settings, rate_hz
        self._maker: Maker | None = None
        self._prepared: Magnification | None = None

    def prepare(self) -> None:
        """Open the engine for the next event, as opening takes longer than frames wait; a failure is logged."""
        wanted = self._settings().wanted()
        if wanted == self._prepared:
            return
        self._prepared = wanted
        try:
            self._open(wanted).prepare(wanted)
        except (Fault, MemoryError) as error:
            log.warning("clips of events cannot be magnified: %s", error)

    def make(self) -> Magnify:
        """Magnifier of the frames of one clip, with the present settings of the live picture.

        Raises:
            Fault: the engine cannot be opened.
        """
        wanted = self._settings().wanted()
        magnifier = self._open(wanted).make(wanted, self._rate_hz)

        def step(frame: NDArray[np.uint8], magnified: NDArray[np.uint8], timestamp_s: float) -> None:
            try:
                magnifier.step(frame, magnified, timestamp_s)
            except EngineFault:
                self._give_back()  # the next clip gets a new one
                raise
            except MemoryError as error:
                self._give_back()
                raise EngineFault(f"no room for a step ({error})", remedy="stop other programs") from None

        return step

    def _open(self, wanted: Magnification) -> Maker:
        if self._maker is None:
            self._maker = self._open_engines(wanted, LoadLevel())
        return self._maker

    def _give_back(self) -> None:
        maker, self._maker, self._prepared = self._maker, None, None
        if maker is not None:
            maker.close()
