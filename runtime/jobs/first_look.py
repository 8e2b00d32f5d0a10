"""Motion that is to be magnified, measured in a few regions: the amplification that fits, and where it is too much."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.errors import ClipFault, OptionFault
from tremorscope.runtime.frames.buffers import FrameRing
from tremorscope.runtime.frames.frame import RecordedClip
from tremorscope.runtime.jobs.regions import plan_regions
from tremorscope.runtime.jobs.samples import Samples, Span
from tremorscope.runtime.magnification.settings import Magnification
from tremorscope.runtime.vibration.displacement.meter import MotionMeter
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.displacement.steady import SteadyMeter
from tremorscope.runtime.vibration.spectra.analysis import Analysis, RegionSeries, analyse_recording

Amplification = float | Literal["auto"]
"""Magnified over true displacement, or ``auto``: measured, so that the largest steady motion shows as some pixels."""
Values = NDArray[np.float64]

AIM_PX = 8.0
"""Amplitude at which ``auto`` shows the largest steady motion."""
_FRAMES = 300
_REGIONS = 6
_UNMEASURED = 20.0
"""Amplification that ``auto`` takes where nothing is seen to move."""
_NOISE = 3.0
"""Noise floors that a displacement must exceed to be one."""
_APART_S = 1.0
"""Time within which frames of too much motion are told as one stretch."""
_STRETCHES = 3


class MotionWatch:
    """Displacement of a few regions, frame after frame, as a magnification will see it.

    Args:
        meter: measures the regions.
        rate_hz: frames a second in reality.
    """

    def __init__(self, meter: MotionMeter | SteadyMeter, rate_hz: float) -> None:
        self._meter, self._rate_hz = meter, rate_hz
        self._rows: list[NDArray[np.float32]] = []
        self.times_s: list[float] = []
        """Times of the frames in the clip."""
        self.told = ""
        """Warning that was told before the work."""

    def see(self, frame: NDArray[np.uint8], time_s: float) -> None:
        """Measure the next frame, (H, W, 3; RGB), at a time of the clip."""
        self._rows.append(np.array([motion.row for motion in self._meter.measure(frame)], np.float32))
        self.times_s.append(time_s)

    def analysis(self, band_hz: tuple[float, float] | None = None) -> Analysis | None:
        """Frequencies at which the regions move; None where none can be told, as in very short clips."""
        table = np.array(self._rows, float).transpose(1, 2, 0)  # (regions, 7, N)
        floors, rounding = self._meter.noise_floors_px, self._meter.rounding_floors_px
        series = tuple(
            RegionSeries.of_rows(f"R{number + 1}", follower.region, rows, floors[number], rounding[number])
            for number, (follower, rows) in enumerate(zip(self._meter.followers, table, strict=True))
        )
        try:
            return analyse_recording(np.arange(table.shape[2]) / self._rate_hz, series, band_hz=band_hz)
        except OptionFault:
            return None

    def steady(self, wanted: Magnification) -> tuple[float, float] | None:
        """Amplitude in px and frequency in Hz of the largest steady motion that a magnification magnifies, if any."""
        bands = wanted.band.bands_hz if wanted.band else (None,)
        found = [each for band in bands if (each := self.analysis(band)) is not None]
        peaks = [finding.peak for each in found for finding in each.findings]
        shown = [
            (peak.amplitude * self._share(wanted, peak.frequency_hz), peak.frequency_hz) for peak in peaks
        ]
        return max(shown, default=None)

    def peaks_px(self, wanted: Magnification) -> Values:
        """Largest displacement of any region in each frame, (N,), of that which a magnification magnifies."""
        table = np.array(self._rows, float).transpose(1, 2, 0)[:, :2]  # (regions, 2, N)
        floors = self._meter.noise_floors_px[..., None]  # (regions, 2, 1)
        moved = np.where(np.isfinite(table) & np.isfinite(floors), table, 0.0)
        if wanted.mode != "static" or wanted.refresh_s is not None:
            count = moved.shape[2]
            response = wanted.filter_design(self._rate_hz).response(np.fft.rfftfreq(count, 1 / self._rate_hz))
            response[0] = 0
            moved = np.fft.irfft(np.fft.rfft(moved) * response, count)
        sure = np.maximum(np.abs(moved) - _NOISE * np.where(np.isfinite(floors), floors, 0), 0)
        peaks: Values = np.hypot(sure[:, 0], sure[:, 1]).max(axis=0)
        return peaks

    def warning(self, wanted: Magnification, limit_px: float | None) -> str:
        """Warning that names times and the amplification that fits; empty where all motion is within the limit."""
        if limit_px is None or len(self._rows) < 2:
            return ""
        peaks = self.peaks_px(wanted)
        shown = wanted.amplification * peaks
        if wanted.max_displacement_px is not None:
            shown = np.minimum(shown, peaks + wanted.max_displacement_px)
        over = np.flatnonzero(shown > limit_px)
        if not over.size:
            return ""
        fits = _rounded_down(limit_px / float(peaks.max()))
        times = _stretches([self.times_s[at] for at in over])
        remedy = f"--amplification {fits:g} fits" if fits > 1 else "cut that part out"
        return (
            f"{over.size} of {peaks.size} frames looked at ({times}) move by up to {peaks.max():.2g} px, to be shown "
            f"as {shown.max():.3g} px; the network was trained up to {limit_px:g} px, and may tear the picture beyond: "
            f"{remedy}, or --max-displacement limits what is added"
        )

    def _share(self, wanted: Magnification, frequency_hz: float) -> float:
        """Share of a motion that is magnified: all, or in dynamic mode what it changes from frame to frame."""
        return 2 * math.sin(math.pi * frequency_hz / self._rate_hz) if wanted.mode == "dynamic" else 1.0


def look_first(open_clip: Callable[[], RecordedClip], wanted: Magnification, rate_hz: float) -> MotionWatch:
    """Measure the first frames of a clip in regions within those that are magnified.

    Raises:
        Fault: the clip cannot be read, or nothing in it can be measured.
    """
    samples, count = Samples(Span(reference="first")), 0
    with closing(open_clip()) as clip:
        frame = FrameRing(1, width_px=clip.width_px, height_px=clip.height_px).frame(0)
        while count < _FRAMES and (info := clip.read_into(frame)) is not None:
            samples.add(frame, info.timestamp_s)
            count += 1
    if count < 2:
        raise ClipFault(
            f"{clip.path}: holds one frame only, so no motion", remedy="name a clip of two frames or more"
        )
    watch = MotionWatch(_meter(samples.pictures(), wanted.regions), rate_hz)
    with closing(open_clip()) as clip:
        for _ in range(count):
            if (info := clip.read_into(frame)) is not None:
                watch.see(frame, info.timestamp_s)
    return watch


def choose(
    watch: MotionWatch, wanted: Magnification, most: float, limit_px: float | None
) -> tuple[float, str]:
    """The amplification that shows the largest steady motion at `AIM_PX`, and a line that says so.

    Args:
        watch: has seen the clip's first frames.
        wanted: the magnification, of any amplification.
        most: largest amplification of the network.
        limit_px: largest magnified motion that it was trained for, if that is known.
    """
    peak_px, steady = float(watch.peaks_px(wanted).max()), watch.steady(wanted)
    if steady is None and peak_px == 0:
        return min(_UNMEASURED, most), f"auto: nothing is seen to move, so {min(_UNMEASURED, most):g} times"
    size_px, what = (peak_px, "motion of") if steady is None else (steady[0], "steady motion of")
    fits = min(AIM_PX / size_px, most, math.inf if limit_px is None or peak_px == 0 else limit_px / peak_px)
    amplification = max(1.0, _rounded_down(fits))
    at = f" at {steady[1]:.3g} Hz" if steady else ", at no steady frequency,"
    return (
        amplification,
        f"auto: {amplification:g} times shows the largest {what} {size_px:.2g} px{at} as "
        f"{amplification * size_px:.2g} px",
    )


def _meter(pictures: Sequence[NDArray[np.uint8]], within: tuple[Region, ...]) -> MotionMeter | SteadyMeter:
    """Meter of a few regions, whose centres are in those named; of these themselves where there are no such."""
    plan = plan_regions(pictures, (), (), _REGIONS if not within else 4 * _REGIONS)
    if not within:
        return plan.meter
    inside = tuple(each for each in plan.regions if any(_holds(part, each) for part in within))[:_REGIONS]
    return plan_regions(pictures, inside or within, (), _REGIONS).meter


def _holds(part: Region, region: Region) -> bool:
    x, y = region.centre_px
    return part.x_px <= x < part.x_px + part.width_px and part.y_px <= y < part.y_px + part.height_px


def _rounded_down(value: float) -> float:
    """Two significant digits, never more than the value."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.floor(value / step + 1e-9) * step:.6g}")


def _stretches(times_s: list[float]) -> str:
    """Times in a few words, those close to each other as one stretch."""
    ends = [times_s[:1] * 2]
    for time_s in times_s[1:]:
        if time_s - ends[-1][1] <= _APART_S:
            ends[-1][1] = time_s
        else:
            ends.append([time_s, time_s])
    told = [f"{a:.2f} s" if a == b else f"{a:.2f} to {b:.2f} s" for a, b in ends[:_STRETCHES]]
    more = f" and {len(ends) - _STRETCHES} more stretches" if len(ends) > _STRETCHES else ""
    return ", ".join(told) + more
