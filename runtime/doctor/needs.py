"""What is asked of this machine: by a configuration, or, without one, what its hardware is there for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from tremorscope.runtime.cameras.settings import CsiSettings, V4l2Settings
from tremorscope.runtime.configuration.schema import Configuration

CameraKind = Literal["csi", "v4l2", "rtsp", "clip", "synthetic"]
STATE_DIRECTORY = PurePosixPath("/var/lib/tremorscope")
"""Where the service keeps its data: systemd's StateDirectory."""


@dataclass(frozen=True)
class Needs:
    """What the device has to do."""

    camera: CameraKind | None = None
    """Which kind of camera; None where nothing was configured, so that any will do."""
    device: Path | None = None
    """Of a V4L2 camera."""
    sensor_id: int = 0
    """Of a CSI camera."""
    runtime: Literal["auto", "onnxruntime", "tensorrt"] = "auto"
    """What computes."""
    bundle: Path | None = None
    """The network to run; None where none is named."""
    data: PurePosixPath = STATE_DIRECTORY
    """Where the store and clips lie."""
    configured: bool = False
    """Whether a configuration says so."""

    def wants(self, kind: CameraKind) -> bool:
        """Whether that kind of camera is what the device is there for."""
        return self.camera == kind

    @property
    def on_gpu(self) -> bool:
        """Whether a Jetson is to magnify on its GPU."""
        return self.runtime != "onnxruntime"

    def may_want(self, kind: CameraKind) -> bool:
        """Whether it is not ruled out."""
        return self.camera in (None, kind)


def needs_of(configuration: Configuration) -> Needs:
    """What a configuration asks for."""
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
