"""Procedurally drawn pictures to train on, so that training runs where there are no photographs.

Four kinds, in turn: dead leaves (overlapping shapes of many sizes, whose statistics resemble photographs),
fractal noise (clouds, concrete, foliage), structures (trusses, cables, railings, windows) and regular patterns
(gratings, bricks, rings) with the spatial frequencies that photographs rarely fill.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

_SUPERSAMPLING = 2
"""Factor by which shapes are drawn larger and then reduced, for smooth edges."""


def draw_picture(seed: int, size_px: int) -> NDArray[np.uint8]:
    """Draw a picture, size x size x 3 RGB; the same seed gives the same picture."""
    rng = np.random.default_rng(seed)
    kinds = (_dead_leaves, _fractal_noise, _structure, _pattern)
    picture = kinds[seed % len(kinds)](rng, size_px)
    grain = rng.normal(0.0, rng.uniform(0.0, 6.0), (size_px, size_px, 1))
    return np.clip(np.rint(picture + grain), 0, 255).astype(np.uint8)


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    grey = rng.uniform(10, 245)
    red, green, blue = np.clip(grey + rng.normal(0, 40, 3), 0, 255).astype(int).tolist()
    return red, green, blue


def _canvas(rng: np.random.Generator, size_px: int) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    side = size_px * _SUPERSAMPLING
    image = Image.new("RGB", (side, side), _colour(rng))
    return image, ImageDraw.Draw(image), side


def _reduced(image: Image.Image, size_px: int) -> NDArray[np.float64]:
    return np.asarray(image.resize((size_px, size_px), Image.Resampling.BOX), dtype=np.float64)


def _noise_field(rng: np.random.Generator, size_px: int, exponent: float) -> NDArray[np.float64]:
    """Noise whose amplitude falls with frequency to the exponent: size x size, mean 0, deviation 1."""
    fy = np.fft.fftfreq(size_px)[:, None]
    fx = np.fft.rfftfreq(size_px)[None, :]
    radius = np.hypot(fy, fx)
    radius[0, 0] = 1.0
    spectrum = np.fft.rfft2(rng.normal(size=(size_px, size_px))) / radius**exponent
    spectrum[0, 0] = 0.0
    field = np.fft.irfft2(spectrum, s=(size_px, size_px))
    normalised: NDArray[np.float64] = field / field.std()
    return normalised


def _fractal_noise(rng: np.random.Generator, size_px: int) -> NDArray[np.float64]:
    luma = _noise_field(rng, size_px, rng.uniform(0.7, 1.8))
    tint = _noise_field(rng, size_px, 1.8)
    contrast = rng.uniform(15, 60)
    base, shift = np.array(_colour(rng), dtype=float), rng.normal(0, 25, 3)
    picture: NDArray[np.float64] = base + contrast * luma[..., None] + shift * tint[..., None]
    return picture


def _dead_leaves(rng: np.random.Generator, size_px: int) -> NDArray[np.float64]:
    image, draw, side = _canvas(rng, size_px)
    count = int(rng.integers(200, 900))
    # Radii by an inverse cube law, as in natural pictures: few large leaves, many small ones.
    radii = np.minimum(3.0 * _SUPERSAMPLING / np.sqrt(rng.uniform(1e-4, 1.0, count)), side / 4)
    for radius in np.sort(radii)[::-1]:
        x, y = rng.uniform(0, side, 2)
        corners = int(rng.integers(3, 9))
        if rng.random() < 0.5:
            flat = radius * rng.uniform(0.3, 1.0)
            draw.ellipse((x - radius, y - flat, x + radius, y + flat), fill=_colour(rng))
        else:
            angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
            reach = radius * rng.uniform(0.5, 1.0, corners)
            draw.polygon(
                [(x + r * np.cos(a), y + r * np.sin(a)) for r, a in zip(reach, angles, strict=True)],
                fill=_colour(rng),
            )
    texture = rng.uniform(0, 12) * _noise_field(rng, size_px, rng.uniform(0.5, 1.2))
    return _reduced(image, size_px) + texture[..., None]


def _structure(rng: np.random.Generator, size_px: int) -> NDArray[np.float64]:
    image, draw, side = _canvas(rng, size_px)
    for _ in range(int(rng.integers(3, 8))):
        colour, width = _colour(rng), int(rng.integers(1, 9)) * _SUPERSAMPLING
        x0, y0, x1, y1 = np.sort(rng.uniform(0, side, (2, 2)), axis=0).ravel()
        pitch = rng.uniform(8, 60) * _SUPERSAMPLING
        kind = rng.integers(0, 4)
        if kind == 0:  # truss: chords and diagonals
            draw.line((x0, y0, x1, y0), fill=colour, width=width)
            draw.line((x0, y1, x1, y1), fill=colour, width=width)
            for i, x in enumerate(np.arange(x0, x1, pitch)):
                ends = (y0, y1) if i % 2 else (y1, y0)
                draw.line((x, ends[0], x + pitch, ends[1]), fill=colour, width=max(1, width // 2))
        elif kind == 1:  # cables
            for x in np.arange(0, side, pitch):
                draw.line((x, side, x0, y0), fill=colour, width=max(1, width // 3))
        elif kind == 2:  # railing
            for x in np.arange(x0, x1, max(pitch / 3, 3 * width)):
                draw.line((x, y0, x, y1), fill=colour, width=max(1, width // 2))
            draw.line((x0, y0, x1, y0), fill=colour, width=width)
        else:  # facade
            draw.rectangle((x0, y0, x1, y1), fill=colour)
            pane = _colour(rng)
            for x in np.arange(x0, x1, pitch):
                for y in np.arange(y0, y1, pitch):
                    draw.rectangle((x, y, x + pitch * 0.6, y + pitch * 0.7), fill=pane)
    backdrop = rng.uniform(2, 25) * _noise_field(rng, size_px, rng.uniform(0.8, 1.6))
    return _reduced(image, size_px) + backdrop[..., None]


def _pattern(rng: np.random.Generator, size_px: int) -> NDArray[np.float64]:
    y, x = np.mgrid[0:size_px, 0:size_px] - rng.uniform(0, size_px, (2, 1, 1))
    angle = rng.uniform(0, np.pi)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    period = np.exp(rng.uniform(np.log(4), np.log(60)))
    kind = rng.integers(0, 4)
    if kind == 0:
        wave = np.sin(2 * np.pi * u / period)
    elif kind == 1:  # checkers with soft edges
        wave = np.tanh(3 * np.sin(2 * np.pi * u / period) * np.sin(2 * np.pi * v / period))
    elif kind == 2:  # rings
        wave = np.sin(2 * np.pi * np.hypot(u, v) / period)
    else:  # bricks
        row = np.floor(v / period)
        wave = np.tanh(4 * np.minimum(np.cos(np.pi * (u / (2 * period) + row / 2)) ** 2, 0.9) - 1)
    patches = np.tanh(_noise_field(rng, size_px, 1.6))  # so that the pattern's strength varies
    mix = (0.6 + 0.4 * patches) * wave
    dark, bright = np.array(_colour(rng), dtype=float), np.array(_colour(rng), dtype=float)
    speckle = rng.uniform(0, 10) * _noise_field(rng, size_px, 0.7)
    picture: NDArray[np.float64] = dark + (bright - dark) * (0.5 + 0.5 * mix[..., None]) + speckle[..., None]
    return picture
