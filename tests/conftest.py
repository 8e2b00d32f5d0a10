"""Fixtures that several tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import textured_frames, write_bundle, write_clip


@pytest.fixture(scope="session")
def linear_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the linear stand-in network, for frames of any size."""
    return write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """Writes a bundle that differs from the stand-in in what is named; see ``write_bundle``."""
    return lambda **changes: write_bundle(tmp_path / "bundle", **changes)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Ten pictures of 64x48 px at 25 frames/s, encoded without loss: ``textured_frames(10)``."""
    return write_clip(tmp_path / "clip.mp4", textured_frames(10))
