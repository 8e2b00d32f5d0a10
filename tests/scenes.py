"""Pictures and signals that several tests of vibration share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

from tremorscope.runtime.vibration.displacement.regions import Region

Picture = NDArray[np.float64]
Values = NDArray[np.float64]
SIDE = 160


def textured(seed: int = 0, exponent: float = 1.0, side: int = SIDE) -> Picture:
    """A periodic texture of mean 128 and standard deviation 25, blurred as by a lens."""
    rng = np.random.default_rng(seed)
    f = np.hypot(fft.fftfreq(side)[:, None], fft.rfftfreq(side)[None, :])
    f[0, 0] = np.inf
    lens = np.exp(-0.5 * (0.6 * 2 * np.pi * f) ** 2)
    texture = fft.irfft2(fft.rfft2(rng.standard_normal((side, side))) * f**-exponent * lens, (side, side))
    return 128 + 25 * (texture - texture.mean()) / texture.std()


def shifted(picture: Picture, x_px: float, y_px: float) -> Picture:
    """The periodic picture moved by a Fourier shift, exact for what it is made of."""
    rows, columns = picture.shape
    ramp = fft.fftfreq(rows)[:, None] * y_px + fft.rfftfreq(columns)[None, :] * x_px
    return fft.irfft2(fft.rfft2(picture) * np.exp(-2j * np.pi * ramp), picture.shape)


def overlap(one: Region, other: Region) -> bool:
    """True where the two share a pixel."""
    across = one.x_px < other.x_px + other.width_px and other.x_px < one.x_px + one.width_px
    down = one.y_px < other.y_px + other.height_px and other.y_px < one.y_px + one.height_px
    return across and down


def filmed(picture: Picture, rng: np.random.Generator, sigma: float = 1.0) -> Picture:
    """As a camera delivers it: with noise, rounded to 8 bit."""
    return np.clip(np.rint(picture + sigma * rng.standard_normal(picture.shape)), 0, 255)


def shaken(
    frequency_hz: float, damping: float, rate_hz: float, duration_s: float, rng: np.random.Generator
) -> Values:
    """A resonance shaken by white noise, in steady state, scaled to a standard deviation of 1."""
    count = round(duration_s * rate_hz)
    settle = round(5 / (damping * frequency_hz) * rate_hz)
    radius = np.exp(-2 * np.pi * frequency_hz * damping / rate_hz)
    turn = 2 * np.pi * frequency_hz * np.sqrt(1 - damping**2) / rate_hz
    response = signal.lfilter(
        [0, 1], [1, -2 * radius * np.cos(turn), radius**2], rng.standard_normal(count + settle)
    )
    kept: Values = response[settle:]
    return kept / kept.std()
