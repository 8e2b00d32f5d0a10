"""Opens the camera for the service, and tells what it gives where that is not what was asked of it."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from tremorscope.runtime.cameras.gstreamer.camera import CameraReport, GStreamerCamera
from tremorscope.runtime.cameras.gstreamer.text import WHOSE_TIMES
from tremorscope.runtime.cameras.settings import CameraSettings, CsiSettings, V4l2Settings
from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.frames.info import Camera
from tremorscope.runtime.health import CameraHealth
from tremorscope.runtime.host.files import whole_file

log = logging.getLogger("tremorscope.camera")

CAMERA_FILE = "camera.json"
"""In the state directory: what the camera said of itself when it was last opened, for `tremorscope doctor`."""
_TOLERANCE = 0.02
"""By how much the measured rate may differ from the wanted one: clocks of cameras are far better than that."""


class CameraOpener:
    """Opens one camera again and again, and remembers what the latest opening told. Any thread may ask it."""

    def __init__(self, settings: CameraSettings, open_camera: Callable[[], Camera], file: Path) -> None:
        """Prepare.

        Args:
            settings: what is asked of the camera.
            open_camera: opens it.
            file: where what it said is kept.
        """
        self._open, self._file = open_camera, file
        self._wanted_hz = settings.rate_hz if isinstance(settings, CsiSettings | V4l2Settings) else None
        self._report: CameraReport | None = None
        self._told: set[str] = set()

    def open(self) -> Camera:
        """Open the camera.

        Raises:
            Fault: it cannot be opened.
        """
        camera = self._open()
        if isinstance(camera, GStreamerCamera):
            self._take(camera.report())
        return camera

    def describe(self, health: CameraHealth) -> CameraHealth:
        """How the camera stands, with what its latest opening told."""
        report = self._report
        if report is None:
            return health
        return replace(health, times=report.times, mode=report.mode, memory=report.memory)

    def problems(self, measured_hz: float | None) -> tuple[str, ...]:
        """In what the camera does otherwise than it was asked; each is logged when it is first found.

        Args:
            measured_hz: frames a second by the frames' times; None before there are enough.
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
            report.camera, report.width_px, report.height_px, report.rate_hz, mode, report.memory,
            f" ({report.why})" if report.why else "", WHOSE_TIMES[report.times],
        )  # fmt: skip
        # Only a help for the next visit: a disk that is full is told elsewhere.
        with contextlib.suppress(OSError, OutputFault):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self._file) as file:
                file.write(json.dumps(asdict(report), indent=1).encode())
