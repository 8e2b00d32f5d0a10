"""A measurement as arrays and plain records, for notebooks and other programs."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tremorscope.api.arguments import FileArguments, Rectangle, checked, tell_in_python
from tremorscope.api.findings import DisplacementArrays, FoundArtefact, FoundMode, FoundPeak
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.host.files import check_place, whole_file
from tremorscope.runtime.reports.measurement import Measurement
from tremorscope.runtime.reports.motion import RATES, peak_rate, peak_rate_sigma
from tremorscope.runtime.vibration.monitoring.limits import Judgement
from tremorscope.runtime.vibration.spectra.analysis import AXES, FrequencyFinding
from tremorscope.runtime.vibration.spectra.derivatives import ORDERS, MotionQuantity, usual_unit
from tremorscope.runtime.vibration.spectra.peaks import Peak
from tremorscope.runtime.vibration.spectra.phases import PhaseFinding

PlotKind = Literal["spectrum", "displacement", "regions", "orbits"]
_PLOTS = ("spectrum", "displacement", "regions", "orbits")


@dataclass(frozen=True)
class DrawnPlot:
    """A plot as a PNG, which notebooks show."""

    png: bytes

    def save(self, path: str | Path) -> Path:
        """Write it to a file; an existing one is replaced.

        Raises:
            OutputFault: it cannot be written.
        """
        with whole_file(Path(path)) as file:
            file.write(self.png)
        return Path(path)

    def __repr__(self) -> str:
        return f"<plot: a PNG of {len(self.png)} bytes>"

    def _repr_png_(self) -> bytes:
        return self.png


@dataclass(frozen=True, eq=False)
class ClipMeasurement:
    """All that was found in a clip."""

    result: Measurement
    """The same as the job's own record, with spectra and verdicts."""
    directory: Path | None
    """Directory of the result files; None where none were asked for."""

    @property
    def peaks(self) -> tuple[FoundPeak, ...]:
        """Frequencies at which something moves, the surest first."""
        return tuple(FoundPeak(**self._told(found)) for found in self.result.analysis.findings)

    @property
    def artefacts(self) -> tuple[FoundArtefact, ...]:
        """Peaks that filming, light or compression made, strongest first, each with its cause."""
        found = self.result.analysis.artefacts
        return tuple(FoundArtefact(**self._told(each), cause=each.cause) for each in found)

    def _told(self, found: FrequencyFinding) -> dict[str, Any]:
        analysis, scale, speed_rpm = self.result.analysis, self.result.scale, self.result.speed_rpm
        return {
            **_certainty(found.peak),
            "amplitude_px": found.peak.amplitude,
            "amplitude_sigma_px": found.peak.amplitude_sigma,
            "amplitude_mm": None if scale is None else scale.mm_per_px * found.peak.amplitude,
            "amplitude_sigma_mm": None if scale is None else self.result.sigma_mm(found.peak),
            **{each: peak_rate(found.peak, each, self.result.mm_per_px)[0] for each in RATES},
            **{f"{each}_sigma": peak_rate_sigma(found.peak, each, scale) for each in RATES},
            "orders": speed_rpm and found.peak.frequency_hz / (speed_rpm / 60),
            "region": analysis.regions[found.region].series.name,
            "axis": found.axis,
        }

    @property
    def modes(self) -> tuple[FoundMode, ...]:
        """Modes of all regions together, the surest first."""
        return tuple(
            FoundMode(
                **_certainty(mode.peak),
                shape=np.asarray(mode.shape, np.complex128).reshape(-1, len(AXES)),
                collinearity=mode.collinearity,
            )
            for mode in self.result.analysis.modes
        )

    @property
    def regions(self) -> tuple[Rectangle, ...]:
        """Regions that were measured: left, top, width and height of each, in px."""
        rectangles = (each.series.region for each in self.result.analysis.regions)
        return tuple((each.x_px, each.y_px, each.width_px, each.height_px) for each in rectangles)

    @property
    def displacement(self) -> DisplacementArrays:
        """Displacement over time, in mm where a scale was stated, else in px."""
        return self._arrays("displacement")

    @property
    def velocity(self) -> DisplacementArrays:
        """Velocity over time, in mm/s where a scale was stated, else in px/s, with its band and noise."""
        return self._arrays("velocity")

    @property
    def acceleration(self) -> DisplacementArrays:
        """Acceleration over time, in m/s2 where a scale was stated, else in px/s2, with its band and noise."""
        return self._arrays("acceleration")

    @property
    def phases(self) -> tuple[PhaseFinding, ...]:
        """Phases between regions, and orbits, at the strongest peaks."""
        return self.result.motion.phases

    @property
    def judgements(self) -> tuple[tuple[str, Judgement], ...]:
        """A region's name and its use of a limit, for every region and limit."""
        names = [each.series.name for each in self.result.analysis.regions]
        return tuple((names[number], judged) for number, judged in self.result.motion.judgements)

    def _arrays(self, quantity: MotionQuantity) -> DisplacementArrays:
        motion, results = self.result.motion, self.result.analysis.regions
        unit, factor = usual_unit(quantity, self.result.mm_per_px)
        blank = np.full(self.result.times_s.shape, np.nan)
        x, y = (
            factor * np.stack([motion.series.get((quantity, at, axis), blank) for at in range(len(results))])
            for axis in AXES
        )
        levels = {
            axis: [motion.levels.get((quantity, at, axis)) for at in range(len(results))] for axis in AXES
        }
        noise: dict[str, Any] = {
            f"noise_{axis}": factor * np.array([each.noise if each else None for each in row], float)
            for axis, row in levels.items()
        }
        return DisplacementArrays(
            time_s=self.result.times_s,
            x=x,
            y=y,
            quality=np.stack([each.series.quality for each in results]),
            unit=unit,
            regions=tuple(each.series.name for each in results),
            scale_relative_sigma=self.result.scale.relative_sigma if self.result.scale else 0.0,
            **({} if quantity == "displacement" else {"band_hz": motion.band_hz, **noise}),
        )

    @tell_in_python
    def plot(self, kind: PlotKind = "spectrum") -> DrawnPlot:
        """A plot of the report: spectrum, displacement over time, regions and modes on the first frame, or orbits.

        Raises:
            OptionFault: there is no such plot.
        """
        from tremorscope.runtime.reports import measurement_pictures as pictures  # takes a second to import

        if kind not in _PLOTS:
            raise OptionFault(f"plot: {kind!r} is no plot", remedy=f"choose from {', '.join(_PLOTS)}")
        draw = {
            "spectrum": pictures.spectrum_picture,
            "displacement": pictures.history_picture,
            "regions": pictures.overlay_picture,
            "orbits": pictures.orbit_picture,
        }[kind]
        return DrawnPlot(draw(self.result))

    @tell_in_python
    def to_sep005(self, quantity: MotionQuantity = "displacement") -> list[dict[str, Any]]:
        """Displacement, velocity or acceleration as SEP-005 dictionaries, one a gapless piece.

        Keys are ``name``, ``data``, ``fs`` in Hz, ``unit_str``, ``quantity`` (d, v or a) and more.

        Raises:
            OptionFault: there is no such quantity.
        """
        from tremorscope.runtime.reports.measurement_files import signals
        from tremorscope.runtime.reports.signals import sep005

        return sep005(signals(self.result, _quantity(quantity)))

    @tell_in_python
    def to_uff(
        self, path: str | Path, quantity: MotionQuantity = "displacement", *, overwrite: bool = False
    ) -> Path:
        """Write displacement, velocity or acceleration as UFF with its geometry, which modal programs read.

        Raises:
            OptionFault: there is no such quantity.
            OutputFault: the file exists already, or cannot be written.
        """
        from tremorscope.runtime.reports.measurement_files import write_motion_uff

        place: Path = checked("to_uff", FileArguments, {"path": path})["path"]
        check_place(place, overwrite=overwrite)
        write_motion_uff(self.result, place, _quantity(quantity))
        return place

    def summary(self) -> dict[str, Any]:
        """The content of summary.json; also the baseline that a later measurement is compared with."""
        return self.result.summary()

    def __str__(self) -> str:
        return "\n".join(self.result.lines())

    def __repr__(self) -> str:
        return f"<measurement of {self.result.clip}: {len(self.regions)} regions, {len(self.peaks)} peaks>"

    def _repr_html_(self) -> str:
        picture = base64.b64encode(self.plot().png).decode("ascii")
        return (
            f"<pre>{escape(str(self))}</pre>"
            f'<img alt="Spectrum of displacement" style="max-width:60em" src="data:image/png;base64,{picture}">'
        )


def _quantity(given: MotionQuantity) -> MotionQuantity:
    if given not in ORDERS:
        raise OptionFault(f"{given!r} is no quantity", remedy=f"choose from {', '.join(ORDERS)}")
    return given


def _certainty(peak: Peak) -> dict[str, Any]:
    return {
        "frequency_hz": peak.frequency_hz,
        "frequency_sigma_hz": peak.frequency_sigma_hz,
        "damping": peak.damping,
        "damping_sigma": peak.damping_sigma,
    }
