"""Magnification of filtered motion; handles start-up transients, rate changes, dropped frames and non-finite state."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.engines.interface.engine import BandEngine
from tremorscope.runtime.frames.rates import RateMeter
from tremorscope.runtime.magnification.filters import Design

UNLIMITED_PX = 1e6
"""Cap on the added displacement that no motion reaches: no limit."""
_OTHER_RATE = 0.005
"""Relative change of the measured rate at which the filter is designed anew."""
_JITTER = 0.2
"""Share of an interval by which frames may come early or late and still count as evenly spaced."""


class BandMagnifier:
    """Magnifies the motion in the pass band of a temporal filter; all other motion stays as filmed.

    The filter runs inside the engine's graph. Here it is designed for the measured rate, extended over dropped
    frames, faded in while it settles, and restarted where its state is damaged.
    """

    def __init__(
        self,
        engine: BandEngine,
        design: Design,
        *,
        amplification: float,
        rate_hz: float,
        max_displacement_px: float | None = None,
    ) -> None:
        """Design the filter for the stated rate; it is designed anew where another is measured.

        Args:
            engine: runs the graph and keeps the state.
            design: makes the filter for a rate, such as `runtime.magnification.filters.design` for some settings.
            amplification: magnified over true displacement of the motion that passes.
            rate_hz: frames a second as the camera states them.
            max_displacement_px: the most that is added to any displacement; None adds all.

        Raises:
            OptionFault: there is no such filter at this rate.
        """
        self._engine = engine
        self.amplification = amplification
        """Magnified over true displacement once faded in, from the next step on; a large change shows as a jump."""
        self._max_displacement_px = UNLIMITED_PX if max_displacement_px is None else max_displacement_px
        self._meter = RateMeter(rate_hz)
        self._design = design
        self._adopt()
        self._previous: NDArray[np.uint8] | None = None
        self._timestamp_s = 0.0
        self._started_s = 0.0
        self._elapsed = 0
        self.resets = 0
        """Times that a non-finite or too large filter state was found and set to zero."""
        self.bridged_frames = 0
        """Dropped frames that the filter was extended over, by linear interpolation."""
        self.restarts = 0
        """Gaps longer than the filter's settling time, after which it was restarted."""

    @property
    def rate_hz(self) -> float:
        """Frames a second that the filter is designed for."""
        return self._filter.rate_hz

    @property
    def settling_s(self) -> float:
        """Seconds that the filter takes to settle."""
        return self._filter.settling_s

    @property
    def settling_left_s(self) -> float:
        """Seconds until the filter has settled; by half of the time the magnification has faded in."""
        return max(0.0, self._started_s + self._filter.settling_s - self._timestamp_s)

    @property
    def state_nbytes(self) -> int:
        """Bytes of the filter's state, of which two buffers are kept."""
        return self._engine.state_nbytes

    def lines(self) -> list[str]:
        """Human-readable description of the filter, a line each."""
        settling = (
            f"settles in {self.settling_s:.3g} s, faded in by half of that"
            if self.settling_s
            else "settled at once"
        )
        found = [
            f"filter         {settling}; state {self.state_nbytes / 1e6:.3g} MB, designed for {self.rate_hz:.6g} Hz"
        ]
        if self.bridged_frames or self.restarts:
            found.append(
                f"dropped        {self.bridged_frames} frames bridged, {self.restarts} gaps started anew"
            )
        if self.resets:
            found.append(f"resets         {self.resets} times the filter's state was damaged and set to zero")
        return found

    def expect_rate(self, rate_hz: float) -> None:
        """Design the filter for another rate at once, before it can be measured, as where heat asks for fewer frames.

        Raises:
            OptionFault: there is no such filter at this rate; the present one stays.
        """
        self._design(rate_hz)
        self._meter = RateMeter(rate_hz)
        self._follow_rate()

    def step(self, frame: NDArray[np.uint8], magnified: NDArray[np.uint8], timestamp_s: float) -> None:
        """Magnify ``frame``, captured at ``timestamp_s``, into ``magnified``; both u8[H, W, 3], RGB, contiguous.

        ``frame`` is the reference of the next step: leave it unchanged until that has returned.

        Raises:
            OptionFault: the measured rate is too low for the band.
            EngineFault: the engine failed.
        """
        interval_s = timestamp_s - self._timestamp_s
        if self._previous is None:
            self._begin(frame, timestamp_s)
            interval_s = 0.0
        self._timestamp_s = timestamp_s
        if interval_s > 0:
            self._meter.add(interval_s)
            self._follow_rate()
        if 0 < self._filter.settling_s < interval_s:
            self.restarts += 1
            self._begin(frame, timestamp_s)
        intervals = self._count_intervals(interval_s)
        self._elapsed += max(1, round(intervals))
        activity = self._run(frame, magnified, intervals)
        if not activity <= self._largest_activity:  # also true for NaN
            self.resets += 1
            self._begin(frame, timestamp_s)
            self._run(frame, magnified, 1.0)
        self._previous = frame

    def restart(self) -> None:
        """Start the filter from rest with the next frame."""
        self._previous = None

    def _run(self, frame: NDArray[np.uint8], magnified: NDArray[np.uint8], intervals: float) -> float:
        assert self._previous is not None
        return self._engine.step(
            frame,
            self._previous,
            amplification=1 + (self.amplification - 1) * self._level(),
            max_displacement_px=self._max_displacement_px,
            coefficients=self._filter.coefficients(self._elapsed, intervals),
            magnified=magnified,
        )

    def _adopt(self) -> None:
        self._filter = self._design(self._meter.rate_hz)
        # Twice what a signal can reach, so that no rounding is taken for damage.
        self._largest_activity = (2 * self._filter.largest_gain) ** 2

    def _begin(self, frame: NDArray[np.uint8], timestamp_s: float) -> None:
        """Start from rest with ``frame``: as if the scene had always been like that."""
        self._engine.start(self._filter.sections)
        self._previous = frame
        self._started_s = timestamp_s
        self._elapsed = 0

    def _follow_rate(self) -> None:
        """Design the filter for another rate; its modes, which are in seconds, keep their state."""
        if abs(self._meter.rate_hz / self._filter.rate_hz - 1) <= _OTHER_RATE:
            return
        sections = self._filter.sections
        self._adopt()
        if self._filter.sections != sections and self._previous is not None:
            self._begin(self._previous, self._timestamp_s)

    def _count_intervals(self, interval_s: float) -> float:
        """Frame intervals since the frame before, of which those between are counted as dropped."""
        intervals = interval_s * self._filter.rate_hz
        nearest = max(1, round(intervals))
        self.bridged_frames += nearest - 1
        return float(nearest) if abs(intervals - nearest) <= _JITTER or interval_s <= 0 else intervals

    def _level(self) -> float:
        """Fade-in of the magnification, 0 to 1: a raised cosine over half of the settling time."""
        if not self._filter.settling_s:
            return 1.0
        # By half the time, what the filter started with has fallen to a tenth.
        share = 2 * (self._timestamp_s - self._started_s) / self._filter.settling_s
        return 0.5 - 0.5 * math.cos(math.pi * min(max(share, 0.0), 1.0))
