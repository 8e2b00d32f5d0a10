"""Clip files of events: written under a temporary name, read back whole, and only then renamed."""

from __future__ import annotations

import contextlib
import re
from array import array
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tremorscope.files import flush_entry, reason_of
from tremorscope.runtime.cameras.clip import ClipCamera
from tremorscope.runtime.clips.h264 import NEAR_LOSSLESS, EncodingSettings
from tremorscope.runtime.clips.nvenc import EncoderChoice
from tremorscope.runtime.clips.video import SUFFIX, VideoWriter
from tremorscope.runtime.errors import ClipFault, OutputFault
from tremorscope.runtime.store.records import Clip, ClipKind, EventRecord, Record
from tremorscope.runtime.vibration.displacement.coding_loss import coding_errors_px
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.displacement.windows import luma

TIME_BASE = Fraction(1, 90_000)
"""Resolution of the times in a clip: 11 microseconds."""
_ASIDE = ".unverified"
_NAMED = re.compile(rf"(\d{{8}}T\d{{6}}\.\d{{3}}Z(?:-\d+)?)-(raw|magnified){re.escape(SUFFIX)}")
_TIME_FORMAT = "%Y%m%dT%H%M%S.%f"


def event_name(unix_s: float) -> str:
    """The name of an event by its time in UTC, e.g. ``20261122T134510.123Z``."""
    text = datetime.fromtimestamp(unix_s, timezone.utc).strftime(_TIME_FORMAT)
    return f"{text[:-3]}Z"


def clip_name(event: str, kind: ClipKind) -> str:
    """The file name of an event's clip."""
    return f"{event}-{kind}{SUFFIX}"


class EventClipWriter:
    """Writer of one clip. Until ``publish`` has returned, the file's name marks it as partial."""

    def __init__(
        self,
        path: Path,
        *,
        width_px: int,
        height_px: int,
        rate_hz: float,
        comment: str,
        encoder: EncoderChoice = "x264",
        near_lossless: bool = False,
    ) -> None:
        """Start a clip that will be at ``path``; ``near_lossless`` takes five to twenty times the room.

        Raises:
            OutputFault: it cannot be written.
        """
        self._path = path
        self._aside = path.with_name(f".{path.stem}{_ASIDE}{SUFFIX}")
        self._ticks = array("q")
        self._start_s = 0.0
        self._writer = VideoWriter(
            self._aside,
            EncodingSettings(
                width_px,
                height_px,
                rate_hz,
                TIME_BASE,
                constant_rate_factor=NEAR_LOSSLESS
                if near_lossless
                else EncodingSettings.constant_rate_factor,
            ),
            comment=comment,
            overwrite=True,
            encoder=encoder,
        )

    @property
    def frames(self) -> int:
        """Number of frames written."""
        return len(self._ticks)

    def write(self, picture: NDArray[np.uint8], timestamp_s: float) -> None:
        """Add a picture, u8[H, W, 3], later by at least 11 microseconds than the one before.

        Raises:
            OutputFault: it cannot be written; call ``discard`` then.
        """
        if not self._ticks:
            self._start_s = timestamp_s
        self._writer.write(picture, timestamp_s)
        self._ticks.append(round((timestamp_s - self._start_s) / TIME_BASE))

    def publish(self) -> ReadBack:
        """Complete the clip, decode all of it, compare every time, give it its name; returns what was read.

        Raises:
            OutputFault: it cannot be completed or does not read back as it was written; nothing is left then.
        """
        try:
            self._writer.finish()
            found = read_back(self._aside)
            if found.ticks != self._ticks:
                raise OutputFault(
                    f"{self._path}: {len(found.ticks)} of {len(self._ticks)} frames read back at their times",
                    remedy="check the disk and its free space",
                )
            if self._path.exists():
                raise OutputFault(f"{self._path}: exists already", remedy="move it elsewhere")
            self._aside.rename(self._path)
            flush_entry(self._path.parent)
        except ClipFault as fault:
            raise OutputFault(
                f"{self._path}: does not read back ({fault.what})", remedy="check the disk"
            ) from None
        except OSError as error:
            raise OutputFault(f"{self._path}: {reason_of(error)}", remedy="check the disk") from None
        finally:
            self.discard()
        return found

    def discard(self) -> None:
        """Remove the partial file; harmless after ``publish`` and when called twice."""
        self._writer.discard()
        with contextlib.suppress(OSError):
            self._aside.unlink(missing_ok=True)


@dataclass(frozen=True)
class ReadBack:
    """A clip that was decoded from its first frame to its last."""

    ticks: array[int]
    """Time of each frame since the first, in ticks of ``TIME_BASE``."""
    nbytes: int
    loss_px: float
    """Standard error that compression leaves in an amplitude along the axis of most texture, in px."""

    @property
    def duration_s(self) -> float:
        """Time from the first frame to the last."""
        return float(self.ticks[-1] * TIME_BASE)

    @property
    def loss(self) -> str:
        """The same for a person."""
        return f"compressed: amplitudes measured in it are uncertain by {self.loss_px:.2g} px"


def read_back(path: Path) -> ReadBack:
    """Decode all of a clip.

    Raises:
        ClipFault: it is not whole.
    """
    ticks = array("q")
    with closing(ClipCamera(path, quantisers=True)) as camera:
        frame: NDArray[np.uint8] = np.empty((camera.height_px, camera.width_px, 3), np.uint8)
        while (info := camera.read_into(frame)) is not None:
            ticks.append(round(info.timestamp_s / TIME_BASE))
        whole = Region(0, 0, camera.width_px, camera.height_px)
        (errors_px,) = coding_errors_px(luma(frame), [whole], camera.coding())
    return ReadBack(array("q", [tick - ticks[0] for tick in ticks]), path.stat().st_size, min(errors_px))


@dataclass(frozen=True)
class Recovery:
    """Result of ``recover_clips`` after a restart."""

    partials: int
    """Files of clips that were being written, which were deleted."""
    completed: tuple[str, ...]
    """Whole clips that were not listed as saved yet, and are now."""
    lost: tuple[str, ...]
    """Clips that were listed and are not there, or not as they were; they are listed as failed now."""
    unreadable: tuple[str, ...]
    """Files with the name of a clip that do not decode; they are left alone and not listed."""


def recover_clips(directory: Path, listed: Iterable[Clip], log: Callable[[Record], None]) -> Recovery:
    """Reconcile the directory of clips with the list in the store at the start of a service.

    Partial files are deleted. A clip with its final name was read back before it was renamed: if the crash came
    before it was listed, it is read back again and listed now. Files of other names are left alone.

    Raises:
        OutputFault: the directory cannot be read.
    """
    partials = _delete_partials(directory)
    completed, lost, unreadable = [], [], []
    known = {clip.file: clip for clip in listed}
    for clip in known.values():
        path = directory / clip.file
        if clip.state == "removed":
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        elif clip.state == "saved" and _size(path) != clip.nbytes:
            log(replace(clip, state="failed", detail="the file is missing or was changed"))
            lost.append(clip.file)
        elif clip.state == "recording":
            found = _try_to_read(path)
            if found is None:
                log(replace(clip, state="failed", detail="interrupted while it was recorded"))
                lost.append(clip.file)
            else:
                log(_as_saved(clip, found))
                completed.append(clip.file)
    for path in sorted(directory.iterdir()):
        named = _NAMED.fullmatch(path.name)
        if named is None or path.name in known:
            continue
        found = _try_to_read(path)
        if found is None:
            unreadable.append(path.name)
            continue
        event, kind = named.groups()
        start_s = (
            datetime.strptime(event.partition("Z")[0], _TIME_FORMAT).replace(tzinfo=timezone.utc).timestamp()
        )
        log(EventRecord(event, start_s, "recovered after an interruption"))
        log(_as_saved(Clip(event, kind, path.name, "recording", start_s), found))  # type: ignore[arg-type]
        completed.append(path.name)
    return Recovery(partials, tuple(completed), tuple(lost), tuple(unreadable))


def _delete_partials(directory: Path) -> int:
    count = 0
    try:
        for path in directory.glob(f".*{_ASIDE}*{SUFFIX}"):
            path.unlink()
            count += 1
        next(directory.iterdir(), None)
    except OSError as error:
        raise OutputFault(
            f"{directory}: partial clips cannot be deleted ({reason_of(error)})",
            remedy="name a directory that you may read and write",
        ) from None
    return count


def _as_saved(clip: Clip, found: ReadBack) -> Clip:
    start_s = clip.start_s or 0.0
    return replace(
        clip,
        state="saved",
        start_s=start_s,
        end_s=start_s + found.duration_s,
        frames=len(found.ticks),
        nbytes=found.nbytes,
        detail=f"recovered after an interruption; {found.loss}",
    )


def _try_to_read(path: Path) -> ReadBack | None:
    try:
        return read_back(path)
    except ClipFault:
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
