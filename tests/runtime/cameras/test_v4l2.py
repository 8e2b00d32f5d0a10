"""USB cameras: what they offer, what they send, how their exposure is held, and what is told when they fail."""

from __future__ import annotations

import errno
import struct
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from standins import number_in, picture

from tremorscope.runtime.cameras.gstreamer.exposure import ExposureSettings
from tremorscope.runtime.cameras.settings import V4l2Settings
from tremorscope.runtime.cameras.v4l2 import (
    AUTO_EXPOSURE,
    AUTO_GAIN,
    AUTO_WHITE_BALANCE,
    EXPOSURE_100_US,
    EXPOSURE_MAY_SLOW_RATE,
    GAIN,
    GET_CONTROL,
    WHITE_BALANCE_K,
    V4l2Controls,
    open_v4l2,
)
from tremorscope.runtime.errors import CameraFault
from tremorscope.runtime.frames.buffers import CopyAccount

open_v4l2_patiently = partial(open_v4l2, silence_s=20)  # a busy machine may keep a thread waiting


class NoControls:
    """A camera whose exposure nobody can set."""

    def __init__(self, _settings: V4l2Settings) -> None:
        self.calls: list[str] = []

    def lock(self) -> None:
        self.calls.append("lock")

    def free(self) -> None:
        self.calls.append("free")


def settings(**keys: Any) -> V4l2Settings:
    return V4l2Settings.model_validate({"width_px": 64, "height_px": 48, "exposure": {"settle_s": 0}} | keys)


def open_it(**keys: Any) -> Any:
    return open_v4l2_patiently(settings(**keys), account=keys.pop("account", None), controls=NoControls)


def test_raw_frames_come_through_exactly_and_numbers_are_the_drivers(scene: Any) -> None:
    scene.period_s = 0.004
    scene.act = lambda number: "skip" if number % 10 == 3 else None
    account = CopyAccount()
    camera = open_v4l2_patiently(settings(), account=account, controls=NoControls)
    assert (camera.report().format, camera.nominal_rate_hz, camera.report().decoder) == ("RGB", 30.0, "")
    pixels = np.zeros((48, 64, 3), np.uint8)
    numbers = []
    for _ in range(60):
        info = camera.read_into(pixels)
        assert info is not None
        numbers.append(info.sequence)
        np.testing.assert_array_equal(pixels, picture(info.sequence, 64, 48))
        assert info.timestamp_s == pytest.approx(info.sequence / 30, abs=1e-6)
    # What the driver lost is missing from its numbers, and so from ours.
    missing = set(range(numbers[0], numbers[-1])) - set(numbers)
    assert {number for number in missing if number % 10 == 3} == {
        number for number in range(numbers[0], numbers[-1]) if number % 10 == 3
    }
    assert account.total_bytes == 60 * pixels.nbytes
    camera.close()


def test_a_driver_that_does_not_number_its_frames_has_them_counted_on_arrival(scene: Any) -> None:
    scene.period_s = 0.004
    scene.unnumbered = True
    camera = open_it()
    pixels = np.zeros((48, 64, 3), np.uint8)
    infos = [camera.read_into(pixels) for _ in range(20)]
    numbers = [info.sequence for info in infos]
    assert numbers[-1] - 19 <= camera.pushed_out  # more may have been since
    assert sorted(set(numbers)) == numbers
    camera.close()


@pytest.mark.parametrize(
    ("wanted", "kind"),
    [
        ({"format": "auto"}, "raw"),
        ({"format": "mjpeg"}, "mjpeg"),
        ({"format": "auto", "width_px": 128, "height_px": 96}, "mjpeg"),
    ],
)
def test_a_compressed_stream_is_taken_where_there_is_no_raw_one(
    scene: Any, wanted: dict[str, Any], kind: str
) -> None:
    scene.period_s = 0.004
    camera = open_it(**wanted)
    report = camera.report()
    assert report.decoder == ("" if kind == "raw" else "jpegdec")
    pixels = np.zeros((report.height_px, report.width_px, 3), np.uint8)
    for _ in range(5):
        info = camera.read_into(pixels)
        truth = picture(info.sequence, report.width_px, report.height_px)
        smooth = np.s_[8:40, 8:20]  # beside the number and where the slopes wrap round
        difference = np.abs(pixels.astype(int) - truth)[smooth]
        assert difference.mean() < (0.01 if kind == "raw" else 6)
    camera.close()


@pytest.mark.parametrize("flip", ["rotate-90", "rotate-180", "rotate-270", "mirror", "upside-down"])
def test_a_camera_may_hang_in_any_way(scene: Any, flip: str) -> None:
    scene.period_s = 0.004
    flips = {
        "rotate-90": lambda p: np.rot90(p, -1),
        "rotate-180": lambda p: np.rot90(p, 2),
        "rotate-270": np.rot90,
        "mirror": lambda p: p[:, ::-1],
        "upside-down": lambda p: p[::-1],
    }
    camera = open_it(flip=flip)
    pixels = np.zeros((camera.height_px, camera.width_px, 3), np.uint8)
    number = camera.read_into(pixels).sequence
    expected = flips[flip](picture(number, 64, 48))
    np.testing.assert_array_equal(pixels, expected)
    camera.close()


def test_what_it_does_not_offer_is_told_with_what_it_does(scene: Any) -> None:  # noqa: ARG001
    with pytest.raises(CameraFault, match="does not offer what is asked of it") as told:
        open_it(width_px=1920, height_px=1080)
    offered = "64x48 RGB at 10, 30 Hz; 64x48 jpeg at 10, 30 Hz; 80x60 RGB at 30 Hz; 128x96 jpeg at 30 Hz"
    assert told.value.remedy.endswith(f"it offers {offered}")


@pytest.mark.parametrize(
    ("fails", "message", "remedy"),
    [
        ((4, "Device '/dev/video0' is busy"), "camera /dev/video0 is used by another program", "fuser"),
        ((7, "Could not open device", "v4l2_calls.c(1): open:\nsystem error: Permission denied"),
         "camera /dev/video0 may not be used by this user .Could not open device Permission denied", "group video"),
        ((3, "Cannot identify device '/dev/video0'."), "camera /dev/video0 cannot be opened", "plug it in"),
    ],
)  # fmt: skip
def test_why_it_cannot_be_opened_is_told(
    scene: Any, fails: tuple[Any, ...], message: str, remedy: str
) -> None:
    def refuse(element: Any) -> bool:
        element.fail("gst-resource-error-quark", *fails)
        return False

    scene.start = refuse
    with pytest.raises(CameraFault, match=message) as told:
        open_it()
    assert remedy in told.value.remedy


def test_a_camera_that_is_pulled_out_fails_at_once(scene: Any) -> None:
    scene.period_s = 0.004
    gone = ("error", "gst-resource-error-quark", 9, "Could not read from resource.",
            "poll error\nsystem error: No such device")  # fmt: skip
    scene.act = lambda number: gone if number == 10 else None
    camera = open_it()
    pixels = np.zeros((48, 64, 3), np.uint8)
    numbers = [camera.read_into(pixels).sequence]
    while numbers[-1] < 9:
        numbers.append(camera.read_into(pixels).sequence)
    with pytest.raises(
        CameraFault, match=r"cannot be opened \(Could not read from resource\. No such device"
    ):
        camera.read_into(pixels)
    assert number_in(pixels) == 9
    camera.close()


def test_the_real_element_tells_of_a_device_that_is_not_there(gstreamer: Any) -> None:
    if gstreamer.ElementFactory.find("v4l2src") is None:
        pytest.skip("needs gstreamer's v4l2src")
    with pytest.raises(CameraFault, match=r"camera /dev/video97 cannot be opened .*video97") as told:
        open_v4l2_patiently(settings(device="/dev/video97"), controls=NoControls)
    assert "plug it in" in told.value.remedy


class FakeDevice:
    """A camera's controls, as a driver keeps them, behind VIDIOC_G_CTRL and VIDIOC_S_CTRL."""

    def __init__(self, **missing: bool) -> None:
        self.values = {
            AUTO_EXPOSURE: 3,
            EXPOSURE_100_US: 157,
            EXPOSURE_MAY_SLOW_RATE: 1,
            AUTO_WHITE_BALANCE: 1,
            WHITE_BALANCE_K: 4600,
            AUTO_GAIN: 1,
            GAIN: 20,
        }
        if missing.get("gain"):
            del self.values[GAIN], self.values[AUTO_GAIN]
        self.defaults = missing.get("forgets", False)

    def ioctl(self, _fd: int, request: int, data: bytearray) -> None:
        control, value = struct.unpack("=Ii", data)
        if control not in self.values:
            raise OSError(errno.EINVAL, "Invalid argument")
        if request == GET_CONTROL:
            data[:] = struct.pack("=Ii", control, self.values[control])
            return
        if control == EXPOSURE_100_US and self.values[AUTO_EXPOSURE] != 1:
            raise OSError(errno.EIO, "Input/output error")
        self.values[control] = value
        if control == AUTO_EXPOSURE and value == 1 and self.defaults:
            self.values[EXPOSURE_100_US] = 250


@pytest.mark.parametrize("forgets", [False, True])
def test_the_lock_holds_what_automatic_exposure_had_found(tmp_path: Path, forgets: bool) -> None:
    device = FakeDevice(forgets=forgets)
    (tmp_path / "video0").touch()
    controls = V4l2Controls(tmp_path / "video0", ExposureSettings(), ioctl=device.ioctl)
    assert device.values[EXPOSURE_MAY_SLOW_RATE] == 0  # or a dark scene would halve the rate
    controls.lock()
    assert (device.values[AUTO_EXPOSURE], device.values[EXPOSURE_100_US]) == (1, 157)
    assert (device.values[AUTO_WHITE_BALANCE], device.values[WHITE_BALANCE_K]) == (0, 4600)
    assert (device.values[AUTO_GAIN], device.values[GAIN]) == (0, 20)
    assert controls.missing == []
    controls.free()
    assert (device.values[AUTO_EXPOSURE], device.values[AUTO_WHITE_BALANCE]) == (3, 1)


def test_what_is_fixed_stays_fixed_and_what_cannot_be_is_listed(tmp_path: Path) -> None:
    device = FakeDevice(gain=True)
    (tmp_path / "video0").touch()
    fixed = ExposureSettings(exposure_us=2000, gain=10)
    controls = V4l2Controls(tmp_path / "video0", fixed, ioctl=device.ioctl)
    for change in (controls.lock, controls.free):
        change()
        assert (device.values[AUTO_EXPOSURE], device.values[EXPOSURE_100_US]) == (1, 20)
    assert controls.missing == ["gain"]


def test_controls_of_a_device_that_is_gone_are_a_fault(tmp_path: Path) -> None:
    with pytest.raises(CameraFault, match="no such file") as told:
        V4l2Controls(tmp_path / "video0", ExposureSettings())
    assert "plug it in" in told.value.remedy
    (tmp_path / "video0").touch()

    def unplugged(_fd: int, _request: int, _data: bytearray) -> None:
        raise OSError(errno.ENODEV, "No such device")

    with pytest.raises(CameraFault, match=r"its controls cannot be set \(no such device"):
        V4l2Controls(tmp_path / "video0", ExposureSettings(), ioctl=unplugged)


def test_the_numbers_of_the_kernel_are_these() -> None:
    header = Path("/usr/include/linux/videodev2.h")
    # _IOWR('V', 27, struct v4l2_control) and 28: direction 3, 8 bytes, type, number.
    assert (3 << 30 | 8 << 16 | ord("V") << 8 | 27) == GET_CONTROL
    if header.exists():
        text = header.read_text()
        assert "_IOWR('V', 27, struct v4l2_control)" in text
