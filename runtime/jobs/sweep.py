"""Contact sheet of a clip: one picture a frequency band, in which one sees where and how far something moves in it."""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from tremorscope.runtime.cameras.recordings import open_recording
from tremorscope.runtime.errors import ClipFault, Fault, OptionFault
from tremorscope.runtime.frames.buffers import FrameRing
from tremorscope.runtime.frames.clip_times import check_capture_rate
from tremorscope.runtime.host.files import check_place, printable, whole_file
from tremorscope.runtime.host.progress import Progress
from tremorscope.runtime.jobs.first_look import look_first
from tremorscope.runtime.magnification.settings import Magnification
from tremorscope.runtime.reports.provenance import provenance_of, stated_settings
from tremorscope.runtime.vibration.displacement.windows import as_luma, estimate_noise_sigma

SweepBands = Literal["peaks", "log"]
"""Bands around the measured frequencies, or spaced evenly on a logarithmic axis."""
Band = tuple[float, float]
Values = NDArray[np.float32]

_MOST_FRAMES = 600
_FEWEST_FRAMES = 32
_MOST_BANDS, _LOG_BANDS = 8, 8
_NARROW = 0.12
"""Half the width of a band around a peak, against its frequency."""
_FEWEST_PERIODS = 3.0
_HIGHEST = 0.95
"""Share of half the frame rate up to which there are bands."""
_WIDEST_PX = 480
"""Width to which pictures are reduced before they are filtered."""
_CELL_PX, _WINDOW_CELLS = 4, 3
_SURE = 4.0
"""Mean square displacement, as a multiple of what noise alone feigns, from which on it is shown."""


@dataclass(frozen=True)
class SweepJob:
    """Settings of a contact sheet."""

    clip: Path
    output: Path
    bands: SweepBands = "peaks"
    capture_rate_hz: float | None = None
    overwrite: bool = False


@dataclass(frozen=True, eq=False)
class BandMap:
    """Motion in one band."""

    band_hz: Band
    rms_px: Values
    """RMS displacement in px of the clip, (h, w); 0 where it is not told from noise."""

    @property
    def largest_px(self) -> float:
        """Amplitude of the largest motion, but for stray pixels."""
        moving = self.rms_px[self.rms_px > 0]
        return math.sqrt(2) * float(np.percentile(moving, 95)) if moving.size else 0.0


@dataclass(frozen=True, eq=False)
class Sweep:
    """Result: the clip's first frame, reduced, and the motion in each band, lowest first."""

    job: SweepJob
    frame: NDArray[np.uint8]
    maps: tuple[BandMap, ...]
    frames: int

    def lines(self) -> list[str]:
        """Human-readable result, a line each, with the command that magnifies a band."""
        found = [each for each in self.maps if each.largest_px > 0]
        told = [
            f"{band_text(each.band_hz):22s} {f'up to {each.largest_px:.2g} px' if each in found else 'nothing moves'}"
            for each in self.maps
        ]
        most = max(found, key=lambda each: each.largest_px, default=None)
        name, rate_hz = self.job.clip.name, self.job.capture_rate_hz
        rate = "" if rate_hz is None else f" --capture-fps {rate_hz:g}"
        edges = "" if most is None else " ".join(f"{edge:.4g}" for edge in most.band_hz)
        clip = shlex.quote(printable(str(self.job.clip)))
        command = f"tremorscope magnify {clip} -o out.mp4 -a auto --mode band --band {edges}{rate}"
        return [
            f"frames         {self.frames} of {name}",
            *told,
            f"written        {self.job.output}",
            *([f"to see it move {command}"] if most else []),
        ]


def sweep_clip(job: SweepJob, progress: Progress | None = None) -> Sweep:
    """Draw the contact sheet of a clip as a PNG; on any failure nothing is left.

    Raises:
        ClipFault: the clip cannot be read, or is too short.
        OptionFault: its rate shows no frequencies.
        OutputFault: the picture cannot be written.
    """
    from tremorscope.runtime.reports.sweep_picture import sweep_picture  # drawing takes a second to import

    if job.output.suffix.lower() != ".png":
        raise OptionFault(f"{job.output}: a sweep is one picture", remedy="name it with .png")
    check_place(job.output, overwrite=job.overwrite)
    check_capture_rate(job.capture_rate_hz)
    bands, rate_hz, total = _bands(job)
    sweep = _measure(job, bands, rate_hz, total, progress)
    origin = provenance_of(job.clip, "", stated_settings(job, SweepJob(job.clip, job.output)))
    content = sweep_picture(
        sweep.frame,
        [(band_text(m.band_hz), m.rms_px, m.largest_px) for m in sweep.maps],
        title=f"{origin.clip}: {sweep.frames / rate_hz:.3g} s at {rate_hz:.4g} Hz",
        comment=f"swept by {origin.line()}",
    )
    with whole_file(job.output) as file:
        file.write(content)
    return sweep


def band_text(band_hz: Band) -> str:
    """A band in a few words."""
    return f"{band_hz[0]:.3g} to {band_hz[1]:.3g} Hz"


def _bands(job: SweepJob) -> tuple[list[Band], float, int]:
    """Bands to look at, lowest first, frames a second in reality, and number of frames."""
    with closing(open_recording(job.clip, capture_rate_hz=job.capture_rate_hz)) as camera:
        rate_hz, total = camera.capture_rate_hz or camera.nominal_rate_hz, camera.frame_count_estimate
        if not total:  # as of a raw stream
            frame = FrameRing(1, width_px=camera.width_px, height_px=camera.height_px).frame(0)
            total = sum(
                1 for _ in itertools.islice(iter(lambda: camera.read_into(frame), None), _MOST_FRAMES)
            )
    total = min(total, _MOST_FRAMES)
    highest_hz, lowest_hz = _HIGHEST * rate_hz / 2, _FEWEST_PERIODS * rate_hz / max(total, 1)
    if not lowest_hz < highest_hz / 2:
        raise ClipFault(
            f"{job.clip}: is too short for a sweep", remedy=f"name a clip of {_FEWEST_FRAMES} frames or more"
        )
    if job.bands == "peaks" and (found := _around_peaks(job, rate_hz, lowest_hz, highest_hz)):
        return found, rate_hz, total
    edges = np.geomspace(lowest_hz, highest_hz, _LOG_BANDS + 1).tolist()
    return list(itertools.pairwise(edges)), rate_hz, total


def _around_peaks(job: SweepJob, rate_hz: float, lowest_hz: float, highest_hz: float) -> list[Band]:
    """Bands around the frequencies that are measured in a few regions; none where none is found."""
    try:
        watch = look_first(
            lambda: open_recording(job.clip, capture_rate_hz=job.capture_rate_hz), Magnification(1.0), rate_hz
        )
        analysis = watch.analysis()
    except ClipFault:
        raise
    except Fault:
        return []
    peaks = [each.peak for each in analysis.findings] if analysis else []
    strongest = sorted(peaks, key=lambda peak: -peak.amplitude)[:_MOST_BANDS]
    middles = sorted(peak.frequency_hz for peak in strongest if lowest_hz <= peak.frequency_hz <= highest_hz)
    return [_apart(middles, at, highest_hz) for at in range(len(middles))]


def _apart(middles: Sequence[float], at: int, highest_hz: float) -> Band:
    """The band around one of several frequencies, halfway to its neighbours at most."""
    middle = middles[at]
    low, high = (1 - _NARROW) * middle, (1 + _NARROW) * middle
    if at > 0:
        low = max(low, math.sqrt(middles[at - 1] * middle))
    if at + 1 < len(middles):
        high = min(high, math.sqrt(middle * middles[at + 1]))
    return low, min(high, highest_hz)


def _measure(
    job: SweepJob, bands: Sequence[Band], rate_hz: float, total: int, progress: Progress | None
) -> Sweep:
    """Filter every pixel by every band, and fit a displacement to what passes, frame after frame."""
    with closing(open_recording(job.clip, capture_rate_hz=job.capture_rate_hz)) as camera:
        frame = FrameRing(1, width_px=camera.width_px, height_px=camera.height_px).frame(0)
        step = math.ceil(camera.width_px / _WIDEST_PX)
        filters: list[_BandFilter] = []
        count = 0
        while count < _MOST_FRAMES and camera.read_into(frame) is not None:
            luma = _reduced(as_luma(frame).astype(np.float32), step)
            if count == 0:
                first, shown = luma, frame[::step, ::step].copy()
                # Reduced pixels average their noise.
                fit = _CellFit(luma, estimate_noise_sigma(as_luma(frame)) / step)
                filters = [_BandFilter(band, rate_hz, fit) for band in bands]
            for each in filters:
                # What a filter begins with has faded by a third of the time.
                each.add(luma - first, counts=3 * count >= total)
            count += 1
            if progress is not None:
                progress(count, total)
    if count < _FEWEST_FRAMES:
        raise ClipFault(
            f"{job.clip}: {count} frames are too few for a sweep",
            remedy=f"name a clip of {_FEWEST_FRAMES} or more",
        )
    return Sweep(job, shown, tuple(BandMap(each.band_hz, step * each.rms_px()) for each in filters), count)


class _CellFit:
    """Least squares of a displacement on the slopes of a picture, in overlapping windows of a few cells."""

    def __init__(self, picture: Values, noise: float) -> None:
        self._shape = picture.shape
        self._light: Values = picture - picture.mean()
        self._light /= np.sqrt(np.square(self._light).sum()) + 1e-6
        slopes: list[Values] = list(np.gradient(picture))
        self._y, self._x = slopes
        xx, xy, yy = (
            self.cells(one * other)
            for one, other in ((self._x, self._x), (self._x, self._y), (self._y, self._y))
        )
        # Along a direction without slopes the fit gives nothing rather than noise.
        least = _WINDOW_CELLS**2 * _CELL_PX**2 * (0.3 * noise**2 + 0.02)
        xx, yy = xx + least, yy + least
        determinant = xx * yy - xy * xy
        self._inverse = yy / determinant, -xy / determinant, xx / determinant
        self.noise_px2: Values = (noise**2 * (self._inverse[0] + self._inverse[2])).astype(np.float32)
        """Variance of a fitted displacement by white noise of every frame, in px of the picture."""

    def cells(self, picture: Values) -> Values:
        """Sums over the window around each cell."""
        rows, columns = (side // _CELL_PX for side in self._shape)
        squares = picture[: rows * _CELL_PX, : columns * _CELL_PX].reshape(rows, _CELL_PX, columns, _CELL_PX)
        sums: Values = _WINDOW_CELLS**2 * ndimage.uniform_filter(squares.sum(axis=(1, 3)), _WINDOW_CELLS)
        return sums

    def squared_px2(self, change: Values) -> Values:
        """Squared displacement of each cell that a change of the picture shows; the light's changes are taken out."""
        change = change - change.mean()
        change -= np.vdot(self._light, change) * self._light
        x, y = self.cells(self._x * change), self.cells(self._y * change)
        xx, xy, yy = self._inverse
        squared: Values = np.square(xx * x + xy * y) + np.square(xy * x + yy * y)
        return squared


class _BandFilter:
    """Mean square displacement of each cell in one band."""

    def __init__(self, band_hz: Band, rate_hz: float, fit: _CellFit) -> None:
        self.band_hz, self._fit = band_hz, fit
        self._sos = signal.butter(2, band_hz, "bandpass", fs=rate_hz, output="sos")
        self._state: Values | None = None
        self._sum: Values = np.zeros_like(fit.noise_px2)
        self._count = 0

    def add(self, picture: Values, *, counts: bool) -> None:
        """Filter the next frame, less the first; it counts once the filter has settled."""
        if self._state is None:
            self._state = np.zeros((len(self._sos), 2, *picture.shape), np.float32)
        passed = _filtered(self._sos, self._state, picture)
        if counts:
            self._sum += self._fit.squared_px2(passed)
            self._count += 1

    def rms_px(self) -> Values:
        """RMS displacement; 0 where noise explains it."""
        _, response = signal.sosfreqz(self._sos, 4096)
        noise_px2 = float((np.abs(response) ** 2).mean()) * self._fit.noise_px2
        found_px2 = self._sum / max(self._count, 1)
        sure: Values = np.sqrt(np.where(found_px2 > _SURE * noise_px2, found_px2 - noise_px2, 0)).astype(
            np.float32
        )
        return sure


def _reduced(luma: Values, step: int) -> Values:
    """Means of squares of ``step`` pixels, smoothed so that differences of neighbours are slopes."""
    rows, columns = (side // step for side in luma.shape)
    squares = luma[: rows * step, : columns * step].reshape(rows, step, columns, step)
    smooth: Values = ndimage.gaussian_filter(squares.mean(axis=(1, 3)), 1.0)
    return smooth


def _filtered(sos: NDArray[np.float64], state: Values, picture: Values) -> Values:
    """One step of a recursive filter (transposed direct form II) for every pixel; ``state`` is (sections, 2, h, w)."""
    for (b0, b1, b2, _, a1, a2), kept in zip(sos.astype(np.float32), state, strict=True):
        passed = b0 * picture + kept[0]
        kept[0] = b1 * picture - a1 * passed + kept[1]
        kept[1] = b2 * picture - a2 * passed
        picture = passed
    return picture
