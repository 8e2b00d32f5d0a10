"""The camera section of a configuration: kinds, units, refusals, and the cameras that come of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from support import textured_frames

from tremorscope.runtime.cameras.opening import (
    describe,
    ends_in_good_order,
    frame_size,
    has_argus,
    open_camera,
    supervisor_settings,
)
from tremorscope.runtime.cameras.settings import (
    CsiSettings,
    RtspCameraSettings,
    V4l2Settings,
    camera_settings,
)
from tremorscope.runtime.errors import CameraFault
from tremorscope.runtime.frames.buffers import CopyAccount


def read(**keys: object) -> object:
    return camera_settings.validate_python(keys)


def test_the_kinds_are_told_apart() -> None:
    assert isinstance(read(kind="csi", sensor_id=1), CsiSettings)
    assert isinstance(read(kind="v4l2", device="/dev/video2"), V4l2Settings)
    assert isinstance(read(kind="rtsp", url="rtsp://10.0.0.5/a"), RtspCameraSettings)
    assert [has_argus(read(kind="csi")), has_argus(read(kind="v4l2"))] == [True, False]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"kind": "webcam"}, "Input tag 'webcam'"),
        ({"kind": "csi", "width": 1280}, "Extra inputs are not permitted"),
        ({"kind": "csi", "width_px": 641}, "multiple of 2"),
        ({"kind": "csi", "rate_hz": 0}, "greater than 0"),
        ({"kind": "csi", "rate_hz": 29.97}, "whole rates alone: write 30"),
        ({"kind": "csi", "exposure": {"darkest": 200, "brightest": 100}}, "darkest must be below brightest"),
        ({"kind": "v4l2", "device": "video0"}, "is no device"),
        ({"kind": "v4l2", "device": "/etc/passwd"}, "is no device"),
        ({"kind": "rtsp"}, "Field required"),
        ({"kind": "rtsp", "url": "http://10.0.0.5/"}, "is no address of a stream"),
        ({"kind": "rtsp", "url": 'rtsp://host/a" ! filesink'}, "is no address of a stream"),
        ({"kind": "rtsp", "url": "rtsp://a:b@10.0.0.5/"}, "holds a user or a password"),
        ({"kind": "rtsp", "url": "rtsp://host/", "credential": "CAMERA"}, "give `user` as well"),
        ({"kind": "rtsp", "url": "rtsp://host/", "width_px": 640}, "belong together"),
    ],
)
def test_what_cannot_be_is_refused(keys: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as refusal:
        read(**keys)
    assert "a:b@" not in str(refusal.value)


def test_every_field_is_described_for_editors() -> None:
    schema = camera_settings.json_schema()
    bare = [
        f"{name}.{key}"
        for name, section in schema["$defs"].items()
        for key, field in section["properties"].items()
        if "description" not in field and key not in ("kind", "exposure")
    ]
    assert bare == []
    assert json.dumps(schema).count('"additionalProperties": false') == len(schema["$defs"])


def test_size_is_known_before_opening_where_it_can_be(clip: Path) -> None:
    csi = {"kind": "csi", "width_px": 1280, "height_px": 720}
    assert frame_size(read(**csi)) == (1280, 720)
    assert frame_size(read(**csi, flip="rotate-90")) == (720, 1280)
    assert frame_size(read(kind="clip", path=clip)) == (64, 48)


def test_a_clip_is_opened_at_the_rate_of_its_capture(clip: Path) -> None:
    settings = read(kind="clip", path=clip, speed="fast", loop=True, capture_rate_hz=250)
    account = CopyAccount()
    camera = open_camera(settings, account=account)
    pixels = np.zeros((48, 64, 3), np.uint8)
    infos = [camera.read_into(pixels) for _ in range(25)]
    np.testing.assert_allclose([i.timestamp_s for i in infos if i], np.arange(25) / 250, atol=1e-9)
    np.testing.assert_array_equal(pixels, textured_frames(10)[4])
    assert account.by_place() == {"camera: decoded picture": 25 * pixels.nbytes}
    assert camera.nominal_rate_hz == 250
    camera.close()
    assert not ends_in_good_order(settings)
    assert ends_in_good_order(read(kind="clip", path=clip))


def test_the_drawn_structure_is_opened_with_its_modes() -> None:
    mode = {"frequency_hz": 3.0, "amplitude_px": 0.4}
    settings = read(kind="synthetic", width_px=64, height_px=36, modes=[mode], speed="fast", duration_s=0.1)
    camera = open_camera(settings)
    pixels = np.zeros((36, 64, 3), np.uint8)
    frames = 0
    while camera.read_into(pixels) is not None:
        frames += 1
    assert frames == 3
    assert pixels.std() > 10
    assert ends_in_good_order(settings)


def test_the_supervisor_waits_as_long_as_a_kind_of_camera_needs() -> None:
    slow = supervisor_settings(read(kind="rtsp", url="rtsp://10.0.0.5/a", silence_s=8))
    assert (slow.frozen_least_s, slow.open_timeout_s, slow.end_is_fault) == (9, 25, True)
    settling = supervisor_settings(read(kind="csi", exposure={"settle_s": 20}))
    assert (settling.frozen_least_s, settling.open_timeout_s) == (0.5, 36)
    assert supervisor_settings(read(kind="synthetic", duration_s=3)).end_is_fault is False


@pytest.mark.parametrize("kind", [{"kind": "csi"}, {"kind": "v4l2"}, {"kind": "rtsp", "url": "rtsp://h/"}])
def test_without_gstreamer_the_packages_are_named(
    kind: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gi", None)
    with pytest.raises(CameraFault, match="GStreamer cannot be used from Python") as told:
        open_camera(read(**kind))
    assert "sudo apt install python3-gi gir1.2-gstreamer-1.0" in told.value.remedy


def test_a_camera_is_described_without_its_secret() -> None:
    rtsp = read(kind="rtsp", url="rtsp://10.0.0.5/a", user="u", credential="BRIDGE_CAMERA")
    assert describe(rtsp) == "camera rtsp://10.0.0.5/a"
