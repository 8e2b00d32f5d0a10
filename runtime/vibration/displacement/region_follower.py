"""Displacement of one region over months: the reference is renewed as the scene changes, without a step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tremorscope.runtime.vibration.displacement.estimator import Displacement, RegionTracker
from tremorscope.runtime.vibration.displacement.reasons import why_not_followed
from tremorscope.runtime.vibration.displacement.regions import Region, RegionFault

LEAST_QUALITY = 0.25
"""Share of the region's variance that a match must explain; below it the region counts as lost."""
_NOISIER = 1.3
_SAME = 0.1
"""Residual, as a multiple of the noise, below which a frame is the reference itself."""
_UNSETTLED = 0.1
_MOST_GONE = 0.5
"""Share of the frames in which the content must be seen for its noise to be learned."""
_MEMORY_FRAMES = 50
_PAUSE_FRAMES = 200
"""Frames before the next attempt after a refresh that could not be made."""


@dataclass(frozen=True)
class RefreshPolicy:
    """Conditions for a new reference. Taking it causes no step: old and new are first measured side by side."""

    beyond_px: float = 8.0
    """Displacement from the reference from which on it is renewed: half of the range."""
    quality_loss: float = 0.1
    """Loss of explained variance from which on it is renewed: light, season or dirt have changed."""
    every_frames: int | None = None
    """Age in frames at which it is renewed; None sets no limit."""
    overlap_frames: int = 12
    """Frames over which the position of the new reference is averaged."""


def is_lost(found: Displacement) -> bool:
    """True if a measurement must be discarded: the content is covered, gone, or out of range."""
    return not found.converged or found.quality < LEAST_QUALITY


def _is_gone(found: Displacement) -> bool:
    """True where a frame does not show a region's content at all, rather than not settling along an edge."""
    return found.quality < LEAST_QUALITY


class RegionFollower:
    """Displacement of one region since the first reference, through any number of later references.

    A new reference is the mean of a few frames, laid onto the first of them. Its position is the mean difference
    between the displacements that the old and the new one measure in the same frames. The noise of those frames is in
    both, so it cancels; each refresh adds about a tenth of the noise floor to a random walk, the price of following a
    scene that changes.

    Args:
        reference: the first reference, (H, W) luma or (H, W, 3) uint8 RGB.
        region: where to measure.
        noise_sigma: of one frame, in grey levels; None estimates it from the reference.
        policy: when to take a new reference.

    Raises:
        RegionFault: the region is outside the picture, too small, or has no texture.
    """

    def __init__(
        self,
        reference: ArrayLike,
        region: Region,
        noise_sigma: float | None = None,
        policy: RefreshPolicy | None = None,
    ) -> None:
        self._reference: NDArray[np.generic] | None = np.asarray(reference)
        self._policy = policy or RefreshPolicy()
        self.tracker = RegionTracker(reference, region, noise_sigma)
        self.refreshes = 0
        """Number of references since the first."""
        self._place = (0.0, 0.0)
        self._next: RegionTracker | None = None
        self._near: tuple[float, float] | None = None
        """Place of the content in the frame before, against the present reference, and against the next one."""
        self._next_near: tuple[float, float] | None = None
        self._differences: list[tuple[float, float]] = []
        self._age = self._pause = 0
        self._quality = self._best_quality = math.nan

    @property
    def region(self) -> Region:
        """The region that is measured."""
        return self.tracker.region

    @property
    def noise_floor_px(self) -> tuple[float, float]:
        """Standard deviation along x and y that noise causes; infinite where texture lacks."""
        return self.tracker.noise_floor_x_px, self.tracker.noise_floor_y_px

    def learn(self, frames: Sequence[ArrayLike]) -> None:
        """Learn the noise, of a region that is to be measured: see `learn_noise`.

        Raises:
            RegionFault: as there, or it shows motion along neither axis.
        """
        self.learn_noise(frames)
        if not np.isfinite(self.noise_floor_px).any():
            raise RegionFault(
                f"{self.region}: shows motion neither along x nor along y, only across a slanted edge",
                remedy="choose a region with a corner or with texture in both directions",
            )

    def learn_noise(self, frames: Sequence[ArrayLike]) -> None:
        """Estimate the noise from the residual of the first frames, if that exceeds the present estimate.

        Compression and changing surroundings add residual that a still picture does not show. A direction along
        which the measurement does not settle, such as along a mast, is given up: displacement there is then 0
        and its noise floor infinite. Frames in which the content is gone or covered tell nothing of the noise.

        Raises:
            RegionFault: its content is not found in most of the frames; the fault says why, as far as that is seen.
        """
        assert self._reference is not None, "noise is learned before the first measurement"
        places: list[tuple[float, float] | None] = [None] * len(frames)
        for attempt in range(8):
            found = [self.tracker.measure(*each) for each in zip(frames, places, strict=True)]
            if attempt == 0 and sum(map(_is_gone, found)) > _UNSETTLED * len(found):
                # Large motion: the content may be anywhere.
                for at in (at for at, each in enumerate(found) if _is_gone(each)):
                    places[at] = self.tracker.locate(frames[at])
                    found[at] = self.tracker.measure(frames[at], places[at])
            seen = [each for each in found if not _is_gone(each)]
            if len(seen) <= _MOST_GONE * len(found):
                break
            unsettled = sum(not each.converged for each in seen) > _UNSETTLED * len(found)
            residual = float(np.median([each.residual / math.hypot(1, each.gain) for each in seen]))
            assumed = self.tracker.noise_sigma
            sigma = max(residual, 2 * assumed if unsettled else 0.0)
            if sigma < _NOISIER * assumed:
                return
            try:
                self.tracker = RegionTracker(self._reference, self.region, sigma)
            except RegionFault:
                break  # there was texture under the noise that was assumed
        what, remedy = why_not_followed(self._reference, self.region, frames)
        raise RegionFault(f"{self.region}: {what}", remedy=remedy)

    def average_reference(self, frames: Sequence[ArrayLike]) -> None:
        """Lower the noise of the reference: take its mean with frames that match it, laid onto it."""
        for frame in frames:
            found = self.tracker.measure(frame)
            # The reference itself may be among them.
            if found.residual > _SAME * self.tracker.noise_sigma:
                self.tracker.gather(frame, found)
        self.tracker = self._averaged(self.tracker)

    def _averaged(self, tracker: RegionTracker) -> RegionTracker:
        """The tracker with its averaged reference, if that shows motion along the same axes."""
        try:
            averaged = tracker.averaged()
        except RegionFault:
            return tracker
        return averaged if self._shows_same_axes(averaged) else tracker

    def _shows_same_axes(self, tracker: RegionTracker) -> bool:
        """True if a tracker measures along the axes of the present one: an axis that comes or goes would be a step."""
        floors = tracker.noise_floor_x_px, tracker.noise_floor_y_px
        return list(np.isfinite(floors)) == list(np.isfinite(self.noise_floor_px))

    def measure(self, frame: ArrayLike) -> Displacement:
        """Displacement since the first reference; not valid where ``is_lost`` is true of it."""
        self._reference = None
        found = self.tracker.measure(frame, self._near)
        self._near = None if is_lost(found) else (found.x_px, found.y_px)
        whole = replace(found, x_px=found.x_px + self._place[0], y_px=found.y_px + self._place[1])
        self._age += 1
        self._pause = max(0, self._pause - 1)
        if not is_lost(found):
            self._judge_quality(found.quality)
            if self._next is not None:
                self._compare(frame, whole)
            elif self._is_due(found):
                self._begin(frame)
        return whole

    def _judge_quality(self, quality: float) -> None:
        if math.isnan(self._quality):
            self._quality = quality
        self._quality += (quality - self._quality) / _MEMORY_FRAMES
        if self._age >= _MEMORY_FRAMES:
            self._best_quality = float(np.fmax(self._best_quality, self._quality))

    def _is_due(self, found: Displacement) -> bool:
        policy = self._policy
        far = max(abs(found.x_px), abs(found.y_px)) > policy.beyond_px
        worse = self._quality < self._best_quality - policy.quality_loss
        old = policy.every_frames is not None and self._age >= policy.every_frames
        return (far or worse or old) and self._pause == 0

    def _begin(self, frame: ArrayLike) -> None:
        try:
            self._next, self._next_near = RegionTracker(frame, self.region, self.tracker.noise_sigma), None
        except RegionFault:
            self._pause = _PAUSE_FRAMES  # the present content has no texture: keep the old reference
            return
        if not self._shows_same_axes(self._next):
            self._next, self._pause = None, _PAUSE_FRAMES

    def _compare(self, frame: ArrayLike, whole: Displacement) -> None:
        assert self._next is not None
        new = self._next.measure(frame, self._next_near)
        self._next_near = (new.x_px, new.y_px)
        if is_lost(new):
            self._next, self._pause, self._differences = None, _PAUSE_FRAMES, []
            return
        self._next.gather(frame, new)
        self._differences.append((whole.x_px - new.x_px, whole.y_px - new.y_px))
        if len(self._differences) < self._policy.overlap_frames:
            return
        x_px, y_px = np.mean(self._differences, axis=0)
        self._place = float(x_px), float(y_px)
        self.tracker, self._next, self._differences = self._averaged(self._next), None, []
        self._near = (new.x_px, new.y_px)
        self.refreshes += 1
        self._age, self._quality, self._best_quality = 0, math.nan, math.nan
