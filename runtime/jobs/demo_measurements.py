"""Measurements of the demonstration while it films, and their comparison with the truth."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.cameras.clip import ClipCamera
from tremorscope.runtime.cameras.synthetic import SyntheticMode, SyntheticSettings
from tremorscope.runtime.frames.buffers import FrameRing
from tremorscope.runtime.reports.demo_picture import TimeSlice, VerticalLine
from tremorscope.runtime.vibration.displacement.coding_loss import coding_errors_px
from tremorscope.runtime.vibration.displacement.estimator import RegionTracker
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.displacement.windows import luma
from tremorscope.runtime.vibration.spectra.tones import amplitudes_at, find_tones

_LEAST_WAVE = 0.05
"""Share of a mode's amplitude below which a place counts as one of its nodes."""


@dataclass(frozen=True)
class ModeResult:
    """Amplitude of one mode at one place: the truth, and what was measured before and after magnification."""

    place: str
    true_hz: float
    found_hz: float
    """Frequency found in the displacement as filmed."""
    true_px: float
    filmed_px: float
    filmed_sigma_px: float
    """Standard error that the video's compression leaves."""
    magnified_px: float

    @property
    def reached(self) -> float:
        """Amplification that was reached: magnified over true displacement."""
        return self.magnified_px / self.true_px


@dataclass
class Place:
    """A place whose displacement is measured in every frame, as filmed and as magnified."""

    name: str
    region: Region
    filmed_px: list[float] = field(default_factory=list)
    magnified_px: list[float] = field(default_factory=list)
    coding_error_px: float = 0.0
    """Standard error of an amplitude in the video as filmed."""
    _trackers: tuple[RegionTracker, RegionTracker] | None = None

    def measure(self, frame: NDArray[np.uint8], magnified: NDArray[np.uint8]) -> None:
        """Displacement since the first frame, each in its own video."""
        if self._trackers is None:
            self._trackers = RegionTracker(frame, self.region), RegionTracker(magnified, self.region)
        self.filmed_px.append(self._trackers[0].measure(frame).y_px)
        self.magnified_px.append(self._trackers[1].measure(magnified).y_px)

    @property
    def columns_px(self) -> NDArray[np.int64]:
        """The columns of the region."""
        return np.arange(self.region.x_px, self.region.x_px + self.region.width_px)


@dataclass
class Recording:
    """Record of the run besides the videos: displacements of every frame, and two time slices."""

    settings: SyntheticSettings
    middle: Place
    quarter: Place
    abutment: Place
    filmed: TimeSlice
    magnified: TimeSlice
    times_s: list[float] = field(default_factory=list)
    first_frame: NDArray[np.uint8] | None = None

    @classmethod
    def of(cls, settings: SyntheticSettings) -> Recording:
        """A recording not yet begun, of a film with these settings."""
        line = _line(settings)
        return cls(
            settings,
            Place("mid-span", Region(*settings.girder_px(0.5))),
            Place("quarter-span", Region(*settings.girder_px(0.25))),
            Place("abutment", Region(*settings.abutment_px)),
            TimeSlice(line),
            TimeSlice(line),
        )

    def add(self, frame: NDArray[np.uint8], magnified: NDArray[np.uint8], time_s: float) -> None:
        """Take note of a frame and its magnified twin, both (H, W, 3; RGB)."""
        if self.first_frame is None:
            self.first_frame = frame.copy()
        self.times_s.append(time_s)
        self.filmed.add(frame, time_s)
        self.magnified.add(magnified, time_s)

    def measure(self, filmed: Path, magnified: Path) -> None:
        """Measure the two videos as they were written, which is what a user has.

        Raises:
            ClipFault: one of them cannot be read.
        """
        places = (self.middle, self.quarter, self.abutment)
        with closing(ClipCamera(filmed, quantisers=True)) as before, closing(ClipCamera(magnified)) as after:
            frame, twin = (
                FrameRing(1, width_px=each.width_px, height_px=each.height_px).frame(0)
                for each in (before, after)
            )
            while before.read_into(frame) and after.read_into(twin):
                for place in places:
                    place.measure(frame, twin)
            errors_px = coding_errors_px(luma(frame), [each.region for each in places], before.coding())
        for place, (_, along_y_px) in zip(places, errors_px, strict=True):
            place.coding_error_px = along_y_px

    def true_px(self, place: Place) -> NDArray[np.float64]:
        """True displacement since the first frame, (frames,), averaged over the region's columns."""
        means = [self.settings.displacement_px(place.columns_px, t).mean() for t in self.times_s]
        since_first: NDArray[np.float64] = np.asarray(means) - means[0]
        return since_first


def compare(recording: Recording) -> tuple[ModeResult, ...]:
    """Frequencies found in the displacement as filmed, and the amplitudes there before and after."""
    results: list[ModeResult] = []
    for place in (recording.middle, recording.quarter):
        seen = [mode for mode in recording.settings.modes if _true_px(recording, place, mode) > 0]
        seen.sort(key=lambda mode: mode.frequency_hz)
        tones = find_tones(recording.times_s, place.filmed_px, len(seen))
        magnified = amplitudes_at(
            recording.times_s, place.magnified_px, [tone.frequency_hz for tone in tones]
        )
        results += [
            ModeResult(
                place.name,
                mode.frequency_hz,
                tone.frequency_hz,
                _true_px(recording, place, mode),
                tone.amplitude,
                place.coding_error_px,
                after,
            )
            for mode, tone, after in zip(seen, tones, magnified, strict=True)
        ]
    return tuple(results)


def _true_px(recording: Recording, place: Place, mode: SyntheticMode) -> float:
    """True amplitude of a mode, averaged over the place's columns; 0 at the mode's nodes."""
    left, right = recording.settings.supports_px
    along = np.clip((place.columns_px - left) / (right - left), 0, 1)
    wave = abs(float(np.sin(math.pi * mode.half_waves * along).mean()))
    return abs(mode.amplitude_px) * wave if wave > _LEAST_WAVE else 0.0


def _line(settings: SyntheticSettings) -> VerticalLine:
    """A line through girder and railing near mid-span, between two hangers."""
    left, top, width, height = settings.girder_px(0.5)
    above, below = round(0.11 * settings.height_px), round(0.07 * settings.height_px)
    return VerticalLine(left + round(0.3 * width), top - above, top + height + below)


def rms(values: list[float]) -> float:
    """Root of the mean square."""
    return math.sqrt(math.fsum(value**2 for value in values) / len(values))
