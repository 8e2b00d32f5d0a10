"""The meter of the regions that can be measured, and for the others the reason why not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.displacement.knock import Knock, KnockWatch
from tremorscope.runtime.vibration.displacement.meter import Motion, MotionMeter
from tremorscope.runtime.vibration.displacement.region_follower import RegionFollower
from tremorscope.runtime.vibration.displacement.region_maps import RegionMaps
from tremorscope.runtime.vibration.displacement.regions import Region, RegionFault
from tremorscope.runtime.vibration.displacement.windows import as_luma, estimate_noise_sigma

Picture = NDArray[Any]
NOT_MEASURED = Motion(*8 * [math.nan])
_LEARNING_FRAMES = 8
_ACCOUNT = "the camera was knocked: {}; regions are measured where they now are, and displacement begins anew"


@dataclass(frozen=True)
class PictureFacts:
    """Facts of a camera's picture that measuring needs."""

    lens: Path | None = None
    """File of its lens."""
    bit_depth: int = 8
    """Bits that tell brightnesses apart."""
    pixel_aspect: Callable[[], float] = lambda: 1.0
    """Width over height of a pixel, as the camera that was opened last states it."""
    before: PlacedRegions | None = None
    """Places of regions in it until now, of the same or other settings."""


@dataclass(frozen=True, eq=False)
class OpenedMeter:
    """A meter, the regions that it measures, and what is wrong with the others."""

    meter: MotionMeter | None
    """None where no region can be measured."""
    places: list[int]
    """Number of the region that each of the meter's belongs to."""
    troubles: list[str]
    """Reason, for each region, why it cannot be measured; empty if it can."""


def open_meter(
    samples: Sequence[Picture],
    regions: Sequence[Region],
    still: Sequence[Region],
    maps: Sequence[RegionMaps | None],
    bit_depth: int,
) -> OpenedMeter:
    """Open a meter for all regions that can be measured.

    Args:
        samples: frames, (H, W, 3; RGB) or luma (H, W), to learn noise from, of which the first is the reference.
        regions: regions to measure.
        still: regions of what cannot move.
        maps: map of each region, by lens and plane.
        bit_depth: of the camera's brightness.
    """
    sigma = estimate_noise_sigma(as_luma(samples[0]), bit_depth)
    troubles = []
    for region, each in zip(regions, maps, strict=True):
        of_other_size = each.size_trouble(*samples[0].shape[1::-1]) if each else ""
        troubles.append(of_other_size or _trouble_with(samples, region, sigma))
    places = [at for at, trouble in enumerate(troubles) if not trouble]
    if not places:
        return OpenedMeter(None, places, troubles)
    try:
        meter = MotionMeter(samples[0], [regions[at] for at in places], still, bit_depth=bit_depth)
        meter.learn_noise(samples)
    except RegionFault as fault:
        return OpenedMeter(None, [], [each or str(fault) for each in troubles])
    return OpenedMeter(meter, places, troubles)


def watch_for_knocks(
    reference: Picture, still: Sequence[Region], tell: Callable[[str], None]
) -> KnockWatch | None:
    """Watch for knocks of the camera against a reference; None, which is told, where OpenCV is not installed."""
    try:
        return KnockWatch(reference, holds=not still)
    except OptionFault as fault:
        tell(f"a camera that is knocked goes unnoticed: {fault}")
        return None


class PlacedRegions:
    """The places of regions in the view as it now is, after all knocks of the camera.

    Args:
        regions: regions to measure by name, as configured.
        still: regions of what cannot move, as configured.
        before: places until now; where the configuration has not changed, they hold.
    """

    def __init__(
        self, regions: Mapping[str, Region], still: Sequence[Region], before: PlacedRegions | None = None
    ) -> None:
        self._configured, self._configured_still = dict(regions), list(still)
        self.regions, self.still = dict(regions), list(still)
        self.moved = ""
        """Account of the latest knock, with the places to configure; empty where all are measured as configured."""
        if before is None or not before.moved:
            return
        kept = [name for name in regions if before._configured.get(name) == regions[name]]
        self.regions.update((name, before.regions[name]) for name in kept)
        if before._configured_still == self._configured_still:
            self.still = list(before.still)
        if kept or (still and self.still != self._configured_still):
            self.moved = before.moved

    def follow(self, knock: Knock, size_px: tuple[int, ...]) -> None:
        """Move all to where the view, (W, H), now shows them."""
        self.regions = {name: knock.region(each) for name, each in self.regions.items()}
        self.still = [knock.region(each) for each in self.still]
        named = [*self.regions.items(), *((f"still {at}", each) for at, each in enumerate(self.still, 1))]
        places = ", ".join(f"{name} x_px {place.x_px}, y_px {place.y_px}" for name, place in named)
        self.moved = f"{_ACCOUNT.format(knock.text(*size_px))}; before the next start write: {places}"


class KnockedMeter:
    """Measures the frames of a recording with a meter, which begins anew after each knock of the camera.

    Args:
        meter: measures until the first knock.
        reference: its reference, (H, W, 3; RGB) or luma (H, W).
        regions: what it measures.
        still: regions of what cannot move.
        bit_depth: of the frames.
    """

    def __init__(
        self,
        meter: MotionMeter,
        reference: Picture,
        regions: Sequence[Region],
        still: Sequence[Region],
        *,
        bit_depth: int,
    ) -> None:
        self._regions, self._still, self._bit_depth = list(regions), list(still), bit_depth
        self._opened = OpenedMeter(meter, list(range(len(regions))), [])
        self._watch: KnockWatch | None = watch_for_knocks(reference, still, self._note)
        self._samples: list[Picture] | None = None
        self._since_s = 0.0
        self.gaps_s: list[tuple[float, float]] = []
        """First and last time of the frames around each knock in which no displacement is known."""
        self.notes: list[str] = []

    def _note(self, text: str) -> None:
        self.notes.append(text)

    def measure(self, frame: Picture, time_s: float) -> tuple[Motion, ...]:
        """The motion of every region in the next frame."""
        motions = [NOT_MEASURED] * len(self._regions)
        if self._samples is not None:
            self._learn(frame, time_s)
            return tuple(motions)
        meter = self._opened.meter
        if meter is None:
            return tuple(motions)
        for at, motion in zip(self._opened.places, meter.measure(frame), strict=True):
            motions[at] = motion
        knock = self._watch.look(frame, meter.seen_px, time_s) if self._watch else None
        if knock is not None:
            self._regions, self._still = (
                [knock.region(e) for e in each] for each in (self._regions, self._still)
            )
            text = _ACCOUNT.format(knock.text(frame.shape[1], frame.shape[0]))
            self._note(f"at {knock.since_s:.1f} s {text}")
            self._samples, self._since_s = [], knock.since_s
            self.gaps_s.append((knock.since_s, math.inf))  # the clip may end before measuring begins again
        if knock is not None or (self._watch and self._watch.is_holding):
            return (NOT_MEASURED,) * len(motions)
        return tuple(motions)

    def _learn(self, frame: Picture, time_s: float) -> None:
        assert self._samples is not None
        self._samples.append(frame.copy())
        if len(self._samples) < _LEARNING_FRAMES:
            return
        maps = [None] * len(self._regions)
        self._opened = open_meter(self._samples, self._regions, self._still, maps, self._bit_depth)
        self._watch = watch_for_knocks(self._samples[0], self._still, lambda _: None)
        self._samples = None
        self.gaps_s[-1] = self._since_s, time_s


def _trouble_with(samples: Sequence[Picture], region: Region, sigma: float) -> str:
    """Reason why a region cannot be measured; empty if it can."""
    try:
        RegionFollower(samples[0], region, sigma).learn(samples)
    except RegionFault as fault:
        return str(fault)
    return ""
