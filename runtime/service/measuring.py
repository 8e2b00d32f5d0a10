"""Measurement of every raw frame: displacement of all regions, levels of each window, series for the store."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.frames.buffers import CopyAccount, copy_pixels
from tremorscope.runtime.health import RegionHealth
from tremorscope.runtime.live.feed import LiveMotion
from tremorscope.runtime.service.history import MotionHistory, SeriesCollector
from tremorscope.runtime.store.records import Channel, SeriesBlock
from tremorscope.runtime.vibration.displacement.knock import Knock, KnockWatch
from tremorscope.runtime.vibration.displacement.meter import Motion, MotionMeter
from tremorscope.runtime.vibration.displacement.meters import (
    NOT_MEASURED,
    PictureFacts,
    PlacedRegions,
    open_meter,
    watch_for_knocks,
)
from tremorscope.runtime.vibration.displacement.region_maps import aspect_note, for_pixels
from tremorscope.runtime.vibration.displacement.regions import Scale
from tremorscope.runtime.vibration.limit_settings import CurveAlarmSettings, StandardAlarmSettings
from tremorscope.runtime.vibration.monitoring.levels import Levels, LevelWindow
from tremorscope.runtime.vibration.monitoring.limits import Judgement
from tremorscope.runtime.vibration.monitoring.motion_levels import LimitWatch, MotionLevels, MotionWindows
from tremorscope.runtime.vibration.settings import VibrationSettings
from tremorscope.runtime.vibration.spectra.region_series import ROW

Picture = NDArray[np.uint8]
Values = NDArray[np.float64]

_LEARNING_FRAMES = 8
_LEARNING_S = 1.0
"""Frames, and the time that they are spread over, from which noise is learned before measuring begins."""
_RETRY_S = 60.0
"""Time after which a region that could not be measured, as in fog, is tried again."""
_GIVE_UP_S = 300.0
"""Time after which a lost region is begun anew, where it now is."""


@dataclass(frozen=True)
class RegionLevels:
    """Levels of a region's displacement in one window."""

    name: str
    levels: Levels
    scale: Scale | None


@dataclass(frozen=True)
class CompletedResults:
    """Results that one frame has completed: levels of windows that ended before it, and a block for the store."""

    levels: tuple[RegionLevels, ...] = ()
    block: SeriesBlock | None = None
    limits: tuple[tuple[str, Judgement], ...] = ()
    """A region's name, and its judgement by a limit, of a window that ended ..."""
    behind_s: float = 0.0
    """... so long before this frame."""


class Measuring:
    """Measures frame after frame; called by the loop over frames alone, but for ``regions``.

    Begins by learning noise from the first second. A region that cannot be measured is reported and retried every
    minute, while the others go on; one that has been lost for five minutes is begun anew.
    """

    def __init__(
        self,
        settings: VibrationSettings,
        *,
        history: MotionHistory,
        live: LiveMotion,
        tell: Callable[[str], None],
        rate_hz: float,
        account: CopyAccount | None = None,
        picture: PictureFacts | None = None,
    ) -> None:
        """Prepare.

        Args:
            settings: what to measure; there is at least one region.
            history: takes every measurement.
            live: shows it.
            tell: takes a human-readable line.
            rate_hz: frames a second, as the source states it.
            account: counts the few frames that are copied at the start.
            picture: facts of the camera's picture; None takes the usual ones.
        """
        self._settings, self._history, self._live, self._tell = settings, history, live, tell
        self._account, self._rate_hz, self._picture = account, rate_hz, picture or PictureFacts()
        self._regions = settings.regions
        regions, still = {each.name: each.region() for each in settings.regions}, settings.still
        self.placed = PlacedRegions(regions, [each.region() for each in still], self._picture.before)
        self._knocks: KnockWatch | None = None
        names = [each.name for each in self._regions]
        self._aspect = 1.0
        self._collector = SeriesCollector(self._prepare_scales(settings))
        self._windows = [LevelWindow(settings.window_s) for _ in names]
        self._latest: list[Levels | None] = [None] * len(names)
        self._latest_motion: MotionLevels | None = None
        self.judge_by(settings)
        self._motions: tuple[Motion, ...] = (NOT_MEASURED,) * len(names)
        self._troubles = ["learning what noise there is"] * len(names)
        self._floors_px: Values = np.full((len(names), 2), np.inf)
        self._meter: MotionMeter | None = None
        self._places: list[int] = []
        """Number of the region that each of the meter's belongs to."""
        self._samples: list[Picture] = []
        self._sample_due_s = self._retry_s = -math.inf
        self._known_s = [-math.inf] * len(names)

    def _prepare_scales(self, settings: VibrationSettings) -> list[Channel]:
        """Maps and scales of all regions; returns the channels of the store."""
        self._bare = self._maps = [settings.map_of(each, self._picture.lens) for each in self._regions]
        pairs = zip(self._regions, self._maps, strict=True)
        self._scales = [settings.scale_of(each, maps) for each, maps in pairs]
        return [
            Channel(region.name, axis, mm_per_px=scale.mm_per_px if scale else None)
            for region, scale in zip(self._regions, self._scales, strict=True)
            for axis in ("x", "y")
        ]

    def take(self, frame: Picture, timestamp_s: float, unix_s: float) -> CompletedResults:
        """Measure a frame, u8[H, W, 3], captured at a time of the camera and of Unix."""
        if self._knocks is not None and self._knocks.is_looking(timestamp_s, _RETRY_S):
            self._samples.clear()  # frames of two views have no one reference
        elif timestamp_s >= self._retry_s:
            self._learn(frame, timestamp_s)
        if self._meter is None:
            return CompletedResults()
        self._motions = self._measure(frame, timestamp_s)
        rows = np.array([each.row for each in self._motions]).reshape(-1, ROW)  # (regions, 7)
        moved = rows[:, :2]
        moved[~np.isfinite(self._floors_px)] = np.nan  # an axis without texture shows no motion
        self._history.add(timestamp_s, unix_s, rows)
        self._live.add(unix_s, moved)
        levels, block = self._finish_windows(unix_s), self._collector.add(unix_s, moved.ravel())
        motion = self._motion.add(timestamp_s, moved, self._floors_px)
        if motion is None:
            return CompletedResults(levels, block)
        self._latest_motion = motion
        limits = tuple((self._regions[watch.region].name, each) for watch, each in motion.judgements)
        return CompletedResults(levels, block, limits, motion.behind_s)

    def judge_by(self, settings: VibrationSettings) -> None:
        """Judge by the limits of other alarms from the next frame on; may be called from any thread."""
        places = {each.name: at for at, each in enumerate(self._regions)}
        watches = []
        for alarm in settings.alarms:
            if isinstance(alarm, (CurveAlarmSettings, StandardAlarmSettings)):
                scale = self._scales[at := places[alarm.region]]
                by_scale = (scale.mm_per_px, scale.relative_sigma) if scale else (None, 0.0)
                watches.append(LimitWatch(at, alarm.criterion(), *by_scale))
        self._motion = MotionWindows(len(places), settings.window_s, self._rate_hz, watches)

    def flush(self) -> SeriesBlock | None:
        """Return the samples gathered for the store, at the end."""
        return self._collector.flush()

    def regions(self) -> tuple[RegionHealth, ...]:
        """Status of every region; may be called from any thread."""
        found, motion = [], self._latest_motion
        rectangles = list(self.placed.regions.values())
        for at, region in enumerate(self._regions):
            levels, floors, scale = self._latest[at], self._floors_px[at], self._scales[at]
            known = floors[np.isfinite(floors)]
            frames = levels.samples + levels.lost if levels else 0
            found.append(
                RegionHealth(
                    region.name,
                    displacement_rms_px=_known(levels.rms) if levels else None,
                    displacement_peak_px=_known(levels.peak) if levels else None,
                    noise_floor_px=float(known.max()) if known.size else None,
                    quality=_known(self._motions[at].quality),
                    lost_ratio=levels.lost / frames if levels and frames else 0.0,
                    mm_per_px=scale.mm_per_px if scale else None,
                    scale_relative_sigma=scale.relative_sigma if scale else 0.0,
                    rectangle_px=astuple(rectangles[at]),
                    trouble=self._troubles[at],
                    velocity_px_s=motion.of(at, 1) if motion else None,
                    acceleration_px_s2=motion.of(at, 2) if motion else None,
                )
            )
        return tuple(found)

    def _measure(self, frame: Picture, timestamp_s: float) -> tuple[Motion, ...]:
        assert self._meter is not None
        motions = [NOT_MEASURED] * len(self._regions)
        found = self._meter.measure(frame)
        if self._knocks is not None:
            knock = self._knocks.look(frame, self._meter.seen_px, timestamp_s)
            if knock is not None:
                self._follow(knock, frame, timestamp_s)
                return tuple(motions)
            if self._knocks.is_holding:
                found = (NOT_MEASURED,) * len(found)
        for at, motion in zip(self._places, found, strict=True):
            motions[at] = self._carried(at, motion)
            if not motion.lost:
                self._known_s[at] = timestamp_s
        gone = [self._regions[at].name for at in self._places if timestamp_s - self._known_s[at] > _GIVE_UP_S]
        if gone and timestamp_s < self._retry_s:
            self._tell(
                f"region {', '.join(gone)}: lost for {_GIVE_UP_S:g} s; all are measured from here anew"
            )
            self._retry_s = timestamp_s
        return tuple(motions)

    def _carried(self, at: int, motion: Motion) -> Motion:
        """The motion of a region by its lens and on its plane."""
        maps = self._maps[at]
        if maps is None:
            return motion
        seen_px = (motion.x_px, motion.camera_x_px), (motion.y_px, motion.camera_y_px)
        (x_px, camera_x_px), (y_px, camera_y_px) = maps.carry(0, seen_px).tolist()
        return replace(motion, x_px=x_px, y_px=y_px, camera_x_px=camera_x_px, camera_y_px=camera_y_px)

    def _finish_windows(self, unix_s: float) -> tuple[RegionLevels, ...]:
        finished = []
        for at, (window, motion) in enumerate(zip(self._windows, self._motions, strict=True)):
            # Along an axis without texture the meter gives 0, which adds nothing.
            levels = window.add(unix_s, motion.x_px, motion.y_px)
            if levels is not None:
                self._latest[at] = levels
                finished.append(RegionLevels(self._regions[at].name, levels, self._scales[at]))
        return tuple(finished)

    def _learn(self, frame: Picture, timestamp_s: float) -> None:
        """Gather a frame to learn from; with the last of them, begin to measure."""
        if timestamp_s < self._sample_due_s:
            return
        self._sample_due_s = timestamp_s + _LEARNING_S / _LEARNING_FRAMES
        kept: Picture = np.empty(frame.shape, np.uint8)
        copy_pixels(frame, kept, self._account, "measuring: frame to learn from")
        self._samples.append(kept)
        if len(self._samples) < _LEARNING_FRAMES:
            return
        samples, self._samples = self._samples, []
        self._begin(samples, timestamp_s)

    def _begin(self, samples: Sequence[Picture], timestamp_s: float) -> None:
        regions, still = list(self.placed.regions.values()), self.placed.still
        if (aspect := self._picture.pixel_aspect()) != self._aspect:
            self._aspect = aspect
            each_of = zip(self._bare, self._regions, self._scales, strict=True)
            self._maps = [
                for_pixels(aspect, maps, [at.region()], is_scaled=bool(s)) for maps, at, s in each_of
            ]
            self._tell(aspect_note(aspect, any(self._scales)))
        opened = open_meter(samples, regions, still, self._maps, self._picture.bit_depth)
        meter, places, troubles = opened.meter, opened.places, opened.troubles
        self._note(troubles)
        # Regions that are being measured go on undisturbed while others are still in trouble.
        unchanged = self._meter is not None and places == self._places and any(troubles)
        self._retry_s = timestamp_s + _RETRY_S if any(troubles) else math.inf
        if not unchanged:
            self._adopt(meter, places, timestamp_s)
            self._knocks = watch_for_knocks(samples[0], still, self._tell) if meter else None

    def _follow(self, knock: Knock, frame: Picture, timestamp_s: float) -> None:
        """Begin anew where the view now shows the regions."""
        self.placed.follow(knock, frame.shape[1::-1])
        self._tell(self.placed.moved)
        self._meter, self._knocks, self._samples = None, None, []
        self._retry_s = self._sample_due_s = timestamp_s

    def _adopt(self, meter: MotionMeter | None, places: list[int], timestamp_s: float) -> None:
        self._meter, self._places = meter, places
        self._known_s = [timestamp_s] * len(self._regions)
        self._windows = [LevelWindow(self._settings.window_s) for _ in self._regions]  # from another zero
        floors: Values = np.full((len(self._regions), 2), np.inf)
        rounding: Values = np.zeros((len(self._regions), 2))
        if meter is not None:
            for at, own, steps in zip(places, meter.noise_floors_px, meter.rounding_floors_px, strict=True):
                maps = self._maps[at]
                floors[at] = own if maps is None else maps.floors(0, own)
                rounding[at] = steps if maps is None else maps.floors(0, steps)
        self._floors_px = floors
        self._motions = (NOT_MEASURED,) * len(self._regions)
        self._history.begin(floors, rounding)

    def _note(self, troubles: list[str]) -> None:
        for region, before, now in zip(self._regions, self._troubles, troubles, strict=True):
            if now and now != before:
                self._tell(f"region {region.name}: {now}")
            elif before and not now:
                self._tell(f"region {region.name}: is measured")
        self._troubles = troubles


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
