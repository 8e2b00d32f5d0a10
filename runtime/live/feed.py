"""Live feed for viewers: the newest picture, the latest displacement, the latest spectra.

The loop over frames hands them over and never waits: a slow viewer sees fewer pictures and delays nobody.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.frames.latest import Latest
from tremorscope.runtime.frames.ring import Lease
from tremorscope.runtime.health import NaturalFrequency
from tremorscope.runtime.live.picture import LiveFrame, LiveInfo
from tremorscope.runtime.vibration.spectra.peaks import Peak

HELD = 3
"""Pictures that a feed and its viewers hold at most: the newest, and those on loan besides."""
_FEED = "the live feed"


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
    peaks: tuple[Peak, ...] = ()
    artefacts: tuple[tuple[Peak, str], ...] = ()
    """Peaks that are no motion, each with its cause."""


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
    """Hand-over from the live loop to all viewers. One thread offers, any number may read.

    The newest picture is leased, and shared with whom it is lent to: nothing is copied. Where as many pictures are
    on loan as may be, the next is dropped and counted. Nothing is held without viewers.
    """

    def __init__(
        self,
        *,
        width_px: int,
        height_px: int,
        most_samples: int = 18_000,
        most_points: int = 20_000,
    ) -> None:
        """Make the memory of displacements; that of pictures is in the rings that they are offered from.

        Args:
            width_px: width of every frame in pixels.
            height_px: height of every frame in pixels.
            most_samples: samples of displacement that are kept: 5 minutes at 60 frames/s.
            most_points: points of natural frequencies that are kept.
        """
        self.width_px, self.height_px = width_px, height_px
        self._changed = threading.Condition()
        self._pictures: Latest[LiveFrame] = Latest(changed=self._changed)
        self._loans: Counter[int] = Counter()
        """Viewers that each picture is lent to, by its number."""
        self._watching = 0
        self._closed = False
        self.dropped = 0
        """Pictures that no viewer got because too many others were on loan."""
        self._most_samples = most_samples
        self._motion = LiveMotion(0, (), most_samples, self._changed)
        self._points: deque[NaturalFrequency] = deque(maxlen=most_points)

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
                    self._pictures.clear()  # the next viewer must not be shown an old picture

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
            newest = self._pictures.newest
            if self._closed or newest is None or not self._is_newer(after_sequence):
                return None
            number = newest.info.sequence
            self._loans[number] += 1
            return newest.lend(on_release=lambda: self._take_back(number))

    def series(self, after_s: float = 0.0) -> LiveSeries:
        """Displacement later than ``after_s`` (Unix time), as a copy."""
        return self._motion.later_than(after_s)

    def spectra(self) -> tuple[LiveSpectrum, ...]:
        """The latest spectrum of each region and axis."""
        return self._motion.spectra

    def frequency_history(self, after_s: float = 0.0) -> tuple[NaturalFrequency, ...]:
        """Natural frequencies later than ``after_s`` (Unix time), in order of time."""
        with self._changed:
            return tuple(point for point in self._points if point.time_s > after_s)

    # For the service.

    def offer(self, frame: Lease, magnified: Lease | None, info: LiveInfo) -> bool:
        """Show a frame, u8[H, W, 3]; returns whether it became the newest. Never waits.

        ``magnified`` is None where the frame was not magnified; the caller's leases remain the caller's. Does nothing
        while nobody watches.
        """
        with self._changed:
            if not self._watching or self._closed:
                return False
            if len(self._loans) >= HELD:
                self.dropped += 1
                return False
            shared = None if magnified is None else magnified.share(_FEED)
            self._pictures.put(LiveFrame(frame.share(_FEED), shared, info))
        return True

    def begin_motion(self, regions: Sequence[str]) -> LiveMotion:
        """Show these regions from now on, beginning without samples.

        Returns:
            The buffer of their displacements and spectra. The one before may still be written, and is no longer shown.
        """
        with self._changed:
            self._motion = LiveMotion(self._motion.generation + 1, regions, self._most_samples, self._changed)
            return self._motion

    def add_frequencies(self, points: Sequence[NaturalFrequency]) -> None:
        """Add points of an analysis, or of the store, in order of time."""
        with self._changed:
            self._points.extend(points)

    def close(self) -> None:
        """Close the feed and wake all waiting readers."""
        with self._changed:
            self._closed = True
            self._pictures.clear()
            self._changed.notify_all()

    def _is_newer(self, sequence: int) -> bool:
        newest = self._pictures.newest
        return newest is not None and newest.info.sequence > sequence

    def _take_back(self, number: int) -> None:
        with self._changed:
            self._loans[number] -= 1
            if not self._loans[number]:
                del self._loans[number]
