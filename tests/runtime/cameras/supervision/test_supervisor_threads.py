"""The supervisor with its real threads and a real clock: nothing waits for a driver that hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from failing import SIZE, wait_until
from numpy.typing import NDArray
from support import frames_of, textured_frames

from tremorscope.runtime.cameras.clip import ClipCamera
from tremorscope.runtime.cameras.replay import ReplayCamera
from tremorscope.runtime.cameras.supervision.faults import BackoffSettings, CameraEvent
from tremorscope.runtime.cameras.supervision.settings import SupervisorSettings
from tremorscope.runtime.cameras.supervision.supervisor import CameraSupervisor
from tremorscope.runtime.errors import CameraFault, CorruptFrameFault
from tremorscope.runtime.frames.frame import Camera, FrameInfo
from tremorscope.runtime.frames.ring import Lease, LeasingRing
from tremorscope.runtime.host.threads import Threads


class LiveCamera:
    """50 frames/s; may be unplugged, and may hang until it is released."""

    width_px, height_px = SIZE
    nominal_rate_hz = 50.0

    def __init__(self, plugged: threading.Event, hang: Callable[[], None] = lambda: None) -> None:
        self._plugged, self._hang = plugged, hang
        self._fail_if_unplugged()
        self._sequence = -1

    def _fail_if_unplugged(self) -> None:
        if not self._plugged.is_set():
            raise CameraFault("live camera: is not there", remedy="plug it in")

    def read_into(self, pixels: NDArray[np.uint8]) -> FrameInfo:
        time.sleep(0.02)
        self._fail_if_unplugged()
        self._hang()
        self._sequence += 1
        pixels[:] = self._sequence % 199
        pixels[0] = 250
        return FrameInfo(self._sequence, time.monotonic())

    def close(self) -> None:
        pass


@contextmanager
def supervised(
    open_camera: Callable[[], Camera], settings: SupervisorSettings
) -> Generator[tuple[CameraSupervisor, list[CameraEvent]], None, None]:
    ring = LeasingRing(settings.slots(held_by_consumer=2), width_px=SIZE[0], height_px=SIZE[1])
    events: list[CameraEvent] = []
    supervisor = CameraSupervisor(open_camera, ring, settings=settings, on_event=events.append)
    supervisor.start()
    try:
        yield supervisor, events
    finally:
        supervisor.close()


def first_frame_within(supervisor: CameraSupervisor, limit_s: float) -> float:
    """Seconds until a frame comes; what waits already does not count."""
    if (stale := supervisor.take(0)) is not None:
        stale.release()
    begun_s = time.monotonic()
    lease = supervisor.take(limit_s)
    assert lease is not None
    lease.release()
    return time.monotonic() - begun_s


class FastCamera:
    """As fast as it is read; every fiftieth frame is lost, and every four hundredth ends the connection."""

    width_px, height_px = SIZE
    nominal_rate_hz = 50.0

    def __init__(self, produced: list[int]) -> None:
        self._produced = produced
        self._sequence = -1

    def read_into(self, pixels: NDArray[np.uint8]) -> FrameInfo:
        for _ in range(2 if self._sequence % 50 == 48 else 1):
            self._sequence += 1
            self._produced[0] += 1
        pixels[:] = self._sequence % 199
        pixels[0] = 250
        if self._sequence >= 400:
            raise CorruptFrameFault("fast camera: short read", remedy="", sequence=self._sequence)
        return FrameInfo(self._sequence, self._sequence / 50)

    def close(self) -> None:
        pass


# Patient settings: a busy machine may keep a thread waiting for some tenths of a second.
PATIENT = SupervisorSettings(frozen_least_s=2.0)


def test_a_loss_of_three_seconds_is_over_within_two() -> None:
    plugged = threading.Event()
    plugged.set()
    with supervised(lambda: LiveCamera(plugged), PATIENT) as (supervisor, events):
        first_frame_within(supervisor, 10)
        plugged.clear()
        time.sleep(3.0)
        assert [(event.kind, event.begins) for event in events] == [("lost", True)]
        plugged.set()
        assert first_frame_within(supervisor, 10) < 2.0
        wait_until(lambda: len(events) == 2)
        assert (events[1].kind, events[1].begins) == ("lost", False)
        assert 2.5 < events[1].at_s - events[1].since_s < 5.5
        assert supervisor.state().openings == 2


def test_a_read_that_hangs_is_abandoned_and_the_camera_opened_again() -> None:
    plugged, release, hung = threading.Event(), threading.Event(), threading.Event()
    plugged.set()

    def hang_once() -> None:
        if not hung.is_set():
            hung.set()
            release.wait(30)

    settings = SupervisorSettings(frozen_least_s=0.5, open_timeout_s=0.5)
    try:
        with supervised(lambda: LiveCamera(plugged, hang_once), settings) as (supervisor, events):
            first_frame_within(supervisor, 10)
            assert (events[0].kind, events[0].begins) == ("frozen", True)
            assert events[0].detail == "no frame within 0.5 s"
            assert 0.5 <= events[0].at_s - events[0].since_s < 2.0
            assert supervisor.state().abandoned_threads == 1
            release.set()
            wait_until(lambda: supervisor.state().abandoned_threads == 0)
            assert supervisor.state().drops.abandoned == 1
    finally:
        release.set()


def test_a_mistake_in_what_hears_of_frames_is_told_and_the_camera_opened_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The thread that reads must not end in silence, keep its slot, or count as one that hangs for ever."""
    plugged, heard, events = threading.Event(), [0], list[CameraEvent]()
    plugged.set()

    def consider(_: Lease) -> None:
        heard[0] += 1
        if heard[0] in (3, 6, 9):
            raise ZeroDivisionError("of the magnifying half")

    threads = Threads(pauses_s=(0.01, 0.01))
    ring = LeasingRing(PATIENT.slots(held_by_consumer=1), width_px=SIZE[0], height_px=SIZE[1])
    supervisor = CameraSupervisor(
        lambda: LiveCamera(plugged),
        ring,
        settings=PATIENT,
        on_event=events.append,
        on_frame=consider,
        threads=threads,
    )
    supervisor.start()
    taken: list[FrameInfo | None] = []
    wait_until(lambda: heard[0] > 12 or take_into(taken, supervisor), limit_s=20.0)
    assert threads.failures == {"camera": 3}
    assert "thread camera failed 3 times, the last time by ZeroDivisionError" in threads.problems()[0]
    assert "thread camera was ended by a mistake in the program" in caplog.text
    assert {(event.kind, event.detail) for event in events} == {
        ("lost", "a mistake in the program: ZeroDivisionError: of the magnifying half")
    }
    state = supervisor.close()
    assert (state.openings, state.abandoned_threads, state.drops.abandoned >= 3) == (4, 0, True)
    assert len(taken) >= 5
    ring.close()  # no frame was lost on the way


def take_into(taken: list[FrameInfo | None], supervisor: CameraSupervisor) -> bool:
    """Take a frame, if one comes, and give it back."""
    if (lease := supervisor.take(0.1)) is not None:
        taken.append(lease.info)
        lease.release()
    return False


def test_closing_has_a_bound_even_if_the_driver_hangs() -> None:
    plugged, release, hung = threading.Event(), threading.Event(), threading.Event()
    plugged.set()

    def hang() -> None:
        hung.set()
        release.wait(30)

    settings = SupervisorSettings(frozen_least_s=20.0, open_timeout_s=20.0, close_timeout_s=0.5)
    try:
        with supervised(lambda: LiveCamera(plugged, hang), settings) as (supervisor, _):
            assert hung.wait(10)
            begun_s = time.monotonic()
            state = supervisor.close()
            assert time.monotonic() - begun_s < 3.0
            assert (state.status, state.abandoned_threads) == ("closed", 1)
            assert supervisor.take(10) is None  # at once: nothing will come any more
            assert time.monotonic() - begun_s < 3.0
            release.set()
            wait_until(lambda: supervisor.state().abandoned_threads == 0)
    finally:
        release.set()


def test_the_camera_does_not_wait_for_a_slow_consumer() -> None:
    plugged = threading.Event()
    plugged.set()
    with supervised(lambda: LiveCamera(plugged), PATIENT) as (supervisor, events):
        lease = supervisor.take(10)
        assert lease is not None
        before = frames_of(supervisor.state())
        time.sleep(1.0)  # as long as 50 frames
        after = supervisor.state()
        lease.release()
        assert frames_of(after) - before > 10
        assert after.drops.late >= frames_of(after) - before - 2
        assert events == []


def test_a_consumer_that_waits_in_vain_waits_no_longer_than_it_said() -> None:
    with supervised(lambda: LiveCamera(threading.Event()), PATIENT) as (supervisor, _):
        begun_s = time.monotonic()
        assert supervisor.take(0.2) is None
        assert 0.15 < time.monotonic() - begun_s < 2.0


def test_with_real_threads_nothing_is_lost_that_was_not_counted() -> None:
    produced, taken, torn = [0], 0, 0
    settings = SupervisorSettings(
        most_strikes=1, frozen_least_s=20.0, backoff=BackoffSettings(first_s=0.001, longest_s=0.001)
    )
    with supervised(lambda: FastCamera(produced), settings) as (supervisor, events):
        while produced[0] < 10_000:
            lease = supervisor.take(10)
            assert lease is not None
            with lease:
                taken += 1
                torn += lease.pixels[1:].min() != lease.pixels[1:].max()
                if taken % 64 == 0:
                    time.sleep(0.001)
        state = supervisor.close()
    assert frames_of(state) == produced[0]
    assert (state.taken, torn) == (taken, 0)
    assert state.drops.source > 150
    assert state.drops.corrupt >= 24
    assert state.openings >= 24
    assert {event.kind for event in events} == {"corrupt"}


def test_a_ring_with_too_few_slots_is_refused() -> None:
    with pytest.raises(ValueError, match="3 slots are too few for a camera"):
        CameraSupervisor(lambda: FastCamera([0]), LeasingRing(3, width_px=8, height_px=8))


def test_a_replayed_clip_comes_through_whole_and_ends_in_good_order(clip: Path) -> None:
    truth = textured_frames(10)
    settings = SupervisorSettings(most_waiting=10, end_is_fault=False, frozen_least_s=20.0)
    ring = LeasingRing(settings.slots(held_by_consumer=2), width_px=64, height_px=48)
    supervisor = CameraSupervisor(
        lambda: ReplayCamera(lambda: ClipCamera(clip), pace="fast"), ring, settings=settings
    )
    supervisor.start()
    reference: Lease | None = None
    for number in range(10):
        frame = supervisor.take(10)
        assert frame is not None
        assert frame.info == FrameInfo(number, pytest.approx(number / 25))
        np.testing.assert_array_equal(frame.pixels, truth[number])
        if reference is not None:  # the frame before, where it was written, while this one is used
            np.testing.assert_array_equal(reference.pixels, truth[number - 1])
            reference.release()
        reference = frame
    assert reference is not None
    reference.release()
    assert supervisor.take(10) is None
    assert supervisor.state().status == "ended"
    assert supervisor.close().drops.total == 0
    ring.close()
