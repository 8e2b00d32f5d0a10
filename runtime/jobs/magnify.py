"""The offline job: a recorded clip in, a magnified video out, in the same memory however long the clip."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.cameras.recordings import open_recording
from tremorscope.runtime.clips.video import check_output
from tremorscope.runtime.engines.interface.bundle import Bundle, open_bundle
from tremorscope.runtime.engines.selection import Runtime, open_runtime
from tremorscope.runtime.errors import BundleFault, ClipFault, Fault, OptionFault
from tremorscope.runtime.frames.buffers import Allocator, FrameRing
from tremorscope.runtime.frames.clip_times import FrameTimes, check_capture_rate
from tremorscope.runtime.frames.frame import FrameInfo, RecordedClip, ViewComposer
from tremorscope.runtime.host.progress import Progress
from tremorscope.runtime.jobs.first_look import MotionWatch, choose, look_first
from tremorscope.runtime.jobs.magnify_job import MagnifyJob as MagnifyJob
from tremorscope.runtime.jobs.magnify_job import MagnifyReport as MagnifyReport
from tremorscope.runtime.jobs.magnify_job import colour_remarks, open_output, silence
from tremorscope.runtime.jobs.piped import piped_clip
from tremorscope.runtime.jobs.stabilise import SteadyClip, steady_clip
from tremorscope.runtime.magnification.factory import Engines
from tremorscope.runtime.magnification.magnifier import FrameMagnifier, check_amplification
from tremorscope.runtime.magnification.settings import Magnification

Picture = NDArray[np.uint8]
Note = Callable[[str], None]
"""Called with a remark on the present frames; with an empty text when it no longer holds."""


def magnify_clip(
    job: MagnifyJob, progress: Progress | None = None, note: Note | None = None, tell: Note | None = None
) -> MagnifyReport:
    """Magnify a clip into a video; on any failure, and on Ctrl-C, nothing is left behind.

    Args:
        job: what to do; the clip ``-`` is standard input.
        progress: told of every frame.
        note: told of passing conditions.
        tell: told of what a person should know before the work is done.

    Raises:
        OptionFault: an amplification, a rate, a band or a region that cannot be used.
        ClipFault: the clip cannot be read to its end, or has fewer than two frames.
        BundleFault: the bundle is missing, untrained, not deployable, or not for frames of this size.
        EngineFault: the runtime that was named is not available, or a step failed.
        OutputFault: the video cannot be written.
    """
    check_output(job.output, overwrite=job.overwrite, source=job.clip)
    check_capture_rate(job.capture_rate_hz)
    bundle = open_for_use(job.bundle, allow_inaccurate=job.allow_inaccurate)
    if not job.automatic:
        check_amplification(job.amplification, bundle.manifest.amplification)
    with piped_clip(job.clip, job.output) as clip:
        return _magnify(replace(job, clip=clip), bundle, progress, note, tell)


def _magnify(
    job: MagnifyJob, bundle: Bundle, progress: Progress | None, note: Note | None, tell: Note | None
) -> MagnifyReport:
    start_s = time.monotonic()
    with ExitStack() as opened:
        camera, steady_line = _open_clip(job, progress)
        opened.enter_context(closing(camera))
        remarks = colour_remarks(job, camera)
        wanted = camera.seen_from(job) if isinstance(camera, SteadyClip) else job
        check_size(bundle, camera.width_px, camera.height_px, "the clip has")
        watch, wanted, chosen = _look_first(job, wanted, camera, bundle, tell)
        job = replace(job, amplification=wanted.amplification)
        runtime = opened.enter_context(closing(_open_runtime(job, bundle, camera)))
        engines = Engines(bundle, runtime, (camera.width_px, camera.height_px))
        magnifier = engines.make(wanted, camera.capture_rate_hz or camera.nominal_rate_hz)
        with open_output(job, camera) as writer:
            times = _run(camera, magnifier, runtime.allocate, job, (writer.write, watch), progress, note)
        warning = _warning(watch, wanted, bundle)
        if watch is not None and warning not in ("", watch.told) and tell is not None:
            tell(warning)
    return MagnifyReport(
        job=job,
        network=runtime.bundle.manifest.network,
        frames=times.count,
        width_px=camera.width_px,
        height_px=camera.height_px,
        elapsed_s=time.monotonic() - start_s,
        runtime=f"{runtime.description}, {runtime.bundle.manifest.precision.upper()}",
        time_axis=times.axis(camera.time_base, camera.capture_rate_hz, measured=camera.has_timestamps),
        steady_line=steady_line,
        filter_lines=(*(job.band.lines() if job.band else ()), *magnifier.lines()),
        remarks=tuple(filter(None, (chosen, warning, *remarks, silence(job, camera), *writer.notes()))),
    )


def _look_first(
    job: MagnifyJob, wanted: Magnification, camera: RecordedClip, bundle: Bundle, tell: Note | None
) -> tuple[MotionWatch | None, Magnification, str]:
    """Measure the first frames, where that serves: the watch, the magnification, and a line on its choice."""
    limit_px = bundle.manifest.magnified_motion_max_px
    if not job.automatic and (limit_px is None or job.amplification <= 1):
        return None, wanted, ""

    def again() -> RecordedClip:
        clip = open_recording(job.clip, capture_rate_hz=job.capture_rate_hz)
        return camera.of(clip) if isinstance(camera, SteadyClip) else clip

    try:
        watch = look_first(again, wanted, camera.capture_rate_hz or camera.nominal_rate_hz)
    except ClipFault:
        raise
    except Fault as fault:
        if job.automatic:
            raise OptionFault(
                f"--amplification auto: nothing in the clip can be measured ({fault.what})",
                remedy="give a number, e.g. 20",
            ) from None
        return None, wanted, ""
    chosen = ""
    if job.automatic:
        amplification, line = choose(watch, wanted, bundle.manifest.amplification.maximum, limit_px)
        wanted, chosen = replace(wanted, amplification=amplification), f"amplification  {line}"
        if tell is not None:
            tell(chosen)
    watch.told = _warning(watch, wanted, bundle)
    if watch.told and tell is not None:
        tell(watch.told)
    return watch, wanted, chosen


def _warning(watch: MotionWatch | None, wanted: Magnification, bundle: Bundle) -> str:
    told = watch.warning(wanted, bundle.manifest.magnified_motion_max_px) if watch else ""
    return f"warning        {told}" if told else ""


def _open_clip(job: MagnifyJob, progress: Progress | None) -> tuple[RecordedClip, str]:
    """The clip, without its camera's motion where that is wanted, and a line on that motion."""
    open_clip = partial(open_recording, job.clip, capture_rate_hz=job.capture_rate_hz)
    return (open_clip(), "") if job.stabilise is None else steady_clip(open_clip, job.stabilise, progress)


def _open_runtime(job: MagnifyJob, bundle: Bundle, camera: RecordedClip) -> Runtime:
    return open_runtime(
        job.runtime,
        bundle,
        (camera.width_px, camera.height_px),
        threads=job.threads,
        engines=job.engines,
        graphs=("band" if job.filters else "pairwise",),
    )


def _run(
    camera: RecordedClip,
    magnifier: FrameMagnifier,
    allocate: Allocator,
    job: MagnifyJob,
    outputs: tuple[Callable[[Picture, float], None], MotionWatch | None],
    progress: Progress | None,
    note: Note | None,
) -> FrameTimes:
    """Carry every frame through: while frame n is magnified, n + 1 is decoded and n - 1 is encoded."""
    width_px, height_px = camera.width_px, camera.height_px
    # Frame n + 1 goes into the slot of n - 2, which the encoder has left by then.
    frames = FrameRing(3, width_px=width_px, height_px=height_px, allocate=allocate)
    magnifieds = FrameRing(2, width_px=width_px, height_px=height_px, allocate=allocate)
    picture = FrameRing(1, width_px=width_px, height_px=height_px).frame(0)
    composer = ViewComposer(job.view, width_px=width_px, height_px=height_px)
    total, times, (write, watch) = camera.frame_count_estimate, FrameTimes(), outputs

    def show(number: int, info: FrameInfo) -> None:
        composer.compose(frames.frame(number), magnifieds.frame(number), picture)
        write(picture, info.timestamp_s)
        if watch is not None and number >= len(watch.times_s):
            watch.see(frames.frame(number), info.timestamp_s)

    with ThreadPoolExecutor(1, "decode") as decoder, ThreadPoolExecutor(1, "encode") as encoder:
        encoding: Future[None] | None = None
        info = camera.read_into(frames.frame(0))
        while info is not None:
            number = times.count
            decoding = decoder.submit(camera.read_into, frames.frame(number + 1))
            # A high-speed clip's own times are those of playback: its frames were filmed evenly.
            filmed_s = number / camera.capture_rate_hz if camera.capture_rate_hz else info.timestamp_s
            magnifier.step(frames.frame(number), magnifieds.frame(number), filmed_s)
            if encoding is not None:
                encoding.result()
            encoding = encoder.submit(show, number, info)
            times.add(info.timestamp_s)
            if note is not None:
                left_s = magnifier.settling_left_s
                note(f"settling: {left_s:.2g} s left" if left_s else "")
            if progress is not None:
                progress(times.count, total)
            info = decoding.result()
        if encoding is not None:
            encoding.result()
    if times.count < 2:
        raise ClipFault(
            f"{camera.path}: holds one frame only, so no motion", remedy="name a clip of two frames or more"
        )
    return times


def open_for_use(named: Path | None, *, allow_inaccurate: bool = False) -> Bundle:
    """Open a bundle whose pictures are to be looked at: trained, and deployable unless its loss is accepted.

    Raises:
        BundleFault: it is missing, untrained, or was found to lose too much.
    """
    bundle = open_bundle(named)
    if not bundle.manifest.trained:
        raise BundleFault(
            f"{bundle.directory}: its weights are random, fit for timing only",
            remedy="name a bundle that was exported from trained weights",
        )
    if not allow_inaccurate:
        bundle.check_deployable()
    return bundle


def check_size(bundle: Bundle, width_px: int, height_px: int, given: str) -> None:
    """Check that a bundle takes frames of a size; ``given`` says whose size it is, such as ``the clip has``.

    Raises:
        BundleFault: it was made for another.
    """
    made_for = bundle.manifest.frame_size
    if made_for is not None and (made_for.width_px, made_for.height_px) != (width_px, height_px):
        raise BundleFault(
            f"{bundle.directory}: made for {made_for.width_px}x{made_for.height_px} px, and {given} "
            f"{width_px}x{height_px} px",
            remedy="use a bundle for any size, or export one for this size",
        )
