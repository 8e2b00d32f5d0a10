"""The steps for a GPU on a stand-in for a Jetson: ONNX Runtime computes TensorRT's engines, the CPU is the GPU."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from host_gpu import HostGpu
from tensorrt_fake_build import Asked, fake_builder

from tremorscope.runtime.engines import selection as choosing
from tremorscope.runtime.engines.interface.bundle import SHIPPED_BUNDLES, open_bundle
from tremorscope.runtime.engines.interface.manifest import (
    Calibration,
    FrameSize,
    Quantisation,
    write_manifest,
)
from tremorscope.runtime.engines.tensorrt import build_job
from tremorscope.runtime.engines.tensorrt import runtime as tensorrt_runtime
from tremorscope.runtime.engines.tensorrt.runners import TensorrtEngine
from tremorscope.runtime.engines.tensorrt.step import GraphUse
from tremorscope.runtime.errors import EngineFault
from tremorscope.runtime.gpu.device import Device
from tremorscope.runtime.prove import plan as plan_module
from tremorscope.runtime.prove import tensorrt as prove_tensorrt
from tremorscope.runtime.prove.apart import run_step
from tremorscope.runtime.prove.outcome import Outcome, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan
from tremorscope.runtime.prove.steps import accuracy

SIZE = FrameSize(width_px=64, height_px=48)
ORIN = Device("aarch64", "Orin", "8.7", "12.6", "36.4.3", "0")


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProvePlan:
    """What is planned on an Orin with TensorRT 10.3, for a site whose frames are small."""
    (tmp_path / "graphs").mkdir()
    cell_px = open_bundle(None).representation.cell_px
    library, builds = fake_builder(tmp_path / "graphs", SIZE, cell_px, "10.3.0")
    for module in (build_job, tensorrt_runtime, prove_tensorrt, plan_module):
        monkeypatch.setattr(module, "read_device", lambda: (ORIN, 1 << 32))
    for module in (build_job, tensorrt_runtime, prove_tensorrt):
        monkeypatch.setattr(module, "load_library", lambda _: library)
    monkeypatch.setattr(prove_tensorrt, "is_jetson", lambda _: True)
    monkeypatch.setattr(tensorrt_runtime, "load_pycuda", lambda: "pycuda")
    monkeypatch.setattr("tremorscope.runtime.gpu.pycuda_gpu.open_gpu", HostGpu)
    monkeypatch.setattr(choosing, "_targets", lambda: ("tensorrt",))
    monkeypatch.setattr(ProvePlan, "small_size", SIZE)
    site = tmp_path / "site.yaml"
    site.write_text("version: 1\ncamera: {kind: synthetic, width_px: 64, height_px: 48, rate_hz: 30}\n")
    monkeypatch.setattr(plan_module, "BUILDS", builds, raising=False)
    return ProvePlan(tmp_path / "out", tmp_path / "work", (site,), quick=True, load_s=1.0).checked()


STEPS = {
    "engine_small": "engines:run_small", "engine_site": "engines:run_site",
    "layers": "engines:run_layers", "graphs": "engines:run_graphs", "memory": "engines:run_memory",
    "load": "load:run_load",
}  # fmt: skip


def step(plan: ProvePlan, name: str, camera: int | None = None) -> Outcome:
    plan.work.mkdir(exist_ok=True)
    found = run_step(plan, StepFindings(), f"tremorscope.runtime.prove.steps.{STEPS.get(name, name)}", camera)
    assert "Error" not in found.said, found
    return found


def test_engines_are_built_in_fp16_run_and_kept_for_the_next_steps(plan: ProvePlan) -> None:
    found = step(plan, "engine_site")
    assert found.state == "holds"
    assert (found.facts["bundle"], found.facts["precision"]) == ("realtime-fp16", "fp16")
    assert (found.facts["built_pairwise"], found.facts["built_band"]) == ("now", "now")
    assert found.facts["runtime"] == "TensorRT 10.3.0 on the CPU's own memory"
    assert found.facts["peak_process_mib"] > 10  # type: ignore[operator]
    again = step(plan, "engine_site")
    assert str(again.facts["built_pairwise"]).startswith("on 20")

    told = step(plan, "layers")
    assert (told.state, told.said) == ("holds", "8.00 ms in 2 layers, 62.5% of it GridSample")
    assert told.tables[0].rows[0][0] == "/GridSample"
    assert step(plan, "memory").state == "holds"
    assert step(plan, "graphs").said == "steps are launched layer by layer: no cuda-bindings"
    camera = step(plan, "camera", 0)
    assert (camera.state, camera.facts["copied_bytes_per_frame"]) == ("holds", 0.0)


def in_int8(bundle: Path) -> Path:
    """The shipped network under a manifest that says INT8; the stand-in runs the graph as it is."""
    shutil.copytree(SHIPPED_BUNDLES / "realtime", bundle)
    manifest = open_bundle(bundle).manifest
    calibration = Calibration(
        source="drawn",
        sha256="0" * 64,
        pairs=1,
        samples=1,
        frame_size=SIZE,
        amplification=manifest.amplification,
    )
    quantised = Quantisation(
        method="mse", unquantised="fp32", layers=("blocks.0.conv1",), float_graphs={}, calibration=calibration
    )
    write_manifest(bundle, manifest.model_copy(update={"precision": "int8", "quantisation": quantised}))
    return bundle


def test_engines_in_int8_are_found_by_the_steps_after_their_build(plan: ProvePlan, tmp_path: Path) -> None:
    site = plan.configurations[0]
    site.write_text(f"{site.read_text()}magnification: {{bundle: {in_int8(tmp_path / 'site-int8')}}}\n")
    assert step(plan, "engine_site").facts["precision"] == "int8"
    assert {name: step(plan, name).state for name in ("layers", "graphs", "memory")} == {
        "layers": "holds", "graphs": "holds", "memory": "holds",
    }  # fmt: skip


def test_what_needs_an_engine_is_skipped_where_none_was_built(plan: ProvePlan) -> None:
    for name in ("layers", "memory", "graphs"):
        found = step(plan, name)
        assert (found.state, found.said) == (
            "skipped",
            "there is no engine to look at: it was not built before",
        )


@pytest.mark.parametrize(
    ("launched", "captured", "state"), [(97, 2, "holds"), (38, 60, "fails"), (0, 0, "holds")]
)
def test_graphs_pay_or_are_not_captured(
    plan: ProvePlan, monkeypatch: pytest.MonkeyPatch, launched: int, captured: int, state: str
) -> None:
    step(plan, "engine_site")
    monkeypatch.setattr(HostGpu, "captures", True, raising=False)
    monkeypatch.setattr("tremorscope.runtime.gpu.pycuda_gpu.open_gpu", lambda: HostGpu(captures=True))
    monkeypatch.setattr(
        HostGpu, "capture", lambda *_: SimpleNamespace(launch=lambda _: None, free=lambda: None)
    )
    monkeypatch.setattr(TensorrtEngine, "graph_use", GraphUse(100, launched, captured))
    found = step(plan, "graphs")
    assert found.state == state
    assert found.facts["launched"] == launched


def test_pictures_of_both_runners_are_compared(plan: ProvePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[str]] = []

    def in_this_process(jobs: list[accuracy.PictureJob]) -> None:
        asked.append({job.runtime for job in jobs})
        for job in jobs:
            np.save(job.result, accuracy._magnify(job))

    monkeypatch.setattr(accuracy, "magnify_apart", in_this_process)
    found = step(plan, "accuracy")
    assert found.state == "holds", found.said
    assert asked == [{"onnxruntime"}, {"tensorrt"}]  # never both in one process
    rows = {(row[0], row[2], row[3]): row[6] for row in found.tables[0].rows}
    assert rows["realtime", "pairwise", "ONNX Runtime"] == 0
    assert rows["realtime-fp16", "band", "ONNX Runtime"] == 0
    assert ("realtime-fp16", "pairwise", "FP32 by ONNX Runtime") in rows


def test_the_load_runs_on_the_engines_that_were_built(plan: ProvePlan) -> None:
    step(plan, "engine_site")
    found = step(plan, "load")
    assert found.state == "holds", found.said
    assert found.facts["runtime"] == "TensorRT 10.3.0 on the CPU's own memory"
    assert found.facts["copied_bytes_per_frame"] is not None


def test_a_builder_that_fails_is_told_with_its_remedy(
    plan: ProvePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise EngineFault("no memory to build it", remedy="free some")

    monkeypatch.setattr(build_job, "build_engine", refuse)
    found = step(plan, "engine_small")
    assert (found.state, found.said, found.remedy) == ("fails", "no memory to build it", "free some")


def test_a_jetson_without_its_libraries_fails_and_is_not_skipped(
    plan: ProvePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_: object) -> object:
        raise EngineFault("TensorRT is not installed", remedy="sudo apt install nvidia-jetpack")

    monkeypatch.setattr(build_job, "load_library", missing)
    found = step(plan, "engine_small")
    assert (found.state, found.said) == ("fails", "TensorRT is not installed")


def test_a_site_that_insists_on_the_cpu_has_no_gpu_to_prove(plan: ProvePlan) -> None:
    site = plan.configurations[0]
    site.write_text(f"{site.read_text()}magnification: {{runtime: onnxruntime}}\n")
    assert step(plan, "memory").state == "skipped"
    assert str(step(plan, "engine_small").facts["runtime"]).startswith("ONNX Runtime")


def test_stand_ins_are_asked_for_fp16(plan: ProvePlan) -> None:
    step(plan, "engine_site")
    builds: list[Asked] = plan_module.BUILDS  # type: ignore[attr-defined]
    assert len(builds) == 2
    assert all(asked.flags == [] for asked in builds)  # strongly typed: the graph says it
