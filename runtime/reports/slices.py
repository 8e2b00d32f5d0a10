"""x-t slices: one line of pixels over time, as a picture of the motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.errors import OptionFault


@dataclass(frozen=True)
class VerticalLine:
    """A line of pixels: one column of the picture from ``top_px`` to above ``bottom_px``."""

    x_px: int
    top_px: int
    bottom_px: int

    def check_inside(self, picture_width_px: int, picture_height_px: int) -> None:
        """Check that the line lies in a picture.

        Raises:
            OptionFault: it does not.
        """
        if not (0 <= self.x_px < picture_width_px and 0 <= self.top_px < self.bottom_px <= picture_height_px):
            raise OptionFault(
                f"the line at x {self.x_px} from y {self.top_px} to {self.bottom_px} is not within "
                f"{picture_width_px}x{picture_height_px} px",
                remedy="choose a line inside the picture",
            )


class TimeSlice:
    """Slice of a line of pixels, in constant memory: when it is full, every other instant is dropped."""

    def __init__(self, line: VerticalLine, capacity: int = 1024) -> None:
        if capacity < 2 or capacity % 2:
            raise ValueError(f"capacity {capacity} is not an even number of at least 2")
        self.line = line
        self._pixels = np.empty((line.bottom_px - line.top_px, capacity, 3), dtype=np.uint8)
        self._times_s = np.empty(capacity)
        self._kept = 0
        self._seen = 0
        self._stride = 1

    def add(self, frame: NDArray[np.uint8], timestamp_s: float) -> None:
        """Take the line from a frame (H, W, 3; RGB) captured at ``timestamp_s``."""
        if self._seen == 0:
            self.line.check_inside(frame.shape[1], frame.shape[0])
        wanted = self._seen % self._stride == 0
        self._seen += 1
        if not wanted:
            return
        if self._kept == self._times_s.size:
            self._thin_out()
            if (self._seen - 1) % self._stride:
                return
        self._pixels[:, self._kept] = frame[self.line.top_px : self.line.bottom_px, self.line.x_px]
        self._times_s[self._kept] = timestamp_s
        self._kept += 1

    @property
    def picture(self) -> NDArray[np.uint8]:
        """The slice so far: (line's pixels, instants, 3), time to the right; a view."""
        return self._pixels[:, : self._kept]

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Capture time of each instant, (instants,); a view."""
        return self._times_s[: self._kept]

    def _thin_out(self) -> None:
        half = self._times_s.size // 2
        self._pixels[:, :half] = self._pixels[:, ::2].copy()
        self._times_s[:half] = self._times_s[::2].copy()
        self._kept, self._stride = half, 2 * self._stride
