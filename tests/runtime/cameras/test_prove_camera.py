"""What `tremorscope prove` says of a CSI camera, by real GStreamer with stand-ins for a Jetson's elements."""

from __future__ import annotations

import struct
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from host_gpu import HostGpu
from surfaces import FakeSurfaces, HostPictures, compile_library

from tremorscope.runtime.cameras.csi import open_csi
from tremorscope.runtime.cameras.gstreamer.nvmm import SurfaceLibrary
from tremorscope.runtime.errors import CameraFault
from tremorscope.runtime.prove.outcome import Outcome, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan
from tremorscope.runtime.prove.steps import camera
from tremorscope.runtime.prove.steps.pixels import agree, off_by

CODE = struct.Struct("<qii")
"""Of what the stand-in's sensor gives: which picture, and its size."""


def looked_at(
    scene: Any, tmp_path: Path, *, lock: bool, true_hz: float = 30.0, memory: str = "copy", quick: bool = True
) -> Outcome:
    scene.period_s = 0.03
    scene.sensor_time = lambda number: 7_000_000_000 + round(number * 1e9 / true_hz)
    site = tmp_path / "site.yaml"
    site.write_text(
        f"version: 1\ncamera: {{kind: csi, width_px: 64, height_px: 48, rate_hz: 30, memory: {memory}, "
        f"exposure: {{settle_s: 0, lock: {str(lock).lower()}}}}}\n"
    )
    return camera.run(ProvePlan(tmp_path, tmp_path, (site,), quick=quick).checked(), StepFindings(), 0)


def test_rate_memory_copies_and_openings_are_told(scene: Any, tmp_path: Path) -> None:
    found = looked_at(scene, tmp_path, lock=False)
    assert found.state == "holds", found.said
    assert (found.facts["memory"], found.facts["format"]) == ("copy", "RGBA")
    assert "nvarguscamerasrc" in str(found.facts["pipeline"])
    assert found.facts["copied_bytes_per_frame"] == 64 * 48 * 3  # told, where a copy was asked for
    checks = {check.what: check for check in found.checks}
    assert checks["true rate"].found == "30 Hz"
    assert checks["opening 2"].holds
    assert scene.opened == 3  # once for the frames, and twice more


def test_a_camera_that_is_slower_than_it_says_fails(scene: Any, tmp_path: Path) -> None:
    found = looked_at(scene, tmp_path, lock=False, true_hz=25.0)
    assert (found.state, found.said) == ("fails", "true rate: 25 Hz, not 30 Hz within 2%")


def test_brightness_that_moves_while_exposure_is_held_fails(scene: Any, tmp_path: Path) -> None:
    found = looked_at(scene, tmp_path, lock=True)  # the stand-in's picture grows brighter from frame to frame
    assert found.state == "fails"
    assert found.said.startswith("brightness while exposure is held: moved by ")


def test_a_camera_that_is_not_there_is_a_fault_with_its_remedy(scene: Any, tmp_path: Path) -> None:
    scene.start = lambda _: False
    with pytest.raises(CameraFault) as caught:
        looked_at(scene, tmp_path, lock=False)
    assert caught.value.remedy


# Pixels.


def repeated(found: Outcome) -> int:
    """How many pictures came again, which fails the step."""
    check = next(each for each in found.checks if each.what == "frames equal to one before")
    assert (found.state, check.wanted) == ("fails", "0")
    return int(check.found)


def test_a_picture_that_comes_twice_fails(scene: Any, tmp_path: Path) -> None:
    scene.act = lambda number: CODE.pack(number // 2, 64, 48)
    assert repeated(looked_at(scene, tmp_path, lock=False)) >= 10


def test_a_buffer_that_keeps_its_first_picture_fails(scene: Any, tmp_path: Path) -> None:
    """As an EGLImage does that was registered once and is never synchronised: it comes again when its turn does."""
    scene.act = lambda number: CODE.pack(number if number % 12 else 0, 64, 48)
    assert 1 <= repeated(looked_at(scene, tmp_path, lock=False)) <= 3


class Mirrored(HostPictures):
    def write(self, picture: Any, pixels: Any) -> None:
        super().write(picture, pixels)
        pixels[:] = pixels[:, ::-1].copy()


class Black(HostPictures):
    def write(self, picture: Any, pixels: Any) -> None:
        super().write(picture, pixels)
        pixels[1:] = 0


@pytest.mark.parametrize(
    ("pictures", "state"), [(HostPictures, "holds"), (Mirrored, "fails"), (Black, "fails")]
)
def test_what_the_gpu_fetches_is_what_a_copy_shows(
    scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: Any, state: str
) -> None:
    library = compile_library(tmp_path, "L4T 36")
    scene.nvmm, gpu = FakeSurfaces(library), HostGpu()
    scene.act = lambda number: CODE.pack(256 * number, 64, 48)  # but for its first pixel the same

    def opened(settings: Any, *, account: Any = None, gpu: Any = None) -> Any:
        return open_csi(
            settings,
            account=account,
            gpu=gpu,
            silence_s=20,
            make_pictures=pictures,
            load_surfaces=lambda: SurfaceLibrary((str(library),)),
        )

    monkeypatch.setattr(camera, "open_camera", opened)
    monkeypatch.setattr(camera, "_memory", lambda *_: (gpu, gpu.allocate_mapped))
    found = looked_at(scene, tmp_path, lock=True, memory="auto")
    assert found.state == state, found.said
    assert (found.facts["memory"], found.facts["copied_bytes_per_frame"]) == ("nvmm", 0.0)
    assert found.facts["pitch_bytes"] == 4 * 64 + 64
    compared = next(each for each in found.checks if each.what.startswith("GPU's picture"))
    assert compared.holds is (state == "holds")


def test_light_and_a_passer_by_change_no_verdict() -> None:
    scene = np.random.default_rng(1).integers(20, 200, (8, 8, 3)).repeat(20, 0).repeat(20, 1)
    noisy = np.random.default_rng(2).normal(0.7 * scene, 3).clip(0, 255).astype(np.uint8)
    scene = scene.astype(np.uint8)
    assert off_by(scene, noisy) < 1
    assert off_by(noisy, scene) < 1
    noisy[40:, :40] = 255  # a lorry
    assert agree(off_by(scene, noisy))
    assert not agree(off_by(scene, np.roll(scene, 30, axis=1)))
    assert not agree(off_by(scene, scene[..., ::-1]))


# Openings.


def test_a_driver_that_fails_only_after_a_pause_is_found_out(
    scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept_s: list[float] = []
    monkeypatch.setattr(camera, "_FRAMES", 10)
    monkeypatch.setattr(camera, "time", SimpleNamespace(monotonic=time.monotonic, sleep=slept_s.append))
    assert looked_at(scene, tmp_path, lock=False, quick=False).state == "holds"
    assert slept_s == [8.0, 8.0]
    slept_s.clear()
    scene.opened = 0
    scene.start = lambda _: not slept_s
    with pytest.raises(CameraFault):
        looked_at(scene, tmp_path, lock=False, quick=False)
    assert scene.opened == 5  # the frames, three openings at once, and the first after a pause
