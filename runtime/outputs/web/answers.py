"""JSON answers to the page. Times are Unix seconds; a number that is not known is null."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from tremorscope.runtime.health import Health, NaturalFrequency
from tremorscope.runtime.live.feed import LiveFeed, LiveSeries, LiveSpectrum
from tremorscope.runtime.outputs.state import judge, rates_true_hz
from tremorscope.runtime.store.pages import EventPage
from tremorscope.runtime.store.records import Alarm, Notice
from tremorscope.runtime.vibration.spectra.peaks import Peak

_TIME_DIGITS = 4
_ROUNDED_S = 0.6 * 10.0**-_TIME_DIGITS
MOST_SAMPLES = 2400
"""Displacement samples in one answer: the latest."""
MOST_BINS = 2048
"""Bins of a spectrum; of more, groups of neighbours are replaced by their largest."""
MOST_POINTS = 3000
"""Points of natural frequencies over time; of more, some are left out, evenly."""


def json_answer(answer: object) -> web.Response:
    """Response with anything that JSON can hold."""
    return web.Response(body=encode(answer), content_type="application/json")


def encode(answer: object) -> bytes:
    """Encode an answer as JSON."""
    return json.dumps(answer, allow_nan=False, separators=(",", ":")).encode()


def plain(value: Any) -> Any:
    """Convert dataclasses, mappings and sequences to types of JSON; NaN and the infinities become null."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    if dataclasses.is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    return [plain(each) for each in value]


def state(health: Health) -> dict[str, Any]:
    """Health of the service, with the liveness verdict."""
    verdict = judge(health)
    raised = {each.rule.name for each in health.raised}
    answer: dict[str, Any] = plain(health)
    for alarm, status in zip(answer["alarms"], health.alarms, strict=True):
        alarm["raised"] = status.rule.name in raised
        alarm["unit"] = status.rule.threshold_unit
        alarm["needs_attention"] = status.needs_attention
    told = {"ok": verdict.ok, "verdict": verdict.text, "rates_true_hz": plain(rates_true_hz(health))}
    return told | answer


def motion(series: LiveSeries, region: str) -> dict[str, Any]:
    """The latest displacement of one region, or of the first if there is none of that name."""
    answer: dict[str, Any] = {"generation": series.generation, "regions": list(series.regions)}
    if not series.regions:
        return answer | {"region": None, "times_s": [], "x_px": [], "y_px": []}
    row = series.regions.index(region) if region in series.regions else 0
    latest = slice(-MOST_SAMPLES, None)
    return answer | {
        "region": series.regions[row],
        "times_s": np.round(series.times_s[latest], _TIME_DIGITS).tolist(),
        "x_px": _numbers(series.x_px[row, latest]),
        "y_px": _numbers(series.y_px[row, latest]),
    }


def spectra(found: Sequence[LiveSpectrum], region: str, after_s: float) -> dict[str, Any]:
    """The latest spectra of one region; only ``time_s`` if they are no later than ``after_s``."""
    of_region = [each for each in found if each.region == region]
    time_s = max((each.time_s for each in of_region), default=None)
    if time_s is None or time_s <= after_s:
        return {"region": region, "time_s": time_s}
    return {"region": region, "time_s": time_s, "axes": {each.axis: _spectrum(each) for each in of_region}}


def _spectrum(spectrum: LiveSpectrum) -> dict[str, Any]:
    together = -(-len(spectrum.frequency_hz) // MOST_BINS)
    return {
        "duration_s": spectrum.duration_s,
        "frequency_hz": np.round(_largest(spectrum.frequency_hz, together), 5).tolist(),
        "amplitude_px": _numbers(_largest(spectrum.amplitude_px, together)),
        "floor_px": None if spectrum.floor_px is None else _numbers(_largest(spectrum.floor_px, together)),
        "peaks": [_peak(each) for each in spectrum.peaks],
        "artefacts": [_peak(peak) | {"cause": cause} for peak, cause in spectrum.artefacts],
    }


def _peak(peak: Peak) -> Any:
    told = {"frequency_hz": peak.frequency_hz, "deviation_hz": peak.frequency_sigma_hz}
    told |= {"amplitude_px": peak.amplitude, "amplitude_deviation_px": peak.amplitude_sigma}
    return plain(told | {"damping_ratio": peak.damping})


def frequencies(points: Sequence[NaturalFrequency]) -> dict[str, Any]:
    """Natural frequencies over time, thinned out evenly if there are too many; the latest is always included."""
    every = -(-len(points) // MOST_POINTS) or 1
    times_s = sorted({point.time_s for point in points}, reverse=True)
    # Thin out times, not points: every other point could always belong to the same mode.
    wanted_s = set(times_s[::every])
    kept = [point for point in points if point.time_s in wanted_s]
    return {
        "mode": [point.number for point in kept],
        "time_s": [round(point.time_s, 2) for point in kept],
        "frequency_hz": [_finite(point.frequency_hz) for point in kept],
        "deviation_hz": [_finite(point.deviation_hz) for point in kept],
    }


def history(records: Iterable[Alarm | EventPage | Notice]) -> list[dict[str, Any]]:
    """Alarms, events with their triggers and clips, or notices, in their order."""
    return [_event(each) if isinstance(each, EventPage) else plain(each) for each in records]


def _event(event: EventPage) -> dict[str, Any]:
    alarms = [each.alarm for each in event.triggers if each.alarm is not None]
    return {
        "name": event.name,
        "time_s": event.time_s,
        "reasons": list(dict.fromkeys(each.reason for each in event.triggers)),
        "alarms": list(dict.fromkeys(alarms)),
        "clips": [plain(clip) for clip in event.clips],
    }


def live(feed: LiveFeed, *, region: str, after_s: float, spectrum_after_s: float) -> dict[str, Any]:
    """Displacement since a time, and the spectrum if there is a new one: polled by the page several times a second."""
    # The page has rounded times: the latest of them must not be sent again.
    answer = motion(feed.series(after_s + _ROUNDED_S), region)
    return {"motion": answer, "spectra": spectra(feed.spectra(), answer["region"] or "", spectrum_after_s)}


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 6)


def _numbers(values: NDArray[np.floating]) -> list[float | None]:
    """Numbers rounded to six digits; None for NaN."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values.tolist()]


def _largest(values: NDArray[np.float64], together: int) -> NDArray[np.float64]:
    """The largest of every ``together`` neighbours; the last group may have fewer."""
    if together <= 1 or not len(values):
        return values
    return np.maximum.reduceat(values, np.arange(0, len(values), together))
