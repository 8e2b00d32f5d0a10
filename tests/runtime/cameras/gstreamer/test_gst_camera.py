"""Cameras behind GStreamer: raw formats and sizes, broken buffers, other formats midway, memory that stays flat."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tremorscope.runtime.cameras.gstreamer.camera import GStreamerCamera, RequestedFormat
from tremorscope.runtime.cameras.gstreamer.faults import (
    Advice,
    GStreamerError,
    GStreamerFault,
    cause_of,
    fault_of,
)
from tremorscope.runtime.cameras.gstreamer.load import SINK_TEXT, modes_text, rate_text, require_elements
from tremorscope.runtime.cameras.gstreamer.memory import RgbConverter, cpu_writer
from tremorscope.runtime.cameras.gstreamer.pipeline import GStreamerPipeline, PipelinePlan
from tremorscope.runtime.errors import CameraFault, CorruptFrameFault
from tremorscope.runtime.frames.buffers import CopyAccount

pytestmark = pytest.mark.usefixtures("gstreamer")

ADVICE = Advice("test camera")


def plan(text: str, **keys: Any) -> PipelinePlan:
    return PipelinePlan(f"{text} ! {SINK_TEXT}", ("videotestsrc", "appsink"), ADVICE, **keys)


def open_it(text: str, account: CopyAccount | None = None) -> GStreamerCamera:
    return GStreamerCamera(plan(text), RequestedFormat(), cpu_writer(account), silence_s=20)


def convert(gst: Any, kind: str, content: np.ndarray, width: int, height: int) -> np.ndarray:
    caps = gst.Caps.from_string(f"video/x-raw,format={kind},width={width},height={height},framerate=30/1")
    rgb = gst.Caps.from_string(f"video/x-raw,format=RGB,width={width},height={height},framerate=30/1")
    converter = RgbConverter(caps, rgb, width, height)
    memory = np.full(height * width * 3 + 64, 99, np.uint8)
    pixels = memory[32:-32].reshape(height, width, 3)
    for _ in range(2):  # a slot is used again and again
        converter.convert(gst.Buffer.new_wrapped(content.tobytes()), pixels)
    assert (memory[:32] == 99).all()
    assert (memory[-32:] == 99).all()
    converter.close()
    converter.close()
    return pixels


@pytest.mark.parametrize("size", [(64, 48), (61, 47), (638, 33), (17, 16)])
@pytest.mark.parametrize("kind", ["RGB", "BGR", "RGBA", "BGRx", "GRAY8"])
def test_packed_formats_come_through_exactly_at_every_width(
    gstreamer: Any, kind: str, size: tuple[int, int]
) -> None:
    width, height = size
    channels = {"GRAY8": 1, "RGB": 3, "BGR": 3}.get(kind, 4)
    stride = -(-width * channels // 4) * 4  # rows of GStreamer's begin at multiples of four
    random = np.random.default_rng(7)
    stored = random.integers(0, 256, (height, stride), dtype=np.uint8)
    seen = stored[:, : width * channels].reshape(height, width, channels)
    expected = {"GRAY8": [0, 0, 0], "BGR": [2, 1, 0], "BGRx": [2, 1, 0]}.get(kind, [0, 1, 2])
    pixels = convert(gstreamer, kind, stored, width, height)
    np.testing.assert_array_equal(pixels, seen[..., expected])


@pytest.mark.parametrize("kind", ["NV12", "I420", "YUY2", "UYVY", "Y42B"])
def test_grey_steps_in_colour_difference_formats_keep_their_distances(gstreamer: Any, kind: str) -> None:
    width, height = 64, 48
    luma = np.tile(np.linspace(16, 235, width).round().astype(np.uint8), (height, 1))
    chroma = np.full((height, width), 128, np.uint8)
    if kind in ("YUY2", "UYVY"):
        pair = [luma, chroma] if kind == "YUY2" else [chroma, luma]
        content = np.stack(pair, axis=-1)
    else:
        small = chroma[::2, ::2] if kind in ("NV12", "I420") else chroma[:, ::2]
        content = np.concatenate([luma.reshape(-1), small.reshape(-1), small.reshape(-1)])
    pixels = convert(gstreamer, kind, content, width, height)
    assert (pixels == pixels[..., :1]).all()
    expected = (luma.astype(float) - 16) * 255 / 219
    assert np.abs(pixels[..., 0] - expected).max() < 3.3
    # Most of that is a gain, which moves nothing; what else there is is hardly more than rounding (0.29).
    line = np.polyval(np.polyfit(expected[0], pixels[0, :, 0], 1), expected[0])
    assert np.std(pixels[0, :, 0] - line) < 0.5


def test_a_short_buffer_is_a_damaged_frame_and_the_next_one_is_read(gstreamer: Any) -> None:
    caps = gstreamer.Caps.from_string("video/x-raw,format=RGB,width=64,height=48,framerate=30/1")
    converter = RgbConverter(caps, caps, 64, 48)
    pixels = np.zeros((48, 64, 3), np.uint8)
    with pytest.raises(CorruptFrameFault, match="shorter than a picture"):
        converter.convert(gstreamer.Buffer.new_wrapped(bytes(1000)), pixels)
    converter.convert(gstreamer.Buffer.new_wrapped(b"\x07" * 64 * 48 * 3), pixels)
    assert (pixels == 7).all()
    with pytest.raises(ValueError, match="does not take 64x48"):
        converter.convert(gstreamer.Buffer.new_wrapped(bytes(9216)), np.zeros((48, 64, 4), np.uint8))
    converter.close()


def test_a_format_that_is_no_picture_is_refused(gstreamer: Any) -> None:
    caps = gstreamer.Caps.from_string("video/x-bayer,format=bggr,width=64,height=48")
    with pytest.raises(CameraFault, match=r"pictures of video/x-bayer.* cannot be read"):
        RgbConverter(caps, caps, 64, 48)


def test_another_format_of_the_same_size_is_followed() -> None:
    camera = open_it(
        "videotestsrc name=source is-live=true pattern=white ! "
        "capsfilter name=kind caps=video/x-raw,format=YUY2,width=64,height=48,framerate=100/1"
    )
    pixels = np.zeros((48, 64, 3), np.uint8)
    camera.read_into(pixels)
    assert (camera.report().format, pixels.min()) == ("YUY2", 253)
    camera._pipeline.element("kind").set_property(
        "caps", camera._format.caps.from_string("video/x-raw,format=RGBA,width=64,height=48,framerate=100/1")
    )
    for _ in range(20):
        pixels[:] = 0
        camera.read_into(pixels)
    assert (camera.report().format, pixels.min()) == ("RGBA", 255)
    camera.close()


def test_the_newest_frame_wins_and_numbers_tell_what_was_pushed_out() -> None:
    camera = open_it(
        "videotestsrc name=source is-live=true ! video/x-raw,format=RGB,width=64,height=48,framerate=100/1"
    )
    pixels = np.zeros((48, 64, 3), np.uint8)
    first = camera.read_into(pixels)
    time.sleep(0.5)
    late = camera.read_into(pixels)
    assert first is not None
    assert late is not None
    assert late.sequence - first.sequence > 5
    assert late.sequence - 1 <= camera.pushed_out  # all but two; more may have been since
    assert late.timestamp_s - first.timestamp_s == pytest.approx(
        (late.sequence - first.sequence) / 100, abs=0.002
    )
    camera.close()


@pytest.mark.usefixtures("quick_threads")
def test_ten_thousand_frames_leave_no_memory_behind() -> None:
    account = CopyAccount()
    camera = open_it(
        "videotestsrc name=source pattern=ball ! video/x-raw,format=YUY2,width=64,height=48,framerate=30/1",
        account,
    )
    pixels = np.zeros((48, 64, 3), np.uint8)
    pages, blocks = [], []
    for number in range(10_000):
        camera.read_into(pixels)
        if number % 1000 == 999:
            pages.append(int(Path("/proc/self/statm").read_text().split()[1]))
            blocks.append(sys.getallocatedblocks())
    camera.close()
    assert account.total_bytes == 10_000 * pixels.nbytes
    assert max(blocks[2:]) - min(blocks[2:]) < 200  # of Python's memory, less than one in forty frames
    assert (pages[-1] - pages[2]) * os.sysconf("SC_PAGE_SIZE") < 2e6


LEAKS = """
import numpy as np
from tremorscope.runtime.cameras.gstreamer.camera import GStreamerCamera, RequestedFormat
from tremorscope.runtime.cameras.gstreamer.faults import Advice
from tremorscope.runtime.cameras.gstreamer.pipeline import PipelinePlan
from tremorscope.runtime.cameras.gstreamer.load import SINK_TEXT
from tremorscope.runtime.cameras.gstreamer.load import load_gstreamer
from tremorscope.runtime.cameras.gstreamer.memory import cpu_writer
from tremorscope.runtime.errors import CameraFault

def plan(text):
    return PipelinePlan(text + " ! " + SINK_TEXT, ("videotestsrc", "appsink"), Advice("test camera"))

good = "videotestsrc name=source is-live=true ! video/x-raw,format=YUY2,width=64,height=48,framerate=100/1"
pixels = np.zeros((48, 64, 3), np.uint8)
for _ in range(3):
    camera = GStreamerCamera(plan(good), RequestedFormat(), cpu_writer(None))
    for _ in range(5):
        camera.read_into(pixels)
    camera.close()
endings = good + " ! identity error-after=3", "videotestsrc name=source num-buffers=2"
for bad in (*endings, "videotestsrc name=source ! video/x-raw,format=NONE"):
    try:
        camera = GStreamerCamera(plan(bad), RequestedFormat(), cpu_writer(None))
        while True:
            camera.read_into(np.zeros((camera.height_px, camera.width_px, 3), np.uint8))
    except CameraFault:
        camera.close()
del camera
load_gstreamer().deinit()
"""


def test_a_camera_that_was_closed_leaves_nothing_in_gstreamer() -> None:
    environment = os.environ | {
        "GST_TRACERS": "leaks",
        "GST_DEBUG": "GST_TRACER:7",
        "GST_DEBUG_NO_COLOR": "1",
    }
    root = Path(__file__).resolve().parents[4]
    done = subprocess.run(
        [sys.executable, "-c", LEAKS], env=environment, cwd=root, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    if "leaks" not in done.stderr and "GST_TRACER" not in done.stderr:
        pytest.skip("needs gstreamer's leaks tracer")
    alive = [line for line in done.stderr.splitlines() if "object-alive, type-name=(string)Gst" in line]
    assert alive == []


def test_an_element_that_is_missing_is_told_with_its_package() -> None:
    with pytest.raises(CameraFault, match="test camera: GStreamer has no element jpegdecoder") as told:
        require_elements(["jpegdecoder", "appsink"], "test camera")
    assert told.value.remedy == "sudo apt install gstreamer1.0-plugins-good"


def test_a_pipeline_that_this_gstreamer_does_not_understand_is_a_fault() -> None:
    with pytest.raises(CameraFault, match='no property "loudness"'):
        GStreamerPipeline(plan("videotestsrc name=source loudness=3"))


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (GStreamerError("gst-resource-error-quark", 3, "Resource not found."), "absent"),
        (GStreamerError("gst-resource-error-quark", 7, "Not open", "x\nsystem error: Permission denied"), "forbidden"),
        (GStreamerError("gst-resource-error-quark", 7, "Not open", "x\nsystem error: Device or resource busy"), "busy"),
        (GStreamerError("gst-resource-error-quark", 15, "Unauthorized"), "unauthorised"),
        (GStreamerError("gst-stream-error-quark", 1, "Internal data stream error.",
                        "x\nstreaming stopped, reason not-negotiated (-4)"), "not negotiable"),
        (GStreamerError("gst-stream-error-quark", 7, "Could not decode"), "undecodable"),
        (GStreamerError("gst-core-error-quark", 12, "Your installation is missing a plug-in."), "undecodable"),
        (GStreamerError("gst-library-error-quark", 1, "x"), "broken"),
    ],
)  # fmt: skip
def test_what_gstreamer_says_is_understood(error: GStreamerError, cause: str) -> None:
    assert cause_of(error) == cause
    told = fault_of(error, ADVICE, offers="64x48 RGB")
    assert isinstance(told, GStreamerFault)
    assert told.cause == cause
    assert str(told).startswith("test camera ")
    assert "\n" not in str(told)
    assert told.remedy
    assert ("it offers 64x48 RGB" in told.remedy) == (cause == "not negotiable")


@pytest.mark.parametrize(
    ("rate_hz", "text"),
    [(30, "30/1"), (25.0, "25/1"), (29.97, "30000/1001"), (59.94, "60000/1001"), (7.5, "15/2")],
)  # fmt: skip
def test_rates_are_written_as_cameras_state_them(rate_hz: float, text: str) -> None:
    assert rate_text(rate_hz) == text


def test_what_a_camera_offers_is_told_in_a_few_words() -> None:
    structures = [
        "video/x-raw, format=(string)YUY2, width=(int)1280, height=(int)720, framerate=(fraction){ 10/1, 5/1 }",
        "image/jpeg, width=(int)1920, height=(int)1080, framerate=(fraction)30/1",
        "video/x-raw(memory:NVMM), format=(string){ NV12, P010 }, width=(int)[ 16, 4096 ], height=(int)[ 16, 4096 ]",
    ]
    assert modes_text(structures) == (
        "1280x720 YUY2 at 10, 5 Hz; 1920x1080 jpeg at 30 Hz; [ 16, 4096 ]x[ 16, 4096 ] { NV12, P010 }"
    )
    assert modes_text(f"image/jpeg, width=(int){w}, height=(int)9" for w in range(20)).endswith(
        "7x9 jpeg and 12 more"
    )


@pytest.mark.parametrize(("stated", "aspect"), [("", 1.0), (",pixel-aspect-ratio=4/3", 4 / 3)])
def test_the_shape_of_its_pixels_is_known(stated: str, aspect: float) -> None:
    camera = open_it(f"videotestsrc name=source ! video/x-raw,format=YUY2,width=64,height=48{stated}")
    try:
        assert camera.pixel_aspect == pytest.approx(aspect)
    finally:
        camera.close()


LATE = """
import numpy  # loads the C++ runtime first, as the service does
from tremorscope.runtime.cameras.gstreamer.load import load_gstreamer
load_gstreamer()
import onnxruntime
try:
    onnxruntime.InferenceSession(b"no model")
except Exception as error:
    print(type(error).__name__)
"""


def test_what_is_loaded_after_gstreamer_may_throw() -> None:
    """An exception within a C++ library that came later ended the process: SIGABRT by way of libunwind."""
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    root = Path(__file__).resolve().parents[4]
    done = subprocess.run(
        [sys.executable, "-c", LATE], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "InvalidProtobuf"), done.stderr[-500:]
