"""Records events: clips of what the camera saw from before a trigger until after it, raw and magnified.

The loop over frames hands every frame to ``EventRecorder.offer``, which copies it into the history and returns.
Threads, one a kind of clip, take the frames out of the history at their own pace. A thread that falls behind
by more than the history holds loses the oldest of the frames that it has not taken, and the clip says how many.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.clips.pre_roll import ClipFrames, FrameHistory, Magnify, slots_for
from tremorscope.runtime.clips.settings import RecordingSettings
from tremorscope.runtime.clips.writer import TIME_BASE, EventClipWriter, clip_name, event_name
from tremorscope.runtime.errors import Fault, OutputFault
from tremorscope.runtime.frames.copies import CopyAccount
from tremorscope.runtime.host.threads import BACKGROUND, Threads
from tremorscope.runtime.store.records import Clip, ClipKind, Event, Record

_CLOSEST_S = float(2 * TIME_BASE)
"""Frames that are closer together could not be told apart in a clip."""
_MOST_WAITING = 4
_POLL_S = 0.25


@dataclass(frozen=True)
class RecorderState:
    """What the recorder has done since it was made."""

    recording: str | None
    """The event that is being recorded."""
    saved: int
    failed: int
    declined: int
    """Triggers without a clip: the disk is low, or too many clips wait to be written."""
    dropped_frames: int
    """Frames that are missing in clips because a thread fell behind."""
    backward_steps: int
    """How often the camera's time ran backwards; a clip ends there."""


class _Recording:
    """One event while its frames come in; all of it is guarded by the recorder's lock."""

    def __init__(self, event: Event, first: int, start_s: float, end_s: float, limit_s: float) -> None:
        self.event = event
        self.first = first
        self.start_s = start_s
        self.end_s = end_s
        self.limit_s = limit_s
        self.end: int | None = None
        """Number of the first frame that does not belong to it; None while it is not known."""


class EventRecorder:
    """Keeps the latest frames and makes clips of them when something triggers it.

    Each clip is listed through ``log``: first as recording, then as saved once it was read back whole and has
    its name, or as failed with the reason. At the start ``recover_clips`` clears up after a crash.
    """

    def __init__(
        self,
        directory: Path,
        settings: RecordingSettings,
        *,
        width_px: int,
        height_px: int,
        rate_hz: float,
        log: Callable[[Record], None],
        make_magnify: Callable[[], Magnify] | None = None,
        to_unix_s: Callable[[float], float] = float,
        prepare: Callable[[], None] = lambda: None,
        threads: Threads | None = None,
        account: CopyAccount | None = None,
        stall_s: float = 5.0,
    ) -> None:
        """Make room for the history and start the threads.

        Args:
            directory: where the clips go; it must be there.
            settings: how long clips are.
            width_px: width of every frame in pixels.
            height_px: height of every frame in pixels.
            rate_hz: frames a second.
            log: takes the events and clips for the store; must not wait, as `BackgroundStore.offer` does not.
            make_magnify: called at the start of each event, in the thread that will use the result; None makes
            no magnified clips.
            to_unix_s: from the camera's time to Unix time.
            prepare: called again and again between events, in the thread that calls ``make_magnify``.
            threads: starts those that write clips.
            account: told of the pixels that are copied.
            stall_s: a clip is completed with what it has if no frame comes for so long.

        Raises:
            OptionFault: the settings need more memory than they allow.
            OutputFault: there is no such directory.
            MemoryError: the system has no room for the history.
        """
        if not directory.is_dir():
            raise OutputFault(f"{directory}: there is no such directory", remedy="make it first")
        self._directory, self._settings, self._log = directory, settings, log
        self._size = (width_px, height_px)
        self._rate_hz, self._make_magnify, self._to_unix_s = rate_hz, make_magnify, to_unix_s
        self._prepare, self._stall_s = prepare, stall_s
        slots = slots_for(settings, rate_hz=rate_hz, width_px=width_px, height_px=height_px)
        self._history = FrameHistory(slots, width_px=width_px, height_px=height_px, account=account)
        self._changed = threading.Condition()
        self._latest_s: float | None = None
        self._first_free = 0
        """Frames before it are in an earlier clip, or of a time before the clock ran backwards."""
        self._active: _Recording | None = None
        self._covered_s = -math.inf
        self._declining = ""
        self._stopping = self._hurrying = False
        self._saved = self._failed = self._declined = self._dropped = self._backward = 0
        kinds: tuple[ClipKind, ...] = ("raw", "magnified") if make_magnify else ("raw",)
        self._waiting: dict[ClipKind, queue.Queue[_Recording]] = {
            kind: queue.Queue(_MOST_WAITING) for kind in kinds
        }
        start = (threads or Threads()).start
        self._threads = [
            start(f"events-{kind}", partial(self._run, kind), niceness=BACKGROUND, again=True, owned=True)
            for kind in kinds
        ]

    def offer(self, frame: NDArray[np.uint8], timestamp_s: float) -> None:
        """Keep a frame, u8[H, W, 3], of the camera's time; takes one copy and never waits for the disk."""
        if not math.isfinite(timestamp_s):
            return
        if self._latest_s is not None and timestamp_s < self._latest_s + _CLOSEST_S:
            if timestamp_s >= self._latest_s:
                return  # the same frame again
            with self._changed:
                self._backward += 1
                self._end_active(self._history.count)
                self._first_free, self._covered_s = self._history.count, -math.inf
        number = self._history.put(frame, timestamp_s)
        with self._changed:
            self._latest_s = timestamp_s
            if self._active is not None and timestamp_s > self._active.end_s:
                self._end_active(number)
            self._changed.notify_all()

    def trigger(
        self, time_s: float, reason: str, *, alarm: str | None = None, alarm_raised_s: float | None = None
    ) -> str | None:
        """Record what happened around a time of the camera; returns the event's name at once.

        While an event is being recorded its clip is extended. Returns None if nothing is recorded.

        Args:
            time_s: the camera's time of what happened.
            reason: for a person.
            alarm: name of the alarm behind it.
            alarm_raised_s: when that was raised, in Unix time.
        """
        settings, unix_s = self._settings, self._to_unix_s(time_s)
        with self._changed:
            until_s = (
                max(time_s, self._latest_s if self._latest_s is not None else time_s) + settings.post_roll_s
            )
            if self._active is not None:
                active = self._active
                active.end_s = min(max(active.end_s, until_s), active.limit_s)
                self._log(Event(active.event.name, unix_s, reason, alarm, alarm_raised_s))
                return active.event.name
            event = Event(event_name(unix_s), unix_s, reason, alarm, alarm_raised_s)
            self._log(event)
            if self._stopping or self._declining or any(waiting.full() for waiting in self._waiting.values()):
                self._decline(event)
                return None
            start_s = max(time_s - settings.pre_roll_s, self._covered_s)
            limit_s = start_s + settings.longest_s
            first = self._history.first_from(start_s, self._first_free)
            self._active = _Recording(event, first, start_s, min(until_s, limit_s), limit_s)
            for kind, waiting in self._waiting.items():
                self._log(
                    Clip(event.name, kind, clip_name(event.name, kind), "recording", self._to_unix_s(start_s))
                )
                waiting.put_nowait(self._active)
            return event.name

    def decline(self, reason: str) -> None:
        """Make no clips until called with an empty reason; one that is being recorded is completed."""
        with self._changed:
            self._declining = reason

    def state(self) -> RecorderState:
        """What was done so far."""
        with self._changed:
            return RecorderState(
                recording=self._active.event.name if self._active else None,
                saved=self._saved,
                failed=self._failed,
                declined=self._declined,
                dropped_frames=self._dropped,
                backward_steps=self._backward,
            )

    def close(self, timeout_s: float = 8.0) -> bool:
        """Complete the clips with the frames that are there; returns whether that was done in time.

        When half the time is over, clips end with the frames that they have. One that is not complete at the
        end stays behind as a partial file.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            self._stopping = True
            self._end_active(self._history.count)
            self._changed.notify_all()
        for share in (0.5, 1.0):
            for thread in self._threads:
                thread.join(max(0.0, deadline_s - (1 - share) * timeout_s - time.monotonic()))
            self._hurrying = True
        return not any(thread.is_alive() for thread in self._threads)

    def _decline(self, event: Event) -> None:
        self._declined += 1
        detail = self._declining or "too many clips wait to be written"
        for kind in self._waiting:
            self._log(Clip(event.name, kind, clip_name(event.name, kind), "failed", detail=detail))

    def _end_active(self, end: int) -> None:
        if self._active is not None:
            self._active.end = self._first_free = end
            latest_s = math.inf if self._latest_s is None else self._latest_s
            self._covered_s = min(self._active.end_s, latest_s)
            self._active = None

    def _run(self, kind: ClipKind) -> None:
        frames = ClipFrames(self._history, self._size, self._make_magnify if kind == "magnified" else None)
        while not (self._stopping and self._waiting[kind].empty()):
            try:
                recording = self._waiting[kind].get(timeout=_POLL_S)
            except queue.Empty:
                if kind == "magnified":
                    self._prepare()
                continue
            name = recording.event.name
            clip = Clip(name, kind, clip_name(name, kind), "failed", detail="by a mistake in the program")
            try:
                clip = self._record(kind, recording, frames)
            finally:
                self._log(clip)
                with self._changed:
                    self._saved += clip.state == "saved"
                    self._failed += clip.state == "failed"
                    self._dropped += clip.dropped

    def _record(self, kind: ClipKind, recording: _Recording, frames: ClipFrames) -> Clip:
        name = recording.event.name
        file = clip_name(name, kind)
        writer: EventClipWriter | None = None
        try:
            frames.begin()
            writer = EventClipWriter(
                self._directory / file,
                width_px=self._size[0],
                height_px=self._size[1],
                rate_hz=self._rate_hz,
                comment=f"{kind}, event {name}: {recording.event.reason}",
                encoder=self._settings.encoder,
            )
            number = recording.first
            while (upto := self._next_end(recording, number)) > number:
                number = frames.carry(number, upto, writer.write)
            if frames.last_s is None:
                raise OutputFault(
                    f"{file}: no frame was left to record", remedy="lengthen the pre- or post-roll"
                )
            nbytes = writer.publish()
        except BaseException as error:
            if writer is not None:
                writer.discard()
            if not isinstance(error, Fault):
                raise
            fault = error
            return Clip(name, kind, file, "failed", self._to_unix_s(recording.start_s), detail=str(fault))
        start_s, end_s = self._to_unix_s(frames.first_s), self._to_unix_s(frames.last_s)
        return Clip(name, kind, file, "saved", start_s, end_s, writer.frames, frames.dropped, nbytes)

    def _next_end(self, recording: _Recording, number: int) -> int:
        """Wait for frames beyond ``number``; the end of those that are there, or ``number`` if no more belong."""
        with self._changed:
            ready = self._changed.wait_for(
                lambda: self._history.count > number or recording.end is not None, self._stall_s
            )
            if not ready and recording.end is None:
                self._end_active(self._history.count)
            if self._hurrying:
                return number
            end = self._history.count if recording.end is None else recording.end
            return max(number, min(end, self._history.count))
