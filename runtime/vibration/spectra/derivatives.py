"""Velocity and acceleration from displacement, by differentiation in the frequency domain, within a stated band.

A camera measures displacement, so nothing is ever integrated. Each run of even samples is continued at both ends by
its own odd reflection, transformed, multiplied by (2 pi i f)^order and by the band's edges, and transformed back:
phase is kept exactly, amplitude within a per cent up to the edges of the band.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import scipy  # its rooms are loaded by those who enter them, see `vibration.monitoring.limits`
from numpy.typing import ArrayLike, NDArray

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.spectra.sampling import EvenRun, check_times, resample_evenly

Values = NDArray[np.float64]
Weight = Callable[[Values], Values]
"""Weight of each frequency (F,), beside that of the differentiation."""
MotionQuantity = Literal["displacement", "velocity", "acceleration"]
BandHz = tuple[float, float]

ORDERS: dict[MotionQuantity, int] = {"displacement": 0, "velocity": 1, "acceleration": 2}
"""Times that displacement is differentiated."""
UNITS: dict[str, tuple[MotionQuantity, bool, float]] = {
    "px": ("displacement", False, 1.0),
    "mm": ("displacement", True, 1.0),
    "um": ("displacement", True, 1e3),
    "px/s": ("velocity", False, 1.0),
    "mm/s": ("velocity", True, 1.0),
    "m/s": ("velocity", True, 1e-3),
    "in/s": ("velocity", True, 1 / 25.4),
    "px/s2": ("acceleration", False, 1.0),
    "mm/s2": ("acceleration", True, 1.0),
    "m/s2": ("acceleration", True, 1e-3),
    "g": ("acceleration", True, 1 / 9806.65),
}
"""Quantity of a unit, True where it needs a scale, and how many of it a px or a mm (per s, per s2) is."""
_USUAL = {"displacement": ("px", "mm"), "velocity": ("px/s", "mm/s"), "acceleration": ("px/s2", "m/s2")}
_TRUSTED_SHARE = 0.8
"""Share of half the frame rate up to which amplitudes are trusted: above, the edge of the band falls to 0."""
_EDGE = 1.25
"""Frequency at which the upper edge has fallen to 0, over that at which it begins to."""
_SLOWEST_CYCLES = 2.0
CRESTS = 8
"""Samples for one at which peaks are read: a tone at the edge of the band is then low by 1.2 per cent at most."""
_SETTLING = 1.5
"""Time that either end needs, times the width of the narrower edge: errors are below a per cent from there on."""


def usual_unit(quantity: MotionQuantity, mm_per_px: float | None) -> tuple[str, float]:
    """Unit of a quantity, and the factor to it from px, px/s or px/s2: physical only where the scale is known.

    >>> usual_unit('displacement', None)
    ('px', 1.0)
    >>> usual_unit('velocity', 2.4)
    ('mm/s', 2.4)
    >>> usual_unit('acceleration', 2.4)
    ('m/s2', 0.0024)
    """
    unit = _USUAL[quantity][mm_per_px is not None]
    return unit, UNITS[unit][2] * (mm_per_px or 1.0)


def trusted_band_hz(rate_hz: float, duration_s: float) -> BandHz:
    """Band in which velocity and acceleration are true: two cycles in the recording, and 0.8 of half the rate.

    >>> trusted_band_hz(rate_hz=25.0, duration_s=20.0)
    (0.1, 10.0)
    """
    return _SLOWEST_CYCLES / duration_s, _TRUSTED_SHARE * rate_hz / 2


def whole_band_hz(rate_hz: float) -> BandHz:
    """Band without a lower edge, up to the highest trusted frequency.

    >>> whole_band_hz(25.0)
    (0.0, 10.0)
    """
    return 0.0, _TRUSTED_SHARE * rate_hz / 2


def settling_s(band_hz: BandHz) -> float:
    """Time at either end of a run within which values are not yet true.

    >>> settling_s((1.0, 80.0)), settling_s((10.0, 1000.0))
    (3.0, 0.3)
    >>> settling_s((0.0, 5.0))
    1.2
    """
    low, high = band_hz
    widths = [(_EDGE - 1) * high] + ([low / 2] if low > 0 else [])
    return _SETTLING / min(widths)


def band_response(
    frequency_hz: Values, order: int, band_hz: BandHz, weight: Weight | None = None
) -> NDArray[np.complex128]:
    """Response at each frequency (F,): (2 pi i f)^order, 1 within the band, squared cosines beyond its edges."""
    low, high = band_hz
    size = _falling((frequency_hz - high) / ((_EDGE - 1) * high))
    if low > 0:
        size = size * _falling((low - frequency_hz) / (low / 2))
    if weight is not None:
        size = size * weight(frequency_hz)
    return np.asarray((2j * math.pi * frequency_hz) ** order * size, dtype=np.complex128)


def _falling(place: Values) -> Values:
    """From 1 at 0 to 0 at 1."""
    edge: Values = np.cos(math.pi / 2 * np.clip(place, 0, 1)) ** 2
    return edge


def differentiate(
    values: Values,
    rate_hz: float,
    order: int,
    band_hz: BandHz,
    weight: Weight | None = None,
    *,
    finer: int = 1,
) -> Values:
    """Differentiate even samples within a band; NaN where either end has not settled.

    Without a lower edge (0 Hz) the linear trend is kept, differentiated; else it is removed.

    Args:
        values: (channels, N).
        rate_hz: samples a second.
        order: times to differentiate.
        band_hz: lower and upper edge.
        weight: of each frequency, besides.
        finer: samples of the result for one of the values: the crests of fast motion lie between samples.

    Returns:
        (channels, N * finer).
    >>> sway_px = 0.1 * np.sin(2 * np.pi * 2 * np.arange(500) / 50)[None]  # 2 Hz
    >>> velocity = differentiate(sway_px, 50.0, 1, (0.0, 20.0))
    >>> velocity.shape, round(float(np.nanmax(velocity)), 2)
    ((1, 500), 1.26)
    """
    count = values.shape[1]
    settle = math.ceil(settling_s(band_hz) * rate_hz - 1e-6)
    if count <= 2 * settle:
        return np.full((len(values), count * finer), np.nan)
    place = np.arange(count) - (count - 1) / 2
    slope = (values @ place / (place @ place))[:, None]
    middle = values.mean(axis=1, keepdims=True)
    rest = values - middle - slope * place
    pad = count - 1
    before, after = 2 * rest[:, :1] - rest[:, pad:0:-1], 2 * rest[:, -1:] - rest[:, -2 : -pad - 2 : -1]
    fade = _falling(np.arange(pad, 0, -1) / pad)
    extended = np.concatenate([before * fade, rest, after * fade[::-1]], axis=1)
    size = scipy.fft.next_fast_len(extended.shape[1], real=True)
    response = band_response(scipy.fft.rfftfreq(size, 1 / rate_hz), order, band_hz, weight)
    found: Values = finer * scipy.fft.irfft(scipy.fft.rfft(extended, size) * response, finer * size)
    found = found[:, finer * pad : finer * (pad + count)]
    if band_hz[0] == 0:
        places = np.arange(count * finer) / finer - (count - 1) / 2
        trend = (middle + slope * places, slope * rate_hz, 0.0)[order]
        found = found + trend * (1.0 if weight is None else float(weight(np.zeros(1))[0]))
    found[:, : finer * settle] = found[:, finer * (count - settle) :] = np.nan
    return found


def derivative_at_frames(
    time_s: ArrayLike, values: ArrayLike, order: int, *, tick_s: float = 0.0, band_hz: BandHz | None = None
) -> Values:
    """Derivative of one measured channel (N,) at the times of its own frames; NaN where it is not known.

    Args:
        time_s: capture times, (N,), increasing.
        values: displacement, (N,); NaN where it is not known.
        order: times to differentiate.
        tick_s: resolution of the times.
        band_hz: None takes all up to the highest trusted frequency.

    Raises:
        OptionFault: time does not run forwards.
    """
    times, signal = check_times(time_s), np.asarray(values, dtype=np.float64)
    found: Values = np.full(times.shape, np.nan)
    try:
        series = resample_evenly(times, signal, tick_s=tick_s)
    except OptionFault:  # too few frames in a row
        return found
    for run in series.runs:
        derived = differentiate(run.values, series.rate_hz, order, band_hz or whole_band_hz(series.rate_hz))
        end_s = run.start_s + (run.samples - 0.5) / series.rate_hz
        within = np.flatnonzero((times >= run.start_s) & (times <= end_s) & np.isfinite(signal))
        found[within] = _at(run, derived[0], times[within], series.rate_hz)
    return found


def crest(time_s: ArrayLike, values: ArrayLike, order: int, *, tick_s: float = 0.0) -> float:
    """Largest size of a derivative, between frames too; NaN where nothing is known. See `derivative_at_frames`.

    >>> time_s = np.arange(200) / 25
    >>> round(crest(time_s, 0.1 * np.sin(2 * np.pi * 2 * time_s), 2), 1)  # px/s2
    15.8
    >>> crest(time_s[:5], time_s[:5], 1)
    nan
    """
    try:
        series = resample_evenly(time_s, values, tick_s=tick_s)
    except OptionFault:  # too few frames in a row
        return math.nan
    band_hz = whole_band_hz(series.rate_hz)
    parts = [differentiate(run.values, series.rate_hz, order, band_hz, finer=CRESTS) for run in series.runs]
    sizes = np.abs(np.concatenate(parts, axis=1))
    return float(np.nanmax(sizes)) if np.isfinite(sizes).any() else math.nan


def _at(run: EvenRun, derived: Values, times: Values, rate_hz: float) -> Values:
    """Even values at a run's own frames: by their places where they are even, else between them."""
    places = np.concatenate([[0], np.cumsum(np.round(np.diff(times) * rate_hz).astype(np.int64))])
    if (np.diff(places) >= 1).all() and places[-1] + 1 == run.samples:
        taken: Values = derived[places]
        return taken
    known = np.isfinite(derived)
    if known.sum() < 4:
        return np.full(times.shape, np.nan)
    grid = run.start_s + np.arange(run.samples) / rate_hz
    between = scipy.interpolate.make_interp_spline(grid[known], derived[known], k=3)(times, extrapolate=False)
    values: Values = np.asarray(between, dtype=np.float64)
    return values


def noise_gain(order: int, band_hz: BandHz, rate_hz: float, weight: Weight | None = None) -> float:
    """RMS that white noise of standard deviation 1 in each frame has after differentiation, in 1/s^order.

    >>> round(noise_gain(0, (0.0, 10.0), 25.0), 2)
    0.94
    >>> round(noise_gain(1, (0.0, 10.0), 25.0)), round(noise_gain(2, (0.0, 10.0), 25.0))
    (37, 1992)
    """
    frequency = np.linspace(0, rate_hz / 2, 2049)
    return noise_rms(frequency, np.full(frequency.shape, 2 / rate_hz), order, band_hz, weight)


def noise_rms(
    frequency_hz: Values, density: Values, order: int, band_hz: BandHz, weight: Weight | None = None
) -> float:
    """RMS of noise after differentiation, from its one-sided density (F,) in squared units of displacement a hertz."""
    power = density * np.abs(band_response(frequency_hz, order, band_hz, weight)) ** 2
    return math.sqrt(float((power[1:] + power[:-1]) @ np.diff(frequency_hz)) / 2)
