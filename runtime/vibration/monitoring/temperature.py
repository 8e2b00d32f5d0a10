"""Part of a quantity that follows the temperature: fitted by least squares, and taken out."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tremorscope.files import regular_bytes

Values = NDArray[np.float64]

_FEWEST, _LEAST_SPAN_K, _SURELY = 20, 3.0, 4.0
"""Pairs, the span of temperature, and the slope over its standard error, from which on a trend is believed."""
_MOST = 20_000


@dataclass(frozen=True)
class TemperatureFit:
    """A straight line of a quantity over temperature."""

    slope: float
    """Change of the quantity for one kelvin; 0 where none is believed."""
    slope_sigma: float
    """Its standard error; not finite where it is unknown."""
    at_c: float
    """Mean temperature, at which nothing is taken out."""

    def out_of(self, values: ArrayLike, temperature_c: ArrayLike) -> Values:
        """Values as they would be at the mean temperature; where the temperature is unknown they stay."""
        off_k = np.nan_to_num(np.asarray(temperature_c, float) - self.at_c)
        found: Values = np.asarray(values, float) - self.slope * off_k
        return found


def fit_temperature(values: ArrayLike, temperature_c: ArrayLike) -> TemperatureFit:
    """Fit a line through values and temperatures, (N,) both; pairs that are not finite are left out.

    A line is believed from twenty pairs over three kelvin on, and where its slope is four times its standard error.
    """
    x, y = np.asarray(temperature_c, float), np.asarray(values, float)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    at_c = float(x.mean()) if x.size else math.nan
    if x.size < _FEWEST or np.ptp(x) < _LEAST_SPAN_K:
        return TemperatureFit(0.0, math.inf, at_c)
    off = x - at_c
    slope = float(off @ y / (off @ off))
    rest = y - y.mean() - slope * off
    sigma = math.sqrt(float(rest @ rest) / (x.size - 2) / float(off @ off))
    return TemperatureFit(slope if abs(slope) > _SURELY * sigma else 0.0, sigma, at_c)


class TemperatureTrend:
    """The line of one quantity over temperature, learned from readings as they come."""

    def __init__(self) -> None:
        self._first_c: float | None = None
        self._pairs: deque[tuple[float, float]] = deque(maxlen=_MOST)

    def take_out(self, value: float, temperature_c: float | None) -> float:
        """Take a reading; returns it as it would be at the temperature of the first."""
        if temperature_c is None:
            return value
        self._first_c = temperature_c if self._first_c is None else self._first_c
        self._pairs.append((value, temperature_c))
        values, temperatures = np.array(self._pairs).T
        return value - fit_temperature(values, temperatures).slope * (temperature_c - self._first_c)


class TemperatureTrends:
    """The trend of each quantity; it outlives a change of the settings that leaves the quantity as it was."""

    def __init__(self) -> None:
        self._trends: defaultdict[Hashable, TemperatureTrend] = defaultdict(TemperatureTrend)

    def of(self, *quantity: Hashable) -> TemperatureTrend:
        """The trend of what is named by values."""
        return self._trends[quantity]


def read_temperature(file: Path | None) -> float | None:
    """Degrees Celsius in a file of one number, which counts thousandths where it is whole, as the kernel's do.

    None where none can be read.
    """
    if file is None:
        return None
    try:
        text = regular_bytes(file, 4096).decode("ascii").split()[0]
        found = float(text) if "." in text else int(text) / 1000
    except (OSError, ValueError, IndexError):
        return None
    return found if math.isfinite(found) else None
