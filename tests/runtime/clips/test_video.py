"""The written video: playable anywhere, its times exact, and whole or not there at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support import mount_small_disk, read_video, textured_frames, unmount

from tremorscope.runtime.clips.h264 import EncodingSettings
from tremorscope.runtime.clips.video import VideoWriter, check_output
from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.frames.frame import Colour


def writer(path: Path, *, comment: str = "", overwrite: bool = False, **changes: Any) -> VideoWriter:
    settings: dict[str, Any] = {
        "width_px": 64,
        "height_px": 48,
        "time_base": Fraction(1, 25),
        "rate_hz": 25.0,
    }
    return VideoWriter(path, EncodingSettings(**settings | changes), comment=comment, overwrite=overwrite)


def test_the_file_is_what_browsers_play(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with writer(path, comment="how it was made") as video:
        for number, picture in enumerate(textured_frames(70)):
            video.write(picture, number / 25)
    data = path.read_bytes()
    assert data[4:8] == b"ftyp"
    assert data.index(b"moov") < data.index(b"mdat")  # plays before it is loaded
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 25
        assert stream.duration * stream.time_base == Fraction(70, 25)
        assert container.metadata["comment"] == "how it was made"
        assert [packet.pts for packet in packets] == [packet.dts for packet in packets]  # no B-frames
        assert [number for number, packet in enumerate(packets) if packet.is_keyframe] == [0, 60]


def test_pictures_come_back_nearly_as_they_were(tmp_path: Path) -> None:
    frames = textured_frames(10, 128, 96)
    path = tmp_path / "out.mp4"
    with writer(path, width_px=128, height_px=96) as video:
        for number, picture in enumerate(frames):
            video.write(picture, number / 25)
    pictures, _ = read_video(path)
    assert float(np.abs(np.asarray(pictures, float) - frames).mean()) < 3


@pytest.mark.parametrize(
    ("time_base", "ticks"),
    [
        (Fraction(1, 1000), [0, 40, 41, 100, 350, 360, 3_600_000]),
        (Fraction(1001, 30000), [0, 1, 2, 3, 10, 11]),
        (Fraction(1, 90000), [0, 3003, 6006, 9009, 9010]),
        (Fraction(1, 1200000), [0, 48000, 48001, 900000]),
        (Fraction(1, 50), [0, 1, 5, 6]),
    ],
)
@pytest.mark.parametrize("start_ticks", [0, 126_000])
def test_times_are_kept_to_the_tick_and_start_at_zero(
    tmp_path: Path, time_base: Fraction, ticks: list[int], start_ticks: int
) -> None:
    path = tmp_path / "out.mp4"
    with writer(path, time_base=time_base) as video:
        for tick, picture in zip(ticks, textured_frames(len(ticks)), strict=True):
            video.write(picture, float((start_ticks + tick) * time_base))
    assert read_video(path)[1] == [tick * time_base for tick in ticks]


@pytest.mark.parametrize(("width_px", "height_px"), [(641, 359), (17, 16), (16, 17)])
def test_odd_sides_are_padded_by_repeating_the_edge(tmp_path: Path, width_px: int, height_px: int) -> None:
    picture = np.full((height_px, width_px, 3), 60, np.uint8)
    picture[:, -1], picture[-1, :] = 200, 200
    path = tmp_path / "out.mp4"
    with writer(path, width_px=width_px, height_px=height_px) as video:
        for number in range(3):
            video.write(picture, number / 25)
    read = read_video(path)[0][0].astype(int)
    assert read.shape == (height_px + height_px % 2, width_px + width_px % 2, 3)
    assert abs(float(read[: height_px - 4, : width_px - 4].mean()) - 60) < 3
    if width_px % 2:
        assert abs(float(read[:, -1].mean()) - 200) < 12
    if height_px % 2:
        assert abs(float(read[-1, :].mean()) - 200) < 12


@pytest.mark.parametrize(("matrix", "name"), [(1, "BT.709"), (6, "BT.601"), (9, "BT.2020")])
def test_colours_survive_in_the_matrix_of_the_clip_and_are_tagged(
    tmp_path: Path,
    matrix: int,
    name: str,  # noqa: ARG001 (names the case)
) -> None:
    path = tmp_path / "out.mp4"
    colours = [(200, 30, 40), (30, 190, 60), (40, 50, 220), (128, 128, 128)]
    with writer(path, colour=Colour(matrix=matrix, primaries=1, transfer=1)) as video:
        for number, colour in enumerate(colours):
            video.write(np.full((48, 64, 3), colour, np.uint8), number / 25)
    with av.open(str(path)) as container:
        frames: list[Any] = list(container.decode(video=0))
    assert [int(frame.colorspace) for frame in frames] == [matrix] * 4
    assert [int(frame.color_range) for frame in frames] == [1] * 4
    kr, kb = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}[matrix]
    for frame, (red, green, blue) in zip(frames, colours, strict=True):
        luma = kr * red + (1 - kr - kb) * green + kb * blue
        expected = (
            16 + luma * 219 / 255,
            128 + (blue - luma) / (2 * (1 - kb)) * 224 / 255,
            128 + (red - luma) / (2 * (1 - kr)) * 224 / 255,
        )
        found = [int(np.frombuffer(plane, np.uint8)[plane.line_size * 10 + 10]) for plane in frame.planes]
        assert found == pytest.approx(expected, abs=2.5)


def test_the_aspect_of_pixels_is_passed_on(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with writer(path, pixel_aspect=Fraction(16, 15)) as video:
        for number, picture in enumerate(textured_frames(3)):
            video.write(picture, number / 25)
    with av.open(str(path)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(16, 15)


# Whole, or not there


def listing(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_nothing_is_there_under_its_name_before_it_is_finished(tmp_path: Path) -> None:
    video = writer(tmp_path / "out.mp4")
    for number, picture in enumerate(textured_frames(5)):
        video.write(picture, number / 25)
    assert "out.mp4" not in listing(tmp_path)
    video.finish()
    assert listing(tmp_path) == ["out.mp4"]
    assert len(read_video(tmp_path / "out.mp4")[0]) == 5


class Trouble(Exception):
    pass


@pytest.mark.parametrize("trouble", [Trouble, KeyboardInterrupt])
@pytest.mark.parametrize("count", [0, 1, 20])
def test_an_exception_leaves_nothing(tmp_path: Path, trouble: type[BaseException], count: int) -> None:
    def work() -> None:
        with writer(tmp_path / "out.mp4") as video:
            for number, picture in enumerate(textured_frames(count)):
                video.write(picture, number / 25)
            raise trouble

    with pytest.raises(trouble):
        work()
    assert listing(tmp_path) == []


def test_an_exception_leaves_the_video_that_was_to_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"the older video")

    def work() -> None:
        with writer(path, overwrite=True) as video:
            video.write(textured_frames(1)[0], 0.0)
            raise Trouble

    with pytest.raises(Trouble):
        work()
    assert path.read_bytes() == b"the older video"
    assert listing(tmp_path) == ["out.mp4"]


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    video = writer(path)
    video.write(textured_frames(1)[0], 0.0)
    path.write_bytes(b"somebody else's")
    with pytest.raises(OutputFault, match="exists already"):
        video.finish()
    assert path.read_bytes() == b"somebody else's"
    assert listing(tmp_path) == ["out.mp4"]


def test_what_does_not_read_back_is_not_reported_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = writer(tmp_path / "out.mp4")
    for number, picture in enumerate(textured_frames(10)):
        video.write(picture, number / 25)
    close = video._close

    def close_and_lose_the_end() -> None:  # as a disk does that fills behind the system's back
        close()
        for partial in tmp_path.iterdir():
            os.truncate(partial, partial.stat().st_size // 2)

    monkeypatch.setattr(video, "_close", close_and_lose_the_end)
    with pytest.raises(OutputFault, match=r"of 10 pictures can be read back"):
        video.finish()
    assert listing(tmp_path) == []


def test_a_video_of_no_picture_is_not_written(tmp_path: Path) -> None:
    video = writer(tmp_path / "out.mp4")
    with pytest.raises(ValueError, match="no picture"):
        video.finish()
    assert listing(tmp_path) == []


def test_times_must_advance(tmp_path: Path) -> None:
    video = writer(tmp_path / "out.mp4")
    video.write(textured_frames(1)[0], 1.0)
    with pytest.raises(ValueError, match="not later"):
        video.write(textured_frames(1)[0], 1.0)
    video.discard()
    video.discard()
    assert listing(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    mount_small_disk(tmp_path, "size=256k")
    yield tmp_path
    unmount(tmp_path)


def test_a_disk_that_fills_is_a_fault_and_is_left_clean(small_disk: Path) -> None:
    rng = np.random.default_rng(0)
    video = writer(small_disk / "out.mp4", width_px=256, height_px=256)

    def work() -> None:
        with video:
            for number in range(200):
                video.write(rng.integers(0, 256, (256, 256, 3), dtype=np.uint8), number / 25)

    with pytest.raises(OutputFault, match=r"the disk is full: free some space"):
        work()
    assert 0 < video.count < 200
    assert listing(small_disk) == []


# Refused before any work


def test_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputFault, match=r"not written as \.avi: name it with \.mp4, .*, e\.g\. out\.mp4"):
        check_output(tmp_path / "out.avi", overwrite=False)


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputFault, match=r"there is no directory .*make the directory first"):
        check_output(tmp_path / "none" / "out.mp4", overwrite=False)


def test_an_existing_file_is_replaced_only_when_told(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.touch()
    with pytest.raises(OutputFault, match="exists already: name another file, or add --overwrite"):
        check_output(path, overwrite=False)
    check_output(path, overwrite=True)


def test_a_directory_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.mkdir()
    with pytest.raises(OutputFault, match="is a directory"):
        check_output(path, overwrite=True)


def test_the_clip_itself_is_never_replaced(tmp_path: Path) -> None:
    path, link = tmp_path / "clip.mp4", tmp_path / "link.mp4"
    path.touch()
    link.symlink_to(path)
    for output in (path, link):
        with pytest.raises(OutputFault, match="is the clip itself"):
            check_output(output, overwrite=True, source=path)
