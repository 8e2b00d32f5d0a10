"""Which runner is chosen, and every reason that is given for it."""

from __future__ import annotations

import dataclasses
import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from host_gpu import HostGpu
from support import write_bundle
from tensorrt_fake import FakeEngine, fake_library, write_fake_engine

from tremorscope.runtime.bench.job import run_bench
from tremorscope.runtime.bench.result import Copies
from tremorscope.runtime.bench.settings import BenchJob
from tremorscope.runtime.engines import selection as choosing
from tremorscope.runtime.engines.interface.bundle import Bundle, open_bundle
from tremorscope.runtime.engines.interface.manifest import FrameSize, Manifest, write_manifest
from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeBandEngine, OnnxRuntimeEngine
from tremorscope.runtime.engines.selection import Runtime, closing_runtime, open_runtime
from tremorscope.runtime.engines.tensorrt import runtime as tensorrt_runtime
from tremorscope.runtime.engines.tensorrt.engine_file import describe_builder, engine_paths
from tremorscope.runtime.engines.tensorrt.library import Library
from tremorscope.runtime.engines.tensorrt.runners import TensorrtBandEngine, TensorrtEngine
from tremorscope.runtime.errors import EngineFault
from tremorscope.runtime.frames.buffers import PAGE_BYTES, FrameRing
from tremorscope.runtime.gpu.device import Device
from tremorscope.runtime.magnification.settings import MagnificationSettings

ORIN = Device("aarch64", "Orin", "8.7", "12.6", "36.4.3", "0")
SIZE = FrameSize(width_px=32, height_px=16)
GRAPHS = ("pairwise", "band")


@dataclass
class Machine:
    """What a machine has; each part may be taken away."""

    bundle: Bundle
    library: Library
    made: list[FakeEngine]
    device: Device = ORIN
    gpus: list[HostGpu] = field(default_factory=list)

    def open(self, choice: Any = "auto", **options: Any) -> Runtime:
        return open_runtime(choice, self.bundle, (32, 16), threads=1, **options)

    def build(
        self, *graphs: Any, device: Device = ORIN, release: str = "10.3.0", size: FrameSize = SIZE
    ) -> None:
        builder = describe_builder("tensorrt", release, device)
        for graph in graphs or GRAPHS:
            write_fake_engine(self.bundle, graph, size, self.bundle.directory / "engines", builder)

    def engine(self, graph: str) -> Path:
        return engine_paths(self.bundle.directory / "engines", "tensorrt", graph, SIZE).engine

    def take_away(self, monkeypatch: pytest.MonkeyPatch, part: str, fault: EngineFault) -> None:
        def missing(*_: Any) -> Any:
            raise fault

        monkeypatch.setattr(tensorrt_runtime, part, missing)


@pytest.fixture
def machine(make_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A Jetson with everything but engines."""
    library, made = fake_library()
    it = Machine(open_bundle(make_bundle()), library, made)

    def open_gpu() -> HostGpu:
        it.gpus.append(HostGpu())
        return it.gpus[-1]

    monkeypatch.setattr(tensorrt_runtime, "read_device", lambda: (it.device, 1 << 30))
    monkeypatch.setattr(tensorrt_runtime, "load_library", lambda _: it.library)
    monkeypatch.setattr(tensorrt_runtime, "load_pycuda", lambda: "pycuda")
    monkeypatch.setattr("tremorscope.runtime.gpu.pycuda_gpu.open_gpu", open_gpu)
    monkeypatch.setattr(choosing, "_targets", lambda: ("tensorrt",))
    return it


def magnify(runtime: Runtime) -> list[int]:
    """What a step of each graph makes of 100 after 90, 5 times."""
    ring = FrameRing(4, width_px=32, height_px=16, allocate=runtime.allocate)
    frame, before, one, other = (ring.frame(number) for number in range(4))
    frame[:], before[:] = 100, 90
    runtime.open_pairwise().step(frame, before, 5, one)
    keep_all = np.array([[[1.0], [0.0]], [[0.0], [0.0]], [[1.0], [0.0]]], np.float32)
    runtime.open_band().step(
        frame, before, amplification=5, max_displacement_px=9, coefficients=keep_all, magnified=other
    )
    return [*np.unique(one).tolist(), *np.unique(other).tolist()]


def test_tensorrt_is_taken_where_everything_is_there(machine: Machine) -> None:
    machine.build()
    with closing_runtime(machine.open()) as runtime:
        assert (runtime.name, runtime.why) == ("tensorrt", "the fastest that this machine has")
        assert runtime.description == "TensorRT 10.3.0 on the CPU's own memory"
        assert runtime.passed_over == runtime.notes == ()
        assert runtime.gpu is machine.gpus[0]
        assert len(machine.made) == 2, "both are loaded and warm before they are asked for"
        assert isinstance(runtime.open_pairwise(), TensorrtEngine)
        assert isinstance(runtime.open_band(), TensorrtBandEngine)
        assert len(machine.made) == 2
        assert magnify(runtime) == [140, 140]
        assert len(machine.made) == 4, "another of each"
        assert runtime.notes == ("no CUDA graphs: cuda-bindings are not installed",)
    assert machine.gpus[0].mapped_nbytes == 0
    assert machine.open("tensorrt").why == "the configuration asks for it"


def test_a_fallback_to_the_cpu_keeps_nothing_of_the_gpu(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.build()
    load = tensorrt_runtime.load_engine

    def load_one(library: Any, path: Path) -> Any:
        if path.name.startswith("band"):
            raise EngineFault(f"{path}: does not fit into memory", remedy="use a smaller picture")
        return load(library, path)

    closed: list[str] = []
    close = TensorrtEngine.close

    def noted(engine: TensorrtEngine) -> None:
        closed.append("pairwise")
        close(engine)

    monkeypatch.setattr(TensorrtEngine, "close", noted)
    monkeypatch.setattr(tensorrt_runtime, "load_engine", load_one)
    runtime = machine.open("auto")
    assert runtime.name == "onnxruntime"
    assert "does not fit into memory" in runtime.passed_over[0]
    (gpu,) = machine.gpus
    assert (gpu.mapped_nbytes, closed) == (0, ["pairwise"])


@pytest.mark.parametrize("choice", ["auto", "onnxruntime"])
def test_onnx_runtime_runs_both_graphs(machine: Machine, choice: str) -> None:
    if choice == "onnxruntime":
        machine.build()
    with closing_runtime(machine.open(choice)) as runtime:
        assert (runtime.name, runtime.gpu) == ("onnxruntime", None)
        assert runtime.description.startswith("ONNX Runtime 1.")
        assert isinstance(runtime.open_pairwise(), OnnxRuntimeEngine)
        assert isinstance(runtime.open_band(), OnnxRuntimeBandEngine)
        assert magnify(runtime) == [140, 140]
    runtime.close()
    if choice == "onnxruntime":
        assert (runtime.why, runtime.passed_over) == ("the configuration asks for it", ())


def refused(machine: Machine, *reasons: str) -> None:
    """Both choices say the same reasons; auto goes on, and insisting does not."""
    runtime = machine.open()
    assert runtime.name == "onnxruntime"
    assert list(runtime.passed_over) == list(reasons)
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    assert runtime.why == f"TensorRT cannot be used here: {reasons[0]}{more}"
    with pytest.raises(EngineFault) as caught:
        machine.open("tensorrt")
    assert str(caught.value) == (
        f"TensorRT cannot be used here ({'; '.join(reasons)}): mend that, or choose auto"
    )
    assert "\n" not in str(caught.value)


def test_without_a_gpu(machine: Machine) -> None:
    machine.build()
    machine.device = dataclasses.replace(ORIN, gpu=None)
    refused(machine, "no GPU answers: check that the NVIDIA driver is loaded")


@pytest.mark.parametrize("part", ["load_library", "load_pycuda"])
def test_without_a_library(machine: Machine, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    machine.build()
    machine.take_away(monkeypatch, part, EngineFault("it is not there", remedy="install it"))
    refused(machine, "it is not there: install it")


def test_without_engines_the_command_that_builds_them_is_named(machine: Machine) -> None:
    at, directory = f"{machine.engine('pairwise').parent}", machine.bundle.directory
    refused(
        machine,
        *(
            f"{at}/{graph}-32x16.tensorrt.engine: no engine there: tremorscope build {directory} --size 32x16"
            for graph in GRAPHS
        ),
    )


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with one network in FP32 and in FP16."""
    directory = tmp_path / "shipped"
    for name, precision in (("tiny", "fp32"), ("tiny-fp16", "fp16")):
        write_bundle(directory / name, precision=precision)
        manifest = Manifest.model_validate_json((directory / name / "manifest.json").read_text())
        write_manifest(directory / name, manifest)
    monkeypatch.setattr("tremorscope.runtime.engines.interface.bundle.SHIPPED_BUNDLES", directory)
    monkeypatch.chdir(tmp_path)
    return directory


def test_a_gpu_takes_the_twin_in_fp16_and_says_why(machine: Machine, shipped: Path) -> None:
    named = open_bundle(Path("tiny"))
    machine.bundle = named.for_gpu()
    machine.build()  # of the twin
    machine.bundle = named
    with closing_runtime(machine.open()) as runtime:
        assert runtime.name == "tensorrt"
        assert (runtime.bundle.directory, runtime.bundle.manifest.precision) == (
            shipped / "tiny-fp16",
            "fp16",
        )
        assert runtime.why == (
            "the fastest that this machine has; in FP16: tiny states no precision, and a GPU is fastest in FP16; "
            "tiny-fp32 insists on FP32"
        )
    with closing_runtime(machine.open("onnxruntime")) as runtime:
        assert runtime.bundle.directory == shipped / "tiny"
    machine.bundle = open_bundle(Path("tiny-fp32"))
    with closing_runtime(machine.open()) as runtime:  # for which no engine was built
        assert (runtime.name, runtime.bundle.manifest.precision) == ("onnxruntime", "fp32")
        assert "tremorscope build tiny-fp32 --size 32x16" in runtime.why


@pytest.mark.usefixtures("shipped")
def test_an_engine_in_fp32_is_not_taken_for_the_twins(machine: Machine, tmp_path: Path) -> None:
    """Of the same network and size, in a directory that both could use: the precision tells them apart."""
    engines, builder = tmp_path / "engines", describe_builder("tensorrt", "10.3.0", ORIN)
    machine.bundle = open_bundle(Path("tiny"))
    for graph in GRAPHS:
        write_fake_engine(open_bundle(Path("tiny-fp32")), graph, SIZE, engines, builder)
    runtime = machine.open(engines=engines)
    assert (runtime.name, runtime.bundle.manifest.precision) == ("onnxruntime", "fp32")
    assert "precision is fp32, and here it is fp16" in runtime.why


def test_an_engine_elsewhere_is_asked_for_there(machine: Machine, tmp_path: Path) -> None:
    runtime = machine.open(engines=tmp_path / "kept", graphs=("pairwise",))
    assert runtime.passed_over[0].endswith(f" --size 32x16 -o {tmp_path}/kept")


@pytest.mark.parametrize(
    ("build", "difference"),
    [
        ({"release": "10.3.1"}, "TensorRT version is 10.3.1, and here it is 10.3.0"),
        ({"device": dataclasses.replace(ORIN, gpu="Thor")}, "GPU is Thor, and here it is Orin"),
        ({"device": dataclasses.replace(ORIN, l4t="36.4.4")}, "L4T release is 36.4.4, and here it is 36.4.3"),
    ],
)
def test_engines_of_another_machine(machine: Machine, build: Any, difference: str) -> None:
    machine.build(**build)
    remedy = "build it again with tremorscope build --rebuild"
    refused(machine, *(f"{machine.engine(graph)}: its {difference}: {remedy}" for graph in GRAPHS))


def test_a_damaged_engine(machine: Machine) -> None:
    machine.build()
    content = machine.engine("band").read_bytes()
    machine.engine("band").write_bytes(content[::-1])
    refused(
        machine,
        f"{machine.engine('band')}: its content is not what was built: "
        "build it again with tremorscope build --rebuild",
    )


def test_an_engine_that_cannot_be_loaded_is_passed_over_and_leaves_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.build()
    monkeypatch.setattr(FakeEngine, "create_execution_context", lambda _: None)
    refused(
        machine,
        f"{machine.engine('pairwise')}: no memory to run it (no reason given): "
        "stop other programs, or build for a smaller --size",
    )
    gc.collect()
    assert len(machine.gpus) == 2
    for gpu in machine.gpus:
        gpu.close()


def test_too_little_memory_is_a_reason(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise MemoryError("the GPU has no room (cuMemAlloc failed: out of memory)")

    machine.build()
    monkeypatch.setattr(HostGpu, "allocate_device", full)
    refused(
        machine,
        "the GPU has no room (cuMemAlloc failed: out of memory): "
        "stop other programs, or use a smaller picture",
    )


def test_only_the_graphs_that_are_wanted_need_an_engine(machine: Machine) -> None:
    machine.build("pairwise")
    assert machine.open().name == "onnxruntime"
    runtime = machine.open(graphs=["pairwise"])
    assert runtime.name == "tensorrt"
    with pytest.raises(EngineFault, match="the band engine was not asked for"):
        runtime.open_band()


def test_another_power_mode_is_noted(machine: Machine) -> None:
    machine.build()
    machine.device = dataclasses.replace(ORIN, power_mode="2")
    runtime = machine.open()
    assert runtime.name == "tensorrt"
    assert len(runtime.notes) == 2
    assert runtime.notes[0].startswith("built in power mode 0, now 2: it runs, but")


def test_tensorrt_for_rtx_is_looked_for_where_it_is_installed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "_targets", lambda: ("tensorrt", "tensorrt-rtx"))
    builder = describe_builder("tensorrt-rtx", "10.3.0", ORIN)
    for graph in GRAPHS:
        write_fake_engine(machine.bundle, graph, SIZE, machine.bundle.directory / "engines", builder)  # type: ignore[arg-type]
    assert machine.open().name == "tensorrt"
    machine.engine("band").with_name("band-32x16.tensorrt-rtx.engine").unlink()
    reasons = machine.open().passed_over
    assert len(reasons) == 3
    assert "the engine of this sidecar is missing" in reasons[2]


def test_frames_in_use_outlive_the_runtime(machine: Machine) -> None:
    """A command may hold on to its frames to its end; whoever closes again gets the memory back."""
    machine.build()
    with closing_runtime(machine.open()) as runtime:
        ring = FrameRing(1, width_px=32, height_px=16, allocate=runtime.allocate)
    frame = ring.frame(0)
    del ring
    frame[:] = 7
    assert frame.min() == 7
    assert machine.gpus[0].mapped_nbytes == PAGE_BYTES
    del frame
    runtime.close()
    assert machine.gpus[0].mapped_nbytes == 0


@pytest.mark.parametrize("mode", ["dynamic", "band"])
def test_the_live_loop_on_tensorrt_copies_no_pixel(machine: Machine, mode: Any) -> None:
    """Camera, supervisor, ring, magnifier, live feed: what the service runs, as `tremorscope bench` times it."""
    size = FrameSize(width_px=64, height_px=48)
    machine.build(size=size)
    job = BenchJob(
        bundle=machine.bundle.directory,
        size=size,
        frames=20,
        warm_up=2,
        rate_hz=100.0,
        magnification=MagnificationSettings(
            amplification=5.0, mode=mode, bands_hz=((2.0, 6.0),) if mode == "band" else ()
        ),
    )
    result = run_bench(job)
    assert result.copies == Copies(0.0, {})
    executed = [context.executed for engine in machine.made for context in engine.contexts]
    assert max(executed) >= 22
    gc.collect()
    machine.gpus[0].close()
    assert machine.gpus[0].mapped_nbytes == 0


CPU_RUNNER = ("tremorscope.runtime.engines.onnx.graph", "tremorscope.runtime.engines.onnx.runtime")
"""The only modules by which the runtime reaches ONNX Runtime (tests/test_architecture.py holds that)."""


def test_the_cpus_runner_stays_out_of_a_process_in_which_tensorrt_runs(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It aborts at the end of a process on some Jetsons. (The stand-in for TensorRT computes by it, past these.)"""
    for module in CPU_RUNNER:
        monkeypatch.delitem(sys.modules, module, raising=False)
    machine.build(size=FrameSize(width_px=64, height_px=48))
    job = BenchJob(
        bundle=machine.bundle.directory,
        size=FrameSize(width_px=64, height_px=48),
        frames=10,
        warm_up=1,
        rate_hz=100.0,
        magnification=MagnificationSettings(amplification=5.0, mode="dynamic"),
        against=write_bundle(tmp_path / "slow", network="slow"),
    )
    result = run_bench(job)
    assert result.runtime.startswith("TensorRT")
    # What has no engine is not compared on the CPU instead: the two would not be told apart by their networks.
    assert "no engine there" in result.comparison_failed
    assert not set(CPU_RUNNER) & set(sys.modules)
    gc.collect()
    with closing_runtime(machine.open("onnxruntime")) as runtime:
        assert runtime.description.startswith("ONNX Runtime")
    assert set(CPU_RUNNER[:1]) <= set(sys.modules), "the two are looked for by their names"
