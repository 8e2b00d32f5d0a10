"""Settings of a bench."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tremorscope.runtime.cameras.settings import CameraSettings
from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.engines.selection import RuntimeChoice
from tremorscope.runtime.magnification.settings import MagnificationSettings


@dataclass(frozen=True)
class BenchJob:
    """Settings of a bench: network, camera, magnification, runtime and length."""

    bundle: Path | None = None
    """Directory of an exported network; None takes the one that is installed."""
    size: FrameSize | None = None
    """Size of the drawn camera's frames; None takes the bundle's own, or 640x360."""
    camera: CameraSettings | None = None
    """Settings of a camera; None draws one."""
    magnification: MagnificationSettings = field(
        default_factory=lambda: MagnificationSettings(refresh_s=None)
    )
    """Settings of the magnification, which runs all the time."""
    frames: int = 200
    """Largest number of timed magnified frames."""
    most_s: float | None = None
    """Longest time of timing; None until all frames are through."""
    warm_up: int = 10
    """Magnified frames before timing begins."""
    rate_hz: float = 30.0
    """Frame rate of the drawn camera."""
    runtime: RuntimeChoice = "auto"
    engines: Path | None = None
    threads: int | None = None
    roofline: bool = False
    """Compare each stage with its roofline, which takes some seconds more."""
    against: Path | None = None
    """A second bundle, whose step is timed in turns with the first's."""
