"""Limits of vibration over frequency: their curve, the part of it that a camera can judge, and the judgement."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy  # its rooms are loaded by those who enter them: reading a configuration takes half the time
from numpy.typing import NDArray

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.spectra.derivatives import (
    CRESTS,
    UNITS,
    BandHz,
    MotionQuantity,
    settling_s,
    trusted_band_hz,
)

Values = NDArray[np.float64]
Statistic = Literal["peak", "rms"]
Axes = tuple[Literal["x", "y"], ...]

_NOISE_PEAK = 4.0
"""Peak of noise over its RMS, in a window of some hundred frames."""
NOISE_TOLD = 1 / 3
"""Share of the lowest limit from which noise is told beside a judgement."""
_LEAST_BAND = 1.25
"""Upper over lower edge of the narrowest band that says anything."""
_AROUND_S = 1.0
"""Time on either side of a peak in which its frequency is looked for."""


@dataclass(frozen=True)
class Criterion:
    """A limit on one quantity of a region, over frequency."""

    quantity: MotionQuantity
    statistic: Statistic
    unit: str
    points: tuple[tuple[float, float], ...]
    """Frequency in Hz, rising, and limit in ``unit``; straight lines between. The first and last bound the band."""
    axes: Axes = ("x", "y")
    """Directions that are judged, each by itself: the larger counts."""
    source: str = "a curve of one's own"
    """Edition, clause and class of the standard."""
    remark: str = ""
    """Remaining condition of the standard, for a person."""
    zones: tuple[float, ...] = ()
    """Boundaries of the zones A, B, C and D, where the standard has them."""

    @property
    def band_hz(self) -> BandHz:
        """Lower and upper edge of the band that the limit holds for."""
        return self.points[0][0], self.points[-1][0]

    @property
    def lowest(self) -> float:
        """The lowest limit: values are weighted so that it holds at every frequency."""
        return min(limit for _, limit in self.points)

    @property
    def finer(self) -> int:
        """Samples at which the quantity is read, for one of displacement."""
        return CRESTS if self.statistic == "peak" else 1

    @property
    def needs_scale(self) -> bool:
        """True where the unit is a physical one."""
        return UNITS[self.unit][1]

    def factor(self, mm_per_px: float | None) -> float:
        """Factor to the unit from px, px/s or px/s2.

        Raises:
            OptionFault: the unit needs a scale, and none is known.
        """
        if self.needs_scale and mm_per_px is None:
            raise OptionFault(
                f"a limit in {self.unit} needs a scale, and none is stated",
                remedy="state the scale, or a limit in px, px/s or px/s2",
            )
        return UNITS[self.unit][2] * ((mm_per_px or 1.0) if self.needs_scale else 1.0)

    def limit_at(self, frequency_hz: float) -> float:
        """The limit at a frequency; that of the nearer edge outside the band."""
        return self.lowest / float(self.weight(np.array([frequency_hz]))[0])

    def weight(self, frequency_hz: Values) -> Values:
        """Lowest limit over that at each frequency, (F,)."""
        hz, limits = np.array(self.points).T
        weights: Values = self.lowest / np.interp(frequency_hz, hz, limits)
        return weights

    def name(self) -> str:
        """Quantity and statistic for a person, e.g. ``peak velocity``."""
        return f"{'RMS' if self.statistic == 'rms' else 'peak'} {self.quantity}"

    def check(self) -> None:
        """Check unit and curve.

        Raises:
            OptionFault: the unit does not exist or is of another quantity; the curve has a gap or runs backwards.
        """
        fitting = [unit for unit, (quantity, _, _) in UNITS.items() if quantity == self.quantity]
        if self.unit not in fitting:
            of = f"a unit of {UNITS[self.unit][0]}" if self.unit in UNITS else "no unit that exists here"
            raise OptionFault(
                f"{self.unit} is {of}, the limit is one of {self.quantity}",
                remedy=f"choose {' or '.join(fitting)}",
            )
        if len(self.points) < 2:
            raise OptionFault(
                "a curve of one point bounds no band", remedy="give two points at least, as [Hz, limit]"
            )
        for (before_hz, _), (hz, _) in zip(self.points, self.points[1:], strict=False):
            if not before_hz < hz:
                raise OptionFault(
                    f"the curve runs backwards from {before_hz:g} to {hz:g} Hz",
                    remedy="give rising frequencies, each once",
                )
        wrong = [point for point in self.points if not (point[0] >= 0 and 0 < point[1] < math.inf)]
        if wrong or not math.isfinite(self.band_hz[1]):
            hz, limit = (wrong or [self.points[-1]])[0]
            raise OptionFault(
                f"the curve has a gap at {hz:g} Hz: its limit is {limit:g}",
                remedy="give every point a frequency of 0 Hz or more and a limit above 0",
            )


@dataclass(frozen=True)
class Coverage:
    """Part of a criterion's band that a camera can judge."""

    band_hz: BandHz
    """The band that is judged."""
    partly: str = ""
    """Part of the band that is judged, for a person; empty where it is the whole."""
    refusal: str = ""
    """Reason why nothing can be judged; empty where something can."""

    @property
    def settling_s(self) -> float:
        """Time at either end of a recording that cannot be judged."""
        return settling_s(self.band_hz)


def coverage(criterion: Criterion, rate_hz: float) -> Coverage:
    """Part of a criterion's band that is judged at a frame rate: up to 0.8 of half of it."""
    low, high = criterion.band_hz
    seen_hz = trusted_band_hz(rate_hz, math.inf)[1]
    if seen_hz < _LEAST_BAND * low:
        text = f"{rate_hz:g} frames/s show up to {seen_hz:.4g} Hz, and its band begins at {low:g} Hz"
        return Coverage((low, high), refusal=text)
    if seen_hz < high:
        return Coverage((low, seen_hz), f"judged only up to {seen_hz:.4g} of {high:g} Hz")
    return Coverage((low, high))


@dataclass(frozen=True)
class Judgement:
    """A measured value against a limit."""

    criterion: Criterion
    coverage: Coverage
    value: float = math.nan
    """In the criterion's unit, weighted so that its lowest limit holds at every frequency; NaN where not judged."""
    axis: str = ""
    """Direction of the larger value."""
    mainly_hz: float = math.nan
    """Frequency of the strongest part of what was judged."""
    noise: float = 0.0
    """Reading of noise alone, likewise weighted."""
    refusal: str = ""
    """Reason why nothing was judged; empty where something was."""
    relative_sigma: float = 0.0
    """Relative standard uncertainty of the value that the scale brings."""

    @property
    def share(self) -> float:
        """Share of the limit that is used."""
        return self.value / self.criterion.lowest

    @property
    def verdict(self) -> str:
        """Exceeded, kept, kept as far as judged, or not judged."""
        if self.refusal:
            return "not judged"
        if self.share > 1:
            return "exceeded"
        return "kept as far as judged" if self.coverage.partly else "kept"

    @property
    def zone(self) -> str:
        """Zone A to D that the value lies in; empty where the standard has none."""
        if not self.criterion.zones or self.refusal:
            return ""
        return "ABCD"[sum(self.value > boundary for boundary in self.criterion.zones)]

    def text(self) -> str:
        """Value, limit, margin and clause for a person."""
        criterion = self.criterion
        if self.refusal:
            return f"not judged: {self.refusal} ({criterion.source})"
        limit = criterion.limit_at(self.mainly_hz)
        value, sigma = self.share * limit, self.share * self.relative_sigma
        known = f" ± {sigma * limit:.2g}" if sigma else ""
        parts = [
            f"{criterion.name()} {value:.3g}{known} {criterion.unit} along {self.axis}",
            f"mainly at {self.mainly_hz:.3g} Hz",
            f"limit {limit:.3g} {criterion.unit}",
            f"margin {100 * (1 - self.share):.0f}{f' ± {100 * sigma:.1g}' if sigma else ''} %",
            *(["which the scale's uncertainty may turn"] if abs(1 - self.share) < 2 * sigma else []),
            *([f"zone {self.zone}"] if self.zone else []),
            *([self.coverage.partly] if self.coverage.partly else []),
        ]
        if self.noise > NOISE_TOLD * criterion.lowest:
            parts.append(f"noise alone shows {100 * self.noise / criterion.lowest:.0f} % of the limit")
        return f"{', '.join(parts)} ({criterion.source})"

    def detail(self) -> dict[str, object]:
        """For programs; numbers that are not known are None."""
        criterion, judged = self.criterion, not self.refusal
        limit = criterion.limit_at(self.mainly_hz) if judged else None
        return {
            "source": criterion.source,
            "remark": criterion.remark,
            "quantity": criterion.quantity,
            "statistic": criterion.statistic,
            "unit": criterion.unit,
            "verdict": self.verdict,
            "value": None if limit is None else self.share * limit,
            "limit": limit,
            "margin": 1 - self.share if judged else None,
            "margin_sigma": self.share * self.relative_sigma if judged else None,
            "axis": self.axis or None,
            "mainly_hz": self.mainly_hz if judged else None,
            "zone": self.zone or None,
            "noise_share": self.noise / criterion.lowest,
            "band_hz": list(criterion.band_hz),
            "judged_hz": list(self.coverage.band_hz) if judged else None,
            "refusal": self.refusal,
        }


def judge(
    criterion: Criterion, covered: Coverage, found: Values, rate_hz: float, noise_rms: float
) -> Judgement:
    """Judge weighted values (channels, N) in the criterion's unit, a channel for each of its axes.

    Args:
        criterion: the limit.
        covered: what of its band is judged.
        found: differentiated and weighted by the criterion; NaN where not known. One that is NaN is left out.
        rate_hz: samples of them a second.
        noise_rms: RMS of weighted noise, in the unit, on the noisiest axis that shows motion.
    """
    noise = noise_rms * (_NOISE_PEAK if criterion.statistic == "peak" else 1.0)
    blank = Judgement(criterion, covered, noise=noise, refusal=covered.refusal)
    if covered.refusal:
        return blank
    if not np.isfinite(found).any():
        text = f"a band from {covered.band_hz[0]:g} Hz needs more than {2 * covered.settling_s:.3g} s without a gap"
        return replace(blank, refusal=text)
    if noise >= criterion.lowest:
        text = f"noise alone shows {noise:.3g} {criterion.unit}, the lowest limit is {criterion.lowest:g}"
        return replace(blank, refusal=text)
    values = np.full(len(found), -np.inf)
    for number, channel in enumerate(found):
        known = channel[np.isfinite(channel)]
        if known.size:
            values[number] = (
                np.abs(known).max() if criterion.statistic == "peak" else np.sqrt((known**2).mean())
            )
    most = int(np.argmax(values))
    return Judgement(
        criterion,
        covered,
        float(values[most]),
        criterion.axes[most],
        _mainly_hz(criterion, covered, found[most], rate_hz),
        noise,
    )


def _mainly_hz(criterion: Criterion, covered: Coverage, signal: Values, rate_hz: float) -> float:
    """Frequency of the strongest part: of all for an RMS, of the time around the largest value for a peak."""
    known = np.nan_to_num(signal)
    if criterion.statistic == "peak":
        at, around = int(np.argmax(np.abs(known))), round(_AROUND_S * rate_hz)
        known = known[max(0, at - around) : at + around + 1]
    size = scipy.fft.next_fast_len(4 * known.size, real=True)
    power = np.abs(scipy.fft.rfft(known * np.hanning(known.size), size))
    frequency = scipy.fft.rfftfreq(size, 1 / rate_hz)
    low, high = covered.band_hz
    power[(frequency < low) | (frequency > high)] = 0
    return float(frequency[int(np.argmax(power))])
