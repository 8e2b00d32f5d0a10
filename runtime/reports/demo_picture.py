"""Figure of the demonstration: frame, x-t slices (one line of pixels over time), displacement and spectrum, before
and after magnification.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from scipy import fft

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.host.files import whole_file
from tremorscope.runtime.reports.figures import BLUE, GREEN, GRID, INK, ORANGE, figure, png


@dataclass(frozen=True)
class VerticalLine:
    """A line of pixels: one column of the picture from ``top_px`` to above ``bottom_px``."""

    x_px: int
    top_px: int
    bottom_px: int

    def check_inside(self, picture_width_px: int, picture_height_px: int) -> None:
        """Check that the line lies in a picture.

        Raises:
            OptionFault: it does not.
        """
        if not (0 <= self.x_px < picture_width_px and 0 <= self.top_px < self.bottom_px <= picture_height_px):
            raise OptionFault(
                f"the line at x {self.x_px} from y {self.top_px} to {self.bottom_px} is not within "
                f"{picture_width_px}x{picture_height_px} px",
                remedy="choose a line inside the picture",
            )


class TimeSlice:
    """Slice of a line of pixels, in constant memory: when it is full, every other instant is dropped."""

    def __init__(self, line: VerticalLine, capacity: int = 1024) -> None:
        if capacity < 2 or capacity % 2:
            raise ValueError(f"capacity {capacity} is not an even number of at least 2")
        self.line = line
        self._pixels = np.empty((line.bottom_px - line.top_px, capacity, 3), dtype=np.uint8)
        self._times_s = np.empty(capacity)
        self._kept = 0
        self._seen = 0
        self._stride = 1

    def add(self, frame: NDArray[np.uint8], timestamp_s: float) -> None:
        """Take the line from a frame (H, W, 3; RGB) captured at ``timestamp_s``."""
        if self._seen == 0:
            self.line.check_inside(frame.shape[1], frame.shape[0])
        wanted = self._seen % self._stride == 0
        self._seen += 1
        if not wanted:
            return
        if self._kept == self._times_s.size:
            self._thin_out()
            if (self._seen - 1) % self._stride:
                return
        self._pixels[:, self._kept] = frame[self.line.top_px : self.line.bottom_px, self.line.x_px]
        self._times_s[self._kept] = timestamp_s
        self._kept += 1

    @property
    def picture(self) -> NDArray[np.uint8]:
        """The slice so far: (line's pixels, instants, 3), time to the right; a view."""
        return self._pixels[:, : self._kept]

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Capture time of each instant, (instants,); a view."""
        return self._times_s[: self._kept]

    def _thin_out(self) -> None:
        half = self._times_s.size // 2
        self._pixels[:, :half] = self._pixels[:, ::2].copy()
        self._times_s[:half] = self._times_s[::2].copy()
        self._kept, self._stride = half, 2 * self._stride


Values = NDArray[np.float64]

_FILMED, _MAGNIFIED, _TRUE, _SECOND = BLUE, ORANGE, INK, GREEN
_GRID = GRID


@dataclass(frozen=True)
class Box:
    """A marked rectangle of the frame, in pixels."""

    x_px: int
    y_px: int
    width_px: int
    height_px: int


@dataclass(frozen=True)
class Trace:
    """Displacement of one marked place over the same times, (N,) each, in pixels, downwards positive."""

    name: str
    box: Box
    time_s: Values
    true_px: Values
    filmed_px: Values
    magnified_px: Values


@dataclass(frozen=True)
class Effect:
    """Content of the figure: a frame (H, W, 3; RGB), slices and displacement before and after magnification."""

    frame: NDArray[np.uint8]
    filmed: TimeSlice
    magnified: TimeSlice
    amplification: float
    first: Trace
    """Place of which the displacement is drawn over time."""
    second: Trace
    """Place of which the spectrum is drawn."""
    frequencies_hz: tuple[float, ...]
    """Found natural frequencies, marked in the spectrum."""


def save_effect_picture(effect: Effect, path: Path) -> None:
    """Draw frame, x-t slices, displacement and spectrum, before and after, as a PNG: whole or not at all.

    Raises:
        OutputFault: the file cannot be written.
    """
    with figure(13.0, 8.2) as drawn, whole_file(path) as file:
        halves = drawn.add_gridspec(1, 2, width_ratios=(1.12, 1.0))
        left = halves[0].subgridspec(2, 1)
        right = halves[1].subgridspec(4, 1, height_ratios=(1.15, 1.15, 0.85, 0.85))
        _draw_frame(drawn.add_subplot(left[0]), effect)
        _draw_spectrum(drawn.add_subplot(left[1]), effect)
        axes = [drawn.add_subplot(right[row]) for row in range(4)]
        _draw_slice(axes[0], effect.filmed, "As filmed: one line of pixels over time", _FILMED)
        _draw_slice(axes[1], effect.magnified, f"Magnified {effect.amplification:g} times", _MAGNIFIED)
        _draw_trace(axes[2], effect.first, effect.first.filmed_px, 1.0, "as filmed", _FILMED)
        _draw_trace(
            axes[3], effect.first, effect.first.magnified_px, effect.amplification, "magnified", _MAGNIFIED
        )
        for upper in axes[:3]:
            upper.sharex(axes[3])
            upper.tick_params(labelbottom=False)
        axes[3].set_xlim(*_time_extent(effect.filmed))
        axes[3].set_xlabel("time (s)")
        drawn.align_ylabels(axes)
        file.write(png(drawn))


def _draw_frame(axes: Axes, effect: Effect) -> None:
    axes.imshow(effect.frame, interpolation="lanczos")
    axes.set_title("The footbridge as filmed")
    line = effect.filmed.line
    axes.plot(
        [line.x_px] * 2, [line.top_px, line.bottom_px], color="white", linewidth=4.5, solid_capstyle="butt"
    )
    axes.plot(
        [line.x_px] * 2, [line.top_px, line.bottom_px], color=_TRUE, linewidth=2.0, solid_capstyle="butt"
    )
    height = effect.frame.shape[0]
    for trace, colour in ((effect.first, _MAGNIFIED), (effect.second, _SECOND)):
        box = trace.box
        axes.add_patch(_rectangle(box, "white", 4.0))
        axes.add_patch(_rectangle(box, colour, 2.2))
        axes.annotate(
            trace.name,
            (box.x_px + box.width_px / 2, box.y_px + box.height_px),
            xytext=(box.x_px + box.width_px / 2, box.y_px + box.height_px + 0.075 * height),
            **_label(colour),
        )
    axes.annotate(
        "x-t line", (line.x_px, line.top_px), xytext=(line.x_px, line.top_px - 0.05 * height), **_label(_TRUE)
    )
    axes.set_axis_off()


def _label(colour: str) -> dict[str, Any]:
    """Style of a label in the frame: white text in a box of a colour."""
    box = {"boxstyle": "round,pad=0.28", "facecolor": colour, "edgecolor": "white", "linewidth": 1.0}
    return {"ha": "center", "va": "center", "fontsize": 11, "color": "white", "weight": "bold", "bbox": box}


def _rectangle(box: Box, colour: str, width: float) -> Rectangle:
    return Rectangle(
        (box.x_px - 0.5, box.y_px - 0.5),
        box.width_px,
        box.height_px,
        fill=False,
        edgecolor=colour,
        linewidth=width,
    )


def _time_extent(time_slice: TimeSlice) -> tuple[float, float]:
    """Time from the left edge of the first instant to the right edge of the last."""
    times = time_slice.times_s
    step = (times[-1] - times[0]) / max(1, times.size - 1)
    return float(times[0] - step / 2), float(times[-1] + step / 2)


def _draw_slice(axes: Axes, time_slice: TimeSlice, title: str, colour: str) -> None:
    start, end = _time_extent(time_slice)
    line = time_slice.line
    axes.imshow(
        time_slice.picture,
        extent=(start, end, line.bottom_px - 0.5, line.top_px - 0.5),
        aspect="auto",
        interpolation="nearest",
    )
    axes.set_title(title, color=colour)
    axes.set_ylabel("y (px)")
    axes.tick_params(length=3)


def _draw_trace(
    axes: Axes, trace: Trace, measured_px: Values, amplification: float, name: str, colour: str
) -> None:
    truth = "true" if amplification == 1 else f"{amplification:g} x true"
    # Pictures count y downwards; in a chart a rise should go up.
    axes.plot(trace.time_s, -amplification * trace.true_px, color=_TRUE, linewidth=1.1, label=truth, zorder=3)
    axes.plot(
        trace.time_s, -measured_px, "o", color=colour, markersize=3.6, label=f"measured, {name}", zorder=2
    )
    axes.axhline(0, color=_GRID, linewidth=1, zorder=0)
    largest = max(float(np.abs(values).max()) for values in (measured_px, amplification * trace.true_px))
    reach = 1.12 * max(largest, 1e-6)
    axes.set_ylim(-reach, reach)
    axes.set_ylabel(f"{trace.name}\nupwards (px)")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.97), ncols=2, borderaxespad=0.0, handlelength=1.4)


def _draw_spectrum(axes: Axes, effect: Effect) -> None:
    trace = effect.second
    curves = ((trace.filmed_px, "as filmed", _FILMED), (trace.magnified_px, "magnified", _MAGNIFIED))
    peak = 0.0
    for values, name, colour in curves:
        frequencies, amplitudes = _amplitude_spectrum(trace.time_s, values)
        axes.semilogy(frequencies, amplitudes, color=colour, label=name)
        peak = max(peak, float(amplitudes.max()))
    lowest = np.median(_amplitude_spectrum(trace.time_s, trace.filmed_px)[1])
    axes.set_ylim(max(lowest / 4, 1e-6 * peak), 6 * peak)
    axes.set_xlim(0, frequencies[-1])
    for frequency in effect.frequencies_hz:
        axes.axvline(frequency, color=_TRUE, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
        axes.annotate(
            f"{frequency:.2f} Hz",
            (frequency, 3.4 * peak),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=_TRUE,
            weight="bold",
        )
    axes.grid(visible=True, which="major", color=_GRID, linewidth=0.7)
    axes.set_title(f"Amplitude spectrum, {trace.name}")
    axes.set_xlabel("frequency (Hz)")
    axes.set_ylabel("amplitude (px)")
    axes.legend(loc="upper right", bbox_to_anchor=(1.0, 0.9))


def _amplitude_spectrum(time_s: Values, values: Values) -> tuple[Values, Values]:
    """Frequencies (Hz), and the amplitude that a sinusoid at each would have (Hann window, zero-padded)."""
    window = np.hanning(values.size)
    step = (time_s[-1] - time_s[0]) / (time_s.size - 1)
    length = 4 * values.size
    amplitudes = 2 * np.abs(fft.rfft((values - values.mean()) * window, length)) / window.sum()
    return fft.rfftfreq(length, step), amplitudes
