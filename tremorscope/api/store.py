"""A device's store as arrays and records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from html import escape
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tremorscope.api.arguments import FileArguments, SpanArguments, checked, tell_in_python
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.store.export import export_sep005
from tremorscope.runtime.store.reader import StoreReader
from tremorscope.runtime.store.records import Alarm, Channel, ModeRecord, PeakRecord
from tremorscope.runtime.vibration.monitoring.temperature import fit_temperature
from tremorscope.runtime.vibration.spectra.derivatives import (
    ORDERS,
    MotionQuantity,
    derivative_at_frames,
    usual_unit,
)

Moment: TypeAlias = float | str | datetime | None
"""Unix time in s, a date or moment in ISO 8601, or a datetime; in UTC where it names no offset. None is no bound."""


@dataclass(frozen=True, eq=False)
class StoredSeries:
    """Samples of one quantity at one region along one axis."""

    region: str
    axis: str
    quantity: str
    unit: str
    time_s: NDArray[np.float64]
    """(N,), Unix time, increasing."""
    values: NDArray[np.float64]
    """(N,), in ``unit``; NaN where nothing could be measured."""

    @property
    def times_utc(self) -> NDArray[np.datetime64]:
        """(N,), datetime64[us], UTC: what plots and tables take as dates."""
        return np.rint(1e6 * self.time_s).astype("datetime64[us]")

    @property
    def velocity(self) -> StoredSeries:
        """Velocity, of a displacement, in mm/s or px/s; NaN where it is not settled."""
        return self._differentiated("velocity")

    @property
    def acceleration(self) -> StoredSeries:
        """Acceleration, of a displacement, in m/s2 or px/s2; NaN where it is not settled."""
        return self._differentiated("acceleration")

    def without_temperature(self, time_s: ArrayLike, temperature_c: ArrayLike) -> StoredSeries:
        """The series less what follows a temperature, as a straight line; the same where nothing surely does.

        Args:
            time_s: Unix times of the readings, rising, (M,).
            temperature_c: readings of a sensor, (M,).
        """
        at_times = np.interp(self.time_s, np.asarray(time_s, float), np.asarray(temperature_c, float))
        values = fit_temperature(self.values, at_times).out_of(self.values, at_times)
        return replace(self, values=values)

    @tell_in_python
    def _differentiated(self, quantity: MotionQuantity) -> StoredSeries:
        if self.quantity != "displacement":
            raise OptionFault(
                f"{self.quantity} of {self.region} has no {quantity}", remedy="ask a series of displacement"
            )
        in_mm = self.unit == "mm"
        values = derivative_at_frames(self.time_s, self.values, ORDERS[quantity])
        unit, factor = usual_unit(quantity, 1.0 if in_mm else None)
        return StoredSeries(self.region, self.axis, quantity, unit, self.time_s, factor * values)


class OpenStore:
    """A store that is open for reading, also while the service writes to it; ``start`` and ``end`` bound a time."""

    def __init__(self, reader: StoreReader) -> None:
        self.reader = reader
        """The reader itself, for summaries, events, clips and notices."""

    @property
    def channels(self) -> tuple[Channel, ...]:
        """All that was ever stored: region, axis, quantity, unit."""
        return self.reader.channels()

    @tell_in_python
    def series(
        self,
        region: str,
        axis: str = "",
        quantity: str = "displacement",
        *,
        start: Moment = None,
        end: Moment = None,
    ) -> StoredSeries:
        """The samples of one channel, in mm where the scale was known all the while, else in the unit of the store.

        Args:
            region: region of interest, or the device itself.
            axis: x (to the right) or y (downwards); may be left out where there is only one.
            quantity: such as "displacement".
            start: of the samples, included.
            end: of the samples, not included.

        Raises:
            OptionFault: there is no such channel.
            StoreFault: the store cannot be read.
        """
        found = [
            each
            for each in self.channels
            if (each.region, each.quantity) == (region, quantity) and axis in ("", each.axis)
        ]
        if len({each.axis for each in found}) != 1 or len({each.unit for each in found}) != 1:
            raise self._unclear(region, axis, quantity, found)
        in_mm = all(each.mm_per_px is not None for each in found)
        span = _span(start, end)
        times: list[np.ndarray] = [np.empty(0)]
        values: list[np.ndarray] = [np.empty(0)]
        for each in found:
            factor = each.mm_per_px if in_mm and each.mm_per_px else 1.0
            for block_times, samples in self.reader.series(each, *span):
                times.append(block_times)
                values.append(factor * samples)
        time_s = np.concatenate(times)
        order = np.argsort(time_s, kind="stable")
        unit = "mm" if in_mm else found[0].unit
        return StoredSeries(
            region, found[0].axis, quantity, unit, time_s[order], np.concatenate(values)[order]
        )

    @tell_in_python
    def peaks(self, start: Moment = None, end: Moment = None) -> tuple[PeakRecord, ...]:
        """Peaks that were found in that time."""
        return self.reader.peaks(*_span(start, end))

    @tell_in_python
    def modes(self, start: Moment = None, end: Moment = None) -> tuple[ModeRecord, ...]:
        """Modes that were identified in that time."""
        return self.reader.modes(*_span(start, end))

    @tell_in_python
    def alarms(self, start: Moment = None, end: Moment = None) -> tuple[Alarm, ...]:
        """Alarms that were raised in that time."""
        return self.reader.alarms(*_span(start, end))

    @tell_in_python
    def to_sep005(
        self, start: Moment = None, end: Moment = None, quantity: MotionQuantity = "displacement"
    ) -> list[dict[str, Any]]:
        """All series, or the rate of all displacements that is asked for, as SEP-005 dictionaries, one a gapless piece.

        Raises:
            OptionFault: there is no such quantity.
        """
        if quantity not in ORDERS:
            raise OptionFault(f"{quantity!r} is no quantity", remedy=f"choose from {', '.join(ORDERS)}")
        return export_sep005(self.reader, *_span(start, end), quantity=quantity)

    def close(self) -> None:
        """Close it; closing twice is harmless."""
        self.reader.close()

    def __enter__(self) -> OpenStore:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        return f"open_store({str(self.reader.path)!r})"

    @tell_in_python
    def _repr_html_(self) -> str:
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(str(each))}</td>" for each in _cells(channel)) + "</tr>"
            for channel in self.channels
        )
        heads = "".join(f"<th>{name}</th>" for name in ("region", "axis", "quantity", "unit", "mm/px"))
        return f"<p>{escape(str(self.reader.path))}</p><table><tr>{heads}</tr>{rows}</table>"

    def _unclear(self, region: str, axis: str, quantity: str, found: Sequence[Channel]) -> OptionFault:
        wanted = f"{quantity} of {' '.join(filter(None, (region, axis)))}"
        if found:
            several = ", ".join(sorted(f"{each.axis or 'none'} in {each.unit}" for each in found))
            return OptionFault(
                f"{self.reader.path}: several series of {wanted}", remedy=f"name an axis: {several}"
            )
        known = sorted({f"{each.quantity} of {each.name}" for each in self.channels})
        return OptionFault(
            f"{self.reader.path}: holds no {wanted}",
            remedy=f"choose from {', '.join(known) or 'none: it is empty'}",
        )


def _cells(channel: Channel) -> tuple[object, ...]:
    return channel.region, channel.axis, channel.quantity, channel.unit, channel.mm_per_px or ""


def _span(start: Moment, end: Moment) -> tuple[float, float]:
    given = checked("the span of time", SpanArguments, {"start": start, "end": end})
    return _unix_s(given["start"], -math.inf), _unix_s(given["end"], math.inf)


def _unix_s(moment: float | datetime | None, default_s: float) -> float:
    if moment is None:
        return default_s
    if not isinstance(moment, datetime):
        return moment
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


@tell_in_python
def open_store(path: str | Path) -> OpenStore:
    """Open a device's store for reading, also while the service writes to it; close it, or use it in a ``with`` block.

    Raises:
        StoreDamagedFault: it is no store.
        StoreFault: it is missing, cannot be read, or belongs to a newer version.
    """
    return OpenStore(StoreReader(checked("open_store", FileArguments, {"path": path})["path"]))
