"""Settings of the measurement, and of the alarms on what is measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator
from typing_extensions import Self

from tremorscope.runtime.settings import Frequency, Name, Seconds, Section
from tremorscope.runtime.vibration.displacement.scale import Scale
from tremorscope.runtime.vibration.monitoring.alarms import AlarmRule
from tremorscope.runtime.vibration.region_settings import (
    ModeSettings,
    Positive,
    RectangleSettings,
    RegionSettings,
    ScaleSettings,
)

CAMERA = "camera"
"""Source of a signal alarm that watches the camera itself."""
KeyContradiction: TypeAlias = tuple[str, str, str]
"""A key of an alarm, what is wrong with it beside the other settings, and what to do."""
_GAPS = 3.5
"""Readings that may fail to come in a row before a dwell starts anew, in intervals at which they should."""


class _AlarmSettings(Section, ABC):
    """Settings that all alarms have, and the two things that every kind must say of itself."""

    name: Name
    """Unique; alarms are stored, published and acknowledged by it."""
    record: bool = True
    """Record a clip when it is raised, if recording is on."""

    @abstractmethod
    def rule(self, vibration: VibrationSettings) -> AlarmRule:
        """The rule by which readings are judged."""

    @abstractmethod
    def contradictions(self, vibration: VibrationSettings) -> Iterator[KeyContradiction]:
        """Find why readings would never come, or could not be judged, under these settings."""


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

    def rule(self, vibration: VibrationSettings) -> AlarmRule:
        """The rule, in px or mm as the threshold is stated."""
        threshold = self.above_px if self.above_px is not None else self.above_mm
        assert threshold is not None
        return AlarmRule(
            self.name,
            self.region,
            self.quantity,
            threshold,
            self.clear_at * threshold,
            unit="px" if self.above_px is not None else "mm",
            dwell_s=self.dwell_s,
            clear_dwell_s=self.clear_dwell_s,
            longest_gap_s=max(10.0, _GAPS * vibration.window_s),
        )

    def contradictions(self, vibration: VibrationSettings) -> Iterator[KeyContradiction]:
        """Find a region that is not measured, and a threshold in mm without a scale."""
        regions = {each.name: each for each in vibration.regions}
        region = regions.get(self.region)
        if region is None:
            remedy = _choose(regions, "add it to vibration.regions")
            yield "region", "is none of vibration.regions", remedy
        elif self.above_mm is not None and vibration.scale_of(region) is None:
            what = f"needs a scale, and region {region.name} has none"
            yield "above_mm", what, "add vibration.scale, or give above_px"


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

    def rule(self, vibration: VibrationSettings) -> AlarmRule:
        """The rule, in per cent of the baseline."""
        return AlarmRule(
            self.name,
            self.mode,
            self.quantity,
            self.above_percent,
            self.clear_at * self.above_percent,
            dwell_s=self.dwell_s,
            clear_dwell_s=self.clear_dwell_s,
            learning_s=self.learning_s,
            longest_gap_s=_GAPS * vibration.analyse_every_s,
        )

    def contradictions(self, vibration: VibrationSettings) -> Iterator[KeyContradiction]:
        """Find a mode that is not looked for."""
        modes = {each.name for each in vibration.modes}
        if self.mode not in modes:
            yield "mode", "is none of vibration.modes", _choose(modes, "add it to vibration.modes")


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

    def rule(self, vibration: VibrationSettings) -> AlarmRule:  # noqa: ARG002
        """The rule, in seconds of silence."""
        return AlarmRule(
            self.name,
            self.source,
            self.quantity,
            self.silence_s,
            0.0,
            dwell_s=0.0,
            clear_dwell_s=self.clear_dwell_s,
        )

    def contradictions(self, vibration: VibrationSettings) -> Iterator[KeyContradiction]:
        """Find a source that is not there, and a silence shorter than the pause between two readings."""
        modes = {each.name for each in vibration.modes}
        sources = {CAMERA, *modes, *(each.name for each in vibration.regions)}
        if self.source not in sources:
            yield "source", "is no region, mode or camera", _choose(sources, "")
        least_s = vibration.analyse_every_s if self.source in modes else vibration.window_s
        if self.silence_s <= least_s:
            what = f"passes between two readings, which come every {least_s:g} s"
            yield "silence_s", what, f"give more than {least_s:g}, better three times that"


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
        return stated.scale() if stated else None


def _choose(names: Iterable[str], otherwise: str) -> str:
    chosen = " or ".join(sorted(names))
    return ", or ".join(part for part in (f"choose {chosen}" if chosen else "", otherwise) if part)
