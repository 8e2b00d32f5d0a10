"""What a capture takes frames from: a recorded clip, or a camera described by its settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import yaml
from pydantic import ValidationError

from tremorscope.calibration.errors import CalibrationFault
from tremorscope.runtime.cameras.clip import ClipCamera
from tremorscope.runtime.cameras.opening import describe, open_camera
from tremorscope.runtime.cameras.settings import CameraSettings, camera_settings
from tremorscope.runtime.frames.info import Camera

SETTINGS_SUFFIXES = {".yaml", ".yml"}


@dataclass(frozen=True)
class Source:
    """Where frames come from."""

    name: str
    open: Callable[[], Camera]
    clip_starts_at: datetime | None = None
    """For a clip, which is read from its beginning to its end; None for a camera, which is looked at now and then."""
    clip_length_s: float = 0.0
    clip_frames: int = 0


def find_source(path: Path) -> Source:
    """A camera's settings by their ending (.yaml), anything else as a clip.

    Raises:
        Fault: there is none, or it cannot be opened.
    """
    if path.suffix.lower() in SETTINGS_SUFFIXES:
        return _camera_source(path)
    camera = ClipCamera(path)
    frames, rate_hz = camera.frame_count_estimate, camera.nominal_rate_hz
    camera.close()
    if not frames:
        raise CalibrationFault(
            f"{path}: does not state how long it is",
            remedy=f"rewrite its index: ffmpeg -i {path} -c copy indexed.mp4",
        )
    # A clip's pictures were taken before its file was closed; no more is known of their time of day.
    ended_at = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
    length_s = frames / rate_hz
    return Source(
        f"clip {path.name}",
        lambda: ClipCamera(path),
        ended_at - timedelta(seconds=length_s),
        length_s,
        frames,
    )


def _camera_source(path: Path) -> Source:
    settings = _read_settings(path)
    return Source(describe(settings), lambda: open_camera(settings))


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
