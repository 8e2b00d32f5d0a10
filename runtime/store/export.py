"""Export of a store for other programs: CSV, UFF dataset 58, and SEP-005 dictionaries."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.host.files import whole_file
from tremorscope.runtime.reports.signals import (
    PROGRAM,
    Signal,
    even_interval,
    even_segments,
    sep005,
    write_uff,
)
from tremorscope.runtime.store.reader import StoreReader
from tremorscope.runtime.store.records import Channel, SeriesBlock, SettingsRecord
from tremorscope.runtime.vibration.spectra.derivatives import (
    ORDERS,
    MotionQuantity,
    derivative_at_frames,
    usual_unit,
)

METADATA_NAME = "csv-metadata.json"
TABLES = ("peaks", "modes", "alarms", "events", "notices", "clips")
RATES: tuple[MotionQuantity, ...] = ("velocity", "acceleration")
FILES = (
    "series.csv",
    "series.uff",
    METADATA_NAME,
    *(f"{name}.uff" for name in RATES),
    *(f"{name}.csv" for name in TABLES),
)
"""All that an export may write."""
_UNKNOWN = "settings not stored"


@dataclass(frozen=True)
class ExportSummary:
    """Contents of an export."""

    samples: int
    """Rows of the series."""
    signals: int
    """Pieces without a gap in the UFF file."""
    files: tuple[Path, ...]


def export(
    reader: StoreReader,
    directory: Path,
    from_s: float = -math.inf,
    to_s: float = math.inf,
    *,
    rates: bool = False,
) -> ExportSummary:
    """Write all that was stored at ``from_s`` <= time < ``to_s`` (Unix time) into a directory.

    series.csv as measured, series.uff on an even grid, and peaks, modes, alarms, events, clips and notices as CSV;
    with ``rates`` also velocity.uff and acceleration.uff, from the displacement. csv-metadata.json says by which
    program and settings.

    Raises:
        OutputFault: a file cannot be written.
        StoreFault: the store cannot be read.
    """
    tables: dict[str, Iterable[Any]] = {
        "peaks": reader.peaks(from_s, to_s),
        "modes": reader.modes(from_s, to_s),
        "alarms": reader.alarms(from_s, to_s),
        "events": reader.events(from_s, to_s),
        "notices": reader.notices(from_s, to_s),
        "clips": reader.clips(),
    }
    samples = write_series_csv(directory / "series.csv", reader, from_s, to_s)
    count = write_uff(directory / "series.uff", signals(reader, from_s, to_s))
    written = [directory / "series.csv", directory / "series.uff", directory / METADATA_NAME]
    for quantity in RATES if rates else ():
        written.append(directory / f"{quantity}.uff")
        count += write_uff(written[-1], signals(reader, from_s, to_s, quantity=quantity))
    for name, records in tables.items():
        rows = list(records)
        if rows:
            written.append(directory / f"{name}.csv")
            write_records_csv(written[-1], rows)
    described = _metadata(reader, (from_s, to_s), [each for each in written if each.suffix == ".csv"])
    with whole_file(directory / METADATA_NAME) as file:
        file.write(json.dumps(described, indent=1).encode())
    return ExportSummary(samples, count, tuple(written))


def export_sep005(
    reader: StoreReader,
    from_s: float = -math.inf,
    to_s: float = math.inf,
    *,
    quantity: MotionQuantity = "displacement",
) -> list[dict[str, Any]]:
    """The series as SEP-005 dictionaries, one for each piece without a gap.

    Raises:
        StoreFault: the store cannot be read.
    """
    return sep005(signals(reader, from_s, to_s, quantity=quantity))


def signals(
    reader: StoreReader,
    from_s: float = -math.inf,
    to_s: float = math.inf,
    *,
    in_mm: bool = True,
    quantity: MotionQuantity = "displacement",
) -> Iterator[Signal]:
    """The series as even signals without gaps, each by one program and its settings, in memory for one channel.

    Regions are the nodes of UFF, numbered from 1 in the order in which they were first stored. Displacements
    are given in mm where their scale is known, unless ``in_mm`` is false; a velocity or an acceleration takes their
    place, and that of all else, where it is asked for.

    Raises:
        StoreFault: the store cannot be read.
    """
    channels = reader.channels()
    nodes = {
        region: number for number, region in enumerate(dict.fromkeys(c.region for c in channels), start=1)
    }
    for channel in channels:
        if quantity != "displacement" and channel.quantity != "displacement":
            continue
        scale = channel.mm_per_px if in_mm and channel.unit == "px" else None
        unit, factor = ("mm" if scale else channel.unit), scale or 1.0
        if quantity != "displacement":
            unit, factor = usual_unit(quantity, scale or (1.0 if channel.unit == "mm" else None))
        for source, blocks in groupby(reader.series_by_settings(channel, from_s, to_s), itemgetter(0)):
            times, values = map(np.concatenate, zip(*(samples for _, samples in blocks), strict=True))
            interval_s = even_interval(times) if len(times) > 1 else 0.0
            if interval_s == 0:  # the same moment again and again, from a clock that was set back
                continue
            if quantity != "displacement":
                values = _rate(times, values, ORDERS[quantity])
            for start_s, samples in even_segments(times, values, interval_s):
                yield Signal(
                    place=channel.region,
                    axis=channel.axis,
                    unit=unit,
                    rate_hz=1 / interval_s,
                    values=samples * factor,
                    start_unix_s=start_s,
                    node=nodes[channel.region],
                    quantity=quantity if quantity != "displacement" else channel.quantity,
                    source=_short(source),
                )


def _rate(times: NDArray[np.float64], values: NDArray[np.floating[Any]], order: int) -> NDArray[np.float64]:
    """Derivative at the same times; anew from where the clock was set back, NaN where it is not known."""
    cuts = np.flatnonzero(np.diff(times) <= 0) + 1
    pieces = zip(np.split(times, cuts), np.split(values, cuts), strict=True)
    return np.concatenate([derivative_at_frames(*piece, order) for piece in pieces])


def write_series_csv(
    path: Path, reader: StoreReader, from_s: float = -math.inf, to_s: float = math.inf
) -> int:
    """Write samples as they were measured, a row a time, in the memory of one block; returns the rows.

    Columns: Unix time in s, the same in UTC, each channel in its own unit, empty where it is unknown, and source: the
    program and the settings by which it was measured, in the first row and where they change.

    Raises:
        OutputFault: the file cannot be written.
        StoreFault: the store cannot be read.
    """
    rows = -1  # the headings are the first
    with whole_file(path) as file:
        for part in series_csv(reader, from_s, to_s):
            file.write(part.encode())
            rows += part.count("\n")
    return rows


def series_csv(reader: StoreReader, from_s: float = -math.inf, to_s: float = math.inf) -> Iterator[str]:
    """The table of `write_series_csv` in parts of whole rows, the headings first.

    Raises:
        StoreFault: the store cannot be read.
    """
    channels = reader.channels()
    columns = {channel: number for number, channel in enumerate(channels)}
    yield _csv([["time_unix_s", "time_utc", *(_heading(channel) for channel in channels), "source"]])
    told: str | None = None
    for block in reader.blocks(from_s, to_s):
        rows = list(_rows(block, columns))
        source = _long(block.measured_by)
        rows[0][-1], told = (source if source != told else ""), source
        yield _csv(rows)


def settings_of(reader: StoreReader, from_s: float, to_s: float) -> list[SettingsRecord]:
    """Settings of what was stored at ``from_s`` <= time < ``to_s``, in the order in which they came.

    They are those that the series name, whatever the clock showed, and those in effect by the clock.

    Raises:
        StoreFault: the store cannot be read.
    """
    rows = reader.rows(
        "SELECT time_s, program, settings FROM settings WHERE time_s > ?1 AND time_s < ?2 "
        "OR id IN (SELECT settings FROM block WHERE end_s >= ?1 AND start_s < ?2) "
        "OR id = (SELECT id FROM settings WHERE time_s <= ?1 ORDER BY time_s DESC, id DESC LIMIT 1) ORDER BY id",
        from_s,
        to_s,
    )
    return [SettingsRecord(*row) for row in rows]


def _long(source: SettingsRecord | None) -> str:
    """Origin of samples, whole."""
    return f"{source.program}; settings {source.settings}" if source else f"{_UNKNOWN}; exported by {PROGRAM}"


def _short(source: SettingsRecord | None) -> str:
    """Origin of samples in 80 letters: csv-metadata.json holds the settings of this hash."""
    return f"{source.program}, settings sha256 {source.sha256[:16]}" if source else _UNKNOWN


def _metadata(reader: StoreReader, span_s: tuple[float, float], tables: Iterable[Path]) -> dict[str, Any]:
    """Origin of the tables, in the words of W3C's "Metadata Vocabulary for Tabular Data" (2015)."""
    measured_by = [
        {"time_s": each.time_s, "program": each.program, "settings_sha256": each.sha256}
        | {"settings": json.loads(each.settings)}
        for each in settings_of(reader, *span_s)
    ]
    return {
        "@context": "http://www.w3.org/ns/csvw",
        "dc:creator": PROGRAM,
        "dc:source": {"store": reader.path.name, "measured_by": measured_by},
        "tables": [{"url": each.name} for each in tables],
    }


def write_records_csv(path: Path, records: list[Any]) -> None:
    """Write records of one kind (`runtime.store.records`) as a table; what is nested becomes columns or JSON.

    Raises:
        OutputFault: the file cannot be written.
    """
    rows = [_flat(record) for record in records]
    with whole_file(path) as file:
        file.write(_csv([list(rows[0]), *(list(row.values()) for row in rows)]).encode())


def _csv(rows: Iterable[list[Any]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _rows(block: SeriesBlock, columns: dict[Channel, int]) -> Iterator[list[str]]:
    for number, time_s in enumerate(block.times_s):
        row = [""] * (len(columns) + 1)
        for channel, value in zip(block.channels, block.values[:, number], strict=True):
            row[columns[channel]] = "" if np.isnan(value) else f"{value:.7g}"
        utc = datetime.fromtimestamp(time_s, timezone.utc).isoformat(timespec="microseconds")
        yield [f"{time_s:.6f}", utc, *row]


def _heading(channel: Channel) -> str:
    scale = f", {channel.mm_per_px:g} mm/px" if channel.mm_per_px else ""
    return f"{channel.name} {channel.quantity} ({channel.unit}{scale})"


def _flat(record: Any) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Channel):
            flat |= {f"channel_{name}": each for name, each in asdict(value).items()}
        elif isinstance(value, tuple):
            flat[field.name] = json.dumps([asdict(each) for each in value])
        else:
            flat[field.name] = value
    return flat
