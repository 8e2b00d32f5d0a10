"""A folder of clips measured over all cores, each in a process of its own: one that fails does not end the others."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tremorscope.runtime.cameras.recordings import clips_in
from tremorscope.runtime.errors import ClipFault, Fault, OptionFault, OutputFault
from tremorscope.runtime.host.files import printable, remove_scratch, whole_file
from tremorscope.runtime.host.progress import Progress
from tremorscope.runtime.jobs.measure import MeasureJob, measure_clip

TABLE = "measurements.csv"
_COLUMNS = ("clip", "fault", "frames", "duration_s", "rate_hz")
_PEAK_COLUMNS = (
    *("frequency_hz", "frequency_sigma_hz", "amplitude_px", "amplitude_sigma_px", "amplitude_mm"),
    *("amplitude_sigma_mm", "region", "axis", "kind", "over_floor"),
)
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""The cores are taken by as many processes."""

Spread = Callable[[list[MeasureJob]], Iterator["ClipResult"]]
"""Measures jobs in whatever order, and yields a result for each as it comes."""


@dataclass(frozen=True)
class ClipResult:
    """The findings in one clip of a folder, or the reason why there are none."""

    clip: str
    fault: str = ""
    frames: int | None = None
    duration_s: float | None = None
    rate_hz: float | None = None
    peaks: tuple[dict[str, Any], ...] = ()
    """Peaks as summary.json holds them, strongest first."""

    def line(self, width: int) -> str:
        """The clip in the printed table."""
        name = f"{self.clip:<{width}}"
        if self.fault:
            return f"{name}  not measured: {self.fault}"
        head = f"{name}  {self.frames:>6} frames at {self.rate_hz:<8.6g} Hz"
        if not self.peaks:
            return f"{head}  no vibration stands out"
        first, *others = self.peaks
        rest = ", ".join(f"{each['frequency_hz']:.4g}" for each in others[:3])
        size = f"{first['amplitude_px']:.3g} px"
        if (millimetres := first.get("amplitude_mm")) is not None:
            size += f" = {millimetres:.3g} mm"
        where = f"{first['region']} {first['axis']}"
        return f"{head}  {first['frequency_hz']:.5g} Hz  {size}  {where}" + (
            f"  (also {rest} Hz)" if rest else ""
        )


@dataclass(frozen=True)
class FolderMeasurement:
    """The results of all clips of a folder, in natural order."""

    directory: Path
    results: tuple[ClipResult, ...]

    @property
    def failed(self) -> int:
        """Number of clips that could not be measured."""
        return sum(bool(each.fault) for each in self.results)

    def lines(self) -> list[str]:
        """Human-readable table, a line each."""
        width = max(len(each.clip) for each in self.results)
        return [each.line(width) for each in self.results]


def measure_folder(
    folder: Path, template: MeasureJob, spread: Spread, progress: Progress | None = None
) -> FolderMeasurement:
    """Measure every clip of a folder into a directory of its name, and write one table of all.

    Args:
        folder: the clips.
        template: settings for all of them; its ``directory`` takes the results and the table.
        spread: carries the jobs out, `over_cores` or `runtime.jobs.over_dask`.
        progress: told how many clips are done.

    Raises:
        OptionFault: there is no directory for the results.
        ClipFault: the folder holds no clip.
        OutputFault: the directory or the table cannot be written.
    """
    clips, directory = clips_in(folder), template.directory
    if not clips:
        raise ClipFault(f"{folder}: holds no clip", remedy="name a folder of clips, or of pictures")
    if directory is None or directory.resolve() == folder.resolve():
        raise OptionFault(
            "a folder of clips needs another directory for its results", remedy="name one with --output"
        )
    if (directory / TABLE).exists() and not template.overwrite:
        raise OutputFault(
            f"{directory}: holds earlier results",
            remedy="name another directory, or replace them with --overwrite",
        )
    jobs = [
        replace(template, clip=each.resolve(), directory=(directory / each.name).resolve()) for each in clips
    ]
    found: dict[str, ClipResult] = {}
    try:
        for result in spread(jobs):
            found[result.clip] = result
            if progress is not None:
                progress(len(found), len(jobs))
    finally:
        for job in jobs:
            assert job.directory is not None
            remove_scratch(job.directory)
    measured = FolderMeasurement(directory, tuple(found[printable(each.name)] for each in clips))
    directory.mkdir(parents=True, exist_ok=True)
    _write_table(measured)
    return measured


def measure_one(job: MeasureJob) -> ClipResult:
    """Measure one clip of many; its fault is a result."""
    name = printable(job.clip.name)
    try:
        summary = measure_clip(job).summary()
    except Fault as fault:
        text = fault.what.removeprefix(f"{job.clip}: ")
        return ClipResult(name, fault=f"{text}: {fault.remedy}" if fault.remedy else text)
    return ClipResult(
        name,
        frames=summary["frames"],
        duration_s=summary["duration_s"],
        rate_hz=summary["rate_hz"],
        peaks=tuple(summary["peaks"]),
    )


def over_cores(workers: int | None = None) -> Spread:
    """Spread jobs over processes of this machine, one a core or as many as are given."""

    def spread(jobs: list[MeasureJob]) -> Iterator[ClipResult]:
        count = min(workers or len(os.sched_getaffinity(0)), len(jobs))
        running = _Processes()
        with ThreadPoolExecutor(count, "clip") as pool:
            try:
                for done in as_completed([pool.submit(running.measure, job) for job in jobs]):
                    yield done.result()
            except BaseException:  # Ctrl-C ends all of them
                running.end()
                pool.shutdown(cancel_futures=True)
                raise

    return spread


class _Processes:
    """The processes that are measuring a clip."""

    def __init__(self) -> None:
        self._living: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._ended = False

    def measure(self, job: MeasureJob) -> ClipResult:
        """Measure a clip in a process of its own; every end of it is a result."""
        name = printable(job.clip.name)
        process = self._start()
        if process is None:
            return ClipResult(name, fault="was not begun")
        output, errors = process.communicate(pickle.dumps(job))
        with self._lock:
            self._living.discard(process)
        try:
            return ClipResult(**json.loads(output.decode().splitlines()[-1]))
        except (IndexError, ValueError, TypeError):
            return ClipResult(name, fault=_ending(process.returncode, errors))

    def end(self) -> None:
        """Kill them all, and begin no more."""
        with self._lock:
            self._ended = True
            for process in self._living:
                process.kill()

    def _start(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._ended:
                return None
            process = subprocess.Popen(
                [sys.executable, *(["-I"] if sys.flags.isolated else []), "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **_ONE_THREAD},
                start_new_session=True,  # Ctrl-C reaches the command alone, which ends them
            )
            self._living.add(process)
            return process


def _ending(status: int, errors: bytes) -> str:
    if status < 0:
        with contextlib.suppress(ValueError):
            killed = signal.Signals(-status)
            hint = ", as where memory runs out" if killed is signal.SIGKILL else ""
            return f"its process was ended by {killed.name}{hint}"
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    return f"failed: {lines[-1][:300]}" if lines else f"its process ended with exit status {status}"


def _write_table(measured: FolderMeasurement) -> None:
    with whole_file(measured.directory / TABLE) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.DictWriter(text, (*_COLUMNS, *_PEAK_COLUMNS), lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        for result in measured.results:
            clip = {name: getattr(result, name) for name in _COLUMNS}
            writer.writerows({**clip, **peak} for peak in result.peaks or ({},))
        text.flush()
        text.detach()


def _work() -> None:
    """Measure the one clip of the job on stdin, and print its result."""
    job: MeasureJob = pickle.load(sys.stdin.buffer)  # from the process that started this one
    print(json.dumps(asdict(measure_one(job))))


if __name__ == "__main__":
    _work()
