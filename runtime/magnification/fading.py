"""Magnifier whose amplification, filter, region or mode may change without a visible jump."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.magnification.magnifier import FrameMagnifier

FADE_S = 0.5
"""Time from one amplification to another, and from it to none before a change of anything else."""


class FadingMagnifier:
    """Stands in for the magnifier that it holds.

    A change of amplification is faded over half a second. For any other change the magnification is faded out, the
    magnifier replaced, and faded in again. All methods belong to the thread that steps.
    """

    def __init__(self, inner: FrameMagnifier) -> None:
        self._inner = inner
        self.amplification = inner.amplification
        """Amplification to fade to from the next step on."""
        self._aim = self._from = self._now = inner.amplification
        self._began_s = -math.inf
        self._next: Callable[[], FrameMagnifier] | None = None
        self._is_fresh = True

    @property
    def present_amplification(self) -> float:
        """Amplification of the latest step."""
        return self._now

    @property
    def is_changing(self) -> bool:
        """True while the magnifier is still to be replaced."""
        return self._next is not None

    @property
    def settling_left_s(self) -> float:
        """Seconds until the filter has settled."""
        return self._inner.settling_left_s

    def expect_rate(self, rate_hz: float) -> None:
        """Take frames of another rate; see `FrameMagnifier.expect_rate`."""
        self._inner.expect_rate(rate_hz)

    def lines(self) -> list[str]:
        """Human-readable description of the filter, a line each."""
        return self._inner.lines()

    def change(self, make: Callable[[], FrameMagnifier]) -> None:
        """Replace the magnifier by what ``make`` returns, once its magnification has been faded out.

        ``make`` is called within a step, and may raise what a step may raise.
        """
        self._next = make

    def restart(self) -> None:
        """Start anew with the next frame."""
        self._inner.restart()
        self._is_fresh = True

    def step(self, frame: NDArray[np.uint8], magnified: NDArray[np.uint8], timestamp_s: float) -> None:
        """Magnify ``frame`` into ``magnified``; see `FrameMagnifier.step`."""
        is_out = self._aim == self._now == 1.0
        if self._next is not None and (self._is_fresh or is_out):
            make, self._next = self._next, None
            self._inner = make()
            if not self._is_fresh:
                self._from = self._now = self._aim = 1.0
        self._inner.amplification = self._now = self._level(timestamp_s)
        self._is_fresh = False
        self._inner.step(frame, magnified, timestamp_s)

    def _level(self, timestamp_s: float) -> float:
        aim = self.amplification if self._next is None else 1.0
        if self._is_fresh:
            self._aim, self._began_s = aim, -math.inf
        elif aim != self._aim:
            self._from, self._aim, self._began_s = self._now, aim, timestamp_s
        share = min(max((timestamp_s - self._began_s) / FADE_S, 0.0), 1.0)
        return self._from + (self._aim - self._from) * (0.5 - 0.5 * math.cos(math.pi * share))
