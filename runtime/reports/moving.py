"""Modes as motion of a photograph: the data of `page/moving.js`, which the report and the service's page share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

Values = NDArray[np.float64]

SCRIPT = Path(__file__).parent / "page" / "moving.js"
_PHOTO_PX = 640
_MOST_SHARE = 0.09
"""Longest motion that is shown, as a share of the picture's diagonal."""
_REST = 0.03
"""Weight of standing still far from all regions, as in page/moving.js."""


@dataclass(frozen=True, eq=False)
class MovingMode:
    """One mode for the script."""

    label: str
    """Label by which it is known again among later ones."""
    name: str
    text: str
    amplitude_px: float | None
    """Amplitude where it moves most, in pixels of the frame; None where it is not known."""
    parts: NDArray[np.complex128]
    """Motion of the regions along x and y, relative to the largest, (regions, 2)."""
    clip: str | None
    """Address of the magnified clip of its band; None where there is none."""
    without: str
    """Text that stands in the place of a clip that is not there, and a command that would make it."""
    command: str = ""


def photo_size(width_px: int, height_px: int) -> tuple[int, int, float]:
    """Width and height of the small photograph of a frame, and the size of its pixels in pixels of the frame."""
    size = max(1.0, width_px / _PHOTO_PX)
    return round(width_px / size), round(height_px / size), size


def moving_data(size_px: tuple[int, int], centres_px: Values, modes: Sequence[MovingMode]) -> dict[str, Any]:
    """The script's data.

    Args:
        size_px: width and height of the frame.
        centres_px: middles of the regions, (regions, 2).
        modes: modes, the surest first.
    """
    width, height, size = photo_size(*size_px)
    anchors, diagonal = centres_px / size, math.hypot(width, height)
    reach_px = _reach(anchors, diagonal)
    shown = []
    for mode in modes:
        weights = bend_weights(anchors, mode.parts, reach_px)
        packed = np.round(np.stack([weights.real, weights.imag], axis=-1).reshape(len(weights), 4), 4)
        shown.append(asdict(mode) | {"parts": packed.tolist()})
    return {
        "width": width,
        "height": height,
        "frame_px": size,
        "reach_px": reach_px,
        "most_px": min(_MOST_SHARE * diagonal, reach_px),
        "anchors": np.round(anchors, 2).tolist(),
        "modes": shown,
    }


def _reach(anchors: Values, diagonal: float) -> float:
    """Distance over which a region carries its surroundings along: most of that between neighbours."""
    apart = cdist(anchors, anchors) + np.diag(np.full(len(anchors), np.inf))
    between = float(np.median(apart.min(axis=1))) if len(anchors) > 1 else 0.12 * diagonal
    return float(np.clip(0.75 * between, 0.04 * diagonal, 0.2 * diagonal))


def bend_weights(anchors: Values, parts: NDArray[np.complex128], reach_px: float) -> NDArray[np.complex128]:
    """Weights (n, 2) with which normalised Gaussians at the anchors (n, 2) sum to given motions (n, 2) there.

    Where anchors lie so near each other that this would overshoot, the motions themselves: then the field is smoother
    than the shape.
    """
    weights = np.exp(-(cdist(anchors, anchors) ** 2) / (2 * reach_px**2))
    shares = weights / (weights.sum(axis=1, keepdims=True) + _REST)
    found = np.linalg.lstsq(shares, parts, rcond=1e-3)[0].astype(np.complex128)
    return found if np.abs(found).max() < 3 * np.abs(parts).max(initial=1e-12) else parts
