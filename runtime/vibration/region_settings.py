"""Settings of the measurement: regions, their scale, and the natural frequencies that are watched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator
from typing_extensions import Self

from tremorscope.runtime.settings import Frequency, Name, Section
from tremorscope.runtime.vibration.displacement.geometry import (
    PlaneScale,
    check_same_lens,
    read_lens,
    read_scale,
)
from tremorscope.runtime.vibration.displacement.region_maps import RegionMaps
from tremorscope.runtime.vibration.displacement.regions import SMALLEST_SIDE_PX, Region, Scale, scale_of

Pixel = Annotated[int, Field(ge=0, le=16_384)]
Side = Annotated[int, Field(ge=SMALLEST_SIDE_PX, le=16_384)]
Positive = Annotated[float, Field(gt=0, le=1e6)]


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


class MeasuredSettings(Section):
    """Settings of what is measured: what alarms are judged beside."""

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
    temperature_file: Path | None = None
    """Reading of a temperature sensor at the structure: one number, in degrees Celsius with a decimal point, or whole
    in thousandths as Linux gives it. What follows it is taken out of the frequencies that alarms watch."""

    def is_scaled(self, region: RegionSettings) -> bool:
        """True if a scale is stated for a region."""
        return (region.scale or self.scale) is not None

    def scale_files(self) -> tuple[Path, ...]:
        """Files that scales are taken from, each once."""
        stated = (self.scale, *(each.scale for each in self.regions))
        return tuple(dict.fromkeys(each.file for each in stated if each and each.file))

    def planes(self) -> tuple[PlaneScale, ...]:
        """Calibrated planes that scales are taken from, each once.

        Raises:
            OptionFault: a file cannot be read.
        """
        return tuple(read_scale(each) for each in self.scale_files())

    def scale_of(self, region: RegionSettings, maps: RegionMaps | None) -> Scale | None:
        """The scale of a region; None where none is stated. The region's ``maps`` have it where a file states it."""
        if maps is not None and maps.scales:
            return maps.scales[0]
        stated = region.scale or self.scale
        return stated.scale() if stated else None

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
