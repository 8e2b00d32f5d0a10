"""Draws the scene of the synthetic camera: a tied-arch footbridge over a river, in still and moving layers.

Everything is drawn by arithmetic on arrays, in the units of a 640x360 design that is scaled to the size asked
for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tremorscope.runtime.cameras.canvas import DESIGN_WIDTH, Array, Canvas, Colour, mix, paint

SUPPORT_LEFT, SUPPORT_RIGHT = 72.0, 568.0
"""Ends of the span, in design units along x; between them the bridge moves, outside it is still."""
WATERLINE = 246.0
ABUTMENT = (42.0, 226.0, 40.0, 42.0)
"""A patch of still masonry: left, top, width, height in design units."""
_DECK_AT_ENDS, _CAMBER = 197.0, 9.0
GIRDER_DEPTH = 25.0
_ARCH_RISE = 118.0

_RED: Colour = (178, 62, 44)
_DARK_RED: Colour = (120, 42, 34)
_CONCRETE: Colour = (205, 198, 184)
_STEEL: Colour = (58, 62, 68)
_GRASS_CONTRAST = np.array((20, 20, 12), dtype=np.float32)


@dataclass(frozen=True)
class Layers:
    """The drawing, oversampled, grey levels 0 to 255: (rows, columns, channels) float32.

    ``structure`` and ``reflection`` hold premultiplied red, green, blue and their coverage (0 to 1).
    The structure moves with the bridge; its reflection in the water moves by as much the other way.
    """

    background: Array
    structure: Array
    reflection: Array
    water: Array
    """Share of each sample (0 to 1) where the reflection shows, (rows, columns); nothing of it moves."""


def deck_height(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """Top of the deck (y, downwards) at ``x``, both in design units."""
    u = (x - SUPPORT_LEFT) / (SUPPORT_RIGHT - SUPPORT_LEFT)
    return _DECK_AT_ENDS - 4 * _CAMBER * np.clip(u * (1 - u), 0, None)


def draw(width_px: int, height_px: int, seed: int) -> Layers:
    """Draw the scene for frames of a size; ``seed`` picks clouds, hills, trees and weathering."""
    rng = np.random.default_rng(seed)
    canvas = Canvas(width_px, height_px)
    background, water = _landscape(canvas, rng)
    structure = _bridge(canvas, rng)
    return Layers(background, structure, _reflection(canvas, rng, structure), water)


def _landscape(canvas: Canvas, rng: np.random.Generator) -> tuple[Array, Array]:
    """Sky, hills, trees, banks and water, (rows, columns, 3), and where the water is, (rows, columns)."""
    picture = np.empty((*canvas.shape, 3), dtype=np.float32)
    down = np.broadcast_to(np.clip(canvas.y / 200, 0, 1) ** np.float32(0.8), canvas.shape)
    picture[:] = mix((104, 158, 214), (240, 224, 198), down)
    clouds = canvas.fractal(rng, 1.75, stretch=2.2, finest=1.5)
    cloudiness = np.clip(clouds * 0.8 - 0.15, 0, 1) * np.clip(1.15 - canvas.y / 190, 0, 1)
    lit: Array = np.clip(0.6 + 0.4 * canvas.fractal(rng, 1.5, stretch=2.0, finest=1.5), 0, 1)
    paint(picture, (0.9 * cloudiness).astype(np.float32), mix((206, 210, 222), (255, 250, 240), lit))
    grain = canvas.fractal(rng, 0.9, finest=0.8)
    hills: tuple[tuple[float, float, Colour, float], ...] = (
        (150, 11, (158, 176, 190), 2.0),
        (174, 9, (122, 148, 150), 4.0),
        (200, 6, (92, 122, 104), 7.0),
    )
    for height, roughness, colour, texture in hills:
        ridge = height + canvas.ridge(rng, roughness)
        paint(picture, canvas.below(ridge), np.asarray(colour, np.float32) + texture * grain[..., None])
    _trees(canvas, rng, picture, grain)
    _water(canvas, rng, picture)
    water = canvas.below(WATERLINE) * (1 - _banks(canvas, rng, picture, grain))
    return picture, water


def _trees(canvas: Canvas, rng: np.random.Generator, picture: Array, grain: Array) -> None:
    foliage = canvas.fractal(rng, 1.1, finest=1.2)
    for base, crown, colour in ((222, 9, (66, 96, 62)), (233, 7, (50, 80, 48))):
        crowns = base - np.abs(canvas.ridge(rng, crown, 0.9)) - 2 * np.abs(canvas.ridge(rng, 1.5, 0.3))
        light = np.asarray(colour, np.float32) + 17 * foliage[..., None] * (1.0, 1.0, 0.7)
        paint(picture, canvas.below(crowns), light.astype(np.float32))
    shore = canvas.band(WATERLINE - 4 + canvas.ridge(rng, 0.7), WATERLINE + 1)
    paint(picture, shore, np.asarray((146, 136, 112), np.float32) + 14 * grain[..., None])


def _water(canvas: Canvas, rng: np.random.Generator, picture: Array) -> None:
    """The mirror image of what stands above the waterline, broken by ripples that shorten with distance."""
    rows, columns = canvas.shape
    waterline_row = round(WATERLINE / canvas.y_step)
    ripples = canvas.fractal(rng, 0.8, stretch=9.0, finest=1.6)
    for row in range(waterline_row, rows):
        depth = (row - waterline_row) / (rows - waterline_row)
        wobble = (1 + 5 * depth) * ripples[row] / canvas.y_step * 0.5
        source = np.clip(2 * waterline_row - row - np.abs(wobble).astype(np.intp), 0, waterline_row - 1)
        mirrored = picture[source, np.arange(columns)]
        tint = mix((62, 96, 104), (44, 70, 78), np.full(columns, depth, np.float32))
        glint = (10 + 10 * depth) * ripples[row][:, None]
        picture[row] = 0.5 * mirrored + 0.5 * tint + glint
    np.clip(picture, 0, 255, out=picture)


def _banks(canvas: Canvas, rng: np.random.Generator, picture: Array, grain: Array) -> Array:
    """Stone abutments under both ends of the span, and grassy banks around them; returns what they cover."""
    covered = np.zeros(canvas.shape, dtype=np.float32)
    grass = canvas.fractal(rng, 0.7, stretch=0.4, finest=0.8)
    for side in (-1, 1):
        support = SUPPORT_LEFT if side < 0 else SUPPORT_RIGHT
        outwards = side * (canvas.x - support)
        slope = 214 + 60 * np.clip(1 - (outwards + 40) / 78, 0, None) ** 0.8 + canvas.ridge(rng, 1.5, 1.0)
        bank = canvas.below(slope) * (1 - canvas.below(300 + 0.25 * outwards + canvas.ridge(rng, 2.5)))
        greens = np.asarray((104, 118, 62), np.float32) + grass[..., None] * _GRASS_CONTRAST
        bank = bank * (outwards > -40)
        paint(picture, bank, greens)
        inner, outer = sorted((support - side * 12, support + side * 34))
        wall = canvas.below(_DECK_AT_ENDS + 24) * canvas.between(inner, outer) * (1 - canvas.below(272))
        paint(picture, wall, _masonry(canvas, grain))
        covered = np.maximum(covered, np.maximum(bank, wall))
    return covered


def _masonry(canvas: Canvas, grain: Array) -> Array:
    course = np.floor(canvas.y / 8)
    stone = np.floor((canvas.x + 7 * (course % 2)) / 14)
    tone = np.sin(stone * 12.9898 + course * 78.233) * 43758.5453
    joint = ((canvas.y % 8) < 0.9) | (((canvas.x + 7 * (course % 2)) % 14) < 0.9)
    light = 158 + 22 * (tone - np.floor(tone) - 0.5) + 9 * grain - 44 * joint
    stones: Array = np.stack([light, 0.96 * light, 0.87 * light], axis=-1).astype(np.float32)
    return stones


def _bridge(canvas: Canvas, rng: np.random.Generator) -> Array:
    """Arch, hangers, deck, girder, railing and people: (rows, columns, 4), premultiplied."""
    layer = np.zeros((*canvas.shape, 4), dtype=np.float32)
    deck = deck_height(canvas.x)
    weathering = canvas.fractal(rng, 0.8, finest=1.0)
    _arch(canvas, layer, shift=(5.0, -5.0), colour=_DARK_RED, weathering=weathering)
    _railing(canvas, layer, shift=(3.0, -4.0), colour=(98, 102, 108))
    _people(canvas, layer)
    for index in range(1, 16):
        x = SUPPORT_LEFT + index * (SUPPORT_RIGHT - SUPPORT_LEFT) / 16
        canvas.stroke(layer, (x, _at(_arch_height, x) + 3), (x, _at(deck_height, x)), 1.7, _STEEL)
    _arch(canvas, layer, shift=(0.0, 0.0), colour=_RED, weathering=weathering)
    _girder(canvas, layer, deck, weathering)
    _railing(canvas, layer, shift=(0.0, 0.0), colour=_STEEL)
    return layer


def _arch_height(x: NDArray[np.floating]) -> NDArray[np.floating]:
    u = (x - SUPPORT_LEFT) / (SUPPORT_RIGHT - SUPPORT_LEFT)
    return _DECK_AT_ENDS + 2 - 4 * _ARCH_RISE * u * (1 - u)


def _at(curve: Callable[[NDArray[np.floating]], NDArray[np.floating]], x: float) -> float:
    return float(curve(np.asarray(x)))


def _arch(
    canvas: Canvas, layer: Array, shift: tuple[float, float], colour: Colour, weathering: Array
) -> None:
    x = canvas.x - shift[0]
    top = _arch_height(x) + shift[1]
    u = (x - SUPPORT_LEFT) / (SUPPORT_RIGHT - SUPPORT_LEFT)
    slope = 4 * _ARCH_RISE * (1 - 2 * u) / (SUPPORT_RIGHT - SUPPORT_LEFT)
    thickness = (7.5 + 3 * np.abs(2 * u - 1)) * np.sqrt(1 + slope**2)
    rib = canvas.band(top, top + thickness) * canvas.between(SUPPORT_LEFT - 3, SUPPORT_RIGHT + 3 + shift[0])
    across = np.clip((canvas.y - top) / thickness, 0, 1)
    seams = ((x - SUPPORT_LEFT) % 31) < 1.2
    shade = 1.25 - 0.6 * across + 0.05 * weathering - 0.2 * seams
    paint(layer, rib, (np.asarray(colour, np.float32) * shade[..., None]).astype(np.float32))


def _girder(canvas: Canvas, layer: Array, deck: NDArray[np.floating], weathering: Array) -> None:
    """Concrete deck edge over a riveted plate girder: nothing shows through, so displacement is read here."""
    depth = canvas.y - deck
    stiffener = np.abs((canvas.x - SUPPORT_LEFT) % 15.5 - 7.75)
    from_row = np.minimum(np.abs(depth - 9), np.abs(depth - 21))
    rivet = np.hypot((canvas.x - SUPPORT_LEFT) % 5.1666 - 2.58, from_row)
    web = 1.0 + 0.11 * weathering - 0.32 * (stiffener > 6.9) + 0.42 * np.clip(1.6 - rivet, 0, 1)
    web = web - 0.35 * np.clip(1 - np.abs(depth - 7.0) / 1.6, 0, 1)
    flange = 1.45 + 0.06 * weathering
    shade = np.where((depth > 22.6) | ((depth > 7.6) & (depth < 10.0)), flange * np.clip(web, 0.9, 1.4), web)
    steel = np.asarray(_RED, np.float32) * np.clip(0.82 * shade, 0, 1.35)[..., None]
    paint(layer, canvas.band(deck + 5, deck + GIRDER_DEPTH), steel.astype(np.float32))
    slab = np.asarray(_CONCRETE, np.float32) + 13 * weathering[..., None]
    slab = slab * (1 - 0.14 * (((canvas.x - SUPPORT_LEFT) % 31) < 1.0))[..., None]
    paint(layer, canvas.band(deck, deck + 5.5), slab.astype(np.float32))


def _railing(canvas: Canvas, layer: Array, shift: tuple[float, float], colour: Colour) -> None:
    deck = deck_height(canvas.x - shift[0]) + shift[1]
    for height, thickness in ((17.0, 1.9), (12.5, 0.7), (8.5, 0.7), (4.5, 0.7)):
        paint(layer, canvas.band(deck - height, deck - height + thickness), colour)
    for x in np.arange(SUPPORT_LEFT - 71.0, DESIGN_WIDTH, 15.5):
        foot = _at(deck_height, x) + shift[1]
        canvas.stroke(layer, (x + shift[0], foot), (x + shift[0], foot - 16), 1.5, colour)


def _people(canvas: Canvas, layer: Array) -> None:
    """A few people on the deck, who give the scale."""
    coats: tuple[tuple[float, Colour], ...] = (
        (186, (196, 150, 52)),
        (196, (52, 84, 128)),
        (352, (64, 116, 100)),
        (448, (222, 214, 200)),
    )
    for x, coat in coats:
        foot = _at(deck_height, x)
        for step in (-1.5, 1.7):
            canvas.stroke(layer, (x + step, foot), (x, foot - 12), 2.3, (46, 46, 58))
        canvas.stroke(layer, (x, foot - 13), (x, foot - 21), 5.4, coat)
        canvas.stroke(layer, (x, foot - 26.2), (x, foot - 26.6), 4.4, (206, 160, 132))


def _reflection(canvas: Canvas, rng: np.random.Generator, structure: Array) -> Array:
    """The structure mirrored at the waterline, fainter with distance and broken by ripples along x."""
    rows, columns = canvas.shape
    waterline_row = round(WATERLINE / canvas.y_step)
    ripples = canvas.fractal(rng, 0.9, stretch=6.0, finest=2.0)
    reflection = np.zeros_like(structure)
    for row in range(waterline_row + 1, rows):
        depth = (row - waterline_row) / (rows - waterline_row)
        wobble = np.rint((0.4 + 2.2 * depth) * ripples[row] / canvas.x_step).astype(np.intp)
        source = structure[2 * waterline_row - row, np.clip(np.arange(columns) + wobble, 0, columns - 1)]
        reflection[row] = 0.55 * min(1.0, 5 * (1 - depth)) * source
    smooth: Array = ndimage.gaussian_filter1d(reflection, 1.2 / canvas.y_step, axis=0)
    smooth *= canvas.below(WATERLINE + 4)[..., None]
    return smooth
