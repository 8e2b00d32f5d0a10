"""The offline measurement: a recorded clip in; displacement, peaks, modes, pictures and a report out."""

from __future__ import annotations

import math
import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import gettempdir

import numpy as np

from tremorscope.runtime.cameras.recordings import frame_of, open_recording
from tremorscope.runtime.errors import ClipFault, OptionFault
from tremorscope.runtime.frames.clip_times import check_capture_rate
from tremorscope.runtime.host.files import printable, whole_directory
from tremorscope.runtime.host.progress import Progress
from tremorscope.runtime.jobs.calibrated import in_the_plane
from tremorscope.runtime.jobs.piped import piped_clip
from tremorscope.runtime.jobs.regions import Plan, plan_regions
from tremorscope.runtime.jobs.samples import Reference, Span
from tremorscope.runtime.jobs.survey import Survey, look_through
from tremorscope.runtime.reports.exports import (
    FORMATS,
    MAGNIFIED_NAMES,
    RESULT_NAMES,
    ExportFormat,
    check_formats,
    result_names,
)
from tremorscope.runtime.reports.measurement import Measurement
from tremorscope.runtime.reports.provenance import provenance_of, stated_settings
from tremorscope.runtime.vibration.displacement.coding_loss import coding_errors_px, coding_note
from tremorscope.runtime.vibration.displacement.geometry import Lens, PlaneScale
from tremorscope.runtime.vibration.displacement.regions import Region, Scale
from tremorscope.runtime.vibration.displacement.warping import CameraModel
from tremorscope.runtime.vibration.displacement.windows import luma
from tremorscope.runtime.vibration.monitoring.limits import Criterion
from tremorscope.runtime.vibration.monitoring.modal_baseline import (
    compare_with_baseline,
    read_baseline,
)
from tremorscope.runtime.vibration.spectra.analysis import analyse_recording
from tremorscope.runtime.vibration.spectra.region_series import ROW, RegionSeries
from tremorscope.runtime.vibration.spectra.subspace import check_ssi, find_poles

__all__ = ["RESULT_NAMES", "MeasureJob", "measure_clip"]


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
    scale: Scale | PlaneScale | None = None
    """Millimetres a pixel for all regions, or the plane in which they lie."""
    lens: Lens | None = None
    """Lens by which displacements are undistorted."""
    window_s: float | None = None
    """Length of Welch's segments; None takes one that fits the recording."""
    band_hz: tuple[float, float] | None = None
    """Lower and upper edge of the band that is searched for peaks; None searches everywhere."""
    baseline: Path | None = None
    """Summary of an earlier measurement, to compare modes with."""
    criteria: tuple[Criterion, ...] = ()
    """Limits to judge every region by."""
    speed_rpm: float | None = None
    """Speed of the machine, by whose orders peaks are named."""
    overwrite: bool = False
    start_s: float = 0.0
    """Beginning of what is measured, in seconds of the clip's own time."""
    end_s: float = math.inf
    reference: Reference = "auto"
    """Frame that displacement is measured against; see `Span`."""
    stabilise: CameraModel | None = None
    """Motion that the camera may have, to take its motion out by what stands still; None leaves it in."""
    export: tuple[ExportFormat, ...] = ()
    """Further formats to leave the results in."""
    ssi: bool = False
    """True also identifies modes by stochastic subspaces, with their stabilisation diagram."""
    command: str = ""
    """Command line, for the report."""

    @property
    def span(self) -> Span:
        """The part of the clip that is measured, and its reference."""
        return Span(self.start_s, self.end_s, self.reference)


def measure_clip(job: MeasureJob, progress: Progress | None = None) -> Measurement:
    """Measure a clip and leave the results in the job's directory; on any failure nothing is left behind.

    The clip is read twice. The first pass takes its times and some of its pictures, so that a fault at its end is
    found before anything is measured; the second pass measures every frame.

    Args:
        job: what to do; the clip ``-`` is standard input.
        progress: told of every frame of both passes.

    Raises:
        OptionFault: an option that cannot be used, or not with this clip.
        RegionFault: a region is outside the picture, too small or without texture.
        ClipFault: the clip cannot be read to its end, or is too short.
        OutputFault: the results cannot be written.
    """
    _check(job)
    with piped_clip(job.clip, job.directory or Path(gettempdir(), "results")) as clip:
        return _measure(replace(job, clip=clip), progress)


def _measure(job: MeasureJob, progress: Progress | None) -> Measurement:
    if job.directory is None:
        return _take(job, progress)
    from tremorscope.runtime.reports.measurement_files import (
        write_results,  # drawing takes a second to import
    )

    names = {*result_names(FORMATS, ssi=True), *MAGNIFIED_NAMES}
    with whole_directory(job.directory, overwrite=job.overwrite, names=names) as scratch:
        measurement = _take(job, progress)
        write_results(measurement, scratch)
    return measurement


def _take(job: MeasureJob, progress: Progress | None) -> Measurement:
    start_s = time.monotonic()
    baseline = read_baseline(job.baseline) if job.baseline else None
    survey = look_through(
        job.clip, job.span, job.regions, capture_rate_hz=job.capture_rate_hz, progress=progress
    )
    _check_rate(job, survey)
    named = job.regions or tuple(each.region() for each in baseline.regions) if baseline else job.regions
    plan = plan_regions(
        survey.samples, named, job.still, job.proposals, job.stabilise, bit_depth=survey.bit_depth
    )
    measured, knocks = _measure_all(job, survey, plan, progress)
    series, scale, undistorted = in_the_plane(survey, plan.regions, measured, scale=job.scale, lens=job.lens)
    analysis = analyse_recording(
        survey.real_times_s,
        series,
        tick_s=survey.tick_s * survey.pace,
        window_s=job.window_s,
        band_hz=job.band_hz,
        origin=survey.origin,
    )
    return Measurement(
        clip=printable(job.clip.name),
        frame=survey.shown,
        time_axis=survey.axis,
        times_s=survey.real_times_s,
        clip_notes=(
            *survey.notes,
            *survey.aspect_notes(isinstance(job.scale, Scale)),
            *knocks,
            *plan.notes(series, survey.shown.shape[1::-1]),
            *filter(None, [coding_note(survey.coding, _coding_errors_px(series))]),
        ),
        analysis=analysis,
        still=plan.still,
        proposed=plan.proposed,
        scale=scale,
        plane=job.scale if isinstance(job.scale, PlaneScale) else None,
        undistorted=undistorted,
        comparisons=compare_with_baseline(baseline, plan.regions, analysis.modes) if baseline else (),
        refreshes=sum(follower.refreshes for follower in plan.meter.followers),
        elapsed_s=time.monotonic() - start_s,
        files=result_names(job.export, ssi=job.ssi) if job.directory else (),
        tick_s=survey.tick_s * survey.pace,
        speed_rpm=job.speed_rpm,
        criteria=job.criteria,
        provenance=provenance_of(job.clip, job.command, stated_settings(job, MeasureJob(job.clip, None))),
        subspace=find_poles(survey.real_times_s, analysis, survey.tick_s * survey.pace) if job.ssi else None,
    )


def _coding_errors_px(series: tuple[RegionSeries, ...]) -> list[float]:
    """Errors by compression along the axes that are measured."""
    return [
        error_px
        for each in series
        for error_px, floor_px in zip(each.coding_error_px, each.noise_floor_px, strict=True)
        if math.isfinite(floor_px)
    ]


def _check(job: MeasureJob) -> None:
    check_capture_rate(job.capture_rate_hz)
    check_formats(job.export)
    if job.ssi:
        check_ssi()
    job.span.check()
    _check_above_zero("--window", job.window_s, "give seconds, e.g. 20")
    _check_above_zero("--speed-rpm", job.speed_rpm, "give turns a minute, e.g. 1480")
    if job.band_hz is not None and not all(math.isfinite(edge) for edge in job.band_hz):
        raise OptionFault(
            "--band: an edge is not a finite number", remedy="give two frequencies in Hz, e.g. 0.5 20"
        )
    for criterion in job.criteria:
        if not isinstance(job.scale, PlaneScale):  # a plane has a scale in every region
            criterion.factor(None if job.scale is None else job.scale.mm_per_px)


def _check_above_zero(option: str, value: float | None, remedy: str) -> None:
    if value is not None and not 0 < value < math.inf:
        raise OptionFault(f"{option} {value:g}: not a number above 0", remedy=remedy)


def _check_rate(job: MeasureJob, survey: Survey) -> None:
    """Refuse to judge by limits what has no times of its own: nobody knows how fast it moved."""
    if job.criteria and not survey.axis.measured and job.capture_rate_hz is None:
        raise OptionFault(
            f"{job.clip}: holds no times, so its rate is unknown and no limit can be judged",
            remedy="state the true rate with --capture-fps",
        )


def _measure_all(
    job: MeasureJob, survey: Survey, plan: Plan, progress: Progress | None
) -> tuple[tuple[RegionSeries, ...], list[str]]:
    kept, meter = survey.kept, plan.meter
    count, places = kept.size, np.cumsum(kept) - 1
    table = np.full((len(plan.regions), ROW, int(kept.sum())), np.nan)
    measure, knocked = plan.knocked(survey.samples[0], survey.bit_depth)
    with closing(open_recording(job.clip, capture_rate_hz=job.capture_rate_hz)) as camera:
        frame, read = frame_of(camera)
        for _ in range(survey.skipped):
            read()
        for number in range(count):
            if read() is None:
                raise ClipFault(
                    f"{job.clip}: has changed while it was read", remedy="measure a clip that is finished"
                )
            if kept[number]:
                time_s = float(survey.real_times_s[places[number]])
                for row, motion in zip(table, measure(frame, time_s), strict=True):
                    row[:, places[number]] = motion.row
            if progress is not None:
                progress(count + number + 1, 2 * count)
    for since_s, until_s in knocked.gaps_s if knocked else ():
        # What is measured before it is found is no motion.
        table[..., (survey.real_times_s >= since_s) & (survey.real_times_s <= until_s)] = np.nan
    floors, rounding = meter.noise_floors_px, meter.rounding_floors_px
    errors = coding_errors_px(luma(survey.shown), plan.regions, survey.coding)
    series = tuple(
        RegionSeries.of_rows(
            f"R{number + 1}",
            region,
            table[number],
            floors[number],
            rounding[number],
            coding_error_px=errors[number],
            bound_px=meter.followers[number].tracker.bound_px,
        )
        for number, region in enumerate(plan.regions)
    )
    return series, knocked.notes if knocked else []
