"""Engines against ONNX Runtime, in grey levels: every precision, both graphs, thirty steps of the drawn structure."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.engines.build_job import BuildJob, build_bundle
from runtime.engines.bundle import Bundle, GraphName, Precision
from runtime.prove.outcome import Findings, Outcome, Row
from runtime.prove.pictures import PictureJob, draw, magnified
from runtime.prove.plan import Plan
from runtime.prove.tensorrt import engines_directory, has_tensorrt

# Against ONNX Runtime on the same graph: mean and 99.9th percentile of the difference, in grey levels. FP32 and FP16
# differ by the order of sums, which a magnified edge shows; in INT8 the kernels also round at other places.
_LIMITS: dict[Precision, tuple[float, float]] = {"fp32": (0.02, 1.0), "fp16": (0.1, 2.0), "int8": (0.5, 4.0)}
# Against FP32: what the precision itself costs (docs/precision.md).
_LIMITS_TO_FP32: dict[Precision, tuple[float, float]] = {"fp16": (0.1, 2.0), "int8": (1.0, 12.0)}
_COLUMNS = ["bundle", "precision", "graph", "against", "mean", "99.9 %", "worst", "limits"]


def run(plan: Plan, findings: Findings) -> Outcome:
    """Compare every bundle that is here."""
    bundles = plan.all_bundles()
    precisions = {bundle.manifest.precision for bundle in bundles}
    for missing in sorted({"fp16", "int8"} - precisions):
        how = "tremorscope export --precision fp16" if missing == "fp16" else "tremorscope calibrate quantise"
        findings.fact(missing, f"not looked at: no bundle of it is here ({how}, then --bundle DIR)")
    references = {each.manifest.network: each for each in bundles if each.manifest.precision == "fp32"}
    on_gpu, rows = has_tensorrt(plan), list[Row]()
    with tempfile.TemporaryDirectory(dir=plan.work) as directory:
        compared = _Comparison(plan, findings, rows, Path(directory))
        for bundle in bundles:
            reference = references.get(bundle.manifest.network)
            for graph in bundle.manifest.graphs:
                compared.look(bundle, graph, reference, on_gpu=on_gpu)
    findings.table("Difference in grey levels (of 255)", _COLUMNS, rows)
    worst = max((float(row[4] or 0) for row in rows), default=0.0)
    names = ", ".join(sorted(each.upper() for each in precisions))
    return findings.outcome(
        f"{names}: at most {worst:.3f} grey levels in the mean, over {len(rows)} comparisons"
    )


class _Comparison:
    """What one step compares, and where it keeps it."""

    def __init__(self, plan: Plan, findings: Findings, rows: list[Row], directory: Path) -> None:
        self._plan, self._findings, self._rows, self._directory = plan, findings, rows, directory
        self._by_onnx: dict[tuple[Path, GraphName, int | None], NDArray[np.uint8]] = {}
        self._frames = directory / "frames.npy"
        size = plan.small_size
        draw(size.width_px, size.height_px, 8 if plan.quick else 30, self._frames)

    def look(self, bundle: Bundle, graph: GraphName, reference: Bundle | None, *, on_gpu: bool) -> None:
        """Compare a graph of a bundle with the same by ONNX Runtime, and with FP32."""
        precision = bundle.manifest.precision
        by_onnx = self.of_onnx_runtime(bundle, graph)
        engine = self._of_engine(bundle, graph) if on_gpu else self.of_onnx_runtime(bundle, graph, threads=1)
        against = "ONNX Runtime" if on_gpu else "itself on one thread"
        self._note(bundle, graph, against, engine, by_onnx, _LIMITS[precision])
        if reference is not None and precision in _LIMITS_TO_FP32:
            truth = self.of_onnx_runtime(reference, graph)
            self._note(bundle, graph, "FP32 by ONNX Runtime", engine, truth, _LIMITS_TO_FP32[precision])

    def of_onnx_runtime(
        self, bundle: Bundle, graph: GraphName, threads: int | None = None
    ) -> NDArray[np.uint8]:
        """The pictures of the reference runner."""
        key = bundle.directory, graph, threads
        if key not in self._by_onnx:
            self._by_onnx[key] = magnified(replace(self._job(bundle, graph), threads=threads))
        return self._by_onnx[key]

    def _of_engine(self, bundle: Bundle, graph: GraphName) -> NDArray[np.uint8]:
        engines = engines_directory(self._plan, bundle)
        job = BuildJob(bundle.directory, size=self._plan.small_size, output=engines, graphs=(graph,))
        list(build_bundle(job, lambda *_: None))
        return magnified(replace(self._job(bundle, graph), runtime="tensorrt", engines=str(engines)))

    def _job(self, bundle: Bundle, graph: GraphName) -> PictureJob:
        return PictureJob(
            bundle=str(bundle.directory),
            graph=graph,
            runtime="onnxruntime",
            engines=None,
            frames=str(self._frames),
            threads=None,
            result=str(self._directory / f"pictures-{len(list(self._directory.iterdir()))}.npy"),
        )

    def _note(
        self,
        bundle: Bundle,
        graph: GraphName,
        against: str,
        found: NDArray[np.uint8],
        truth: NDArray[np.uint8],
        limits: tuple[float, float],
    ) -> None:
        off = np.abs(found.astype(np.int16) - truth)
        mean, high, worst = float(off.mean()), float(np.percentile(off, 99.9)), int(off.max())
        name, precision = bundle.directory.name, bundle.manifest.precision
        self._rows.append(
            [name, precision, graph, against, round(mean, 4), high, worst, f"{limits[0]:g} / {limits[1]:g}"]
        )
        self._findings.check(
            f"{name}, {graph}, against {against}",
            f"{mean:.3f} in the mean, {high:.1f} at 99.9 %",
            f"{limits[0]:g} and {limits[1]:g} grey levels",
            holds=mean <= limits[0] and high <= limits[1],
        )
