"""Minute and hour summaries, merged in the transaction that stores the samples: they always agree with them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

MINUTE_S, HOUR_S = 60, 3600
PERIODS_S = (MINUTE_S, HOUR_S)

MERGE_SUMMARY = """
INSERT INTO summary (channel, period_s, start_s, samples, lost, minimum, maximum, mean, mean_square)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    minimum = min(ifnull(minimum, excluded.minimum), ifnull(excluded.minimum, minimum)),
    maximum = max(ifnull(maximum, excluded.maximum), ifnull(excluded.maximum, maximum)),
    mean = (ifnull(mean, 0) * samples + ifnull(excluded.mean, 0) * excluded.samples)
        / nullif(samples + excluded.samples, 0),
    mean_square = (ifnull(mean_square, 0) * samples + ifnull(excluded.mean_square, 0) * excluded.samples)
        / nullif(samples + excluded.samples, 0),
    samples = samples + excluded.samples,
    lost = lost + excluded.lost
"""

_Row = tuple[int, int, int, int, int, float | None, float | None, float | None, float | None]


def summary_rows(channel: int, times_s: NDArray[np.float64], values: NDArray[np.float32]) -> Iterator[_Row]:
    """One row for ``MERGE_SUMMARY`` for each minute and hour that the samples touch; NaN counts as lost."""
    for period_s in PERIODS_S:
        starts = np.floor(times_s / period_s)
        firsts = np.flatnonzero(np.diff(starts, prepend=np.nan))
        for first, samples in zip(firsts, np.split(values, firsts[1:]), strict=True):
            known = samples[~np.isnan(samples)].astype(np.float64)
            figures: tuple[float | None, ...] = (None, None, None, None)
            if known.size:
                figures = tuple(
                    float(each) for each in (known.min(), known.max(), known.mean(), (known**2).mean())
                )
            start_s = int(starts[first]) * period_s
            yield (channel, period_s, start_s, known.size, samples.size - known.size, *figures)  # type: ignore[misc]
