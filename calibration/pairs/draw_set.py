"""A calibration set of drawn pairs on disk, for trials without a camera and for measuring the calibration itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.pairs.calibration_set import MANIFEST_NAME, SetManifest
from tremorscope.calibration.pairs.set_writer import RESERVE_BYTES, NewPair, SetWriter, held
from tremorscope.runtime.engines.interface.manifest import FrameSize

# A fixed capture time keeps equal sets of drawn pictures equal.
_NO_TIME = datetime(2000, 1, 1, tzinfo=timezone.utc)


def draw_set(
    directory: Path,
    size: FrameSize,
    count: int,
    seed: int = 0,
    progress: Callable[[int, int | None], None] = lambda _done, _total: None,
    *,
    reserve_bytes: int = RESERVE_BYTES,
) -> SetManifest:
    """Draw a set, or resume one that was begun; the same arguments give the same set.

    Raises:
        CalibrationFault: the directory holds something else, or the disk is too full.
        OutputFault: it cannot be written.
    """
    settings: dict[str, Any] = {"drawn": {"seed": seed}}
    with held(directory):
        if (directory / MANIFEST_NAME).exists():
            writer = SetWriter.resume(directory, reserve_bytes=reserve_bytes)
            found = writer.manifest
            if (found.capture, found.frame_size, found.wanted) != (settings, size, count):
                raise CalibrationFault(
                    f"{directory}: holds another set", remedy="name a new or an empty directory"
                )
        else:
            writer = SetWriter.create(
                directory,
                frame_size=size,
                source=f"drawn, seed {seed}",
                wanted=count,
                capture=settings,
                reserve_bytes=reserve_bytes,
            )
        if not writer.manifest.complete:
            _draw(writer, size, count, seed, progress)
            writer.finish()
        return writer.manifest


def _draw(
    writer: SetWriter, size: FrameSize, count: int, seed: int, progress: Callable[[int, int | None], None]
) -> None:
    from tremorscope.calibration.pairs.drawn import draw

    for index, pair in enumerate(draw(size, count, seed, first=writer.count), start=writer.count):
        writer.add(NewPair(pair.frame, pair.reference, _NO_TIME, "dynamic", 1, 0.0))
        progress(index + 1, count)
