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
from scipy.spatial.distance import cdist

from tremorscope.runtime.reports.digits import short_frequency
from tremorscope.runtime.reports.exports import MAGNIFIED_NAMES
from tremorscope.runtime.reports.figures import COLOURS
from tremorscope.runtime.reports.measurement import Measurement
from tremorscope.runtime.reports.measurement_pictures import (
    MOST_LABELS,
    MOST_TRACES,
    liveliest,
    plotted,
    sure_modes,
    sure_share,
)
from tremorscope.runtime.vibration.displacement.warping import opencv
from tremorscope.runtime.vibration.spectra.modes import Mode

Values = NDArray[np.float64]

_PAGE = Path(__file__).parent / "page"
_CHARTS = Path(__file__).parent.parent / "outputs" / "web" / "page"
_MOST_SAMPLES = 40_000
"""Samples of a trace, above which only the extremes of neighbours are drawn."""
_PHOTO_PX, _JPEG_QUALITY = 640, 85
_MOST_SHARE = 0.09
"""Longest motion that is shown, as a share of the picture's diagonal."""
_REST = 0.03
"""Weight of standing still far from all regions, as in page/moving.js."""
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
        *((_PAGE / name).read_text("utf-8") for name in ("moving.js", "report.js")),
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
    """The photograph that moves, hidden until the script shows it; empty where there is no mode."""
    if not measurement.analysis.modes:
        return ""
    return (
        '<section id="moving" class="picture noprint" hidden><h2>Modes, moving</h2>'
        f'<img hidden alt="" src="data:image/jpeg;base64,{_photo(measurement)}">'
        '<p class=choice></p><canvas role="img" aria-label="The first frame, bent by the mode that is chosen"></canvas>'
        '<p class=controls><button type="button">Play</button> '
        '<label>Size <input type="range" min="2" max="100"></label></p>'
        '<p class="told small"></p><div class=beside></div></section>'
    )


def _photo_size(measurement: Measurement) -> tuple[int, int, float]:
    """Width and height of the small first frame, and the size of its pixels in pixels of the frame."""
    height, width = measurement.frame.shape[:2]
    size = max(1.0, width / _PHOTO_PX)
    return round(width / size), round(height / size), size


def _photo(measurement: Measurement) -> str:
    """The first frame as a small JPEG in base64."""
    cv2 = opencv()
    small = cv2.resize(measurement.frame, _photo_size(measurement)[:2], interpolation=cv2.INTER_AREA)
    _, coded = cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return base64.b64encode(coded.tobytes()).decode("ascii")


def _moving(measurement: Measurement) -> dict[str, Any] | None:
    modes = sure_modes(measurement)[: len(MAGNIFIED_NAMES)]
    if not modes:
        return None
    width, height, size = _photo_size(measurement)
    regions = [each.series.region for each in measurement.analysis.regions]
    anchors = np.array([each.centre_px for each in (*regions, *measurement.still)], float) / size
    diagonal = math.hypot(width, height)
    reach_px = _reach(anchors, diagonal)
    return {
        "width": width,
        "height": height,
        "frame_px": size,
        "reach_px": reach_px,
        "most_px": min(_MOST_SHARE * diagonal, reach_px),
        "anchors": np.round(anchors, 2).tolist(),
        "modes": [
            _shown(measurement, mode, number, bend_weights(anchors, _parts(measurement, mode), reach_px))
            for number, mode in enumerate(modes)
        ],
    }


def _reach(anchors: Values, diagonal: float) -> float:
    """Distance over which a region carries its surroundings along: most of that between neighbours."""
    apart = cdist(anchors, anchors) + np.diag(np.full(len(anchors), np.inf))
    between = float(np.median(apart.min(axis=1))) if len(anchors) > 1 else 0.12 * diagonal
    return float(np.clip(0.75 * between, 0.04 * diagonal, 0.2 * diagonal))


def _parts(measurement: Measurement, mode: Mode) -> NDArray[np.complex128]:
    """Motion of the regions along x and y, (regions + still, 2), 0 where it does not stand out from noise."""
    shape = np.asarray(mode.shape, np.complex128).reshape(-1, 2) * sure_share(measurement, mode)
    return np.concatenate([shape, np.zeros((len(measurement.still), 2), np.complex128)])


def bend_weights(anchors: Values, parts: NDArray[np.complex128], reach_px: float) -> NDArray[np.complex128]:
    """Weights (n, 2) with which normalised Gaussians at the anchors (n, 2) sum to given motions (n, 2) there.

    Where anchors lie so near each other that this would overshoot, the motions themselves: then the field is smoother
    than the shape.
    """
    weights = np.exp(-(cdist(anchors, anchors) ** 2) / (2 * reach_px**2))
    shares = weights / (weights.sum(axis=1, keepdims=True) + _REST)
    found = np.linalg.lstsq(shares, parts, rcond=1e-3)[0].astype(np.complex128)
    return found if np.abs(found).max() < 3 * np.abs(parts).max(initial=1e-12) else parts


def _shown(
    measurement: Measurement, mode: Mode, number: int, weights: NDArray[np.complex128]
) -> dict[str, Any]:
    frequency_hz, name = mode.frequency_hz, MAGNIFIED_NAMES[number]
    low, high = (1 - _HALF_BAND) * frequency_hz, (1 + _HALF_BAND) * frequency_hz
    times = int(np.clip(_WANTED_PX / mode.peak.amplitude, _LEAST, _MOST))
    rate = measurement.time_axis.capture_rate_hz
    command = [
        *(
            "tremorscope",
            "magnify",
            measurement.clip,
            "--mode",
            "band",
            "--band",
            f"{low:.3g}",
            f"{high:.3g}",
        ),
        *("-a", str(times), *(("--capture-fps", f"{rate:g}") if rate else ()), "-o", name),
    ]
    return {
        "name": short_frequency(mode.peak),
        "text": f"{short_frequency(mode.peak)}, up to {measurement.amplitude_text(mode.peak)}",
        "amplitude_px": mode.peak.amplitude,
        "parts": np.round(
            np.stack([weights.real, weights.imag], axis=-1).reshape(len(weights), 4), 4
        ).tolist(),
        "clip": name,
        "command": shlex.join(command),
    }
