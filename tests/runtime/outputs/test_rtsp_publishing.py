"""Publishing to a real media server (GStreamer's), which goes away, stands still, and asks for a password."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mosquitto_rig import free_port, wait_until
from numpy.typing import NDArray

from tremorscope.runtime.clips import nvenc
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.health import HealthBoard
from tremorscope.runtime.live.feed import LiveFeed, LiveInfo
from tremorscope.runtime.outputs.rtsp import RtspPublisher, _bound_sending
from tremorscope.runtime.outputs.settings import RtspSettings

PYTHON = shutil.which("python3", path="/usr/bin")
SCRIPT = Path(__file__).parent / "rtsp_server.py"
WIDTH_PX, HEIGHT_PX = 160, 90
FRAME_BYTES = WIDTH_PX * HEIGHT_PX * 3
FILMED, MAGNIFIED = (40, 90, 160), (200, 60, 50)


def has_server() -> bool:
    return (
        PYTHON is not None
        and subprocess.run([PYTHON, SCRIPT, "--check"], capture_output=True, check=False).returncode == 0
    )


pytestmark = pytest.mark.skipif(not has_server(), reason="needs gst-rtsp-server")


class MediaServer:
    def __init__(self, directory: Path, *login: str) -> None:
        self.port, self._file, self._login = free_port(), directory / "pictures.rgb", login
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/bridge"

    def start(self) -> MediaServer:
        assert PYTHON is not None
        command = [PYTHON, str(SCRIPT), str(self.port), str(self._file), *self._login]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stand_still(self, still: bool) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP if still else signal.SIGCONT)

    @property
    def pictures(self) -> int:
        return self._file.stat().st_size // FRAME_BYTES if self._file.exists() else 0

    def last(self) -> NDArray[np.uint8]:
        start = (self.pictures - 1) * FRAME_BYTES
        content = self._file.read_bytes()[start : start + FRAME_BYTES]
        return np.frombuffer(content, np.uint8).reshape(HEIGHT_PX, WIDTH_PX, 3)


def test_bounding_connections_leaves_no_descriptor_behind() -> None:
    before = set(os.listdir("/proc/self/fd"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            for _ in range(3):
                _bound_sending(port, 2.5)
            assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 2500
    assert len(os.listdir("/proc/self/fd")) <= len(before)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MediaServer]:
    server = MediaServer(tmp_path).start()
    yield server
    server.stop()


@pytest.fixture
def feed() -> Iterator[LiveFeed]:
    """A feed of an odd size, of plain colours with noise, at 30 frames/s."""
    feed = LiveFeed(width_px=WIDTH_PX + 1, height_px=HEIGHT_PX + 1)
    stopping = threading.Event()
    noise = np.random.default_rng(1).integers(-12, 13, (HEIGHT_PX + 1, WIDTH_PX + 1, 3))
    frame, magnified = ((np.array(colour) + noise).astype(np.uint8) for colour in (FILMED, MAGNIFIED))

    def run() -> None:
        number = 0
        while not stopping.wait(1 / 30):
            feed.offer(frame, magnified, LiveInfo(number, time.time(), 20.0))
            number += 1

    thread = threading.Thread(target=run)
    thread.start()
    yield feed
    stopping.set()
    thread.join()
    feed.close()


def publisher(server: MediaServer, feed: LiveFeed, board: HealthBoard, **changes: Any) -> RtspPublisher:
    password = changes.pop("password", None)
    settings = RtspSettings.model_validate(
        {"url": server.url, "view": "split", "bitrate_kbps": 800} | changes
    )
    return RtspPublisher(settings, board=board, feed=feed, password=password, stall_s=2.0)


def said(board: HealthBoard) -> str:
    return board.snapshot().outputs.get("rtsp", "nothing")


def test_pictures_arrive_and_again_after_the_server_was_away_or_stood_still(
    server: MediaServer, feed: LiveFeed
) -> None:
    board = HealthBoard()
    published = publisher(server, feed, board)
    published.start()
    wait_until(lambda: server.pictures > 20)
    assert said(board) == ""
    picture = server.last()
    for columns, colour in ((slice(10, 70), FILMED), (slice(90, 150), MAGNIFIED)):
        assert np.abs(picture[10:-10, columns].mean((0, 1)) - colour).max() < 8

    server.stop()
    wait_until(lambda: "trying again" in said(board))
    assert server.url in said(board)
    wait_until(lambda: not feed.wanted)  # nobody is shown anything: magnification may rest
    server.start()
    before = server.pictures
    wait_until(lambda: server.pictures > before + 10)
    assert said(board) == ""

    connections = published.counts()["rtsp"]["connections"]
    server.stand_still(True)
    wait_until(lambda: "trying again" in said(board))
    server.stand_still(False)
    wait_until(lambda: published.counts()["rtsp"]["connections"] > connections)
    begun_s = time.monotonic()
    published.close()
    assert time.monotonic() - begun_s < 3.0


def test_nobody_at_the_other_end_is_said_and_costs_nothing(server: MediaServer, feed: LiveFeed) -> None:
    server.stop()
    board = HealthBoard()
    published = publisher(server, feed, board)
    published.start()
    wait_until(lambda: "connection refused" in said(board))
    assert not feed.wanted
    published.close()


def test_the_password_opens_the_server_and_is_told_to_nobody(tmp_path: Path, feed: LiveFeed) -> None:
    server = MediaServer(tmp_path, "bridge", "p@ss/word:7").start()
    try:
        board = HealthBoard()
        wrong = publisher(server, feed, board, username="bridge", password="not-it-at-all")
        wrong.start()
        wait_until(lambda: "trying again" in said(board))
        assert "not-it-at-all" not in said(board)
        wrong.close()
        right = publisher(server, feed, board, username="bridge", password="p@ss/word:7")
        right.start()
        wait_until(lambda: server.pictures > 3)
        right.close()
    finally:
        server.stop()
    with pytest.raises(OptionFault, match="no username"):
        publisher(server, feed, HealthBoard(), password="x" * 16)


def test_the_devices_own_encoder_serves_too(server: MediaServer, feed: LiveFeed) -> None:
    """Its parameter sets stand in the stream before every key picture, where a player that comes later finds them."""
    pytest.importorskip("gi")
    from nvenc_standin import Hardware, device_with

    nvenc._has_encoded.clear()
    with device_with(Hardware()) as hardware:
        published = publisher(server, feed, HealthBoard(), encoder="nvenc")
        published.start()
        wait_until(lambda: server.pictures > 20)
        published.close()
    nvenc._has_encoded.clear()
    picture = server.last()
    for columns, colour in ((slice(10, 70), FILMED), (slice(90, 150), MAGNIFIED)):
        assert np.abs(picture[10:-10, columns].mean((0, 1)) - colour).max() < 8
    assert (hardware.runs[-1]["bitrate"], hardware.runs[-1]["insert-sps-pps"]) == (800_000, True)


def test_an_encoder_that_is_insisted_on_and_missing_is_told(server: MediaServer, feed: LiveFeed) -> None:
    board = HealthBoard()
    published = publisher(server, feed, board, encoder="nvenc")
    published.start()
    wait_until(lambda: "set encoder: x264, or auto; trying again" in said(board))
    published.close()


def test_sockets_of_other_families_do_no_harm(server: MediaServer, feed: LiveFeed) -> None:
    """As those to a camera's daemon, or between GStreamer's threads."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        published = publisher(server, feed, HealthBoard())
        published.start()
        wait_until(lambda: server.pictures > 5)
        published.close()
