"""Velocity, acceleration and the use of limits in consecutive windows, from displacement as it comes.

Block by block, with the same differentiation in the frequency domain as for recordings: a window is judged once the
frames that its band needs to settle have come after it, so readings are late by `MotionWindows.behind_s`, and by half
a window more at most, over which the work is spread so that no frame has to wait for all of it.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.monitoring.levels import FEWEST_KNOWN
from tremorscope.runtime.vibration.monitoring.limits import Coverage, Criterion, Judgement, coverage, judge
from tremorscope.runtime.vibration.spectra.analysis import AXES, RegionSeries
from tremorscope.runtime.vibration.spectra.derivatives import (
    CRESTS,
    ORDERS,
    differentiate,
    noise_gain,
    settling_s,
    whole_band_hz,
)
from tremorscope.runtime.vibration.spectra.sampling import EvenSeries, resample_evenly

Values = NDArray[np.float64]


@dataclass(frozen=True)
class LimitWatch:
    """A limit that a region is judged by."""

    region: int
    """Number of the region, from 0."""
    criterion: Criterion
    mm_per_px: float | None
    relative_sigma: float = 0.0
    """Relative standard uncertainty of the scale."""


@dataclass(frozen=True)
class RateLevels:
    """Levels of a region's velocity or acceleration in one window; None where too little is known."""

    rms: float | None
    """x and y together, about zero, up to 0.8 of half the frame rate."""
    peak: float | None
    """Largest length of the vector."""
    noise: float | None
    """RMS that noise alone shows."""


@dataclass(frozen=True, eq=False)
class MotionLevels:
    """Levels of all regions in one window. Units are px/s and px/s2; NaN where too little is known."""

    behind_s: float
    """Time from the end of the window to the latest frame."""
    rms: Values
    """(regions, 2): velocity and acceleration, x and y together."""
    peak: Values
    """(regions, 2): largest length of either vector."""
    noise: Values
    """(regions, 2): RMS that noise alone shows; NaN where it is not known."""
    judgements: tuple[tuple[LimitWatch, Judgement], ...]

    def of(self, region: int, order: int) -> RateLevels:
        """Levels of a region's velocity (1) or acceleration (2)."""
        found = (float(each[region, order - 1]) for each in (self.rms, self.peak, self.noise))
        return RateLevels(*(value if math.isfinite(value) else None for value in found))


@dataclass(frozen=True, eq=False)
class _Evened:
    """Displacement of one or more regions on even times."""

    series: EvenSeries
    rows: dict[tuple[int, int], int]
    """Row of the series that holds a region's axis."""


class MotionWindows:
    """Gathers displacements, one a frame, into windows of equal length that follow each other."""

    def __init__(
        self, regions: int, window_s: float, rate_hz: float, watches: Sequence[LimitWatch] = ()
    ) -> None:
        """Prepare.

        Args:
            regions: number of regions.
            window_s: length of a window.
            rate_hz: frames a second, as the camera states it.
            watches: limits to judge by.
        """
        self._window_s = window_s
        self._watches = tuple((each, coverage(each.criterion, rate_hz)) for each in watches)
        bands = [covered.settling_s for _, covered in self._watches if not covered.refusal]
        self.behind_s = max(settling_s(whole_band_hz(rate_hz)), *bands, 0.0)
        """Time that readings are late."""
        self._length_s = window_s + 2 * self.behind_s
        most = math.ceil(1.25 * self._length_s * rate_hz) + 64
        self._times: Values = np.empty(most)
        self._moved_px: Values = np.empty((most, regions, 2))
        self._count = 0
        self._work: Generator[None, None, MotionLevels] | None = None
        self._steps = math.ceil((len(watches) + 4) / max(1.0, window_s * rate_hz / 2))
        """Steps of the work a frame: half a window's frames do all of it."""

    def add(self, time_s: float, moved_px: Values, floors_px: Values) -> MotionLevels | None:
        """Take one frame's displacement (regions, 2); NaN where it is not known.

        Returns the levels of a window once enough has come after it. Time that runs backwards begins anew.

        Args:
            time_s: on the camera's clock.
            moved_px: displacement, (regions, 2).
            floors_px: noise of one frame, (regions, 2); infinite where no motion can be seen.
        """
        if self._count and time_s <= self._times[self._count - 1]:
            self._count = 0
        finished = self._advance(time_s)
        full = self._count == len(self._times)
        if self._count and self._work is None and (full or time_s - self._times[0] >= self._length_s):
            times, moved = self._times[: self._count].copy(), self._moved_px[: self._count].copy()
            self._work = self._levels(times, moved, floors_px.copy())
            self._drop(self._times[0] + self._window_s)
        elif full:
            self._drop(self._times[1])
        self._times[self._count], self._moved_px[self._count] = time_s, moved_px
        self._count += 1
        return finished

    def _advance(self, time_s: float) -> MotionLevels | None:
        """Do a part of the work on the latest block; its levels once all is done."""
        try:
            for _ in range(self._steps if self._work else 0):
                next(self._work)  # type: ignore[arg-type]
        except StopIteration as done:
            self._work = None
            levels: MotionLevels = done.value
            return replace(levels, behind_s=time_s - levels.behind_s)
        return None

    def _drop(self, until_s: float) -> None:
        first = max(1, int(np.searchsorted(self._times[: self._count], until_s)))
        kept = self._count - first
        self._times[:kept] = self._times[first : self._count]
        self._moved_px[:kept] = self._moved_px[first : self._count]
        self._count = kept

    def _levels(
        self, times: Values, moved_px: Values, floors_px: Values
    ) -> Generator[None, None, MotionLevels]:
        """Levels of the window amid a block, ``behind_s`` being its end; pauses between parts of the work."""
        regions = moved_px.shape[1]
        start_s = float(times[0]) + self.behind_s
        span = (start_s, start_s + self._window_s)
        rms, peak, noise = (np.full((regions, 2), np.nan) for _ in range(3))
        evened: dict[int, _Evened] = {}
        for each in _even(times, moved_px, np.isfinite(floors_px)):
            evened |= dict.fromkeys({region for region, _ in each.rows}, each)
            rate_hz = each.series.rate_hz
            for order in (1, 2):
                band_hz = whole_band_hz(rate_hz)
                parts = [
                    differentiate(run.values, rate_hz, order, band_hz, finer=CRESTS)
                    for run in each.series.runs
                ]
                found = _within(each.series, parts, span)
                for region in {region for region, _ in each.rows}:
                    rows = [row for (of, _), row in each.rows.items() if of == region]
                    squares = (found[rows] ** 2).sum(axis=0)
                    squares = squares[np.isfinite(squares)]
                    if squares.size >= max(1.0, FEWEST_KNOWN * self._window_s * CRESTS * rate_hz):
                        rms[region, order - 1] = math.sqrt(squares.mean())
                        peak[region, order - 1] = math.sqrt(squares.max())
                    floors = floors_px[region][np.isfinite(floors_px[region])]
                    gain = noise_gain(order, band_hz, rate_hz)
                    noise[region, order - 1] = gain * math.hypot(*floors.tolist())
                yield
        judgements = []
        for watch, covered in self._watches:
            judgements.append((watch, _judge(watch, covered, evened.get(watch.region), span, floors_px)))
            yield
        return MotionLevels(span[1], rms, peak, noise, tuple(judgements))


def _even(times: Values, moved_px: Values, shown: NDArray[np.bool_]) -> list[_Evened]:
    """Displacement of all regions on even times: those known throughout together, the others each by itself."""
    channels = [(int(region), int(axis)) for region, axis in np.argwhere(shown)]
    whole = [each for each in channels if np.isfinite(moved_px[:, each[0], each[1]]).all()]
    others = sorted({region for region, _ in channels} - {region for region, _ in whole})
    groups = [whole] + [[each for each in channels if each[0] == region] for region in others]
    found = []
    for group in groups:
        if group:
            values = np.stack([moved_px[:, region, axis] for region, axis in group])
            try:
                series = resample_evenly(times, values)
            except OptionFault:  # too little was measured in a row
                continue
            found.append(_Evened(series, {each: row for row, each in enumerate(group)}))
    return found


def _judge(
    watch: LimitWatch, covered: Coverage, evened: _Evened | None, span: tuple[float, float], floors_px: Values
) -> Judgement:
    if covered.refusal or evened is None:
        refusal = covered.refusal or "nothing is measured there"
        return Judgement(watch.criterion, covered, refusal=refusal)
    return judge_even(watch, evened.series, _rows(evened, watch), floors_px[watch.region], span)


def _rows(evened: _Evened, watch: LimitWatch) -> tuple[int | None, ...]:
    axes = (AXES.index(axis) for axis in watch.criterion.axes)
    return tuple(evened.rows.get((watch.region, axis)) for axis in axes)


def judge_even(
    watch: LimitWatch,
    series: EvenSeries,
    rows: Sequence[int | None],
    floors_px: Values,
    span: tuple[float, float] = (-math.inf, math.inf),
) -> Judgement:
    """Judge a region's even displacement within a span of time.

    Args:
        watch: the limit and the scale.
        series: even displacement in px.
        rows: the series' rows of the criterion's axes; None where no motion can be seen along one.
        floors_px: noise of one frame along x and y.
        span: first and last moment.
    """
    criterion, covered = watch.criterion, coverage(watch.criterion, series.rate_hz)
    factor, known = criterion.factor(watch.mm_per_px), [row for row in rows if row is not None]
    if covered.refusal or not known:
        refusal = covered.refusal or "the region shows no motion along the axis that the limit is for"
        return Judgement(criterion, covered, refusal=refusal)
    rate_hz = series.rate_hz
    order, finer = ORDERS[criterion.quantity], criterion.finer
    parts = [
        differentiate(
            factor * run.values[known], rate_hz, order, covered.band_hz, criterion.weight, finer=finer
        )
        for run in series.runs
    ]
    seen = _within(series, parts, span)
    found = np.full((len(rows), seen.shape[1]), np.nan)
    found[[at for at, row in enumerate(rows) if row is not None]] = seen
    gain = noise_gain(order, covered.band_hz, rate_hz, criterion.weight)
    floors = [
        floors_px[AXES.index(axis)] for axis, row in zip(criterion.axes, rows, strict=True) if row is not None
    ]
    judged = judge(criterion, covered, found, finer * rate_hz, factor * gain * float(max(floors)))
    return replace(judged, relative_sigma=watch.relative_sigma if criterion.needs_scale else 0.0)


def judge_recording(watch: LimitWatch, time_s: Values, region: RegionSeries, tick_s: float) -> Judgement:
    """Judge a region over a whole recording.

    Raises:
        OptionFault: the limit needs a scale, and none is known.
    """
    shown = [axis for axis, floor in zip(AXES, region.noise_floor_px, strict=True) if math.isfinite(floor)]
    watch.criterion.factor(watch.mm_per_px)
    try:
        series = resample_evenly(time_s, np.stack([region.along(axis) for axis in shown]), tick_s=tick_s)
    except (OptionFault, ValueError):  # too little was measured in a row, or nothing can be
        blank = Coverage(watch.criterion.band_hz)
        return Judgement(watch.criterion, blank, refusal="too little is measured without a gap")
    rows = [shown.index(axis) if axis in shown else None for axis in watch.criterion.axes]
    return judge_even(watch, series, rows, np.array(region.noise_floor_px))


def _within(series: EvenSeries, parts: Sequence[Values], span: tuple[float, float]) -> Values:
    """Values of all runs within a span of time, one run after the other; parts are (channels, samples * finer)."""
    kept = []
    for run, values in zip(series.runs, parts, strict=True):
        rate_hz = series.rate_hz * values.shape[1] / run.samples
        times = run.start_s + np.arange(values.shape[1]) / rate_hz
        kept.append(values[:, (times >= span[0]) & (times < span[1])])
    return np.concatenate(kept, axis=1)
