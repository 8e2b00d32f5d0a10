"""Magnification frame after frame: chooses the reference of each step and runs the engine."""

from __future__ import annotations

import math
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.engines.interface.engine import PairwiseEngine
from tremorscope.runtime.engines.interface.manifest import AmplificationRange
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.frames.buffers import Allocator, FrameRing, allocate_host
from tremorscope.runtime.frames.copies import CopyAccount, copy_pixels

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

    Raises:
        OptionFault: it is not a finite number within the range of the bundle.
    """
    if not (math.isfinite(amplification) and allowed.minimum <= amplification <= allowed.maximum):
        raise OptionFault(
            f"amplification {amplification:g} cannot be used with this bundle",
            remedy=f"choose a number from {allowed.minimum:g} to {allowed.maximum:g}",
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
