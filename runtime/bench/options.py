"""From what stands on the command line to what is timed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from tremorscope.runtime.bench.job import BenchJob
from tremorscope.runtime.cameras.settings import CameraSettings
from tremorscope.runtime.configuration.reading import load_configuration, parse_configuration
from tremorscope.runtime.engines.interface.bundle import FrameSize
from tremorscope.runtime.engines.selection import RuntimeChoice
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.magnification.factory import Magnification
from tremorscope.runtime.magnification.filters import BandSettings
from tremorscope.runtime.magnification.magnifier import Mode


def bench_job(
    *,
    configuration: Path | None,
    camera: str | None,
    bundle: Path | None,
    against: Path | None,
    size: FrameSize | None,
    rate_hz: float | None,
    mode: Mode | None,
    bands_hz: tuple[tuple[float, float], ...],
    runtime: RuntimeChoice | None,
    engines: Path | None,
    threads: int | None,
    frames: int,
    roofline: bool = False,
) -> BenchJob:
    """What is timed; an option goes before what a configuration says.

    Raises:
        OptionFault: options that contradict each other, or a camera that is described wrongly.
        ConfigurationFault: the configuration cannot be followed.
    """
    base = _configured(configuration) if configuration else BenchJob()
    stated = {"bundle": bundle, "runtime": runtime, "engines": engines, "threads": threads, "size": size}
    changes: dict[str, Any] = {name: value for name, value in stated.items() if value is not None}
    if mode is not None or bands_hz:
        changes["magnification"] = Magnification(
            amplification=base.magnification.amplification,
            mode=mode or "band",
            band=BandSettings(bands_hz) if bands_hz else None,
        )
    if camera is not None:
        changes["camera"] = read_camera(camera)
    if rate_hz is not None:
        if changes.get("camera", base.camera) is not None:
            raise OptionFault(
                "--rate is for the drawn camera", remedy="write rate_hz among the camera's settings"
            )
        changes["rate_hz"] = rate_hz
    warm_up = max(2, min(10, frames // 20))
    return dataclasses.replace(
        base, against=against, frames=frames, warm_up=warm_up, roofline=roofline, **changes
    )


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
        magnification=magnification.wanted(),
        runtime=magnification.runtime,
        engines=magnification.engines,
        threads=magnification.threads,
    )
