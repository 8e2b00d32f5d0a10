"""Magnification frame after frame: chooses the reference of each step and runs the engine; and a magnifier whose
settings may change without a visible jump.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.engines.interface.engine import PairwiseEngine
from tremorscope.runtime.engines.interface.manifest import AmplificationRange
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.frames.buffers import Allocator, CopyAccount, FrameRing, allocate_host, copy_pixels

PairwiseMode = Literal["static", "dynamic"]
Mode = Literal["static", "dynamic", "band"]


class FrameMagnifier(Protocol):
    """Magnifies frame after frame, whatever the mode."""

    def step(self, frame: NDArray[np.uint8], magnified: NDArray[np.uint8], timestamp_s: float) -> None:
        """Magnify ``frame``, captured at ``timestamp_s``, into ``magnified``; both u8[H, W, 3], RGB, contiguous.

        Leave ``frame`` unchanged until the next step has returned: it may be the reference of that step.
        """

    def restart(self) -> None:
        """Forget all frames: the next one is the first. Their memory may be reused."""

    def expect_rate(self, rate_hz: float) -> None:
        """Take frames of another rate from the next step on, with a filter for that, if it has one.

        Raises:
            OptionFault: there is no such filter at this rate; the present one stays.
        """

    def lines(self) -> list[str]:
        """Human-readable description of the filter, a line each; empty without a filter."""

    @property
    def settling_left_s(self) -> float:
        """Seconds until its filter has settled."""

    amplification: float
    """Magnified over true displacement, from the next step on."""


def check_amplification(amplification: float, allowed: AmplificationRange) -> float:
    """Return ``amplification`` (magnified over true displacement) if the bundle's weights can give it.

    Below 1 motion is attenuated, to none at 0. Bundles of older releases cannot.

    Raises:
        OptionFault: it is not a finite number within the range of the bundle.
    """
    least = 0.0 if allowed.attenuates else allowed.minimum
    if not (math.isfinite(amplification) and least <= amplification <= allowed.maximum):
        raise OptionFault(
            f"amplification {amplification:g} cannot be used with this bundle",
            remedy=f"choose a number from {least:g} to {allowed.maximum:g}",
        )
    return amplification


class Magnifier:
    """Magnifies motion against a reference that the mode chooses.

    static: the first frame, so that the whole displacement since then is magnified.
    dynamic: the frame before, so that velocity is magnified, and slow change is not.
    """

    def __init__(
        self,
        engine: PairwiseEngine,
        *,
        mode: PairwiseMode,
        amplification: float,
        allocate: Allocator = allocate_host,
        account: CopyAccount | None = None,
    ) -> None:
        """Prepare; the memory for a reference is made now.

        Args:
            engine: computes the steps.
            mode: chooses the reference frame.
            amplification: see the attribute.
            allocate: makes the memory of the reference that static mode keeps; the runtime's own.
            account: counts the one copy that static mode makes at its start.
        """
        self._engine = engine
        self._mode = mode
        self._account = account
        self.amplification = amplification
        """Magnified over true displacement, from the next step on; a large change shows as a jump."""
        self._reference: NDArray[np.uint8] | None = None
        self._kept: NDArray[np.uint8] | None = None
        if mode == "static":
            self._kept = FrameRing(
                1,
                width_px=engine.width_px,
                height_px=engine.height_px,
                channels=engine.channels,
                allocate=allocate,
            ).frame(0)

    @property
    def settling_left_s(self) -> float:
        """Always 0: there is no filter."""
        return 0.0

    def expect_rate(self, rate_hz: float) -> None:
        """Do nothing: there is no filter."""

    def lines(self) -> list[str]:
        """Do nothing: there is no filter."""
        return []

    def step(
        self,
        frame: NDArray[np.uint8],
        magnified: NDArray[np.uint8],
        timestamp_s: float = 0.0,  # noqa: ARG002
    ) -> None:
        """Magnify ``frame``, u8[H, W, C], into ``magnified``, u8[H, W, 3], RGB; both contiguous.

        In dynamic mode ``frame`` is the reference of the next step: leave it unchanged until that has returned.
        The first frame has no motion yet: it is its own reference.
        """
        if self._reference is None:
            self._reference = frame
            if self._kept is not None:
                copy_pixels(frame, self._kept, self._account, "magnifier: reference kept")
                self._reference = self._kept
        self._engine.step(frame, self._reference, self.amplification, magnified)
        if self._mode == "dynamic":
            self._reference = frame

    def restart(self) -> None:
        """Take the next frame as the first."""
        self._reference = None


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
