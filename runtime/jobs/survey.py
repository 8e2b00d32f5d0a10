"""First pass over a clip that is to be measured: its times, its coding, and frames that stand for it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.cameras.clip import ClipCamera
from tremorscope.runtime.cameras.clip_coding import ClipCoding
from tremorscope.runtime.cameras.recordings import frame_of, open_recording
from tremorscope.runtime.errors import ClipFault
from tremorscope.runtime.frames.buffers import FrameRing
from tremorscope.runtime.frames.clip_times import FrameTimes, TimeAxis, burst_size, without_rounding
from tremorscope.runtime.frames.frame import RecordedClip
from tremorscope.runtime.frames.repeats import RepeatFinder, Repeats
from tremorscope.runtime.host.progress import Progress
from tremorscope.runtime.jobs.samples import Picture, Samples, Span
from tremorscope.runtime.vibration.displacement.region_maps import aspect_note
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.spectra.artefacts import Origin

_FEWEST_FRAMES = 16
_CARRIED_OVER = 0.12
"""Share of the picture that compression leaves unchanged from which on it was seen to weaken small motion."""


@dataclass(frozen=True, eq=False)
class Survey:
    """Result of a first pass over a clip: its times, and some frames spread over it."""

    repeats: Repeats
    """Pictures that show nothing new, and the times of the others in playback."""
    axis: TimeAxis
    tick_s: float
    skipped: int
    """Frames before those that are measured."""
    shown: NDArray[np.uint8]
    """The reference as it is shown, (H, W, 3; RGB)."""
    samples: tuple[Picture, ...]
    """Frames as they are measured: the reference, and others at irregular times."""
    bit_depth: int
    notes: tuple[str, ...]
    """Peculiarities of the clip that bear on the results."""
    coding: ClipCoding
    """Account of its compression."""
    pixel_aspect: float = 1.0
    """Width over height of a pixel."""

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

    def aspect_notes(self, is_scaled: bool) -> tuple[str, ...]:
        """Note on pixels that are not square; none where they are."""
        return () if self.pixel_aspect == 1 else (aspect_note(self.pixel_aspect, is_scaled),)

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


def look_through(
    clip: Path,
    span: Span,
    regions: tuple[Region, ...],
    *,
    capture_rate_hz: float | None = None,
    progress: Progress | None = None,
) -> Survey:
    """Read a clip once.

    Args:
        clip: the clip.
        span: the part of it that is measured, and its reference.
        regions: where the reference must be sharp; none stands for everywhere.
        capture_rate_hz: true rate of capture; None takes the file's.
        progress: told of every frame, as of the first of two passes.

    Raises:
        ClipFault: the clip cannot be read to its end, or is too short.
    """
    open_clip = partial(open_recording, clip, capture_rate_hz=capture_rate_hz)
    with closing(open_clip(quantisers=True)) as camera:
        repeats, samples = RepeatFinder(camera.bit_depth), Samples(span, regions)
        times, skipped = _read(camera, span, repeats, samples, progress)
        key_frames = np.frombuffer(bytes(camera.picture_types), np.uint8)[skipped:][: len(times)] == ord("K")
        tick_s = float(camera.time_base)
        times_s, of_bursts = _without_bursts(
            camera, without_rounding(np.array(times), tick_s, camera.nominal_rate_hz)
        )
        found = repeats.find(times_s, key_frames)
        pictures = samples.pictures()
        deep = camera.bit_depth > 8
        return Survey(
            found,
            _axis(camera, found),
            tick_s,
            skipped,
            _picture_at(open_clip(), samples.reference_s) if deep else pictures[0],
            pictures,
            camera.bit_depth,
            (
                *camera.notes(),
                *of_bursts,
                *found.notes(),
                *samples.notes(),
                *_compression(camera, repeats, found),
            ),
            camera.coding() if isinstance(camera, ClipCamera) else ClipCoding.none(len(times)),
            float(camera.pixel_aspect),
        )


def _read(
    camera: RecordedClip, span: Span, repeats: RepeatFinder, samples: Samples, progress: Progress | None
) -> tuple[list[float], int]:
    """Show the frames of a span to both; their times, and the number of those before them."""
    frame, read = frame_of(camera)
    total = camera.frame_count_estimate
    times: list[float] = []
    skipped, zero_s = 0, None
    while (info := read()) is not None:
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
            f"{camera.path}: {len(times)} frames{span.text()} are too few to measure vibration in",
            remedy=f"name a clip, or a part of it, of {_FEWEST_FRAMES} frames or more",
        )
    return times, skipped


def _without_bursts(
    camera: RecordedClip, times_s: NDArray[np.float64]
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Times (N,), evenly spaced where frames were stamped as they arrived in bursts; and a note then.

    Raises:
        ClipFault: they were, and no rate of capture is stated.
    """
    size = burst_size(times_s)
    if size == 1:
        return times_s, ()
    told = f"frames come in bursts of {size}, stamped as they arrived"
    if camera.capture_rate_hz is None:
        rate_hz = (times_s.size - 1) / (times_s[-1] - times_s[0])
        raise ClipFault(
            f"{camera.path}: {told}: when each was taken is not known",
            remedy=f"state the camera's rate, at which they are then taken as even: --capture-fps {rate_hz:.3g}",
        )
    even: NDArray[np.float64] = np.linspace(times_s[0], times_s[-1], times_s.size)
    return even, (f"{told}: they are taken as even, at the stated rate",)


def _compression(camera: RecordedClip, finder: RepeatFinder, found: Repeats) -> list[str]:
    """A note where a codec that predicts frames from each other has carried much of the picture over."""
    predicted = not set(camera.picture_types) <= {ord("K"), ord("I")}
    if not predicted or found.all_one or finder.unchanged < _CARRIED_OVER:
        return []
    return [
        f"compression carried {finder.unchanged:.0%} of the picture over from frame to frame: motion of less than a "
        "pixel may come out smaller than it was, by a quarter in places; film with a higher bit rate"
    ]


def _picture_at(recording: RecordedClip, time_s: float) -> NDArray[np.uint8]:
    """The picture (H, W, 3; RGB) at a time since the first; the recording, fresh, is closed."""
    with closing(recording) as camera:
        picture = FrameRing(1, width_px=camera.width_px, height_px=camera.height_px).frame(0)
        zero_s = None
        while (info := camera.read_into(picture)) is not None:
            zero_s = info.timestamp_s if zero_s is None else zero_s
            if info.timestamp_s - zero_s >= time_s:
                break
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
