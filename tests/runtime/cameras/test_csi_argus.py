"""What Argus does otherwise than it is asked, and what it only prints: all of it is told, with its remedy."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import numpy as np
import pytest
from standin_argus import IMX219, SMALL, Mode, best_match
from test_csi import read_numbers, read_to, settings

from tremorscope.runtime.cameras.csi import fastest_hz, open_csi, plan
from tremorscope.runtime.cameras.gstreamer.argus_messages import (
    Sensor,
    SensorMode,
    argus_messages,
    find_cause,
    read_sensor,
)
from tremorscope.runtime.cameras.gstreamer.pipeline import GStreamerPipeline
from tremorscope.runtime.cameras.settings import CsiSettings
from tremorscope.runtime.errors import CameraFault

open_csi_patiently = partial(open_csi, silence_s=20)


def refused(**keys: Any) -> CameraFault:
    with pytest.raises(CameraFault) as told:
        open_csi_patiently(settings(**keys))
    assert str(told.value).startswith("CSI camera ")
    assert "\n" not in str(told.value)
    return told.value


def test_a_camera_that_is_missing_is_no_cable_that_came_loose(scene: Any) -> None:
    scene.daemon.sensors = ()
    fault = refused()
    assert fault.what == 'CSI camera 0 cannot be opened (its driver says "No cameras available")'
    assert "ribbon cable on both ends" in fault.remedy
    assert not fault.misconfigured


def test_a_number_that_no_camera_has_is_a_mistake_in_the_configuration(scene: Any) -> None:  # noqa: ARG001
    fault = refused(sensor_id=4)
    assert fault.what == (
        'CSI camera 4 is not there (its driver says "Invalid camera device specified 4 specified, 1 max index")'
    )
    assert "write the sensor_id of one that is there" in fault.remedy
    assert fault.misconfigured


def test_a_mode_that_the_sensor_has_not_is_a_mistake_in_the_configuration(scene: Any) -> None:  # noqa: ARG001
    fault = refused(sensor_mode=9)
    assert fault.what == (
        'CSI camera 0 has no such mode (its driver says "Invalid sensor mode 9 selected 7 present")'
    )
    assert fault.misconfigured


def test_a_daemon_that_was_not_there_when_the_plugin_was_loaded_is_named(scene: Any) -> None:
    scene.daemon.running = False
    refused()
    scene.daemon.restart()  # too late: the plugin asks once a process
    fault = refused()
    assert fault.what == 'CSI camera 0 cannot be reached (its driver says "Failed to create CameraProvider")'
    assert fault.remedy.startswith("sudo systemctl restart nvargus-daemon, then start this program anew")
    assert not fault.misconfigured


def test_a_process_is_blind_once_the_daemon_was_restarted(scene: Any) -> None:
    scene.period_s, scene.event_wait_s = 0.005, 0.1
    camera = open_csi_patiently(settings())
    read_numbers(camera, 3)
    scene.daemon.restart()
    with pytest.raises(CameraFault, match="CSI camera 0 gives no more frames"):
        read_numbers(camera, 1000)
    camera.close()
    for _ in range(3):
        assert "Receive thread is not running cannot send" in refused().what
    assert "cannot be reached" in refused().what


def test_a_camera_that_another_uses_is_told_so(scene: Any) -> None:
    scene.daemon.busy = True
    fault = refused()
    assert (
        fault.what
        == 'CSI camera 0 is used by another program (its driver says "Failed to create CaptureSession")'
    )
    assert "stop the program that uses it" in fault.remedy


def test_a_rate_that_the_sensor_has_not_is_refused_with_the_nearest_that_it_has(scene: Any) -> None:  # noqa: ARG001
    fault = refused(rate_hz=240)
    assert fault.what.startswith("CSI camera 0 is not so fast (")
    assert 'its driver says "Frame Rate specified is greater than supported"' in fault.what
    assert "120 Hz at most at this size; its modes are 3264x2464 at up to 21 Hz" in fault.remedy
    assert fault.misconfigured


def test_a_rate_that_is_not_whole_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(ValueError, match=r"Argus runs whole rates alone: write 30"):
        settings(rate_hz=29.97)
    with pytest.raises(ValueError, match=r"write 1"):
        settings(rate_hz=0.3)


def test_why_it_is_refused(scene: Any) -> None:
    """The plugin would run 29 frames a second, and its caps would say 29.97."""
    scene.period_s = 0.002
    unchecked = CsiSettings.model_construct(**{**settings().__dict__, "rate_hz": 29.97})
    pipeline = GStreamerPipeline(plan(unchecked, "copy"))
    pipeline.start(5)
    first, second = pipeline.take(5), pipeline.take(5)
    assert first is not None
    assert second is not None
    stated = first.sample.get_caps().get_structure(0).get_fraction("framerate")
    assert stated[1:] == (30000, 1001)
    period_s = (second.pipeline_s - first.pipeline_s) / (second.number - first.number)
    assert 1 / period_s == pytest.approx(29, abs=1e-3)
    pipeline.stop(5)


@pytest.mark.parametrize(
    ("wanted", "mode"),
    [
        ((1920, 1080, 30), 2),
        ((1280, 720, 60), 4),
        ((1280, 720, 30), 4),
        ((640, 360, 30), 4),
        ((1920, 1080, 60), 0),  # no mode will do: 0, silently
        ((4000, 3000, 10), 0),
    ],
)
def test_the_stand_in_takes_the_modes_that_the_plugin_takes(wanted: tuple[int, int, int], mode: int) -> None:
    assert best_match(IMX219, *wanted[:2], 1e9 / wanted[2]) == mode


def test_a_size_that_the_sensor_has_not_is_scaled_and_that_is_told(scene: Any) -> None:
    scene.period_s = 0.01
    camera = open_csi_patiently(settings(width_px=96, rate_hz=50))
    report = camera.report()
    camera.close()
    assert report.mode == "4: 1280x720 at up to 60 Hz"
    assert report.remarks[0].startswith(
        "the sensor has no mode of 96x48 px at 50 Hz: its pictures of 1280x720 px are scaled"
    )
    assert report.remarks[0].endswith(
        "it has 3264x2464, 3264x1848, 1920x1080, 1640x1232, 1280x720, 64x48, 80x60"
    )


def test_a_size_above_every_mode_takes_mode_0_and_that_is_told(scene: Any) -> None:
    scene.period_s, scene.daemon.sensors = 0.01, ((Mode(32, 32, 60.0), Mode(32, 24, 60.0)),)
    camera = open_csi_patiently(settings())
    assert camera.report().mode == "0: 32x32 at up to 60 Hz"
    assert "its pictures of 32x32 px are scaled" in camera.report().remarks[0]
    camera.close()


@pytest.mark.parametrize(
    ("exposure", "told"),
    [
        ({"exposure_us": 20}, ["Exposure Time"]),
        ({"exposure_us": 400_000, "gain": 16.5}, ["Exposure Time", "Gain"]),
        ({"exposure_us": 34, "gain": 16}, []),
    ],
)
def test_exposure_and_gain_that_the_plugin_passes_over_are_told(
    scene: Any, exposure: dict[str, float], told: list[str]
) -> None:
    scene.period_s = 0.01
    camera = open_csi_patiently(settings(exposure={"settle_s": 0, **exposure}))
    remarks = camera.report().remarks
    camera.close()
    assert [remark.partition(" of the configuration is not taken")[0] for remark in remarks] == [
        f"the {what}" for what in told
    ]


def test_whose_numbers_and_times_the_frames_have_is_told(scene: Any) -> None:
    scene.period_s = 0.01
    camera = open_csi_patiently(settings())
    assert camera.report().mode == "5: 64x48 at up to 120 Hz"
    assert camera.report().times == "arrival"
    assert camera.report().remarks == ()
    info = camera.read_into(np.zeros((48, 64, 3), np.uint8))
    assert info is not None
    assert info.captured_s is None  # nobody here can know
    camera.close()
    scene.sensor_time = lambda number: number * 33_333_333
    camera = open_csi_patiently(settings())
    assert (camera.report().times, camera.report().remarks) == ("sensor", ())
    camera.close()


def test_a_stream_that_ends_for_no_reason_is_a_lost_camera(scene: Any) -> None:
    scene.period_s, scene.frames = 0.01, 5
    camera = open_csi_patiently(settings())
    read_to(camera, 4)
    with pytest.raises(CameraFault, match="CSI camera 0 gives no more frames") as told:
        camera.read_into(np.zeros((48, 64, 3), np.uint8))
    assert "check the ribbon cable, then sudo systemctl restart nvargus-daemon" in told.value.remedy
    assert not told.value.misconfigured
    camera.close()


def test_what_is_printed_still_reaches_its_place(scene: Any, capfd: pytest.CaptureFixture[str]) -> None:
    scene.period_s = 0.01
    os.write(1, b"before\n")
    open_csi_patiently(settings()).close()
    os.write(1, b"half a line")
    argus_messages().stop()
    os.write(1, b", and after\n")
    out = capfd.readouterr().out
    assert out.startswith("before\nGST_ARGUS: Creating output stream\n")
    assert "   Camera mode  = 5 \n" in out
    assert out.endswith("half a line, and after\n")


def test_stderr_is_given_back_as_soon_as_the_camera_is_open(scene: Any) -> None:
    scene.period_s = 0.01
    before = os.fstat(2).st_ino
    camera = open_csi_patiently(settings())
    assert os.fstat(2).st_ino == before
    camera.close()
    scene.daemon.busy = True
    refused()
    assert os.fstat(2).st_ino == before


FIELD = (
    "nvbuf_utils: Could not get EGL display connection",
    "(Argus) Error FileOperationFailed: Connecting to nvargus-daemon failed: No such file or directory "
    "(in src/rpc/socket/client/SocketClientDispatch.cpp, function openSocketConnection(), line 204)",
    "(Argus) Error FileOperationFailed: Cannot create camera provider (in src/rpc/socket/client/"
    "SocketClientDispatch.cpp, function createCameraProvider(), line 106)",
)
"""As reported by users of JetPack 6."""


def test_the_words_of_the_field_are_understood() -> None:
    heard = find_cause(FIELD)
    assert heard.cause == "no daemon"
    assert heard.quote == (
        "(Argus) Error FileOperationFailed: Connecting to nvargus-daemon failed: No such file or directory"
    )
    file = "/dvs/git/dirty/git-master_linux/multimedia/nvgstreamer/gst-nvarguscamera/gstnvarguscamerasrc.cpp"
    assert find_cause([f"Error generated. {file}, execute:656 Failed to create CaptureSession"]).quote == (
        "Failed to create CaptureSession"
    )
    assert find_cause(["a line of somebody else's", "GST_ARGUS: Cleaning up"]).quote == "Cleaning up"
    assert (
        find_cause(["GST_ARGUS: Invalid min gain value, using default minimum gain: 1.0 instead."]).cause
        is None
    )
    assert find_cause([]) == find_cause(["nothing of Argus"])


def test_modes_are_read_whatever_the_comma() -> None:
    lines = [
        "GST_ARGUS: 1920 x 1080 FR = 29,999999 fps Duration = 33333334 ; Analog Gain range min 1,000000",
        "GST_ARGUS: 1280 x 720 FR = 59.999999 fps Duration = 16666667 ; Analog Gain range min 1.000000",
        "   Camera mode  = 1 ",
    ]
    sensor = read_sensor(lines)
    assert sensor.mode == SensorMode(1280, 720, 59.999999)
    assert fastest_hz(sensor, settings(width_px=1280, height_px=720)) == 60
    assert fastest_hz(sensor, settings(width_px=1920, height_px=1080)) == 30
    assert fastest_hz(sensor, settings(width_px=1920, height_px=1080, sensor_mode=1)) is None
    assert fastest_hz(Sensor(), settings()) is None
    assert len(SMALL) == len(IMX219) + 2
