"""Antialiased painting on arrays, in the units of a design that is scaled to the size asked for."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Array: TypeAlias = NDArray[np.float32]
Colour: TypeAlias = tuple[float, float, float]
"""Red, green and blue, grey levels 0 to 255."""

OVERSAMPLING = 2
"""Samples of the drawing per pixel, along x and along y."""
DESIGN_WIDTH, DESIGN_HEIGHT = 640.0, 360.0


class Canvas:
    """Coordinates of the samples in design units, and the primitives that paint on them."""

    def __init__(self, width_px: int, height_px: int) -> None:
        self.shape = (height_px * OVERSAMPLING, width_px * OVERSAMPLING)
        self.x_step = DESIGN_WIDTH / self.shape[1]
        self.y_step = DESIGN_HEIGHT / self.shape[0]
        self.x = (np.arange(self.shape[1], dtype=np.float32) * self.x_step)[None, :]
        self.y = (np.arange(self.shape[0], dtype=np.float32) * self.y_step)[:, None]

    def fractal(
        self, rng: np.random.Generator, exponent: float, stretch: float = 1.0, finest: float = 1.0
    ) -> Array:
        """Unit-variance noise with an amplitude spectrum f^-exponent, ``stretch`` times longer along x.

        ``finest`` is the wavelength in design units below which it fades.
        """
        rows, columns = self.shape
        white = rng.standard_normal(self.shape, dtype=np.float32)
        f_x = fft.rfftfreq(columns, self.x_step)[None, :] * stretch
        f_y = fft.fftfreq(rows, self.y_step)[:, None]
        f = np.hypot(f_x, f_y)
        f[0, 0] = np.inf
        gain = (f**-exponent * np.exp(-((f * finest) ** 2))).astype(np.float32)
        noise = fft.irfft2(fft.rfft2(white) * gain, self.shape)
        result: Array = ((noise - noise.mean()) / noise.std()).astype(np.float32)
        return result

    def ridge(self, rng: np.random.Generator, height: float, exponent: float = 1.4) -> Array:
        """A skyline: 1-D fractal noise of standard deviation ``height``, (1, columns)."""
        columns = self.shape[1]
        f = fft.rfftfreq(2 * columns, self.x_step)
        f[0] = np.inf
        line = fft.irfft(fft.rfft(rng.standard_normal(2 * columns)) * f**-exponent)[:columns]
        result: Array = (height * (line - line.mean()) / line.std()).astype(np.float32)[None, :]
        return result

    def below(self, edge: NDArray[np.floating] | float) -> Array:
        """Coverage of what lies below the line y = ``edge``, antialiased."""
        result: Array = np.clip((self.y - edge) / self.y_step + 0.5, 0, 1).astype(np.float32)
        return result

    def band(self, top: NDArray[np.floating] | float, bottom: NDArray[np.floating] | float) -> Array:
        """Coverage between two lines, antialiased."""
        result: Array = np.clip(self.below(top) - self.below(bottom), 0, 1)
        return result

    def between(self, left: float, right: float) -> Array:
        """Coverage of the columns from ``left`` to ``right``, antialiased, (1, columns)."""
        inside = np.minimum(self.x - left, right - self.x) / self.x_step + 0.5
        result: Array = np.clip(inside, 0, 1).astype(np.float32)
        return result

    def stroke(
        self, layer: Array, start: tuple[float, float], end: tuple[float, float], width: float, colour: Colour
    ) -> None:
        """Paint a round-ended line of a width onto an RGBA layer."""
        (x_0, y_0), (x_1, y_1) = start, end
        reach = width / 2 + 2 * max(self.x_step, self.y_step)
        columns = slice(
            max(0, int((min(x_0, x_1) - reach) / self.x_step)), int((max(x_0, x_1) + reach) / self.x_step) + 2
        )
        rows = slice(
            max(0, int((min(y_0, y_1) - reach) / self.y_step)), int((max(y_0, y_1) + reach) / self.y_step) + 2
        )
        x, y = self.x[:, columns] - x_0, self.y[rows] - y_0
        length_squared = (x_1 - x_0) ** 2 + (y_1 - y_0) ** 2
        along = np.clip((x * (x_1 - x_0) + y * (y_1 - y_0)) / max(length_squared, 1e-9), 0, 1)
        distance = np.hypot(x - along * (x_1 - x_0), y - along * (y_1 - y_0))
        coverage = np.clip((width / 2 - distance) / self.y_step + 0.5, 0, 1).astype(np.float32)
        paint(layer[rows, columns], coverage, colour)


def paint(layer: Array, coverage: Array, colour: Colour | Array) -> None:
    """Lay a colour over an RGB or a premultiplied RGBA layer, in place, where ``coverage`` says."""
    paints = np.asarray(colour, dtype=np.float32)
    layer *= (1 - coverage)[..., None]
    layer[..., :3] += coverage[..., None] * paints
    if layer.shape[-1] == 4:
        layer[..., 3] += coverage


def mix(a: Colour, b: Colour, share_of_b: Array) -> Array:
    """Blend of two colours by the share (0 to 1) of the second, (rows, columns, 3)."""
    first, second = np.asarray(a, dtype=np.float32), np.asarray(b, dtype=np.float32)
    return first + share_of_b[..., None] * (second - first)
