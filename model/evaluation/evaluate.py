"""Evaluation protocols of the field: magnified and still content against exact ground truth.

Sub-pixel and noise tests follow Oh et al. (ECCV 2018), section 4. Any magnifier can be judged: a function of frame,
reference and amplification. Inputs are rounded to 8 bits after Gaussian noise; the truth is free of noise.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tremorscope.model.evaluation.registration import reached_displacement_px
from tremorscope.model.evaluation.scenes import BORDER_PX, BandOfTexture, Frame, Scene, blobs, whole_frames
from tremorscope.model.files import write_atomically
from tremorscope.model.training.validation import ssim

Magnifier = Callable[[Frame, Frame, float], Frame]
"""frame, reference, amplification -> magnified frame."""

SUBPIXEL_DISPLACEMENTS_PX = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
NOISE_GREY_LEVELS = (0.5, 1.0, 2.0, 4.0, 8.0)
NOISE_DISPLACEMENT_PX = 0.05
BLOB_DISPLACEMENTS_PX = (0.05, 0.2, 1.0)
BLOB_NOISE_GREY_LEVELS = 0.5
TEXTURE_PERIODS_PX = (4.0, 8.0, 16.0, 32.0, 64.0)
TEXTURE_DISPLACEMENT_PX = 0.1
_SEED = 0


@dataclass(frozen=True)
class Conditions:
    """Conditions of a trial: true and magnified displacement, noise, texture period."""

    displacement_px: float
    target_px: float = 10.0
    noise_grey_levels: float = 0.0
    """Standard deviation of the noise on frame and reference."""
    period_px: float = math.nan
    """Period of the texture; NaN for scenes without one."""

    @property
    def amplification(self) -> float:
        """Magnified over true displacement."""
        return self.target_px / self.displacement_px


@dataclass(frozen=True)
class Trial(Conditions):
    """Result of one trial, over several scenes."""

    ssim: float = 0.0
    ssim_spread: float = 0.0
    """Standard deviation between scenes."""
    ssim_unmagnified: float = 0.0
    reached_px: float = 0.0
    reached_spread_px: float = 0.0


@dataclass(frozen=True)
class Protocol:
    """A named series of trials."""

    name: str
    trials: tuple[tuple[Conditions, tuple[Scene, ...]], ...]

    def run(self, magnifiers: Mapping[str, Magnifier]) -> Iterator[dict[str, Trial]]:
        """Judge all magnifiers on the same frames: for each trial, in order, a dictionary by magnifier."""
        for conditions, scenes in self.trials:
            yield judge(magnifiers, scenes, conditions)


def subpixel(
    photographs: Sequence[Frame],
    target_px: float = 10.0,
    displacements_px: Sequence[float] = SUBPIXEL_DISPLACEMENTS_PX,
) -> Protocol:
    """Sub-pixel test: whole photographs, shifted by each displacement, magnified to the target."""
    scenes = tuple(whole_frames(photographs))
    trials = tuple((Conditions(displacement_px, target_px), scenes) for displacement_px in displacements_px)
    return Protocol(f"sub-pixel to {target_px:g} px", trials)


def noise(photographs: Sequence[Frame], noise_grey_levels: Sequence[float] = NOISE_GREY_LEVELS) -> Protocol:
    """Noise test: whole photographs, shifted by 0.05 px, under noise of each standard deviation."""
    scenes = tuple(whole_frames(photographs))
    conditions = (Conditions(NOISE_DISPLACEMENT_PX, noise_grey_levels=sigma) for sigma in noise_grey_levels)
    return Protocol("noise", tuple((condition, scenes) for condition in conditions))


def moving_blob(
    photographs: Sequence[Frame], displacements_px: Sequence[float] = BLOB_DISPLACEMENTS_PX
) -> Protocol:
    """Moving foreground over a still background, with noise of 0.5 grey levels."""
    scenes = tuple(blobs(photographs))
    conditions = (
        Conditions(displacement_px, noise_grey_levels=BLOB_NOISE_GREY_LEVELS)
        for displacement_px in displacements_px
    )
    return Protocol("moving blob", tuple((condition, scenes) for condition in conditions))


def texture(periods_px: Sequence[float] = TEXTURE_PERIODS_PX, count: int = 4) -> Protocol:
    """Quality by spatial frequency: random texture of one period, moved by 0.1 px."""
    trials = []
    for period_px in periods_px:
        scenes = tuple(BandOfTexture(period_px, seed) for seed in range(count))
        trials.append((Conditions(TEXTURE_DISPLACEMENT_PX, period_px=period_px), scenes))
    return Protocol("spatial frequency", tuple(trials))


def standard_protocols(photographs: Sequence[Frame]) -> list[Protocol]:
    """All protocols, with the settings of the published figures."""
    return [
        subpixel(photographs),
        subpixel(photographs, target_px=4.0),
        noise(photographs),
        moving_blob(photographs),
        texture(),
    ]


def subpixel_test(
    magnify: Magnifier,
    photographs: Sequence[Frame],
    *,
    target_px: float = 10.0,
    noise_grey_levels: float = 0.0,
    displacements_px: Sequence[float] = SUBPIXEL_DISPLACEMENTS_PX,
) -> Iterator[Trial]:
    """The sub-pixel test of one magnifier; yields one trial a displacement.

    The central 256 x 256 px are magnified; each photograph moves in a direction of its own. A border of 16 px is not
    judged.
    """
    scenes = whole_frames(photographs)
    for displacement_px in displacements_px:
        conditions = Conditions(displacement_px, target_px, noise_grey_levels)
        yield judge({"": magnify}, scenes, conditions)[""]


def judge(
    magnifiers: Mapping[str, Magnifier], scenes: Sequence[Scene], conditions: Conditions
) -> dict[str, Trial]:
    """Magnify each scene's motion by each magnifier, and compare with the truth: a trial for each."""
    rng = np.random.default_rng(_SEED)
    scores: dict[str, list[PictureScore]] = {name: [] for name in magnifiers}
    for scene in scenes:
        reference, frame, truth = film(scene, conditions, rng)
        before = ssim(frame, truth, BORDER_PX)
        for name, magnify in magnifiers.items():
            result = magnify(frame, reference, conditions.amplification)
            scores[name].append(score(result, truth, scene, conditions.target_px, before))
    return {name: summary(conditions, found) for name, found in scores.items()}


class PictureScore(NamedTuple):
    """Scores of one magnified picture."""

    ssim: float
    ssim_unmagnified: float
    reached_px: float


def score(
    result: Frame, truth: Frame, scene: Scene, target_px: float, ssim_unmagnified: float
) -> PictureScore:
    """Compare a magnified frame with the truth, u8[256, 256, 3] each."""
    return PictureScore(
        ssim(result, truth, BORDER_PX), ssim_unmagnified, _reached_px(result, scene, 1.5 * target_px)
    )


def film(scene: Scene, conditions: Conditions, rng: np.random.Generator) -> tuple[Frame, Frame, Frame]:
    """Reference, frame and truth of a scene: u8[256, 256, 3] each; only the first two are noisy."""

    def picture(displacement_px: float, sigma: float) -> Frame:
        exact = scene.picture(displacement_px)
        return np.clip(np.rint(exact + rng.normal(0.0, sigma, exact.shape)), 0, 255).astype(np.uint8)

    sigma = conditions.noise_grey_levels
    reference, frame = picture(0.0, sigma), picture(conditions.displacement_px, sigma)
    return reference, frame, picture(conditions.target_px, 0.0)


def summary(conditions: Conditions, scores: Sequence[PictureScore]) -> Trial:
    """Mean and spread over scenes."""
    similarity, before, reached = (np.array(column) for column in zip(*scores, strict=True))
    return Trial(
        **vars(conditions),
        ssim=float(similarity.mean()),
        ssim_spread=float(similarity.std()),
        ssim_unmagnified=float(before.mean()),
        reached_px=float(reached.mean()),
        reached_spread_px=float(reached.std()),
    )


def _reached_px(result: Frame, scene: Scene, largest_px: float) -> float:
    followed = result[_middle(result.shape, scene.followed_px)]
    inner = _middle(scene.moving.shape, scene.followed_px)
    return reached_displacement_px(followed, scene.moving, inner, scene.angle, largest_px)


def _middle(shape: tuple[int, ...], side_px: int) -> tuple[slice, slice]:
    top, left = ((side - side_px) // 2 for side in shape[:2])
    return slice(top, top + side_px), slice(left, left + side_px)


def still_frame_ssim(magnify: Magnifier, photographs: Sequence[Frame]) -> float:
    """Mean SSIM between a frame and its magnified version where the reference is the same frame, at amplification 1."""
    scores = [ssim(magnify(photograph, photograph, 1.0), photograph, BORDER_PX) for photograph in photographs]
    return float(np.mean(scores))


def still_noise_gain(
    magnify: Magnifier,
    photographs: Sequence[Frame],
    *,
    noise_grey_levels: float = 1.0,
    amplification: float = 20.0,
) -> float:
    """Noise gain in a still scene: mean absolute change of the frame over its own mean absolute noise."""
    rng = np.random.default_rng(_SEED)
    gains = []
    still = Conditions(0.0, 1.0, noise_grey_levels)
    for scene in whole_frames(photographs):
        clean = scene.picture(0.0)
        reference, frame, _ = film(scene, still, rng)
        change = magnify(frame, reference, amplification).astype(float) - frame
        gains.append(np.abs(change).mean() / np.abs(frame - clean).mean())
    return float(np.mean(gains))


def write_csv(rows: Sequence[dict[str, object]], path: Path) -> None:
    """Write trials as CSV, a column a figure.

    Raises:
        ResultFault: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())
