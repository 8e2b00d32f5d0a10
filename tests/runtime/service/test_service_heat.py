"""What heat takes from the magnification: frames, its edges, precision, all of it; measuring goes on as ever."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from running_service import Camera, frames, running, until
from service_parts import configured
from support import write_bundle

from tremorscope.runtime.engines.interface.manifest import MANIFEST_NAME, Manifest, write_manifest
from tremorscope.runtime.engines.selection import Runtime
from tremorscope.runtime.live.on_demand import Magnifying
from tremorscope.runtime.magnification.engines import open_configured_runtime
from tremorscope.runtime.magnification.load import LoadLevel
from tremorscope.runtime.magnification.settings import MagnificationSettings
from tremorscope.runtime.service import assembly
from tremorscope.runtime.service.process import Service

QUANTISED = {
    "method": "mse",
    "unquantised": "fp32",
    "layers": ["blocks.0.conv1"],
    "float_graphs": {},
    "calibration": {
        "source": "drawn", "sha256": "0" * 64, "pairs": 1, "samples": 1,
        "frame_size": {"width_px": 64, "height_px": 48}, "amplification": {"minimum": 1, "maximum": 100},
    },
}  # fmt: skip
"""As `tremorscope calibrate quantise` states it; the graphs are the stand-in's."""


def set_level(service: Service, level: LoadLevel) -> None:
    """As if the governor had just stepped."""
    service._governor.update = lambda _now_s: level  # type: ignore[method-assign]
    service._second_s = 0.0


def changed_share(service: Service) -> Callable[[], float]:
    """What share of the newest picture the magnification has changed."""

    def changed() -> float:
        found = service.parts.feed.latest(timeout_s=10)
        if found is None:
            return 0.0
        with found:
            if found.magnified is None:
                return 0.0
            return float((found.magnified != found.frame).any(axis=2).mean())

    return changed


@pytest.mark.usefixtures("camera")
def test_is_held_back_by_heat(tmp_path: Path, linear_bundle: Path) -> None:
    with running(Service(configured(tmp_path, linear_bundle, magnification={"when": "always"}))) as service:
        magnifying = service.parts.magnifying
        until(service, lambda: magnifying.health().frames > 3)
        set_level(service, LoadLevel(1, rate_fraction=0.5))
        frames(service, 10)
        before, shown = service.parts.loop.frames, magnifying.health()
        frames(service, 100)
        after = magnifying.health()
        passed_on = after.frames + after.skipped - shown.frames - shown.skipped
        assert passed_on / (service.parts.loop.frames - before) == pytest.approx(0.5, abs=0.06)
        set_level(service, LoadLevel(2, magnify=False))
        frames(service, 10)
        stopped = magnifying.health()
        frames(service, 30)
        assert magnifying.health().frames == stopped.frames
        assert stopped.why_not == "the device is too hot"


def test_takes_the_middle_alone_where_heat_asks_for_less_and_all_of_it_again(
    tmp_path: Path, linear_bundle: Path, camera: type[Camera]
) -> None:
    camera.flickers = True
    loaded = configured(tmp_path, linear_bundle, magnification={"when": "always", "mode": "dynamic"})
    with running(Service(loaded)) as service, service.parts.feed.watch():
        changed = changed_share(service)
        until(service, lambda: changed() > 0.9, "all of the picture is magnified")
        set_level(service, LoadLevel(3, region_fraction=0.5))
        until(service, lambda: 0.05 < changed() < 0.3, "a quarter of its area")
        set_level(service, LoadLevel())
        until(service, lambda: changed() > 0.9, "all of it again")


@pytest.mark.usefixtures("camera")
def test_stays_as_it_is_where_there_is_no_bundle_in_int8(
    tmp_path: Path, linear_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(Service(configured(tmp_path, linear_bundle, magnification={"when": "always"}))) as service:
        until(service, lambda: service.parts.magnifying.health().frames > 3)
        set_level(service, LoadLevel(1, precision="int8"))
        until(service, lambda: "cannot be had" in caplog.text)
        before = service.parts.magnifying.health().frames
        until(service, lambda: service.parts.magnifying.health().frames > before + 5)
    assert caplog.text.count("magnification.int8_bundle names no bundle") == 1


@pytest.mark.usefixtures("camera")
def test_filters_are_designed_for_the_new_rate_in_the_same_step(tmp_path: Path, linear_bundle: Path) -> None:
    asked = {"when": "always", "mode": "band", "bands_hz": [[2.0, 4.0]]}
    with running(Service(configured(tmp_path, linear_bundle, magnification=asked))) as service:
        magnifying = service.parts.magnifying
        until(service, lambda: magnifying.health().frames > 30 and magnifying._rate_hz == 50)
        fading = magnifying._fading
        assert fading is not None
        for fraction in (0.5, 1.0):
            set_level(service, LoadLevel(1, rate_fraction=fraction))
            until(service, partial(takes, magnifying, fraction))
            # At once: sixteen frames would be needed to measure it.
            assert fading._inner.rate_hz == pytest.approx(50 * fraction, rel=0.01)


def takes(magnifying: Magnifying, fraction: float) -> bool:
    return magnifying._rate_fraction == fraction


@pytest.mark.usefixtures("camera")
def test_the_rate_stays_where_its_half_is_below_the_band_and_that_is_told(
    tmp_path: Path, linear_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = {"when": "always", "mode": "band", "bands_hz": [[8.0, 10.0]]}
    with running(Service(configured(tmp_path, linear_bundle, magnification=asked))) as service:
        magnifying = service.parts.magnifying
        until(service, lambda: magnifying.health().frames > 30)
        set_level(service, LoadLevel(1, rate_fraction=0.3))
        until(service, lambda: "the rate stays as it is" in caplog.text)
        before = magnifying.health().frames
        until(service, lambda: magnifying.health().frames > before + 10)
        assert magnifying.health().active
        assert magnifying._rate_fraction == 1.0
    assert caplog.text.count("the rate stays as it is") == 1


@pytest.mark.usefixtures("camera")
def test_takes_the_twin_in_int8_where_heat_asks_for_it_and_gives_it_back(
    tmp_path: Path, linear_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runners: list[str] = []

    def opened(settings: MagnificationSettings, *others: Any, **options: Any) -> Runtime:
        runners.append(settings.runtime)
        return open_configured_runtime(settings, *others, **options)

    monkeypatch.setattr(assembly, "open_configured_runtime", opened)
    twin = write_bundle(tmp_path / "twin", precision="int8", quantisation=QUANTISED)
    write_manifest(twin, Manifest.model_validate_json((twin / MANIFEST_NAME).read_bytes()))  # seals it
    asked = {"when": "always", "int8_bundle": str(twin)}
    with running(Service(configured(tmp_path, linear_bundle, magnification=asked))) as service:
        magnifying = service.parts.magnifying
        until(service, lambda: magnifying.health().frames > 3)
        assert magnifying.health().precision == "fp32"
        for level, precision in ((LoadLevel(1, precision="int8"), "int8"), (LoadLevel(), "fp32")):
            set_level(service, level)
            until(service, partial(computes, magnifying, precision, magnifying.health().frames + 5))
            assert magnifying.health().why_not == ""
    # The twin runs where the other runs: never on the CPU because the GPU lacks an engine for it.
    assert runners == ["auto", "onnxruntime"]


def computes(magnifying: Magnifying, precision: str, frames: int) -> bool:
    health = magnifying.health()
    return health.precision == precision and health.frames > frames


@pytest.mark.usefixtures("camera")
def test_jtop_that_was_asked_for_and_is_away_is_a_warning_and_the_kernel_is_read(
    tmp_path: Path, linear_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(Service(configured(tmp_path, linear_bundle, thermal={"source": "jtop"}))) as service:
        until(service, lambda: service.board.snapshot().device.reading.source == "sysfs")
        device = service.board.snapshot().device
        assert device.reading.memory_used_bytes
        assert (
            device.note == "jtop: there is no /run/jtop.sock: its service does not run, or is not installed"
        )
        assert service.board.snapshot().problems == ()
    assert caplog.text.count("the kernel's files are read instead") == 1
