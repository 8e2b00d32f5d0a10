"""A cut file is told from a whole one by its structure, in every family of containers."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import textured_frames, write_clip

from tremorscope.runtime.cameras.intactness import inspect_structure

KINDS = [
    ("mp4", "libx264", "iso"),
    ("mov", "mpeg4", "iso"),
    ("mkv", "ffv1", "matroska"),
    ("avi", "mpeg4", "avi"),
]


def make(directory: Path, suffix: str, codec: str) -> Path:
    return write_clip(
        directory / f"clip.{suffix}",
        textured_frames(8),
        codec=codec,
        pixel_format="yuv420p",
        faststart=suffix in ("mp4", "mov"),
    )


@pytest.mark.parametrize(("suffix", "codec", "family"), KINDS)
def test_a_whole_file_misses_nothing(tmp_path: Path, suffix: str, codec: str, family: str) -> None:
    structure = inspect_structure(make(tmp_path, suffix, codec))
    assert (structure.family, structure.missing_bytes, structure.has_index) == (family, 0, True)


@pytest.mark.parametrize(("suffix", "codec", "family"), KINDS)
@pytest.mark.parametrize("cut_bytes", [1, 100, 500])
def test_a_cut_file_misses_what_was_cut(
    tmp_path: Path, suffix: str, codec: str, family: str, cut_bytes: int
) -> None:
    whole = make(tmp_path, suffix, codec)
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[:-cut_bytes])
    structure = inspect_structure(cut)
    assert structure.family == family
    assert structure.missing_bytes == cut_bytes


def test_an_mp4_without_its_index_is_recognised(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "clip.mp4", textured_frames(8)).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: whole.index(b"moov") - 4])
    structure = inspect_structure(cut)
    assert (structure.family, structure.has_index) == ("iso", False)


@pytest.mark.parametrize("content", [b"", b"x", b"ftyp", b"\x1a\x45\xdf\xa3", b"RIFF1234AVI ", b"\x00" * 64])
def test_any_bytes_can_be_inspected(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(content)
    inspect_structure(path)
