"""Sources of a capture: a recorded clip, or a camera described by its settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import yaml
from pydantic import ValidationError

from tremorscope.calibration.errors import CalibrationFault
from tremorscope.runtime.cameras.opening import describe, open_camera
from tremorscope.runtime.cameras.recordings import open_recording
from tremorscope.runtime.cameras.settings import CameraSettings, camera_settings
from tremorscope.runtime.frames.info import Camera, RecordedClip

SETTINGS_SUFFIXES = {".yaml", ".yml"}
_ASSUMED_RATE_HZ = 25.0
"""Rate of pictures that state none: how fast they followed each other is no part of a calibration set."""


@dataclass(frozen=True)
class CaptureSource:
    """A camera or clip to capture from."""

    name: str
    open: Callable[[], Camera]
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
        return _camera_source(path)
    camera = _open(path)
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
        lambda: _open(path),
        ended_at - timedelta(seconds=length_s),
        length_s,
        frames,
    )


def _open(path: Path) -> RecordedClip:
    return open_recording(path, assumed_rate_hz=_ASSUMED_RATE_HZ)


def _camera_source(path: Path) -> CaptureSource:
    settings = _read_settings(path)
    return CaptureSource(describe(settings), lambda: open_camera(settings))


def _read_settings(path: Path) -> CameraSettings:
    """The ``camera`` section of a configuration, or a file that holds only that."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CalibrationFault(
            f"{path}: {(error.strerror or str(error)).lower()}", remedy="check the path"
        ) from None
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
