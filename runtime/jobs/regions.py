"""Regions of a measurement: named, or chosen; their meter; and the doubt whether it is the camera that moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.vibration.displacement.choosing import choose_regions
from tremorscope.runtime.vibration.displacement.meter import Motion, MotionMeter
from tremorscope.runtime.vibration.displacement.meters import KnockedMeter
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.displacement.steady import CameraMotion, SteadyMeter, find_camera
from tremorscope.runtime.vibration.displacement.warping import CameraModel
from tremorscope.runtime.vibration.spectra.analysis import AXES, Axis, RegionSeries

Picture = NDArray[Any]

_FEWEST_ALIKE = 3
_ALIKE, _SURELY = 0.3, 3.0
_SPREAD = 0.5
"""Share of the picture's width or height that regions must span for their common motion to be the camera's."""


@dataclass(frozen=True)
class Plan:
    """Regions to measure, the meter that measures them, and what stands still among them."""

    regions: tuple[Region, ...]
    proposed: bool
    meter: MotionMeter | SteadyMeter
    still: tuple[Region, ...]
    """Regions whose motion is taken out of that of the others."""
    background: tuple[int, ...]
    """Places, from 0, of the regions that belong to the background as far as that is known."""
    camera: CameraMotion | None

    def knocked(
        self, reference: Picture, bit_depth: int
    ) -> tuple[Callable[[Picture, float], tuple[Motion, ...]], KnockedMeter | None]:
        """Measure of a frame at a time, and what watches for knocks of the camera meanwhile, if anything need."""
        meter = self.meter
        if not isinstance(meter, MotionMeter):  # the camera's motion is taken out already
            return lambda frame, _: meter.measure(frame), None
        knocked = KnockedMeter(meter, reference, self.regions, self.still, bit_depth=bit_depth)
        return knocked.measure, knocked

    def notes(self, series: Sequence[RegionSeries], size_px: tuple[int, int]) -> tuple[str, ...]:
        """Human-readable remarks on the camera's motion, after the measurement; size is width and height."""
        if self.camera is not None:
            return (self.camera.line(),)
        chosen = [series[at] for at in self.background]
        if self.still or len(chosen) < _FEWEST_ALIKE or not _spread(chosen, size_px):
            return ()
        found = [(axis, _common_px(chosen, axis)) for axis in AXES]
        common = [f"{size:.2g} px RMS along {axis}" for axis, size in found if size > 0]
        if not common:
            return ()
        who = "the background" if self.proposed else "everything measured"
        return (
            f"{who} moves alike, by {' and '.join(common)}: the camera? Take its motion out with --stabilise, or name "
            "what cannot move with --still",
        )


def plan_regions(
    samples: Sequence[Picture],
    named: tuple[Region, ...],
    still: tuple[Region, ...],
    count: int,
    stabilise: CameraModel | None = None,
    *,
    bit_depth: int = 8,
) -> Plan:
    """Choose regions unless some are named, and prepare their meter.

    Args:
        samples: frames at irregular times, (H, W, 3; RGB) or luma (H, W), of which the first is the reference.
        named: regions to measure; none has up to ``count`` proposed.
        still: regions of what cannot move; none has some found where the camera's motion is to be taken out.
        count: regions to propose.
        stabilise: how the camera may move, to take its motion out; None leaves it, but for that of still regions.
        bit_depth: of the samples.

    Raises:
        OptionFault: no part of the picture has texture, or too little stands still.
        RegionFault: a region cannot be measured.
    """
    camera, seen, scene = None, samples, None
    if stabilise is not None:
        camera, scene, seen = find_camera(samples, stabilise, still, bit_depth=bit_depth)
        still = camera.still
    regions, background = named, tuple(range(len(named)))
    if not named:
        taken = still if camera is None else ()
        regions, background = choose_regions(seen, count, still=taken, scene=scene, bit_depth=bit_depth)
    meter = (
        SteadyMeter(samples[0], regions, camera)
        if camera
        else MotionMeter(samples[0], regions, still, bit_depth=bit_depth)
    )
    meter.learn_noise(samples)
    return Plan(regions, not named, meter, still, background, camera)


def _spread(series: Sequence[RegionSeries], size_px: tuple[int, int]) -> bool:
    spans = np.ptp([each.region.centre_px for each in series], axis=0) / size_px
    return bool(spans.max() > _SPREAD)


def _common_px(series: Sequence[RegionSeries], axis: Axis) -> float:
    """RMS of the motion that all regions share along an axis; 0 where they share none."""
    at = AXES.index(axis)
    shown = [each for each in series if np.isfinite(each.noise_floor_px[at])]
    moved = np.array([each.along(AXES[at]) for each in shown])
    if len(shown) < _FEWEST_ALIKE:
        return 0.0
    moved = moved[:, np.isfinite(moved).all(axis=0)]
    if moved.shape[1] < 2 * _FEWEST_ALIKE:
        return 0.0
    moved -= moved.mean(axis=1, keepdims=True)
    common = np.median(moved, axis=0)
    rest, floors = (moved - common).std(axis=1), np.array([each.noise_floor_px[at] for each in shown])
    size = float(common.std())
    alike = (np.sqrt(np.maximum(rest**2 - floors**2, 0)) < _ALIKE * size).all()
    return size if alike and size > _SURELY * float(np.median(rest)) / np.sqrt(len(shown)) else 0.0
