"""Opening of the service's camera: its frames' size and rate, and its deviations from the configuration."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from tremorscope.files import Stamp, regular_bytes, stamp_of
from tremorscope.runtime.cameras.gstreamer.camera import CameraReport, GStreamerCamera
from tremorscope.runtime.cameras.gstreamer.load import WHOSE_TIMES
from tremorscope.runtime.cameras.opening import describe, open_camera
from tremorscope.runtime.cameras.settings import CameraSettings, ClipSettings, CsiSettings, V4l2Settings
from tremorscope.runtime.configuration.checking import rate_of
from tremorscope.runtime.configuration.schema import Configuration
from tremorscope.runtime.errors import Fault, OutputFault
from tremorscope.runtime.frames.buffers import FrameFormat
from tremorscope.runtime.frames.frame import Camera
from tremorscope.runtime.health import CameraHealth
from tremorscope.runtime.host.files import whole_file
from tremorscope.runtime.reports.provenance import files_of, provenance_of
from tremorscope.runtime.reports.signals import PROGRAM
from tremorscope.runtime.store.records import SettingsRecord

log = logging.getLogger("tremorscope.camera")

CAMERA_FILE = "camera.json"
"""File in the state directory with the camera's report of its latest opening, for `tremorscope doctor`."""
_TOLERANCE = 0.02
"""Relative deviation of the measured rate that is reported: clocks of cameras are far better than that."""


def survey_source(configuration: Configuration) -> FrameFormat:
    """Size and rate of the frames that will come; where only the camera knows them, it is opened for a moment.

    Raises:
        Fault: it cannot be opened.
    """
    settings = configuration.camera
    size, rate_hz = settings.size_px, rate_of(configuration)
    if size is None or rate_hz is None:
        with contextlib.closing(open_camera(settings)) as camera:
            size, rate_hz = (camera.width_px, camera.height_px), rate_hz or camera.nominal_rate_hz
    return FrameFormat(*size, rate_hz)


def settings_record(configuration: Configuration, time_s: float) -> SettingsRecord:
    """Record of program and settings, with the hash of the clip where one takes the camera's place."""
    camera = configuration.camera
    parts = {"camera": camera, "vibration": configuration.vibration}
    told: dict[str, Any] = {
        name: each.model_dump(mode="json", exclude_defaults=True) for name, each in parts.items()
    }
    told["camera"] |= {"kind": camera.kind, "is": describe(camera)}
    for file in filter(None, (camera.lens, *configuration.vibration.scale_files())):
        with contextlib.suppress(OSError, ValueError):
            told.setdefault("files", {})[str(file)] = json.loads(regular_bytes(file))

    def with_clip() -> str:
        if isinstance(camera, ClipSettings):
            with contextlib.suppress(Fault):
                told["clip"] = _clip_told(camera.path, tuple(map(stamp_of, files_of(camera.path))))
        return json.dumps(told, sort_keys=True)

    return SettingsRecord(time_s, PROGRAM, with_clip)


@lru_cache(maxsize=1)
def _clip_told(path: Path, _stamps: tuple[Stamp | None, ...]) -> object:
    """Name, size and hash of a clip, which is read again only where its files are others."""
    return provenance_of(path, "", {}).summary()["clip"]


class CameraOpener:
    """Opens one camera again and again, and keeps the report of the latest opening. Any thread may read it."""

    def __init__(self, settings: CameraSettings, opening: Callable[[], Camera], file: Path) -> None:
        """Prepare.

        Args:
            settings: configuration of the camera.
            opening: opens it.
            file: takes the camera's report on itself, as JSON.
        """
        self._open, self._file = opening, file
        self._wanted_hz = settings.rate_hz if isinstance(settings, CsiSettings | V4l2Settings) else None
        self._report: CameraReport | None = None
        self._told: set[str] = set()
        self.pixel_aspect = 1.0
        """Width over height of a pixel, by its latest opening."""

    def open(self) -> Camera:
        """Open the camera.

        Raises:
            Fault: it cannot be opened.
        """
        camera = self._open()
        self.pixel_aspect = float(getattr(camera, "pixel_aspect", 1.0))  # most kinds cannot have others
        if isinstance(camera, GStreamerCamera):
            self._take(camera.report())
        return camera

    def describe(self, health: CameraHealth) -> CameraHealth:
        """Status of the camera, completed by its latest opening."""
        report = self._report
        if report is None:
            return health
        return replace(health, times=report.times, mode=report.mode, memory=report.memory)

    def problems(self, measured_hz: float | None) -> tuple[str, ...]:
        """Deviations of the camera from the configuration; each is logged when it is first found.

        Args:
            measured_hz: measured frame rate; None before there are enough frames.
        """
        found = {text: text for text in (self._report.remarks if self._report else ())}
        wanted_hz = self._wanted_hz
        if wanted_hz and measured_hz and abs(measured_hz / wanted_hz - 1) > _TOLERANCE:
            found["rate"] = f"the camera gives {measured_hz:.4g} frames/s, and {wanted_hz:g} are asked of it"
        for kind in found.keys() - self._told:
            log.warning("%s", found[kind])
        self._told = set(found)
        return tuple(found.values())

    def _take(self, report: CameraReport) -> None:
        if report == self._report:
            return
        self._report = report
        mode = f", sensor mode {report.mode}" if report.mode else ""
        log.info(
            "%s: %dx%d px at %g Hz%s, memory %s%s; %s",
            report.camera,
            report.width_px,
            report.height_px,
            report.rate_hz,
            mode,
            report.memory,
            f" ({report.why})" if report.why else "",
            WHOSE_TIMES[report.times],
        )
        # Optional: a full disk is reported elsewhere.
        with contextlib.suppress(OSError, OutputFault):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self._file) as file:
                file.write(json.dumps(asdict(report), indent=1).encode())
