"""The latest stored modes for the page, where they move its photograph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tremorscope.runtime.health import Health, RegionHealth
from tremorscope.runtime.reports.digits import hz_text, short_hz
from tremorscope.runtime.reports.moving import MovingMode, moving_data
from tremorscope.runtime.store.pages import magnified_clips
from tremorscope.runtime.store.reader import StoreReader
from tremorscope.runtime.store.records import Clip, ModePoint, ModeRecord, PeakRecord

_RECENT_S = 3600.0
"""Time before the latest mode within which another counts as latest, too."""
_MOST_MODES = 6
_SAME = 0.02
"""Relative distance within which a peak is a mode's."""


def latest_modes(reader: StoreReader, health: Health) -> dict[str, Any]:
    """Modes with frequency, deviation and shape, the surest first, and the data by which they move the photograph.

    Raises:
        StoreFault: the store cannot be read.
    """
    latest = {each.label: each for each in reader.latest_modes(_RECENT_S) if each.frequency_deviation_hz}
    modes = sorted(latest.values(), key=lambda each: (each.frequency_deviation_hz or 0) / each.frequency_hz)
    places = {each.name: each for each in health.regions if each.rectangle_px}
    clips = magnified_clips(reader)
    shown = [
        _moving(each, _peak_of(reader, each), places, _clip_of(each, clips)) for each in modes[:_MOST_MODES]
    ]
    size_px = (health.camera.width_px, health.camera.height_px)
    centres_px = np.array([_centre_px(each) for each in places.values()])
    is_drawn = bool(shown and places and min(size_px) > 0)
    return {
        "time_s": max((each.time_s for each in modes), default=None),
        "modes": modes,
        "moving": moving_data(size_px, centres_px, shown) if is_drawn else None,
    }


def _centre_px(region: RegionHealth) -> tuple[float, float]:
    assert region.rectangle_px is not None
    left, top, width, height = region.rectangle_px
    return left + (width - 1) / 2, top + (height - 1) / 2


def _clip_of(mode: ModeRecord, clips: Sequence[Clip]) -> str | None:
    """Address of the latest clip in which the mode's band is magnified."""
    return next((f"clips/{each.file}" for each in clips if each.magnifies(mode.frequency_hz)), None)


def _moving(
    mode: ModeRecord, peak: PeakRecord | None, places: dict[str, RegionHealth], clip: str | None
) -> MovingMode:
    parts = {(each.region, each.axis): complex(each.real, each.imaginary) for each in mode.shape}
    return MovingMode(
        label=mode.label,
        name=short_hz(mode.frequency_hz),
        text=hz_text(mode.frequency_hz, mode.frequency_deviation_hz or math.inf) + _size_text(peak, places),
        amplitude_px=peak.amplitude if peak else None,
        parts=np.array([[parts.get((name, axis), 0j) for axis in "xy"] for name in places]).reshape(-1, 2),
        clip=clip,
        without="No magnified clip of an event in this band is saved.",
    )


def _peak_of(reader: StoreReader, mode: ModeRecord) -> PeakRecord | None:
    """The peak of the same analysis where the mode moves most."""

    def size(point: ModePoint) -> float:
        return abs(complex(point.real, point.imaginary))

    if not mode.shape:
        return None
    largest = max(mode.shape, key=size)
    there = [
        each
        for each in reader.peaks(mode.time_s, math.nextafter(mode.time_s, math.inf))
        if (each.channel.region, each.channel.axis) == (largest.region, largest.axis)
    ]
    peak = min(there, key=lambda each: abs(each.frequency_hz - mode.frequency_hz), default=None)
    return peak if peak and abs(peak.frequency_hz / mode.frequency_hz - 1) < _SAME else None


def _size_text(peak: PeakRecord | None, places: dict[str, RegionHealth]) -> str:
    if peak is None:
        return ""
    place, text = places.get(peak.channel.region), f", up to {peak.amplitude:.3g} px"
    if place is None or place.mm_per_px is None:
        return text
    size_mm = place.mm_per_px * peak.amplitude
    sure = f" (scale ± {100 * place.scale_relative_sigma:.2g} %)" if place.scale_relative_sigma else ""
    return f"{text} = {size_mm:.3g} mm{sure}"
