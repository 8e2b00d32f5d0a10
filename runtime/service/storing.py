"""Storage of the service: store and clips, on a disk that may be full, read-only or missing.

Measuring goes on in any case: while the store cannot be opened, records are counted as dropped, and it is retried.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from tremorscope.runtime.clips.pre_roll import ClipMagnifier, FrameHistory, Magnify
from tremorscope.runtime.clips.recorder import EventRecorder
from tremorscope.runtime.clips.settings import RecordingSettings
from tremorscope.runtime.clips.writer import recover_clips
from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.frames.buffers import FrameFormat
from tremorscope.runtime.frames.copies import CopyAccount
from tremorscope.runtime.health import StorageHealth
from tremorscope.runtime.host.threads import Threads
from tremorscope.runtime.service.clock_trust import ClockTrust, Housekeeper
from tremorscope.runtime.store.background import BackgroundStore, StoreState
from tremorscope.runtime.store.disk_guard import DiskGuard
from tremorscope.runtime.store.faults import StoreBusyFault, StoreFault
from tremorscope.runtime.store.reader import StoreReader
from tremorscope.runtime.store.records import ModeRecord, Notice, Record
from tremorscope.runtime.store.reserve import Reserve
from tremorscope.runtime.store.settings import StoreSettings
from tremorscope.runtime.store.store import Store, open_or_set_aside
from tremorscope.runtime.vibration.monitoring.alarms import OpenAlarm
from tremorscope.runtime.vibration.monitoring.baseline import Baseline, Learning

log = logging.getLogger("tremorscope.store")

STORE_NAME, CLIPS_NAME, RESERVE_NAME = "tremorscope.db", "clips", ".reserve"
_RETRY_S = 30.0
_RECENT_S = 86_400.0
_CLOSED = StoreState("", False, 0, 0, 0, 0, 0)


def state_directory(settings: StoreSettings) -> Path:
    """Directory of store and clips: as configured, as systemd states, or in the working directory."""
    if settings.directory is not None:
        return settings.directory
    stated = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(stated) if stated else Path("tremorscope-state")


class Storage:
    """The store, its thread, its housekeeping, the disk guard and the recorder of clips."""

    def __init__(
        self,
        settings: StoreSettings,
        recording: RecordingSettings | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        unix_clock: Callable[[], float] = time.time,
        threads: Threads | None = None,
        account: CopyAccount | None = None,
        trust: ClockTrust | None = None,
    ) -> None:
        """Open the store, or note why that failed.

        Raises:
            StoreBusyFault: another process has it, most likely another instance of the service.
            OptionFault: levels of the disk guard out of order.
        """
        self.directory = state_directory(settings)
        self.clips = self.directory / CLIPS_NAME
        self.path = self.directory / STORE_NAME
        self._settings, self._recording = settings, recording
        self._clock, self._unix_clock = clock, unix_clock
        self._threads, self._account = threads or Threads(), account
        self._guard = DiskGuard(self.directory, settings.disk)
        self._housekeeper = Housekeeper(
            self.clips,
            settings.retention,
            trust or ClockTrust(unix_clock=unix_clock, clock=clock),
            wanted_bytes=lambda: self._guard.wanted_bytes,
            notice=self.notice,
            unix_clock=unix_clock,
        )
        self._store: Store | None = None
        self._background: BackgroundStore | None = None
        self._recorder: EventRecorder | None = None
        self._make_recorder: Callable[[], EventRecorder] | None = None
        self._trouble = self._recorder_trouble = ""
        self._lost = 0
        self._retry_s = 0.0
        self.opened_alarms: tuple[OpenAlarm, ...] = ()
        """Alarms that were raised when the process before ended."""
        self.baselines: dict[str, Baseline] = {}
        """Learned baselines by the alarm's name."""
        self.learnings: dict[str, Learning] = {}
        """Baselines that are being learned, by the alarm's name."""
        self.on_opened: Callable[[], None] = lambda: None
        """Called when alarms and baselines are known, also of a store that could not be opened at first."""
        self.modes: tuple[ModeRecord, ...] = ()
        """Modes that were found within the latest day before this process began."""
        self._try_to_open()

    @property
    def recorder(self) -> EventRecorder | None:
        """Recorder of clips; None where that is not configured, or its directory cannot be used now."""
        return self._recorder

    @property
    def magnifies_clips(self) -> bool:
        """True where clips are magnified as well."""
        return self._recording is not None and self._recording.magnified

    def start_recorder(
        self,
        frames: FrameFormat,
        *,
        make_magnify: Callable[[], Magnify] | None,
        to_unix_s: Callable[[float], float],
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin to keep frames for clips, if that is configured; see `EventRecorder` for the arguments.

        Raises:
            OptionFault: settings that cannot be followed with these frames.
            MemoryError: the system has no room for the history.
        """
        recording = self._recording
        if recording is None:
            return
        checked = self._checked(make_magnify) if make_magnify is not None and recording.magnified else None
        self._make_recorder = lambda: EventRecorder(
            self.clips,
            recording,
            FrameHistory.for_clips(recording, frames, self._account),
            log=self.offer,
            magnifier=ClipMagnifier(checked, prepare) if checked else None,
            to_unix_s=to_unix_s,
            threads=self._threads,
        )
        self._try_to_record()

    def offer(self, record: Record) -> None:
        """Queue a record for the store; returns at once."""
        if self._background is None:
            self._lost += 1
        else:
            self._background.offer(record)

    def notice(self, topic: str, text: str) -> None:
        """Write a notice about the service itself to the store and the log."""
        log.info("%s: %s", topic, text)
        self.offer(Notice(self._unix_clock(), topic, text))

    def check(self) -> None:
        """Run the disk guard, and retry what could not be opened; to be called once a second.

        Raises:
            StoreBusyFault: another process has taken the store meanwhile.
        """
        for notice in self._guard.check(self._unix_clock()):
            log.warning("%s", notice.text, extra={"fields": {"topic": notice.topic}})
            self.offer(notice)
        state = self._guard.state
        if self._background is not None:
            self._background.accept_bulk(state.allows("series"))
        if self._recorder is not None:
            self._recorder.decline("" if state.allows("clips") else "the disk is low")
        if self._clock() >= self._retry_s and (
            self._background is None or (self._recorder is None and self._make_recorder)
        ):
            self._try_to_open()
            self._try_to_record()

    def health(self) -> StorageHealth:
        """Status of store, clips and disk."""
        store = self._background.state() if self._background else _CLOSED
        disk = self._guard.state
        clips = self._recorder.state() if self._recorder else None
        trouble = [self._trouble, store.trouble, disk.trouble, self._recorder_trouble]
        return StorageHealth(
            trouble="; ".join(dict.fromkeys(text for text in trouble if text)),
            written=store.written,
            pending=store.pending,
            dropped={
                "bulk": store.dropped_bulk,
                "declined": store.declined_bulk,
                "vital": store.dropped_vital,
                "unopened": self._lost,
            },
            free_bytes=disk.free_bytes,
            given_up=disk.given_up,
            recording=clips.recording if clips else None,
            clips={"saved": clips.saved, "failed": clips.failed, "declined": clips.declined} if clips else {},
            clip_frames_dropped=clips.dropped_frames if clips else 0,
        )

    def close(self, timeout_s: float) -> str:
        """Complete the clips, write pending records, close the store; returns what was left undone."""
        until_s = self._clock() + timeout_s
        left = []
        if self._recorder is not None and not self._recorder.close(0.65 * timeout_s):
            left.append("a clip is incomplete")
        if self._background is not None:
            state = self._background.close(max(0.5, until_s - self._clock()))
            if state.pending:
                left.append(f"{state.pending} records were not written ({state.trouble or 'no time left'})")
        if self._store is not None:
            self._store.close()
        return "; ".join(left)

    def _checked(self, make_magnify: Callable[[], Magnify]) -> Callable[[], Magnify]:
        def make() -> Magnify:
            if not self._guard.state.allows("previews"):
                raise OutputFault("no magnified clip: the disk is low", remedy="free some space")
            return make_magnify()

        return make

    def _try_to_open(self) -> None:
        self._retry_s = self._clock() + _RETRY_S
        if self._background is not None:
            return
        reserve = Reserve(self.directory / RESERVE_NAME, self._settings.reserve_mb << 20)
        try:
            self.clips.mkdir(parents=True, exist_ok=True)
            label = datetime.fromtimestamp(self._unix_clock(), timezone.utc).strftime("%Y%m%dT%H%M%SZ")
            store, damaged = open_or_set_aside(self.path, label, reserve)
        except StoreBusyFault:
            raise
        except StoreFault as fault:
            self._note(str(fault))
            return
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            self._note(f"{self.clips}: cannot be created ({reason}): name a directory that may be written")
            return
        self._note("")
        self._use(store, reserve)
        if damaged is not None:
            self.notice("store", f"the store was damaged; it is kept as {damaged}, and a new one was begun")

    def _use(self, store: Store, reserve: Reserve) -> None:
        with suppress(StoreFault), StoreReader(self.path) as reader:
            self.opened_alarms, self.baselines = reader.open_alarms(), reader.baselines()
            self.learnings = reader.learnings()
            self.on_opened()
            self.modes = reader.modes(from_s=self._unix_clock() - _RECENT_S)
            listed = reader.clips()
            self._housekeeper.note_pauses(reader.latest_s())
            self._store = store
            self._background = BackgroundStore(
                store,
                reserve=reserve,
                maintain=lambda: self._housekeeper.run(store, reserve),
                threads=self._threads,
            )
            with suppress(OutputFault):
                recovery = recover_clips(self.clips, listed, self._background.offer)
                if recovery.completed or recovery.lost:
                    self.notice(
                        "clips",
                        f"after an interruption {len(recovery.completed)} clips were found whole and "
                        f"{len(recovery.lost)} were lost",
                    )
            return
        store.close()
        self._note(f"{self.path}: cannot be read back: check the disk")

    def _try_to_record(self) -> None:
        if self._make_recorder is None or self._recorder is not None:
            return
        try:
            self._recorder = self._make_recorder()
        except OutputFault as fault:
            self._recorder_trouble = str(fault)
            return
        except OSError as error:  # e.g. a directory of somebody else
            self._recorder_trouble = (
                f"{self.clips}: no clips can be kept ({(error.strerror or str(error)).lower()})"
            )
            return
        self._recorder_trouble = ""

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            log.error("%s", trouble)
        elif self._trouble and not trouble:
            log.info("%s: can be written again", self.path)
        self._trouble = trouble
