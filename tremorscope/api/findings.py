"""Plain records of what a measurement found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.vibration.spectra.analysis import Axis

Values = NDArray[np.float64]


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
    amplitude_sigma_mm: float | None
    """Standard uncertainty, that of the scale included, as in those of velocity and acceleration."""
    velocity: float
    velocity_sigma: float
    """Amplitude as velocity, in mm/s where a scale was stated, else in px/s."""
    acceleration: float
    acceleration_sigma: float
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
    scale_relative_sigma: float = 0.0
    """Relative standard uncertainty of every value by that of the scale; 0 in px, and of a scale that was stated."""
