"""Result files of a measurement."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tremorscope.runtime.host.files import whole_file
from tremorscope.runtime.reports.html import report_page
from tremorscope.runtime.reports.measurement import Measurement
from tremorscope.runtime.reports.measurement_pictures import (
    history_picture,
    orbit_picture,
    overlay_picture,
    spectrum_picture,
)
from tremorscope.runtime.reports.signals import Signal, even_interval, even_segments, write_uff
from tremorscope.runtime.vibration.spectra.analysis import AXES
from tremorscope.runtime.vibration.spectra.derivatives import ORDERS, MotionQuantity, usual_unit


def write_results(measurement: Measurement, directory: Path) -> None:
    """Write displacement, velocity and acceleration, pictures, report.html and summary.json.

    Raises:
        OutputFault: a file cannot be written.
    """
    for quantity in ORDERS:
        write_motion_csv(measurement, directory / f"{quantity}.csv", quantity)
        write_uff(directory / f"{quantity}.uff", signals(measurement, quantity))
    spectrum, overlay = spectrum_picture(measurement), overlay_picture(measurement)
    orbits = orbit_picture(measurement)
    _write(directory / "spectrum.png", spectrum)
    _write(directory / "overlay.png", overlay)
    _write(directory / "orbits.png", orbits)
    page = report_page(
        measurement, overlay=overlay, spectrum=spectrum, history=history_picture(measurement), orbits=orbits
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
    heading, columns = ["time_s"], [measurement.times_s]
    for number, result in enumerate(measurement.analysis.regions):
        series = result.series
        blank = np.full(series.x_px.shape, np.nan)
        for axis in AXES:
            values = measurement.motion.series.get((quantity, number, axis), blank)
            for scale in dict.fromkeys((None, measurement.mm_per_px)):
                unit, factor = usual_unit(quantity, scale)
                heading.append(f"{series.name}_{axis}_{unit.replace('/', '_')}")
                columns.append(factor * values)
        heading.append(f"{series.name}_quality")
        columns.append(series.quality)
    with whole_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(heading)
        for row in np.stack(columns, axis=1).tolist():
            writer.writerow(
                [f"{row[0]:.6f}", *("" if math.isnan(value) else f"{value:.6g}" for value in row[1:])]
            )
        text.flush()
        text.detach()


def signals(measurement: Measurement, quantity: MotionQuantity = "displacement") -> Iterator[Signal]:
    """Every measured channel as evenly sampled signals without gaps, to scale where that is known, else in px."""
    interval_s = even_interval(measurement.times_s)
    unit, factor = usual_unit(quantity, measurement.mm_per_px)
    for (of, number, axis), values in measurement.motion.series.items():
        if of == quantity:
            name = measurement.analysis.regions[number].series.name
            for _, piece in even_segments(measurement.times_s, factor * values, interval_s):
                yield Signal(name, axis, unit, 1 / interval_s, piece, node=number + 1, quantity=quantity)
