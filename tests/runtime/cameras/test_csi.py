"""CSI cameras: our whole pipeline, run by real GStreamer, with stand-ins for the two elements of a Jetson."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

import numpy as np
import pytest
from failing import wait_until
from standins import number_in, picture, turn

from tremorscope.runtime.cameras.csi import FIRST_FRAME_TIMEOUT_S, open_csi, plan
from tremorscope.runtime.cameras.gstreamer.camera import START_TIMEOUT_S, STOP_TIMEOUT_S
from tremorscope.runtime.cameras.gstreamer.load import hanging_calls
from tremorscope.runtime.cameras.gstreamer.pipeline import GStreamerPipeline
from tremorscope.runtime.cameras.opening import supervisor_settings
from tremorscope.runtime.cameras.settings import CsiSettings
from tremorscope.runtime.errors import CameraFault, FrozenCameraFault
from tremorscope.runtime.frames.buffers import CopyAccount

open_csi_patiently = partial(open_csi, silence_s=20)  # a busy machine may keep a thread waiting
SIZE = {"width_px": 64, "height_px": 48, "exposure": {"settle_s": 0}}


def settings(**keys: Any) -> CsiSettings:
    return CsiSettings.model_validate(SIZE | keys)


def test_every_pixel_comes_through_and_one_copy_is_told(scene: Any) -> None:
    scene.period_s = 0.005
    scene.sensor_time = lambda number: 7_000_000_000 + number * 33_333_333
    account = CopyAccount()
    camera = open_csi_patiently(settings(memory="copy"), account=account)
    pixels = np.zeros((48, 64, 3), np.uint8)
    for _ in range(50):
        info = camera.read_into(pixels)
        assert info is not None
        np.testing.assert_array_equal(pixels, picture(info.sequence, 64, 48))
        assert info.timestamp_s == pytest.approx(7 + info.sequence / 30, abs=1e-6)
    assert account.by_place() == {"camera: picture into the ring": 50 * pixels.nbytes}
    camera.close()


def read_numbers(camera: Any, frames: int, shape: tuple[int, int] = (48, 64)) -> list[int]:
    pixels = np.zeros((*shape, 3), np.uint8)
    numbers = []
    for _ in range(frames):
        info = camera.read_into(pixels)
        assert info.sequence == number_in(pixels)
        numbers.append(info.sequence)
    return numbers


def read_to(camera: Any, number: int) -> None:
    """Read until a frame comes that none can push out, because none follows it."""
    while read_numbers(camera, 1)[0] < number:
        pass


def test_the_pipelines_are_these() -> None:
    copying, staying = plan(settings(flip="rotate-180"), "copy"), plan(settings(flip="rotate-90"), "nvmm")
    sink = "sync=false qos=false enable-last-sample=false max-buffers=1 wait-on-eos=false"
    source = (
        "nvarguscamerasrc name=source sensor-id=0 sensor-mode=-1 tnr-mode=0 ee-mode=0 ! "
        "video/x-raw(memory:NVMM),format=NV12,width=64,height=48,framerate=30/1"
    )
    assert copying.text == (
        f"{source} ! nvvidconv flip-method=2 compute-hw=VIC ! video/x-raw,format=RGBA,width=64,height=48 ! "
        f"appsink name=sink caps=video/x-raw {sink}"
    )
    assert staying.text == (
        f"{source} ! nvvidconv flip-method=3 compute-hw=VIC output-buffers=12 ! "
        "video/x-raw(memory:NVMM),format=RGBA,width=48,height=64 ! "
        f'appsink name=sink caps="video/x-raw(memory:NVMM)" {sink}'
    )


def test_what_is_set_reaches_argus(scene: Any) -> None:
    camera = open_csi_patiently(
        settings(
            sensor_id=1, sensor_mode=5, rate_hz=60, exposure={"exposure_us": 2000, "gain": 4, "settle_s": 0}
        )
    )
    report = camera.report()
    assert (report.rate_hz, report.width_px, report.height_px) == (60.0, 64, 48)
    assert (report.camera, report.memory, report.format) == ("CSI camera 1", "copy", "RGBA")
    assert report.why == "the engine does not run on a GPU"
    read_numbers(camera, 2)
    camera.close()
    wanted = {
        "sensor-id": 1,
        "sensor-mode": 5,
        "tnr-mode": 0,
        "ee-mode": 0,
        "exposuretimerange": "2000000 2000000",
        "gainrange": "4 4",
        "ispdigitalgainrange": "1 1",
        "compute-hw": "VIC",
    }
    assert {name: scene.seen[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("flip", "method"),
    [("none", 0), ("rotate-270", 1), ("rotate-180", 2), ("rotate-90", 3), ("mirror", 4), ("upside-down", 6)],
)
def test_a_camera_may_hang_in_any_way(scene: Any, flip: str, method: int) -> None:
    scene.period_s = 0.005
    camera = open_csi_patiently(settings(flip=flip))
    truth = turn(picture(0, 64, 48), method)
    assert (camera.height_px, camera.width_px) == truth.shape[:2]
    pixels = np.zeros(truth.shape, np.uint8)
    info = camera.read_into(pixels)
    assert info is not None
    np.testing.assert_array_equal(pixels, turn(picture(info.sequence, 64, 48), method))
    camera.close()


def test_exposure_is_locked_once_it_has_settled_and_frames_before_are_not_given_out(scene: Any) -> None:
    scene.period_s = 0.02
    camera = open_csi_patiently(settings(exposure={"settle_s": 0.5}))
    numbers = read_numbers(camera, 3)
    assert numbers[0] >= 20  # half a second of frames
    assert scene.log[-2:] == [("aelock", True), ("awblock", True)]
    camera.close()


def test_exposure_may_be_left_to_the_camera(scene: Any) -> None:
    scene.period_s = 0.01
    camera = open_csi_patiently(settings(exposure={"lock": False, "settle_s": 60}))
    assert read_numbers(camera, 5)[0] < 2000
    assert "aelock" not in scene.seen
    camera.close()


def test_the_times_are_the_sensors_and_say_when_it_was_on_the_hosts_clock(scene: Any) -> None:
    scene.period_s = 1 / 60
    scene.sensor_time = lambda number: 5_000_000_000 + round(number * 1e9 / 59.94)
    camera = open_csi_patiently(settings(rate_hz=60))
    pixels = np.zeros((48, 64, 3), np.uint8)
    infos = [camera.read_into(pixels) for _ in range(30)]
    numbers = np.array([info.sequence for info in infos if info])
    times_s = [info.timestamp_s for info in infos if info]
    np.testing.assert_allclose(times_s, 5 + numbers / 59.94, atol=1e-8)
    captured_s = [info.captured_s for info in infos if info]
    assert all(at_s is not None and abs(at_s - time.monotonic()) < 20 for at_s in captured_s)
    np.testing.assert_allclose(np.diff(captured_s), np.diff(numbers) / 60, atol=1e-6)
    camera.close()


def test_argus_that_freezes_is_told_before_the_supervisor_gives_its_thread_up(scene: Any) -> None:
    scene.period_s = 0.01
    thaw = threading.Event()
    scene.act = lambda number: thaw.wait(20) and None if number == 5 else None
    camera = open_csi_patiently(settings())
    read_to(camera, 4)
    camera._silence_s = 0.1  # 13 periods of 30 Hz are more
    begun_s = time.monotonic()
    with pytest.raises(FrozenCameraFault, match=r"no frame within 0\.433 s"):
        camera.read_into(np.zeros((48, 64, 3), np.uint8))
    assert time.monotonic() - begun_s < 4
    thaw.set()
    camera.close()


def test_argus_has_eight_seconds_for_its_first_frame(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.period_s = 0.01
    given: list[float] = []
    take = GStreamerPipeline.take
    monkeypatch.setattr(
        GStreamerPipeline, "take", lambda self, limit_s: given.append(limit_s) or take(self, limit_s)
    )
    open_csi_patiently(settings()).close()
    assert given == [FIRST_FRAME_TIMEOUT_S] == [8.0]
    patience_s = supervisor_settings(settings()).open_timeout_s
    assert patience_s >= START_TIMEOUT_S + FIRST_FRAME_TIMEOUT_S + STOP_TIMEOUT_S


def test_argus_that_does_not_answer_holds_nobody_up(scene: Any) -> None:
    release = threading.Event()
    scene.start = lambda element: release.wait(30)  # noqa: ARG005
    begun_s = time.monotonic()
    pipeline = GStreamerPipeline(plan(settings(), "copy"))
    with pytest.raises(CameraFault, match=r"no answer within 0\.5 s"):
        pipeline.start(0.5)
    assert not pipeline.stop(0.2)
    assert time.monotonic() - begun_s < 3
    assert hanging_calls() == 2
    release.set()  # what hung returns, and what was to follow it follows
    wait_until(lambda: hanging_calls() == 0)


def test_closing_has_a_bound_even_if_argus_hangs(scene: Any) -> None:
    release = threading.Event()
    scene.period_s = 0.01
    scene.stop = lambda: release.wait(30)
    pipeline = GStreamerPipeline(plan(settings(), "copy"))
    pipeline.start(5)
    assert pipeline.take(5) is not None
    begun_s = time.monotonic()
    assert not pipeline.stop(0.3)
    assert not pipeline.stop(0.3)
    assert time.monotonic() - begun_s < 2
    release.set()
    wait_until(lambda: hanging_calls() == 0)


def test_a_machine_without_a_jetsons_elements_is_told_so(gstreamer: Any) -> None:
    if gstreamer.ElementFactory.find("nvarguscamerasrc"):
        pytest.skip("this is a Jetson")
    with pytest.raises(CameraFault, match="no elements nvarguscamerasrc, nvvidconv") as told:
        open_csi_patiently(settings())
    assert "sudo apt install nvidia-l4t-camera nvidia-l4t-gstreamer, and where they are" in told.value.remedy
    assert "rm -f ~/.cache/gstreamer-1.0/registry" in told.value.remedy
