"""Time series for modal software: evenly sampled signals without gaps, as UFF, as SEP-005 and as MiniSEED.

UFF dataset 58 is "Function at Nodal DOF" of the Universal File Format (SDRC/UC-SDRL); SEP-005 is the proposal of
the SDyPy project for time series in Python: a list of dictionaries.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.host.files import cannot_be_written, whole_file

PROGRAM = f"tremorscope {importlib.metadata.version('tremorscope')}"
LONGEST_STEP = 1.5
"""Step, in intervals, above which there is a gap between two samples."""
_EVEN = 1e-3
"""Deviation from an even grid, in intervals, up to which samples are taken as they are."""
_FEWEST = 4
DIRECTIONS = {"x": 1, "y": -2}
"""Axis of the picture -> direction in UFF. Pictures count y downwards, UFF's +Y points up."""
_TIME, _GENERAL = 17, 1
LENGTHS = {"displacement": 8, "velocity": 11, "acceleration": 12}
"""Specific data types of dataset 58, records 8 and 9; those that are lengths, over time or not."""
_SEP005 = {"displacement": "d", "velocity": "v", "acceleration": "a"}


@dataclass(frozen=True, eq=False)
class Signal:
    """One quantity at one place, evenly sampled, without a gap."""

    place: str
    """Region of interest."""
    axis: str
    """x (to the right), y (downwards), or empty."""
    unit: str
    rate_hz: float
    values: NDArray[np.float64]
    """(samples,), finite, at least 4."""
    start_unix_s: float | None = None
    """Time of the first sample; None if only the clip's own time is known."""
    node: int = 1
    """Number of the place in UFF."""
    quantity: str = "displacement"
    start_s: float = 0.0
    """Time of the first sample since the recording's first, where ``start_unix_s`` is not known."""
    source: str = "NONE"
    """Origin, in 80 letters, such as the hash of the clip."""

    @property
    def name(self) -> str:
        """Place and axis."""
        return " ".join(part for part in (self.place, self.axis) if part)


def even_interval(times_s: NDArray[np.float64]) -> float:
    """Interval of an even grid for measured times (samples,), in seconds: the mean of those without a gap.

    It is rounded to six digits, the precision of dataset 58: a rate that is rounded only when it is written would
    make times drift by milliseconds an hour.
    """
    steps = np.diff(times_s)
    # Unix times are only exact to 0.2 microseconds: even the median of single steps is too coarse.
    usual = steps[(steps > 0) & (steps < LONGEST_STEP * np.median(steps))]
    return float(f"{usual.mean() if usual.size else np.abs(steps).max():.5e}")


def even_segments(
    times_s: NDArray[np.float64], values: NDArray[np.floating[Any]], interval_s: float
) -> list[tuple[float, NDArray[np.float64]]]:
    """Cut measured samples, both (samples,), at their gaps and lay each piece on an even grid.

    NaN is a gap; so is a step of more than 1.5 intervals, and time that runs backwards. Gaps are never bridged.
    Samples are interpolated by a cubic spline, unless they are even already. Pieces of fewer than four samples
    are left out.

    Returns:
        For each piece the time of its first sample, and its values, (n,) float64.
    """
    known = np.isfinite(values)
    times, samples = times_s[known], values[known].astype(np.float64)
    steps = np.diff(times)
    cuts = np.flatnonzero((steps > LONGEST_STEP * interval_s) | (steps <= 0)) + 1
    pieces = zip(np.split(times, cuts), np.split(samples, cuts), strict=True)
    return [
        (float(time[0]), _on_grid(time, sample, interval_s))
        for time, sample in pieces
        if len(time) >= _FEWEST
    ]


def _on_grid(
    times: NDArray[np.float64], samples: NDArray[np.float64], interval_s: float
) -> NDArray[np.float64]:
    elapsed = times - times[0]
    if np.abs(elapsed - interval_s * np.arange(len(times))).max() < _EVEN * interval_s:
        return samples
    grid = interval_s * np.arange(int(elapsed[-1] / interval_s + 1e-9) + 1)
    on_grid: NDArray[np.float64] = make_interp_spline(elapsed, samples, k=3)(grid)
    return on_grid


def sep005(signals: Iterable[Signal]) -> list[dict[str, Any]]:
    """Signals as SEP-005 dictionaries: ``name``, ``data`` (samples,) float64, ``fs`` in Hz, ``unit_str`` and more."""
    return [_as_sep005(signal) for signal in signals]


def _as_sep005(signal: Signal) -> dict[str, Any]:
    channel: dict[str, Any] = {
        "name": signal.name,
        "data": signal.values,
        "fs": signal.rate_hz,
        "unit_str": signal.unit,
        "group": signal.place,
    }
    if signal.quantity in _SEP005:
        channel["quantity"] = _SEP005[signal.quantity]
    if signal.source != "NONE":
        channel["source"] = signal.source
    if signal.start_unix_s is not None:
        channel["start_timestamp"] = _utc(signal.start_unix_s).isoformat()
    return channel


def write_uff(path: Path, signals: Iterable[Signal], sets: Iterable[dict[str, Any]] = ()) -> int:
    """Write signals as datasets 58 into one file, whole or not at all, behind other sets; returns how many there are.

    The time of the first sample stands in ID lines 3 (DD-MMM-YY HH:MM:SS) and 4 (ISO 8601), and abscissas begin at 0;
    where it is not known they begin at ``start_s``.

    Raises:
        OutputFault: it cannot be written.
    """
    count = 0
    scratch = path.with_name(f".{path.name}.set-{os.getpid()}")
    try:
        with whole_file(path) as file:
            for dataset in chain(sets, map(_as_uff, signals)):
                # One file per dataset: pyuff reads the whole file again after each set that it adds.
                _write_set(path, scratch, dataset)
                with scratch.open("rb") as written:
                    shutil.copyfileobj(written, file)
                count += dataset["type"] == 58
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)
    return count


def _write_set(path: Path, scratch: Path, dataset: dict[str, Any]) -> None:
    import pyuff  # 2 MB, of which a service has no use until somebody exports

    try:
        pyuff.UFF(str(scratch)).write_sets([dataset], mode="overwrite")
    except OSError as error:
        raise cannot_be_written(path, error) from None
    except Exception as error:
        # pyuff raises a bare Exception for every failure; as the set is valid, that is the disk.
        if type(error) is not Exception:
            raise
        cause = error.__context__
        if isinstance(cause, OSError):
            raise cannot_be_written(path, cause) from None
        raise OutputFault(f"{path}: {error}", remedy="check the disk and its free space") from None


def _as_uff(signal: Signal) -> dict[str, Any]:
    start = _utc(signal.start_unix_s) if signal.start_unix_s is not None else None
    return {
        "type": 58,
        "func_type": 1,  # time response
        "binary": 0,
        "id1": plain_ascii(f"{signal.quantity} of {signal.name} in {signal.unit}", 80),
        "id2": PROGRAM,
        "id3": start.strftime("%d-%b-%y %H:%M:%S").upper() if start else "NONE",
        "id4": start.isoformat() if start else "NONE",
        "id5": plain_ascii(signal.source, 80) or "NONE",
        "load_case_id": 0,
        "rsp_ent_name": plain_ascii(signal.place, 10) or "NONE",
        "rsp_node": signal.node,
        "rsp_dir": DIRECTIONS.get(signal.axis, 0),
        "ref_ent_name": "NONE",
        "ref_node": 0,
        "ref_dir": 0,
        "abscissa_spacing": 1,
        "abscissa_spec_data_type": _TIME,
        "abscissa_axis_lab": "Time",
        "abscissa_axis_units_lab": "s",
        "ordinate_spec_data_type": LENGTHS.get(signal.quantity, _GENERAL),
        "ordinate_len_unit_exp": int(signal.quantity in LENGTHS),
        "ordinate_axis_lab": plain_ascii(signal.quantity, 20),
        "ordinate_axis_units_lab": plain_ascii(signal.unit, 20),
        "orddenom_spec_data_type": 0,
        "z_axis_spec_data_type": 0,
        "data": signal.values,
        "x": (0.0 if start else signal.start_s) + np.arange(len(signal.values)) / signal.rate_hz,
    }


def plain_ascii(text: str, width: int) -> str:
    """Text for a field of fixed width; the format knows ASCII only, and a line break would end the record."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text).strip()[:width]


def _utc(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, timezone.utc)
