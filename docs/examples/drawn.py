"""Clips that the examples draw: parts that move by known fractions of a pixel, a still background, a camera's noise."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy import fft

from tremorscope.runtime.cameras.synthetic import SyntheticCamera, SyntheticSettings

FINE = 4
"""Drawn that many times finer, then reduced: edges get their true share of each pixel."""
_ORDERS = 4


def texture(width: int, height: int, seed: int, strength: float = 9.0) -> np.ndarray:
    """Grain of a surface, (H, W): mean 0, its standard deviation in grey levels."""
    rng = np.random.default_rng(seed)
    f = np.hypot(fft.fftfreq(height)[:, None], fft.rfftfreq(width)[None, :])
    f[0, 0] = np.inf
    grain = fft.irfft2(fft.rfft2(rng.standard_normal((height, width))) * f**-0.8 * np.exp(-((3 * f) ** 2)))
    return strength * (grain - grain.mean()) / grain.std()


def sky(width: int, height: int, top: tuple[int, int, int], bottom: tuple[int, int, int]) -> np.ndarray:
    """A still background that fades from one colour to another, (H, W, 3)."""
    down = np.linspace(0, 1, height)[:, None, None]
    return (1 - down) * np.array(top) + down * np.array(bottom) + texture(width, height, 7, 3.0)[..., None]


class Canvas:
    """A drawing board in pixels of the clip; what is drawn on it becomes a part that moves."""

    def __init__(self, width: int, height: int) -> None:
        self.size = width, height
        self._image = Image.new("RGBA", (width * FINE, height * FINE))
        self._draw = ImageDraw.Draw(self._image)

    def polygon(self, points: Iterable[tuple[float, float]], colour: str) -> None:
        """Fill a polygon of (x, y)."""
        self._draw.polygon([(FINE * x, FINE * y) for x, y in points], fill=colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: str, radius: float = 0) -> None:
        """Fill a rectangle, with round corners if it likes."""
        corners = [FINE * each for each in (left, top, right, bottom)]
        self._draw.rounded_rectangle(corners, radius * FINE, fill=colour)

    def disc(self, x: float, y: float, radius: float, colour: str) -> None:
        """Fill a circle."""
        self._draw.ellipse([FINE * each for each in (x - radius, y - radius, x + radius, y + radius)], fill=colour)

    def line(self, points: Iterable[tuple[float, float]], width: float, colour: str) -> None:
        """Draw a line through points (x, y)."""
        self._draw.line([(FINE * x, FINE * y) for x, y in points], fill=colour, width=round(FINE * width))

    def layer(self, seed: int) -> np.ndarray:
        """What was drawn, as seen through a lens: (H, W, 4), colours times cover, cover from 0 to 1."""
        blurred = self._image.convert("RGBa").filter(ImageFilter.GaussianBlur(0.7 * FINE))
        picture = np.asarray(blurred.resize(self.size, Image.Resampling.BOX), np.float64)
        cover = picture[..., 3:] / 255
        grain = texture(*self.size, seed)[..., None] * cover
        return np.concatenate([picture[..., :3] + grain, cover], axis=-1)


class Part:
    """A layer that moves by sub-pixel displacements, exactly: a power series with derivatives by Fourier transform."""

    def __init__(self, layer: np.ndarray) -> None:
        height, width = layer.shape[:2]
        pad = ((8, 8), (8, 8), (0, 0))
        spectrum = fft.rfft2(np.pad(layer, pad), axes=(0, 1))
        along_y = 2j * math.pi * fft.fftfreq(height + 16)[:, None, None]
        along_x = 2j * math.pi * fft.rfftfreq(width + 16)[None, :, None]
        self._terms = {
            (i, j): fft.irfft2(spectrum * along_x**i * along_y**j, (height + 16, width + 16), axes=(0, 1))[8:-8, 8:-8]
            / (math.factorial(i) * math.factorial(j))
            for i in range(_ORDERS + 1)
            for j in range(_ORDERS + 1 - i)
        }

    def over(self, background: np.ndarray, x_px: np.ndarray | float, y_px: np.ndarray | float) -> np.ndarray:
        """The picture (H, W, 3) with the part displaced to the right and downwards, by one amount or one a pixel."""
        layer = np.zeros_like(self._terms[0, 0])
        for (i, j), term in self._terms.items():
            if (i == 0 or np.any(x_px)) and (j == 0 or np.any(y_px)):
                layer += (np.asarray((-x_px) ** i) * np.asarray((-y_px) ** j))[..., None] * term
        return layer[..., :3] + (1 - layer[..., 3:]) * background


def write(path: str, frames: Iterable[np.ndarray], rate_hz: float, noise: float = 1.0) -> Path:
    """Film the pictures with noise, in grey levels, into a .npz that every command of tremorscope reads as a clip."""
    rng = np.random.default_rng(1)
    filmed = [np.clip(np.rint(each + noise * rng.standard_normal(each.shape)), 0, 255) for each in frames]
    np.savez(path, frames=np.array(filmed, dtype=np.uint8), rate_hz=rate_hz)
    return Path(path)


def bridge(path: str, settings: SyntheticSettings) -> Path:
    """Film the drawn footbridge of the demonstration."""
    camera = SyntheticCamera(settings)
    frames = []
    while True:
        frame = np.empty((settings.height_px, settings.width_px, 3), np.uint8)
        if camera.read_into(frame) is None:
            break
        frames.append(frame)
    np.savez(path, frames=np.array(frames), rate_hz=settings.rate_hz)
    return Path(path)


def fork() -> tuple[Part, np.ndarray, np.ndarray]:
    """A tuning fork: its part, its background, and the share of the tines' swing at each pixel (H, W)."""
    canvas = Canvas(240, 300)
    canvas.box(78, 20, 100, 200, "#9fb0bd", 4)
    canvas.box(140, 20, 162, 200, "#9fb0bd", 4)
    canvas.polygon([(78, 190), (162, 190), (152, 222), (88, 222)], "#8798a6")
    canvas.box(111, 215, 129, 300, "#76838f", 2)
    for y in range(40, 190, 30):
        canvas.box(83, y, 95, y + 4, "#65737e")
        canvas.box(145, y, 157, y + 4, "#65737e")
    along = np.clip((200 - np.arange(300.0)) / 180, 0, 1)[:, None] ** 2
    side = np.sign(np.arange(240.0) - 120)[None, :]
    return Part(canvas.layer(3)), sky(240, 300, (44, 52, 66), (88, 84, 80)), side * along


def pump() -> tuple[Part, np.ndarray]:
    """A motor on its foundation: the part that shakes, and the hall behind it."""
    canvas = Canvas(320, 220)
    canvas.box(60, 70, 210, 160, "#3f7fa6", 12)
    for x in range(74, 200, 10):
        canvas.box(x, 76, x + 4, 154, "#2f6485")
    canvas.box(110, 52, 160, 74, "#4b8cb3", 4)
    canvas.box(210, 82, 232, 148, "#b8bcc0", 3)
    canvas.box(232, 104, 290, 126, "#c9ccd0", 2)
    canvas.disc(120, 63, 3, "#dfe6ea")
    canvas.disc(150, 63, 3, "#dfe6ea")
    for x in (72, 180):
        canvas.polygon([(x, 158), (x + 28, 158), (x + 36, 184), (x - 8, 184)], "#35627f")
    hall = sky(320, 220, (196, 190, 176), (150, 146, 138))
    hall[184:] = (122, 118, 112) + texture(320, 36, 11, 7.0)[..., None]
    return Part(canvas.layer(5)), hall


def chimney() -> tuple[Part, np.ndarray]:
    """A banded chimney before the sky."""
    canvas = Canvas(200, 320)
    for number in range(14):
        top, bottom = 20 + 20 * number, 40 + 20 * number
        half_top, half_bottom = 11 + 0.055 * top, 11 + 0.055 * bottom
        colour = "#c64f3d" if number % 2 else "#e8e2d6"
        canvas.polygon(
            [(100 - half_top, top), (100 + half_top, top), (100 + half_bottom, bottom), (100 - half_bottom, bottom)], colour
        )
        canvas.line([(100 - half_bottom, bottom), (100 + half_bottom, bottom)], 1.5, "#6b5e55")
    canvas.box(84, 16, 116, 22, "#7a6f66", 1)
    behind = sky(200, 320, (126, 164, 206), (214, 222, 224))
    behind[300:] = (96, 116, 78) + texture(200, 20, 13, 10.0)[..., None]
    return Part(canvas.layer(9)), behind
