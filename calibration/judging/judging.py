"""Judges one magnifier after another on the same inputs, and each against what FP32 made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tremorscope.calibration.judging.noise_floor import noise_floor_px
from tremorscope.calibration.pairs.calibration_set import CalibrationPair, Picture
from tremorscope.calibration.scales.tiles import largest_displacement_px
from tremorscope.model.evaluation.evaluate import Magnifier, still_frame_ssim, subpixel_test
from tremorscope.model.training.validation import ssim
from tremorscope.runtime.engines.interface.bundle import FrameSize

VIEW_PX = 256
_SET_VIEW_PX = 384
_FARTHEST_PX = 30.0
"""The largest magnified motion of the training."""


@dataclass(frozen=True)
class Condition:
    """A displacement and what it is to become."""

    displacement_px: float
    target_px: float

    @property
    def amplification(self) -> float:
        """Magnified over true displacement."""
        return self.target_px / self.displacement_px

    def __str__(self) -> str:
        return f"{self.displacement_px:g} px x{self.amplification:g}"


CONDITIONS = (Condition(0.05, 10.0), Condition(1.0, 10.0))
"""The smallest motion at the largest amplification, where rounding hurts most, and plain motion."""


@dataclass(frozen=True)
class Material:
    """What everything is judged on."""

    photographs: tuple[Picture, ...]
    pairs: tuple[CalibrationPair, ...] = ()
    """Of the user's calibration set."""
    conditions: tuple[Condition, ...] = CONDITIONS
    noise_grey_levels: float = 2.0
    """Of the motionless pairs on which the noise floor is measured."""
    input_noise_grey_levels: float = 0.0
    """Of the sub-pixel test."""


@dataclass(frozen=True)
class Agreement:
    """How close pictures are to those that FP32 made of the same."""

    ssim: float
    mean_grey_levels: float
    worst_grey_levels: int


@dataclass(frozen=True)
class ConditionScore:
    """A magnifier under one condition."""

    condition: Condition
    ssim: float
    """Against the truth, mean over photographs."""
    ssim_unmagnified: float
    reached_px: float
    reached_spread_px: float
    """Standard deviation between photographs."""
    noise_floor_px: float
    agreement: Agreement | None = None
    """With FP32; None for FP32 itself."""
    on_set: Agreement | None = None
    """The same on the user's own frames."""


@dataclass(frozen=True)
class Score:
    """A magnifier under all conditions."""

    conditions: tuple[ConditionScore, ...]
    still_ssim: float
    """Of what becomes of a frame that equals its reference."""


@dataclass
class Judge:
    """Scores magnifiers; the first is the yardstick for all that follow."""

    material: Material
    tick: Callable[[], None] = lambda: None
    """Called after every picture."""
    _yardstick: dict[str, list[Picture]] = field(default_factory=dict)

    def score(self, magnify: Magnifier) -> Score:
        """Judge a magnifier on everything."""
        conditions = tuple(self._under(magnify, condition) for condition in self.material.conditions)
        views = [centre(photograph, VIEW_PX) for photograph in self.material.photographs]
        return Score(conditions, still_frame_ssim(self._counting(magnify), views))

    def pictures(self) -> int:
        """How many pictures one magnifier makes."""
        photographs, pairs = len(self.material.photographs), len(self.material.pairs)
        return len(self.material.conditions) * (2 * photographs + pairs) + photographs

    def _under(self, magnify: Magnifier, condition: Condition) -> ConditionScore:
        material, counting = self.material, self._counting(magnify)
        outputs: list[Picture] = []

        def recording(frame: Picture, reference: Picture, amplification: float) -> Picture:
            outputs.append(counting(frame, reference, amplification))
            return outputs[-1]

        (trial,) = subpixel_test(
            recording, material.photographs, target_px=condition.target_px,
            displacements_px=(condition.displacement_px,), noise_grey_levels=material.input_noise_grey_levels,
        )  # fmt: skip
        views = [centre(photograph, VIEW_PX) for photograph in material.photographs]
        floor = noise_floor_px(counting, views, condition.amplification, material.noise_grey_levels)
        on_set = [
            counting(frame, reference, min(condition.amplification, most))
            for frame, reference, most in self._views_of_pairs
        ]
        return ConditionScore(
            condition, trial.ssim, trial.ssim_unmagnified, trial.reached_px, trial.reached_spread_px, floor,
            self._agreement(f"test {condition}", outputs), self._agreement(f"set {condition}", on_set),
        )  # fmt: skip

    @cached_property
    def _views_of_pairs(self) -> list[tuple[Picture, Picture, float]]:
        """Frame, reference and the most amplification: what moves most goes no further than networks draw."""
        views = []
        for pair in self.material.pairs:
            frame, reference = centre(pair.frame, _SET_VIEW_PX), centre(pair.reference, _SET_VIEW_PX)
            moved_px = largest_displacement_px(frame, reference)
            views.append((frame, reference, max(1.0, _FARTHEST_PX / max(moved_px, 1e-6))))
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
    """How close pictures are to those of FP32, one by one."""
    errors = [np.abs(a.astype(np.int16) - b) for a, b in zip(found, fp32, strict=True)]
    return Agreement(
        ssim=float(np.mean([ssim(a, b) for a, b in zip(found, fp32, strict=True)])),
        mean_grey_levels=float(np.mean([error.mean() for error in errors])),
        worst_grey_levels=int(max(error.max() for error in errors)),
    )


def centre(picture: Picture, most_px: int) -> Picture:
    """The middle of a picture, at most so many px a side."""
    height, width = (min(side, most_px) for side in picture.shape[:2])
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def fitted(magnify: Magnifier, size: FrameSize | None) -> Magnifier:
    """A magnifier of one frame size as one of any smaller size: pictures are continued by their mirror image."""
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
