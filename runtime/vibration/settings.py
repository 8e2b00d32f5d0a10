"""Settings of the measurement, and of the alarms on what is measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from tremorscope.runtime.settings import Name, Seconds
from tremorscope.runtime.vibration.limit_settings import (
    GAPS,
    AlarmSettingsBase,
    CurveAlarmSettings,
    KeyContradiction,
    RegionAlarmSettings,
    StandardAlarmSettings,
    choose,
)
from tremorscope.runtime.vibration.monitoring.alarms import AlarmRule
from tremorscope.runtime.vibration.region_settings import MeasuredSettings, Positive

CAMERA = "camera"
"""Source of a signal alarm that watches the camera itself."""


class DisplacementAlarmSettings(RegionAlarmSettings):
    """Raised when a region moves more than it should."""

    quantity: Literal["peak", "rms"]
    """peak: largest distance from the reference position within a window, static deflection included; rms: vibration
    about the window's own mean."""
    above_px: Positive | None = None
    """Threshold in px; this or above_mm."""
    above_mm: Positive | None = None
    """Threshold in mm; the region needs a scale."""

    @model_validator(mode="after")
    def _has_a_threshold(self) -> Self:
        if (self.above_px is None) == (self.above_mm is None):
            raise ValueError("one threshold is needed: give above_px or above_mm")
        return self

    def rule(self, vibration: MeasuredSettings) -> AlarmRule:
        """The rule, in px or mm as the threshold is stated."""
        threshold = self.above_px if self.above_px is not None else self.above_mm
        assert threshold is not None
        unit = "px" if self.above_px is not None else "mm"
        return self._region_rule(self.quantity, threshold, unit, vibration.window_s)

    def contradictions(self, vibration: MeasuredSettings) -> Iterator[KeyContradiction]:
        """Find a region that is not measured, and a threshold in mm without a scale."""
        yield from self._place(vibration, "above_mm" if self.above_mm is not None else "", "above_px")


class FrequencyAlarmSettings(AlarmSettingsBase):
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

    def rule(self, vibration: MeasuredSettings) -> AlarmRule:
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
            longest_gap_s=GAPS * vibration.analyse_every_s,
        )

    def contradictions(self, vibration: MeasuredSettings) -> Iterator[KeyContradiction]:
        """Find a mode that is not looked for."""
        modes = {each.name for each in vibration.modes}
        if self.mode not in modes:
            yield "mode", "is none of vibration.modes", choose(modes, "add it to vibration.modes")


class SignalAlarmSettings(AlarmSettingsBase):
    """Raised when nothing is heard of a region, a mode or the camera."""

    quantity: Literal["signal"]
    """Kind of alarm."""
    source: Name
    """A region, a mode, or ``camera``."""
    silence_s: Seconds = 60.0
    """Raised after so long without a reading."""
    clear_dwell_s: Annotated[float, Field(ge=0, le=86_400)] = 30.0
    """Cleared when readings have come for so long."""

    def rule(self, vibration: MeasuredSettings) -> AlarmRule:  # noqa: ARG002
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

    def contradictions(self, vibration: MeasuredSettings) -> Iterator[KeyContradiction]:
        """Find a source that is not there, and a silence shorter than the pause between two readings."""
        modes = {each.name for each in vibration.modes}
        sources = {CAMERA, *modes, *(each.name for each in vibration.regions)}
        if self.source not in sources:
            yield "source", "is no region, mode or camera", choose(sources, "")
        least_s = vibration.analyse_every_s if self.source in modes else vibration.window_s
        if self.silence_s <= least_s:
            what = f"passes between two readings, which come every {least_s:g} s"
            yield "silence_s", what, f"give more than {least_s:g}, better three times that"


AlarmSettings = Annotated[
    DisplacementAlarmSettings
    | CurveAlarmSettings
    | StandardAlarmSettings
    | FrequencyAlarmSettings
    | SignalAlarmSettings,
    Field(discriminator="quantity"),
]


class VibrationSettings(MeasuredSettings):
    """Measurement of vibration, from every raw frame."""

    alarms: Annotated[tuple[AlarmSettings, ...], Field(max_length=256)] = ()
    """Alarms on displacement, natural frequencies and missing readings."""
