"""Clips of every kind as a camera: pixels, times, and a clear refusal of what cannot be read."""

from __future__ import annotations

import shutil
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from support import ROOT, Picture, textured_frames, write_clip

from tremorscope.runtime.cameras.clip import ClipCamera
from tremorscope.runtime.errors import ClipFault


def read_all(path: Path) -> tuple[list[Picture], list[float]]:
    camera = ClipCamera(path)
    pictures, times_s = [], []
    while True:
        pixels = np.zeros((camera.height_px, camera.width_px, 3), np.uint8)
        info = camera.read_into(pixels)
        if info is None:
            break
        assert info.sequence == len(pictures)
        pictures.append(pixels)
        times_s.append(info.timestamp_s)
    camera.close()
    return pictures, times_s


def refusal(path: Path) -> str:
    with pytest.raises(ClipFault) as caught:
        read_all(path)
    return str(caught.value)


def turn(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Set a, b, c, d of the display matrix (ISO/IEC 14496-12, 8.3.2): (x, y) goes to (ax + cy, bx + dy)."""
    data = bytearray(path.read_bytes())
    a, b, c, d = (value << 16 for value in matrix)
    start = data.index(b"tkhd") + 4 + 40
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def write_yuv(
    path: Path, yuv: tuple[int, int, int], *, width_px: int = 64, height_px: int = 48, matrix_code: int = 2
) -> None:
    """Two pictures of one colour, without loss; matrix 2 is "not stated"."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv444p"
        stream.codec_context.colorspace = matrix_code
        stream.codec_context.color_range = 1
        for number in range(2):
            frame = av.VideoFrame(width_px, height_px, "yuv444p")
            for plane, value in zip(frame.planes, yuv, strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            frame.colorspace, frame.color_range, frame.pts = matrix_code, 1, number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


# Pixels


@pytest.mark.parametrize(("width_px", "height_px"), [(64, 48), (641, 359), (16, 16), (17, 31)])
def test_pixels_of_a_lossless_clip_come_back_exactly(tmp_path: Path, width_px: int, height_px: int) -> None:
    frames = textured_frames(5, width_px, height_px)
    pictures, _ = read_all(write_clip(tmp_path / "clip.mkv", frames))
    assert len(pictures) == 5
    np.testing.assert_array_equal(pictures, frames)


RAMP = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 32, axis=0).repeat(3, axis=2)


@pytest.mark.parametrize("pixel_format", ["gray", "gray10le", "gray16le"])
def test_a_grey_clip_becomes_grey_rgb(tmp_path: Path, pixel_format: str) -> None:
    path = write_clip(tmp_path / "c.mkv", [RAMP] * 3, codec="ffv1", pixel_format=pixel_format)
    pictures, _ = read_all(path)
    for picture in pictures:
        assert int(np.ptp(picture, axis=2).max()) == 0
        assert int(np.abs(picture.astype(int) - RAMP).max()) <= 1


def test_grey_h264_is_of_limited_range_as_in_every_player(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "c.mp4", [RAMP] * 3, codec="libx264", pixel_format="gray", options={"qp": "0"}
    )
    pictures, _ = read_all(path)
    # 16 is black and 235 is white (ITU-R BT.601, 2.5.3).
    assert pictures[0][5, [16, 71, 126, 180, 235], 1].tolist() == pytest.approx([0, 64, 128, 191, 255], abs=1)
    assert int(np.ptp(pictures[0], axis=2).max()) == 0


@pytest.mark.parametrize("pixel_format", ["yuv420p10le", "yuv422p10le", "yuv444p10le"])
def test_a_10_bit_clip_becomes_8_bit_without_a_shift(tmp_path: Path, pixel_format: str) -> None:
    grey = [np.full((48, 64, 3), value, np.uint8) for value in (16, 60, 128, 200, 250)]
    path = write_clip(tmp_path / "c.mkv", grey, codec="ffv1", pixel_format=pixel_format)
    pictures, _ = read_all(path)
    means = [float(picture.mean()) for picture in pictures]
    assert means == pytest.approx([16, 60, 128, 200, 250], abs=0.6)


@pytest.mark.parametrize(("matrix_code", "expected_rgb"), [(1, (255, 24, 0)), (6, (254, 0, 0))])
def test_yuv_is_converted_by_the_matrix_that_the_clip_states(
    tmp_path: Path, matrix_code: int, expected_rgb: tuple[int, int, int]
) -> None:
    # Red after BT.601 is Y 81, Cb 90, Cr 240; the same numbers are another colour after BT.709.
    path = tmp_path / "red.mkv"
    write_yuv(path, (81, 90, 240), matrix_code=matrix_code)
    np.testing.assert_allclose(read_all(path)[0][0][20, 20], expected_rgb, atol=2)


@pytest.mark.parametrize(
    ("width_px", "height_px", "expected_rgb"), [(640, 480, (254, 0, 0)), (1280, 720, (255, 24, 0))]
)
def test_a_matrix_that_is_not_stated_is_the_usual_one_for_the_height(
    tmp_path: Path, width_px: int, height_px: int, expected_rgb: tuple[int, int, int]
) -> None:
    path = tmp_path / "red.mkv"
    write_yuv(path, (81, 90, 240), width_px=width_px, height_px=height_px)
    np.testing.assert_allclose(read_all(path)[0][0][20, 20], expected_rgb, atol=2)


# (a, b, c, d) and how the picture must stand then, by the definition of the matrix.
TURNS = {
    "upright": ((1, 0, 0, 1), lambda p: p),
    "clockwise": ((0, 1, -1, 0), lambda p: np.transpose(p, (1, 0, 2))[:, ::-1]),
    "upside down": ((-1, 0, 0, -1), lambda p: p[::-1, ::-1]),
    "counter-clockwise": ((0, -1, 1, 0), lambda p: np.transpose(p, (1, 0, 2))[::-1]),
    "mirrored": ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    "mirrored upside down": ((1, 0, 0, -1), lambda p: p[::-1]),
    "transposed": ((0, 1, 1, 0), lambda p: np.transpose(p, (1, 0, 2))),
    "transposed and turned": ((0, -1, -1, 0), lambda p: np.transpose(p, (1, 0, 2))[::-1, ::-1]),
}


@pytest.mark.parametrize("name", TURNS)
def test_a_picture_filmed_turned_stands_upright(tmp_path: Path, name: str) -> None:
    matrix, expected = TURNS[name]
    frames = textured_frames(3)
    frames[0][:8, :8] = 255  # a mark in the corner that is stored first
    path = write_clip(tmp_path / "clip.mp4", frames)
    turn(path, matrix)
    pictures, _ = read_all(path)
    np.testing.assert_array_equal(pictures[0], expected(frames[0]))


def test_a_4k_clip_is_read(tmp_path: Path) -> None:
    frames = [np.full((2160, 3840, 3), value, np.uint8) for value in (90, 130)]
    path = write_clip(
        tmp_path / "c.mp4", frames, codec="libx264", pixel_format="yuv420p", options={"preset": "ultrafast"}
    )
    pictures, _ = read_all(path)
    assert [picture.shape for picture in pictures] == [(2160, 3840, 3)] * 2
    assert [float(picture.mean()) for picture in pictures] == pytest.approx([90, 130], abs=1)


# Times


@pytest.mark.parametrize(
    ("suffix", "time_base", "ticks"),
    [
        ("mp4", Fraction(1, 90000), [0, 3003, 6006, 12012, 12013, 90000]),
        ("mp4", Fraction(1001, 30000), [0, 1, 2, 3, 4, 5]),
        ("mkv", Fraction(1, 1000), [0, 40, 41, 140, 999, 3_600_000]),
    ],
)
def test_variable_times_are_kept_to_the_tick(
    tmp_path: Path, suffix: str, time_base: Fraction, ticks: list[int]
) -> None:
    path = write_clip(tmp_path / f"c.{suffix}", textured_frames(6), ticks=ticks, time_base=time_base)
    _, times_s = read_all(path)
    assert times_s == [float(tick * time_base) for tick in ticks]


def test_a_raw_stream_without_times_is_taken_as_even(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "c.h264", textured_frames(6), codec="libx264", pixel_format="yuv420p", rate=50
    )
    camera = ClipCamera(path)
    assert not camera.has_timestamps
    camera.close()
    _, times_s = read_all(path)
    assert np.diff(times_s) == pytest.approx([1 / camera.nominal_rate_hz] * 5)


def test_what_the_container_announces_is_told(clip: Path) -> None:
    camera = ClipCamera(clip)
    assert (camera.width_px, camera.height_px) == (64, 48)
    assert camera.nominal_rate_hz == 25
    assert camera.frame_count_estimate == 10
    assert camera.pixel_aspect == 1
    camera.close()
    camera.close()


@pytest.mark.parametrize(
    ("suffix", "codec", "pixel_format"),
    [
        ("avi", "mjpeg", "yuvj420p"),
        ("webm", "libvpx", "yuv420p"),
        ("ts", "libx264", "yuv420p"),
        ("gif", "gif", "rgb8"),
    ],
)
def test_other_containers_are_read_to_the_last_frame(
    tmp_path: Path, suffix: str, codec: str, pixel_format: str
) -> None:
    path = write_clip(tmp_path / f"c.{suffix}", textured_frames(9), codec=codec, pixel_format=pixel_format)
    pictures, times_s = read_all(path)
    assert len(pictures) == 9
    assert np.diff(times_s) == pytest.approx([0.04] * 8, abs=1e-3)


@pytest.mark.parametrize(
    ("suffix", "codec"), [("avi", "libx264"), ("avi", "mpeg4"), ("wmv", "wmv2"), ("asf", "mpeg4")]
)
def test_b_frames_without_presentation_times_take_the_decode_times_in_their_order(
    tmp_path: Path, suffix: str, codec: str
) -> None:
    frames = textured_frames(24, step_px=1.0)
    options = {} if codec == "wmv2" else {"bf": "2"}
    path = write_clip(
        tmp_path / f"c.{suffix}", frames, codec=codec, pixel_format="yuv420p", options={"b": "4M"} | options
    )
    pictures, times_s = read_all(path)
    assert np.diff(times_s) == pytest.approx([0.04] * 23, abs=1e-6)
    for picture, frame in zip(pictures, frames, strict=True):  # in the order in which they were filmed
        off = [float(np.abs(picture.astype(int) - other).mean()) for other in frames]
        assert min(off) == off[[other is frame for other in frames].index(True)]


def test_decode_times_are_told(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "c.avi", textured_frames(9), codec="libx264", pixel_format="yuv420p", options={"bf": "3"}
    )
    camera = ClipCamera(path)
    assert camera.has_timestamps
    assert camera.notes() == [
        "the clip holds no presentation times: frames take the decode times in their order"
    ]
    camera.close()


@pytest.mark.parametrize("defaults", [(False, True), (False, False), (True, True)])
def test_of_two_streams_the_default_or_the_largest_is_read(
    tmp_path: Path, defaults: tuple[bool, bool]
) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        streams = []
        for (width_px, height_px), default in zip([(32, 24), (64, 48)], defaults, strict=True):
            stream = container.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
            stream.disposition = av.stream.Disposition.default if default else av.stream.Disposition(0)
            streams.append(stream)
        for number in range(5):
            for stream in streams:
                picture = textured_frames(5, stream.width, stream.height)[number]
                frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
                frame.pts = number
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    camera = ClipCamera(path)
    assert (camera.width_px, camera.height_px) == (64, 48)
    (note,) = camera.notes()
    assert note.startswith("2 video streams: number 2 is read, the ")
    camera.close()


def test_animated_pictures_are_read_or_refused_for_what_they_are(tmp_path: Path) -> None:
    first, *others = (Image.fromarray(frame) for frame in textured_frames(20))
    for suffix in ("gif", "png", "avif", "webp"):
        path = tmp_path / f"{suffix}.{suffix}"
        first.save(path, save_all=True, append_images=others, duration=40)
        if suffix != "webp":
            assert len(read_all(path)[0]) == 20
            continue
        assert "webp.webp: is an animated WebP, which FFmpeg does not read: save its pictures" in refusal(
            path
        )


def test_interlaced_frames_are_told_with_the_remedy(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "c.mp4",
        textured_frames(6),
        codec="libx264",
        pixel_format="yuv420p",
        options={"x264-params": "interlaced=1"},
    )
    camera = ClipCamera(path)
    pixels = np.zeros((48, 64, 3), np.uint8)
    while camera.read_into(pixels) is not None:
        pass
    (note,) = camera.notes()
    assert note.startswith("6 of 6 frames are interlaced")
    assert note.endswith(f"ffmpeg -i {path} -vf bwdif=send_field -crf 10 fields.mp4")
    camera.close()


# Refusals


def test_a_missing_clip_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.mp4") == f"{tmp_path}/none.mp4: no such file: check the path"


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path}: is a directory: name one clip in it"


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    assert "is empty" in refusal(path)


@pytest.mark.parametrize("name", ["notes.txt", "notes.mp4", "notes"])
def test_a_text_file_is_refused_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("The mast was filmed from the north side.\n" * 50)
    assert refusal(path).startswith(f"{path}: is not a video: name a video clip")


def test_a_recording_of_sound_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert "holds no video" in refusal(path)


@pytest.mark.parametrize(("width_px", "height_px"), [(14, 64), (64, 8)])
def test_a_picture_under_16_px_is_refused(tmp_path: Path, width_px: int, height_px: int) -> None:
    path = write_clip(tmp_path / "c.mkv", textured_frames(3, width_px, height_px))
    assert f"{width_px}x{height_px} px is too small: use a clip of at least 16x16 px" in refusal(path)


def test_a_clip_cut_before_its_index_is_refused(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "c.mp4", textured_frames(20)).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    assert "cut short: 0 frames are readable, because the index of the recording (moov)" in refusal(path)


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "libx264"), ("mkv", "ffv1"), ("avi", "mjpeg")])
def test_a_clip_cut_in_its_pictures_is_refused_with_what_is_readable(
    tmp_path: Path, suffix: str, codec: str
) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(40)]
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    whole = write_clip(
        tmp_path / f"c.{suffix}", noise, codec=codec, pixel_format=pixel_format, faststart=True
    )
    path = tmp_path / f"a cut.{suffix}"
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    message = refusal(path)
    readable = int(message.partition("cut short: ")[2].split()[0])
    assert 15 <= readable <= 28
    assert f"{readable} of 40 frames are readable" in message
    assert f"ffmpeg -i '{path}' -c copy repaired.mp4" in message


def test_as_many_frames_are_readable_as_a_cut_clip_is_said_to_have(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    noise = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(40)]
    whole = write_clip(tmp_path / "c.mp4", noise, codec="libx264", pixel_format="yuv420p", faststart=True)
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    stated = int(refusal(path).partition("cut short: ")[2].split()[0])
    decoder = av.CodecContext.create("h264", "r")
    with av.open(str(path)) as container:
        decoder.extradata = container.streams.video[0].codec_context.extradata
        packets = [packet for packet in container.demux(video=0) if not packet.is_corrupt and packet.size]
    decoded = sum(len(decoder.decode(packet)) for packet in packets) + len(decoder.decode(None))
    assert decoded == stated


def test_a_clip_with_a_blank_tail_is_refused_at_its_first_lost_frame(tmp_path: Path) -> None:
    # What a file system leaves when the power goes: the length is right, the content is zeros.
    rng = np.random.default_rng(2)
    noise = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(40)]
    path = write_clip(tmp_path / "c.mp4", noise, codec="libx264", pixel_format="yuv420p", faststart=True)
    data = bytearray(path.read_bytes())
    blank = int(len(data) * 0.4)
    data[-blank:] = bytes(blank)
    path.write_bytes(data)
    message = refusal(path)
    number = int(message.partition("damaged: frame ")[2].split()[0])
    assert 15 <= number <= 28
    assert f"frame {number} of 40 cannot be decoded" in message


def test_times_that_run_backwards_are_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "c.mkv", textured_frames(4), codec="ffv1", pixel_format="bgr0")
    # A Matroska block starts with its track, its time in ms (16 bits) and its flags (RFC 9559, 10.2).
    third, second = b"\x81\x00\x50\x00", b"\x81\x00\x28\x00"  # at 80 ms and at 40 ms
    data = path.read_bytes()
    assert data.count(third) == 1
    path.write_bytes(data.replace(third, second))
    assert "frame 3 has no time later than the frame before it" in refusal(path)


def test_a_picture_that_changes_its_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.h264"
    parts = [
        write_clip(
            tmp_path / f"{width}.h264", textured_frames(3, width), codec="libx264", pixel_format="yuv420p"
        )
        for width in (64, 96)
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert "changes from 64x48 yuv420p to 96x48 yuv420p at frame 4" in refusal(path)


def test_a_comment_in_another_encoding_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "c.mp4"
    with av.open(str(path), "w") as container:
        container.metadata["comment"] = "filmed by hand"
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number, picture in enumerate(textured_frames(3)):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"by hand", b"by J\xfcrg"))
    assert len(read_all(path)[0]) == 3


CLIPS = ROOT.parent / "shared" / "clips"


@pytest.mark.skipif(not CLIPS.is_dir(), reason="needs the collection of real clips beside the repository")
@pytest.mark.parametrize(
    ("name", "width_px", "height_px", "count"),
    [("guitar.mp4", 432, 192, 300), ("crane_crop.mp4", 280, 280, 212), ("baby.mp4", 960, 544, 301)],
)
def test_real_clips_are_read_to_the_last_frame(name: str, width_px: int, height_px: int, count: int) -> None:
    camera = ClipCamera(CLIPS / name)
    assert (camera.width_px, camera.height_px) == (width_px, height_px)
    pixels = np.zeros((height_px, width_px, 3), np.uint8)
    read = 0
    while camera.read_into(pixels) is not None:
        read += 1
    camera.close()
    assert read == count


def test_a_read_only_clip_is_read(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "read only.mp4"
    shutil.copy(clip, path)
    path.chmod(0o444)
    assert len(read_all(path)[0]) == 10


@pytest.mark.parametrize(
    ("stated_px", "told"),
    [
        (16000, "16000x16000 px is too large: a decoder would take gigabytes"),
        (320, "frame 1 .* cannot be decoded"),
    ],
)
def test_a_picture_of_16000_px_is_refused_by_its_header(stated_px: int, told: str, tmp_path: Path) -> None:
    """That of the container, or of the picture where the container states less."""
    with av.open(str(tmp_path / "s.avi"), "w") as small:
        stream = small.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        packets = [*stream.encode(av.VideoFrame(64, 48, "yuvj420p")), *stream.encode(None)]
    jpeg = bytearray(bytes(packets[0]))
    start = jpeg.index(b"\xff\xc0")
    jpeg[start + 5 : start + 9] = struct.pack(">HH", 16000, 16000)
    path = tmp_path / "big.avi"
    with av.open(str(path), "w") as big:
        stream = big.add_mux_stream("mjpeg", rate=25, width=stated_px, height=stated_px)
        for number in range(3):
            packet = av.Packet(bytes(jpeg))
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 25)
            big.mux(packet)
    with pytest.raises(ClipFault, match=told):
        ClipCamera(path)
