"""The field's protocols: how well a magnifier moves what moves, judged against exactly shifted photographs.

The sub-pixel test follows Oh et al. (ECCV 2018), section 4: a photograph shifted by d px is magnified so that it
should lie a fixed distance away. Any magnifier can be judged: a function of frame, reference and amplification.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.errors import ImageFault
from model.files import write_atomically
from model.images import list_photographs, read_photograph
from model.registration import ShiftedScene, reached_displacement_px
from model.validation import ssim

Frame = NDArray[np.uint8]
"""H x W x 3, RGB."""
Magnifier = Callable[[Frame, Frame, float], Frame]
"""frame, reference, amplification -> magnified frame."""

SUBPIXEL_DISPLACEMENTS_PX = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_VIEW_PX = 256
_BORDER_PX = 16
_GOLDEN_ANGLE = np.pi * (3.0 - np.sqrt(5.0))


@dataclass(frozen=True)
class Trial:
    """One displacement, judged over several photographs."""

    displacement_px: float
    target_px: float
    noise_grey_levels: float
    ssim: float
    ssim_spread: float
    """Standard deviation between photographs."""
    ssim_unmagnified: float
    reached_px: float
    reached_spread_px: float


def read_evaluation_photographs(folder: Path, most: int | None = None) -> list[Frame]:
    """Photographs of a folder, by name, each at least large enough for the view and the motion around it.

    Raises:
        ImageFault: no such folder, a damaged file, or nothing large enough in it.
    """
    pictures = [read_photograph(path).permute(1, 2, 0).numpy() for path in list_photographs(folder)[:most]]
    large = [picture for picture in pictures if min(picture.shape[:2]) >= _VIEW_PX + 2 * _BORDER_PX]
    if not large:
        raise ImageFault(
            f"{folder}: no photograph of at least {_VIEW_PX + 2 * _BORDER_PX} px a side",
            remedy="name a folder of larger photographs",
        )
    return large


def subpixel_test(
    magnify: Magnifier, photographs: Sequence[Frame], *, target_px: float = 10.0, noise_grey_levels: float = 0.0,
    displacements_px: Sequence[float] = SUBPIXEL_DISPLACEMENTS_PX, seed: int = 0,
) -> Iterator[Trial]:  # fmt: skip
    """Magnify whole-frame shifts of each displacement to the target; yields one trial a displacement.

    The central 256 x 256 px are magnified. Shifts are exact in float64, each photograph's in a direction of its
    own, spread by the golden angle; inputs are rounded to 8 bits after Gaussian noise of the stated standard
    deviation; the truth is noise-free. A border of 16 px is not judged.
    """
    for displacement_px in displacements_px:
        rng = np.random.default_rng(seed)
        scores = [
            _judge(
                magnify, photograph, index * _GOLDEN_ANGLE, displacement_px, target_px, noise_grey_levels, rng
            )
            for index, photograph in enumerate(photographs)
        ]
        score, unmagnified, reached = (np.array(column) for column in zip(*scores, strict=True))
        yield Trial(
            displacement_px, target_px, noise_grey_levels, float(score.mean()), float(score.std()),
            float(unmagnified.mean()), float(reached.mean()), float(reached.std()),
        )  # fmt: skip


def _judge(
    magnify: Magnifier, photograph: Frame, angle: float, displacement_px: float, target_px: float, noise: float,
    rng: np.random.Generator,
) -> tuple[float, float, float]:  # fmt: skip
    height, width = photograph.shape[:2]
    top, left = (height - _VIEW_PX) // 2, (width - _VIEW_PX) // 2
    view = slice(top, top + _VIEW_PX), slice(left, left + _VIEW_PX)
    inner = (
        slice(top + _BORDER_PX, top + _VIEW_PX - _BORDER_PX),
        slice(left + _BORDER_PX, left + _VIEW_PX - _BORDER_PX),
    )
    scene = ShiftedScene(photograph.astype(np.float64))

    def film(shift_px: float, sigma: float) -> Frame:
        picture = scene.shifted(shift_px * np.cos(angle), shift_px * np.sin(angle))[view]
        return np.clip(np.rint(picture + rng.normal(0.0, sigma, picture.shape)), 0, 255).astype(np.uint8)

    reference, frame, truth = film(0.0, noise), film(displacement_px, noise), film(target_px, 0.0)
    result = magnify(frame, reference, target_px / displacement_px)
    cut = result[_BORDER_PX:-_BORDER_PX, _BORDER_PX:-_BORDER_PX]
    reached = reached_displacement_px(cut, photograph, inner, angle, largest_px=1.5 * target_px)
    return ssim(result, truth, _BORDER_PX), ssim(frame, truth, _BORDER_PX), reached


def still_frame_ssim(magnify: Magnifier, photographs: Sequence[Frame]) -> float:
    """SSIM of what becomes of a frame that equals its reference, at amplification 1."""
    scores = [
        ssim(magnify(photograph, photograph, 1.0), photograph, _BORDER_PX) for photograph in photographs
    ]
    return float(np.mean(scores))


def write_csv(rows: Sequence[dict[str, float]], path: Path) -> None:
    """Write trials as CSV, a column a figure.

    Raises:
        ResultFault: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())
