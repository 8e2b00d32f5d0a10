"""Engines against ONNX Runtime, in grey levels: every precision, both graphs, thirty steps of the drawn structure.

Its magnified pictures are made by ``python -m tremorscope.runtime.prove.steps.accuracy``, its jobs on stdin.

Each runner has a process of its own, because ONNX Runtime must not be loaded in one in which TensorRT runs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tremorscope.files import replacement
from tremorscope.runtime.cameras.synthetic import SyntheticCamera, SyntheticSettings
from tremorscope.runtime.engines.interface.bundle import Bundle, open_bundle
from tremorscope.runtime.engines.interface.manifest import GraphName, Precision
from tremorscope.runtime.engines.selection import Runtime, RuntimeChoice, closing_runtime, open_runtime
from tremorscope.runtime.engines.tensorrt.build_job import BuildJob, build_bundle
from tremorscope.runtime.errors import EngineFault, Fault
from tremorscope.runtime.magnification.factory import Engines
from tremorscope.runtime.magnification.filters import BandSettings
from tremorscope.runtime.magnification.settings import Magnification
from tremorscope.runtime.prove.apart import module_command
from tremorscope.runtime.prove.outcome import Outcome, Row, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan
from tremorscope.runtime.prove.tensorrt import engines_directory, has_tensorrt

_RATE_HZ = 30.0
_AMPLIFICATION = 20.0
_LIMIT_S = 600.0


@dataclass(frozen=True)
class PictureJob:
    """Frames to magnify, and the network and runner that magnify them."""

    bundle: str
    graph: GraphName
    runtime: RuntimeChoice
    engines: str | None
    frames: str
    """File of the frames, u8[N, H, W, 3], in NumPy's format; see `draw`."""
    threads: int | None
    as_tensorrt: bool
    """Run the graph for TensorRT, even if the bundle has another one for the CPU."""
    result: str
    """File of the pictures, in NumPy's format."""


def draw(width_px: int, height_px: int, count: int, file: Path) -> None:
    """Write frames of the drawn structure to a file, u8[N, H, W, 3]."""
    settings = SyntheticSettings(width_px, height_px, rate_hz=_RATE_HZ, reuse_noise=True)
    camera = SyntheticCamera(settings)
    frames = np.zeros((count, height_px, width_px, 3), np.uint8)
    for frame in frames:
        camera.read_into(frame)
    np.save(file, frames)


def magnify_apart(jobs: list[PictureJob]) -> None:
    """Do jobs of one runner in a process of its own; `pictures_of` reads the result of each."""
    text = json.dumps([asdict(job) for job in jobs])
    try:
        done = subprocess.run(
            module_command("tremorscope.runtime.prove.steps.accuracy"),
            input=text,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=_LIMIT_S,
        )
        said = done.stderr.strip().splitlines()
        why = said[-1][:300] if said else f"its process ended with status {done.returncode}"
    except subprocess.TimeoutExpired:
        why = f"its process did not end within {_LIMIT_S:g} s"
    for job in jobs:  # by the files, not by the exit status: some libraries abort when their work is done
        if not Path(job.result).exists() and not _why(job).exists():
            _why(job).write_text(why, encoding="utf-8")


def pictures_of(job: PictureJob) -> NDArray[np.uint8]:
    """A picture of each frame, u8[N, H, W, 3].

    Raises:
        EngineFault: the job failed.
    """
    if Path(job.result).exists():
        pictures: NDArray[np.uint8] = np.load(job.result)
        return pictures
    why = _why(job).read_text(encoding="utf-8") if _why(job).exists() else "it was not run"
    raise EngineFault(
        f"{job.runtime} on {Path(job.bundle).name}, {job.graph}: {why}",
        remedy="see the step before, which runs the same engine",
    )


def _why(job: PictureJob) -> Path:
    return Path(f"{job.result}.why")


def _magnify(job: PictureJob) -> NDArray[np.uint8]:
    wanted = Magnification(_AMPLIFICATION)
    if job.graph == "band":
        wanted = Magnification(_AMPLIFICATION, mode="band", band=BandSettings(((1.0, 6.0),)))
    frames: NDArray[np.uint8] = np.load(job.frames)
    _, height_px, width_px, _ = frames.shape
    bundle = open_bundle(Path(job.bundle))
    if job.as_tensorrt:
        bundle = replace(bundle, manifest=bundle.manifest.model_copy(update={"cpu_graphs": {}}))
    opened = open_runtime(
        job.runtime,
        bundle,
        (width_px, height_px),
        threads=job.threads,
        engines=Path(job.engines) if job.engines else None,
        graphs=(job.graph,),
    )
    with closing_runtime(opened) as runtime:
        return _run(bundle, runtime, wanted, frames)


def _run(
    bundle: Bundle, runtime: Runtime, wanted: Magnification, frames: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    _, height_px, width_px, _ = shape = frames.shape
    magnifier = Engines(bundle, runtime, (width_px, height_px)).make(wanted, _RATE_HZ)
    # The former frame is still the reference when the next is read: two slots in turn.
    slots = [runtime.allocate(frames[0].nbytes).reshape(shape[1:]) for _ in range(2)]
    picture = runtime.allocate(frames[0].nbytes).reshape(shape[1:])
    pictures = np.zeros(shape, np.uint8)
    for number, frame in enumerate(frames):
        slot = slots[number % 2]
        slot[:] = frame
        magnifier.step(slot, picture, number / _RATE_HZ)
        pictures[number] = picture
    return pictures


def main() -> None:
    """Do the jobs on stdin; the reason of a failure is written to a file, and the next job is done."""
    for fields in json.loads(sys.stdin.read()):
        job = PictureJob(**fields)
        try:
            pictures = _magnify(job)
        except (Fault, MemoryError) as error:
            _why(job).write_text(str(error), encoding="utf-8")
            continue
        with replacement(Path(job.result)) as file:
            np.save(file, pictures)


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


if __name__ == "__main__":
    main()
