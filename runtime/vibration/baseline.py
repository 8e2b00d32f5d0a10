"""What is normal: the middle and the scatter of a quantity, learned over a stated time in constant memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEWEST_READINGS = 10
_MOST_KEPT = 1024
_DEVIATIONS_PER_MAD = 1.4826
"""Standard deviation over median absolute deviation, for readings that scatter normally."""


@dataclass(frozen=True)
class Baseline:
    """What a quantity was while it was learned."""

    value: float
    """Median of the readings, in the quantity's own unit."""
    scatter: float
    """Standard deviation of one reading, estimated from the median absolute deviation; the same unit."""
    readings: int
    from_s: float
    to_s: float


class BaselineLearner:
    """Learns a baseline from the first reading on, for ``learning_s`` seconds and ten readings at least.

    Medians, so that a lorry or a few wrong peaks meanwhile do not shift it. Of a long time an even selection
    of at most 1024 readings is kept.
    """

    def __init__(self, learning_s: float) -> None:
        self._learning_s = learning_s
        self._kept: list[float] = []
        self._stride = 1
        self._count = 0
        self._from_s = self._latest_s = 0.0

    @property
    def readings(self) -> int:
        """How many readings were taken."""
        return self._count

    def add(self, time_s: float, value: float) -> Baseline | None:
        """Take a finite reading; returns the baseline when the time is over, and None before.

        Time that runs backwards starts it again: how long it has been learning is not known then.
        """
        if self._count and time_s < self._latest_s:
            self._kept, self._stride, self._count = [], 1, 0
        if self._count == 0:
            self._from_s = time_s
        if self._count % self._stride == 0:
            self._kept.append(value)
        if len(self._kept) >= _MOST_KEPT:
            self._kept = self._kept[::2]
            self._stride *= 2
        self._count += 1
        self._latest_s = time_s
        if time_s - self._from_s < self._learning_s or self._count < FEWEST_READINGS:
            return None
        values = np.asarray(self._kept)
        middle = float(np.median(values))
        scatter = _DEVIATIONS_PER_MAD * float(np.median(np.abs(values - middle)))
        return Baseline(middle, scatter, self._count, self._from_s, time_s)
