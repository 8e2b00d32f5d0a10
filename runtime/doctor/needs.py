"""Requirements on the machine, by a configuration, or without one by its hardware."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from tremorscope.runtime.cameras.settings import CsiSettings, V4l2Settings
from tremorscope.runtime.configuration.schema import Configuration

CameraKind = Literal["csi", "v4l2", "rtsp", "clip", "synthetic"]
STATE_DIRECTORY = PurePosixPath("/var/lib/tremorscope")
"""Directory of the service's data: systemd's StateDirectory."""


@dataclass(frozen=True)
class Needs:
    """Requirements on the device."""

    camera: CameraKind | None = None
    """Kind of camera; None if none is configured, so that any will do."""
    device: Path | None = None
    """Device file of a V4L2 camera."""
    sensor_id: int = 0
    """Number of a CSI camera."""
    runtime: Literal["auto", "onnxruntime", "tensorrt"] = "auto"
    """Runtime of the network."""
    bundle: Path | None = None
    """The network to run; None if none is named."""
    data: PurePosixPath = STATE_DIRECTORY
    """Directory of the store and clips."""
    configured: bool = False
    """True if a configuration states them."""

    def wants(self, kind: CameraKind) -> bool:
        """True if that kind of camera is required."""
        return self.camera == kind

    @property
    def on_gpu(self) -> bool:
        """True if a Jetson is to magnify on its GPU."""
        return self.runtime != "onnxruntime"

    def may_want(self, kind: CameraKind) -> bool:
        """True if that kind of camera is required or not ruled out."""
        return self.camera in (None, kind)


def needs_of(configuration: Configuration) -> Needs:
    """Requirements of a configuration."""
    camera, directory = configuration.camera, configuration.store.directory
    return Needs(
        camera=camera.kind,
        device=camera.device if isinstance(camera, V4l2Settings) else None,
        sensor_id=camera.sensor_id if isinstance(camera, CsiSettings) else 0,
        runtime=configuration.magnification.runtime,
        bundle=configuration.magnification.bundle,
        data=PurePosixPath(directory) if directory else STATE_DIRECTORY,
        configured=True,
    )
