"""The offline job: a recorded clip in, a magnified video out, in the same memory however long the clip."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tremorscope.runtime.cameras.recordings import open_recording
from tremorscope.runtime.clips.h264 import EncodingSettings
from tremorscope.runtime.clips.video import VideoWriter, check_output
from tremorscope.runtime.engines.interface.bundle import Bundle, open_bundle
from tremorscope.runtime.engines.selection import Runtime, RuntimeChoice, open_runtime
from tremorscope.runtime.errors import BundleFault, ClipFault
from tremorscope.runtime.frames.buffers import Allocator, FrameRing
from tremorscope.runtime.frames.clip_times import FrameTimes, TimeAxis, check_capture_rate
from tremorscope.runtime.frames.frame import FrameInfo, RecordedClip, View, ViewComposer
from tremorscope.runtime.host.progress import Progress
from tremorscope.runtime.jobs.stabilise import SteadyClip, steady_clip
from tremorscope.runtime.magnification.factory import Engines
from tremorscope.runtime.magnification.magnifier import FrameMagnifier
from tremorscope.runtime.magnification.settings import Magnification
from tremorscope.runtime.vibration.displacement.warping import CameraModel

Note = Callable[[str], None]
"""Called with a remark on the present frames; with an empty text when it no longer holds."""


@dataclass(frozen=True, kw_only=True)
class MagnifyJob(Magnification):
    """Settings of an offline magnification, with its clip, video and runtime."""

    clip: Path
    output: Path
    view: View = "magnified"
    capture_rate_hz: float | None = None
    """True capture rate of a high-speed clip, whose file states only the rate of playback."""
    bundle: Path | None = None
    """Directory of the bundle; None takes the one that is shipped."""
    runtime: RuntimeChoice = "auto"
    """Inference runtime."""
    engines: Path | None = None
    """Directory of built TensorRT engines; None takes ``engines`` within the bundle."""
    threads: int | None = None
    """Threads of the engine on the CPU; None takes one a core."""
    stabilise: CameraModel | None = None
    """Motion that the camera may have, to take its motion out first; None leaves it in."""
    overwrite: bool = False
    allow_inaccurate: bool = False
    """Run a bundle that `tremorscope compare` found inaccurate."""


@dataclass(frozen=True)
class MagnifyReport:
    """Results of a finished job."""

    job: MagnifyJob
    network: str
    frames: int
    width_px: int
    height_px: int
    elapsed_s: float
    time_axis: TimeAxis
    runtime: str = ""
    """Inference runtime and precision that were used."""
    steady_line: str = ""
    """Human-readable line on the camera's motion that was taken out; empty where none was."""
    filter_lines: tuple[str, ...] = ()
    """Human-readable description of the filter; empty without a filter."""

    def lines(self) -> list[str]:
        """Human-readable report, a line each."""
        job = self.job
        return [
            f"frames         {self.frames} of {self.width_px}x{self.height_px} px, {job.clip.name}",
            f"magnified      {job.amplification:g} times, {job.mode} mode, network {self.network}",
            *([f"stabilised     {self.steady_line}"] if self.steady_line else []),
            *self.filter_lines,
            f"view           {job.view}",
            *self.time_axis.lines(),
            f"speed          {self.frames / self.elapsed_s:.1f} frames/s, {self.elapsed_s:.1f} s in all",
            f"runtime        {self.runtime}",
            f"written        {job.output}",
        ]


def magnify_clip(
    job: MagnifyJob, progress: Progress | None = None, note: Note | None = None
) -> MagnifyReport:
    """Magnify a clip into a video; on any failure, and on Ctrl-C, nothing is left behind.

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
    start_s = time.monotonic()
    with ExitStack() as opened:
        camera, steady_line = _open_clip(job, progress)
        opened.enter_context(closing(camera))
        wanted = camera.seen_from(job) if isinstance(camera, SteadyClip) else job
        check_size(bundle, camera.width_px, camera.height_px, "the clip has")
        runtime = opened.enter_context(closing(_open_runtime(job, bundle, camera)))
        engines = Engines(bundle, runtime, (camera.width_px, camera.height_px))
        magnifier = engines.make(wanted, camera.capture_rate_hz or camera.nominal_rate_hz)
        with _video_writer(job, camera) as writer:
            times = _run(camera, magnifier, runtime.allocate, job, writer, progress, note)
    return MagnifyReport(
        job=job,
        network=bundle.manifest.network,
        frames=times.count,
        width_px=camera.width_px,
        height_px=camera.height_px,
        elapsed_s=time.monotonic() - start_s,
        runtime=f"{runtime.description}, {runtime.bundle.manifest.precision.upper()}",
        time_axis=times.axis(camera.time_base, camera.capture_rate_hz, measured=camera.has_timestamps),
        steady_line=steady_line,
        filter_lines=(*(job.band.lines() if job.band else ()), *magnifier.lines()),
    )


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


def _video_writer(job: MagnifyJob, camera: RecordedClip) -> VideoWriter:
    """Writer of the job's video, with the clip's size, timing, colour and pixel aspect."""
    return VideoWriter(
        job.output,
        EncodingSettings(
            camera.width_px,
            camera.height_px,
            camera.nominal_rate_hz,
            camera.time_base,
            colour=camera.colour,
            pixel_aspect=camera.pixel_aspect,
        ),
        comment=f"motion magnified {job.amplification:g} times ({job.mode}) by tremorscope",
        overwrite=job.overwrite,
    )


def _run(
    camera: RecordedClip,
    magnifier: FrameMagnifier,
    allocate: Allocator,
    job: MagnifyJob,
    writer: VideoWriter,
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
    total, times = camera.frame_count_estimate, FrameTimes()

    def show(number: int, info: FrameInfo) -> None:
        composer.compose(frames.frame(number), magnifieds.frame(number), picture)
        writer.write(picture, info.timestamp_s)

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
