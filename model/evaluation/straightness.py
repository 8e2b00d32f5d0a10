"""Evaluation protocol of structures: cables, lattices, masts and discs against exact ground truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, map_coordinates
from scipy.special import ndtr
from skimage.metrics import structural_similarity

from tremorscope.model.evaluation.evaluate import Conditions, Magnifier
from tremorscope.model.evaluation.scenes import BORDER_PX, Frame, noisy
from tremorscope.model.evaluation.structures import (
    EDGE_SIGMA_PX,
    CentreLine,
    StructureScene,
    picture,
    structures,
)
from tremorscope.model.pairs.drawing import to_8_bit

CASES_PX = ((0.05, 4.0), (0.2, 4.0), (0.2, 10.0), (1.0, 10.0))
"""True and magnified displacement."""
NOISE_GREY_LEVELS = 1.0
TOUCHED_AROUND_PX = 6
STILL_BEYOND_PX = 24
SEARCH_PX = 11.0
"""Search range across a centre line, less than half of a lattice's pitch."""
_STEP_PX = 0.5
_BESIDE_PX = 3.0
"""Width of the background beside a part that is compared with it."""
_ALONG_PX = 5
"""Neighbouring points of a line whose costs are averaged."""
_SEED = 0


@dataclass(frozen=True)
class StructureTrial(Conditions):
    """Result of one kind of structure in one case, over several scenes."""

    kind: str = ""
    ssim: float = 0.0
    """SSIM over the pixels that the structure touches, and 6 px around."""
    ssim_spread: float = 0.0
    centre_line_px: float = float("nan")
    """RMS distance of the drawn centre line from the true one; NaN where there is none."""
    centre_line_median_px: float = float("nan")
    """Median of that distance over all points; the RMS is decided by the few where the line can hardly be seen."""
    still_change: float = 0.0
    """Mean absolute change of the noisy frame, in grey levels, at least 24 px from all that moves."""


def run(
    magnifiers: Mapping[str, Magnifier],
    photographs: Sequence[Frame],
    cases_px: Sequence[tuple[float, float]] = CASES_PX,
    noise_grey_levels: float = NOISE_GREY_LEVELS,
    kinds: Sequence[str] | None = None,
) -> Iterator[dict[str, StructureTrial]]:
    """Judge all magnifiers on the same frames: for every kind and case a dictionary of trials by magnifier."""
    for kind, scenes in structures(photographs).items():
        if kinds is not None and kind not in kinds:
            continue
        for displacement_px, target_px in cases_px:
            yield judge(magnifiers, kind, scenes, Conditions(displacement_px, target_px, noise_grey_levels))


def judge(
    magnifiers: Mapping[str, Magnifier], kind: str, scenes: Sequence[StructureScene], conditions: Conditions
) -> dict[str, StructureTrial]:
    """Magnify each scene by each magnifier, and compare with the truth."""
    rng = np.random.default_rng(_SEED)
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in magnifiers}
    offsets: dict[str, list[NDArray[np.float64]]] = {name: [] for name in magnifiers}
    for scene in scenes:
        reference, frame, truth = film(scene, conditions, rng)
        touched, still = _masks(scene, conditions)
        for name, magnify in magnifiers.items():
            result = magnify(frame, reference, conditions.amplification)
            change = np.abs(result.astype(float) - frame)[still].mean() if still.any() else np.nan
            offsets[name].append(centre_line_offsets_px(result, scene, conditions.target_px))
            found[name].append((ssim_over(result, truth, touched), _rms(offsets[name][-1]), change))
    trials = {}
    for name, scores in found.items():
        similarity, off, change = np.array(scores).T
        drawn = np.concatenate(offsets[name])
        trials[name] = StructureTrial(
            **vars(conditions),
            kind=kind,
            ssim=float(similarity.mean()),
            ssim_spread=float(similarity.std()),
            centre_line_px=_rms(off),
            centre_line_median_px=float(np.median(np.abs(drawn))) if len(drawn) else float("nan"),
            still_change=float(change.mean()),
        )
    return trials


def film(
    scene: StructureScene, conditions: Conditions, rng: np.random.Generator
) -> tuple[Frame, Frame, Frame]:
    """Reference, frame and truth of a scene: u8[256, 256, 3] each; only the first two are noisy."""
    sigma = conditions.noise_grey_levels
    reference, frame = (
        noisy(exact, sigma, rng)
        for exact in (picture(scene, moved) for moved in (0.0, conditions.displacement_px))
    )
    return reference, frame, to_8_bit(picture(scene, conditions.target_px))


def ssim_over(result: Frame, truth: Frame, where: NDArray[np.bool_]) -> float:
    """Mean over some pixels of the SSIM of two pictures, as `model.training.validation.ssim` takes it."""
    _, every = structural_similarity(  # type: ignore[no-untyped-call]
        result, truth, win_size=11, channel_axis=2, data_range=255, full=True
    )
    return float(every.mean(axis=2)[where].mean())


def centre_line_px(result: Frame, scene: StructureScene, displacement_px: float) -> float:
    """RMS distance of a structure's drawn centre lines from the true ones; NaN where it has none."""
    return _rms(centre_line_offsets_px(result, scene, displacement_px))


def centre_line_offsets_px(
    result: Frame, scene: StructureScene, displacement_px: float
) -> NDArray[np.float64]:
    """Offsets of a structure's drawn centre lines from the true ones, at all their points; empty where it has none."""
    return np.concatenate(
        [np.empty(0), *(offsets_px(result, scene, line) for line in scene.lines(displacement_px))]
    )


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else float("nan")


def offsets_px(result: Frame, scene: StructureScene, line: CentreLine) -> NDArray[np.float64]:
    """Offset of a drawn line from its true place, along its normal in px, at each of its points.

    The profile drawn across the line is compared with that of the part before its known background at each candidate
    place; a parabola refines the best one to a fraction of a step.
    """
    places, span = round(SEARCH_PX / _STEP_PX), round((line.width_px / 2 + _BESIDE_PX) / _STEP_PX)
    across = np.arange(-places - span, places + span + 1) * _STEP_PX
    x = line.x_px[:, None] + across * line.normal_x[:, None]
    y = line.y_px[:, None] + across * line.normal_y[:, None]
    drawn, behind = (_sampled(source, x, y) for source in (result.astype(float), scene.background))
    paint = scene.painted(0.0)
    shifts = np.arange(-places, places + 1) * _STEP_PX
    cuts = np.arange(len(shifts))[:, None] + np.arange(2 * span + 1)  # (places, across)
    own = np.arange(-span, span + 1) * _STEP_PX
    profile = ndtr((line.width_px / 2 - own) / EDGE_SIGMA_PX) - ndtr(
        (-line.width_px / 2 - own) / EDGE_SIGMA_PX
    )
    model = behind[:, cuts] + profile[:, None] * (paint - behind[:, cuts])  # (points, places, across, 3)
    # Relative to the part's contrast there, so that places of low contrast are not preferred.
    contrast = (profile[:, None] * (paint - behind[:, cuts])) ** 2
    cost = ((drawn[:, cuts] - model) ** 2).sum(axis=(2, 3)) / (contrast.sum(axis=(2, 3)) + 100.0)
    smooth = np.ones(_ALONG_PX) / _ALONG_PX
    cost = np.apply_along_axis(lambda column: np.convolve(column, smooth, "valid"), 0, cost)
    best = np.clip(cost.argmin(axis=1), 1, len(shifts) - 2)
    at = np.arange(len(best))
    before, here, after = cost[at, best - 1], cost[at, best], cost[at, best + 1]
    bend = before - 2 * here + after
    fraction = np.where(bend > 1e-12, 0.5 * (before - after) / np.where(bend > 1e-12, bend, 1.0), 0.0)
    offsets: NDArray[np.float64] = shifts[best] + _STEP_PX * np.clip(fraction, -0.5, 0.5)
    return offsets


def _sampled(
    source: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    planes = [map_coordinates(source[..., c], (y, x), order=3, mode="nearest") for c in range(3)]
    return np.stack(planes, axis=-1)


def _masks(scene: StructureScene, conditions: Conditions) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Pixels that the structure touches in the frame or the magnified truth, and pixels far from all its places."""
    covered = [
        scene.coverage(moved) > 0.02 for moved in (0.0, conditions.displacement_px, conditions.target_px)
    ]
    inner = np.zeros(covered[0].shape, dtype=bool)
    inner[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX] = True
    touched = _around(covered[1] | covered[2], TOUCHED_AROUND_PX) & inner
    still = ~_around(covered[0] | covered[1] | covered[2], STILL_BEYOND_PX) & inner
    return touched, still


def _around(where: NDArray[np.bool_], px: int) -> NDArray[np.bool_]:
    near: NDArray[np.bool_] = binary_dilation(where, np.ones((3, 3), dtype=bool), iterations=px)
    return near
