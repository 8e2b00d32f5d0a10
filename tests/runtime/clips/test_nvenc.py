"""H.264 by the device's own encoder: a stand-in of it in real GStreamer, real containers, and the choice."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support import read_video, textured_frames

from tremorscope.runtime.clips import nvenc
from tremorscope.runtime.clips.h264 import EncodingSettings, encoder_of
from tremorscope.runtime.clips.nvenc import EncoderChoice
from tremorscope.runtime.clips.settings import RecordingSettings
from tremorscope.runtime.clips.video import VideoWriter
from tremorscope.runtime.clips.writer import EventClipWriter
from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.frames.frame import Colour
from tremorscope.runtime.outputs.settings import RtspSettings

pytest.importorskip("gi", reason="needs gstreamer")
from nvenc_standin import CardEncoder, Encoder, Hardware, OldCardEncoder, device_with


@pytest.fixture(autouse=True)
def _unknown_device() -> Iterator[None]:
    nvenc._has_encoded.clear()
    yield
    nvenc._has_encoded.clear()


@pytest.fixture
def orin() -> Iterator[Hardware]:
    """A device with an encoder."""
    with device_with(Hardware()) as hardware:
        yield hardware


def write(path: Path, frames: Any, times_s: Any, *, encoder: EncoderChoice = "nvenc", **changes: Any) -> None:
    height_px, width_px = frames[0].shape[:2]
    settings = EncodingSettings(width_px, height_px, 25.0, Fraction(1, 90_000), **changes)
    with VideoWriter(path, settings, encoder=encoder) as video:
        for picture, time_s in zip(frames, times_s, strict=True):
            video.write(picture, time_s)


class TestClips:
    @pytest.mark.parametrize(("width_px", "height_px"), [(64, 48), (65, 47), (66, 50), (70, 46)])
    def test_a_clip_is_as_one_of_the_cpu(
        self, orin: Hardware, tmp_path: Path, width_px: int, height_px: int
    ) -> None:
        """Every picture at its time, however irregular, nearly as it was, with colours and aspect told."""
        frames = textured_frames(40, width_px, height_px)
        jitter = np.random.default_rng(1).uniform(-0.015, 0.015, 40)
        times_s = np.arange(40) / 25 + jitter
        for choice in ("nvenc", "x264"):
            colour, aspect = Colour(1, 9, 16), Fraction(4, 3)
            write(
                tmp_path / f"{choice}.mp4",
                frames,
                times_s,
                colour=colour,
                pixel_aspect=aspect,
                encoder=choice,
            )
        assert len(orin.runs) == 2, "one to see that it works, and one that codes"
        (ours, our_times), (other, other_times) = (
            read_video(tmp_path / f"{choice}.mp4") for choice in ("nvenc", "x264")
        )
        assert our_times == other_times
        cut = (slice(None), slice(height_px), slice(width_px))
        for pictures in (ours, other):
            assert float(np.abs(np.asarray(pictures, float)[cut] - frames).mean()) < 3.5
        with av.open(str(tmp_path / "nvenc.mp4")) as container:
            stream = container.streams.video[0]
            context = stream.codec_context
            assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 9, 16)
            assert context.color_range == 1
            assert context.sample_aspect_ratio == aspect

    def test_key_pictures_come_as_often_as_asked(self, orin: Hardware, tmp_path: Path) -> None:
        path = tmp_path / "out.mp4"
        write(path, textured_frames(130), np.arange(130) / 25)
        with av.open(str(path)) as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
        assert [number for number, packet in enumerate(packets) if packet.is_keyframe] == [0, 60, 120]
        asked = orin.runs[-1]
        assert (asked["ratecontrol-enable"], asked["preset-level"], asked["quant-p-frames"]) == (False, 0, 18)

    @pytest.mark.parametrize(
        ("shape", "asked"),
        [
            (CardEncoder, {"control-rate": "constantQP", "constqp": "18:18:18"}),
            (OldCardEncoder, {"control-rate": 0, "bitrate": 38400}),  # half a bit a pixel, 25 times a second
        ],
    )
    def test_an_encoder_of_a_graphics_card_is_asked_for_what_it_knows(
        self, tmp_path: Path, shape: Any, asked: dict[str, Any]
    ) -> None:
        frames = textured_frames(130)
        with device_with(Hardware(), element=shape) as thor:
            assert encoder_of("auto", 64, 48) == ("nvv4l2h264enc", "the device has this encoder")
            write(tmp_path / "out.mp4", frames, np.arange(130) / 25)
        assert thor.runs[-1] == {"profile": 4, "iframeinterval": 60, "idrinterval": 60} | asked
        pictures, _ = read_video(tmp_path / "out.mp4")
        assert len(pictures) == 130
        if shape is CardEncoder:
            assert float(np.abs(np.asarray(pictures, float)[:, :48, :64] - frames).mean()) < 3.5

    @pytest.mark.parametrize("shape", [Encoder, CardEncoder])
    def test_whoever_comes_late_can_begin_at_every_key_picture(self, shape: Any) -> None:
        with device_with(Hardware(), element=shape):
            pipeline = nvenc.NvencPipeline(nvenc.NvencSettings(64, 48, Fraction(25), 500, 5))
            pictures = [
                np.roll(np.arange(4608), n).astype(np.uint8)[: 64 * 48 * 3 // 2].tobytes() for n in range(12)
            ]
            coded = [unit for picture in (*pictures, None) for unit in pipeline.encode(picture)]
            pipeline.close()
        keys = [unit for unit in coded if nvenc.is_key_picture(unit)]
        assert len(coded) == 12
        assert len(keys) == 3
        for late in range(0, 12, 5):
            decoder = av.CodecContext.create("h264", "r")
            packets = [*map(av.Packet, coded[late:]), None]
            assert sum(len(decoder.decode(packet)) for packet in packets) == 12 - late

    def test_an_event_clip_reads_back(self, orin: Hardware, tmp_path: Path) -> None:
        clip = EventClipWriter(
            tmp_path / "e-raw.mp4", width_px=64, height_px=48, rate_hz=25, comment="", encoder="auto"
        )
        for number, picture in enumerate(textured_frames(30)):
            clip.write(picture, 7.0 + number / 25)
        assert clip.publish().nbytes > 1000
        assert len(orin.runs) == 2

    @pytest.mark.parametrize("trouble", [{"takes": 20}, {"fails_after": 20}])
    def test_an_encoder_that_stops_is_a_fault_and_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: dict[str, int]
    ) -> None:
        monkeypatch.setattr(nvenc, "_ANSWER_S", 0.3)
        reason = (
            "gave nothing for 0.3 s" if "takes" in trouble else "Could not get/set settings|takes no more"
        )
        with (
            device_with(Hardware(**trouble)),
            pytest.raises(OutputFault, match=f"nvv4l2h264enc: .*({reason})"),
        ):
            write(tmp_path / "out.mp4", textured_frames(60), np.arange(60) / 25)
        assert list(tmp_path.iterdir()) == []


class TestChoice:
    def test_the_devices_own_is_taken_where_it_works(self, orin: Hardware) -> None:
        assert encoder_of("auto", 64, 48) == ("nvv4l2h264enc", "the device has this encoder")
        assert encoder_of("x264", 64, 48) == ("libx264", "the configuration asks for it")
        encoder_of("auto", 64, 48)
        assert len(orin.runs) == 1, "one picture is coded to see, once a size"

    def test_orin_nano_has_none(self) -> None:
        with device_with(Hardware(), element=None):
            name, why = encoder_of("auto", 64, 48)
            assert (name, why) == (
                "libx264",
                "GStreamer has no nvv4l2h264enc, as on devices without such an encoder (Orin Nano)",
            )
            with pytest.raises(OutputFault, match=r"no nvv4l2h264enc, .*: set encoder: x264, or auto"):
                encoder_of("nvenc", 64, 48)

    def test_an_element_that_does_not_open_is_none(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with device_with(Hardware(opens=False)), caplog.at_level(logging.INFO):
            write(tmp_path / "out.mp4", textured_frames(5), np.arange(5) / 25, encoder="auto")
            with pytest.raises(OutputFault, match="Could not open device"):
                write(tmp_path / "no.mp4", textured_frames(5), np.arange(5) / 25)
        assert caplog.messages[0] == (
            "out.mp4: encoded by libx264 (nvv4l2h264enc: Could not open device '/dev/v4l2-nvenc' for reading and "
            "writing.)"
        )
        assert len(read_video(tmp_path / "out.mp4")[0]) == 5
        assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]

    def test_where_others_use_all_of_it_the_cpu_takes_over(
        self, orin: Hardware, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert encoder_of("auto", 64, 48)[0] == "nvv4l2h264enc"
        orin.opens = False
        with caplog.at_level(logging.INFO):
            write(tmp_path / "out.mp4", textured_frames(5), np.arange(5) / 25, encoder="auto")
        assert caplog.messages[0].startswith(
            "out.mp4: encoded by libx264 (nvv4l2h264enc: Could not open device"
        )

    def test_both_settings_are_auto_and_refuse_what_they_do_not_know(self) -> None:
        rtsp = RtspSettings(url="rtsp://127.0.0.1:8554/bridge")
        assert (rtsp.encoder, RecordingSettings().encoder) == ("auto", "auto")
        assert RecordingSettings(encoder="nvenc").encoder == "nvenc"
        with pytest.raises(ValueError, match="Input should be 'auto', 'nvenc' or 'x264'"):
            RecordingSettings.model_validate({"encoder": "omx"})


ORIN = (
    "profile",
    "iframeinterval",
    "idrinterval",
    "insert-sps-pps",
    "preset-level",
    "control-rate",
    "bitrate",
)


def test_a_stream_has_its_bit_rate_in_bits() -> None:
    """x264enc, and our settings, count thousands."""
    text = nvenc.NvencSettings(64, 48, Fraction(15), 2000, 15).properties(ORIN)
    assert "control-rate=1 bitrate=2000000" in text
    assert "iframeinterval=15 idrinterval=15" in text
    assert "insert-sps-pps=true" in text
