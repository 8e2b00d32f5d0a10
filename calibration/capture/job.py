"""Run of a capture: begin or resume a set, from a clip at once or from a camera over hours and days."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tremorscope.calibration.capture.collector import CaptureSettings, CaptureState, Collector, read_state
from tremorscope.calibration.capture.frames import CaptureSource, find_source
from tremorscope.calibration.capture.pair_reader import PairReader
from tremorscope.calibration.capture.visits import (
    VISITS_A_PAIR,
    Clocks,
    Say,
    ScheduledCapture,
    VisitSchedule,
    parse_duration_s,
    parse_hours,
)
from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.pairs.calibration_set import MANIFEST_NAME
from tremorscope.calibration.pairs.set_writer import RESERVE_BYTES, SetWriter, held
from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.host.progress import Progress

COUNT = 256
OVER = "1 day"
DISTANCES_S = (1.0, 30.0)
"""Ages of the reference in pairs of static mode, in turn: a swing of the structure, and a change of the light."""
_EARLIEST_YEAR = 2024


@dataclass(frozen=True)
class CaptureJob:
    """Options of a capture. None takes the default of the source, or the setting the set was begun with."""

    directory: Path
    source: Path | None
    count: int | None = None
    over: str | None = None
    schedule: str | None = None
    size: FrameSize | None = None
    distances_s: tuple[float, ...] = ()
    due_only: bool = False
    """Make the visit that is due, if any, and return; otherwise stay until the last visit."""
    finish: bool = False
    """Close the set with the pairs that it holds."""
    reserve_bytes: int = RESERVE_BYTES


@dataclass(frozen=True)
class CaptureReport:
    """Result of a run of a capture."""

    count: int
    wanted: int
    added: int
    complete: bool
    left_out: str
    sha256: str

    def lines(self) -> list[str]:
        """Summary for the terminal."""
        state = "complete" if self.complete else "goes on with the next run"
        return [
            f"{self.count} of {self.wanted} pairs, {self.added} of them new; {state}",
            self.left_out,
            *([f"sha256 {self.sha256}"] if self.complete else []),
        ]


def capture(job: CaptureJob, progress: Progress, say: Say, clocks: Clocks | None = None) -> CaptureReport:
    """Capture what is due, or all; resumes after any interruption.

    Args:
        job: options.
        progress: called with visits done and all visits.
        say: called with a line for each kept pair and each failed visit.
        clocks: sources of time, replaced in tests.

    Raises:
        Fault: see the message; pairs captured before are kept.
    """
    clocks = clocks or Clocks()
    _check_words(job)
    with held(job.directory):
        collector, source = _begin(job, clocks)
        before = collector.writer.count
        if not collector.writer.manifest.complete:
            if job.finish:
                collector.finish()
            elif source is not None:
                _run(job, collector, source, progress, say, clocks)
        manifest = collector.writer.manifest
        return CaptureReport(
            manifest.count,
            manifest.wanted,
            manifest.count - before,
            manifest.complete,
            collector.summary(),
            manifest.sha256,
        )


def _begin(job: CaptureJob, clocks: Clocks) -> tuple[Collector, CaptureSource | None]:
    if (job.directory / MANIFEST_NAME).exists():
        writer = SetWriter.resume(job.directory, reserve_bytes=job.reserve_bytes)
        state = read_state(writer, job.directory)
        _check_same(job, state.settings, writer.manifest.frame_size)
        needs_source = not (writer.manifest.complete or job.finish)
        source = find_source(_named(job)) if needs_source else None
        return Collector(writer, state, writer.manifest.frame_size), source
    path = _named(job)
    if job.finish:
        raise CalibrationFault(f"{job.directory}: holds no set to close", remedy="capture one first")
    source = find_source(path)
    with closing(source.open()) as frames:  # nothing is written before the first frame has come
        if (first := frames.take()) is not None:
            first.release()
        picture = FrameSize(width_px=frames.size_px[0], height_px=frames.size_px[1])
    size = job.size or picture
    if size.width_px > picture.width_px or size.height_px > picture.height_px:
        raise CalibrationFault(
            f"--size {size.width_px}x{size.height_px} is larger than the picture of {source.name}, "
            f"{picture.width_px}x{picture.height_px}",
            remedy="pairs are cut from the picture, never enlarged: give a smaller size or none",
        )
    settings = _settings(job, source, cut=size != picture, now=clocks.now())
    state = CaptureState(settings=settings)
    writer = SetWriter.create(
        job.directory,
        frame_size=size,
        source=source.name,
        wanted=settings.wanted,
        capture=state.model_dump(mode="json"),
        reserve_bytes=job.reserve_bytes,
    )
    return Collector(writer, state, size), source


def _check_words(job: CaptureJob) -> None:
    """Parse duration and hours before a camera is opened, which may take seconds."""
    if job.over is not None:
        parse_duration_s(job.over)
    if job.schedule is not None:
        parse_hours(job.schedule)


def _named(job: CaptureJob) -> Path:
    if job.source is None:
        raise CalibrationFault(
            f"{job.directory}: no camera or clip to capture from", remedy="name one with --camera"
        )
    return job.source


def _settings(job: CaptureJob, source: CaptureSource, *, cut: bool, now: datetime) -> CaptureSettings:
    count = job.count or COUNT
    schedule = job.schedule or "all"
    distances_s = job.distances_s or DISTANCES_S
    if source.clip_starts_at is not None:
        if job.over or job.schedule or job.due_only:
            raise CalibrationFault(
                f"{source.name}: a clip is read once from beginning to end",
                remedy="leave out --over, --schedule and --due, which are for cameras",
            )
        visits = max(1, min(VISITS_A_PAIR * count, source.clip_frames // 2))
        # A long pair must not take so much of a short clip that no visit is left.
        distances_s = tuple(min(each, source.clip_length_s / 8) for each in distances_s)
        over_s, started_at = source.clip_length_s, source.clip_starts_at
        count = min(count, visits)
    else:
        over_s, started_at = parse_duration_s(job.over or OVER), now
        if started_at.year < _EARLIEST_YEAR:
            raise CalibrationFault(
                f"the device's clock says {started_at:%Y-%m-%d}",
                remedy="set it, or wait for the network to set it: pairs are spread by the time of day",
            )
        visits = VISITS_A_PAIR * count
        VisitSchedule(started_at, over_s, visits, parse_hours(schedule)).due(
            started_at
        )  # raises if it is empty
    return CaptureSettings(
        source=source.name,
        is_clip=source.clip_starts_at is not None,
        wanted=count,
        over_s=over_s,
        schedule=schedule,
        visits=visits,
        distances_s=distances_s,
        cut=cut,
        started_at=started_at,
    )


def _check_same(job: CaptureJob, settings: CaptureSettings, size: FrameSize) -> None:
    """Refuse options that differ from those that the set was begun with."""
    asked: list[tuple[str, Any, Any]] = [
        ("--count", job.count, settings.wanted),
        ("--over", parse_duration_s(job.over) if job.over else None, settings.over_s),
        ("--schedule", job.schedule, settings.schedule),
        ("--size", job.size, size),
        ("--distance", job.distances_s or None, settings.distances_s),
    ]
    for option, now, begun in asked:
        if (
            now is not None
            and now != begun
            and not (settings.is_clip and option in ("--count", "--distance"))
        ):
            raise CalibrationFault(
                f"{job.directory}: was begun with {option} {begun}, not {now}",
                remedy="go on with the same options, or capture another set in another directory",
            )


def _run(
    job: CaptureJob, collector: Collector, source: CaptureSource, progress: Progress, say: Say, clocks: Clocks
) -> None:
    if source.name != collector.settings.source:
        raise CalibrationFault(
            f"{job.directory}: was begun with {collector.settings.source}, not {source.name}",
            remedy="go on with the same source, or capture another set in another directory",
        )
    over = (
        _through_clip(collector, source, source.clip_starts_at, progress, say)
        if source.clip_starts_at is not None
        else ScheduledCapture(collector, source, progress, say, clocks, due_only=job.due_only).run()
    )
    collector.note()
    if over or collector.full:
        collector.finish()


def _through_clip(
    collector: Collector, source: CaptureSource, starts_at: datetime, progress: Progress, say: Say
) -> bool:
    """Read a clip from its beginning, with evenly spaced visits; always True: the capture is over."""
    settings = collector.settings
    reader = PairReader(
        source.open(),
        lambda timestamp_s: starts_at + timedelta(seconds=timestamp_s),
        longest_s=max(settings.distances_s),
    )
    with closing(reader):
        for number in range(settings.visits):
            progress(number, settings.visits)
            if collector.full:
                break
            if number < collector.state.visits_done or not collector.wants(number):
                continue
            # At least one new frame: two visits must not take the same pair.
            if not (reader.advance() and reader.advance_to(number / settings.visits * settings.over_s)):
                break
            if collector.visit(number, reader, apart_s=min(settings.distances_s) / 8) == "ended":
                break
    say(f"{collector.writer.count} of {settings.wanted} pairs from {source.name}")
    return True
