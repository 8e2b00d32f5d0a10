"""Displacement of all regions of interest of a camera, frame after frame, with the camera's shake removed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tremorscope.runtime.vibration.displacement.estimator import Displacement
from tremorscope.runtime.vibration.displacement.region_follower import RefreshPolicy, RegionFollower, is_lost
from tremorscope.runtime.vibration.displacement.regions import Region, RegionFault
from tremorscope.runtime.vibration.displacement.windows import as_luma, estimate_noise_sigma, rounding_sigma

Values = NDArray[np.float64]

_QUIET = 1.2
"""Noise, as a multiple of the rounding noise, below which rounding errors follow the light."""


@dataclass(frozen=True)
class Motion:
    """Displacement of one region in one frame against the first reference, with light and quality of the match."""

    x_px: float
    """To the right positive; NaN where the region is lost, or the camera's shake is unknown."""
    y_px: float
    """Downwards positive; NaN likewise."""
    gain: float
    """Contrast against the reference; 1 where the light is the same."""
    brightness: float
    """Mean luma against the reference's; likewise."""
    residual: float
    """RMS difference in grey levels that motion and light leave unexplained."""
    quality: float
    """Share of the region's variance that they explain, 0 to 1."""
    camera_x_px: float = 0.0
    """Apparent motion by the camera's own that was taken out; 0 where none is."""
    camera_y_px: float = 0.0

    @property
    def lost(self) -> bool:
        """True if the displacement is not known."""
        return math.isnan(self.x_px)

    @property
    def row(self) -> tuple[float, ...]:
        """The seven values of a series, in the order of `RegionSeries.of_rows`."""
        seen = self.x_px, self.y_px, self.quality, self.gain, self.brightness
        return *seen, self.camera_x_px, self.camera_y_px


class MotionMeter:
    """Displacement of several regions, less that of regions known to stand still.

    One still region removes the camera's translation; two or more far apart also its roll and its changing
    magnification, by least squares over all of them. Noise of the still regions adds to that of the others.

    Args:
        reference: the first frame, (H, W) luma or (H, W, 3) uint8 RGB.
        regions: regions to measure.
        still: regions of what cannot move: ground, a pier, a building behind.
        policy: conditions for a new reference.
        bit_depth: of the frames; luma of more than 8 bits has fractions of grey levels.

    Raises:
        RegionFault: a region is outside the picture, too small or without texture, or the still regions
        together do not show motion along both axes.
    """

    def __init__(
        self,
        reference: ArrayLike,
        regions: Sequence[Region],
        still: Sequence[Region] = (),
        policy: RefreshPolicy | None = None,
        *,
        bit_depth: int = 8,
    ) -> None:
        picture = np.asarray(reference)
        self._rounding_sigma = rounding_sigma(bit_depth)
        sigma = estimate_noise_sigma(as_luma(picture), bit_depth)
        self.followers = tuple(RegionFollower(reference, each, sigma, policy) for each in regions)
        self._still = tuple(RegionFollower(reference, each, sigma, policy) for each in still)
        self._prepare_shake()
        self.seen_px: Values = np.zeros((len(self.followers) + len(self._still), 2))
        """Motion of all regions, the still ones last, in the latest frame, the camera's included; NaN where lost."""

    def learn_noise(self, frames: Sequence[ArrayLike]) -> None:
        """Estimate every region's noise from the first frames; see `RegionFollower.learn`.

        Raises:
            RegionFault: a region cannot be measured under its noise.
        """
        for follower in (*self.followers, *self._still):
            follower.learn(frames)
            follower.average_reference(frames)
        self._prepare_shake()

    @property
    def noise_floors_px(self) -> Values:
        """Standard deviations along x and y, (regions, 2), that noise causes; infinite where texture lacks."""
        own = np.array([each.noise_floor_px for each in self.followers]).reshape(-1, 2)
        floors: Values = np.hypot(own, self._shake_floors)
        return floors

    @property
    def rounding_floors_px(self) -> Values:
        """Amplitudes along x and y, (regions, 2), up to which rounding to whole steps may pass for a steady tone.

        Noise below the rounding step no longer scatters the errors of rounding, which then follow the light;
        0 where there is noise enough.
        """
        quiet = [each.tracker.noise_sigma < _QUIET * self._rounding_sigma for each in self.followers]
        floors: Values = np.where(np.array(quiet)[:, None], self.noise_floors_px, 0.0)
        return floors

    def measure(self, frame: ArrayLike) -> tuple[Motion, ...]:
        """The motion of every region in a frame of the reference's size."""
        found = [each.measure(frame) for each in (*self.followers, *self._still)]
        self.seen_px = np.array(
            [(math.nan,) * 2 if is_lost(each) else (each.x_px, each.y_px) for each in found]
        )
        shake = self._shake(found[len(self.followers) :])
        return tuple(
            free_of(shake[number], found[number], follower.tracker.mean_luma)
            for number, follower in enumerate(self.followers)
        )

    def _prepare_shake(self) -> None:
        """Prepare the least squares for the camera's motion, and the noise that it adds to each region."""
        count = len(self.followers)
        self._shake_floors: Values = np.zeros((count, 2))
        if not self._still:
            return
        floors = np.array([each.noise_floor_px for each in self._still])
        self._seen = np.isfinite(floors)
        if not self._seen.any(axis=0).all():
            axis = "x" if not self._seen[:, 0].any() else "y"
            raise RegionFault(
                f"still {self._still[0].region}: has no texture that shows the camera's motion along {axis}",
                remedy="choose a still region with a corner or with texture in both directions",
            )
        centres = np.array([each.region.centre_px for each in self._still])
        self._middle = centres.mean(axis=0)
        spread = float(np.ptp(centres, axis=0).max())
        self._full = len(self._still) >= 2 and spread >= 64 and bool(self._seen.all())
        self._design = _rows_at(centres - self._middle, full=self._full)
        self._targets = _rows_at(
            np.array([each.region.centre_px for each in self.followers]).reshape(-1, 2) - self._middle,
            full=self._full,
        )
        known = self._seen.ravel()
        solver = np.linalg.pinv(self._design[known])
        deviations = self._targets @ (solver * floors.ravel()[known])
        self._shake_floors = np.sqrt((deviations**2).sum(axis=1)).reshape(count, 2)

    def _shake(self, found: Sequence[Displacement]) -> Values:
        """Apparent motion (x, y) of each region due to the camera's, (regions, 2); NaN where it is not known."""
        if not self._still:
            return np.zeros((len(self.followers), 2))
        known = self._seen & ~np.array([[is_lost(each)] for each in found])
        rows = known.ravel()
        if not known.any(axis=0).all() or np.linalg.matrix_rank(self._design[rows]) < self._design.shape[1]:
            return np.full((len(self.followers), 2), np.nan)
        moved = np.array([(each.x_px, each.y_px) for each in found]).ravel()
        parameters = np.linalg.lstsq(self._design[rows], moved[rows], rcond=None)[0]
        shake: Values = (self._targets @ parameters).reshape(-1, 2)
        return shake


def _rows_at(places: Values, *, full: bool) -> Values:
    """Motion along x and y at places (n, 2) for each unit of motion, (2 n, 2 or 4): shift, zoom and roll."""
    rows = np.zeros((2 * len(places), 4 if full else 2))
    rows[0::2, 0] = rows[1::2, 1] = 1
    if full:
        rows[0::2, 2], rows[1::2, 2] = places[:, 0], places[:, 1]
        rows[0::2, 3], rows[1::2, 3] = -places[:, 1], places[:, 0]
    return rows


def free_of(shake: Values, found: Displacement, mean_luma: float) -> Motion:
    """A region's motion less the camera's at its place, (2,)."""
    camera = float(shake[0]), float(shake[1])
    x_px, y_px = found.x_px - camera[0], found.y_px - camera[1]
    if is_lost(found):
        x_px = y_px = math.nan
    brightness = found.gain + found.offset / max(mean_luma, 1.0)
    return Motion(x_px, y_px, found.gain, brightness, found.residual, found.quality, *camera)
