"""Magnifies the clips of events, in the recorder's thread, on engines of its own."""

from __future__ import annotations

from collections.abc import Callable

from runtime.configuration.magnification import MagnificationSettings
from runtime.governor import Level
from runtime.outputs.frame_history import Magnify
from runtime.service.engines import MakeMaker, Maker


class EventMagnifier:
    """Makes the magnifier of one clip after the other. The engine is opened with the first and kept."""

    def __init__(
        self, make_maker: MakeMaker, settings: Callable[[], MagnificationSettings], rate_hz: float
    ) -> None:
        self._make_maker, self._settings, self._rate_hz = make_maker, settings, rate_hz
        self._maker: Maker | None = None

    def make(self) -> Magnify:
        """What magnifies the frames of one clip, as the live picture is magnified at present.

        Raises:
            Fault: the engine cannot be had.
        """
        wanted = self._settings().wanted()
        if self._maker is None:
            self._maker = self._make_maker(wanted, Level())
        return self._maker.make(wanted, self._rate_hz).step
