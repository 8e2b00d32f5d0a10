"""A part of the files that ``python tests/sixty_files.py`` surveys, one of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from sixty_files import FILES, PublicFile, judge

SAMPLE = (
    *("mp4 h264, b-frames", "mp4 h264, poor", "avi h264, b-frames", "mpeg transport stream", "gif"),
    *("hevc, 10 bit", "lost frames that the times show", "24 to 30 frames/s by doubling"),
    *("folder of png with gaps", "times that go back", "a hole in mp4", "one frame"),
)


def test_the_survey_is_as_large_as_it_says() -> None:
    assert len({file.name for file in FILES}) == len(FILES) >= 60


@pytest.mark.parametrize("file", [each for each in FILES if each.name in SAMPLE], ids=lambda each: each.name)
def test_a_public_file_is_measured_or_refused_with_its_cause(file: PublicFile, tmp_path: Path) -> None:
    good, told = judge(file, tmp_path)
    assert good, told
