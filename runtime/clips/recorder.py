"""Recorder of events: clips of the camera's frames from before a trigger until after it, raw and magnified.

The frame loop hands every frame to ``EventRecorder.offer``, which keeps a lease of it in the history and returns.
Threads, one a kind of clip, lease the frames from the history at their own pace. The raw clip's thread loses the oldest
unread frames where it falls behind by more than the history holds, and the clip's record says how many. Where that of
magnified clips falls behind, as on a slow CPU, the clip is made after the event, of all frames of the raw one.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tremorscope.runtime.clips.afterwards import EventRecording, RecorderState, ended_before, magnified_of
from tremorscope.runtime.clips.pre_roll import ClipFrames, ClipMagnifier, FrameHistory, time_of
from tremorscope.runtime.clips.settings import RecordingSettings
from tremorscope.runtime.clips.writer import TIME_BASE, EventClipWriter, clip_name, event_name
from tremorscope.runtime.errors import Fault, OutputFault
from tremorscope.runtime.frames.ring import Lease
from tremorscope.runtime.host.threads import BACKGROUND, Threads
from tremorscope.runtime.store.records import Clip, ClipKind, EventRecord, Record

_CLOSEST_S = float(2 * TIME_BASE)
"""Shortest distance of two frames: closer ones would have the same time in a clip."""
_MOST_WAITING: dict[ClipKind, int] = {"raw": 4, "magnified": 64}
"""Events that may wait for a thread of clips; those to be magnified wait as files."""
_POLL_S = 0.25


class EventRecorder:
    """Recorder that keeps the latest frames and makes clips of them on a trigger.

    Each clip is listed through ``log``: first as recording, then as saved once it was read back whole and
    renamed, or as failed with the reason. At the start of a service ``recover_clips`` clears up after a crash.
    """

    def __init__(
        self,
        directory: Path,
        settings: RecordingSettings,
        history: FrameHistory,
        *,
        log: Callable[[Record], None],
        magnifier: ClipMagnifier | None = None,
        to_unix_s: Callable[[float], float] = float,
        threads: Threads | None = None,
    ) -> None:
        """Start the threads that write clips.

        Args:
            directory: directory of the clips, which must exist.
            settings: length of the clips, and their encoder.
            history: the latest frames; the recorder fills it, and clears it in the end.
            log: takes the events and clips for the store; must not wait, as `BackgroundStore.offer` does not.
            magnifier: magnifiers for the magnified clips; None makes none.
            to_unix_s: conversion from the camera's time to Unix time.
            threads: starter of the threads that write clips.

        Raises:
            OutputFault: there is no such directory.
        """
        if not directory.is_dir():
            raise OutputFault(f"{directory}: there is no such directory", remedy="make it first")
        self._directory, self._settings, self._history = directory, settings, history
        self._log, self._magnifier, self._to_unix_s = log, magnifier, to_unix_s
        self.stall_s = 5.0
        """Time without a frame after which a clip is completed with the frames that it has."""
        self.saves_room = False  # True: raw clips are coded like magnified ones, as the disk runs low
        self._changed = threading.Condition()
        self._latest_s: float | None = None
        self._first_free = 0
        """First frame that may open a clip: earlier ones are in another clip, or before a step back of time."""
        self._active: EventRecording | None = None
        self._covered_s = -math.inf
        self._declining = ""
        self._stopping = self._hurrying = False
        self._saved = self._failed = self._declined = self._dropped = self._backward = 0
        kinds: tuple[ClipKind, ...] = ("raw", "magnified") if magnifier else ("raw",)
        self._waiting: dict[ClipKind, queue.Queue[EventRecording]] = {
            kind: queue.Queue(_MOST_WAITING[kind]) for kind in kinds
        }
        start = (threads or Threads()).start
        self._threads = [
            start(f"events-{kind}", partial(self._run, kind), niceness=BACKGROUND, again=True, owned=True)
            for kind in kinds
        ]

    def offer(self, frame: Lease) -> None:
        """Keep a frame; copies nothing and never waits for the disk. The caller's lease remains the caller's."""
        timestamp_s = time_of(frame)
        if not math.isfinite(timestamp_s):
            return
        if self._latest_s is not None and timestamp_s < self._latest_s + _CLOSEST_S:
            if timestamp_s >= self._latest_s:
                return  # the same frame again
            with self._changed:
                self._backward += 1
                self._end_active(self._history.count)
                self._first_free, self._covered_s = self._history.count, -math.inf
        number = self._history.put(frame)
        with self._changed:
            self._latest_s = timestamp_s
            if self._active is not None and timestamp_s > self._active.end_s:
                self._end_active(number)
            self._changed.notify_all()

    def trigger(
        self, time_s: float, reason: str, *, alarm: str | None = None, alarm_raised_s: float | None = None
    ) -> str | None:
        """Record a clip around a time of the camera; returns the event's name at once.

        While an event is being recorded its clip is extended. Returns None if nothing is recorded.

        Args:
            time_s: the camera's time of the trigger.
            reason: human-readable cause.
            alarm: name of the alarm that caused it.
            alarm_raised_s: Unix time of that alarm's raise.
        """
        settings, unix_s = self._settings, self._to_unix_s(time_s)
        with self._changed:
            until_s = (
                max(time_s, self._latest_s if self._latest_s is not None else time_s) + settings.post_roll_s
            )
            if self._active is not None:
                active = self._active
                active.end_s = min(max(active.end_s, until_s), active.limit_s)
                self._log(EventRecord(active.event.name, unix_s, reason, alarm, alarm_raised_s))
                return active.event.name
            event = EventRecord(event_name(unix_s), unix_s, reason, alarm, alarm_raised_s)
            self._log(event)
            if self._stopping or self._declining or self._waiting["raw"].full():
                self._decline(event, *self._waiting)
                return None
            start_s = max(time_s - settings.pre_roll_s, self._covered_s)
            limit_s = start_s + settings.longest_s
            first = self._history.first_from(start_s, self._first_free)
            self._active = EventRecording(event, first, start_s, min(until_s, limit_s), limit_s)
            for kind, waiting in self._waiting.items():
                if waiting.full():
                    self._decline(event, kind)
                    continue
                self._log(
                    Clip(event.name, kind, clip_name(event.name, kind), "recording", self._to_unix_s(start_s))
                )
                waiting.put_nowait(self._active)
            return event.name

    def decline(self, reason: str) -> None:
        """Record no clips until called with an empty reason; one that is being recorded is completed."""
        with self._changed:
            self._declining = reason

    def state(self) -> RecorderState:
        """Counts so far, and the event that is being recorded."""
        with self._changed:
            return RecorderState(
                recording=self._active.event.name if self._active else None,
                waiting=sum(waiting.unfinished_tasks for waiting in self._waiting.values()),
                saved=self._saved,
                failed=self._failed,
                declined=self._declined,
                dropped_frames=self._dropped,
                backward_steps=self._backward,
            )

    def close(self, timeout_s: float = 8.0) -> bool:
        """Complete the clips with the frames that are there; returns True if that was done in time.

        After half the time, clips end with the frames that they have. One that is not complete in the end stays
        behind as a partial file.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            self._stopping = True
            self._end_active(self._history.count)
            self._changed.notify_all()
        for share in (0.5, 1.0):
            for thread in self._threads:
                thread.join(max(0.0, deadline_s - (1 - share) * timeout_s - time.monotonic()))
            with self._changed:
                self._hurrying = True
                self._changed.notify_all()
        self._history.clear()
        return not any(thread.is_alive() for thread in self._threads)

    def _decline(self, event: EventRecord, *kinds: ClipKind) -> None:
        self._declined += 1
        detail = self._declining or "too many clips wait to be written"
        for kind in kinds:
            self._log(Clip(event.name, kind, clip_name(event.name, kind), "failed", detail=detail))

    def _end_active(self, end: int) -> None:
        if self._active is not None:
            self._active.end = self._first_free = end
            latest_s = math.inf if self._latest_s is None else self._latest_s
            self._covered_s = min(self._active.end_s, latest_s)
            self._active = None

    def _run(self, kind: ClipKind) -> None:
        magnifier = self._magnifier if kind == "magnified" else None
        frames = ClipFrames(self._history, magnifier)
        while not (self._stopping and self._waiting[kind].empty()):
            try:
                recording = self._waiting[kind].get(timeout=_POLL_S)
            except queue.Empty:
                if magnifier is not None:
                    magnifier.prepare()
                continue
            name = recording.event.name
            clip = Clip(name, kind, clip_name(name, kind), "failed", detail="by a mistake in the program")
            try:
                clip = self._record(kind, recording, frames)
            finally:
                self._log(clip)
                self._waiting[kind].task_done()
                with self._changed:
                    if kind == "raw":
                        recording.raw = clip
                        self._changed.notify_all()
                    self._saved += clip.state == "saved"
                    self._failed += clip.state == "failed"
                    self._dropped += clip.dropped

    def _record(self, kind: ClipKind, recording: EventRecording, frames: ClipFrames) -> Clip:
        name = recording.event.name
        file = clip_name(name, kind)
        writer: EventClipWriter | None = None
        try:
            if self._hurrying:
                raise ended_before(file)
            frames.begin()
            writer = self._writer(kind, recording)
            number = recording.first
            while (upto := self._next_end(recording, number)) > number:
                number = frames.carry(number, upto, writer.write)
                if kind == "magnified" and frames.dropped > 0 and not self._hurrying:
                    writer.discard()
                    frames.end()
                    return self._record_afterwards(recording, frames)
            if frames.last_s is None:
                raise ended_before(file) if self._hurrying else frames.nothing_left(file)
            found = writer.publish()
        except Fault as fault:
            begun_s = self._to_unix_s(recording.start_s)
            return Clip(name, kind, file, "failed", begun_s, dropped=frames.dropped, detail=str(fault))
        finally:
            if writer is not None:
                writer.discard()
            frames.end()
        start_s, end_s = self._to_unix_s(frames.first_s), self._to_unix_s(frames.last_s)
        detail = "; ".join(filter(None, (frames.told(), found.loss)))
        counts = writer.frames, frames.dropped, found.nbytes
        return Clip(name, kind, file, "saved", start_s, end_s, *counts, detail)

    def _record_afterwards(self, recording: EventRecording, frames: ClipFrames) -> Clip:
        """The magnified clip of an event, made of all of its raw clip once that is there.

        Raises:
            Fault: there is none, or it cannot be read or magnified.
        """
        with self._changed:
            self._changed.wait_for(lambda: recording.raw is not None or self._hurrying)
            raw = recording.saved_raw()
        frames.begin()
        assert frames.magnify is not None
        writer, hurried, told = self._writer("magnified", recording), lambda: self._hurrying, frames.told()
        return magnified_of(raw, self._directory, self._history.frames, frames.magnify, writer, hurried, told)

    def _writer(self, kind: ClipKind, recording: EventRecording) -> EventClipWriter:
        name, format_ = recording.event.name, self._history.frames
        return EventClipWriter(
            self._directory / clip_name(name, kind),
            width_px=format_.width_px,
            height_px=format_.height_px,
            rate_hz=format_.rate_hz,
            comment=f"{kind}, event {name}: {recording.event.reason}",
            encoder=self._settings.encoder,
            near_lossless=kind == "raw" and self._settings.near_lossless and not self.saves_room,
        )

    def _next_end(self, recording: EventRecording, number: int) -> int:
        """Wait for frames from ``number`` on; returns the number after the last, or ``number`` if the clip ends."""
        with self._changed:
            ready = self._changed.wait_for(
                lambda: self._history.count > number or recording.end is not None, self.stall_s
            )
            if not ready and recording.end is None:
                self._end_active(self._history.count)
            if self._hurrying:
                return number
            end = self._history.count if recording.end is None else recording.end
            return max(number, min(end, self._history.count))
