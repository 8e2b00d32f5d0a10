"""Pictures of a measurement: spectra, regions and mode shapes on a frame, displacement over time."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from tremorscope.runtime.reports.arrows import draw_arrow, untangled
from tremorscope.runtime.reports.digits import short_frequency
from tremorscope.runtime.reports.figures import COLOURS, GREEN, GRID, INK, ORANGE, figure, png
from tremorscope.runtime.reports.measurement import Measurement
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.spectra.analysis import AXES, Axis, FrequencyFinding
from tremorscope.runtime.vibration.spectra.modes import Mode
from tremorscope.runtime.vibration.spectra.peaks import Peak
from tremorscope.runtime.vibration.spectra.phases import path

Values = NDArray[np.float64]

MOST_LABELS, MOST_TRACES = 6, 3
_MOST_CURVES, _MOST_MODES = 6, 3
_ARROW_SHARE = 0.13
"""Length of a mode's longest arrow, as a share of the picture's diagonal."""
_SHORTEST_SHARE = 0.012
_WIDTH_IN = 9.0
_ZOOMED_CYCLES, _MANY_CYCLES = 12, 60
_NAMED_SHARE = 0.09
_SURE_SIGMAS, _SURE_CYCLES = 4.0, 5.0


def spectrum_picture(measurement: Measurement) -> bytes:
    """Amplitude spectral density of the liveliest regions, their noise floor and the strongest peaks, as PNG."""
    with figure(_WIDTH_IN, 5.2) as drawn:
        axes = drawn.add_subplot()
        lowest, highest = math.inf, 0.0
        channels = plotted(measurement)
        for number, axis in channels:
            spectrum = measurement.analysis.regions[number].along(axis)
            assert spectrum is not None
            name = f"{measurement.analysis.regions[number].series.name} {axis}"
            density = np.sqrt(spectrum.density[1:])
            colour = COLOURS[len(axes.get_lines()) // 2 % len(COLOURS)]
            axes.semilogy(spectrum.frequency_hz[1:], density, color=colour, linewidth=1.4, label=name)
            floor = np.sqrt(spectrum.floor[1:])
            axes.semilogy(spectrum.frequency_hz[1:], floor, color=colour, linewidth=1.0, linestyle=":")
            lowest, highest = (
                min(lowest, float(np.quantile(density, 0.01))),
                max(highest, float(density.max())),
            )
        shown = [
            each
            for each in measurement.analysis.findings[:MOST_LABELS]
            if set(channels) & {seen[:2] for seen in each.seen_in}
        ]
        axes.set_ylim(lowest / 2, highest * (12 if shown else 3))
        axes.set_xlim(0, measurement.analysis.rate_hz / 2)
        _mark_peaks(axes, shown, highest)
        axes.grid(visible=True, which="major", color=GRID, linewidth=0.7)
        axes.set_title("Spectrum of displacement (dotted: noise floor)")
        axes.set_xlabel("frequency (Hz)")
        axes.set_ylabel("amplitude density (px/√Hz)")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), title="region")
        return png(drawn)


def _mark_peaks(axes: Axes, findings: list[FrequencyFinding], highest: float) -> None:
    """A line for each peak; labels that would overlap go one step down."""
    span = float(axes.get_xlim()[1])
    placed: list[tuple[float, int]] = []
    for finding in findings:
        frequency = finding.peak.frequency_hz
        axes.axvline(frequency, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
        taken = {row for at, row in placed if abs(at - frequency) < 0.11 * span}
        row = next(number for number in range(len(findings)) if number not in taken)
        placed.append((frequency, row))
        right = frequency > 0.88 * span
        axes.annotate(
            short_frequency(finding.peak),
            (frequency, highest * 7.5 / 2.1**row),
            xytext=(-5 if right else 5, 0),
            textcoords="offset points",
            ha="right" if right else "left",
            va="center",
            color=INK,
            weight="bold",
            fontsize=10.5,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
        )


def is_sure(measurement: Measurement, peak: Peak) -> bool:
    """True if a peak is well determined: seen for five cycles at least, with an amplitude of four deviations."""
    cycles = peak.frequency_hz * measurement.analysis.duration_s
    return cycles >= _SURE_CYCLES and peak.amplitude > _SURE_SIGMAS * peak.amplitude_sigma


def plotted(measurement: Measurement) -> list[tuple[int, Axis]]:
    """Channels whose spectra are drawn: those that show the strongest findings, then the liveliest."""
    showing = [(each.region, each.axis) for each in measurement.analysis.findings[:MOST_LABELS]]
    return list(dict.fromkeys([*showing, *liveliest(measurement)]))[:_MOST_CURVES]


def liveliest(measurement: Measurement) -> list[tuple[int, Axis]]:
    """Channels, sorted by the amplitude of their strongest sure peak, then by their RMS displacement."""
    channels: list[tuple[float, float, int, Axis]] = []
    for number, region in enumerate(measurement.analysis.regions):
        for at, axis in enumerate(AXES):
            spectrum = region.along(axis)
            if spectrum is not None:
                sure = (each.amplitude for each in spectrum.peaks if is_sure(measurement, each))
                peak = max(sure, default=0.0)
                channels.append((peak, region.rms_px[at], number, axis))
    channels.sort(key=lambda each: (-each[0], -each[1]))
    return [(number, axis) for _, _, number, axis in channels]


def overlay_picture(measurement: Measurement) -> bytes:
    """The regions, and the shapes of the strongest modes, drawn on the first frame, as PNG."""
    modes = sure_modes(measurement)[:_MOST_MODES]
    height, width = measurement.frame.shape[:2]
    columns = 1 if not modes or width > 2.2 * height else 2
    rows = math.ceil((1 + len(modes)) / columns)
    panel_width = _WIDTH_IN / columns
    with figure(_WIDTH_IN, rows * (panel_width * min(height / width, 1.6) + 0.45), dpi=130) as drawn:
        grid = drawn.add_gridspec(rows, columns)
        for number in range(1 + len(modes)):
            axes = drawn.add_subplot(grid[number // columns, number % columns])
            if number == 0:
                _draw_regions(axes, measurement)
            else:
                _draw_mode(axes, measurement, modes[number - 1])
        return png(drawn)


def _draw_regions(axes: Axes, measurement: Measurement) -> None:
    axes.imshow(measurement.frame, interpolation="lanczos")
    axes.set_title("Regions, proposed" if measurement.proposed else "Regions")
    for result in measurement.analysis.regions:
        colour = {"vibrates": ORANGE, "lost": "#666666"}.get(result.verdict, COLOURS[0])
        _draw_box(axes, result.series.region, result.series.name, colour)
    for region in measurement.still:
        _draw_box(axes, region, "still", GREEN)
    axes.set_axis_off()


def _draw_box(axes: Axes, region: Region, name: str, colour: str) -> None:
    corner = (region.x_px - 0.5, region.y_px - 0.5)
    # A name within would hide what a small region is on.
    small = region.width_px < _NAMED_SHARE * abs(np.subtract(*axes.get_xlim()))
    for edge, thickness in (("white", 3.4), (colour, 1.9)):
        axes.add_patch(
            Rectangle(
                corner, region.width_px, region.height_px, fill=False, edgecolor=edge, linewidth=thickness
            )
        )
    axes.annotate(
        name,
        corner,
        xytext=(0, 3) if small else (3, -3),
        textcoords="offset points",
        ha="left",
        va="bottom" if small else "top",
        fontsize=9.5,
        color="white",
        weight="bold",
        bbox={"boxstyle": "round,pad=0.2", "facecolor": colour, "edgecolor": "none"},
    )


def sure_modes(measurement: Measurement) -> list[Mode]:
    """Modes, those that were seen for few cycles, or barely, after what is well determined."""
    return sorted(measurement.analysis.modes, key=lambda each: not is_sure(measurement, each.peak))


def sure_share(measurement: Measurement, mode: Mode) -> Values:
    """1 for each part of a shape, (regions, 2), that stands out from the noise, 0 for the others."""
    parts: Values = np.abs(mode.shape.real.reshape(-1, 2))
    sure = np.ones(parts.shape)
    for number, result in enumerate(measurement.analysis.regions):
        for at, axis in enumerate(AXES):
            spectrum = result.along(axis)
            if spectrum is None:
                continue
            floor = float(np.interp(mode.frequency_hz, spectrum.frequency_hz, spectrum.floor))
            least = _SURE_SIGMAS * math.sqrt(floor / measurement.analysis.duration_s)
            sure[number, at] = parts[number, at] * mode.peak.amplitude > least
    return sure


def _draw_mode(axes: Axes, measurement: Measurement, mode: Mode) -> None:
    """Draw an arrow from each region's middle, all at the same moment: opposite arrows move in opposition."""
    grey = measurement.frame.mean(axis=2)
    axes.imshow(0.45 * grey + 0.55 * 255, cmap="gray", vmin=0, vmax=255, interpolation="lanczos")
    height, width = measurement.frame.shape[:2]
    diagonal = math.hypot(width, height)
    regions = [result.series.region for result in measurement.analysis.regions]
    middles = np.array([region.centre_px for region in regions])
    moving = mode.shape.real.reshape(-1, 2) * sure_share(measurement, mode)
    moving = moving * (_ARROW_SHARE * diagonal / max(float(np.hypot(*moving.T).max()), 1e-12))
    # Half a period later all arrows are reversed: show the half in which more of them end in the picture, and apart.
    halves = [(untangled(middles, each, regions), each) for each in (moving, -moving)]
    free, moving = max(halves, key=lambda half: (_inside(middles + half[1], width, height), half[0]))
    for middle, arrow in zip(middles.tolist(), (free * moving).tolist(), strict=True):
        axes.plot(
            *middle, "o", color=INK, markersize=5, markeredgecolor="white", markeredgewidth=1.2, zorder=4
        )
        if math.hypot(*arrow) > _SHORTEST_SHARE * diagonal:
            draw_arrow(axes, middle, arrow)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    amplitude = measurement.amplitude_text(mode.peak).partition(" ±")[0]
    # Arrows have their own scale: a structure's motion would be too small to see.
    axes.set_title(f"Mode at {short_frequency(mode.peak)}, up to {amplitude} px")
    axes.set_axis_off()


def _inside(tips: Values, width: int, height: int) -> int:
    return int(((tips >= 0) & (tips <= (width, height))).all(axis=1).sum())


def history_picture(measurement: Measurement) -> bytes:
    """Displacement over time of the liveliest channels, and a few cycles of it where there are many, as PNG."""
    channels = liveliest(measurement)[:MOST_TRACES]
    zoom_s = _zoom_s(measurement)
    with figure(_WIDTH_IN, 0.9 + 1.55 * len(channels)) as drawn:
        grid = drawn.add_gridspec(len(channels), 2 if zoom_s else 1, width_ratios=(2, 1) if zoom_s else None)
        whole: list[Axes] = []
        for row, (number, axis) in enumerate(channels):
            whole.append(drawn.add_subplot(grid[row, 0], sharex=whole[0] if whole else None))
            series = measurement.analysis.regions[number].series
            values = series.along(axis) - np.nanmedian(series.along(axis))
            is_last = row == len(channels) - 1
            _draw_trace(whole[-1], measurement.times_s, values, COLOURS[row], is_last=is_last)
            whole[-1].set_ylabel(f"{series.name} {axis}, {'right' if axis == 'x' else 'down'} (px)")
            _turn(whole[-1], axis)
            if zoom_s:
                part = measurement.times_s <= measurement.times_s[0] + zoom_s
                axes = drawn.add_subplot(grid[row, 1])
                _draw_trace(axes, measurement.times_s[part], values[part], COLOURS[row], is_last=is_last)
                axes.set_title("Its beginning" if row == 0 else "")
                _turn(axes, axis)
        whole[0].set_title("Displacement over time")
        drawn.align_ylabels(whole)
        return png(drawn)


def _turn(axes: Axes, axis: Axis) -> None:
    """Let y count downwards, as pictures do: its numbers are those of all other results, and a rise goes up."""
    if axis == "y":
        axes.invert_yaxis()


def _zoom_s(measurement: Measurement) -> float | None:
    """Length of a dozen cycles of the strongest peak; None if there are few enough to see in the whole trace."""
    findings = measurement.analysis.findings
    if not findings or findings[0].peak.frequency_hz * measurement.analysis.duration_s < _MANY_CYCLES:
        return None
    return _ZOOMED_CYCLES / findings[0].peak.frequency_hz


def _draw_trace(axes: Axes, times_s: Values, values: Values, colour: str, *, is_last: bool) -> None:
    axes.plot(times_s, values, color=colour, linewidth=1.0)
    axes.grid(visible=True, color=GRID, linewidth=0.7)
    axes.tick_params(labelbottom=is_last)
    axes.set_xlim(float(times_s[0]), float(times_s[-1]))
    if is_last:
        axes.set_xlabel("time (s)")


def orbit_picture(measurement: Measurement) -> bytes:
    """Ellipse of each region at the strongest peaks, in the picture's plane, with its start and its sense, as PNG."""
    found = [each for each in measurement.motion.phases if each.orbits][:_MOST_MODES]
    with figure(_WIDTH_IN, 3.7 if found else 1.2) as drawn:
        for column, phases in enumerate(found):
            axes = drawn.add_subplot(1, max(2, len(found)), column + 1)
            for orbit in phases.orbits[:_MOST_CURVES]:
                x, y = path(orbit)
                name = measurement.analysis.regions[orbit.region].series.name
                colour = COLOURS[orbit.region % len(COLOURS)]
                axes.plot(x, y, color=colour, linewidth=1.6, label=name)
                axes.annotate(
                    "",
                    (x[4], y[4]),
                    (x[0], y[0]),
                    arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.6},
                )
            axes.invert_yaxis()  # as in the picture, where y counts downwards
            axes.set_aspect("equal", adjustable="datalim")
            axes.grid(visible=True, color=GRID, linewidth=0.7)
            axes.set_title(f"{phases.frequency_hz:.4g} Hz")
            axes.set_xlabel("x (px)")
            axes.set_ylabel("y (px)" if column == 0 else "")
            axes.legend(loc="best")
        if not found:
            drawn.text(0.5, 0.5, "no region moves along both axes at one frequency", ha="center", va="center")
        return png(drawn)
