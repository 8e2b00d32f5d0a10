"""The offline measurement: a recorded clip in; displacement, peaks, modes, pictures and a report out."""

from __future__ import annotations

import math
import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.cameras.clip import ClipCamera
from tremorscope.runtime.cameras.clip_coding import ClipCoding
from tremorscope.runtime.cameras.recordings import MeasuredFrame, frame_of, open_recording
from tremorscope.runtime.errors import ClipFault, OptionFault
from tremorscope.runtime.frames.buffers import FrameRing
from tremorscope.runtime.frames.clip_times import FrameTimes, TimeAxis, check_capture_rate, without_rounding
from tremorscope.runtime.frames.frame import RecordedClip
from tremorscope.runtime.frames.repeats import RepeatFinder, Repeats
from tremorscope.runtime.host.files import printable, whole_directory
from tremorscope.runtime.host.progress import Progress
from tremorscope.runtime.reports.measurement import Measurement
from tremorscope.runtime.vibration.displacement.choosing import choose_regions
from tremorscope.runtime.vibration.displacement.coding_loss import coding_errors_px, coding_note
from tremorscope.runtime.vibration.displacement.geometry import Lens, PlaneScale, check_same_lens
from tremorscope.runtime.vibration.displacement.meter import MotionMeter
from tremorscope.runtime.vibration.displacement.region_maps import RegionMaps
from tremorscope.runtime.vibration.displacement.regions import Region, Scale
from tremorscope.runtime.vibration.displacement.windows import luma
from tremorscope.runtime.vibration.monitoring.limits import Criterion
from tremorscope.runtime.vibration.monitoring.modal_baseline import (
    ModalBaseline,
    compare_with_baseline,
    read_baseline,
)
from tremorscope.runtime.vibration.spectra.analysis import RegionSeries, analyse_recording
from tremorscope.runtime.vibration.spectra.artefacts import Origin

Picture = NDArray[np.uint8]

RESULT_NAMES = (
    "displacement.csv",
    "displacement.uff",
    "velocity.csv",
    "velocity.uff",
    "acceleration.csv",
    "acceleration.uff",
    "spectrum.png",
    "orbits.png",
    "overlay.png",
    "report.html",
    "summary.json",
)
_MOST_SAMPLES, _FEWEST_SAMPLES = 16, 4
_SAMPLE_BYTES = 128 * 2**20
_FEWEST_FRAMES = 16
_CARRIED_OVER = 0.12
"""Share of the picture that compression leaves unchanged from which on it was seen to weaken small motion."""


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


@dataclass(frozen=True, eq=False)
class _Survey:
    """Result of a first pass over a clip: its times, and some frames spread over it."""

    repeats: Repeats
    """Pictures that show nothing new, and the times of the others in playback."""
    axis: TimeAxis
    tick_s: float
    first: Picture
    """The first frame as it is shown, (H, W, 3; RGB)."""
    samples: tuple[MeasuredFrame, ...]
    """Frames as they are measured, the first among them."""
    bit_depth: int
    notes: tuple[str, ...]
    """Peculiarities of the clip that bear on the results."""
    coding: ClipCoding
    """Account of its compression."""

    @property
    def origin(self) -> Origin:
        """Rhythms of its compression, in reality rather than in playback."""
        count = self.repeats.times_s.size - 1
        rate_hz = count / float(self.repeats.times_s[-1] - self.repeats.times_s[0]) / self.pace
        key, pattern = self.coding.key_interval, self.coding.pattern
        return Origin(
            rate_hz / key if key else None,
            rate_hz / pattern if pattern > 1 else None,
        )

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
        if self.axis.capture_rate_hz is None:
            return 1.0
        # Counted from frame to frame: lost frames are no part of the rate of playback.
        steps_s = np.diff(self.repeats.times_s[self.kept])
        interval_s = float(steps_s[steps_s < 1.5 * np.median(steps_s)].mean())
        return 1 / interval_s / self.axis.capture_rate_hz


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
    _check_rate(job, survey)
    regions, proposed = _choose_regions(job, survey, baseline)
    meter = MotionMeter(survey.samples[0], regions, job.still, bit_depth=survey.bit_depth)
    meter.learn_noise(survey.samples)
    maps = _maps(job, survey.first, regions)
    series = _measure_all(job, survey, meter, progress)
    scale = None if isinstance(job.scale, PlaneScale) else job.scale
    if maps is not None:
        series = tuple(_carried(each, maps, at) for at, each in enumerate(series))
        scale = maps.scales[0] if maps.scales else scale
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
        frame=survey.first,
        time_axis=survey.axis,
        times_s=survey.real_times_s,
        clip_notes=(*survey.notes, *filter(None, [coding_note(survey.coding, _coding_errors_px(series))])),
        analysis=analysis,
        still=job.still,
        proposed=proposed,
        scale=scale,
        plane=job.scale if isinstance(job.scale, PlaneScale) else None,
        undistorted=maps is not None and (job.lens is not None or maps.has_lens),
        comparisons=compare_with_baseline(baseline, regions, analysis.modes) if baseline else (),
        refreshes=sum(follower.refreshes for follower in meter.followers),
        elapsed_s=time.monotonic() - start_s,
        files=RESULT_NAMES if job.directory else (),
        tick_s=survey.tick_s * survey.pace,
        speed_rpm=job.speed_rpm,
        criteria=job.criteria,
    )


def _maps(job: MeasureJob, frame: Picture, regions: tuple[Region, ...]) -> RegionMaps | None:
    """Maps by lens and plane; None where neither was stated."""
    plane = job.scale if isinstance(job.scale, PlaneScale) else None
    calibrated = plane or job.lens
    if calibrated is None:
        return None
    if plane is not None:
        check_same_lens(plane, job.lens)
    calibrated.check_size(frame.shape[1], frame.shape[0], "the scale" if plane else "the lens")
    return RegionMaps(calibrated, regions)


def _carried(series: RegionSeries, maps: RegionMaps, at: int) -> RegionSeries:
    """Displacement and floors of a region, carried by its map."""
    x_px, y_px = maps.carry(at, np.stack([series.x_px, series.y_px]))
    floors = maps.floors(at, series.noise_floor_px)
    rounding = maps.floors(at, series.rounding_floor_px)
    return replace(series, x_px=x_px, y_px=y_px, noise_floor_px=floors, rounding_floor_px=rounding)


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
    if job.window_s is not None and not (math.isfinite(job.window_s) and job.window_s > 0):
        raise OptionFault(f"--window {job.window_s:g}: not a number above 0", remedy="give seconds, e.g. 20")
    if job.band_hz is not None and not all(math.isfinite(edge) for edge in job.band_hz):
        raise OptionFault(
            "--band: an edge is not a finite number", remedy="give two frequencies in Hz, e.g. 0.5 20"
        )

    if job.speed_rpm is not None and not (math.isfinite(job.speed_rpm) and job.speed_rpm > 0):
        raise OptionFault(
            f"--speed-rpm {job.speed_rpm:g}: not a number above 0", remedy="give turns a minute, e.g. 1480"
        )
    for criterion in job.criteria:
        if not isinstance(job.scale, PlaneScale):  # a plane has a scale in every region
            criterion.factor(None if job.scale is None else job.scale.mm_per_px)


def _check_rate(job: MeasureJob, survey: _Survey) -> None:
    """Refuse to judge by limits what has no times of its own: nobody knows how fast it moved."""
    if job.criteria and not survey.axis.measured and job.capture_rate_hz is None:
        raise OptionFault(
            f"{job.clip}: holds no times, so its rate is unknown and no limit can be judged",
            remedy="state the true rate with --capture-fps",
        )


def _look_through(job: MeasureJob, progress: Progress | None) -> _Survey:
    with closing(_open(job, quantisers=True)) as camera:
        frame, read = frame_of(camera)
        most = max(_FEWEST_SAMPLES, min(_MOST_SAMPLES, _SAMPLE_BYTES // frame.nbytes))
        total = camera.frame_count_estimate
        times: list[float] = []
        repeats, samples, stride = RepeatFinder(camera.bit_depth), [], 1
        while (info := read()) is not None:
            repeats.add(frame)
            if len(times) % stride == 0:
                samples.append(frame.copy())
                if len(samples) > 2 * most:
                    samples, stride = samples[::2], 2 * stride
            times.append(info.timestamp_s)
            if progress is not None:
                progress(len(times), None if total is None else 2 * max(total, len(times)))
        if len(times) < _FEWEST_FRAMES:
            raise ClipFault(
                f"{job.clip}: {len(times)} frames are too few to measure vibration in",
                remedy=f"name a clip of {_FEWEST_FRAMES} frames or more",
            )
        key_frames = np.frombuffer(bytes(camera.picture_types), np.uint8) == ord("K")
        tick_s = float(camera.time_base)
        found = repeats.find(without_rounding(np.array(times), tick_s, camera.nominal_rate_hz), key_frames)
        return _Survey(
            found,
            _axis(camera, found),
            tick_s,
            _first_picture(job) if camera.bit_depth > 8 else samples[0],
            tuple(samples),
            camera.bit_depth,
            (*camera.notes(), *found.notes(), *_compression(camera, repeats, found)),
            camera.coding() if isinstance(camera, ClipCamera) else ClipCoding.none(len(times)),
        )


def _compression(camera: RecordedClip, finder: RepeatFinder, found: Repeats) -> list[str]:
    """A note where a codec that predicts frames from each other has carried much of the picture over."""
    predicted = not set(camera.picture_types) <= {ord("K"), ord("I")}
    if not predicted or found.all_one or finder.unchanged < _CARRIED_OVER:
        return []
    return [
        f"compression carried {finder.unchanged:.0%} of the picture over from frame to frame: motion of less than a "
        "pixel may come out smaller than it was, by a quarter in places; film with a higher bit rate"
    ]


def _open(job: MeasureJob, *, quantisers: bool = False) -> RecordedClip:
    return open_recording(job.clip, capture_rate_hz=job.capture_rate_hz, quantisers=quantisers)


def _first_picture(job: MeasureJob) -> Picture:
    with closing(_open(job)) as camera:
        picture = FrameRing(1, width_px=camera.width_px, height_px=camera.height_px).frame(0)
        camera.read_into(picture)
        return picture


def _axis(camera: RecordedClip, repeats: Repeats) -> TimeAxis:
    """The time axis of what is measured; a conversion's repeats have neither part in it nor in the rate of capture."""
    times_s, capture_hz = repeats.times_s, camera.capture_rate_hz
    if repeats.cycle is not None:
        times_s = times_s[~repeats.repeated]
        capture_hz = capture_hz and capture_hz * repeats.cycle[1] / repeats.cycle[0]
    gathered = FrameTimes()
    for time_s in times_s.tolist():
        gathered.add(time_s)
    return gathered.axis(camera.time_base, capture_hz, measured=camera.has_timestamps)


def _choose_regions(
    job: MeasureJob, survey: _Survey, baseline: ModalBaseline | None
) -> tuple[tuple[Region, ...], bool]:
    """The regions to measure, and whether they were proposed."""
    if job.regions:
        return job.regions, False
    if baseline is not None:
        return tuple(each.region() for each in baseline.regions), False
    return choose_regions(survey.samples, job.proposals, still=job.still, bit_depth=survey.bit_depth), True


def _measure_all(
    job: MeasureJob, survey: _Survey, meter: MotionMeter, progress: Progress | None
) -> tuple[RegionSeries, ...]:
    kept, regions = survey.kept, len(meter.followers)
    count, places = kept.size, np.cumsum(kept) - 1
    table = np.full((regions, 5, int(kept.sum())), np.nan)
    with closing(_open(job)) as camera:
        frame, read = frame_of(camera)
        for number in range(count):
            if read() is None:
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
    errors = coding_errors_px(luma(survey.first), [each.region for each in meter.followers], survey.coding)
    return tuple(
        RegionSeries(
            f"R{number + 1}",
            follower.region,
            x_px=table[number, 0],
            y_px=table[number, 1],
            quality=table[number, 2],
            light=table[number, 3:],
            noise_floor_px=(floors[number][0], floors[number][1]),
            rounding_floor_px=(rounding[number][0], rounding[number][1]),
            coding_error_px=errors[number],
        )
        for number, follower in enumerate(meter.followers)
    )
