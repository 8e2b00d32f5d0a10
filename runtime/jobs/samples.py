"""Frames that stand for a clip: the reference, and some at irregular times."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.displacement.reasons import sharpness
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.displacement.windows import as_luma

Picture = NDArray[Any]
Reference = Literal["auto", "first"] | float

_MOST, _FEWEST = 16, 4
_MOST_BYTES = 128 * 2**20
_CLEARLY_SHARPER = 0.8
"""Sharpness of the first frame, as a share of the best one's, below which another is the reference."""


@dataclass(frozen=True)
class Span:
    """A part of a clip, in seconds of its own times, and the frame in it that displacement is measured against."""

    start_s: float = 0.0
    end_s: float = math.inf
    reference: Reference = "auto"
    """``first``; ``auto``, which takes a sharp one where the first is blurred; or the time of a frame in seconds."""

    def check(self) -> None:
        """Check that the span can hold anything, and the reference's time lies in it.

        Raises:
            OptionFault: it cannot, or does not.
        """
        if not (math.isfinite(self.start_s) and 0 <= self.start_s < self.end_s):
            raise OptionFault(
                f"--start {self.start_s:g} --end {self.end_s:g}: holds nothing",
                remedy="give seconds from the clip's beginning, the earlier first",
            )
        if isinstance(self.reference, float) and not self.start_s <= self.reference <= self.end_s:
            raise OptionFault(
                f"--reference {self.reference:g}: not within the part of the clip that is measured",
                remedy="give the time of a frame in seconds, or auto",
            )

    def place(self, time_s: float) -> int:
        """-1 before the span, 0 in it, 1 after it."""
        return -1 if time_s < self.start_s else int(time_s > self.end_s)

    def text(self) -> str:
        """The span for a message; empty for the whole clip."""
        if self.start_s == 0 and math.isinf(self.end_s):
            return ""
        until = " s on" if math.isinf(self.end_s) else f" to {self.end_s:g} s"
        return f" from {self.start_s:g}{until}"


class Samples:
    """Gathers frames of a clip as it is read, in bounded memory.

    Their times are drawn at random, but the same in every run: at even ones a vibration of just that rate would look
    still in all of them.

    Args:
        span: says which frame is the reference.
        regions: where it must be sharp; none stands for everywhere.
    """

    def __init__(self, span: Span, regions: tuple[Region, ...] = ()) -> None:
        self._wanted, self._regions = span.reference, regions
        self._rng = np.random.default_rng(0)
        self._kept: list[tuple[float, float, Picture]] = []
        """A heap of (-draw, time, frame): the greatest draw gives way first."""
        self._first: tuple[float, Picture] | None = None
        self._reference: tuple[float, Picture] | None = None

    def add(self, frame: Picture, time_s: float) -> None:
        """Consider the next frame, (H, W, 3; RGB) or luma (H, W)."""
        if self._first is None:
            self._first = time_s, frame.copy()
        elif isinstance(self._wanted, float) and self._reference is None and time_s >= self._wanted - 1e-6:
            self._reference = time_s, frame.copy()
        draw = float(self._rng.random())
        most = max(_FEWEST, min(_MOST, _MOST_BYTES // frame.nbytes))
        if len(self._kept) < most:
            heapq.heappush(self._kept, (-draw, time_s, frame.copy()))
        elif draw < -self._kept[0][0]:
            heapq.heapreplace(self._kept, (-draw, time_s, frame.copy()))

    def pictures(self) -> tuple[Picture, ...]:
        """The reference, then the others in order of time."""
        assert self._first is not None, "frames were added"
        others = sorted(((time_s, picture) for _, time_s, picture in self._kept), key=lambda each: each[0])
        if self._reference is None:
            self._reference = self._first
            if self._wanted == "auto":
                sharp = [self._sharpness(picture) for _, picture in (self._first, *others)]
                if sharp[0] < _CLEARLY_SHARPER * max(sharp):
                    self._reference = (self._first, *others)[int(np.argmax(sharp))]
        at_s, reference = self._reference
        return reference, *(picture for time_s, picture in others if time_s != at_s)

    @property
    def reference_s(self) -> float:
        """Time of the reference; after `pictures`."""
        assert self._reference is not None, "pictures were asked for"
        return self._reference[0]

    def notes(self) -> tuple[str, ...]:
        """Human-readable remark on a reference that is not the first frame; after `pictures`."""
        if self._reference is None or self._first is None or self._reference[0] == self._first[0]:
            return ()
        why = ": the first is less sharp" if self._wanted == "auto" else ""
        return (f"displacement is measured against the frame at {self._reference[0]:.3f} s{why}",)

    def _sharpness(self, picture: Picture) -> float:
        parts = [picture[each.slices] for each in self._regions] or [picture]
        return min((sharpness(as_luma(part)) for part in parts if min(part.shape[:2]) > 1), default=0.0)
