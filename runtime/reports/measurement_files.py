"""Result files of a measurement."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tremorscope.runtime.host.files import whole_file
from tremorscope.runtime.reports.exports import STABILISATION_NAME, write_mat, write_mseed
from tremorscope.runtime.reports.html import report_page
from tremorscope.runtime.reports.measurement import Measurement
from tremorscope.runtime.reports.measurement_pictures import (
    history_picture,
    orbit_picture,
    overlay_picture,
    spectrum_picture,
)
from tremorscope.runtime.reports.modal_sets import Geometry, UffSet, geometry_sets, mode_sets
from tremorscope.runtime.reports.scale_picture import scale_picture
from tremorscope.runtime.reports.signals import PROGRAM, Signal, even_interval, even_segments, write_uff
from tremorscope.runtime.reports.stabilisation import stabilisation_picture
from tremorscope.runtime.vibration.spectra.analysis import AXES
from tremorscope.runtime.vibration.spectra.derivatives import ORDERS, MotionQuantity, usual_unit


def write_results(measurement: Measurement, directory: Path) -> None:
    """Write all files that the measurement names.

    Raises:
        OutputFault: a file cannot be written.
    """
    for quantity in ORDERS:
        write_motion_csv(measurement, directory / f"{quantity}.csv", quantity)
        write_motion_uff(measurement, directory / f"{quantity}.uff", quantity)
        if f"{quantity}.mseed" in measurement.files:
            write_mseed(directory / f"{quantity}.mseed", signals(measurement, quantity))
    if "measurement.mat" in measurement.files:
        write_mat(measurement, directory / "measurement.mat")
    modes = mode_sets(measurement.analysis.modes, measurement.provenance)
    write_uff(directory / "modes.uff", (), [*_head(measurement, "displacement"), *modes])
    _write(directory / "csv-metadata.json", json.dumps(_csv_metadata(measurement), indent=1).encode())
    spectrum, overlay = spectrum_picture(measurement), overlay_picture(measurement)
    orbits = orbit_picture(measurement)
    _write(directory / "spectrum.png", spectrum)
    _write(directory / "overlay.png", overlay)
    _write(directory / "orbits.png", orbits)
    stabilisation = None
    if measurement.subspace is not None:
        stabilisation = stabilisation_picture(measurement, measurement.subspace)
        _write(directory / STABILISATION_NAME, stabilisation)
    page = report_page(
        measurement,
        overlay=overlay,
        spectrum=spectrum,
        history=history_picture(measurement),
        orbits=orbits,
        scale=scale_picture(measurement.frame, measurement.plane) if measurement.plane else None,
        stabilisation=stabilisation,
    )
    _write(directory / "report.html", page.encode())
    summary = json.dumps(measurement.summary(), indent=1, allow_nan=False)
    _write(directory / "summary.json", summary.encode())


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as file:
        file.write(content)


def write_motion_csv(measurement: Measurement, path: Path, quantity: MotionQuantity = "displacement") -> None:
    """Write one row a frame: time, then x, y and quality of every region, also to scale if that is known.

    A field is empty where the region was lost, along an axis on which its texture shows no motion, and where
    velocity and acceleration have not settled.

    Raises:
        OutputFault: it cannot be written.
    """
    columns = [measurement.times_s]
    for number, result in enumerate(measurement.analysis.regions):
        series = result.series
        blank = np.full(series.x_px.shape, np.nan)
        for axis in AXES:
            values = measurement.motion.series.get((quantity, number, axis), blank)
            scales = dict.fromkeys((None, measurement.mm_per_px))
            columns += [usual_unit(quantity, scale)[1] * values for scale in scales]
        columns.append(series.quality)
    with whole_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(name for name, _ in _headings(measurement, quantity))
        for row in np.stack(columns, axis=1).tolist():
            writer.writerow(
                [f"{row[0]:.6f}", *("" if math.isnan(value) else f"{value:.6g}" for value in row[1:])]
            )
        text.flush()
        text.detach()


def _headings(measurement: Measurement, quantity: MotionQuantity) -> list[tuple[str, str]]:
    """Columns of a table, and their units; empty for a pure number."""
    headings = [("time_s", "s")]
    for region in measurement.analysis.regions:
        name = region.series.name
        for axis in AXES:
            for scale in dict.fromkeys((None, measurement.mm_per_px)):
                unit, _ = usual_unit(quantity, scale)
                headings.append((f"{name}_{axis}_{unit.replace('/', '_')}", unit))
        headings.append((f"{name}_quality", ""))
    return headings


def _csv_metadata(measurement: Measurement) -> dict[str, Any]:
    """Units and provenance of the tables, as W3C's "Metadata Vocabulary for Tabular Data" (2015) has them.

    They stand beside the tables: a comment in a table would break most readers.
    """
    return {
        "@context": "http://www.w3.org/ns/csvw",
        "dc:creator": PROGRAM,
        "dc:source": measurement.provenance.summary(),
        "tables": [
            {
                "url": f"{quantity}.csv",
                "tableSchema": {
                    "columns": [
                        {"titles": name, "datatype": "number", "dc:description": unit or "share, 0 to 1"}
                        for name, unit in _headings(measurement, quantity)
                    ]
                },
            }
            for quantity in ORDERS
        ],
    }


def write_motion_uff(measurement: Measurement, path: Path, quantity: MotionQuantity = "displacement") -> None:
    """Write geometry, units and every channel of a quantity as UFF.

    Raises:
        OutputFault: it cannot be written.
    """
    write_uff(path, signals(measurement, quantity), _head(measurement, quantity))


def _head(measurement: Measurement, quantity: MotionQuantity) -> list[UffSet]:
    return geometry_sets(measurement.provenance, geometry(measurement, quantity))


def geometry(measurement: Measurement, quantity: MotionQuantity = "displacement") -> Geometry:
    """Middles of the regions, in the length of the quantity's usual unit.

    They count from the picture's lower left corner; on a calibrated plane from the plane's own origin, along axes
    turned to the picture's.
    """
    middles = np.array([each.series.region.centre_px for each in measurement.analysis.regions], float)
    unit = usual_unit(quantity, measurement.mm_per_px)[0].partition("/")[0]
    per_mm = 1e-3 if unit == "m" else 1.0
    if (plane := measurement.plane) is not None:
        middle = middles.mean(axis=0)
        turn = plane.map_at(middle) @ np.linalg.inv(plane.stretch_at(middle))
        return Geometry(per_mm * (plane.to_plane(middles) @ turn) * (1, -1), unit)
    upwards = np.stack([middles[:, 0], measurement.frame.shape[0] - middles[:, 1]], axis=1)
    return Geometry(upwards * (measurement.mm_per_px or 1.0) * per_mm, unit)


def signals(measurement: Measurement, quantity: MotionQuantity = "displacement") -> Iterator[Signal]:
    """Every measured channel as evenly sampled signals without gaps, to scale where that is known, else in px."""
    interval_s = even_interval(measurement.times_s)
    source = f"clip sha256 {measurement.provenance.sha256}"
    unit, factor = usual_unit(quantity, measurement.mm_per_px)
    for (of, number, axis), values in measurement.motion.series.items():
        if of == quantity:
            name = measurement.analysis.regions[number].series.name
            for start_s, piece in even_segments(measurement.times_s, factor * values, interval_s):
                yield Signal(
                    name,
                    axis,
                    unit,
                    1 / interval_s,
                    piece,
                    node=number + 1,
                    quantity=quantity,
                    start_s=start_s,
                    source=source,
                )
