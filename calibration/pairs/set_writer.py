"""Writing of a calibration set, a pair at a time: a kill or a power cut costs at most one pair."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.pairs.calibration_set import (
    MANIFEST_NAME,
    PairEntry,
    PairMode,
    Picture,
    SetManifest,
    contrast_of,
    luma_of,
    read_manifest,
)
from tremorscope.calibration.pairs.pair_files import encode_pair
from tremorscope.runtime.engines.interface.bundle import sha256_of
from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.host.files import cannot_be_written, whole_file
from tremorscope.runtime.store.disk import free_bytes
from tremorscope.runtime.store.settings import DiskSettings

RESERVE_BYTES = DiskSettings().level_bytes("previews")
"""Free space that a capture leaves, the first level at which the service saves disk space."""


@dataclass(frozen=True)
class NewPair:
    """A pair to store, with its metadata."""

    frame: Picture
    reference: Picture
    captured_at: datetime
    """Capture time of the frame, with its time zone."""
    mode: PairMode
    frames_apart: int
    seconds_apart: float
    left_px: int = 0
    top_px: int = 0
    signature: str = ""
    """Features for the recognition of near-duplicates; see `calibration.pairs.duplicates`."""


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Hold an exclusive lock on a set's directory, which is created if missing.

    Raises:
        CalibrationFault: another process is writing there.
        OutputFault: it cannot be created.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise cannot_be_written(directory, error) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released by the kernel at any exit
        except BlockingIOError:
            raise CalibrationFault(
                f"{directory}: another capture is writing there", remedy="wait for it to end"
            ) from None
        yield
    finally:
        os.close(lock)


class SetWriter:
    """Exclusive writer of a set; use it within `held`.

    A pair is written and flushed before the manifest that lists it; files that the manifest does not list are removed
    when the set is opened again.
    """

    def __init__(self, directory: Path, manifest: SetManifest, *, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._directory, self._reserve_bytes = directory, reserve_bytes
        self.manifest = manifest

    @classmethod
    def create(
        cls,
        directory: Path,
        *,
        frame_size: FrameSize,
        source: str,
        wanted: int,
        capture: dict[str, Any],
        reserve_bytes: int = RESERVE_BYTES,
    ) -> SetWriter:
        """Begin a set in an empty directory.

        Raises:
            CalibrationFault: the directory is not empty.
            OutputFault: it cannot be written.
        """
        _sweep_unfinished(directory)
        foreign = sorted(path.name for path in directory.iterdir())
        if foreign:
            raise CalibrationFault(
                f"{directory}: holds other files, such as {foreign[0]}",
                remedy="name a new or an empty directory",
            )
        manifest = SetManifest(
            frame_size=frame_size,
            source=source,
            wanted=wanted,
            complete=False,
            count=0,
            pairs=(),
            capture=capture,
            versions={"tremorscope": version("tremorscope"), "av": version("av")},
            sha256="",
        )
        writer = cls(directory, manifest, reserve_bytes=reserve_bytes)
        writer._store(manifest)
        return writer

    @classmethod
    def resume(cls, directory: Path, *, reserve_bytes: int = RESERVE_BYTES) -> SetWriter:
        """Open an existing set, finished or not; unfinished files of an interrupted run are removed.

        Raises:
            CalibrationFault: there is no set, or it was changed.
            OutputFault: it cannot be written.
        """
        manifest = read_manifest(directory)
        writer = cls(directory, manifest, reserve_bytes=reserve_bytes)
        if manifest.complete:
            return writer
        last = manifest.pairs[-1] if manifest.pairs else None
        if last is not None and not _is_whole(directory / last.file, last.sha256):
            # A disk that lost confirmed writes can have damaged the last pair, and only that.
            writer._store(manifest.model_copy(update={"pairs": manifest.pairs[:-1]}))
        _sweep(directory, {entry.file for entry in writer.manifest.pairs})
        return writer

    @property
    def count(self) -> int:
        """Pairs in the set."""
        return self.manifest.count

    def add(self, pair: NewPair, capture: dict[str, Any] | None = None) -> PairEntry:
        """Store a pair durably.

        Args:
            pair: its pictures are u8[H, W, 3] of the set's size.
            capture: new state of the capture in the manifest.

        Raises:
            CalibrationFault: the disk is too full.
            OutputFault: it cannot be written.
        """
        content = encode_pair(pair.frame, pair.reference)
        self._check_room(len(content))
        frame_luma = luma_of(pair.frame)
        entry = PairEntry(
            file=f"pair-{self.count:06d}.mkv",
            sha256=hashlib.sha256(content).hexdigest(),
            captured_at=pair.captured_at,
            mode=pair.mode,
            frames_apart=pair.frames_apart,
            seconds_apart=round(pair.seconds_apart, 6),
            left_px=pair.left_px,
            top_px=pair.top_px,
            brightness=round(float(frame_luma.mean()), 3),
            contrast=round(contrast_of(frame_luma), 3),
            change=round(float(abs(frame_luma - luma_of(pair.reference)).mean()), 4),
            signature=pair.signature,
        )
        with whole_file(self._directory / entry.file, flush_name=True) as file:
            file.write(content)
        self._store(self.manifest.model_copy(update={"pairs": (*self.manifest.pairs, entry)}), capture)
        return entry

    def note(self, capture: dict[str, Any]) -> None:
        """Replace the state of the capture in the manifest.

        Raises:
            OutputFault: it cannot be written.
        """
        self._store(self.manifest, capture)

    def finish(self) -> None:
        """Close the set: it can be calibrated with, and takes no more pairs.

        Raises:
            OutputFault: it cannot be written.
        """
        self._store(self.manifest.model_copy(update={"complete": True}))

    def _store(self, manifest: SetManifest, capture: dict[str, Any] | None = None) -> None:
        update: dict[str, Any] = {"count": len(manifest.pairs)}
        if capture is not None:
            update["capture"] = capture
        sealed = manifest.model_copy(update=update).sealed()
        with whole_file(self._directory / MANIFEST_NAME, flush_name=True) as file:
            file.write(sealed.model_dump_json(indent=1).encode())
        self.manifest = sealed

    def _check_room(self, nbytes: int) -> None:
        try:
            free = free_bytes(self._directory)
        except OSError as error:
            raise cannot_be_written(self._directory, error) from None
        if free - nbytes < self._reserve_bytes:
            raise CalibrationFault(
                f"{self._directory}: {free / 1e9:.2f} GB free; a pair of {nbytes / 1e6:.1f} MB would leave less than "
                f"the reserve of {self._reserve_bytes / 1e9:g} GB",
                remedy=f"free some space and go on, or close the set with its {self.count} pairs (--finish)",
            )


def _is_whole(path: Path, sha256: str) -> bool:
    try:
        return sha256_of(path) == sha256
    except OSError:
        return False


def _sweep(directory: Path, named: set[str]) -> None:
    """Remove the leftovers of an interrupted writer: pairs that the manifest does not list, and partial files."""
    _sweep_unfinished(directory)
    for path in directory.glob("pair-*.mkv"):
        if path.name not in named:
            path.unlink()


def _sweep_unfinished(directory: Path) -> None:
    for path in directory.glob(".*.partial-*"):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
