"""A grey camera of more than 8 bits, over a stand-in of the driver: a file whose pages it writes frames into."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

import numpy as np
import pytest

from tremorscope.runtime.cameras.deep_v4l2 import (
    BUFFER,
    CAPTURE,
    DAMAGED,
    DEQUEUE,
    MONOTONIC,
    QUERY_BUFFER,
    QUEUE,
    REQUEST_BUFFERS,
    SET_FORMAT,
    SET_RATE,
    DeepV4l2Camera,
    grey_table,
)
from tremorscope.runtime.cameras.opening import measured_bits
from tremorscope.runtime.cameras.settings import V4l2Settings, camera_settings
from tremorscope.runtime.errors import CameraFault, CorruptFrameFault
from tremorscope.runtime.vibration.displacement.windows import luma

WIDTH, HEIGHT, STRIDE, PAGE = 64, 48, 256, 16384


class Driver:
    """Copies what drivers do: rows padded to 256 bytes, the nearest size, buffers in turn, no rate of their own."""

    def __init__(self, path: Path, bits: int) -> None:
        path.write_bytes(bytes(4 * PAGE))
        self.path, self.bits, self.flags = path, bits, MONOTONIC
        self.queued: list[int] = []
        self.frames = 0
        self.offers = (WIDTH, HEIGHT)

    def ioctl(self, _: int, request: int, data: bytearray) -> None:
        if request == SET_FORMAT:
            struct.pack_into("=II", data, 8, *self.offers)
            struct.pack_into("=I", data, 24, STRIDE)
        elif request == REQUEST_BUFFERS:
            struct.pack_into("=I", data, 0, 4)
        elif request == QUERY_BUFFER:
            (index,) = struct.unpack_from("=I", data)
            data[:] = BUFFER.pack(index, CAPTURE, *[0] * 6, 1, index * PAGE, PAGE)
        elif request == QUEUE:
            self.queued.append(struct.unpack_from("=I", data)[0])
        elif request == DEQUEUE:
            index = self.queued.pop(0)
            padded = np.zeros((HEIGHT, STRIDE // 2), "<u2")
            padded[:, :WIDTH] = self.picture(self.frames)
            with self.path.open("r+b") as file:
                file.seek(index * PAGE)
                file.write(padded.tobytes())
            data[:] = BUFFER.pack(
                index,
                CAPTURE,
                padded.nbytes,
                self.flags,
                1,
                10,
                40_000 * self.frames,
                self.frames,
                1,
                0,
                PAGE,
            )
            self.frames += 1
        elif request == SET_RATE or request & 0xFF in (0x1B, 0x1C):
            raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")

    def picture(self, number: int) -> np.ndarray:
        """Every brightness there is, one frame another part of it."""
        return (np.arange(WIDTH * HEIGHT) + 977 * number).reshape(HEIGHT, WIDTH) % 2**self.bits


def opened(driver: Driver, kind: str, **more: object) -> DeepV4l2Camera:
    settings = V4l2Settings(width_px=WIDTH, height_px=HEIGHT, rate_hz=25, format=kind, **more)  # type: ignore[arg-type]
    object.__setattr__(settings, "device", driver.path)
    settings = settings.model_copy(update={"exposure": settings.exposure.model_copy(update={"lock": False})})
    return DeepV4l2Camera(settings, ioctl=driver.ioctl)


@pytest.mark.parametrize(
    ("kind", "bits", "more"), [("y10", 10, {}), ("y12", 12, {}), ("y16", 14, {"bits": 14})]
)
def test_brightness_reaches_the_meter_with_its_fractions(
    tmp_path: Path, kind: str, bits: int, more: dict[str, int]
) -> None:
    driver = Driver(tmp_path / "video0", bits)
    camera, pixels = opened(driver, kind, **more), np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for number in range(6):
        info = camera.read_into(pixels)
        assert info is not None
        assert (info.sequence, info.timestamp_s) == (number, pytest.approx(10 + 0.04 * number))
        true = driver.picture(number) * 255 / (2**bits - 1)
        off = luma(pixels) - true
        assert np.sqrt((off[(true > 1) & (true < 254)] ** 2).mean()) < 0.03  # 8 bits leave 0.29
        assert np.abs(pixels - true[..., None]).max() < 3
    camera.close()
    camera.close()


def test_grey_stays_grey_to_the_eye_and_ends_are_reached() -> None:
    table = grey_table(12).astype(int)
    assert np.ptp(table, axis=1).max() <= 3
    assert table[0].tolist() == [0, 0, 0]
    assert table[-1].tolist() == [255, 255, 255]


def test_a_damaged_frame_and_another_size_are_told(tmp_path: Path) -> None:
    driver = Driver(tmp_path / "video0", 12)
    camera, pixels = opened(driver, "y12"), np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    driver.flags |= DAMAGED
    with pytest.raises(CorruptFrameFault, match="frame 0 is damaged"):
        camera.read_into(pixels)
    driver.flags = MONOTONIC
    assert camera.read_into(pixels) is not None
    camera.close()
    driver.offers = (640, 480)
    with pytest.raises(CameraFault, match="gives 640x480 Y12, not 64x48 Y12"):
        opened(driver, "y12")


def test_settings_that_contradict_each_other_are_refused() -> None:
    for wrong in ({"format": "y10", "bits": 12}, {"format": "y12", "flip": "rotate-180"}):
        with pytest.raises(ValueError, match=r"leave it out|choose none"):
            V4l2Settings(**wrong)  # type: ignore[arg-type]
    assert measured_bits(V4l2Settings(format="y10")) == 10
    assert measured_bits(camera_settings.validate_python({"kind": "csi"})) == 8
