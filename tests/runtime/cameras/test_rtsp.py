"""Network cameras: a real RTSP server with a moving picture, which is killed, stopped and started again."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tremorscope.runtime.cameras.gstreamer.camera import GStreamerCamera
from tremorscope.runtime.cameras.gstreamer.faults import GStreamerFault
from tremorscope.runtime.cameras.opening import open_camera, supervisor_settings
from tremorscope.runtime.cameras.rtsp import open_rtsp, plan
from tremorscope.runtime.cameras.settings import RtspCameraSettings
from tremorscope.runtime.cameras.supervision.settings import SupervisorSettings
from tremorscope.runtime.cameras.supervision.supervisor import CameraSupervisor
from tremorscope.runtime.errors import CameraFault, FrozenCameraFault, OptionFault
from tremorscope.runtime.frames.buffers import CopyAccount
from tremorscope.runtime.frames.ring import LeasingRing

SHAPE = (96, 128, 3)


class Server:
    """The camera's other end."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process: subprocess.Popen[str] | None = None
        self.url = f"rtsp://127.0.0.1:{self.port}/stream"

    def start(self, codec: str = "mjpeg", *login: str) -> Server:
        script = Path(__file__).with_name("rtsp_server.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(self.port), codec, *login], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], 20)
        if not ready or self.process.stdout.readline() != "ready\n":
            self.kill()
            pytest.skip("needs gstreamer's RTSP server (gir1.2-gst-rtsp-server-1.0)")
        return self

    def kill(self) -> None:
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGCONT)
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def pause(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)


@pytest.fixture
def server(gstreamer: Any) -> Iterator[Server]:  # noqa: ARG001
    made = Server()
    yield made
    made.kill()


def settings(server: Server, **keys: Any) -> RtspCameraSettings:
    return RtspCameraSettings.model_validate({"url": server.url, "latency_ms": 20, "silence_s": 1} | keys)


def look(camera: GStreamerCamera, frames: int) -> list[np.ndarray]:
    shown = []
    for _ in range(frames):
        pixels = np.zeros((camera.height_px, camera.width_px, 3), np.uint8)
        assert camera.read_into(pixels) is not None
        shown.append(pixels)
    return shown


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_a_moving_picture_comes_through(server: Server, codec: str, transport: str) -> None:
    account = CopyAccount()
    camera = open_rtsp(settings(server.start(codec), transport=transport), account=account)
    report = camera.report()
    assert (report.width_px, report.height_px, report.rate_hz) == (128, 96, 25.0)
    assert report.decoder
    pixels = np.zeros(SHAPE, np.uint8)
    infos, shown = [], []
    for _ in range(20):
        info = camera.read_into(pixels)
        assert info is not None
        infos.append(info)
        shown.append(pixels.copy())
    still = np.array(shown)[:, 8:16, 8:16].reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(still, [0x20, 0x40, 0x60], atol=12)
    assert all(np.abs(a.astype(int) - b).max() > 60 for a, b in pairwise(shown))  # the ball
    assert [info.sequence for info in infos] == sorted({info.sequence for info in infos})
    steps_s = np.diff([info.timestamp_s for info in infos])
    numbers = np.diff([info.sequence for info in infos])
    assert (steps_s > 0).all()
    if transport == "tcp":  # then times are the camera's own
        np.testing.assert_allclose((steps_s / numbers)[10:], 0.04, atol=2e-5)
    assert account.total_bytes == 20 * pixels.nbytes
    assert infos[0].captured_s is None  # when it left the camera nobody here can know
    camera.close()


def test_a_picture_that_is_turned(server: Server) -> None:
    camera = open_rtsp(settings(server.start(), flip="rotate-90"))
    assert (camera.width_px, camera.height_px) == (96, 128)
    camera.close()


def test_a_password_is_used_and_never_told(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.start("mjpeg", "watcher", "s3cret-word")
    (tmp_path / "bridge-camera").write_text("s3cret-word\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    login = {"user": "watcher", "credential": "bridge-camera"}
    camera = open_rtsp(settings(server, **login))
    look(camera, 2)
    assert "s3cret-word" not in repr(camera.report()) + repr(plan(settings(server, **login), jetson=False))
    camera.close()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/nowhere")
    monkeypatch.setenv("bridge-camera", "another-word")
    with pytest.raises(CameraFault, match="wants another user or password") as told:
        open_rtsp(settings(server, **login))
    assert "another-word" not in str(told.value)
    assert "`credential`" in told.value.remedy
    monkeypatch.delenv("bridge-camera")
    with pytest.raises(OptionFault, match="credential bridge-camera: there is no such password"):
        open_rtsp(settings(server, **login))


def test_a_camera_that_is_not_there_is_told_soon(server: Server) -> None:
    begun_s = time.monotonic()
    with pytest.raises(GStreamerFault, match=f"camera {server.url} cannot be opened") as told:
        open_rtsp(settings(server))
    assert time.monotonic() - begun_s < 15
    assert told.value.cause == "absent"
    assert "check the address" in told.value.remedy
    server.start()
    with pytest.raises(CameraFault, match=r"cannot be opened .*[Nn]ot [Ff]ound"):
        open_rtsp(settings(server, url=f"rtsp://127.0.0.1:{server.port}/other"))


def test_a_stream_without_a_picture_is_told(server: Server) -> None:
    with pytest.raises(CameraFault, match="camera rtsp"):
        open_rtsp(settings(server.start("audio")), first_frame_timeout_s=4)


def test_a_camera_that_falls_silent_is_frozen_after_the_stated_time(server: Server) -> None:
    camera = open_rtsp(settings(server.start()))
    look(camera, 3)
    server.pause()
    begun_s = time.monotonic()
    with pytest.raises((FrozenCameraFault, CameraFault)):
        look(camera, 100)
    assert 0.5 < time.monotonic() - begun_s < 10
    camera.close()


def test_a_camera_that_is_killed_and_returns_is_found_again(server: Server) -> None:
    wanted = settings(server.start())
    assert supervisor_settings(wanted) == SupervisorSettings(frozen_least_s=2, open_timeout_s=25)
    events: list[Any] = []
    ring = LeasingRing(6, width_px=128, height_px=96)
    supervisor = CameraSupervisor(
        lambda: open_camera(wanted), ring, settings=supervisor_settings(wanted), on_event=events.append
    )
    supervisor.start()
    first = take(supervisor, 40)
    server.kill()
    wait_for(lambda: bool(events), 30)
    while (left := supervisor.take(0)) is not None:
        left.release()
    time.sleep(1.0)
    begun_s = time.monotonic()
    server.start()
    back = take(supervisor, 40)
    assert back.segment > first.segment
    assert back.sequence > first.sequence
    assert back.timestamp_s > first.timestamp_s
    assert time.monotonic() - begun_s < 20
    wait_for(lambda: len(events) == 2, 30)
    assert [(event.kind, event.begins) for event in events] == [("lost", True), ("lost", False)]
    state = supervisor.close()
    assert (state.abandoned_threads, state.openings) == (0, 2)
    ring.close()


def take(supervisor: CameraSupervisor, limit_s: float) -> Any:
    """The newest of the frames that have come by now."""
    lease = None
    until_s = time.monotonic() + limit_s
    while lease is None:
        assert time.monotonic() < until_s
        lease = supervisor.take(0.5)
    info = lease.info
    lease.release()
    return info


def wait_for(condition: Callable[[], bool], limit_s: float) -> None:
    until_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.01)
