"""Runners of a step graph, one file a runner, and the bundle they read."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class PairwiseEngine(Protocol):
    """Runs the ``pairwise`` step graph on frames of one size, straight on the memory that they lie in."""

    @property
    def width_px(self) -> int:
        """Width of every frame in pixels."""

    @property
    def height_px(self) -> int:
        """Height of every frame in pixels."""

    def step(
        self,
        frame: NDArray[np.uint8],
        reference: NDArray[np.uint8],
        amplification: float,
        magnified: NDArray[np.uint8],
    ) -> None:
        """Magnify the motion from ``reference`` to ``frame`` and write the picture into ``magnified``.

        All three are u8[H, W, 3] in RGB, contiguous, and remain the caller's; nothing is copied.
        ``magnified`` must not overlap the other two. Returns when the picture is complete.
        """
