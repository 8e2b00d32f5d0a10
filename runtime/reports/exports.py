"""A measurement for other programs, on demand: MATLAB's .mat, and MiniSEED by ObsPy."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from tremorscope.runtime.errors import OptionFault, did_you_mean
from tremorscope.runtime.host.files import whole_file
from tremorscope.runtime.reports.measurement import Measurement
from tremorscope.runtime.reports.signals import Signal
from tremorscope.runtime.vibration.spectra.analysis import AXES
from tremorscope.runtime.vibration.spectra.derivatives import ORDERS, usual_unit

ExportFormat = Literal["mat", "mseed"]
FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
EXPORT_NAMES: dict[ExportFormat, tuple[str, ...]] = {
    "mat": ("measurement.mat",),
    "mseed": tuple(f"{quantity}.mseed" for quantity in ORDERS),
}
"""Files of each format."""
RESULT_NAMES = (
    *(f"{quantity}.{suffix}" for quantity in ORDERS for suffix in ("csv", "uff")),
    "csv-metadata.json",
    "modes.uff",
    "spectrum.png",
    "orbits.png",
    "overlay.png",
    "report.html",
    "summary.json",
)
"""Files that every measurement leaves."""
STABILISATION_NAME = "stabilisation.png"
MAGNIFIED_NAMES = tuple(f"mode-{number}.mp4" for number in range(1, 7))
"""Clips that the report shows beside its modes, where `tremorscope magnify` has made them."""
_BANDS = ((1000.0, "G"), (250.0, "D"), (80.0, "E"), (10.0, "S"), (1.0, "M"), (0.0, "L"))
"""Least rate in Hz -> band code of SEED, for sensors that reach no slower than 10 s."""
_INSTRUMENTS = {"displacement": "Y", "velocity": "L", "acceleration": "N"}
_ORIENTATIONS = {"x": "1", "y": "2"}


def result_names(formats: Iterable[ExportFormat], *, ssi: bool) -> tuple[str, ...]:
    """Files that a measurement leaves."""
    more = [name for each in dict.fromkeys(formats) for name in EXPORT_NAMES[each]]
    return (*RESULT_NAMES, *more, *((STABILISATION_NAME,) if ssi else ()))


def check_formats(formats: Iterable[str]) -> None:
    """Check, before long work, that formats are known and their libraries are there.

    Raises:
        OptionFault: they are not.
    """
    for name in formats:
        if name not in FORMATS:
            hint = did_you_mean(name, FORMATS)
            raise OptionFault(
                f"--export {name}: no such format{hint}", remedy=f"choose from {', '.join(FORMATS)}"
            )
    if "mseed" in formats:
        _obspy()


def write_mat(measurement: Measurement, path: Path) -> None:
    """Write all series, regions, modes and the provenance as a file of MATLAB 5 and later, which SciPy reads too.

    Series are (frames, channels), NaN where unknown; channels are named ``R1 x``, ``R1 y`` and so on.

    Raises:
        OutputFault: it cannot be written.
    """
    analysis, motion = measurement.analysis, measurement.motion
    names = [each.series.name for each in analysis.regions]
    blank = np.full(measurement.times_s.shape, np.nan)
    content: dict[str, Any] = {
        "time_s": measurement.times_s,
        "rate_hz": analysis.rate_hz,
        "channels": _cells([f"{name} {axis}" for name in names for axis in AXES]),
        "regions_px": np.array([_rectangle(each.series.region) for each in analysis.regions]),
        "quality": np.stack([each.series.quality for each in analysis.regions], axis=1),
        "mode_frequency_hz": np.array([each.frequency_hz for each in analysis.modes]),
        "mode_damping": np.array([each.peak.damping or np.nan for each in analysis.modes], float),
        "mode_shape": np.array([each.shape for each in analysis.modes], complex)
        .reshape(-1, 2 * len(names))
        .T,
        "provenance": measurement.provenance.summary(),
    }
    for quantity in ORDERS:
        unit, factor = usual_unit(quantity, measurement.mm_per_px)
        series = [motion.series.get((quantity, at, axis), blank) for at in range(len(names)) for axis in AXES]
        content[quantity] = factor * np.stack(series, axis=1)
        content[f"{quantity}_unit"] = unit
    with whole_file(path) as file:
        savemat(file, content, do_compression=True, long_field_names=True, oned_as="column")


def _rectangle(region: Any) -> tuple[int, int, int, int]:
    return region.x_px, region.y_px, region.width_px, region.height_px


def _cells(texts: list[str]) -> NDArray[Any]:
    """Texts as a column of cells, which keeps their lengths."""
    cells = np.empty((len(texts), 1), object)
    cells[:, 0] = texts
    return cells


def write_mseed(path: Path, signals: Iterable[Signal]) -> None:
    """Write signals as MiniSEED in 64-bit floats: station is the region, channel code rate, quantity and axis.

    Network is XX, for what is not registered. Times count from 1970-01-01, as the clip does not say when it was filmed.
    MiniSEED holds no units: they are those of the CSV and UFF files.

    Raises:
        OptionFault: ObsPy is not installed.
        OutputFault: it cannot be written.
    """
    obspy = _obspy()
    traces = []
    for signal in signals:
        band = next(code for least_hz, code in _BANDS if signal.rate_hz >= least_hz)
        header = {
            "network": "XX",
            "station": signal.place[:5],
            "channel": f"{band}{_INSTRUMENTS[signal.quantity]}{_ORIENTATIONS[signal.axis]}",
            "sampling_rate": signal.rate_hz,
            "starttime": obspy.UTCDateTime(signal.start_s),
        }
        traces.append(obspy.Trace(np.ascontiguousarray(signal.values), header))
    with whole_file(path) as file:
        obspy.Stream(traces).write(file, format="MSEED", encoding="FLOAT64")


def _obspy() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it tells of what it finds deprecated in others
            import obspy
    except ImportError:
        raise OptionFault(
            "--export mseed: ObsPy is not installed", remedy="pip install 'tremorscope[mseed]'"
        ) from None
    return obspy
