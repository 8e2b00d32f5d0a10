"""Settings and report of an offline magnification, and its output, as near to the clip as can be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tremorscope.runtime.clips.containers import container_of
from tremorscope.runtime.clips.h264 import EncodingSettings
from tremorscope.runtime.clips.pictures import PngWriter
from tremorscope.runtime.clips.sound import sound_of
from tremorscope.runtime.clips.video import VideoWriter, open_writer
from tremorscope.runtime.engines.selection import RuntimeChoice
from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.frames.clip_times import TimeAxis
from tremorscope.runtime.frames.frame import HDR_TRANSFERS, RecordedClip, View
from tremorscope.runtime.magnification.settings import Magnification
from tremorscope.runtime.reports.provenance import provenance_of, stated_settings
from tremorscope.runtime.vibration.displacement.warping import CameraModel


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
    automatic: bool = False
    """Measure the clip and choose the amplification by that, whatever ``amplification`` says."""
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
    remarks: tuple[str, ...] = ()
    """Human-readable lines on the choice of the amplification, too large motion, colours, sound and times."""

    def lines(self) -> list[str]:
        """Human-readable report, a line each."""
        job = self.job
        return [
            f"frames         {self.frames} of {self.width_px}x{self.height_px} px, {job.clip.name}",
            f"magnified      {job.amplification:g} times, {job.mode} mode, network {self.network}",
            *([f"stabilised     {self.steady_line}"] if self.steady_line else []),
            *self.filter_lines,
            *self.remarks,
            f"view           {job.view}",
            *self.time_axis.lines(),
            f"speed          {self.frames / self.elapsed_s:.1f} frames/s, {self.elapsed_s:.1f} s in all",
            f"runtime        {self.runtime}",
            f"written        {job.output}",
        ]


def open_output(job: MagnifyJob, camera: RecordedClip) -> VideoWriter | PngWriter:
    """Writer of the job's output, with the clip's size, timing, colour, pixel aspect and sound."""
    origin = provenance_of(
        job.clip, "", stated_settings(job, MagnifyJob(clip=job.clip, output=job.output, amplification=1))
    )
    return open_writer(
        job.output,
        EncodingSettings(
            camera.width_px,
            camera.height_px,
            camera.nominal_rate_hz,
            camera.time_base,
            colour=camera.colour,
            pixel_aspect=camera.pixel_aspect,
        ),
        comment=f"motion magnified {job.amplification:g} times ({job.mode}) by {origin.line()}",
        overwrite=job.overwrite,
        sound=None if _is_slowed(job, camera) else job.clip,
    )


def colour_remarks(job: MagnifyJob, camera: RecordedClip) -> list[str]:
    """Lines on what of the clip's colours and pixels the output cannot hold.

    Raises:
        OutputFault: the pictures would look wrong in it.
    """
    kind = container_of(job.output)
    tagged = kind is not None and kind.codec != "gif"
    remarks = []
    if camera.colour.is_hdr:
        name = HDR_TRANSFERS[camera.colour.transfer]
        if kind is None or not tagged:
            raise OutputFault(
                f"{job.output}: pictures of this kind cannot say that their brightness is HDR ({name})",
                remedy="write a .mp4, .mkv or .webm, or convert the clip to SDR first",
            )
        remarks.append(f"colour         HDR ({name}), kept as it came; in 8 bits smooth areas may show steps")
        if camera.colour.mastering and kind.codec != "libx264":
            remarks.append("colour         without the mastering display's limits: a .mp4 or .mkv keeps them")
    elif camera.bit_depth > 8:
        remarks.append(f"colour         8 bits, from {camera.bit_depth}")
    if camera.pixel_aspect != 1 and (kind is None or not kind.holds_aspect):
        aspect = f"{float(camera.pixel_aspect):.4g} times as wide as high"
        remarks.append(f"pixels         {aspect}: shown as squares; a .mp4 or .mkv keeps them")
    return remarks


def _is_slowed(job: MagnifyJob, camera: RecordedClip) -> bool:
    return job.capture_rate_hz is not None or camera.capture_rate_hz is not None


def silence(job: MagnifyJob, camera: RecordedClip) -> str:
    """Line on sound that the clip has and the output has not, where its writer was not given any."""
    if not _is_slowed(job, camera) and container_of(job.output) is not None:
        return ""
    found = sound_of(job.clip)
    if found is None:
        return ""
    found[0].close()
    why = "the clip is played slower than it was filmed" if _is_slowed(job, camera) else "pictures have none"
    return f"sound          left out: {why}"
