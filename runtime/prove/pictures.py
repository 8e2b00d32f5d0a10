"""Magnified pictures of the drawn structure: ``python -m tremorscope.runtime.prove.pictures``, its jobs on stdin.

Each runner has a process of its own, because ONNX Runtime must not be loaded in one in which TensorRT runs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.cameras.synthetic import SyntheticCamera, SyntheticSettings
from tremorscope.runtime.engines.interface.bundle import Bundle, open_bundle
from tremorscope.runtime.engines.interface.manifest import GraphName
from tremorscope.runtime.engines.selection import Runtime, RuntimeChoice, closing_runtime, open_runtime
from tremorscope.runtime.errors import EngineFault, Fault
from tremorscope.runtime.magnification.factory import Magnification, open_magnifier
from tremorscope.runtime.magnification.filters import BandSettings
from tremorscope.runtime.prove.apart import module_command

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
            module_command("tremorscope.runtime.prove.pictures"),
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
    magnifier = open_magnifier(
        wanted, bundle, runtime, width_px=width_px, height_px=height_px, rate_hz=_RATE_HZ
    )
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
        partial = Path(f"{job.result}.partial")
        with partial.open("wb") as file:
            np.save(file, pictures)
        partial.replace(job.result)


if __name__ == "__main__":
    main()
