"""Live feed for viewers: the newest picture, the latest displacement, the latest spectra.

The loop over frames hands them over and never waits: a slow viewer sees fewer pictures and delays nobody.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.frames.copies import CopyAccount, copy_pixels

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class LiveInfo:
    """Number, time and magnification of a live picture."""

    sequence: int
    """Rises from picture to picture."""
    time_s: float
    """Unix time of the capture."""
    amplification: float = 1.0
    """Magnified over true displacement, with all fades; 1 where the frame was not magnified."""
    settling_left_s: float = 0.0
    """Seconds until the filter has settled."""


class LiveFrame:
    """A picture on loan: use it within ``with``, for as short as possible, and leave its pixels unchanged."""

    def __init__(self, feed: LiveFeed, slot: int, info: LiveInfo, *, is_magnified: bool) -> None:
        self._feed, self._slot = feed, slot
        self.info = info
        self.frame: Picture = feed._frames[slot]
        """As filmed, u8[H, W, 3] in RGB."""
        self.magnified: Picture | None = feed._magnified[slot] if is_magnified else None
        """Magnified, of the same form; None while it is not (yet) magnified."""

    def __enter__(self) -> LiveFrame:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._feed._give_back(self._slot)


@dataclass(frozen=True)
class LiveSeries:
    """Displacement of all regions over the latest time."""

    generation: int
    """Rises where the regions changed: earlier samples belong to others."""
    regions: tuple[str, ...]
    times_s: NDArray[np.float64]
    """(samples,) Unix time, rising."""
    x_px: NDArray[np.float32]
    """(regions, samples), to the right positive; NaN where nothing could be measured."""
    y_px: NDArray[np.float32]
    """(regions, samples), downwards positive; likewise."""


@dataclass(frozen=True)
class LivePeak:
    """A peak of a live spectrum."""

    frequency_hz: float
    deviation_hz: float | None
    """Standard deviation; None where it is unknown."""
    amplitude_px: float
    damping_ratio: float | None = None


@dataclass(frozen=True)
class LiveSpectrum:
    """The latest spectrum of one region along one axis."""

    region: str
    axis: str
    """x or y."""
    time_s: float
    """Unix time of the end of the analysed samples."""
    duration_s: float
    frequency_hz: NDArray[np.float64]
    """(bins,)."""
    amplitude_px: NDArray[np.float64]
    """(bins,): amplitude of a sinusoid of that frequency, in px."""
    floor_px: NDArray[np.float64] | None
    """(bins,): amplitude that noise alone shows; None where it is unknown."""
    peaks: tuple[LivePeak, ...] = ()


@dataclass(frozen=True)
class FrequencyPoint:
    """One point of a natural frequency over time."""

    mode: int
    time_s: float
    frequency_hz: float
    deviation_hz: float | None


class LiveMotion:
    """Latest displacements and spectra of one set of regions, written by the measurement that it belongs to.

    A measurement that is being replaced still writes into its own object while the next one is already shown.
    """

    def __init__(
        self, generation: int, regions: Sequence[str], most_samples: int, lock: threading.Condition
    ) -> None:
        self.generation, self.regions, self._most, self._lock = generation, tuple(regions), most_samples, lock
        self._times_s = np.zeros(most_samples)
        self._motions_px = np.full((most_samples, len(self.regions), 2), np.nan, np.float32)
        self._samples = 0
        self.spectra: tuple[LiveSpectrum, ...] = ()
        """The latest of each region and axis; replaced as a whole."""

    def add(self, time_s: float, motions_px: NDArray[np.floating]) -> None:
        """Take one frame's displacements (regions, 2) in px along x and y, at a Unix time; NaN where lost."""
        with self._lock:
            slot = self._samples % self._most
            self._times_s[slot], self._motions_px[slot] = time_s, motions_px
            self._samples += 1

    def later_than(self, after_s: float) -> LiveSeries:
        """Copy of the displacements after a Unix time."""
        with self._lock:
            order = np.arange(max(0, self._samples - self._most), self._samples) % self._most
            order = order[self._times_s[order] > after_s]
            motions_px = self._motions_px[order]  # (samples, regions, 2)
            return LiveSeries(
                self.generation,
                self.regions,
                self._times_s[order],
                np.ascontiguousarray(motions_px[..., 0].T),
                np.ascontiguousarray(motions_px[..., 1].T),
            )


class LiveFeed:
    """Hand-over from the loop over frames to all viewers. One thread offers, any number may read.

    Pictures lie in a few slots that are made at the start. ``offer`` copies into a free one and makes it the newest;
    where every slot is on loan the picture is dropped and counted. Nothing is copied without viewers.
    """

    def __init__(
        self,
        *,
        width_px: int,
        height_px: int,
        slots: int = 4,
        most_samples: int = 18_000,
        most_points: int = 20_000,
        account: CopyAccount | None = None,
    ) -> None:
        """Make the memory.

        Args:
            width_px: width of every frame in pixels.
            height_px: height of every frame in pixels.
            slots: one newest, one being written, the others on loan at the same time.
            most_samples: samples of displacement that are kept: 5 minutes at 60 frames/s.
            most_points: points of natural frequencies that are kept.
            account: counts the pixels that are copied.
        """
        if slots < 3:
            raise ValueError(f"{slots} slots are too few: one is read, one is newest, one is written")
        self.width_px, self.height_px, self._account = width_px, height_px, account
        shape = (slots, height_px, width_px, 3)
        self._frames, self._magnified = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        self._loans = [0] * slots
        self._changed = threading.Condition()
        self._newest: tuple[int, LiveInfo, bool] | None = None
        self._watching = 0
        self._closed = False
        self.dropped = 0
        """Pictures that no viewer got because all slots were on loan."""
        self._most_samples = most_samples
        self._motion = LiveMotion(0, (), most_samples, self._changed)
        self._points: deque[FrequencyPoint] = deque(maxlen=most_points)

    # For viewers.

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Count a viewer while the block runs: frames are magnified meanwhile."""
        with self._changed:
            self._watching += 1
        try:
            yield
        finally:
            with self._changed:
                self._watching -= 1
                if not self._watching:
                    self._newest = None  # the next viewer must not be shown an old picture

    @property
    def viewers(self) -> int:
        """Number of viewers."""
        return self._watching

    @property
    def wanted(self) -> bool:
        """True while there is a viewer."""
        return self._watching > 0

    @property
    def closed(self) -> bool:
        """True once the service has ended: no picture will come."""
        return self._closed

    def latest(self, after_sequence: int = -1, timeout_s: float = 1.0) -> LiveFrame | None:
        """The newest picture, waiting for one beyond ``after_sequence``; None after ``timeout_s`` or at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._is_newer(after_sequence), timeout_s)
            if self._closed or not self._is_newer(after_sequence) or self._newest is None:
                return None
            slot, info, is_magnified = self._newest
            self._loans[slot] += 1
            return LiveFrame(self, slot, info, is_magnified=is_magnified)

    def series(self, after_s: float = 0.0) -> LiveSeries:
        """Displacement later than ``after_s`` (Unix time), as a copy."""
        return self._motion.later_than(after_s)

    def spectra(self) -> tuple[LiveSpectrum, ...]:
        """The latest spectrum of each region and axis."""
        return self._motion.spectra

    def frequency_history(self, after_s: float = 0.0) -> tuple[FrequencyPoint, ...]:
        """Natural frequencies later than ``after_s`` (Unix time), in order of time."""
        with self._changed:
            return tuple(point for point in self._points if point.time_s > after_s)

    # For the service.

    def offer(self, frame: Picture, magnified: Picture | None, info: LiveInfo) -> bool:
        """Show a frame, u8[H, W, 3]; returns whether it became the newest. Never waits.

        ``magnified`` is None where the frame was not magnified. Does nothing while nobody watches.
        """
        if not self._watching:
            return False
        with self._changed:
            newest = -1 if self._newest is None else self._newest[0]
            free = [slot for slot, loans in enumerate(self._loans) if not loans and slot != newest]
            if not free:
                self.dropped += 1
                return False
            slot = free[0]
        copy_pixels(frame, self._frames[slot], self._account, "live feed: as filmed")
        if magnified is not None:
            copy_pixels(magnified, self._magnified[slot], self._account, "live feed: magnified")
        with self._changed:
            if (
                not self._watching
            ):  # the last viewer left meanwhile, and the next one must not be shown this picture
                return False
            self._newest = (slot, info, magnified is not None)
            self._changed.notify_all()
        return True

    def begin_motion(self, regions: Sequence[str]) -> LiveMotion:
        """Show these regions from now on, beginning without samples.

        Returns:
            The buffer of their displacements and spectra. The one before may still be written, and is no longer shown.
        """
        with self._changed:
            self._motion = LiveMotion(self._motion.generation + 1, regions, self._most_samples, self._changed)
            return self._motion

    def add_frequencies(self, points: Sequence[FrequencyPoint]) -> None:
        """Add points of an analysis, or of the store, in order of time."""
        with self._changed:
            self._points.extend(points)

    def close(self) -> None:
        """Close the feed and wake all waiting readers."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _is_newer(self, sequence: int) -> bool:
        return self._newest is not None and self._newest[1].sequence > sequence

    def _give_back(self, slot: int) -> None:
        with self._changed:
            self._loans[slot] -= 1
