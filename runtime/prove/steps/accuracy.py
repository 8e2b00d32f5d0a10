"""Engines against ONNX Runtime, in grey levels: every precision, both graphs, thirty steps of the drawn structure."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tremorscope.runtime.engines.interface.bundle import Bundle
from tremorscope.runtime.engines.interface.manifest import GraphName, Precision
from tremorscope.runtime.engines.selection import RuntimeChoice
from tremorscope.runtime.engines.tensorrt.build_job import BuildJob, build_bundle
from tremorscope.runtime.prove.outcome import Outcome, Row, StepFindings
from tremorscope.runtime.prove.pictures import PictureJob, draw, magnify_apart, pictures_of
from tremorscope.runtime.prove.plan import ProvePlan
from tremorscope.runtime.prove.tensorrt import engines_directory, has_tensorrt

Limits = tuple[float, float]
"""Limits of mean and 99.9th percentile of the difference, in grey levels."""
# Against ONNX Runtime on the same graph. FP32 and FP16 differ by the order of sums, which a magnified edge shows; in
# INT8 the kernels also round at other places.
_LIMITS: dict[Precision, Limits] = {"fp32": (0.02, 1.0), "fp16": (0.1, 2.0), "int8": (0.5, 4.0)}
# Against FP32: the loss by the precision itself (docs/precision.md).
_LIMITS_TO_FP32: dict[Precision, Limits] = {"fp16": (0.1, 2.0), "int8": (1.0, 12.0)}
_COLUMNS = ["bundle", "precision", "graph", "against", "mean", "99.9 %", "worst", "limits"]


@dataclass(frozen=True)
class Pair:
    """Pictures of a graph by the engine under test, and the pictures that they are compared with."""

    bundle: Bundle
    graph: GraphName
    against: str
    engine: PictureJob
    truth: PictureJob
    limits: Limits


def run(plan: ProvePlan, findings: StepFindings) -> Outcome:
    """Compare every available bundle."""
    bundles = plan.all_bundles()
    precisions = {bundle.manifest.precision for bundle in bundles}
    for missing in sorted({"fp16", "int8"} - precisions):
        how = "tremorscope export --precision fp16" if missing == "fp16" else "tremorscope calibrate quantise"
        findings.fact(missing, f"not looked at: no bundle of it is here ({how}, then --bundle DIR)")
    on_gpu, rows = has_tensorrt(plan), list[Row]()
    findings.fact("on_tensorrt", on_gpu)
    with tempfile.TemporaryDirectory(dir=plan.work) as name:
        directory, size = Path(name), plan.small_size
        draw(size.width_px, size.height_px, 8 if plan.quick else 30, directory / "frames.npy")
        for bundle in bundles if on_gpu else ():
            job = BuildJob(bundle.directory, size=size, output=engines_directory(plan, bundle))
            list(build_bundle(job, lambda *_: None))
        pairs = list(_pairs(plan, bundles, directory, on_gpu=on_gpu))
        magnify_apart(_each_once(pair.truth for pair in pairs))
        magnify_apart(_each_once(pair.engine for pair in pairs))
        for pair in pairs:
            rows.append(_compare(pair, findings))
    findings.table("Difference in grey levels (of 255)", _COLUMNS, rows)
    worst = max((float(row[4] or 0) for row in rows), default=0.0)
    names = ", ".join(sorted(each.upper() for each in precisions))
    return findings.outcome(
        f"{names}: at most {worst:.3f} grey levels in the mean, over {len(rows)} comparisons"
    )


def _pairs(plan: ProvePlan, bundles: list[Bundle], directory: Path, *, on_gpu: bool) -> Iterator[Pair]:
    """Each graph against ONNX Runtime on the same, and against FP32; on a PC the engine is one on one thread."""
    references = {each.manifest.network: each for each in bundles if each.manifest.precision == "fp32"}

    def job(
        bundle: Bundle, graph: GraphName, runtime: RuntimeChoice, threads: int | None = None
    ) -> PictureJob:
        of = f"{bundle.directory.name}-{bundle.manifest.precision}-{graph}-{runtime}-{threads or 'all'}"
        return PictureJob(
            bundle=str(bundle.directory),
            graph=graph,
            runtime=runtime,
            engines=str(engines_directory(plan, bundle)) if runtime == "tensorrt" else None,
            frames=str(directory / "frames.npy"),
            threads=threads,
            as_tensorrt=on_gpu,
            result=str(directory / f"{of}.npy"),
        )

    for bundle in bundles:
        precision = bundle.manifest.precision
        for graph in bundle.manifest.graphs:
            engine = job(bundle, graph, "tensorrt") if on_gpu else job(bundle, graph, "onnxruntime", 1)
            against = "ONNX Runtime" if on_gpu else "itself on all threads"
            truth = job(bundle, graph, "onnxruntime")
            yield Pair(bundle, graph, against, engine, truth, _LIMITS[precision])
            reference = references.get(bundle.manifest.network)
            if reference is not None and precision in _LIMITS_TO_FP32:
                truth = job(reference, graph, "onnxruntime")
                yield Pair(bundle, graph, "FP32 by ONNX Runtime", engine, truth, _LIMITS_TO_FP32[precision])


def _compare(pair: Pair, findings: StepFindings) -> Row:
    off = np.abs(pictures_of(pair.engine).astype(np.int16) - pictures_of(pair.truth))
    mean, high, worst = float(off.mean()), float(np.percentile(off, 99.9)), int(off.max())
    most_mean, most_high = pair.limits
    name, precision = pair.bundle.directory.name, pair.bundle.manifest.precision
    findings.check(
        f"{name}, {pair.graph}, against {pair.against}",
        f"{mean:.3f} in the mean, {high:.1f} at 99.9 %",
        f"{most_mean:g} and {most_high:g} grey levels at most",
        holds=mean <= most_mean and high <= most_high,
    )
    limits = f"{most_mean:g} / {most_high:g}"
    return [name, precision, pair.graph, pair.against, round(mean, 4), high, worst, limits]


def _each_once(jobs: Iterator[PictureJob]) -> list[PictureJob]:
    return list(dict.fromkeys(jobs))
