"""Settings of a bench, and the command-line options that they are made of."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tremorscope.runtime.cameras.settings import CameraSettings
from tremorscope.runtime.configuration.reading import load_configuration, parse_configuration
from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.engines.selection import RuntimeChoice
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.magnification.magnifier import Mode
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


@dataclasses.dataclass(frozen=True)
class BenchOptions:
    """Options of ``tremorscope bench`` as they stand on the command line; None leaves a setting as it is."""

    configuration: Path | None = None
    """Configuration of a service, whose camera, magnification and runtime are taken."""
    camera: str | None = None
    """Kind of a camera, or its settings in YAML; see `read_camera`."""
    bundle: Path | None = None
    against: Path | None = None
    """Bundle of a baseline."""
    size: FrameSize | None = None
    rate_hz: float | None = None
    """Frame rate of the drawn camera."""
    mode: Mode | None = None
    bands_hz: tuple[tuple[float, float], ...] = ()
    """Lower and upper edge of each band."""
    runtime: RuntimeChoice | None = None
    engines: Path | None = None
    threads: int | None = None
    frames: int = 200
    """Magnified frames to time."""
    roofline: bool = False


def bench_job(options: BenchOptions) -> BenchJob:
    """Job for some options, which override the configuration.

    Raises:
        OptionFault: options that contradict each other, or a camera that is described wrongly.
        ConfigurationFault: the configuration cannot be followed.
    """
    base = _configured(options.configuration) if options.configuration else BenchJob()
    stated = {name: getattr(options, name) for name in ("bundle", "runtime", "engines", "threads", "size")}
    changes: dict[str, Any] = {name: value for name, value in stated.items() if value is not None}
    if options.mode is not None or options.bands_hz:
        changes["magnification"] = _magnification(options, base.magnification.amplification)
    if options.camera is not None:
        changes["camera"] = read_camera(options.camera)
    if options.rate_hz is not None:
        if changes.get("camera", base.camera) is not None:
            raise OptionFault(
                "--rate is for the drawn camera", remedy="write rate_hz among the camera's settings"
            )
        changes["rate_hz"] = options.rate_hz
    warm_up = max(2, min(10, options.frames // 20))
    return dataclasses.replace(
        base,
        against=options.against,
        frames=options.frames,
        warm_up=warm_up,
        roofline=options.roofline,
        **changes,
    )


def _magnification(options: BenchOptions, amplification: float) -> MagnificationSettings:
    mode = options.mode or "band"
    if (mode == "band") != bool(options.bands_hz):
        raise OptionFault(
            "band mode and a band go together", remedy="give --mode band with --band LOW HIGH, or neither"
        )
    asked = MagnificationSettings(refresh_s=None).model_copy(
        update={"amplification": amplification, "mode": mode, "bands_hz": options.bands_hz}
    )
    asked.wanted()  # refuses what cannot be
    return asked


def read_camera(text: str) -> CameraSettings:
    """A camera from its kind alone, or from its settings in YAML.

    Raises:
        ConfigurationFault: there is no such camera.
    """
    stated = text if text.lstrip().startswith("{") else f"{{kind: {text}}}"
    # As part of a configuration, whose messages are made for people.
    read = parse_configuration(f"version: 1\ncamera: {stated}\n".encode(), Path("--camera"))
    return read.configuration.camera


def _configured(file: Path) -> BenchJob:
    found = load_configuration(file).configuration
    magnification = found.magnification
    return BenchJob(
        bundle=magnification.bundle,
        camera=found.camera,
        magnification=magnification,
        runtime=magnification.runtime,
        engines=magnification.engines,
        threads=magnification.threads,
    )
