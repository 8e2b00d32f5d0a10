"""The report's charts that zoom, and its photograph that moves: data for `page/report.js`, and all that it needs."""

from __future__ import annotations

import base64
import json
import math
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.reports.digits import short_frequency
from tremorscope.runtime.reports.exports import MAGNIFIED_NAMES
from tremorscope.runtime.reports.figures import COLOURS
from tremorscope.runtime.reports.measurement import Measurement
from tremorscope.runtime.reports.measurement_pictures import (
    MOST_LABELS,
    MOST_TRACES,
    is_sure,
    liveliest,
    plotted,
    sure_share,
)
from tremorscope.runtime.reports.moving import SCRIPT, MovingMode, moving_data, photo_size
from tremorscope.runtime.vibration.displacement.warping import opencv
from tremorscope.runtime.vibration.spectra.modes import Mode

Values = NDArray[np.float64]

_CHARTS = Path(__file__).parent.parent / "outputs" / "web" / "page"
_MOST_SAMPLES = 40_000
"""Samples of a trace, above which only the extremes of neighbours are drawn."""
_JPEG_QUALITY = 85
_WANTED_PX, _LEAST, _MOST = 4.0, 2, 100
"""Motion in px that a suggested amplification aims at, and its limits."""
_HALF_BAND = 0.15


def interactive_part(measurement: Measurement) -> str:
    """The moving photograph, and behind it data and scripts, as HTML for the page's end."""
    moving = _moving(measurement)
    data = {
        "charts": {"spectrum": _spectrum(measurement), "displacement": _displacement(measurement)},
        "moving": moving,
    }
    held = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("</", "<\\/")
    return f'<script type="application/json" id="data">{held}</script>\n{_scripts()}'


@cache
def _scripts() -> str:
    """Style and scripts, the library of charts with its licence."""
    style = (_CHARTS / "uPlot.min.css").read_text("utf-8")
    licence = (_CHARTS / "uPlot.LICENSE.txt").read_text("utf-8")
    code = [
        f"/*!\n{licence}*/\n{(_CHARTS / 'uPlot.iife.min.js').read_text('utf-8')}",
        *(each.read_text("utf-8") for each in (SCRIPT, SCRIPT.with_name("report.js"))),
    ]
    return f"<style>{style}</style>\n" + "\n".join(f"<script>\n{each}</script>" for each in code)


def _packed(values: Values) -> str:
    return base64.b64encode(np.asarray(values, "<f4").tobytes()).decode("ascii")


def thinned(times: Values, values: Values, most: int = _MOST_SAMPLES) -> tuple[Values, Values]:
    """A trace of at most so many samples, (n,): of each stretch its lowest and its highest."""
    if times.size <= most:
        return times, values
    length = math.ceil(2 * times.size / most)
    count = times.size // length
    rows = values[: count * length].reshape(count, length)
    low, high = (np.where(np.isnan(rows), fill, rows) for fill in (np.inf, -np.inf))
    ends = np.sort(np.stack([low.argmin(axis=1), high.argmax(axis=1)], axis=1), axis=1)
    at = (np.arange(count)[:, None] * length + ends).ravel()
    return times[at], values[at]


def _spectrum(measurement: Measurement) -> list[dict[str, Any]]:
    """One chart of all channels that are drawn, at the frequencies of the one with most: gaps may shorten another's."""
    channels = plotted(measurement)
    spectra = [measurement.analysis.regions[number].along(axis) for number, axis in channels]
    known = [each for each in spectra if each is not None]
    if not known:
        return []
    at = max((each.frequency_hz for each in known), key=len)[1:]
    series = []
    for place, ((number, axis), spectrum) in enumerate(zip(channels, known, strict=True)):
        name = f"{measurement.analysis.regions[number].series.name} {axis}"
        for title, density in ((name, spectrum.density), ("noise floor", spectrum.floor)):
            drawn = np.interp(at, spectrum.frequency_hz, np.sqrt(np.where(density > 0, density, np.nan)))
            series.append(
                {
                    "name": title,
                    "values": _packed(drawn),
                    "colour": COLOURS[place % len(COLOURS)],
                    "dash": title != name,
                }
            )
    marks = [
        [each.peak.frequency_hz, short_frequency(each.peak)]
        for each in measurement.analysis.findings[:MOST_LABELS]
    ]
    chart = {"x": "frequency (Hz)", "y": "px/√Hz", "log": True, "marks": sorted(marks)}
    return [{**chart, "at": _packed(at), "series": series}]


def _displacement(measurement: Measurement) -> list[dict[str, Any]]:
    """A chart a channel, about its median."""
    found = []
    for place, (number, axis) in enumerate(liveliest(measurement)[:MOST_TRACES]):
        series = measurement.analysis.regions[number].series
        moved = series.along(axis)
        at, values = thinned(measurement.times_s, moved - np.nanmedian(moved))
        name = f"{series.name} {axis}"
        trace = {"name": name, "values": _packed(values), "colour": COLOURS[place]}
        title = f"{name}, {'right' if axis == 'x' else 'down'} (px)"
        found.append({"x": "time (s)", "y": title, "down": axis == "y", "at": _packed(at), "series": [trace]})
    return found


def moving_section(measurement: Measurement) -> str:
    """The photograph that moves, hidden until the script shows it; empty where no mode is sure."""
    if not _shown_modes(measurement):
        return ""
    return (
        '<section id="moving" class="picture noprint" hidden><h2>Modes, moving</h2>'
        f'<img hidden alt="" src="data:image/jpeg;base64,{_photo(measurement)}"></section>'
    )


def _shown_modes(measurement: Measurement) -> list[Mode]:
    sure = [each for each in measurement.analysis.modes if is_sure(measurement, each.peak)]
    return sure[: len(MAGNIFIED_NAMES)]


def _photo(measurement: Measurement) -> str:
    """The first frame as a small JPEG in base64."""
    cv2 = opencv()
    height, width = measurement.frame.shape[:2]
    small = cv2.resize(measurement.frame, photo_size(width, height)[:2], interpolation=cv2.INTER_AREA)
    _, coded = cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return base64.b64encode(coded.tobytes()).decode("ascii")


def _moving(measurement: Measurement) -> dict[str, Any] | None:
    modes = _shown_modes(measurement)
    if not modes:
        return None
    height, width = measurement.frame.shape[:2]
    regions = [each.series.region for each in measurement.analysis.regions]
    centres_px = np.array([each.centre_px for each in (*regions, *measurement.still)], float)
    shown = [_shown(measurement, mode, name) for mode, name in zip(modes, MAGNIFIED_NAMES, strict=False)]
    return moving_data((width, height), centres_px, shown)


def _parts(measurement: Measurement, mode: Mode) -> NDArray[np.complex128]:
    """Motion of the regions along x and y, (regions + still, 2), 0 where it does not stand out from noise."""
    shape = np.asarray(mode.shape, np.complex128).reshape(-1, 2) * sure_share(measurement, mode)
    return np.concatenate([shape, np.zeros((len(measurement.still), 2), np.complex128)])


def _shown(measurement: Measurement, mode: Mode, clip: str) -> MovingMode:
    low, high = ((1 + side * _HALF_BAND) * mode.frequency_hz for side in (-1, 1))
    times = int(np.clip(_WANTED_PX / mode.peak.amplitude, _LEAST, _MOST))
    rate = measurement.time_axis.capture_rate_hz
    band = ("--mode", "band", "--band", f"{low:.3g}", f"{high:.3g}", "-a", str(times))
    stated = ("--capture-fps", f"{rate:g}") if rate else ()
    return MovingMode(
        clip,
        short_frequency(mode.peak),
        f"{short_frequency(mode.peak)}, up to {measurement.amplitude_text(mode.peak)}",
        mode.peak.amplitude,
        _parts(measurement, mode),
        clip,
        f"A magnified clip of this band stands here once it is made, as {clip} beside this report: ",
        shlex.join(("tremorscope", "magnify", measurement.clip, *band, *stated, "-o", clip)),
    )
