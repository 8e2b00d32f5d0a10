"""Storage of the service: store and clips, on a disk that may be full, read-only or missing.

Measuring goes on in any case: while the store cannot be opened, it is retried; what is vital waits in memory, and
series, peaks and modes are counted as dropped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from tremorscope.runtime.clips.pre_roll import ClipMagnifier, FrameHistory, Magnify, slots_for
from tremorscope.runtime.clips.recorder import EventRecorder
from tremorscope.runtime.clips.settings import RecordingSettings
from tremorscope.runtime.clips.writer import recover_clips
from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.frames.buffers import FrameFormat
from tremorscope.runtime.frames.ring import LeasingRing
from tremorscope.runtime.health import StorageHealth
from tremorscope.runtime.host.threads import Threads
from tremorscope.runtime.service.clock import ClockTrust
from tremorscope.runtime.service.store_keeper import Housekeeper, StoreKeeper, state_directory
from tremorscope.runtime.store.background import BackgroundStore, EarlyRecords, StoreState, StoreUpkeep
from tremorscope.runtime.store.disk import DiskGuard
from tremorscope.runtime.store.reader import salvage
from tremorscope.runtime.store.records import Clip, ModeRecord, Notice, Record
from tremorscope.runtime.store.settings import StoreSettings
from tremorscope.runtime.store.soundness import SoundnessWatch
from tremorscope.runtime.store.sqlite_file import StoreBusyFault, StoreDamagedFault, StoreFault, gone
from tremorscope.runtime.store.store import Store
from tremorscope.runtime.vibration.monitoring.alarms import OpenAlarm
from tremorscope.runtime.vibration.monitoring.levels import Baseline, Learning

log = logging.getLogger("tremorscope.store")

_RETRY_S = 30.0
_LOW = "the disk is low"
_RECENT_S = 86_400.0


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
        trust: ClockTrust | None = None,
    ) -> None:
        """Open the store, or note why that failed.

        Raises:
            StoreBusyFault: another process has it, most likely another instance of the service.
        """
        self.directory, self._recording = state_directory(settings), recording
        self._keeper = StoreKeeper(self.directory, settings, notice=self._warn, unix_clock=unix_clock)
        self.clips, self.path = self._keeper.clips, self._keeper.path
        self._clock, self._unix_clock, self._threads = clock, unix_clock, threads or Threads()
        self._guard = DiskGuard(self.directory, settings.disk)
        self._housekeeper = Housekeeper(
            self.clips,
            settings.retention,
            trust or ClockTrust(unix_clock=unix_clock, clock=clock),
            wanted_bytes=lambda: self._guard.wanted_bytes,
            notice=self.notice,
            unix_clock=unix_clock,
        )
        self._background: BackgroundStore | None = None
        self._soundness: SoundnessWatch | None = None
        self._recorder: EventRecorder | None = None
        self._make_recorder: Callable[[], EventRecorder] | None = None
        self._trouble = self._recorder_trouble = ""
        self._early, self._retry_s = EarlyRecords(), 0.0
        self.opened_alarms: tuple[OpenAlarm, ...] = ()
        """Alarms that were raised when the process before ended."""
        self.baselines: dict[str, Baseline] = {}
        self.learnings: dict[str, Learning] = {}
        """Baselines that are being learned, by the alarm's name."""
        self.on_opened: Callable[[], None] = lambda: None
        """Called when a store that could not be opened at first is open."""
        self.on_begun_anew: Callable[[tuple[OpenAlarm, ...], float], None] = lambda _opened, _now_s: None
        """Called when another store has taken the place of one: with the alarms raised in it, and Unix time."""
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
        ring: LeasingRing,
        *,
        magnifier: ClipMagnifier | None,
        to_unix_s: Callable[[float], float],
    ) -> None:
        """Begin to keep frames of the camera's ring for clips, if that is configured; see `EventRecorder`."""
        if (recording := self._recording) is None:
            return
        checked = magnifier if recording.magnified else None
        checked = checked and replace(checked, make=self._checked(checked.make))
        history = FrameHistory(slots_for(recording, frames), frames)
        ring.reclaim = history.give_back
        self._make_recorder = lambda: EventRecorder(
            self.clips,
            recording,
            history,
            log=self.offer,
            magnifier=checked,
            to_unix_s=to_unix_s,
            threads=self._threads,
        )
        self._try_to_record()

    def offer(self, record: Record) -> None:
        """Queue a record for the store; returns at once."""
        if isinstance(record, Clip) and record.state == "failed":
            log.warning("clip %s is not kept: %s", record.file, record.detail)
        (self._background or self._early).offer(record)

    def notice(self, topic: str, text: str) -> None:
        """Write a notice about the service itself to the store and the log."""
        log.info("%s: %s", topic, text)
        self.offer(Notice(self._unix_clock(), topic, text))

    def doubt(self) -> None:
        """Have the store checked now: somebody has met damage in it."""
        if self._soundness is not None:
            self._soundness.hurry()

    def _warn(self, topic: str, text: str) -> None:
        log.warning("%s: %s", topic, text)
        self.offer(Notice(self._unix_clock(), topic, text))

    def check(self) -> None:
        """Run the disk guard, and retry what could not be opened; to be called once a second.

        Raises:
            StoreBusyFault: another process has taken the store meanwhile.
        """
        for notice in self._guard.check(self._unix_clock()):
            log.warning("%s", notice.text, extra={"fields": {"topic": notice.topic}})
            self.offer(notice)
        allows = self._guard.state.allows
        if self._background is not None:
            self._background.accept_bulk(allows("series") and not self._housekeeper.log_is_too_long)
            self._check_place(self._background)
            self._early.hand_to(self._background)  # what another thread has added at the last moment
        if self._recorder is not None:
            self._recorder.saves_room = not allows("previews")
            self._recorder.decline(self._keeper.mount_trouble() or ("" if allows("clips") else _LOW))
            self._recorder_trouble = self._keeper.clips_trouble()
        if self._clock() >= self._retry_s and (
            self._background is None or (self._recorder is None and self._make_recorder)
        ):
            self._try_to_open()
            self._try_to_record()

    def _check_place(self, background: BackgroundStore) -> None:
        """Have the store replaced if it is gone, make the clips' directory again, and log troubles of the writer."""
        if self._keeper.mount_trouble() or not background.store.is_in_place:
            background.suspect(gone(self.path))
        elif not self.clips.is_dir():
            with suppress(StoreFault):  # a disk that cannot be written is told by the writer
                self._keeper.make_clips_directory()
        self._note(background.state().trouble or self._recorder_trouble)

    def health(self) -> StorageHealth:
        """Status of store, clips and disk."""
        unopened = StoreState(self._trouble, False, 0, 0, 0, 0, 0)
        store = self._background.state() if self._background else unopened
        disk = self._guard.state
        clips = self._recorder.state() if self._recorder else None
        trouble = (store.trouble, disk.trouble, self._recorder_trouble)
        return StorageHealth(
            trouble="; ".join(dict.fromkeys(text for text in trouble if text)),
            written=store.written,
            pending=store.pending + len(self._early),
            dropped={
                "bulk": store.dropped_bulk,
                "declined": store.declined_bulk,
                "vital": store.dropped_vital,
                "unopened": self._early.dropped,
            },
            replaced=dict(self._keeper.replaced),
            remarks=self._housekeeper.remarks,
            store_bytes=self._housekeeper.store_bytes,
            log_bytes=self._housekeeper.log_bytes,
            free_bytes=disk.free_bytes,
            given_up=disk.given_up,
            recording=clips.recording if clips else None,
            clips={"saved": clips.saved, "failed": clips.failed, "declined": clips.declined} if clips else {},
            clip_frames_dropped=clips.dropped_frames if clips else 0,
        )

    def close(self, timeout_s: float) -> str:
        """Complete the clips, write pending records, close the store; returns what was left undone."""
        until_s = self._clock() + timeout_s
        if self._soundness is not None:
            self._soundness.close()
        is_whole = self._recorder is None or self._recorder.close(0.65 * timeout_s)
        left = [] if is_whole else ["a clip is incomplete"]
        pending, trouble = len(self._early), self._trouble
        if self._background is not None:
            state = self._background.close(max(0.5, until_s - self._clock()))
            pending, trouble = state.pending, state.trouble
            self._background.store.close()
        if pending:
            left.append(f"{pending} records were not written ({trouble or 'no time left'})")
        return "; ".join(left)

    def _checked(self, make_magnify: Callable[[], Magnify]) -> Callable[[], Magnify]:
        def make() -> Magnify:
            if not self._guard.state.allows("previews"):
                raise OutputFault(f"no magnified clip: {_LOW}", remedy="free some space")
            return make_magnify()

        return make

    def _try_to_open(self) -> None:
        self._retry_s = self._clock() + _RETRY_S
        if self._background is not None:
            return
        try:
            store = self._keeper.open()
            try:
                self._use(store)
            except StoreDamagedFault as fault:
                self._use(self._keeper.reopen(store, fault))
            self._note("")
        except StoreBusyFault:
            raise
        except StoreFault as fault:
            self._note(str(fault))

    def _renew(self, before: Store, fault: StoreFault) -> Store:
        """Replace the store; called by the thread that writes."""
        store = self._keeper.renew(before, fault)
        if store is not before:
            with self._keeper.reading(store) as reader:
                opened = reader.open_alarms()
            self.on_begun_anew(opened, self._unix_clock())
        return store

    def _use(self, store: Store) -> None:
        with self._keeper.reading(store) as reader:
            self.opened_alarms, self.baselines = reader.open_alarms(), reader.baselines()
            self.learnings, listed = reader.learnings(), reader.clips()
            self.modes = reader.latest_modes(_RECENT_S)
            self._housekeeper.note_pauses(reader.latest_s())
        if self._keeper.damaged is not None:
            self.opened_alarms, self.baselines, self.learnings = salvage(self._keeper.damaged)
        changed = self._early.alarms()  # of which more is known by now
        self.opened_alarms = tuple(each for each in self.opened_alarms if each.name not in changed)
        self._background = BackgroundStore(
            store,
            reserve=self._keeper.reserve,
            upkeep=StoreUpkeep(lambda now: self._housekeeper.run(now, self._keeper.reserve), self._renew),
            threads=self._threads,
        )
        self._early.hand_to(self._background)
        self.on_opened()
        self._soundness = SoundnessWatch(self.path, self._background.suspect, threads=self._threads)
        with suppress(OutputFault):
            recovery = recover_clips(self.clips, listed, self._background.offer)
            if recovery.completed or recovery.lost:
                counts = f"{len(recovery.completed)} clips were found whole, {len(recovery.lost)} were lost"
                self.notice("clips", f"after an interruption {counts}")

    def _try_to_record(self) -> None:
        if self._make_recorder is None or self._recorder is not None:
            return
        self._recorder_trouble = self._keeper.clips_trouble()
        if not self._recorder_trouble:
            try:
                self._recorder = self._make_recorder()
            except (OutputFault, OSError) as error:  # e.g. taken away this moment
                self._recorder_trouble = f"{self.clips}: no clips can be kept ({error})"

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            log.error("%s", trouble)
        elif self._trouble and not trouble:
            log.info("%s: can be written again", self.directory)
        self._trouble = trouble
