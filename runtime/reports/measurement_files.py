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
    overlay_picture,
    spectrum_picture,
)
from tremorscope.runtime.reports.scale_picture import scale_picture
from tremorscope.runtime.reports.signals import Signal, even_interval, even_segments, write_uff
from tremorscope.runtime.vibration.spectra.analysis import AXES


def write_results(measurement: Measurement, directory: Path) -> None:
    """Write displacement.csv and .uff, spectrum.png, overlay.png, report.html and summary.json.

    Raises:
        OutputFault: a file cannot be written.
    """
    write_displacement_csv(measurement, directory / "displacement.csv")
    write_uff(directory / "displacement.uff", signals(measurement))
    spectrum, overlay = spectrum_picture(measurement), overlay_picture(measurement)
    _write(directory / "spectrum.png", spectrum)
    _write(directory / "overlay.png", overlay)
    page = report_page(
        measurement,
        overlay=overlay,
        spectrum=spectrum,
        history=history_picture(measurement),
        scale=scale_picture(measurement.frame, measurement.plane) if measurement.plane else None,
    )
    _write(directory / "report.html", page.encode())
    summary = json.dumps(measurement.summary(), indent=1, allow_nan=False)
    _write(directory / "summary.json", summary.encode())


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as file:
        file.write(content)


def write_displacement_csv(measurement: Measurement, path: Path) -> None:
    """Write one row a frame: time, then x, y and quality of every region, also in mm if the scale is known.

    A field is empty where the region was lost, and along an axis on which its texture shows no motion.

    Raises:
        OutputFault: it cannot be written.
    """
    heading, columns = ["time_s"], [measurement.times_s]
    for result in measurement.analysis.regions:
        series = result.series
        for axis, floor in zip(AXES, series.noise_floor_px, strict=True):
            values = series.along(axis) if math.isfinite(floor) else np.full(series.x_px.shape, np.nan)
            heading.append(f"{series.name}_{axis}_px")
            columns.append(values)
            if measurement.scale is not None:
                heading.append(f"{series.name}_{axis}_mm")
                columns.append(measurement.scale.mm_per_px * values)
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


def signals(measurement: Measurement) -> Iterator[Signal]:
    """Every measured channel as evenly sampled signals without gaps, in mm where the scale is known, else px."""
    interval_s = even_interval(measurement.times_s)
    unit = "px" if measurement.scale is None else "mm"
    factor = 1.0 if measurement.scale is None else measurement.scale.mm_per_px
    for number, result in enumerate(measurement.analysis.regions):
        for axis in AXES:
            if result.along(axis) is None:
                continue
            values = factor * result.series.along(axis)
            for _, piece in even_segments(measurement.times_s, values, interval_s):
                yield Signal(result.series.name, axis, unit, 1 / interval_s, piece, node=number + 1)
