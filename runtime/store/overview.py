"""Displacement over days, months or years, in few points, with the alarms and events of that time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from tremorscope.runtime.store.reader import StoreReader

MOST_BINS = 720
"""Bins of an overview at most, and one more where the span begins within one: 30 days by the hour."""
MOST_MARKS = 200
_MINUTE_S, _HOUR_S = 60, 3600
# CROSS JOIN begins with the region's channels: by time the minutes of all regions would be read.
AXES_SQL = (
    "SELECT axis, start_s / ? * ? AS bin, sum(samples * (mean_square - mean * mean)), sum(samples), min(minimum), "
    "max(maximum) FROM channel CROSS JOIN summary ON channel.id = channel "
    "WHERE region = ? AND quantity = 'displacement' AND unit = 'px' AND period_s = ? AND start_s >= ? "
    "AND start_s < ? GROUP BY axis, bin ORDER BY axis, bin"
)
"""Bins of one region; asked with the bin's length twice, region, period, and both ends."""


@dataclass(frozen=True)
class AxisOverview:
    """One axis of a region, in px; a list item for each bin that holds samples."""

    start_s: list[int]
    rms: list[float | None]
    """RMS of the motion about its mean in each minute or hour; None where every sample is lost."""
    low: list[float | None]
    high: list[float | None]


@dataclass(frozen=True)
class Mark:
    """An alarm's raise or an event's trigger."""

    time_s: float
    kind: Literal["alarm", "event"]
    text: str


@dataclass(frozen=True)
class Overview:
    """A region over a span of time."""

    region: str
    from_s: float
    to_s: float
    bin_s: int
    first_s: float | None
    """Earliest hour that is stored, of any region; None in an empty store."""
    axes: dict[str, AxisOverview]
    marks: tuple[Mark, ...]
    """The latest first, at most `MOST_MARKS` of each kind."""


def read_overview(reader: StoreReader, region: str, from_s: float, to_s: float) -> Overview:
    """Read what is stored of a region at ``from_s`` <= time < ``to_s``, from minutes where they are kept, else hours.

    Raises:
        StoreFault: the store cannot be read.
    """
    span_s = round(to_s - from_s)  # of Unix times the last digits are rounded
    first_minute_s, first_s = (
        reader.rows("SELECT min(start_s) FROM summary WHERE period_s = ?", period_s)[0][0]
        for period_s in (_MINUTE_S, _HOUR_S)
    )
    # Minutes are kept for less long: hours where they would leave a part of the span empty.
    whole = first_minute_s is not None and first_minute_s < max(from_s, first_s or 0.0) + _HOUR_S
    period_s = _MINUTE_S if whole and span_s < MOST_BINS * _HOUR_S else _HOUR_S
    bin_s = period_s * max(1, math.ceil(span_s / MOST_BINS / period_s))
    axes = _axes(reader, region, from_s, to_s, (period_s, bin_s))
    return Overview(region, from_s, to_s, bin_s, first_s, axes, _marks(reader, from_s, to_s))


def _axes(
    reader: StoreReader, region: str, from_s: float, to_s: float, period_and_bin_s: tuple[int, int]
) -> dict[str, AxisOverview]:
    period_s, bin_s = period_and_bin_s
    rows = reader.rows(AXES_SQL, bin_s, bin_s, region, period_s, from_s, to_s)
    axes: dict[str, AxisOverview] = {}
    for axis, start_s, squares, seen, low, high in rows:
        found = axes.setdefault(axis, AxisOverview([], [], [], []))
        found.start_s.append(start_s)
        found.rms.append(math.sqrt(max(squares, 0.0) / seen) if seen else None)
        found.low.append(low)
        found.high.append(high)
    return axes


def _marks(reader: StoreReader, from_s: float, to_s: float) -> tuple[Mark, ...]:
    alarms = reader.rows(
        "SELECT raised_s, 'alarm', name FROM alarm WHERE raised_s >= ? AND raised_s < ? "
        "ORDER BY raised_s DESC LIMIT ?",
        from_s, to_s, MOST_MARKS,
    )  # fmt: skip
    events = reader.rows(
        "SELECT time_s, 'event', ifnull((SELECT reason FROM event_trigger WHERE event = name ORDER BY time_s LIMIT 1), "
        "'') FROM event WHERE time_s >= ? AND time_s < ? ORDER BY time_s DESC LIMIT ?",
        from_s, to_s, MOST_MARKS,
    )  # fmt: skip
    return tuple(Mark(*row) for row in sorted([*alarms, *events], reverse=True))
