"""Comparison of bundles of one network: loss of quality by precision, and fitness for deployment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tremorscope.calibration.comparison.contestants import Contestant
from tremorscope.calibration.comparison.verdict import (
    LimitChanges,
    Loss,
    LossLimits,
    displacement_error,
    noise_ratio,
    ssim_loss,
    worst_pixel,
)
from tremorscope.calibration.judging.judging import Judge, MagnifierScore, Material
from tremorscope.calibration.pairs.calibration_set import CalibrationSet, Picture
from tremorscope.calibration.quantise.sensitivity import Sensitivity, measure_sensitivity
from tremorscope.model.evaluation.evaluate import Magnifier
from tremorscope.model.pairs.drawing import draw_picture
from tremorscope.runtime.engines.interface.manifest import MANIFEST_NAME, write_manifest
from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.host.files import cannot_be_written

PHOTOGRAPHS, PAIRS = 8, 16
"""Default numbers of photographs and of pairs to judge on."""
_DRAWN_PX = 448
_SENSITIVITY_PHOTOGRAPHS = 3


@dataclass(frozen=True)
class Verdict:
    """Scores and losses of one contestant."""

    contestant: Contestant
    score: MagnifierScore
    losses: tuple[Loss, ...]
    """Losses against FP32, within the limits or not; empty for the yardstick."""

    @property
    def reasons(self) -> list[str]:
        """Reasons against deployment; empty if it may be deployed."""
        return reasons_of(self.losses)

    @property
    def deployable(self) -> bool:
        """True if all losses are within the limits; always true for contestants that are only shown."""
        return not self.reasons or self.contestant.is_for_show


@dataclass(frozen=True)
class PrecisionComparison:
    """Result of a comparison; the first verdict is the yardstick's."""

    verdicts: tuple[Verdict, ...]
    material: Material
    photographs_from: str
    calibration_sha256: str | None
    sensitivity: Sensitivity | None = None
    """Sensitivity of the first INT8 bundle's layers; None if not measured."""

    @property
    def network(self) -> str:
        """Name of the network."""
        found = next(v.contestant.bundle for v in self.verdicts if v.contestant.bundle is not None)
        return found.manifest.network

    def as_json(self) -> dict[str, Any]:
        """Plain values for comparison.json."""
        return {
            "judged_on": self._judged_on(),
            "bundles": [
                {
                    "name": verdict.contestant.name,
                    "directory": str(verdict.contestant.bundle.directory)
                    if verdict.contestant.bundle
                    else None,
                    "precision": verdict.contestant.precision,
                    "nbytes": verdict.contestant.nbytes,
                    "deployable": verdict.deployable and not verdict.contestant.is_for_show,
                    "is_for_show": verdict.contestant.is_for_show,
                    "reasons": verdict.reasons,
                    **asdict(verdict.score),
                    "losses": [asdict(loss) | {"exceeds": loss.exceeds} for loss in verdict.losses],
                }
                for verdict in self.verdicts
            ],
            "sensitivity": asdict(self.sensitivity) if self.sensitivity else None,
        }

    def accuracy_of(self, verdict: Verdict) -> dict[str, Any]:
        """Entry ``accuracy`` of a bundle's manifest."""
        return {
            "compared_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "compared_with": self.verdicts[0].contestant.name,
            "judged_on": self._judged_on(),
            "still_ssim": round(verdict.score.still_ssim, 5),
            "conditions": {
                str(each.condition): {
                    "ssim": round(each.ssim, 5),
                    "reached_px": round(each.reached_px, 4),
                    "noise_floor_px": float(f"{each.noise_floor_px:.4g}"),
                    "worst_grey_levels": each.agreement.worst_grey_levels if each.agreement else 0,
                    "mean_grey_levels": round(each.agreement.mean_grey_levels, 4) if each.agreement else 0.0,
                }
                for each in verdict.score.conditions
            },
            "limits": {f"{loss.where}, {loss.what}": loss.limit for loss in verdict.losses},
            "reasons": verdict.reasons,
            "tremorscope": version("tremorscope"),
        }

    def _judged_on(self) -> dict[str, Any]:
        return {
            "photographs": self.photographs_from,
            "photographs_count": len(self.material.photographs),
            "calibration_sha256": self.calibration_sha256,
            "calibration_pairs": len(self.material.pairs),
            "noise_grey_levels": self.material.noise_grey_levels,
            "input_noise_grey_levels": self.material.input_noise_grey_levels,
        }


def drawn_photographs(count: int = PHOTOGRAPHS) -> tuple[Picture, ...]:
    """Pictures to judge on where there are no photographs."""
    return tuple(draw_picture(1000 + seed, _DRAWN_PX) for seed in range(count))


def material_of(
    photographs: tuple[Picture, ...], calibration: CalibrationSet | None, pairs: int = PAIRS, **settings: Any
) -> Material:
    """Material to judge on, with ``pairs`` pairs spread evenly over a calibration set."""
    chosen = []
    if calibration is not None:
        at = sorted(
            {round(index) for index in np.linspace(0, len(calibration) - 1, min(pairs, len(calibration)))}
        )
        chosen = [calibration.read(index) for index in at]
    return Material(photographs, tuple(chosen), **settings)


def compare(
    contestants: Sequence[Contestant],
    material: Material,
    changes: LimitChanges,
    progress: Callable[[int, int | None], None] = lambda _done, _total: None,
) -> tuple[Verdict, ...]:
    """Judge all contestants; the first is the yardstick."""
    done = 0
    judge = Judge(material)
    total = judge.pictures() * len(contestants)

    def tick() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    judge.tick = tick
    scores = [judge.score(contestant.magnify) for contestant in contestants]
    return tuple(
        Verdict(
            contestant, score, () if index == 0 else tuple(_losses(scores[0], score, contestant, changes))
        )
        for index, (contestant, score) in enumerate(zip(contestants, scores, strict=True))
    )


def sensitivity_of(
    contestants: Sequence[Contestant],
    material: Material,
    changes: LimitChanges,
    progress: Callable[[int, int | None], None],
) -> Sensitivity | None:
    """Sensitivity of the layers of the first INT8 bundle; None without an FP32 and an INT8 bundle of one frame size."""
    fp32, int8 = (
        next((each.bundle for each in contestants if each.bundle and each.precision == precision), None)
        for precision in ("fp32", "int8")
    )
    if fp32 is None or int8 is None or fp32.manifest.frame_size != int8.manifest.frame_size:
        return None
    some = replace(material, photographs=material.photographs[:_SENSITIVITY_PHOTOGRAPHS], pairs=())
    judge, limits = Judge(some), changes.applied_to("int8")
    yardstick = judge.score(next(each.magnify for each in contestants if each.bundle is fp32))

    def losses(magnify: Magnifier) -> list[str]:
        return reasons_of(losses_of(yardstick, judge.score(magnify), limits))

    return measure_sensitivity(
        onnx.load(str(fp32.graph_path("pairwise"))),
        onnx.load(str(int8.graph_path("pairwise"))),
        some.photographs,
        some.conditions,
        losses,
        progress,
        fp32.manifest.frame_size,
    )


def _losses(
    fp32: MagnifierScore, found: MagnifierScore, contestant: Contestant, changes: LimitChanges
) -> list[Loss]:
    return losses_of(fp32, found, changes.applied_to(contestant.precision))


def losses_of(fp32: MagnifierScore, found: MagnifierScore, limits: LossLimits) -> list[Loss]:
    """All losses of a magnifier against FP32, within the limits or not."""
    losses = []
    for before, after in zip(fp32.conditions, found.conditions, strict=True):
        where = str(after.condition)
        losses += [
            ssim_loss(where, before.ssim, after.ssim, limits),
            displacement_error(where, before.reached_px, after.reached_px, limits),
            noise_ratio(where, before.noise_floor_px, after.noise_floor_px, limits),
        ]
        if after.agreement is not None:
            worst = worst_pixel(where, after.agreement.worst_grey_levels, limits)
            losses += [worst] if worst else []
    return [*losses, ssim_loss("still frame", fp32.still_ssim, found.still_ssim, limits)]


def reasons_of(losses: Sequence[Loss]) -> list[str]:
    """Losses beyond the limits, one line each."""
    return [f"{loss.where}: {loss.text}" for loss in losses if loss.exceeds]


def mark(comparison: PrecisionComparison) -> None:
    """Write figures and verdict to each bundle's manifest, except shipped ones: see `left_unmarked`.

    Raises:
        OutputFault: a manifest cannot be written.
    """
    by_bundle: dict[Path, list[Verdict]] = {}
    for verdict in comparison.verdicts:
        if verdict.contestant.bundle is not None and not verdict.contestant.bundle.is_shipped:
            by_bundle.setdefault(verdict.contestant.bundle.directory, []).append(verdict)
    for verdicts in by_bundle.values():
        bundle = verdicts[0].contestant.bundle
        assert bundle is not None
        accuracy = comparison.accuracy_of(verdicts[0])
        if len(verdicts) > 1:
            accuracy["on_a_cpu"] = comparison.accuracy_of(verdicts[1])
        accuracy["reasons"] = [
            f"{'' if index == 0 else 'on a CPU: '}{reason}"
            for index, verdict in enumerate(verdicts)
            for reason in verdict.reasons
        ]
        noted = bundle.manifest.model_copy(
            update={"accuracy": accuracy, "deployable": not accuracy["reasons"]}
        )
        try:
            write_manifest(bundle.directory, noted)
        except OSError as error:
            fault = cannot_be_written(bundle.directory / MANIFEST_NAME, error)
            raise OutputFault(
                fault.what, remedy="make it writable, or leave it as it is with --no-mark"
            ) from None


def left_unmarked(comparison: PrecisionComparison) -> list[str]:
    """A line for each shipped bundle, which is not marked, since installations must not differ."""
    bundles = [verdict.contestant.bundle for verdict in comparison.verdicts]
    names = dict.fromkeys(bundle.directory.name for bundle in bundles if bundle and bundle.is_shipped)
    return [
        f"{name}: came with this installation and is not marked; its verdict stands in comparison.json, beside the "
        "report (to have it marked, copy its directory and compare the copy)"
        for name in names
    ]
