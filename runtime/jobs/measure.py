"""The offline measurement: a recorded clip in; displacement, peaks, modes, pictures and a report out."""

from __future__ import annotations

import math
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.cameras.clip import ClipCamera
from tremorscope.runtime.errors import ClipFault, OptionFault
from tremorscope.runtime.frames.buffers import FrameRing
from tremorscope.runtime.frames.clip_times import FrameTimes, TimeAxis, check_capture_rate, without_rounding
from tremorscope.runtime.frames.repeats import RepeatFinder, Repeats
from tremorscope.runtime.host.directories import whole_directory
from tremorscope.runtime.host.files import printable
from tremorscope.runtime.host.progress import Progress
from tremorscope.runtime.jobs.regions import plan_regions
from tremorscope.runtime.jobs.samples import Reference, Samples, Span
from tremorscope.runtime.reports.measurement import Measurement
from tremorscope.runtime.vibration.displacement.meter import MotionMeter
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.displacement.scale import Scale
from tremorscope.runtime.vibration.displacement.steady import SteadyMeter
from tremorscope.runtime.vibration.displacement.warping import CameraModel
from tremorscope.runtime.vibration.monitoring.modal_baseline import (
    compare_with_baseline,
    read_baseline,
)
from tremorscope.runtime.vibration.spectra.analysis import RegionSeries, analyse_recording

Picture = NDArray[np.uint8]

RESULT_NAMES = (
    "displacement.csv",
    "displacement.uff",
    "spectrum.png",
    "overlay.png",
    "report.html",
    "summary.json",
)
_FEWEST_FRAMES = 16


@dataclass(frozen=True)
class MeasureJob:
    """Settings of an offline measurement: clip, regions, spectra and output directory."""

    clip: Path
    directory: Path | None
    """Directory for the results; None leaves none on the disk."""
    regions: tuple[Region, ...] = ()
    """Regions to measure; none takes those of the baseline, or has some proposed."""
    still: tuple[Region, ...] = ()
    """Regions of what cannot move: their motion is the camera's, and is subtracted."""
    proposals: int = 8
    """Number of regions to propose where none are named."""
    capture_rate_hz: float | None = None
    """True capture rate of a high-speed clip, whose file states only the rate of playback."""
    scale: Scale | None = None
    window_s: float | None = None
    """Length of Welch's segments; None takes one that fits the recording."""
    band_hz: tuple[float, float] | None = None
    """Lower and upper edge of the band that is searched for peaks; None searches everywhere."""
    baseline: Path | None = None
    """Summary of an earlier measurement, to compare modes with."""
    overwrite: bool = False
    start_s: float = 0.0
    """Beginning of what is measured, in seconds of the clip's own time."""
    end_s: float = math.inf
    reference: Reference = "auto"
    """Frame that displacement is measured against; see `Span`."""
    stabilise: CameraModel | None = None
    """Motion that the camera may have, to take its motion out by what stands still; None leaves it in."""

    @property
    def span(self) -> Span:
        """The part of the clip that is measured, and its reference."""
        return Span(self.start_s, self.end_s, self.reference)


@dataclass(frozen=True, eq=False)
class _Survey:
    """Result of a first pass over a clip: its times, and some frames spread over it."""

    repeats: Repeats
    """Pictures that show nothing new, and the times of the others in playback."""
    axis: TimeAxis
    tick_s: float
    skipped: int
    """Frames before those that are measured."""
    samples: tuple[Picture, ...]
    """The reference, and frames at irregular times."""
    notes: tuple[str, ...]
    """Peculiarities of the clip that bear on the results."""

    @property
    def kept(self) -> NDArray[np.bool_]:
        """(N,), True for a picture that is measured."""
        return ~self.repeats.repeated

    @property
    def real_times_s(self) -> NDArray[np.float64]:
        """Times of the measured pictures since the first, in reality rather than in playback."""
        times_s = self.repeats.times_s[self.kept]
        since: NDArray[np.float64] = (times_s - times_s[0]) * self.pace
        return since

    @property
    def pace(self) -> float:
        """Seconds in reality for a second of playback."""
        return self.axis.playback_rate_hz / self.axis.real_rate_hz


def measure_clip(job: MeasureJob, progress: Progress | None = None) -> Measurement:
    """Measure a clip and leave the results in the job's directory; on any failure nothing is left behind.

    The clip is read twice. The first pass takes its times and some of its pictures, so that a fault at its end is
    found before anything is measured; the second pass measures every frame.

    Raises:
        OptionFault: an option that cannot be used, or not with this clip.
        RegionFault: a region is outside the picture, too small or without texture.
        ClipFault: the clip cannot be read to its end, or is too short.
        OutputFault: the results cannot be written.
    """
    _check(job)
    if job.directory is None:
        return _take(job, progress)
    from tremorscope.runtime.reports.measurement_files import (
        write_results,  # drawing takes a second to import
    )

    with whole_directory(job.directory, overwrite=job.overwrite, names=RESULT_NAMES) as scratch:
        measurement = _take(job, progress)
        write_results(measurement, scratch)
    return measurement


def _take(job: MeasureJob, progress: Progress | None) -> Measurement:
    start_s = time.monotonic()
    baseline = read_baseline(job.baseline) if job.baseline else None
    survey = _look_through(job, progress)
    named = job.regions or tuple(each.region() for each in baseline.regions) if baseline else job.regions
    plan = plan_regions(survey.samples, named, job.still, job.proposals, job.stabilise)
    series = _measure_all(job, survey, plan.meter, plan.regions, progress)
    analysis = analyse_recording(
        survey.real_times_s,
        series,
        tick_s=survey.tick_s * survey.pace,
        window_s=job.window_s,
        band_hz=job.band_hz,
    )
    return Measurement(
        clip=printable(job.clip.name),
        frame=survey.samples[0],
        time_axis=survey.axis,
        times_s=survey.real_times_s,
        clip_notes=(*survey.notes, *plan.notes(series, survey.samples[0].shape[1::-1])),
        analysis=analysis,
        still=plan.still,
        proposed=plan.proposed,
        scale=job.scale,
        comparisons=compare_with_baseline(baseline, plan.regions, analysis.modes) if baseline else (),
        refreshes=sum(follower.refreshes for follower in plan.meter.followers),
        elapsed_s=time.monotonic() - start_s,
        files=RESULT_NAMES if job.directory else (),
    )


def _check(job: MeasureJob) -> None:
    check_capture_rate(job.capture_rate_hz)
    job.span.check()
    if job.window_s is not None and not (math.isfinite(job.window_s) and job.window_s > 0):
        raise OptionFault(f"--window {job.window_s:g}: not a number above 0", remedy="give seconds, e.g. 20")
    if job.band_hz is not None and not all(math.isfinite(edge) for edge in job.band_hz):
        raise OptionFault(
            "--band: an edge is not a finite number", remedy="give two frequencies in Hz, e.g. 0.5 20"
        )


def _look_through(job: MeasureJob, progress: Progress | None) -> _Survey:
    with closing(ClipCamera(job.clip)) as camera:
        frame = FrameRing(1, width_px=camera.width_px, height_px=camera.height_px).frame(0)
        total = camera.frame_count_estimate
        times: list[float] = []
        span, skipped, zero_s = job.span, 0, None
        repeats, samples = RepeatFinder(), Samples(span, job.regions)
        while (info := camera.read_into(frame)) is not None:
            zero_s = info.timestamp_s if zero_s is None else zero_s
            place = span.place(info.timestamp_s - zero_s)
            if place > 0:
                break
            if place < 0:
                skipped += 1
                continue
            repeats.add(frame)
            samples.add(frame, info.timestamp_s - zero_s)
            times.append(info.timestamp_s)
            if progress is not None:
                progress(len(times), None if total is None else 2 * max(total, len(times)))
        if len(times) < _FEWEST_FRAMES:
            raise ClipFault(
                f"{job.clip}: {len(times)} frames{span.text()} are too few to measure vibration in",
                remedy=f"name a clip, or a part of it, of {_FEWEST_FRAMES} frames or more",
            )
        key_frames = np.frombuffer(bytes(camera.picture_types), np.uint8)[skipped:][: len(times)] == ord("K")
        tick_s = float(camera.time_base)
        found = repeats.find(without_rounding(np.array(times), tick_s, camera.nominal_rate_hz), key_frames)
        return _Survey(
            found,
            _axis(job, camera, found),
            tick_s,
            skipped,
            samples.pictures(),
            (*camera.notes(), *found.notes(), *samples.notes()),
        )


def _axis(job: MeasureJob, camera: ClipCamera, repeats: Repeats) -> TimeAxis:
    """The time axis of what is measured; a conversion's repeats have neither part in it nor in the rate of capture."""
    times_s, capture_hz = repeats.times_s, job.capture_rate_hz
    if repeats.cycle is not None:
        times_s = times_s[~repeats.repeated]
        capture_hz = capture_hz and capture_hz * repeats.cycle[1] / repeats.cycle[0]
    gathered = FrameTimes()
    for time_s in times_s.tolist():
        gathered.add(time_s)
    return gathered.axis(camera.time_base, capture_hz, measured=camera.has_timestamps)


def _measure_all(
    job: MeasureJob,
    survey: _Survey,
    meter: MotionMeter | SteadyMeter,
    regions: tuple[Region, ...],
    progress: Progress | None,
) -> tuple[RegionSeries, ...]:
    kept = survey.kept
    count, places = kept.size, np.cumsum(kept) - 1
    table = np.full((len(regions), 5, int(kept.sum())), np.nan)
    with closing(ClipCamera(job.clip)) as camera:
        frame = FrameRing(1, width_px=camera.width_px, height_px=camera.height_px).frame(0)
        for _ in range(survey.skipped):
            camera.read_into(frame)
        for number in range(count):
            if camera.read_into(frame) is None:
                raise ClipFault(
                    f"{job.clip}: has changed while it was read", remedy="measure a clip that is finished"
                )
            if kept[number]:
                for row, motion in zip(table, meter.measure(frame), strict=True):
                    row[:, places[number]] = (
                        *(motion.x_px, motion.y_px, motion.quality),
                        *(motion.gain, motion.brightness),
                    )
            if progress is not None:
                progress(count + number + 1, 2 * count)
    floors, rounding = meter.noise_floors_px.tolist(), meter.rounding_floors_px.tolist()
    return tuple(
        RegionSeries(
            f"R{number + 1}",
            region,
            x_px=table[number, 0],
            y_px=table[number, 1],
            quality=table[number, 2],
            light=table[number, 3:],
            noise_floor_px=(floors[number][0], floors[number][1]),
            rounding_floor_px=(rounding[number][0], rounding[number][1]),
        )
        for number, region in enumerate(regions)
    )
