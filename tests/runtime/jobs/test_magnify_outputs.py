"""Outputs of all kinds from clips that the tests write: pictures, times, sound, colours; and standard input."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from scenes import rgb, shifted, textured
from support import Picture, command_line, read_video, textured_frames, write_clip

from tremorscope.runtime.clips.h264 import EncodingSettings
from tremorscope.runtime.clips.video import VideoWriter
from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.jobs.magnify import MagnifyJob, MagnifyReport, magnify_clip

RATE_HZ, SOUND_HZ = 25, 48_000
ONSET_S, TONE_HZ = 0.5, 1000.0


def clip_with_sound(path: Path, *, codec: str = "aac", start_s: float = 0.0, rate: int = RATE_HZ) -> Path:
    """A second of pictures, the first at ``start_s``, and sound from 0 on: silence until half a second after that."""
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=rate)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound: Any = container.add_stream(codec, rate=SOUND_HZ)
        sound.layout = "mono"
        for number, picture in enumerate(textured_frames(rate)):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = number + round(start_s * rate), Fraction(1, rate)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        times_s = np.arange(round((1 + start_s) * SOUND_HZ)) / SOUND_HZ
        wave = 0.5 * np.sin(2 * np.pi * TONE_HZ * times_s) * (times_s >= start_s + ONSET_S)
        context = sound.codec_context
        block = context.frame_size or 960
        for at in range(0, wave.size - block + 1, block):
            samples = av.AudioFrame.from_ndarray(
                wave[None, at : at + block].astype(np.float32), "fltp", "mono"
            )
            samples.rate, samples.pts, samples.time_base = SOUND_HZ, at, Fraction(1, SOUND_HZ)
            for each in av.AudioResampler(context.format, "mono", SOUND_HZ).resample(samples):
                container.mux(sound.encode(each))
        container.mux(sound.encode(None))
    return path


def read_sound(path: Path) -> tuple[str, float, float]:
    """Codec, time at which the tone begins in seconds, and its frequency in Hz."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        pieces, start_s = [], None
        for frame in av.AudioResampler("fltp", "mono", SOUND_HZ).resample(None) or container.decode(stream):
            for each in av.AudioResampler("fltp", "mono", SOUND_HZ).resample(frame):
                start_s = frame.time if start_s is None else start_s
                pieces.append(each.to_ndarray()[0])
        wave = np.concatenate(pieces)
        loud = np.abs(wave) > 0.2
        onset = int(np.argmax(loud))
        tone = wave[onset + 2000 : onset + 2000 + 9600]
        return (
            stream.codec_context.name,
            start_s + onset / SOUND_HZ,
            float(np.argmax(np.abs(np.fft.rfft(tone))) * 5),
        )


def magnify(clip: Path, output: Path, bundle: Path, **changes: Any) -> MagnifyReport:
    return magnify_clip(
        MagnifyJob(clip=clip, output=output, bundle=bundle, **{"amplification": 1.0} | changes)
    )


@pytest.mark.parametrize(
    ("suffix", "codec", "kept"),
    [(".mp4", "aac", "aac"), (".mkv", "aac", "aac"), (".webm", "aac", "opus"), (".mp4", "pcm_s16le", "aac")],
)
def test_sound_is_kept_beside_its_pictures(
    tmp_path: Path, linear_bundle: Path, suffix: str, codec: str, kept: str
) -> None:
    source = ".mp4" if codec == "aac" else ".mkv"
    clip = clip_with_sound(tmp_path / f"clip{source}", codec=codec, start_s=0.4)
    report = magnify(clip, tmp_path / f"out{suffix}", linear_bundle)
    found, onset_s, tone_hz = read_sound(tmp_path / f"out{suffix}")
    assert found == kept
    # Half a second after the first picture, which is at 0 now; players skip what AAC and Opus put before.
    assert onset_s == pytest.approx(ONSET_S, abs=0.03)
    assert tone_hz == pytest.approx(TONE_HZ, abs=10)
    assert len(read_video(tmp_path / f"out{suffix}")[0]) == RATE_HZ
    assert any(line.startswith(f"sound          {codec}, ") for line in report.lines())


def test_a_video_that_is_done_keeps_nothing_of_the_clip_open(tmp_path: Path) -> None:
    clip = clip_with_sound(tmp_path / "clip.mkv", codec="pcm_s16le")  # longer than the two pictures
    with VideoWriter(
        tmp_path / "out.mp4", EncodingSettings(64, 48, 25.0, Fraction(1, 25)), sound=clip
    ) as writer:
        for number in range(2):
            writer.write(np.zeros((48, 64, 3), np.uint8), number / RATE_HZ)
    assert str(clip) not in {os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()}
    with av.open(str(tmp_path / "out.mp4")) as made:
        assert sum(packet.size > 0 for packet in made.demux(audio=0)) >= 4  # 80 ms and more


@pytest.mark.parametrize(
    ("name", "changes", "why"),
    [
        ("out.gif", {}, "gif holds none"),
        ("frames", {}, "pictures have none"),
        ("out.mp4", {"capture_rate_hz": 250.0}, "the clip is played slower than it was filmed"),
    ],
)
def test_sound_that_is_left_out_is_told(
    tmp_path: Path, linear_bundle: Path, name: str, changes: dict[str, Any], why: str
) -> None:
    report = magnify(clip_with_sound(tmp_path / "clip.mp4"), tmp_path / name, linear_bundle, **changes)
    assert f"sound          left out: {why}" in report.lines()


def flat(values: list[int], path: Path, **settings: Any) -> Path:
    return write_clip(path, (np.full((48, 64, 3), value, np.uint8) for value in values), **settings)


VALUES = [100, 104, 98, 110, 100, 101, 96]


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".gif"])
def test_other_videos_hold_the_same_pictures_at_their_times(
    tmp_path: Path, linear_bundle: Path, suffix: str
) -> None:
    magnify(flat(VALUES, tmp_path / "c.mp4"), tmp_path / f"o{suffix}", linear_bundle, amplification=4.0)
    pictures, times_s = read_video(tmp_path / f"o{suffix}")
    assert [float(each.mean()) for each in pictures] == pytest.approx(
        [100 + 4 * (v - 100) for v in VALUES], abs=2
    )
    assert [float(each) for each in times_s] == pytest.approx([n / 25 for n in range(7)], abs=0.001)


def test_a_gif_leaves_out_what_browsers_would_slow_down(tmp_path: Path, linear_bundle: Path) -> None:
    clip = flat(list(range(60, 180, 2)), tmp_path / "c.mp4", rate=60)
    report = magnify(clip, tmp_path / "o.gif", linear_bundle)
    _, times_s = read_video(tmp_path / "o.gif")
    assert min(np.diff([float(each) for each in times_s])) > 0.0199
    left_out = 60 - len(times_s)
    assert left_out > 0
    assert f"{left_out} frames are left out: gif cannot show them so close together" in report.lines()


@pytest.mark.parametrize(("name", "first"), [("frames", "000001.png"), ("shots/a_%04d.png", "a_0001.png")])
def test_pictures_are_exact_and_numbered(tmp_path: Path, linear_bundle: Path, name: str, first: str) -> None:
    frames = textured_frames(5, 65, 49)
    magnify(write_clip(tmp_path / "c.mp4", frames), tmp_path / name, linear_bundle)
    folder = tmp_path / name.partition("/")[0]
    written = sorted(folder.iterdir())
    assert written[0].name == first
    assert len(written) == 5
    for frame, path in zip(frames, written, strict=True):
        found: Picture = np.asarray(cv2.imread(str(path)), np.uint8)[..., ::-1]
        np.testing.assert_array_equal(found, frame)
    with pytest.raises(OutputFault, match="holds earlier results"):
        magnify(tmp_path / "c.mp4", tmp_path / name, linear_bundle)
    magnify(tmp_path / "c.mp4", tmp_path / name, linear_bundle, overwrite=True)
    for clip in (folder, folder / "*.png"):
        with pytest.raises(OutputFault, match="holds the clip itself: name another folder"):
            magnify(clip, tmp_path / name, linear_bundle, overwrite=True, capture_rate_hz=25.0)


# Colours


def tagged_clip(path: Path, tags: dict[str, int], pixels: str = "yuv420p", codec: str = "libx264") -> Path:
    options = {"crf": "4"} if codec == "libx264" else {"x265-params": MASTERED}
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for picture in textured_frames(4):
            frame: Any = av.VideoFrame.from_ndarray(picture, "rgb24")
            source = frame.reformat(
                format=pixels, dst_color_range=tags["color_range"], dst_colorspace=tags["colorspace"]
            )
            container.mux(stream.encode(source))
        container.mux(stream.encode(None))
    return path


def tags_of(path: Path) -> tuple[int, int, int, int, Fraction]:
    with av.open(str(path)) as container:
        frame: Any = next(container.decode(video=0))
        context = container.streams.video[0].codec_context
        return (
            int(frame.color_range), int(frame.colorspace), int(context.color_primaries), int(context.color_trc),
            Fraction(container.streams.video[0].sample_aspect_ratio or 1),
        )  # fmt: skip


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_full_range_stays_full_range(tmp_path: Path, linear_bundle: Path, suffix: str) -> None:
    tags = {"color_range": 2, "colorspace": 1, "color_primaries": 1, "color_trc": 1}
    clip = tagged_clip(tmp_path / "c.mp4", tags)
    magnify(clip, tmp_path / f"o{suffix}", linear_bundle)
    aspect = Fraction(1) if suffix == ".webm" else Fraction(4, 3)
    assert tags_of(tmp_path / f"o{suffix}") == (2, 1, 1, 1, aspect)
    luma = np.array([0.2126, 0.7152, 0.0722])
    before, after = (
        np.asarray(read_video(each)[0], float) @ luma for each in (clip, tmp_path / f"o{suffix}")
    )
    assert float(np.abs(before - after).mean()) < 1.5


MASTERED = (
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"
)


def mastering_of(path: Path) -> tuple[bytes, bytes]:
    """Mastering display and content light of the first frame."""
    with av.open(str(path)) as container:
        told = next(container.decode(video=0)).side_data
        return bytes(told["MASTERING_DISPLAY_METADATA"]), bytes(told["CONTENT_LIGHT_LEVEL"])


def test_hdr_keeps_its_tags_and_is_told(tmp_path: Path, linear_bundle: Path) -> None:
    tags = {"color_range": 1, "colorspace": 9, "color_primaries": 9, "color_trc": 16}
    clip = tagged_clip(tmp_path / "c.mkv", tags, "yuv420p10le", "libx265")
    report = magnify(clip, tmp_path / "o.mp4", linear_bundle)
    assert tags_of(tmp_path / "o.mp4") == (1, 9, 9, 16, Fraction(4, 3))
    assert "colour         HDR (PQ), kept as it came; in 8 bits smooth areas may show steps" in report.lines()
    assert mastering_of(tmp_path / "o.mp4") == mastering_of(clip)
    webm = magnify(clip, tmp_path / "o.webm", linear_bundle)
    assert "colour         without the mastering display's limits: a .mp4 or .mkv keeps them" in webm.lines()
    for name in ("o.gif", "frames"):
        with pytest.raises(
            OutputFault, match=r"cannot say that their brightness is HDR \(PQ\): write a \.mp4"
        ):
            magnify(clip, tmp_path / name, linear_bundle)
        assert not (tmp_path / name).exists()


def test_ten_bits_and_wide_pixels_are_told_where_they_are_lost(tmp_path: Path, linear_bundle: Path) -> None:
    tags = {"color_range": 1, "colorspace": 1, "color_primaries": 1, "color_trc": 1}
    clip = tagged_clip(tmp_path / "c.mkv", tags, "yuv420p10le", "libx265")
    report = magnify(clip, tmp_path / "frames", linear_bundle)
    assert "colour         8 bits, from 10" in report.lines()
    assert (
        "pixels         1.333 times as wide as high: shown as squares; a .mp4 or .mkv keeps them"
        in report.lines()
    )


# Standard input


def from_stdin(
    content: bytes | None, *arguments: object, command: str = "magnify"
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command_line(command, "-", *arguments), input=content, capture_output=True, timeout=120, check=False
    )


def test_a_clip_is_read_from_standard_input(tmp_path: Path, linear_bundle: Path) -> None:
    clip = write_clip(tmp_path / "c.mkv", textured_frames(6), codec="ffv1", pixel_format="yuv444p")
    out = tmp_path / "out" / "o.mp4"
    out.parent.mkdir()
    done = from_stdin(clip.read_bytes(), "-o", out, "-a", 2, "--bundle", linear_bundle)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"6 of 64x48 px, standard input" in done.stdout
    assert [each.name for each in out.parent.iterdir()] == ["o.mp4"]
    new = tmp_path / "new" / "frames"
    done = from_stdin(clip.read_bytes(), "-o", new / "%06d.png", "-a", 2, "--bundle", linear_bundle)
    assert (done.returncode, done.stderr) == (0, b"")
    assert sorted(each.name for each in new.iterdir()) == [f"{number:06d}.png" for number in range(1, 7)]
    assert {each.name for each in tmp_path.iterdir()} >= {"c.mkv", "out", "new"}
    digest = hashlib.sha256(clip.read_bytes()).hexdigest()
    with Image.open(new / "000001.png") as picture:
        assert f"clip standard input, sha256 {digest}; amplification 2" in picture.info["Comment"]
    scene = textured(1, side=64)
    sway = (rgb(shifted(scene, 0.2 * np.sin(number), 0)) for number in range(48))
    swaying = write_clip(tmp_path / "s.mkv", sway, codec="ffv1", pixel_format="yuv444p")
    for command, output, *options in (
        ("magnify", "s.png", "--sweep", "log"),
        ("measure", "measured", "--roi", 8, 8, 40, 32),
    ):
        done = from_stdin(swaying.read_bytes(), "-o", tmp_path / output, *options, command=command)
        assert (done.returncode, done.stderr) == (0, b"")
    summary = json.loads((tmp_path / "measured" / "summary.json").read_text(encoding="utf-8"))
    assert summary["provenance"]["clip"]["name"] == summary["clip"] == "standard input"
    assert not list(tmp_path.rglob(".piped-*"))
    for content, expected in (
        (b"", b"standard input: is empty"),
        (b"no clip " * 999, b"standard input: is not a video"),
    ):
        done = from_stdin(content, "-o", out, "--overwrite", "-a", 2, "--bundle", linear_bundle)
        assert done.returncode == 1
        assert expected in done.stderr
        assert done.stderr.count(b"\n") == 1
        assert [each.name for each in out.parent.iterdir()] == ["o.mp4"]
