"""Views of a frame and its magnified twin: magnified, split, difference."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

View = Literal["magnified", "split", "difference"]
VIEWS: tuple[View, ...] = get_args(View)


class ViewComposer:
    """Composes one view into a given picture, with all working memory made once."""

    def __init__(self, view: View, *, width_px: int, height_px: int) -> None:
        self._view = view
        self._divider_px = max(1, width_px // 960)
        """Width of each of the divider's two lines."""
        size = (height_px, width_px, 3) if view == "difference" else (0, 0, 3)
        self._difference = np.empty(size, np.int16)

    def compose(
        self, frame: NDArray[np.uint8], magnified: NDArray[np.uint8], picture: NDArray[np.uint8]
    ) -> None:
        """Write the view into ``picture``; all are u8[H, W, 3] of the same size.

        magnified: the magnified frame alone.
        split: the left half as filmed, the right half magnified, between them a black and a white line, of
        which one shows on any scene.
        difference: 128 + (magnified - frame) / 2, rounded down: grey where nothing was magnified.
        """
        if self._view == "difference":
            np.subtract(magnified, frame, out=self._difference, dtype=np.int16)
            self._difference += 256
            np.right_shift(self._difference, 1, out=self._difference)
            np.copyto(picture, self._difference, casting="unsafe")  # 0 to 255 by construction
            return
        np.copyto(picture, magnified)
        if self._view == "split":
            middle, line = picture.shape[1] // 2, self._divider_px
            picture[:, :middle] = frame[:, :middle]
            picture[:, middle - line : middle] = 0
            picture[:, middle : middle + line] = 255
