"""Event clips: the right frames at the right times, whole or not listed, in bounded memory, without waiting."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lent import Lent
from numpy.typing import NDArray
from pydantic import ValidationError
from scenes import shifted, textured
from support import Picture, mount_small_disk, read_video, unmount

from tremorscope.runtime.cameras.clip import ClipCamera
from tremorscope.runtime.clips import recorder as event_recorder
from tremorscope.runtime.clips import writer as event_clips
from tremorscope.runtime.clips.afterwards import EventRecording, magnified_of
from tremorscope.runtime.clips.pre_roll import ClipFrames, ClipMagnifier, FrameHistory, slots_for
from tremorscope.runtime.clips.recorder import EventRecorder
from tremorscope.runtime.clips.settings import RecordingSettings
from tremorscope.runtime.clips.writer import EventClipWriter, Recovery, event_name, recover_clips
from tremorscope.runtime.errors import EngineFault, OptionFault, OutputFault
from tremorscope.runtime.frames.buffers import FrameFormat
from tremorscope.runtime.jobs.measure import MeasureJob, measure_clip
from tremorscope.runtime.store.records import Clip, EventRecord, Record
from tremorscope.runtime.vibration.displacement.regions import Region

T0 = 1_793_000_000.0
RATE_HZ = 25.0
FRAMES = FrameFormat(64, 48, RATE_HZ)
PATIENCE_S = 60.0


def frame_of(number: int) -> Picture:
    """A picture that tells its number, modulo 256, by eight bars that are dark or bright: its bits."""
    bars = np.where([number >> bit & 1 for bit in range(8)], 200, 50).astype(np.uint8)
    return np.tile(np.repeat(bars, 8)[None, :, None], (48, 1, 3))


def number_of(picture: Picture) -> int:
    bars = picture.reshape(48, 8, 8, 3).mean(axis=(0, 2, 3)) > 125
    return sum(int(bar) << bit for bit, bar in enumerate(bars))


class Log:
    """Stands in for the store."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def __call__(self, record: Record) -> None:
        self.records.append(record)

    @property
    def events(self) -> list[EventRecord]:
        return [record for record in self.records if isinstance(record, EventRecord)]

    def clips(self, *states: str) -> list[Clip]:
        return [record for record in self.records if isinstance(record, Clip) and record.state in states]


class Filmed(EventRecorder):
    """A recorder with a ring that its frames are filmed into: three slots more than the pre-roll takes."""

    def __init__(self, directory: Path, settings: RecordingSettings, **given: Any) -> None:
        self.slots = slots_for(settings, FRAMES)
        self.reached = 0
        """Frame that the thread of raw clips takes next."""
        history = FrameHistory(self.slots, FRAMES)
        self.lent = Lent(self.slots + 3, width_px=64, height_px=48)
        self.lent.ring.reclaim = history.give_back
        super().__init__(directory, settings, history, **given)

    def film(self, picture: Picture, time_s: float) -> None:
        with self.lent.frame(picture, timestamp_s=time_s) as frame:
            self.offer(frame)

    @property
    def would_lose(self) -> bool:
        """Further frames may take the place of some that a raw clip still needs."""
        is_at_work = self._waiting["raw"].unfinished_tasks > 0
        return is_at_work and self._history.count - self.reached > self.slots - 5

    def _next_end(self, recording: EventRecording, number: int) -> int:
        if threading.current_thread().name == "events-raw":
            self.reached = number
        return super()._next_end(recording, number)


@contextmanager
def recorder(directory: Path, log: Log, *, make_magnify: Any = None, **changes: Any) -> Iterator[Filmed]:
    given = {"pre_roll_s": 1.0, "post_roll_s": 1.0, "longest_s": 6.0, "encoder": "x264"} | changes
    running = Filmed(
        directory,
        RecordingSettings.model_validate(given),
        log=log,
        magnifier=ClipMagnifier(make_magnify) if make_magnify else None,
        to_unix_s=lambda time_s: T0 + time_s,
    )
    running.stall_s = PATIENCE_S
    try:
        yield running
    finally:
        assert running.close(timeout_s=60)
        running.lent.ring.close()  # every frame was given back


def film(running: Filmed, first: int, last: int, pace_s: float = 0.001) -> None:
    """Film the frames of these numbers, last excluded; frame n is of time n / 25 s. Waits for what is to be written."""
    until_s = time.monotonic() + PATIENCE_S
    for number in range(first, last):
        while running.would_lose and time.monotonic() < until_s:
            time.sleep(0.001)
        running.film(frame_of(number), number / RATE_HZ)
        time.sleep(pace_s)


def numbers_in(path: Path) -> list[int]:
    """Which frames a clip holds."""
    return [number_of(picture) for picture in read_video(path)[0]]


class TestOneEvent:
    def test_it_holds_the_frames_from_before_the_trigger_until_after_it(self, tmp_path: Path) -> None:
        log = Log()
        with recorder(tmp_path, log) as running:
            film(running, 0, 60)
            name = running.trigger(50 / RATE_HZ, "deck raised", alarm="deck", alarm_raised_s=T0 + 2)
            assert name == "20261026T073322.000Z" == event_name(T0 + 2.0)
            film(running, 60, 120)
        path = tmp_path / f"{name}-raw.mp4"
        assert numbers_in(path) == list(range(25, 85))  # 1 s before, and 1 s after frame 59, the newest then
        assert read_video(path)[1] == [Fraction(number, 25) for number in range(60)]
        assert log.events == [EventRecord(name, T0 + 2, "deck raised", "deck", T0 + 2)]
        (saved,) = log.clips("saved")
        assert saved == Clip(
            name, "raw", path.name, "saved", T0 + 1, T0 + 84 / 25, 60, 0, path.stat().st_size, saved.detail
        )
        assert log.clips("recording")[0].file == path.name
        assert os.listdir(tmp_path) == [path.name]

    def test_a_trigger_before_the_first_second_takes_what_there_is(self, tmp_path: Path) -> None:
        log = Log()
        with recorder(tmp_path, log) as running:
            film(running, 0, 3)
            running.trigger(2 / RATE_HZ, "early")
            film(running, 3, 60)
        assert numbers_in(tmp_path / log.clips("saved")[0].file) == list(range(28))

    def test_both_kinds_are_made_of_the_same_raw_frames(self, tmp_path: Path) -> None:
        log, threads = Log(), set()

        def make_magnify() -> Any:
            threads.add(threading.current_thread().name)

            def invert(frame: NDArray[np.uint8], magnified: NDArray[np.uint8], time_s: float) -> None:
                assert time_s == number_of(frame) / RATE_HZ
                np.subtract(255, frame, out=magnified)

            return invert

        with recorder(tmp_path, log, make_magnify=make_magnify) as running:
            film(running, 0, 40)
            name = running.trigger(39 / RATE_HZ, "by hand")
            film(running, 40, 100)
        raw, magnified = (numbers_in(tmp_path / f"{name}-{kind}.mp4") for kind in ("raw", "magnified"))
        assert raw == list(range(14, 65))
        assert magnified == [255 - number for number in raw]
        assert threads == {"events-magnified"}
        assert {clip.kind for clip in log.clips("saved")} == {"raw", "magnified"}

    def test_uneven_times_are_kept(self, tmp_path: Path) -> None:
        log, times = Log(), [0.0, 0.04, 0.081, 0.2, 0.24, 0.9, 0.95]
        with recorder(tmp_path, log, post_roll_s=0.5) as running:
            for number, time_s in enumerate(times):
                running.film(frame_of(number), 100 + time_s)
            running.trigger(100.95, "by hand")
        found = read_video(tmp_path / log.clips("saved")[0].file)[1]
        assert [float(time_s) for time_s in found] == pytest.approx(times, abs=1 / 180_000)


class TestOverlap:
    def test_further_triggers_extend_the_clip(self, tmp_path: Path) -> None:
        log = Log()
        with recorder(tmp_path, log) as running:
            film(running, 0, 30)
            name = running.trigger(29 / RATE_HZ, "first")
            film(running, 30, 50)
            assert running.trigger(49 / RATE_HZ, "second") == name
            film(running, 50, 120)
        assert [event.reason for event in log.events] == ["first", "second"]
        (saved,) = log.clips("saved")
        assert numbers_in(tmp_path / saved.file) == list(range(4, 75))

    def test_not_beyond_the_longest_and_the_next_begins_where_it_ended(self, tmp_path: Path) -> None:
        log = Log()
        with recorder(tmp_path, log, longest_s=2.0) as running:
            film(running, 0, 30)
            for number in range(30, 150):
                running.trigger((number - 1) / RATE_HZ, f"at {number}")
                film(running, number, number + 1, pace_s=0.004)
        clips = [numbers_in(tmp_path / clip.file) for clip in log.clips("saved")]
        assert list(chain(*clips)) == list(range(4, 150))
        assert max(len(numbers) for numbers in clips) == 51

    def test_two_events_apart_are_two_clips(self, tmp_path: Path) -> None:
        log = Log()
        with recorder(tmp_path, log) as running:
            film(running, 0, 30)
            running.trigger(29 / RATE_HZ, "first")
            film(running, 30, 100)
            running.trigger(99 / RATE_HZ, "second")
            film(running, 100, 130)
        assert [numbers_in(tmp_path / clip.file) for clip in log.clips("saved")] == [
            list(range(4, 55)),
            list(range(74, 125)),
        ]


class TestTrouble:
    def test_a_camera_that_stops_completes_the_clip(self, tmp_path: Path) -> None:
        log = Log()
        with recorder(tmp_path, log) as running:
            film(running, 0, 30)
            running.trigger(29 / RATE_HZ, "by hand")
            film(running, 30, 34)
            running.stall_s = 0.2  # from the last frame on
            film(running, 34, 35)
            deadline_s = time.monotonic() + PATIENCE_S
            while not log.clips("saved") and time.monotonic() < deadline_s:
                time.sleep(0.02)
            assert running.state().recording is None
            running.stall_s = PATIENCE_S
            film(running, 35, 60)
            running.trigger(59 / RATE_HZ, "again")
        first, second = log.clips("saved")
        assert numbers_in(tmp_path / first.file) == list(range(4, 35))
        assert numbers_in(tmp_path / second.file) == list(range(35, 60))

    def test_time_that_runs_backwards_ends_the_clip_and_is_counted(self, tmp_path: Path) -> None:
        log = Log()
        with recorder(tmp_path, log) as running:
            film(running, 50, 80)
            running.trigger(79 / RATE_HZ, "by hand")
            film(running, 80, 85)
            film(running, 0, 10)
            running.trigger(9 / RATE_HZ, "after the step")
            film(running, 10, 15)
            assert running.state().backward_steps == 1
        first, second = log.clips("saved")
        assert numbers_in(tmp_path / first.file) == list(range(54, 85))
        assert numbers_in(tmp_path / second.file) == list(range(15))

    def test_frames_of_the_same_time_or_none_are_left_out(self, tmp_path: Path) -> None:
        log = Log()
        with recorder(tmp_path, log) as running:
            for number, time_s in enumerate((0.0, 0.04, 0.04, float("nan"), 0.040001, 0.08, float("inf"))):
                running.film(frame_of(number), time_s)
            running.trigger(0.08, "by hand")
        assert numbers_in(tmp_path / log.clips("saved")[0].file) == [0, 1, 5]

    def test_an_engine_that_fails_costs_the_magnified_clip_only(self, tmp_path: Path) -> None:
        def make_magnify() -> Any:
            raise EngineFault("out of memory", remedy="use a smaller frame")

        log = Log()
        with recorder(tmp_path, log, make_magnify=make_magnify) as running:
            film(running, 0, 30)
            running.trigger(29 / RATE_HZ, "by hand")
        (failed,) = log.clips("failed")
        assert (failed.kind, failed.detail) == ("magnified", "out of memory: use a smaller frame")
        assert [clip.kind for clip in log.clips("saved")] == ["raw"]
        assert len(os.listdir(tmp_path)) == 1

    def test_what_comes_faster_than_it_can_be_magnified_is_magnified_afterwards_all_of_it(
        self, tmp_path: Path
    ) -> None:
        log = Log()

        def make_magnify() -> Any:
            def slowly(frame: NDArray[np.uint8], magnified: NDArray[np.uint8], _time_s: float) -> None:
                time.sleep(0.015)
                np.subtract(255, frame, out=magnified)

            return slowly

        with recorder(tmp_path, log, make_magnify=make_magnify, post_roll_s=5.0) as running:
            film(running, 0, 30)
            running.trigger(29 / RATE_HZ, "by hand")
            film(running, 30, 190, pace_s=0.003)
        clips = {clip.kind: clip for clip in log.clips("saved")}
        raw, magnified = (numbers_in(tmp_path / clips[kind].file) for kind in ("raw", "magnified"))
        assert len(raw) == 151
        assert magnified == [255 - number for number in raw]
        made = clips["magnified"]
        assert (made.frames, made.dropped, made.detail) == (151, 0, "made after the event, of the raw clip")
        assert (made.start_s, made.end_s) == (clips["raw"].start_s, clips["raw"].end_s)
        assert running.state().dropped_frames == 0

    def test_a_service_that_ends_says_so_of_what_was_not_magnified_and_keeps_what_was(
        self, tmp_path: Path
    ) -> None:
        log, hurry, told = Log(), threading.Event(), "the service ended before it was made"

        def make_magnify() -> Any:
            def hang(frame: NDArray[np.uint8], magnified: NDArray[np.uint8], _time_s: float) -> None:
                hurry.wait(60)
                np.copyto(magnified, frame)

            return hang

        with recorder(tmp_path, log, make_magnify=make_magnify) as running:
            for first in (0, 100, 200):
                film(running, first, first + 30)
                running.trigger((first + 29) / RATE_HZ, "by hand")
                film(running, first + 30, first + 100)
            limit_s = time.monotonic() + 30
            while running.state().waiting != 3 and time.monotonic() < limit_s:
                time.sleep(0.02)
            assert (running.state().recording, running.state().waiting) == (None, 3)  # raw ones are done
            running._stopping = running._hurrying = True
            hurry.set()
        assert [clip.kind for clip in log.clips("saved")].count("raw") == 3
        failed = [clip for clip in log.clips("failed") if clip.kind == "magnified"]
        assert len(failed) >= 2
        assert all(told in clip.detail for clip in failed)
        assert running.state().waiting == 0

    @pytest.mark.parametrize("frames", [0, 3])
    def test_a_clip_that_is_hurried_counts_the_frames_that_are_missing(
        self, tmp_path: Path, frames: int
    ) -> None:
        path = TestRecovery().clip(tmp_path, "e")
        raw = Clip("e", "raw", path.name, "saved", frames=10, dropped=2)
        writer = EventClipWriter(
            tmp_path / "e-magnified.mp4", width_px=64, height_px=48, rate_hz=25, comment=""
        )

        def make() -> Clip:
            return magnified_of(
                raw,
                tmp_path,
                FRAMES,
                lambda frame, picture, _time_s: np.copyto(picture, frame),
                writer,
                lambda: writer.frames == frames,
            )

        if frames:
            made = make()
            assert (made.frames, made.dropped) == (3, 2 + 7)
        else:
            with pytest.raises(OutputFault, match="the service ended before it was made"):
                make()
            assert os.listdir(tmp_path) == [path.name]

    def test_offering_never_waits(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(event_recorder._MOST_WAITING, "magnified", 2)
        entered, stuck = threading.Event(), threading.Event()

        def make_magnify() -> Any:
            def hang(frame: NDArray[np.uint8], magnified: NDArray[np.uint8], _time_s: float) -> None:  # noqa: ARG001
                entered.set()
                stuck.wait(60)

            return hang

        log, slowest_s = Log(), 0.0
        with recorder(tmp_path, log, make_magnify=make_magnify) as running:
            film(running, 0, 31)
            running.trigger(30 / RATE_HZ, "the first")
            assert entered.wait(30)
            for number in range(31, 600):
                begun_s = time.perf_counter()
                running.film(frame_of(number), number / RATE_HZ)
                if number % 60 == 30:
                    running.trigger(number / RATE_HZ, "again")
                slowest_s = max(slowest_s, time.perf_counter() - begun_s)
            assert running.state().declined >= 4  # of nine magnified ones, while two wait for the engine
            stuck.set()
        assert slowest_s < 5  # the engine hangs, and neither it nor the disk has a part in this
        declined = {(clip.kind, clip.detail) for clip in log.clips("failed")}
        assert ("magnified", "too many clips wait to be written") in declined

    def test_a_clip_is_declined_while_the_disk_is_low_and_that_is_listed(self, tmp_path: Path) -> None:
        log = Log()
        with recorder(tmp_path, log) as running:
            film(running, 0, 30)
            running.decline("clips given up: 900 MB free")
            assert running.trigger(29 / RATE_HZ, "deck raised") is None
            running.decline("")
            assert running.trigger(29 / RATE_HZ, "deck raised") is not None
        assert [(clip.state, clip.detail) for clip in log.clips("failed")] == [
            ("failed", "clips given up: 900 MB free")
        ]
        assert len(log.clips("saved")) == 1

    def test_a_clip_whose_frames_were_all_gone_says_that_the_device_was_too_busy(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        late, begin, log = threading.Event(), ClipFrames.begin, Log()
        monkeypatch.setattr(ClipFrames, "begin", lambda self: (late.wait(PATIENCE_S), begin(self)))
        with recorder(tmp_path, log) as running:
            film(running, 0, 30)
            running.trigger(29 / RATE_HZ, "by hand")
            for number in range(30, 300):
                running.film(frame_of(number), number / RATE_HZ)
            late.set()
        (failed,) = log.clips("failed")
        assert "all 51 frames were gone before they were written: give the device less to do" in failed.detail
        assert failed.dropped == running.state().dropped_frames == 51

    def test_closing_completes_what_is_being_recorded(self, tmp_path: Path) -> None:
        log = Log()
        with recorder(tmp_path, log) as running:
            film(running, 0, 30)
            running.trigger(29 / RATE_HZ, "by hand")
            film(running, 30, 32)
        assert numbers_in(tmp_path / log.clips("saved")[0].file) == list(range(4, 32))

    def test_a_clip_that_does_not_read_back_is_not_listed_as_saved(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read_back = event_clips.read_back

        def lose_the_end(path: Path) -> event_clips.ReadBack:
            os.truncate(path, path.stat().st_size - 100)  # as a failing disk does
            return read_back(path)

        monkeypatch.setattr(event_clips, "read_back", lose_the_end)
        log = Log()
        with recorder(tmp_path, log) as running:
            film(running, 0, 30)
            running.trigger(29 / RATE_HZ, "by hand")
        assert log.clips("saved") == []
        assert "does not read back" in log.clips("failed")[0].detail
        assert os.listdir(tmp_path) == []

    def test_a_frame_at_another_time_than_written_is_found(self, tmp_path: Path) -> None:
        writer = EventClipWriter(tmp_path / "e-raw.mp4", width_px=64, height_px=48, rate_hz=25, comment="")
        for number in range(5):
            writer.write(frame_of(number), number / 25)
        writer._ticks[3] += 1
        with pytest.raises(OutputFault, match="5 of 5 frames read back at their times"):
            writer.publish()
        assert os.listdir(tmp_path) == []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    mount_small_disk(tmp_path, "size=64k")
    yield tmp_path
    unmount(tmp_path)


def test_a_disk_that_fills_fails_the_clip_and_is_left_clean(disk: Path) -> None:
    log, rng = Log(), np.random.default_rng(0)
    with recorder(disk, log) as running:
        for number in range(60):
            running.film(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8), number / RATE_HZ)
        running.trigger(59 / RATE_HZ, "by hand")
        for number in range(60, 90):
            running.film(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8), number / RATE_HZ)
    assert log.clips("saved") == []
    assert "the disk is full: free some space" in log.clips("failed")[0].detail
    assert os.listdir(disk) == []


class TestEvidence:
    def test_a_motion_that_coarse_compression_removes_is_measured_in_the_raw_clip(
        self, tmp_path: Path
    ) -> None:
        rng, texture, found = np.random.default_rng(9), textured(0, side=128), {}
        frames = []
        for number in range(150):
            moved = shifted(texture, 0.03 * math.sin(2 * math.pi * 3 * number / 25), 0)
            grey = np.clip(np.rint(moved + 0.5 * rng.standard_normal(moved.shape)), 0, 255).astype(np.uint8)
            frames.append(np.repeat(grey[..., None], 3, axis=2))
        height_px, width_px = frames[0].shape[:2]
        for near in (True, False):
            path = tmp_path / f"{near}-raw.mp4"
            writer = EventClipWriter(
                path, width_px=width_px, height_px=height_px, rate_hz=25, comment="", near_lossless=near
            )
            for number, frame in enumerate(frames):
                writer.write(frame, number / 25)
            loss_px = writer.publish().loss_px
            clip = measure_clip(MeasureJob(path, tmp_path / f"{near}", (Region(24, 16, 64, 64),)))
            found[near] = loss_px, [each.peak.amplitude for each in clip.analysis.findings]
        (near_px, (amplitude_px,)), (coarse_px, coarse) = found[True], found[False]
        assert amplitude_px == pytest.approx(0.03, abs=0.003)
        assert near_px < 0.006 < 0.02 < coarse_px
        assert coarse == []

    @pytest.mark.parametrize("saves_room", [False, True])
    def test_the_raw_clip_alone_is_near_lossless_while_there_is_room(
        self, saves_room: bool, tmp_path: Path
    ) -> None:
        log = Log()
        with recorder(tmp_path, log) as running:
            running.saves_room = saves_room
            film(running, 0, 30)
            running.trigger(29 / RATE_HZ, "by hand")
        (clip,) = log.clips("saved")
        with closing(ClipCamera(tmp_path / clip.file, quantisers=True)) as camera:
            while camera.read_into(np.empty((48, 64, 3), np.uint8)) is not None:
                pass
            quantiser = camera.coding().quantiser
        assert quantiser is not None
        assert (float(quantiser.mean()) < 10) is not saves_room
        assert clip.detail.startswith("compressed: amplitudes measured in it are uncertain by 0.0")


class TestRecovery:
    def clip(self, directory: Path, name: str, kind: str = "raw") -> Path:
        path = directory / f"{name}-{kind}.mp4"
        writer = EventClipWriter(path, width_px=64, height_px=48, rate_hz=25, comment="")
        for number in range(10):
            writer.write(frame_of(number), number / 25)
        writer.publish()
        return path

    def test_partials_are_deleted_and_other_files_left_alone(self, tmp_path: Path) -> None:
        writer = EventClipWriter(
            tmp_path / "20261022T123322.000Z-raw.mp4", width_px=64, height_px=48, rate_hz=25, comment=""
        )
        writer.write(frame_of(0), 0.0)  # and then the power goes
        (tmp_path / ".20261022T123000.000Z-raw.unverified.mp4").write_bytes(b"complete but not read back")
        (tmp_path / "holiday.mp4").write_bytes(b"mine")
        assert len(os.listdir(tmp_path)) == 3
        assert recover_clips(tmp_path, [], Log()) == Recovery(2, (), (), ())
        assert os.listdir(tmp_path) == ["holiday.mp4"]
        writer.discard()

    def test_a_whole_clip_that_was_not_listed_yet_is_listed(self, tmp_path: Path) -> None:
        name = event_name(T0)
        path = self.clip(tmp_path, name)
        log = Log()
        listed = Clip(name, "raw", path.name, "recording", T0 - 1)
        assert recover_clips(tmp_path, [listed], log).completed == (path.name,)
        (saved,) = log.clips("saved")
        assert (saved.start_s, saved.end_s, saved.frames) == (T0 - 1, T0 - 1 + 9 / 25, 10)
        assert saved.nbytes == path.stat().st_size
        unlisted = Log()
        assert recover_clips(tmp_path, [], unlisted).completed == (path.name,)
        assert unlisted.events == [EventRecord(name, T0, "recovered after an interruption")]

    def test_what_is_gone_changed_or_unfinished_is_no_longer_listed_as_saved(self, tmp_path: Path) -> None:
        changed = self.clip(tmp_path, event_name(T0))
        clips = [
            Clip("a", "raw", changed.name, "saved", nbytes=changed.stat().st_size + 1),
            Clip("b", "raw", "b-raw.mp4", "saved", nbytes=5),
            Clip("c", "raw", "c-raw.mp4", "recording"),
            Clip("d", "raw", "d-raw.mp4", "failed"),
        ]
        log = Log()
        assert recover_clips(tmp_path, clips, log).lost == (changed.name, "b-raw.mp4", "c-raw.mp4")
        assert [(clip.event, clip.detail) for clip in log.clips("failed")] == [
            ("a", "the file is missing or was changed"),
            ("b", "the file is missing or was changed"),
            ("c", "interrupted while it was recorded"),
        ]

    def test_removed_clips_whose_files_stayed_are_deleted(self, tmp_path: Path) -> None:
        path = self.clip(tmp_path, event_name(T0))
        recover_clips(tmp_path, [Clip("a", "raw", path.name, "removed")], Log())
        assert os.listdir(tmp_path) == []

    def test_an_unreadable_file_of_a_clip_s_name_is_never_listed(self, tmp_path: Path) -> None:
        path = self.clip(tmp_path, event_name(T0))
        os.truncate(path, path.stat().st_size // 2)
        log = Log()
        assert recover_clips(tmp_path, [], log).unreadable == (path.name,)
        assert log.records == []

    def test_a_directory_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(OutputFault, match="partial clips cannot be deleted"):
            recover_clips(tmp_path / "none", [], Log())


class TestSettings:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"pre_roll_s": -1.0}, "greater than or equal to 0"),
            ({"post_roll_s": float("nan")}, "finite number"),
            ({"longest_s": 7.5}, "pre_roll_s and post_roll_s do not fit into longest_s"),
        ],
    )
    def test_what_cannot_be_is_refused(self, changes: dict[str, float], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            RecordingSettings.model_validate(changes)

    def test_a_missing_directory_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(OutputFault, match="there is no such directory"), recorder(tmp_path / "n", Log()):
            pass

    def test_the_remedy_for_too_much_memory_works(self) -> None:
        frames = FrameFormat(1920, 1080, 30.0)
        settings = RecordingSettings(pre_roll_s=8.0)  # of which 10 s are kept
        with pytest.raises(OptionFault, match=r"takes 1879 MB of memory, and 1074 MB are allowed.* by 4.3 s"):
            slots_for(settings, frames)
        assert slots_for(settings.model_copy(update={"pre_roll_s": 8.0 - 4.4}), frames) == 170


class TestHistory:
    def test_frames_can_be_leased_until_newer_ones_take_their_place(self) -> None:
        history, lent = FrameHistory(4, FRAMES), Lent(6, width_px=64, height_px=48)
        for number in range(10):
            with lent.frame(number, timestamp_s=number / 10) as frame:
                assert history.put(frame) == number
        assert (history.oldest, history.count, lent.ring.free) == (6, 10, 2)
        leases = [history.lease(number, "the test") for number in range(4, 12)]
        assert [lease and int(lease.pixels[0, 0, 0]) for lease in leases] == [
            None,
            None,
            6,
            7,
            8,
            9,
            None,
            None,
        ]
        assert history.first_from(0.75, 0) == 8
        assert history.first_from(0.0, 9) == 9
        assert history.first_from(5.0, 0) == 10
        for lease in leases:
            if lease is not None:
                lease.release()
        history.clear()
        assert history.oldest == 10
        lent.ring.close()

    def test_the_camera_gets_the_oldest_slot_that_nobody_else_holds_before_it_is_told_that_there_is_none(
        self,
    ) -> None:
        history, lent = FrameHistory(4, FRAMES), Lent(4, width_px=64, height_px=48)
        lent.ring.reclaim = history.give_back
        for number in range(4):
            with lent.frame(number) as frame:
                history.put(frame)
        written = history.lease(0, "the writer")
        assert written is not None
        with lent.frame(99):  # frame 0 is given up in vain, then frame 1
            assert (history.oldest, written.pixels[0, 0, 0]) == (2, 0)
            taken = [lent.ring.acquire("the camera") for _ in range(3)]
        assert [lease is None for lease in taken] == [False, False, True]
        assert history.oldest == history.count == 4
        for lease in (written, *taken):
            if lease is not None:
                lease.release()
        lent.ring.close()

    def test_a_frame_that_is_leased_is_never_written_over(self) -> None:
        history, lent = FrameHistory(3, FRAMES), Lent(6, width_px=64, height_px=48)
        lent.ring.reclaim = history.give_back
        halves: list[int] = []
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                number = history.count - 2
                frame = history.lease(number, "the reader")
                if frame is not None:
                    with frame:
                        if frame.pixels.min() != number % 251 or frame.pixels.max() != number % 251:
                            halves.append(number)

        reader = threading.Thread(target=read)
        reader.start()
        for number in range(3000):
            with lent.frame(number % 251) as frame:
                history.put(frame)
        stop.set()
        reader.join()
        assert halves == []
        history.clear()
        lent.ring.close()
