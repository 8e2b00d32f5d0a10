"""The report's part on subspace identification: stabilisation diagram and table of its modes."""

from __future__ import annotations

import numpy as np

from tremorscope.runtime.reports.figures import BLUE, GRID, INK, ORANGE, figure, png
from tremorscope.runtime.reports.html_style import Column, column_section
from tremorscope.runtime.reports.measurement import Measurement
from tremorscope.runtime.vibration.spectra.modes import mac
from tremorscope.runtime.vibration.spectra.subspace import SubspaceFinding


def stabilisation_picture(measurement: Measurement, found: SubspaceFinding) -> bytes:
    """Poles over model order, the stable ones filled, with the modes and the spectra behind them, as PNG."""
    with figure(9.0, 4.6) as drawn:
        axes = drawn.add_subplot()
        spectra = [each for region in measurement.analysis.regions for each in (region.x, region.y) if each]
        behind = axes.twinx()
        frequency_hz = spectra[0].frequency_hz[1:]
        density = np.max(
            [np.interp(frequency_hz, each.frequency_hz, each.density) for each in spectra], axis=0
        )
        behind.semilogy(frequency_hz, np.sqrt(density), color=GRID, linewidth=1.4)
        behind.set_ylabel("largest amplitude density (px/√Hz)")
        axes.set_zorder(behind.get_zorder() + 1)
        axes.patch.set_visible(False)
        for chosen, colour, size, name in (
            (~found.stable, "#9aa5ae", 9, "pole"),
            (found.stable, BLUE, 16, "stable in frequency, damping and shape"),
        ):
            axes.scatter(
                found.frequency_hz[chosen],
                found.order[chosen],
                s=size,
                color=colour,
                linewidths=0,
                label=name,
            )
        for mode in found.modes:
            axes.axvline(mode.frequency_hz, color=ORANGE, linewidth=1.1)
            axes.annotate(
                f"{mode.frequency_hz:.4g} Hz",
                (mode.frequency_hz, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(3, -3),
                textcoords="offset points",
                va="top",
                rotation=90,
                color=INK,
                fontsize=9,
            )
        axes.set_xlim(0, measurement.analysis.rate_hz / 2)
        axes.set_ylim(0, float(found.order.max(initial=10)) * 1.18)
        axes.set_title("Stabilisation diagram (covariance-driven subspaces)")
        axes.set_xlabel("frequency (Hz)")
        axes.set_ylabel("model order")
        axes.legend(loc="upper right", framealpha=0.9)
        return png(drawn)


def ssi_section(measurement: Measurement, found: SubspaceFinding) -> str:
    """Table of the modes beside those of the decomposition."""
    rows = []
    for mode in found.modes:
        other = mode.counterpart(measurement.analysis.modes)
        rows.append(
            [
                f"<b>{mode.frequency_hz:.5g} Hz</b>",
                f"{100 * mode.damping:.2g} % ± {100 * mode.damping_sigma:.1g}",
                str(mode.orders),
                "&ndash;" if other is None else f"{other.frequency_hz:.5g} Hz",
                "&ndash;" if other is None else f"{mac(mode.shape, other.shape):.3f}",
            ]
        )
    columns = [
        Column("frequency"),
        Column("damping"),
        Column("stable in orders", minor=True),
        Column("FDD"),
        Column("MAC"),
    ]
    remark = (
        "Covariance-driven stochastic subspace identification by pyOMA2; ± is the scatter over the model orders. A "
        "machine's steady tone shows as a mode of about no damping, or not at all. FDD: the mode of the same frequency "
        "in the table above; where it finds none, filming, light or compression may have made this one."
    )
    return column_section("Modes by subspace identification", columns, rows, remark)
