"""Modes by covariance-driven stochastic subspace identification: poles of rising model order, the stable ones gathered.

A second opinion beside frequency domain decomposition, in the time domain. pyOMA2 identifies the poles and marks the
stable ones; those that recur are gathered as by Magalhaes, Cunha and Caetano, "Online automatic identification of the
modal parameters of a long span arch bridge", Mechanical Systems and Signal Processing 23, 2009.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # its rooms are loaded by those who enter them, see `vibration.monitoring.limits`
from numpy.typing import NDArray

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.spectra.analysis import AXES, Analysis
from tremorscope.runtime.vibration.spectra.modes import Mode, mac
from tremorscope.runtime.vibration.spectra.sampling import resample_evenly

Values = NDArray[np.float64]

_ORDER, _STEP = 60, 2
_BLOCK_ROWS, _MOST_ROWS = 40, 1500
_MOST_REFERENCES = 6
_FEWEST_PER_ROW = 5
"""Samples in a row that a block row of the Hankel matrix needs."""
_APART = 0.03
"""Relative difference of frequency, plus 1 - MAC, above which two stable poles are of two modes."""
_FEWEST_SHARE = 1 / 5
"""Share of the orders in which a mode must show."""
_SAME_HZ = 0.03


@dataclass(frozen=True, eq=False)
class SubspaceMode:
    """A mode that recurs at many model orders."""

    frequency_hz: float
    frequency_sigma_hz: float
    """Standard deviation over the orders; not the uncertainty from noise."""
    damping: float
    damping_sigma: float
    shape: NDArray[np.complex128]
    """(2 * regions,): x and y of every region in turn, largest part 1, 0 where not measured."""
    orders: int
    """Number of orders in which it is stable."""

    def counterpart(self, modes: Sequence[Mode]) -> Mode | None:
        """Mode of another method at about the same frequency; None if there is none."""
        near = [each for each in modes if abs(each.frequency_hz / self.frequency_hz - 1) < _SAME_HZ]
        return max(near, key=lambda each: mac(each.shape, self.shape), default=None)


@dataclass(frozen=True, eq=False)
class SubspaceFinding:
    """Poles of all model orders, and the modes among them."""

    frequency_hz: Values
    """Frequency of every pole, (poles,)."""
    order: Values
    """Model order of every pole."""
    stable: NDArray[np.bool_]
    """True where the order below has a pole of like frequency, damping and shape."""
    modes: tuple[SubspaceMode, ...]
    """Lowest first."""

    def lines(self, modes: Sequence[Mode]) -> list[str]:
        """Modes, and how they compare with those of another method, a line each."""
        told = []
        for each in self.modes:
            text = f"{each.frequency_hz:.4g} Hz  damping {100 * each.damping:.2g} %  stable in {each.orders} orders"
            if (other := each.counterpart(modes)) is not None:
                text += f"; FDD {other.frequency_hz:.4g} Hz, MAC {mac(each.shape, other.shape):.2f}"
            else:
                text += "; FDD finds none here: it may be no motion"
            told.append(f"SSI         {text}")
        return ["", *(told or ["SSI         no mode recurs at enough model orders"])]

    def summary(self, modes: Sequence[Mode]) -> list[dict[str, Any]]:
        """Modes for programs."""
        told = []
        for each in self.modes:
            other = each.counterpart(modes)
            told.append(
                {
                    "frequency_hz": each.frequency_hz,
                    "frequency_sigma_hz": each.frequency_sigma_hz,
                    "damping": each.damping,
                    "damping_sigma": each.damping_sigma,
                    "orders": each.orders,
                    "shape": np.stack([each.shape.real, each.shape.imag], axis=-1).reshape(-1, 2, 2).tolist(),
                    "fdd_hz": None if other is None else other.frequency_hz,
                    "fdd_mac": None if other is None else mac(each.shape, other.shape),
                }
            )
        return told


def check_ssi() -> None:
    """Check, before long work, that pyOMA2 is installed.

    Raises:
        OptionFault: it is not.
    """
    try:
        import pyoma2.algorithms.ssi  # noqa: F401
    except ImportError:
        raise OptionFault("--ssi: pyOMA2 is not installed", remedy="pip install 'tremorscope[ssi]'") from None


def find_poles(time_s: Values, analysis: Analysis, tick_s: float = 0.0) -> SubspaceFinding:
    """Identify poles in the longest part of a recording without a gap.

    Args:
        time_s: capture time of every frame, (N,).
        analysis: the recording, of which all channels that were measured are taken.
        tick_s: resolution of the times.

    Raises:
        OptionFault: that part is too short, or pyOMA2 is not installed.
    """
    known = [
        (number, axis) for number, each in enumerate(analysis.regions) for axis in AXES if each.along(axis)
    ]
    channels = np.stack([analysis.regions[number].series.along(axis) for number, axis in known])
    series = resample_evenly(time_s, channels, tick_s=tick_s)
    data = scipy.signal.detrend(max(series.runs, key=lambda run: run.samples).values)  # (channels, samples)
    rows = max(10, min(_BLOCK_ROWS, _MOST_ROWS // len(known)))
    if data.shape[1] < _FEWEST_PER_ROW * rows:
        raise OptionFault(
            f"--ssi: {data.shape[1]} frames in a row are too few to identify modes",
            remedy=f"record {_FEWEST_PER_ROW * rows} or more without a gap, better some thousands",
        )
    floors = [math.sqrt(float(np.median(analysis.regions[at].along(axis).density))) for at, axis in known]  # type: ignore[union-attr]
    liveliest = np.argsort(-data.std(axis=1) / floors)[:_MOST_REFERENCES]
    found = _identified(data, series.rate_hz, rows, sorted(liveliest.tolist()))
    places = [2 * number + AXES.index(axis) for number, axis in known]
    return _gathered(found, places, 2 * len(analysis.regions))


def _identified(data: Values, rate_hz: float, rows: int, references: list[int]) -> Any:
    """pyOMA2's result for (channels, samples)."""
    check_ssi()
    from pyoma2.algorithms.data.run_params import SSIRunParams
    from pyoma2.algorithms.ssi import SSI
    from pyoma2.setup.single import SingleSetup

    order = min(_ORDER, _STEP * (len(references) * rows // (2 * _STEP)))
    settings = SSIRunParams(br=rows, ordmax=order, step=_STEP, method="cov", ref_ind=references)
    logging.getLogger("pyoma2").setLevel(logging.ERROR)
    with contextlib.redirect_stderr(io.StringIO()), np.errstate(all="ignore"):  # its bars of progress
        setup = SingleSetup(data.T, rate_hz)
        algorithm = SSI(name="ssi", run_params=settings)
        setup.add_algorithms(algorithm)
        setup.run_by_name("ssi")
    return algorithm.result


def _gathered(found: Any, places: list[int], size: int) -> SubspaceFinding:
    """All poles, and the stable ones gathered to modes."""
    pole, column = np.nonzero(np.isfinite(found.Fn_poles))
    frequency, damping = found.Fn_poles[pole, column], found.Xi_poles[pole, column]
    stable = found.Lab[pole, column] == 1
    shapes = found.Phi_poles[pole, column]  # (poles, channels)
    groups = _groups(frequency[stable], shapes[stable])
    modes = []
    fewest = max(3, math.ceil(_FEWEST_SHARE * found.Fn_poles.shape[1]))
    for members in groups:
        at = np.flatnonzero(stable)[members]
        orders = len(set(column[at].tolist()))
        if orders < fewest:
            continue
        middle = at[np.argmin(np.abs(frequency[at] - np.median(frequency[at])))]
        shape = np.zeros(size, np.complex128)
        shape[places] = shapes[middle] / shapes[middle][np.argmax(np.abs(shapes[middle]))]
        modes.append(
            SubspaceMode(
                float(np.median(frequency[at])),
                float(frequency[at].std()),
                float(np.median(damping[at])),
                float(damping[at].std()),
                shape,
                orders,
            )
        )
    modes.sort(key=lambda each: each.frequency_hz)
    return SubspaceFinding(frequency, _STEP * column.astype(float), stable, tuple(modes))


def _groups(frequency: Values, shapes: NDArray[Any]) -> list[NDArray[np.intp]]:
    """Indices of the poles of each mode, by hierarchical clustering of frequency and shape."""
    if frequency.size < 2:
        return []
    apart = np.abs(frequency[:, None] - frequency) / np.maximum(frequency[:, None], frequency)
    unit = shapes / np.linalg.norm(shapes, axis=1, keepdims=True)
    apart += 1 - np.abs(unit.conj() @ unit.T) ** 2
    hierarchy = scipy.cluster.hierarchy
    tree = hierarchy.linkage(scipy.spatial.distance.squareform(np.abs(apart), checks=False), "average")
    labels = hierarchy.fcluster(tree, _APART, "distance")
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]
