"""The job of ``tremorscope compare``: from bundles to a report, and a mark in each manifest."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tremorscope.calibration.comparison.comparison import (
    PAIRS,
    PHOTOGRAPHS,
    PrecisionComparison,
    compare,
    drawn_photographs,
    mark,
    material_of,
    sensitivity_of,
)
from tremorscope.calibration.comparison.contestants import features_subtracted, open_contestants
from tremorscope.calibration.comparison.report import draw_pictures, report_page
from tremorscope.calibration.comparison.verdict import LimitChanges
from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.pairs.calibration_set import CalibrationSet
from tremorscope.calibration.quantise.sensitivity import Sensitivity
from tremorscope.model.evaluation.scenes import read_evaluation_photographs
from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.host.files import whole_directory

REPORT, FIGURES = "report.html", "comparison.json"


@dataclass(frozen=True)
class CompareJob:
    """Options of ``tremorscope compare``."""

    bundles: tuple[Path, ...]
    output: Path
    calibration: Path | None = None
    photographs: Path | None = None
    most: int = PHOTOGRAPHS
    pairs: int = PAIRS
    noise_grey_levels: float = 2.0
    input_noise_grey_levels: float = 0.0
    limits: LimitChanges = field(default_factory=LimitChanges)
    sensitivity: bool = True
    """Measure the quality that each layer of an INT8 bundle costs."""
    proof: bool = True
    """Add INT8 with subtracted features instead of subtracted pixels, for comparison."""
    mark: bool = True
    overwrite: bool = False


def run_comparison(job: CompareJob, progress: Callable[[int, int | None], None]) -> PrecisionComparison:
    """Compare, write the report, and only then mark the bundles.

    Raises:
        Fault: a bundle, the set or a photograph cannot be used, or something cannot be written.
    """
    contestants = open_contestants(job.bundles)
    calibration = None
    if job.calibration is not None:
        calibration = CalibrationSet.open(job.calibration)
        for contestant in contestants:
            _check_size(contestant.bundle.manifest.frame_size if contestant.bundle else None, calibration)
    photographs = (
        tuple(read_evaluation_photographs(job.photographs, job.most))
        if job.photographs
        else drawn_photographs(job.most)
    )
    material = material_of(
        photographs,
        calibration,
        job.pairs,
        noise_grey_levels=job.noise_grey_levels,
        input_noise_grey_levels=job.input_noise_grey_levels,
    )
    with (
        whole_directory(job.output, overwrite=job.overwrite, names={REPORT, FIGURES}) as directory,
        tempfile.TemporaryDirectory() as scratch,
    ):
        if job.proof and (shown := features_subtracted(contestants, photographs, Path(scratch))):
            contestants.append(shown)
        verdicts = compare(contestants, material, job.limits, progress)
        comparison = PrecisionComparison(
            verdicts,
            material,
            f"from {job.photographs.name}" if job.photographs else "drawn",
            calibration.sha256 if calibration else None,
            sensitivity_of(contestants, material, job.limits, progress) if job.sensitivity else None,
        )
        page = report_page(comparison, draw_pictures(contestants, material))
        (directory / REPORT).write_text(page, encoding="utf-8")
        (directory / FIGURES).write_text(json.dumps(comparison.as_json(), indent=1), encoding="utf-8")
    if job.mark:
        mark(comparison)
    return comparison


def _check_size(size: FrameSize | None, calibration: CalibrationSet) -> None:
    if size is not None and (size.width_px < calibration.width_px or size.height_px < calibration.height_px):
        raise CalibrationFault(
            f"{calibration.directory}: {calibration.width_px}x{calibration.height_px} px do not fit a bundle for "
            f"{size.width_px}x{size.height_px} px",
            remedy="name a set of the bundle's size",
        )


def summary_lines(comparison: PrecisionComparison) -> list[str]:
    """The comparison for a terminal."""
    width = max(6, *(len(verdict.contestant.name) for verdict in comparison.verdicts))
    lines = [
        f"{'bundle':<{width}}  condition        SSIM      reached   gain error  noise floor       "
        "worst, mean grey levels"
    ]
    fp32 = comparison.verdicts[0].score
    for verdict in comparison.verdicts:
        for first, each in zip(fp32.conditions, verdict.score.conditions, strict=True):
            gain = "" if each is first else f"{each.reached_px / first.reached_px - 1:+.2%}"
            ratio = "" if each is first else f"({each.noise_floor_px / first.noise_floor_px:.3f}x)"
            found = each.agreement
            worst = "" if found is None else f"{found.worst_grey_levels:3d}, {found.mean_grey_levels:.3f}"
            lines.append(
                f"{verdict.contestant.name:<{width}}  {each.condition!s:<12}  {each.ssim:7.4f}  "
                f"{each.reached_px:7.3f} px  {gain:>10}  {each.noise_floor_px:.5f} {ratio:<9}  {worst}"
            )
    lines.append("")
    for verdict in comparison.verdicts[1:]:
        if verdict.contestant.is_for_show:
            continue
        state = "deployable" if verdict.deployable else "not deployable"
        lines.append(f"{verdict.contestant.name}: {state}, {verdict.contestant.nbytes / 1e6:.2f} MB")
        lines += [f"  {reason}" for reason in verdict.reasons]
    if comparison.sensitivity is not None:
        lines += ["", *_sensitivity_lines(comparison.sensitivity)]
    return lines


def _sensitivity_lines(sensitivity: Sensitivity) -> list[str]:
    costliest = ", ".join(f"{each.layer} {each.share:.0%}" for each in sensitivity.layers[:4])
    proposal = sensitivity.proposal
    if proposal is None:
        most = len(sensitivity.trials[-1].layers)
        advice = f"keeping the {most} costliest in floating point does not suffice: the loss is spread over many layers"
    elif proposal.layers:
        kept = " ".join(f"--keep-fp16 {layer}" for layer in proposal.layers)
        advice = f"proposal: tremorscope calibrate quantise ... {kept}"
    else:
        advice = "nothing needs to be kept in floating point"
    return [f"costliest layers in INT8: {costliest}", advice]
