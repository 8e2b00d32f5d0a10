"""A measurement as arrays and plain records, for notebooks and other programs."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tremorscope.api.arguments import FileArguments, Rectangle, checked, tell_in_python
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.host.files import check_place, whole_file
from tremorscope.runtime.reports.measurement import Measurement
from tremorscope.runtime.reports.motion import peak_rate
from tremorscope.runtime.vibration.monitoring.limits import Judgement
from tremorscope.runtime.vibration.spectra.analysis import AXES, Axis, FrequencyFinding
from tremorscope.runtime.vibration.spectra.derivatives import ORDERS, MotionQuantity, usual_unit
from tremorscope.runtime.vibration.spectra.peaks import Peak
from tremorscope.runtime.vibration.spectra.phases import PhaseFinding

Values = NDArray[np.float64]
PlotKind = Literal["spectrum", "displacement", "regions", "orbits"]
_PLOTS = ("spectrum", "displacement", "regions", "orbits")


@dataclass(frozen=True)
class FoundPeak:
    """One frequency at which something moves, at the region and along the axis that move most."""

    frequency_hz: float
    frequency_sigma_hz: float
    """Standard uncertainty."""
    amplitude_px: float
    amplitude_sigma_px: float
    amplitude_mm: float | None
    """None where no scale was stated."""
    velocity: float
    """Amplitude as velocity, in mm/s where a scale was stated, else in px/s."""
    acceleration: float
    """Amplitude as acceleration, in m/s2 or px/s2 likewise."""
    orders: float | None
    """Frequency over that of the machine's turning; None where no speed was stated."""
    damping: float | None
    """Share of critical damping; None where the recording is too short to tell."""
    damping_sigma: float | None
    region: str
    axis: Axis
    """x (to the right) or y (downwards)."""


@dataclass(frozen=True)
class FoundArtefact(FoundPeak):
    """A peak that is no motion."""

    cause: str
    """Cause in words, such as a rhythm of the compression or lamps on the mains."""


@dataclass(frozen=True, eq=False)
class FoundMode:
    """One mode, or operating deflection where a machine drives the structure."""

    frequency_hz: float
    frequency_sigma_hz: float
    damping: float | None
    damping_sigma: float | None
    shape: NDArray[np.complex128]
    """(regions, 2): motion along x and y, the largest of size 1; 0 where nothing could be measured."""
    collinearity: float
    """Modal phase collinearity: 1 where all regions move in phase or opposition."""


@dataclass(frozen=True, eq=False)
class DisplacementArrays:
    """Displacement, velocity or acceleration of every region in every frame."""

    time_s: Values
    """(N,), since the first frame, in reality rather than in playback."""
    x: Values
    """(regions, N), to the right positive, in ``unit``; NaN where it could not be measured."""
    y: Values
    """(regions, N), downwards positive; NaN likewise."""
    quality: Values
    """(regions, N): share of a region's variance that the match explains."""
    unit: str
    """px or mm; px/s or mm/s of a velocity; px/s2 or m/s2 of an acceleration."""
    regions: tuple[str, ...]
    band_hz: tuple[float, float] | None = None
    """Band in which a velocity or acceleration is true; NaN stands at the ends, where it is not settled."""
    noise_x: Values | None = None
    """(regions,): RMS that noise alone shows along x, of a velocity or acceleration; NaN where x was not measured."""
    noise_y: Values | None = None


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
            "velocity": peak_rate(found.peak, "velocity", self.result.mm_per_px)[0],
            "acceleration": peak_rate(found.peak, "acceleration", self.result.mm_per_px)[0],
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
        known = [[motion.levels.get((quantity, at, axis)) for at in range(len(results))] for axis in AXES]
        noise = [
            np.array([np.nan if each is None or each.noise is None else factor * each.noise for each in row])
            for row in known
        ]
        return DisplacementArrays(
            time_s=self.result.times_s,
            x=x,
            y=y,
            quality=np.stack([each.series.quality for each in results]),
            unit=unit,
            regions=tuple(each.series.name for each in results),
            band_hz=None if quantity == "displacement" else motion.band_hz,
            noise_x=None if quantity == "displacement" else noise[0],
            noise_y=None if quantity == "displacement" else noise[1],
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
