"""The demonstration: a drawn footbridge that vibrates unseen, is filmed, magnified and measured."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from tremorscope.files import reason_of
from tremorscope.runtime.cameras.synthetic import SyntheticCamera, SyntheticSettings
from tremorscope.runtime.clips.h264 import EncodingSettings
from tremorscope.runtime.clips.video import VideoWriter
from tremorscope.runtime.engines.interface.bundle import open_bundle
from tremorscope.runtime.engines.interface.engine import PairwiseEngine
from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeEngine
from tremorscope.runtime.errors import BundleFault, OptionFault, OutputFault
from tremorscope.runtime.frames.buffers import FrameRing
from tremorscope.runtime.frames.frame import ViewComposer
from tremorscope.runtime.host.progress import Progress
from tremorscope.runtime.jobs.demo_measurements import ModeResult, Place, Recording, compare, rms
from tremorscope.runtime.magnification.magnifier import Magnifier, check_amplification

VIDEO_NAMES = ("original", "magnified", "split")
PICTURE_NAME = "effect.png"
_QUALITIES = (6, 6, 16)
"""x264's quality of each video. The first two are there to be measured: at 16, as of clips to look at, the film would
lose a seventh of its motion."""
_SHORTEST_S, _LONGEST_S = 1.0, 600.0


@dataclass(frozen=True)
class DemoJob:
    """Settings of a demonstration: film, amplification and output directory."""

    directory: Path
    amplification: float = 40.0
    """Magnified over true displacement."""
    seconds: float = 6.0
    bundle: Path | None = None
    """Directory of the bundle; None takes the one that is shipped."""
    threads: int | None = None
    """Threads of the engine; None takes one a core."""
    width_px: int = 640
    height_px: int = 360


@dataclass(frozen=True)
class DemoReport:
    """Results of a demonstration."""

    job: DemoJob
    network: str
    frames: int
    modes: tuple[ModeResult, ...]
    still_filmed_px: float
    """RMS displacement measured at the abutment, which does not move, as filmed."""
    still_magnified_px: float
    """The same after magnification."""
    elapsed_s: float

    def lines(self) -> list[str]:
        """Human-readable report, a line each."""
        job = self.job
        videos = ", ".join(f"{name}.mp4" for name in VIDEO_NAMES)
        return [
            f"filmed      a drawn footbridge, {self.frames} frames, {job.width_px}x{job.height_px} px, noisy",
            f"magnified   {job.amplification:g} times, network {self.network}, {self.elapsed_s:.0f} s in all",
            f"written     {videos} and {PICTURE_NAME} in {job.directory}",
            "",
            _row("amplitude in px", "frequency (true)", "true", "filmed", "magnified", "reached"),
            *(
                _row(
                    mode.place,
                    f"{mode.found_hz:.3f} Hz ({mode.true_hz:g})",
                    f"{mode.true_px:.4f}",
                    f"{mode.filmed_px:.3f} ± {mode.filmed_sigma_px:.3f}",
                    f"{mode.magnified_px:.3f}",
                    f"{mode.reached:.1f} x",
                )
                for mode in self.modes
            ),
            _row(
                "abutment (rms)",
                "still",
                "0",
                f"{self.still_filmed_px:.4f}",
                f"{self.still_magnified_px:.3f}",
                "",
            ),
        ]


def _row(place: str, frequency: str, true: str, filmed: str, magnified: str, reached: str) -> str:
    return f"{place:<16}{frequency:>20}{true:>9}{filmed:>14}{magnified:>11}{reached:>10}".rstrip()


def run_demo(job: DemoJob, progress: Progress | None = None) -> DemoReport:
    """Film, magnify, measure; write videos and picture into the job's directory, over those of earlier runs.

    Raises:
        OptionFault: a duration, size or amplification that cannot be used.
        BundleFault: the bundle is missing, damaged or untrained.
        OutputFault: the directory or a file in it cannot be written.
    """
    start_s = time.monotonic()
    if not _SHORTEST_S <= job.seconds <= _LONGEST_S:
        raise OptionFault(
            f"--seconds {job.seconds:g}: out of range",
            remedy=f"choose {_SHORTEST_S:g} to {_LONGEST_S:g} seconds",
        )
    settings = SyntheticSettings(job.width_px, job.height_px, duration_s=job.seconds)
    network, magnifier = _magnifier(job)
    _make_directory(job.directory)
    recording = Recording.of(settings)
    _film(job, settings, magnifier, recording, progress)
    recording.measure(*(job.directory / f"{name}.mp4" for name in VIDEO_NAMES[:2]))
    modes = compare(recording)
    _draw(job, recording, modes)
    return DemoReport(
        job=job,
        network=network,
        frames=len(recording.times_s),
        modes=modes,
        still_filmed_px=rms(recording.abutment.filmed_px),
        still_magnified_px=rms(recording.abutment.magnified_px),
        elapsed_s=time.monotonic() - start_s,
    )


def _magnifier(job: DemoJob) -> tuple[str, Magnifier]:
    bundle = open_bundle(job.bundle)
    if not bundle.manifest.trained:
        raise BundleFault(
            f"{bundle.directory}: its weights are random",
            remedy="name a bundle of trained weights with --bundle",
        )
    check_amplification(job.amplification, bundle.manifest.amplification)
    engine: PairwiseEngine = OnnxRuntimeEngine(
        bundle.cpu_graph_path("pairwise"), width_px=job.width_px, height_px=job.height_px, threads=job.threads
    )
    return bundle.manifest.network, Magnifier(engine, mode="static", amplification=job.amplification)


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFault(
            f"{directory}: cannot be created ({reason_of(error)})",
            remedy="name a directory that you may write to",
        ) from None


def _film(
    job: DemoJob,
    settings: SyntheticSettings,
    magnifier: Magnifier,
    recording: Recording,
    progress: Progress | None,
) -> None:
    """Carry every frame through camera, magnifier, views and videos, in the same memory however long."""
    camera = SyntheticCamera(settings)
    frame, magnified, split = (
        FrameRing(1, width_px=job.width_px, height_px=job.height_px).frame(0) for _ in VIDEO_NAMES
    )
    composer = ViewComposer("split", width_px=job.width_px, height_px=job.height_px)
    total = round(job.seconds * settings.rate_hz)
    with ExitStack() as videos:
        writers = [
            videos.enter_context(
                VideoWriter(
                    job.directory / f"{name}.mp4",
                    EncodingSettings(
                        job.width_px,
                        job.height_px,
                        settings.rate_hz,
                        time_base=1 / Fraction(settings.rate_hz).limit_denominator(1001),
                        constant_rate_factor=quality,
                    ),
                    comment=f"drawn by tremorscope: {name}, amplification {job.amplification:g}",
                    overwrite=True,
                )
            )
            for name, quality in zip(VIDEO_NAMES, _QUALITIES, strict=True)
        ]
        while (info := camera.read_into(frame)) is not None:
            magnifier.step(frame, magnified)
            composer.compose(frame, magnified, split)
            for writer, picture in zip(writers, (frame, magnified, split), strict=True):
                writer.write(picture, info.timestamp_s)
            recording.add(frame, magnified, info.timestamp_s)
            if progress is not None:
                progress(info.sequence + 1, total)
    camera.close()


def _draw(job: DemoJob, recording: Recording, modes: tuple[ModeResult, ...]) -> None:
    # Drawing takes a second to import; nothing else of the runtime needs it.
    from tremorscope.runtime.reports.demo_picture import Box, Effect, Trace, save_effect_picture

    def trace(place: Place) -> Trace:
        region = place.region
        return Trace(
            place.name,
            Box(region.x_px, region.y_px, region.width_px, region.height_px),
            np.asarray(recording.times_s),
            recording.true_px(place),
            np.asarray(place.filmed_px),
            np.asarray(place.magnified_px),
        )

    assert recording.first_frame is not None  # a film of a second or more has frames
    effect = Effect(
        frame=recording.first_frame,
        filmed=recording.filmed,
        magnified=recording.magnified,
        amplification=job.amplification,
        first=trace(recording.middle),
        second=trace(recording.quarter),
        frequencies_hz=tuple(mode.found_hz for mode in modes if mode.place == recording.quarter.name),
    )
    save_effect_picture(effect, job.directory / PICTURE_NAME)
