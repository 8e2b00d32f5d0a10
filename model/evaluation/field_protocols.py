"""The protocols of three publications, by name, on the project's own pictures.

What they vary and how they judge is theirs; their pictures are not public, or not to be copied, so figures compare
methods judged here with each other, and with the published ones only as orders of magnitude.

axial: Byung-Ki et al., "Learning-based axial video motion magnification", ECCV 2024, its evaluation of methods that
magnify in all directions: two layers that move apart, 15 displacements and, at 0.05 px, 21 levels of noise, all to
10 px; SSIM with a Gaussian window, 3 px of border left out.

fd4mm: Wang et al., "Frequency decoupling for motion magnification via multi-level isomorphic architecture", CVPR 2024:
a disc over a still background, by amplification and by noise.

geomag: Han et al., "GeoMag", arXiv 2605.29762: PSNR of parts that move along, turn, are noisy and are blurred.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from tremorscope.model.evaluation.evaluate import Conditions, Magnifier
from tremorscope.model.evaluation.scenes import GOLDEN_ANGLE, Blob, Frame, WholeFrame, blobs, noisy
from tremorscope.model.evaluation.structures import picture as structure_picture
from tremorscope.model.evaluation.structures import structures
from tremorscope.model.pairs.drawing import to_8_bit

Shown = Callable[[float], NDArray[np.float64]]
"""The picture, in grey levels, of something that has moved so many px: 256 x 256 x 3."""

BORDER_PX = 3
AXIAL_DISPLACEMENTS_PX = (
    0.04,
    0.05,
    0.063,
    0.079,
    0.1,
    0.13,
    0.16,
    0.2,
    0.25,
    0.32,
    0.4,
    0.5,
    0.63,
    0.79,
    1.0,
)
AXIAL_NOISE_GREY_LEVELS = tuple(round(10 ** (step / 5), 4) for step in range(-10, 11))
AXIAL_TARGET_PX = 10.0
AXIAL_NOISE_DISPLACEMENT_PX = 0.05
FD4MM_AMPLIFICATIONS = (5.0, 10.0, 20.0, 50.0, 100.0)
FD4MM_NOISE_OF_FULL_SCALE = (0.01, 0.05, 0.1, 0.2)
FD4MM_DISPLACEMENT_PX = 0.1
FD4MM_NOISE_AMPLIFICATION = 10.0
"""Displacement, and the amplification under noise, are not published: chosen here."""
GEOMAG_CONDITIONS = Conditions(0.25, 5.0)
"""Chosen here, within the published range of amplifications."""
GEOMAG_NOISE_GREY_LEVELS = 5.0
GEOMAG_BLUR_SIGMA_PX = 1.5
NAMES = ("axial", "fd4mm", "geomag")
_LEAST_SQUARE = 1.0 / 12.0
"""Mean square of rounding to 8 bits: no picture is nearer to a truth than that."""
_SEED = 0


@dataclass(frozen=True)
class FieldCase:
    """One column of a protocol's table."""

    kind: str
    conditions: Conditions
    scenes: tuple[Shown, ...]


@dataclass(frozen=True)
class FieldTrial(Conditions):
    """Result of one case, over several scenes."""

    kind: str = ""
    ssim: float = 0.0
    """With a Gaussian window of 1.5 px, 3 px of border left out."""
    ssim_spread: float = 0.0
    """Standard deviation between scenes."""
    psnr_db: float = 0.0
    """Mean over scenes, over the same pixels."""


def field_cases(name: str, photographs: Sequence[Frame]) -> list[FieldCase]:
    """The cases of a protocol, by its name among `NAMES`, on these photographs."""
    return {"axial": _axial, "fd4mm": _fd4mm, "geomag": _geomag}[name](photographs)


def run(magnifiers: Mapping[str, Magnifier], cases: Sequence[FieldCase]) -> Iterator[dict[str, FieldTrial]]:
    """All magnifiers on the very same frames: a dictionary of trials by magnifier for every case, in order."""
    for case in cases:
        yield judge(magnifiers, case)


def judge(magnifiers: Mapping[str, Magnifier], case: FieldCase) -> dict[str, FieldTrial]:
    """Magnify each scene of a case by each magnifier, and compare with the truth."""
    rng = np.random.default_rng(_SEED)
    asked = case.conditions
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in magnifiers}
    for shown in case.scenes:
        reference, frame = (
            noisy(exact, asked.noise_grey_levels, rng) for exact in (shown(0.0), shown(asked.displacement_px))
        )
        truth = to_8_bit(shown(asked.target_px))
        for name, magnify in magnifiers.items():
            result = magnify(frame, reference, asked.amplification)
            found[name].append((gaussian_ssim(result, truth), psnr_db(result, truth)))
    trials = {}
    for name, scores in found.items():
        similarity, peak = np.array(scores).T
        trials[name] = FieldTrial(
            **vars(asked),
            kind=case.kind,
            ssim=float(similarity.mean()),
            ssim_spread=float(similarity.std()),
            psnr_db=float(peak.mean()),
        )
    return trials


def gaussian_ssim(result: Frame, truth: Frame) -> float:
    """SSIM as Wang et al. (2004) state it, over three colours, without the border: 11 px, Gaussian of 1.5 px."""
    inner = slice(BORDER_PX, -BORDER_PX)
    similarity = structural_similarity(  # type: ignore[no-untyped-call]
        result[inner, inner],
        truth[inner, inner],
        channel_axis=2,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(similarity)


def psnr_db(result: Frame, truth: Frame) -> float:
    """Peak signal over error in dB, without the border; at most 58.9, which is rounding."""
    inner = slice(BORDER_PX, -BORDER_PX)
    square = float(np.mean((result[inner, inner].astype(float) - truth[inner, inner]) ** 2))
    return float(10.0 * np.log10(255.0**2 / max(square, _LEAST_SQUARE)))


@dataclass(frozen=True)
class DiscOverPhotograph:
    """A disc cut from one photograph over another: both move as far, each in a direction of its own."""

    behind: WholeFrame
    before: Blob

    def __call__(self, displacement_px: float) -> NDArray[np.float64]:
        """The picture, 256 x 256 x 3."""
        coverage = self.before.coverage(displacement_px)
        seen: NDArray[np.float64] = coverage * self.before.carried(displacement_px) + (
            1.0 - coverage
        ) * self.behind.picture(displacement_px)
        return seen


def _axial(photographs: Sequence[Frame]) -> list[FieldCase]:
    scenes = tuple(
        DiscOverPhotograph(WholeFrame(disc.background, disc.angle + GOLDEN_ANGLE / 2), disc)
        for disc in blobs(photographs)
    )
    moved = [FieldCase("sub-pixel", Conditions(d, AXIAL_TARGET_PX), scenes) for d in AXIAL_DISPLACEMENTS_PX]
    noised = (
        Conditions(AXIAL_NOISE_DISPLACEMENT_PX, AXIAL_TARGET_PX, sigma) for sigma in AXIAL_NOISE_GREY_LEVELS
    )
    return moved + [FieldCase("noise", conditions, scenes) for conditions in noised]


def _fd4mm(photographs: Sequence[Frame]) -> list[FieldCase]:
    scenes = tuple(disc.picture for disc in blobs(photographs))
    d = FD4MM_DISPLACEMENT_PX
    by_amplification = (Conditions(d, d * each) for each in FD4MM_AMPLIFICATIONS)
    by_noise = (
        Conditions(d, d * FD4MM_NOISE_AMPLIFICATION, 255.0 * each) for each in FD4MM_NOISE_OF_FULL_SCALE
    )
    return [FieldCase("amplification", each, scenes) for each in by_amplification] + [
        FieldCase("noise", each, scenes) for each in by_noise
    ]


def _geomag(photographs: Sequence[Frame]) -> list[FieldCase]:
    along = tuple(disc.picture for disc in blobs(photographs))
    turning = tuple(partial(structure_picture, disc) for disc in structures(photographs)["turning disc"])
    asked = GEOMAG_CONDITIONS
    noised = Conditions(asked.displacement_px, asked.target_px, GEOMAG_NOISE_GREY_LEVELS)
    return [
        FieldCase("translation", asked, along),
        FieldCase("rotation", asked, turning),
        FieldCase("noise", noised, along),
        FieldCase("blur", asked, tuple(partial(_blurred, shown) for shown in along)),
    ]


def _blurred(shown: Shown, displacement_px: float) -> NDArray[np.float64]:
    blurred: NDArray[np.float64] = gaussian_filter(
        shown(displacement_px), (GEOMAG_BLUR_SIGMA_PX, GEOMAG_BLUR_SIGMA_PX, 0.0)
    )
    return blurred
