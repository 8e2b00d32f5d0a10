"""Parts of structures that move before a still background, drawn at exact sub-pixel positions in float64.

Thin parts (cables, lattices) are analytic profiles of their distance; textured ones (cantilever, disc, plate) carry a
photograph, moved by Fourier shifts of its rows and columns. All pictures are 256 x 256 px.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from tremorscope.model.evaluation.registration import scaled, shifted_rows, turned
from tremorscope.model.evaluation.scenes import GOLDEN_ANGLE, VIEW_PX, Frame, middle_of

Floats = NDArray[np.float64]
_MIDDLE_PX = (VIEW_PX - 1) / 2
EDGE_SIGMA_PX = 0.5
"""Standard deviation of the Gaussian blur of edges, by lens and pixel."""


@dataclass(frozen=True)
class CentreLine:
    """The centre line of a thin part, at points about a pixel apart, away from ends and crossings."""

    x_px: Floats
    y_px: Floats
    normal_x: Floats
    normal_y: Floats
    width_px: float


class StructureScene(Protocol):
    """A part of a structure that moves before a still background."""

    @property
    def background(self) -> Floats:
        """Still background: 256 x 256 x 3 grey levels."""

    def coverage(self, displacement_px: float) -> Floats:
        """Share of each pixel that the part covers at a displacement: 256 x 256 in [0, 1]."""

    def painted(self, displacement_px: float) -> Floats:
        """Colour of the part at a displacement, defined where it covers anything: 256 x 256 x 3 or 3 grey levels."""

    def lines(self, displacement_px: float) -> list[CentreLine]:
        """Centre lines of the part at a displacement; empty if it has none."""


def picture(structure: StructureScene, displacement_px: float) -> Floats:
    """The camera's picture at a displacement of the part: 256 x 256 x 3, in grey levels, not rounded."""
    coverage = structure.coverage(displacement_px)[..., None]
    return coverage * structure.painted(displacement_px) + (1.0 - coverage) * structure.background


def _grid() -> tuple[Floats, Floats]:
    y, x = np.mgrid[:VIEW_PX, :VIEW_PX].astype(np.float64)
    return x, y


def _bar(distance_px: Floats, width_px: float) -> Floats:
    """Coverage of a straight bar by the signed distance to its centre line."""
    half = width_px / 2
    covered: Floats = ndtr((half - distance_px) / EDGE_SIGMA_PX) - ndtr((-half - distance_px) / EDGE_SIGMA_PX)
    return covered


def contrasting(background: Floats) -> Floats:
    """A dark or a bright grey, whichever the background is further from."""
    return np.array([38.0, 40.0, 46.0]) if background.mean() > 110 else np.array([222.0, 224.0, 218.0])


@dataclass(frozen=True)
class Cables:
    """Thin cables that span the view and swing in their first mode."""

    background: Floats
    colour: Floats
    courses: tuple[tuple[float, float], ...]
    """Height in the middle of the view, in px, and slope of each."""
    width_px: float = 2.4

    def coverage(self, displacement_px: float) -> Floats:
        """Each cable's profile, over the distance across it."""
        x, y = _grid()
        open_ = np.ones_like(x)
        for height, slope in self.courses:
            centre, tilt = self._course(x, height, slope, displacement_px)
            open_ *= 1.0 - _bar((y - centre) * np.cos(np.arctan(tilt)), self.width_px)
        return 1.0 - open_

    def painted(self, _displacement_px: float) -> Floats:
        """One colour."""
        return self.colour

    def lines(self, displacement_px: float) -> list[CentreLine]:
        """All of them, except near the border."""
        x = np.arange(20.0, VIEW_PX - 20)
        found = []
        for height, slope in self.courses:
            y, tilt = self._course(x, height, slope, displacement_px)
            angle = np.arctan(tilt)
            found.append(CentreLine(x, y, -np.sin(angle), np.cos(angle), self.width_px))
        return found

    def _course(
        self, x: Floats, height: float, slope: float, displacement_px: float
    ) -> tuple[Floats, Floats]:
        phase = np.pi * x / (VIEW_PX - 1)
        y = height + slope * (x - _MIDDLE_PX) + displacement_px * np.sin(phase)
        return y, slope + displacement_px * np.cos(phase) * np.pi / (VIEW_PX - 1)


def cables(background: Floats, seed: int) -> Cables:
    """Three cables, far from one another."""
    rng = np.random.default_rng(seed)
    courses = tuple(
        (height + rng.uniform(-8, 8), rng.uniform(-0.25, 0.25)) for height in (62.0, 128.0, 194.0)
    )
    return Cables(background, contrasting(background), courses)


def neighbouring_cables(background: Floats, seed: int) -> Cables:
    """The middle one of five parallel cables, 16 px apart, of which the others stand still, as stay cables may."""
    colour, slope = contrasting(background), np.random.default_rng(seed).uniform(-0.25, 0.25)
    still = Cables(background, colour, tuple((128.0 + 16.0 * place, slope) for place in (-2, -1, 1, 2)))
    return Cables(picture(still, 0.0), colour, ((128.0, slope),))


@dataclass(frozen=True)
class Lattice:
    """Two families of bars across each other, a square piece of a lattice, that moves across one of them."""

    background: Floats
    angle: float
    """Direction of the motion, in radians from x towards y."""
    width_px: float = 5.0
    pitch_px: float = 24.0
    bars: int = 7
    contrast_grey_levels: float = 70.0
    """Contrast to the background's mean colour."""

    def coverage(self, displacement_px: float) -> Floats:
        """Both families, cut off 2 px beyond the outermost bars' outer edges."""
        u, v = self._own(displacement_px)
        outer = (self.bars - 1) * self.pitch_px + self.width_px + 4.0
        inside = _bar(u, outer) * _bar(v, outer)
        across, along = (self._family(w) for w in (u, v))
        return inside * (1.0 - (1.0 - across) * (1.0 - along))

    def painted(self, _displacement_px: float) -> Floats:
        """One grey, close to the background's mean."""
        mean = self.background.mean(axis=(0, 1))
        paint: Floats = mean - self.contrast_grey_levels * np.sign(mean.mean() - 110.0)
        return paint

    def lines(self, displacement_px: float) -> list[CentreLine]:
        """The bars across the motion, between the crossings."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        v = np.arange(-(self.bars - 1) / 2 * self.pitch_px, (self.bars - 1) / 2 * self.pitch_px, 1.0)
        v = v[np.abs((v % self.pitch_px) - self.pitch_px / 2) < self.pitch_px / 2 - 6.0]
        found = []
        for bar in range(self.bars):
            u = (bar - (self.bars - 1) / 2) * self.pitch_px + displacement_px
            x, y = _MIDDLE_PX + u * cos - v * sin, _MIDDLE_PX + u * sin + v * cos
            found.append(CentreLine(x, y, np.full_like(v, cos), np.full_like(v, sin), self.width_px))
        return found

    def _own(self, displacement_px: float) -> tuple[Floats, Floats]:
        x, y = (w - _MIDDLE_PX for w in _grid())
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return x * cos + y * sin - displacement_px, y * cos - x * sin

    def _family(self, w: Floats) -> Floats:
        middle = (self.bars - 1) / 2 * self.pitch_px
        return _bar((w + middle + self.pitch_px / 2) % self.pitch_px - self.pitch_px / 2, self.width_px)


Warped = Callable[[Floats, float], Floats]
"""A texture (S x S x 3, with the view in its middle) and a displacement in px -> the texture, moved alike."""


@dataclass(frozen=True)
class Textured:
    """A part that carries a photograph; its outline and its paint follow one motion."""

    background: Floats
    texture: Floats
    outline: Callable[[float], Floats]
    """Coverage by displacement."""
    warped: Warped

    def coverage(self, displacement_px: float) -> Floats:
        """The outline, moved."""
        return self.outline(displacement_px)

    def painted(self, displacement_px: float) -> Floats:
        """The photograph, moved."""
        return middle_of(self.warped(self.texture, displacement_px))

    def lines(self, _displacement_px: float) -> list[CentreLine]:
        """None."""
        return []


def cantilever(background: Floats, texture: Floats, width_px: float = 60.0) -> Textured:
    """A mast, clamped below the view, whose top moves sideways: each row by its own part of the displacement."""
    room = texture.shape[0]

    def mode(rows: int) -> Floats:
        # From the clamp at the lower border: 1.5 s^2 - 0.5 s^3, a load at the tip. One at the view's upper border.
        s = np.clip((VIEW_PX - 1 - (np.arange(rows) - (rows - VIEW_PX) / 2)) / (VIEW_PX - 1), 0.0, 1.1)
        shape: Floats = 1.5 * s**2 - 0.5 * s**3
        return shape

    def outline(displacement_px: float) -> Floats:
        x, _ = _grid()
        return _bar(x - _MIDDLE_PX - displacement_px * mode(VIEW_PX)[:, None], width_px)

    return Textured(background, texture, outline, lambda t, d: shifted_rows(t, d * mode(room)))


def turning_disc(background: Floats, texture: Floats, radius_px: float = 80.0) -> Textured:
    """A disc that turns about its middle; the displacement is that of its rim."""
    return Textured(background, texture, lambda _: _disc(radius_px), lambda t, d: turned(t, d / radius_px))


def growing_disc(background: Floats, texture: Floats, radius_px: float = 60.0) -> Textured:
    """A disc that grows; the displacement is that of its rim."""
    return Textured(
        background, texture, lambda d: _disc(radius_px + d), lambda t, d: scaled(t, 1.0 + d / radius_px)
    )


def shearing_plate(background: Floats, texture: Floats, side_px: float = 120.0) -> Textured:
    """A square plate that shears: its upper edge moves right, its lower edge as far left."""
    room = texture.shape[0]

    def part(rows: int) -> Floats:
        return -(np.arange(rows, dtype=np.float64) - (rows - 1) / 2) / (side_px / 2)

    def outline(displacement_px: float) -> Floats:
        x, y = _grid()
        moved = x - _MIDDLE_PX - displacement_px * part(VIEW_PX)[:, None]
        return _bar(moved, side_px) * _bar(y - _MIDDLE_PX, side_px)

    return Textured(background, texture, outline, lambda t, d: shifted_rows(t, d * part(room)))


def _disc(radius_px: float) -> Floats:
    x, y = _grid()
    return _bar(np.hypot(x - _MIDDLE_PX, y - _MIDDLE_PX), 2 * radius_px)


def structures(photographs: Sequence[Frame]) -> dict[str, list[StructureScene]]:
    """Scenes by kind, one a photograph; textured parts carry the next photograph, rotated by 180 degrees."""
    grounds = [middle_of(photograph.astype(np.float64)) for photograph in photographs]
    following = [*photographs[1:], photographs[0]]
    paints = [_square(photograph[::-1, ::-1].astype(np.float64)) for photograph in following]
    textured = {
        "cantilever 60 px": cantilever,
        "turning disc": turning_disc,
        "growing disc": growing_disc,
        "shearing plate": shearing_plate,
    }
    made: dict[str, list[StructureScene]] = {
        "cable 2.4 px": [cables(ground, seed) for seed, ground in enumerate(grounds)],
        "neighbouring cables": [neighbouring_cables(ground, seed) for seed, ground in enumerate(grounds)],
        "lattice 5 px": [Lattice(ground, (seed + 1) * GOLDEN_ANGLE) for seed, ground in enumerate(grounds)],
    }
    for name, kind in textured.items():
        made[name] = [kind(g, p) for g, p in zip(grounds, paints, strict=True)]
    return made


def _square(photograph: Floats) -> Floats:
    """Central square of a photograph, with room for the motion where there is any."""
    height, width = photograph.shape[:2]
    side = min(height, width, VIEW_PX + 96) & ~1
    top, left = (height - side) // 2, (width - side) // 2
    return photograph[top : top + side, left : left + side]
