"""Scores of magnifiers on the same inputs, against the truth and against FP32's pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tremorscope.calibration.judging.noise_floor import noise_floor_px
from tremorscope.calibration.pairs.calibration_set import CalibrationPair, Picture
from tremorscope.calibration.scales.tiles import FARTHEST_PX, largest_displacement_px
from tremorscope.model.evaluation.evaluate import Magnifier, still_frame_ssim, subpixel_test
from tremorscope.model.training.validation import ssim
from tremorscope.runtime.engines.interface.manifest import FrameSize

VIEW_PX = 256
_SET_VIEW_PX = 384


@dataclass(frozen=True)
class Condition:
    """A true displacement and the magnified one."""

    displacement_px: float
    target_px: float

    @property
    def amplification(self) -> float:
        """Magnified over true displacement."""
        return self.target_px / self.displacement_px

    def __str__(self) -> str:
        return f"{self.displacement_px:g} px x{self.amplification:g}"


CONDITIONS = (Condition(0.05, 10.0), Condition(1.0, 10.0))
"""Smallest motion at the largest amplification, where rounding costs most, and motion that is seen without."""


@dataclass(frozen=True)
class Material:
    """Photographs, pairs and conditions to judge on."""

    photographs: tuple[Picture, ...]
    pairs: tuple[CalibrationPair, ...] = ()
    """Pairs of the user's calibration set."""
    conditions: tuple[Condition, ...] = CONDITIONS
    noise_grey_levels: float = 2.0
    """Noise on the motionless pairs of the noise floor."""
    input_noise_grey_levels: float = 0.0
    """Noise on frame and reference of the sub-pixel test."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of pictures with FP32's pictures of the same inputs."""

    ssim: float
    mean_grey_levels: float
    worst_grey_levels: int


@dataclass(frozen=True)
class ConditionScore:
    """Scores of a magnifier under one condition."""

    condition: Condition
    ssim: float
    """SSIM to the truth, mean over photographs."""
    ssim_unmagnified: float
    reached_px: float
    reached_spread_px: float
    """Standard deviation between photographs."""
    noise_floor_px: float
    agreement: Agreement | None = None
    """Agreement with FP32; None for FP32 itself."""
    on_set: Agreement | None = None
    """Agreement with FP32 on the user's own frames; None for FP32 itself and without frames."""


@dataclass(frozen=True)
class MagnifierScore:
    """Scores of a magnifier under all conditions."""

    conditions: tuple[ConditionScore, ...]
    still_ssim: float
    """SSIM between a frame and its magnified version where the reference is the same frame."""


@dataclass
class Judge:
    """Scores magnifiers; the first is the yardstick for all that follow."""

    material: Material
    tick: Callable[[], None] = lambda: None
    """Called after every picture."""
    _yardstick: dict[str, list[Picture]] = field(default_factory=dict)

    def score(self, magnify: Magnifier) -> MagnifierScore:
        """Score a magnifier on the whole material."""
        conditions = tuple(self._under(magnify, condition) for condition in self.material.conditions)
        views = [centre(photograph, VIEW_PX) for photograph in self.material.photographs]
        return MagnifierScore(conditions, still_frame_ssim(self._counting(magnify), views))

    def pictures(self) -> int:
        """Number of pictures that one magnifier makes, for progress."""
        photographs, pairs = len(self.material.photographs), len(self.material.pairs)
        return len(self.material.conditions) * (2 * photographs + pairs) + photographs

    def _under(self, magnify: Magnifier, condition: Condition) -> ConditionScore:
        material, counting = self.material, self._counting(magnify)
        outputs: list[Picture] = []

        def recording(frame: Picture, reference: Picture, amplification: float) -> Picture:
            outputs.append(counting(frame, reference, amplification))
            return outputs[-1]

        (trial,) = subpixel_test(
            recording,
            material.photographs,
            target_px=condition.target_px,
            displacements_px=(condition.displacement_px,),
            noise_grey_levels=material.input_noise_grey_levels,
        )
        views = [centre(photograph, VIEW_PX) for photograph in material.photographs]
        floor = noise_floor_px(counting, views, condition.amplification, material.noise_grey_levels)
        on_set = [
            counting(frame, reference, min(condition.amplification, most))
            for frame, reference, most in self._views_of_pairs
        ]
        return ConditionScore(
            condition,
            trial.ssim,
            trial.ssim_unmagnified,
            trial.reached_px,
            trial.reached_spread_px,
            floor,
            self._agreement(f"test {condition}", outputs),
            self._agreement(f"set {condition}", on_set),
        )

    @cached_property
    def _views_of_pairs(self) -> list[tuple[Picture, Picture, float]]:
        """Frame, reference and largest amplification, by which the motion stays within the range of training."""
        views = []
        for pair in self.material.pairs:
            frame, reference = centre(pair.frame, _SET_VIEW_PX), centre(pair.reference, _SET_VIEW_PX)
            moved_px = largest_displacement_px(frame, reference)
            views.append((frame, reference, max(1.0, FARTHEST_PX / max(moved_px, 1e-6))))
        return views

    def _agreement(self, name: str, outputs: list[Picture]) -> Agreement | None:
        if not outputs:
            return None
        if name not in self._yardstick:
            self._yardstick[name] = outputs
            return None
        return agreement(outputs, self._yardstick[name])

    def _counting(self, magnify: Magnifier) -> Magnifier:
        def counted(frame: Picture, reference: Picture, amplification: float) -> Picture:
            self.tick()
            return magnify(frame, reference, amplification)

        return counted


def agreement(found: Sequence[Picture], fp32: Sequence[Picture]) -> Agreement:
    """Agreement of pictures with FP32's, over all of them."""
    errors = [np.abs(a.astype(np.int16) - b) for a, b in zip(found, fp32, strict=True)]
    return Agreement(
        ssim=float(np.mean([ssim(a, b) for a, b in zip(found, fp32, strict=True)])),
        mean_grey_levels=float(np.mean([error.mean() for error in errors])),
        worst_grey_levels=int(max(error.max() for error in errors)),
    )


def centre(picture: Picture, most_px: int) -> Picture:
    """Central part of a picture, at most ``most_px`` a side."""
    height, width = (min(side, most_px) for side in picture.shape[:2])
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def fitted(magnify: Magnifier, size: FrameSize | None) -> Magnifier:
    """Adapt a magnifier of one frame size to smaller pictures, which are padded by their mirror image."""
    if size is None:
        return magnify

    def whole(frame: Picture, reference: Picture, amplification: float) -> Picture:
        height, width = frame.shape[:2]
        above, before = (size.height_px - height) // 2, (size.width_px - width) // 2
        margins = (above, size.height_px - height - above), (before, size.width_px - width - before), (0, 0)
        wide, wide_reference = (np.pad(each, margins, mode="symmetric") for each in (frame, reference))
        result = magnify(wide, wide_reference, amplification)
        return np.ascontiguousarray(result[above : above + height, before : before + width])

    return whole
