"""The notify protocol, over real sockets as systemd opens them."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremorscope.runtime.host.systemd import FrameWatchdog, Notifier


class Listener:
    """What systemd is to a service: a datagram socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.setblocking(False)

    def take(self) -> list[str]:
        """All messages that came, one string each."""
        messages = []
        with contextlib.suppress(BlockingIOError):
            while True:
                messages.append(self.socket.recv(4096).decode())
        return messages


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "path" else f"@tremorscope-{uuid.uuid4()}"


@pytest.fixture
def listener(address: str) -> Iterator[Listener]:
    listener = Listener(address)
    yield listener
    listener.socket.close()


def test_every_message_arrives_as_systemd_reads_it(address: str, listener: Listener) -> None:
    notifier = Notifier(address)
    notifier.ready("30.0 frames/s")
    notifier.still_starting(120.0, "in the dark")
    notifier.status("several\nlines  become one")
    notifier.watchdog()
    notifier.stopping("finishing a clip")
    assert listener.take() == [
        "READY=1\nSTATUS=30.0 frames/s",
        "EXTEND_TIMEOUT_USEC=120000000\nSTATUS=in the dark",
        "STATUS=several lines become one",
        "WATCHDOG=1",
        "STOPPING=1\nSTATUS=finishing a clip",
    ]
    assert notifier.enabled
    assert notifier.lost == 0


def test_reloading_carries_the_moment_that_it_began(address: str, listener: Listener) -> None:
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    Notifier(address).reloading()
    after_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    (message,) = listener.take()
    state, moment = message.split("\n")
    assert state == "RELOADING=1"
    assert before_us <= int(moment.removeprefix("MONOTONIC_USEC=")) <= after_us


@pytest.mark.parametrize("address", [None, "", "@", "relative/path", "vsock:2:1234"])
def test_where_nobody_listens_nothing_happens(address: str | None) -> None:
    notifier = Notifier(address, watchdog_s=10.0)
    for call in (notifier.ready, notifier.watchdog, notifier.reloading, notifier.stopping):
        call()
    assert not notifier.enabled
    assert notifier.watchdog_s is None
    assert notifier.lost == 0


def test_a_listener_that_went_away_is_counted_and_not_raised(tmp_path: Path) -> None:
    notifier = Notifier(str(tmp_path / "gone"))
    notifier.ready()
    notifier.watchdog()
    assert notifier.lost == 2


def test_a_listener_that_does_not_read_never_holds_up_the_watchdog(tmp_path: Path) -> None:
    listener = Listener(str(tmp_path / "notify"))
    notifier = Notifier(str(tmp_path / "notify"))
    began_s = time.monotonic()
    while notifier.lost == 0:  # until its queue is full
        notifier.watchdog()
    for _ in range(1000):
        notifier.watchdog()
    assert time.monotonic() - began_s < 2.0
    assert notifier.lost == 1001
    listener.take()
    notifier.watchdog()
    assert listener.take() == ["WATCHDOG=1"]


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "1500000"}, 1.5),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_interval_of_the_watchdog_is_systemds(
    environment: dict[str, str], watchdog_s: float | None, tmp_path: Path
) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": str(tmp_path / "notify")} | environment)
    assert notifier.watchdog_s == watchdog_s


def test_nothing_is_sent_after_closing(address: str, listener: Listener) -> None:
    notifier = Notifier(address)
    notifier.close()
    notifier.ready()
    assert listener.take() == []


def test_frames_feed_the_watchdog_and_nothing_else_does(address: str, listener: Listener) -> None:
    watchdog = FrameWatchdog(Notifier(address, watchdog_s=4.0))
    for number in range(100):  # ten frames a second for ten seconds
        watchdog.progress(number, number / 10)
    assert len(listener.take()) == 10
    for late in range(100):  # the process lives on, but the camera is frozen
        watchdog.progress(99, 10 + late)
    assert listener.take() == []
    watchdog.progress(100, 200.0)
    assert listener.take() == ["WATCHDOG=1"]


def test_a_frame_that_came_too_soon_to_be_told_does_not_feed_the_watchdog_later(tmp_path: Path) -> None:
    watchdog = FrameWatchdog(Notifier(str(tmp_path / "notify"), watchdog_s=4.0))
    assert watchdog.progress(1, 0.0)
    assert not watchdog.progress(2, 0.1)
    assert not watchdog.progress(2, 50.0)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 3)), max_size=60))
def test_the_watchdog_is_fed_often_enough_while_frames_come_and_never_without(
    steps: list[tuple[int, float]],
) -> None:
    watchdog = FrameWatchdog(Notifier("/nowhere/notify", watchdog_s=8.0))
    frames, now_s, latest_fed_s = 0, 0.0, -math.inf
    for more, pause_s in steps:
        frames, now_s = frames + more, now_s + pause_s
        if watchdog.progress(frames, now_s):
            assert more
            latest_fed_s = now_s
        elif more:
            assert now_s - latest_fed_s < 2.0
