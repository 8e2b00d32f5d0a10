"""Settings of the measurement: regions, scale, natural frequencies, alarms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from tremorscope.runtime.settings import Frequency, Name, Seconds, Section
from tremorscope.runtime.vibration.displacement.geometry import (
    check_same_lens,
    read_lens,
    read_scale,
)
from tremorscope.runtime.vibration.displacement.region_maps import RegionMaps
from tremorscope.runtime.vibration.displacement.regions import SMALLEST_SIDE_PX, Region
from tremorscope.runtime.vibration.displacement.scale import Scale, scale_of

Pixel = Annotated[int, Field(ge=0, le=16_384)]
Side = Annotated[int, Field(ge=SMALLEST_SIDE_PX, le=16_384)]
Positive = Annotated[float, Field(gt=0, le=1e6)]
CAMERA = "camera"
"""Source of a signal alarm that watches the camera itself."""


class RectangleSettings(Section):
    """A rectangle of the picture."""

    x_px: Pixel
    """Its left column."""
    y_px: Pixel
    """Its top row."""
    width_px: Side
    """Its width."""
    height_px: Side
    """Its height."""

    def region(self) -> Region:
        """The region itself."""
        return Region(self.x_px, self.y_px, self.width_px, self.height_px)


class ScaleSettings(Section):
    """Length of a pixel on the structure, in one of four ways."""

    mm_per_px: Positive | None = None
    """Stated outright."""
    length_mm: Positive | None = None
    """Length of something in the plane of the motion; with length_px."""
    length_px: Positive | None = None
    """Its length in the picture."""
    distance_m: Positive | None = None
    """From lens to structure; with focal_length_mm and pixel_pitch_um."""
    focal_length_mm: Positive | None = None
    """The lens's own."""
    pixel_pitch_um: Positive | None = None
    """Distance of two pixels on the sensor, from its data sheet, e.g. 1.55."""
    file: Path | None = None
    """File of `tremorscope calibrate scale`: each region's scale and the plane's slant are taken where it lies."""

    @model_validator(mode="after")
    def _is_one_way(self) -> Self:
        optics = (self.distance_m, self.focal_length_mm, self.pixel_pitch_um)
        ways = [(self.mm_per_px,), (self.length_mm, self.length_px), optics, (self.file,)]
        begun = [way for way in ways if any(each is not None for each in way)]
        if len(begun) != 1 or any(each is None for each in begun[0]):
            raise ValueError(
                "a scale is stated in one way: give mm_per_px, or length_mm and length_px, or distance_m, "
                "focal_length_mm and pixel_pitch_um, or file"
            )
        if self.distance_m and self.focal_length_mm and 1000 * self.distance_m <= self.focal_length_mm:
            raise ValueError("the structure is nearer than the focal length: give distance_m in metres")
        return self

    def scale(self) -> Scale:
        """The scale itself, where it is not a file's."""
        length = (self.length_mm, self.length_px)
        optics = (self.distance_m, self.focal_length_mm, self.pixel_pitch_um)
        found = scale_of(
            self.mm_per_px,
            length if None not in length else None,  # type: ignore[arg-type]
            optics if None not in optics else None,  # type: ignore[arg-type]
        )
        assert found is not None
        return found


class RegionSettings(RectangleSettings):
    """Region in which displacement is measured: a rectangle that one rigid part of the structure fills."""

    name: Name
    """Unique; readings are stored and published by it."""
    scale: ScaleSettings | None = None
    """Scale of this region, if it differs from vibration.scale because this part is nearer or farther."""


class ModeSettings(Section):
    """A natural frequency to watch, known beforehand within a range."""

    name: Name
    """Unique, also among regions; alarms name it."""
    low_hz: Frequency
    """It lies above this ..."""
    high_hz: Frequency
    """... and below this, whatever weather and load do; of several modes in there the strongest counts."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low_hz < self.high_hz:
            raise ValueError("the range holds nothing: give low_hz below high_hz")
        return self


class _AlarmSettings(Section):
    """Settings that all alarms have."""

    name: Name
    """Unique; alarms are stored, published and acknowledged by it."""
    record: bool = True
    """Record a clip when it is raised, if recording is on."""


class DisplacementAlarmSettings(_AlarmSettings):
    """Raised when a region moves more than it should."""

    quantity: Literal["peak", "rms"]
    """peak: largest distance from the reference position within a window, static deflection included; rms: vibration
    about the window's own mean."""
    region: Name
    """Name of the region."""
    above_px: Positive | None = None
    """Threshold in px; this or above_mm."""
    above_mm: Positive | None = None
    """Threshold in mm; the region needs a scale."""
    clear_at: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Cleared at this share of the threshold; in between nothing changes."""
    dwell_s: Annotated[float, Field(ge=0, le=86_400)] = 5.0
    """Time above the threshold before it is raised."""
    clear_dwell_s: Annotated[float, Field(ge=0, le=86_400)] = 30.0
    """Time below the clearing level before it is cleared."""

    @model_validator(mode="after")
    def _has_a_threshold(self) -> Self:
        if (self.above_px is None) == (self.above_mm is None):
            raise ValueError("one threshold is needed: give above_px or above_mm")
        return self


class FrequencyAlarmSettings(_AlarmSettings):
    """Raised when a natural frequency departs from its baseline, which is learned first."""

    quantity: Literal["frequency"]
    """Kind of alarm."""
    mode: Name
    """Name of one of vibration.modes."""
    above_percent: Annotated[float, Field(gt=0, le=50)]
    """Shift against the baseline, up or down. The weather alone moves bridges by a few per cent."""
    clear_at: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Cleared at this share of the threshold."""
    dwell_s: Annotated[float, Field(ge=0, le=8_640_000)] = 1800.0
    """Time above the threshold before it is raised."""
    clear_dwell_s: Annotated[float, Field(ge=0, le=8_640_000)] = 3600.0
    """Time below the clearing level before it is cleared."""
    learning_s: Annotated[float, Field(ge=0, le=31_622_400)] = 604_800.0
    """Time over which the baseline is learned, from ten analyses at least; it is kept over restarts."""


class SignalAlarmSettings(_AlarmSettings):
    """Raised when nothing is heard of a region, a mode or the camera."""

    quantity: Literal["signal"]
    """Kind of alarm."""
    source: Name
    """A region, a mode, or ``camera``."""
    silence_s: Seconds = 60.0
    """Raised after so long without a reading."""
    clear_dwell_s: Annotated[float, Field(ge=0, le=86_400)] = 30.0
    """Cleared when readings have come for so long."""


AlarmSettings = Annotated[
    DisplacementAlarmSettings | FrequencyAlarmSettings | SignalAlarmSettings, Field(discriminator="quantity")
]


class VibrationSettings(Section):
    """Measurement of vibration, from every raw frame."""

    regions: Annotated[tuple[RegionSettings, ...], Field(max_length=64)] = ()
    """Regions to measure. `tremorscope measure` proposes some for a recorded clip."""
    still: Annotated[tuple[RectangleSettings, ...], Field(max_length=16)] = ()
    """Regions that cannot move (ground, a pier): their motion is the camera's, and is subtracted from all regions."""
    scale: ScaleSettings | None = None
    """For all regions that state none of their own; null measures in px alone."""
    window_s: Annotated[float, Field(ge=0.1, le=600)] = 1.0
    """Peak and RMS are told for windows of this length."""
    analyse_every_s: Annotated[float, Field(ge=5, le=86_400)] = 60.0
    """Interval at which spectra, natural frequencies and modes are computed ..."""
    analyse_over_s: Annotated[float, Field(ge=5, le=3600)] = 300.0
    """... from the latest so many seconds. Frequencies are resolved to about one over it."""
    frequencies_hz: tuple[Frequency, Frequency] | None = None
    """Band in which natural frequencies are looked for, lower edge first; null looks everywhere."""
    modes: Annotated[tuple[ModeSettings, ...], Field(max_length=32)] = ()
    """Natural frequencies that alarms watch."""
    alarms: Annotated[tuple[AlarmSettings, ...], Field(max_length=128)] = ()
    """Alarms on displacement, natural frequencies and missing readings."""

    def scale_of(self, region: RegionSettings) -> Scale | None:
        """The scale of a region; None where none is stated."""
        stated = region.scale or self.scale
        if stated is None or stated.file is None:
            return stated.scale() if stated else None
        scales = RegionMaps(read_scale(stated.file), [region.region()]).scales
        return scales[0] if scales else None

    def map_of(self, region: RegionSettings, lens: Path | None) -> RegionMaps | None:
        """The map of a region by the file of its scale, or else of the lens; None where neither is stated.

        Raises:
            OptionFault: a file cannot be read, or the scale was made with another lens.
        """
        stated = region.scale or self.scale
        optics = read_lens(lens) if lens else None
        if stated is None or stated.file is None:
            return RegionMaps(optics, [region.region()]) if optics else None
        plane = read_scale(stated.file)
        check_same_lens(plane, optics)
        return RegionMaps(plane, [region.region()])
