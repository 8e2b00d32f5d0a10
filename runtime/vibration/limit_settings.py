"""Settings of the alarms on the motion of a region whose limit depends on frequency: of a standard, or of one's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, WithJsonSchema, model_validator
from typing_extensions import Self

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.settings import Name, Section
from tremorscope.runtime.vibration.monitoring.alarms import AlarmRule, Quantity
from tremorscope.runtime.vibration.monitoring.limits import Axes, Criterion
from tremorscope.runtime.vibration.monitoring.standards import STANDARDS, criterion_of
from tremorscope.runtime.vibration.region_settings import MeasuredSettings, Positive
from tremorscope.runtime.vibration.spectra.derivatives import UNITS

KeyContradiction: TypeAlias = tuple[str, str, str]
"""A key of an alarm, what is wrong with it beside the other settings, and what to do."""
GAPS = 3.5
"""Readings that may fail to come in a row before a dwell starts anew, in intervals at which they should."""


class AlarmSettingsBase(Section, ABC):
    """Settings that all alarms have, and the two things that every kind must say of itself."""

    name: Name
    """Unique; alarms are stored, published and acknowledged by it."""
    record: bool = True
    """Record a clip when it is raised, if recording is on."""

    @abstractmethod
    def rule(self, vibration: MeasuredSettings) -> AlarmRule:
        """The rule by which readings are judged."""

    @abstractmethod
    def contradictions(self, vibration: MeasuredSettings) -> Iterator[KeyContradiction]:
        """Find why readings would never come, or could not be judged, under these settings."""


class RegionAlarmSettings(AlarmSettingsBase):
    """Settings of alarms on the motion of a region."""

    region: Name
    """Name of the region."""
    clear_at: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Cleared at this share of the threshold; in between nothing changes."""
    dwell_s: Annotated[float, Field(ge=0, le=86_400)] = 5.0
    """Time above the threshold before it is raised."""
    clear_dwell_s: Annotated[float, Field(ge=0, le=86_400)] = 30.0
    """Time below the clearing level before it is cleared."""

    def _region_rule(
        self,
        quantity: Quantity,
        threshold: float,
        unit: str,
        window_s: float,
        criterion: Criterion | None = None,
    ) -> AlarmRule:
        return AlarmRule(
            self.name,
            self.region,
            quantity,
            threshold,
            self.clear_at * threshold,
            unit=unit,
            dwell_s=self.dwell_s,
            clear_dwell_s=self.clear_dwell_s,
            longest_gap_s=max(10.0, GAPS * window_s),
            criterion=criterion,
        )

    def _place(
        self, vibration: MeasuredSettings, in_scale: str, otherwise: str = "a limit in px"
    ) -> Iterator[KeyContradiction]:
        """Find a region that is not measured; and, where a key is in a physical unit, one without a scale."""
        regions = {each.name: each for each in vibration.regions}
        region = regions.get(self.region)
        if region is None:
            remedy = choose(regions, "add it to vibration.regions")
            yield "region", "is none of vibration.regions", remedy
        elif in_scale and not vibration.is_scaled(region):
            what = f"needs a scale, and region {region.name} has none"
            yield in_scale, what, f"add vibration.scale, or give {otherwise}"


class _LimitAlarmSettings(RegionAlarmSettings):
    """Settings of alarms whose limit depends on frequency: values are weighted to the lowest, the threshold."""

    dwell_s: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    """Time above the limit before it is raised."""

    @abstractmethod
    def criterion(self) -> Criterion:
        """The limit itself."""

    def rule(self, vibration: MeasuredSettings) -> AlarmRule:
        """The rule, in the limit's unit."""
        criterion = self.criterion()
        return self._region_rule(
            criterion.quantity, criterion.lowest, criterion.unit, vibration.window_s, criterion
        )


class CurveAlarmSettings(_LimitAlarmSettings):
    """Raised when velocity, acceleration or displacement within a band passes a curve of limits over frequency."""

    quantity: Literal["displacement", "velocity", "acceleration"]
    """Kind of motion."""
    statistic: Literal["peak", "rms"]
    """peak: largest value within a window; rms: its root mean square."""
    unit: Annotated[str, WithJsonSchema({"type": "string", "enum": list(UNITS)})]
    """Unit of the limits, e.g. mm/s or m/s2; px, px/s and px/s2 need no scale."""
    limits: tuple[tuple[Annotated[float, Field(ge=0)], float], ...]
    """Points [Hz, limit] of rising frequency, straight lines between; the first and last bound the band."""
    axis: Literal["x", "y", "both"] = "both"
    """Direction in the picture; of both the larger counts, each by itself."""

    @model_validator(mode="after")
    def _is_a_curve(self) -> Self:
        _said(self.criterion().check)
        return self

    def criterion(self) -> Criterion:
        """The curve."""
        axes: Axes = ("x", "y") if self.axis == "both" else (self.axis,)
        return Criterion(self.quantity, self.statistic, self.unit, self.limits, axes)

    def contradictions(self, vibration: MeasuredSettings) -> Iterator[KeyContradiction]:
        """Find a region that is not measured, and a physical unit without a scale."""
        yield from self._place(vibration, "unit" if self.criterion().needs_scale else "", "px, px/s or px/s2")


class StandardAlarmSettings(_LimitAlarmSettings):
    """Raised when a region passes the limit of a standard, with the quantity and band that the standard asks for."""

    quantity: Literal["standard"]
    """Kind of alarm."""
    standard: Annotated[str, WithJsonSchema({"type": "string", "enum": list(STANDARDS)})]
    """The standard."""
    of_class: Annotated[
        str,
        Field(alias="class"),
        WithJsonSchema(
            {"type": "string", "enum": [each for classes in STANDARDS.values() for each in classes]}
        ),
    ]
    """Its class: of building and place, of machine and support, or of direction."""
    boundary: Literal["A/B", "B/C", "C/D"] = "B/C"
    """Boundary of zones that is the limit, in ISO 20816-3."""
    speed_rpm: Positive | None = None
    """Speed of the machine, in ISO 20816-3: below 600 the band begins at 2 Hz, else at 10 Hz."""

    @model_validator(mode="after")
    def _exists(self) -> Self:
        _said(self.criterion)
        if self.speed_rpm is not None and self.standard != "iso-20816-3":
            raise ValueError(f"{self.standard} asks for no speed: leave speed_rpm out")
        return self

    def criterion(self) -> Criterion:
        """The limit of the standard."""
        # Written out by whoever writes a whole configuration, the default says nothing.
        boundary = None if self.boundary == "B/C" else self.boundary
        return criterion_of(self.standard, self.of_class, boundary, self.speed_rpm)

    def contradictions(self, vibration: MeasuredSettings) -> Iterator[KeyContradiction]:
        """Find a region that is not measured, and one without a scale."""
        yield from self._place(vibration, "standard", "limits of your own in px/s")


def choose(names: Iterable[str], otherwise: str) -> str:
    """A remedy that lists names."""
    chosen = " or ".join(sorted(names))
    return ", or ".join(part for part in (f"choose {chosen}" if chosen else "", otherwise) if part)


def _said(attempt: Callable[[], object]) -> None:
    """Turn a fault of a limit into an error of its section."""
    try:
        attempt()
    except OptionFault as fault:
        raise ValueError(f"{fault.what}: {fault.remedy}") from None
