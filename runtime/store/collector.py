"""Collector of one frame's values after the other into blocks for the store, in memory allocated once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tremorscope.runtime.store.records import Channel, SeriesBlock


class SeriesCollector:
    """Collects samples of some channels; never waits and never touches the disk."""

    def __init__(
        self, channels: Sequence[Channel], *, block_s: float = 5.0, most_samples: int = 2048
    ) -> None:
        """Make room for a block.

        Args:
            channels: in the order in which their values will come.
            block_s: a block spans at most so long; a power cut costs one block and what is not yet written.
            most_samples: a block holds at most so many samples of each channel.
        """
        self._channels = tuple(channels)
        self._block_s = block_s
        self._times: NDArray[np.float64] = np.empty(most_samples, np.float64)
        self._values: NDArray[np.float32] = np.empty((len(self._channels), most_samples), np.float32)
        self._count = 0
        self.backward_steps = 0
        """Number of samples whose time did not advance; each begins a block of its own."""
        self.undated = 0
        """Samples that were left out because their time is not a finite number."""

    def add(self, time_s: float, values: ArrayLike) -> SeriesBlock | None:
        """Take one sample of each channel, NaN where unknown; returns the block before when it is complete."""
        if not math.isfinite(time_s):
            self.undated += 1
            return None
        finished = None
        if self._count:
            backward = time_s <= self._times[self._count - 1]
            self.backward_steps += bool(backward)
            full = self._count == len(self._times) or time_s - self._times[0] >= self._block_s
            if backward or full:
                finished = self.flush()
        self._times[self._count] = time_s
        self._values[:, self._count] = values
        self._count += 1
        return finished

    def flush(self) -> SeriesBlock | None:
        """The block so far, or None if it is empty."""
        if self._count == 0:
            return None
        block = SeriesBlock(
            self._channels, self._times[: self._count].copy(), self._values[:, : self._count].copy()
        )
        self._count = 0
        return block
