"""Pictures and signals that several tests of vibration share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, signal

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


def rgb(grey: Picture) -> NDArray[np.uint8]:
    """A grey picture as a camera's (H, W, 3)."""
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


class PoleBehindMovingCamera:
    """A pole that sways by a known amount before a still wall, filmed by a camera that stands, is held, or flies."""

    width_px, height_px, rate_hz = 320, 240, 30.0
    sway_px, sway_hz = 0.5, 2.0
    """Amplitude at the pole's top; it falls to none at the picture's lower edge."""

    def __init__(self, kind: str, frames: int) -> None:
        self.times_s = np.arange(frames) / self.rate_hz
        self._rng = np.random.default_rng(0)
        zero, share = np.zeros(frames), self.times_s / self.times_s[-1]
        paths = {
            "standing": (zero, zero, zero, zero),
            "handheld": (self._wander(5, 0.7), self._wander(4, 0.9), self._wander(3e-3, 0.8), self._wander(2e-3, 0.5)),
            "drone": (self._wander(3, 0.3) + 9 * share, self._wander(3, 0.25), self._wander(0.004, 0.3), 0.015 * share),
        }  # fmt: skip
        self._path = [each - each[0] for each in paths[kind]]
        wall, pole = textured(3, 1.2, 512), textured(4, 1.0, 512)
        self._wall, self._pole = ndimage.spline_filter(wall), ndimage.spline_filter(0.8 * pole + 40)

    def _wander(self, size: float, slowest_hz: float) -> Values:
        angles = 2 * np.pi * slowest_hz * np.outer((1, 1.7, 2.9), self.times_s)
        waves = np.sin(angles + self._rng.uniform(0, 6.3, (3, 1))) / np.array([[1], [1.7], [2.9]])
        return size * waves.sum(axis=0)

    def true_px(self, region: Region) -> float:
        """Amplitude of the pole's sway, averaged over a region's rows."""
        rows = np.arange(region.y_px, region.y_px + region.height_px)
        return float(self.sway_px * (1 - rows / self.height_px).mean())

    def frame(self, number: int) -> NDArray[np.uint8]:
        """The picture of one moment, with noise."""
        x_px, y_px, roll, zoom = (each[number] for each in self._path)
        y, x = np.mgrid[: self.height_px, : self.width_px] - np.array(
            [[[self.height_px / 2]], [[self.width_px / 2]]]
        )
        turned = (
            (np.cos(roll) * x + np.sin(roll) * y) / (1 + zoom),
            (np.cos(roll) * y - np.sin(roll) * x) / (1 + zoom),
        )
        across, down = turned[0] + self.width_px / 2 - x_px, turned[1] + self.height_px / 2 - y_px
        sway = (
            self.sway_px
            * np.sin(2 * np.pi * self.sway_hz * self.times_s[number])
            * (1 - down / self.height_px)
        )
        before = 1 / (1 + np.exp((np.abs(across - sway - self.width_px / 2) - 20) / 0.7))
        wall = ndimage.map_coordinates(
            self._wall, [down + 100, across + 100], prefilter=False, mode="grid-wrap"
        )
        pole = ndimage.map_coordinates(
            self._pole, [down + 100, across - sway + 100], prefilter=False, mode="grid-wrap"
        )
        return rgb(filmed(before * pole + (1 - before) * wall, self._rng))
