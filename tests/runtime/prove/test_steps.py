"""What single steps judge, on stand-ins that are right and on some that are not."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from host_gpu import HostGpu

from tremorscope.runtime.cameras.gstreamer.camera import HeldFrame
from tremorscope.runtime.clips.video import VideoWriter
from tremorscope.runtime.engines.interface.bundle import SHIPPED_BUNDLES
from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeEngine
from tremorscope.runtime.errors import CameraFault, EngineFault
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.gpu.egl import DevicePicture
from tremorscope.runtime.prove.outcome import Skip, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan
from tremorscope.runtime.prove.steps import accuracy, camera, device, engines, load, pixels, recovery
from tremorscope.runtime.prove.steps.accuracy import PictureJob, draw, magnify_apart, pictures_of
from tremorscope.runtime.prove.steps.recovery import first_frame_s


@pytest.fixture
def plan(tmp_path: Path) -> ProvePlan:
    return ProvePlan(tmp_path, tmp_path, quick=True)


def configured(tmp_path: Path, text: str, **options: Any) -> ProvePlan:
    file = tmp_path / "site.yaml"
    file.write_text(f"version: 1\n{text}\n")
    return ProvePlan(tmp_path, tmp_path, (file,), quick=True, **options).checked()


# The kernel against NumPy.


class Pictures:
    """In place of the GPU's kernel; ``wrong`` spoils a byte."""

    wrong = False

    def __init__(self, gpu: HostGpu) -> None:
        self._gpu = gpu

    def write(self, picture: DevicePicture, pixels: np.ndarray) -> None:
        stream = self._gpu.stream()
        whole = self._gpu.allocate_mapped(4 * picture.width_px * picture.height_px).reshape(
            picture.height_px, picture.width_px, 4
        )
        self._gpu.fetch_picture(picture.address, picture.pitch_bytes, whole, stream)
        pixels[:] = whole[..., :3]
        pixels[-1, -1, -1] ^= self.wrong

    def close(self) -> None:
        pass


@pytest.mark.parametrize("wrong", [False, True])
def test_one_wrong_byte_of_the_kernel_fails(monkeypatch: pytest.MonkeyPatch, wrong: bool) -> None:
    monkeypatch.setattr("tremorscope.runtime.gpu.egl.EglPictures", Pictures)
    monkeypatch.setattr(Pictures, "wrong", wrong)
    findings = StepFindings()
    said = pixels.check_kernel(HostGpu(), ((64, 36), (97, 61)), findings)
    found = findings.outcome(said)
    assert found.state == ("fails" if wrong else "holds")
    assert [check.found for check in found.checks] == ["1" if wrong else "0"] * 2


# Layers.


@pytest.mark.parametrize(
    ("name", "warp"),
    [
        ("/GridSample", True),
        ("{ForeignNode[/Cast_3.../GridSample_1]}", True),
        ("gridsample.1", True),
        ("PWN(grid_sample)", True),
        ("conv1 + relu", False),
    ],
)
def test_the_warp_is_known_by_the_name_that_tensorrt_gives_it(name: str, warp: bool) -> None:
    assert engines.is_warp(name) is warp


# Accuracy.


def test_the_same_pictures_come_from_a_process_of_its_own(tmp_path: Path) -> None:
    draw(96, 64, 3, tmp_path / "frames.npy")
    job = PictureJob(
        bundle=str(SHIPPED_BUNDLES / "lite"), graph="pairwise", runtime="onnxruntime", engines=None,
        frames=str(tmp_path / "frames.npy"), threads=1, as_tensorrt=False, result=str(tmp_path / "pictures.npy"),
    )  # fmt: skip
    broken = dataclasses.replace(job, bundle=str(tmp_path), result=str(tmp_path / "none.npy"))
    magnify_apart([broken, job])
    with pytest.raises(EngineFault, match=r"no manifest\.json there"):
        pictures_of(broken)
    pictures = pictures_of(job)
    frames = np.load(tmp_path / "frames.npy")
    assert pictures.shape == frames.shape == (3, 64, 96, 3)
    engine = OnnxRuntimeEngine(SHIPPED_BUNDLES / "lite/pairwise.onnx", width_px=96, height_px=64, threads=1)
    for frame, picture in zip(frames, pictures, strict=True):
        wanted = np.zeros_like(frame)
        engine.step(frame, frames[0], 20.0, wanted)  # static mode: the first frame is the reference
        np.testing.assert_array_equal(picture, wanted)


@pytest.mark.parametrize(("off", "state"), [(0, "holds"), (1, "fails"), (60, "fails")])
def test_pictures_that_differ_too_much_fail(
    plan: ProvePlan, monkeypatch: pytest.MonkeyPatch, off: int, state: str
) -> None:
    """By one grey level everywhere, or by many at a few places."""

    def pictures(job: PictureJob) -> np.ndarray:  # the engine is the one on one thread
        found = np.full((4, 20, 20, 3), 100, np.uint8)
        if job.threads == 1:
            found[: None if off == 1 else 1, : None if off == 1 else 2] += off
        return found

    monkeypatch.setattr(accuracy, "pictures_of", pictures)
    monkeypatch.setattr(accuracy, "magnify_apart", lambda _: None)
    found = accuracy.run(plan, StepFindings())
    assert found.state == state
    assert "no bundle of it is here" in str(found.facts.get("int8", "no bundle of it is here"))


# The camera daemon.


@pytest.fixture
def csi(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A site with a CSI camera, where the daemon is there and answers as ``given`` says."""
    given: dict[str, Any] = {
        "state": "loaded",
        "refused": "",
        "frames": [(0.5, ""), (None, "blind"), (1.0, "")],
    }
    asked: list[str] = []

    class Machine:
        def says(self, *command: str) -> str:
            assert command[-1] == "nvargus-daemon.service"
            return str(given["state"])

    monkeypatch.setattr(recovery, "Machine", Machine)
    monkeypatch.setattr(recovery, "ask", lambda what: asked.append(what) or given["refused"])
    monkeypatch.setattr(recovery, "first_frame_s", lambda *_: given["frames"].pop(0))
    return given | {"asked": asked, "given": given}


def test_a_new_process_sees_frames_after_the_restart(csi: dict[str, Any], tmp_path: Path) -> None:
    found = recovery.run_argus(
        configured(tmp_path, "camera: {kind: csi}", restart_argus=True), StepFindings()
    )
    assert found.state == "holds"
    assert found.facts["tries"] == 2
    assert csi["asked"] == ["restart-argus"]


def test_a_daemon_that_stays_away_fails_within_its_bound(
    csi: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_BACK_S", 0.2)
    csi["given"]["frames"] = [(0.5, "")] + [(None, "no camera")] * 100_000
    found = recovery.run_argus(
        configured(tmp_path, "camera: {kind: csi}", restart_argus=True), StepFindings()
    )
    assert found.state == "fails"
    assert found.said == "a frame after the restart: none (no camera), not within 0.2 s"


def test_the_daemon_is_left_alone_unless_that_is_allowed(csi: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(Skip, match="not allowed"):
        recovery.run_argus(configured(tmp_path, "camera: {kind: csi}"), StepFindings())
    csi["given"]["state"] = "not-found"
    with pytest.raises(Skip, match="no nvargus-daemon"):
        recovery.run_argus(configured(tmp_path, "camera: {kind: csi}", restart_argus=True), StepFindings())
    with pytest.raises(Skip, match="no camera of Argus"):
        recovery.run_argus(ProvePlan(tmp_path, tmp_path, quick=True), StepFindings())
    assert csi["asked"] == []


def test_a_probe_sees_the_drawn_camera_and_tells_why_it_sees_none(tmp_path: Path) -> None:
    seconds, why = first_frame_s(
        configured(tmp_path, "camera: {kind: synthetic, width_px: 64, height_px: 48}"), 0, 60.0
    )
    assert (seconds is not None, why) == (True, "")
    absent = configured(tmp_path, "camera: {kind: clip, path: /no/such/clip.mp4}")
    seconds, why = first_frame_s(absent, 0, 60.0)
    assert seconds is None
    assert "/no/such/clip.mp4" in why


# Cameras.


@pytest.mark.parametrize(("resource", "kind"), [(None, "CUDA's"), (object(), "a surface, through EGL")])
def test_where_a_csi_camera_leaves_its_frames_is_told(resource: object, kind: str) -> None:
    held = HeldFrame(FrameInfo(0, 0.0), DevicePicture(4096, 7680, 1900, 1080, resource), "a sample")
    findings = StepFindings()
    camera.tell_surface(findings, held)
    assert findings.facts == {"pitch_bytes": 7680, "memory_type": kind}
    assert held._sample is None  # given back: the camera has few buffers


def test_a_camera_that_ends_or_is_slow_fails(tmp_path: Path) -> None:
    short = "camera: {kind: synthetic, width_px: 64, height_px: 48, rate_hz: 200, duration_s: 0.05}"
    with pytest.raises(CameraFault, match="it ended after 10 frames"):
        camera.run(configured(tmp_path, short), StepFindings(), 0)
    site = configured(tmp_path, "camera: {kind: synthetic, width_px: 64, height_px: 48, rate_hz: 120}")
    found = camera.run(site, StepFindings(), 0)
    assert found.state == "holds"
    assert found.facts["copied_bytes_per_frame"] == 0
    assert len(found.tables[0].rows) == 2


# The clock.


@pytest.mark.parametrize(("ppm", "state"), [(0.0, "holds"), (400.0, "holds"), (2000.0, "fails")])
def test_a_clock_that_drifts_as_no_time_server_would_bend_it_fails(
    plan: ProvePlan, monkeypatch: pytest.MonkeyPatch, ppm: float, state: str
) -> None:
    now = {"s": 100.0}

    def monotonic() -> float:
        now["s"] += 1e-6
        return now["s"]

    fake = SimpleNamespace(
        monotonic=monotonic,
        time=lambda: 1.8e9 + now["s"] * (1 + ppm / 1e6),
        sleep=lambda seconds: now.update(s=now["s"] + seconds),
    )
    monkeypatch.setattr(device, "time", fake)
    found = device.run_clock(plan, StepFindings())
    assert found.state == state, found.said
    assert f"{ppm:+.0f} ppm" in {check.what: check.found for check in found.checks}["Unix time against it"]


# Video.


def test_no_picture_is_drawn_while_the_encoder_is_timed(
    plan: ProvePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[np.ndarray] = []
    write = VideoWriter.write
    monkeypatch.setattr(
        VideoWriter,
        "write",
        lambda self, picture, at_s: (written.append(picture), write(self, picture, at_s)),
    )
    found = load.run_encoding(plan, StepFindings())
    assert found.state == "holds", found.said
    assert len(written) == 30
    assert len({id(picture) for picture in written}) == 16
    assert all((one != other).any() for one, other in itertools.pairwise(written))
