"""Sources of a capture, a recorded clip or a supervised camera: frames leased from a ring, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import TypeAlias

import yaml
from pydantic import ValidationError

from tremorscope.calibration.errors import CalibrationFault
from tremorscope.files import reason_of
from tremorscope.runtime.cameras.opening import describe, frame_size, open_camera, supervisor_settings
from tremorscope.runtime.cameras.recordings import open_recording
from tremorscope.runtime.cameras.settings import CameraSettings, camera_settings
from tremorscope.runtime.cameras.supervision.faults import CameraEvent, FaultKind
from tremorscope.runtime.cameras.supervision.settings import SupervisorSettings
from tremorscope.runtime.cameras.supervision.supervisor import CameraSupervisor
from tremorscope.runtime.errors import CameraFault
from tremorscope.runtime.frames.frame import Camera
from tremorscope.runtime.frames.ring import Lease, LeasingRing

HELD_FRAMES = 4
"""Most frames that a reader may hold at a time: the newest, the one before, a reference, and the next."""
_ASSUMED_RATE_HZ = 25.0
"""Rate of pictures that state none: how fast they followed each other is no part of a calibration set."""
SETTINGS_SUFFIXES = {".yaml", ".yml"}
_PATIENCE_S = 2.0
"""Time for which a camera in trouble may recover before a visit is given up."""


class RecordedFrames:
    """All frames of a recorded clip, in their order."""

    def __init__(self, path: Path) -> None:
        self._camera = open_recording(path, assumed_rate_hz=_ASSUMED_RATE_HZ)
        width_px, height_px = self.size_px = self._camera.width_px, self._camera.height_px
        self._ring = LeasingRing(HELD_FRAMES, width_px=width_px, height_px=height_px)

    def take(self) -> Lease | None:
        """The next frame, which the caller releases; None at the end.

        Raises:
            ClipFault: the clip cannot be read on.
        """
        lease = self._ring.acquire("the clip")
        assert lease is not None
        info = self._camera.read_into(lease.pixels)
        if info is None:
            lease.release()
            return None
        lease.seal(info)
        return lease

    def close(self) -> None:
        """Close the file."""
        self._camera.close()


class SupervisedFrames:
    """Frames of a camera as its supervisor delivers them: opening, waiting and reading have a bound."""

    def __init__(
        self,
        opening: Callable[[], Camera],
        size_px: tuple[int, int],
        settings: SupervisorSettings,
        supervise: Callable[..., CameraSupervisor] = CameraSupervisor,
    ) -> None:
        """Begin to open the camera; see `CameraSupervisor`."""
        self.size_px = size_px
        # Two may wait, for a frame and the one before it. A dark picture is judged with its pair, as showing nothing.
        settings = replace(settings, most_waiting=2, reject_constant=False)
        slots = settings.slots(held_by_consumer=HELD_FRAMES)
        self._troubles: dict[FaultKind, str] = {}
        self._supervisor = supervise(
            opening,
            LeasingRing(slots, width_px=size_px[0], height_px=size_px[1]),
            settings=settings,
            on_event=self._note,
        )
        self._supervisor.start()

    def take(self) -> Lease | None:
        """The next frame, which the caller releases; None at the end.

        Raises:
            CameraFault: the camera gives none; the supervisor finds every reason in a bounded time.
        """
        while (lease := self._supervisor.take(_PATIENCE_S)) is None:
            if troubles := tuple(self._troubles.values()):
                raise CameraFault("; ".join(troubles), remedy="")  # the remedies stand in them
            if self._supervisor.state().status == "ended":
                return None
        return lease

    def close(self) -> None:
        """Close the camera; one that hangs is left behind."""
        self._supervisor.close()

    def _note(self, event: CameraEvent) -> None:
        if event.begins:
            self._troubles[event.kind] = event.detail
        else:
            self._troubles.pop(event.kind, None)


FrameSource: TypeAlias = RecordedFrames | SupervisedFrames
"""Frames of one size, of which at most `HELD_FRAMES` are held at a time."""


@dataclass(frozen=True)
class CaptureSource:
    """A camera or clip to capture from."""

    name: str
    open: Callable[[], FrameSource]
    clip_starts_at: datetime | None = None
    """Time of the first frame of a clip; None for a camera."""
    clip_length_s: float = 0.0
    clip_frames: int = 0


def find_source(path: Path) -> CaptureSource:
    """Open a source: a file with a camera's settings (.yaml), or else a clip.

    Raises:
        Fault: the file is missing, or cannot be opened.
    """
    if path.suffix.lower() in SETTINGS_SUFFIXES:
        settings = _read_settings(path)
        return CaptureSource(describe(settings), partial(_open_supervised, settings))
    camera = open_recording(path, assumed_rate_hz=_ASSUMED_RATE_HZ)
    frames, rate_hz = camera.frame_count_estimate, camera.nominal_rate_hz
    camera.close()
    if not frames:
        raise CalibrationFault(
            f"{path}: the clip does not state its length",
            remedy=f"rewrite its index: ffmpeg -i {path} -c copy indexed.mp4",
        )
    # The file's modification time is the best estimate of the end of the recording.
    there = path if path.exists() else path.parent  # a pattern of pictures is no file
    ended_at = datetime.fromtimestamp(there.stat().st_mtime, timezone.utc)
    length_s = frames / rate_hz
    return CaptureSource(
        f"clip {path.name}",
        partial(RecordedFrames, path),
        ended_at - timedelta(seconds=length_s),
        length_s,
        frames,
    )


def _open_supervised(settings: CameraSettings) -> SupervisedFrames:
    supervision = supervisor_settings(settings)
    opening = partial(open_camera, settings, frozen_least_s=supervision.frozen_least_s)
    return SupervisedFrames(opening, frame_size(settings), supervision)


def _read_settings(path: Path) -> CameraSettings:
    """The ``camera`` section of a configuration, or a file that holds only that."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CalibrationFault(f"{path}: {reason_of(error)}", remedy="check the path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = str(error).splitlines()[0]
        raise CalibrationFault(f"{path}: is not YAML ({problem})", remedy="correct the file") from None
    if not isinstance(document, dict):
        raise CalibrationFault(f"{path}: describes no camera", remedy="write at least `kind: csi`")
    try:
        return camera_settings.validate_python(document.get("camera", document))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "camera"
        raise CalibrationFault(f"{path}: {key}: {first['msg']}", remedy="correct the settings") from None
