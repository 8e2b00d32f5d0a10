"""What we use of TensorRT exists in every version that we claim: NVIDIA's own bindings are asked.

No TensorRT library can be had off a device; its Python bindings can, and import over a library with nothing in it.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import ROOT
from tensorrt_wheels import BINDINGS, RTX_VERSION, bindings, rtx_path, stub_libraries, tensorrt_module

from tremorscope.runtime.engines.tensorrt.plan import BuildRequest, parse_version, plan_build

VERSIONS = list(BINDINGS)
BUILDING = ["build"]
RUNNING = ["library", "step", "runners", "memory", "profile"]
MODULES = [*BUILDING, *RUNNING]
CLASS_OF = {
    "builder": "Builder",
    "cache": "ITimingCache",
    "config": "IBuilderConfig",
    "context": "IExecutionContext",
    "engine": "ICudaEngine",
    "layer": "ILayer",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "problem": "ParserError",
    "profile": "IOptimizationProfile",
    "runtime": "Runtime",
    "tensor": "ITensor",
}
"""In these modules a variable's name tells its class."""
VALUES = {"memory", "ranges", "stated"}
"""Names of what TensorRT returns that is no object of its own."""


@pytest.fixture(scope="session")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stub_libraries(tmp_path_factory.mktemp("stubs"))


def run_over(
    version: str, stubs: Path, *command: str, path: tuple[Path, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """A Python process in which the bindings of a version can be imported."""
    search = os.pathsep.join(map(str, (*path, bindings(version), ROOT)))
    environment = os.environ | {"LD_LIBRARY_PATH": str(stubs), "PYTHONPATH": search}
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, env=environment, timeout=120, check=False
    )


@pytest.fixture(scope="session")
def spied(stubs: Path) -> Any:
    """By version, what `tensorrt_spy` saw; each version's process is run once."""
    seen: dict[str, Any] = {}

    def of(version: str) -> Any:
        if version not in seen:
            done = run_over(version, stubs, str(ROOT / "tests/tensorrt_spy.py"))
            assert done.returncode == 0, done.stderr
            seen[version] = json.loads(done.stdout)
        return seen[version]

    return of


def asked(scenario: dict[str, Any], what: str) -> list[list[Any]]:
    """The arguments of every call of, or value given to, ``what``."""
    return [arguments for name, arguments in scenario["calls"] if name == what]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_building_code_runs_on_the_signatures_of_the_real_bindings(
    spied: Any, version: str, precision: str
) -> None:
    scenario = spied(version)["scenarios"][precision]
    assert scenario["engine"] == "an engine"
    assert scenario["timing_cache"] == "an engine"
    assert asked(scenario, "ITensor.shape") == [
        [], [[1, 48, 64, 3]], [], [[1, 48, 64, 3]], [], [[1]], [], [[2, -1, 32, 12, 16]],
    ]  # fmt: skip
    assert asked(scenario, "IOptimizationProfile.set_shape") == [
        ["state", [2, 1, 32, 12, 16], [2, 2, 32, 12, 16], [2, 8, 32, 12, 16]]
    ]
    assert asked(scenario, "ITensor.allowed_formats") == [[1 << 0]] * 5
    assert asked(scenario, "IBuilderConfig.set_memory_pool_limit") == [["WORKSPACE", 1 << 28]]
    assert asked(scenario, "IBuilderConfig.clear_flag") == [["TF32"]]
    assert bool(asked(scenario, "IBuilderConfig.progress_monitor")) is (version != "8.6.1")


@pytest.mark.parametrize(
    ("version", "network_flags"),
    [("8.6.1", 1 << 0), ("10.3.0", 1 << 1), ("10.13.3.9", 1 << 1), ("10.16.1.11", 1 << 1), ("11.4.0.106", 0)],
)
def test_networks_are_typed_strongly_wherever_that_exists(
    spied: Any, version: str, network_flags: int
) -> None:
    for precision in ("fp32", "fp16", "int8"):
        scenario = spied(version)["scenarios"][precision]
        assert asked(scenario, "Builder.create_network") == [[network_flags]]
    # EXPLICIT_BATCH is bit 0 and STRONGLY_TYPED bit 1; the flags of precision are for 8.6 alone.
    flags = {
        precision: asked(spied(version)["scenarios"][precision], "IBuilderConfig.set_flag")
        for precision in ("fp32", "fp16", "int8")
    }
    held = ["OBEY_PRECISION_CONSTRAINTS"]
    weak = {"fp32": [], "fp16": [["FP16"], held], "int8": [["FP16"], ["INT8"], held]}
    assert flags == (weak if version == "8.6.1" else {"fp32": [], "fp16": [], "int8": []})


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_what_must_be_in_fp32_is_held_to_it_where_types_do_not_bind(
    spied: Any, version: str, precision: str
) -> None:
    """The two layers of `tensorrt_spy.LAYERS` that FP16 would ruin; not the decoder's, nor sizes, nor casts."""
    scenario = spied(version)["scenarios"][precision]
    weak = version == "8.6.1" and precision != "fp32"
    assert asked(scenario, "ILayer.precision") == ([["FLOAT"]] * 2 if weak else [])
    assert asked(scenario, "ILayer.set_output_type") == ([[0, "FLOAT"]] * 2 if weak else [])


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_plan_says_of_a_version_is_so(spied: Any, version: str) -> None:
    api = spied(version)["api"]
    request = BuildRequest("tensorrt", parse_version(version), "int8", 17, 1 << 28)
    plan = plan_build(request)
    assert ("IProgressMonitor" in api) is plan.progress_monitor
    assert ("STRONGLY_TYPED" in plan.network_flags) <= (
        "STRONGLY_TYPED" in api["NetworkDefinitionCreationFlag"]
    )
    for enumeration, names in {
        "NetworkDefinitionCreationFlag": plan.network_flags,
        "BuilderFlag": plan.builder_flags + plan.cleared_flags,
        "MemoryPoolType": tuple(name for name, _ in plan.pool_limits),
        "TensorFormat": (plan.io_format,),
    }.items():
        assert set(names) <= set(api[enumeration]), enumeration
    assert plan.notes == ()


def test_flags_of_precision_are_gone_where_the_plan_does_without(spied: Any) -> None:
    assert {"FP16", "INT8"} <= set(spied("10.16.1.11")["api"]["BuilderFlag"])
    assert not {"FP16", "INT8"} & set(spied("11.4.0.106")["api"]["BuilderFlag"])
    assert "STRONGLY_TYPED" not in spied("8.6.1")["api"]["NetworkDefinitionCreationFlag"]


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0"])
def test_dla_is_asked_for_in_fp16_with_the_gpu_behind_it(spied: Any, version: str) -> None:
    scenario = spied(version)["scenarios"]["dla"]
    held = ["OBEY_PRECISION_CONSTRAINTS"]
    assert asked(scenario, "IBuilderConfig.set_flag") == [["FP16"], held, ["GPU_FALLBACK"]]
    assert asked(scenario, "ILayer.precision") == [["FLOAT"]] * 2, "by the GPU, then"
    assert asked(scenario, "IBuilderConfig.default_device_type") == [["DLA"]]
    assert asked(scenario, "IBuilderConfig.DLA_core") == [[1]]
    refused = spied(version)["scenarios"]["no such dla"]
    assert refused["fault"].startswith("--dla 5: this device has 2 DLA cores: ")


@pytest.mark.parametrize("version", ["10.13.3.9", "10.16.1.11", "11.4.0.106"])
def test_dla_is_refused_where_tensorrt_lacks_it(spied: Any, version: str) -> None:
    assert " cannot use DLA: leave --dla out" in spied(version)["scenarios"]["dla"]["fault"]


@pytest.mark.parametrize("version", VERSIONS)
def test_failures_are_told_in_one_line_with_their_reason(spied: Any, version: str) -> None:
    scenarios = spied(version)["scenarios"]
    assert scenarios["parse fails"]["fault"] == (
        f"TensorRT {version} does not take the graph (node 3: no such operator): "
        "export the bundle with this release of tremorscope"
    )
    assert scenarios["build fails"]["fault"].startswith(
        f"TensorRT {version} built no engine (no reason given): "
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_timings_of_another_device_are_replaced_not_used(spied: Any, version: str) -> None:
    scenario = spied(version)["scenarios"]["cache of another device"]
    assert scenario["engine"] == "an engine"
    # Mismatches are not ignored, and after one a second, empty cache is attached.
    assert [arguments[1] for arguments in asked(scenario, "IBuilderConfig.set_timing_cache")] == [
        False,
        False,
    ]
    assert len(asked(scenario, "IBuilderConfig.create_timing_cache")) == 2


@pytest.fixture(scope="session")
def rtx_spied() -> Any:
    """What `tensorrt_spy` saw of TensorRT for RTX, whose bindings come with their library."""
    search = os.pathsep.join(map(str, [*rtx_path(), ROOT]))
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/tensorrt_spy.py"), "rtx"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": search},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(params=[*VERSIONS, "rtx"])
def running(request: pytest.FixtureRequest) -> Any:
    """What was seen of a version, TensorRT for RTX included, and its name in messages."""
    if request.param == "rtx":
        return request.getfixturevalue("rtx_spied"), f"TensorRT for RTX {RTX_VERSION}"
    return request.getfixturevalue("spied")(request.param), f"TensorRT {request.param}"


def test_the_runner_runs_on_the_signatures_of_the_real_bindings(running: Any) -> None:
    """With the pictures of ONNX Runtime, which computes behind the signatures."""
    seen, _ = running
    scenario = seen["scenarios"]["run"]
    assert scenario["equal"] == {"pairwise": True, "band": True}
    shapes = asked(scenario, "IExecutionContext.set_input_shape")
    assert shapes == [
        ["coefficients", [3, 2, 1]], ["state", [2, 1, 3, 17, 32]],
        ["coefficients", [3, 2, 2]], ["state", [2, 2, 3, 17, 32]],
    ]  # fmt: skip
    # Three steps to warm each engine up, one of the pairwise and three of the band graph.
    assert asked(scenario, "IExecutionContext.execute_async_v3") == [[0]] * (3 + 1 + 3 + 3)
    bound = {name for name, _ in asked(scenario, "IExecutionContext.set_tensor_address")}
    assert bound == {
        "frame", "reference", "previous", "amplification", "max_displacement_px", "mask", "coefficients",
        "state", "next_state", "magnified", "activity",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        ("no engine", "pairwise.engine: {} does not take it (no reason given): build it again with"),
        ("no context", "pairwise.engine: no memory to run it (no reason given): stop other programs"),
        ("no step", "pairwise.engine: {} failed to run a step (no reason given): restart the service"),
        (
            "no shape",
            "band.engine: {} does not take coefficients of shape [3, 2, 1] (no reason given): restart",
        ),
    ],
)
def test_what_fails_at_run_time_is_told_in_one_line(running: Any, scenario: str, said: str) -> None:
    seen, name = running
    assert said.format(name) in seen["scenarios"][scenario]["fault"]


def test_layers_are_timed_by_a_profiler_of_the_real_bindings(running: Any) -> None:
    seen, _ = running
    scenario = seen["scenarios"]["profile"]
    assert scenario["layers"] == {}  # nobody reports behind these signatures; see test_tensorrt_profile
    assert [name for (name,) in asked(scenario, "IExecutionContext.profiler")] == ["Times", "NoneType"]
    assert len(asked(scenario, "IExecutionContext.execute_async_v3")) == 3
    assert [parameters for parameters, _ in seen["api"]["IProfiler"]["report_layer_time"]] == [
        [["layer_name", False], ["ms", False]]
    ]


def test_every_name_of_the_library_that_is_used_to_run_exists(running: Any) -> None:
    seen, _ = running
    found = set()
    for module in RUNNING:
        tree = ast.parse((ROOT / f"runtime/engines/tensorrt/{module}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("trt."):
                found.add(ast.unparse(node).removeprefix("trt."))
    found = {
        name for name in found if not name.startswith("ILogger")
    }  # of building, which has tests of its own
    assert found == {
        "Runtime", "DataType", "DataType.UINT8", "DataType.FLOAT", "TensorIOMode", "TensorIOMode.INPUT",
        "IProfiler", "IProfiler.__init__",
    }  # fmt: skip
    for name in found:
        of, _, attribute = name.partition(".")
        assert of in seen["api"], name
        assert not attribute or attribute in seen["api"][of], name


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_gpu_the_command_says_so_in_one_line(version: str, stubs: Path, tmp_path: Path) -> None:
    (tmp_path / "module").mkdir()
    path = (tensorrt_module(tmp_path / "module"),)
    command = [
        "-m",
        "tremorscope",
        "build",
        "realtime",
        "--size",
        "64x48",
        "-o",
        str(tmp_path / "engines"),
    ]
    done = run_over(version, stubs, *command, path=path)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"tremorscope: TensorRT {version} does not start (no reason given): run this on the device with the GPU, "
        "and check that its driver is loaded"
    )
    assert not (tmp_path / "engines").exists()


def test_bindings_without_their_library_are_told_from_none(tmp_path: Path) -> None:
    (tmp_path / "module").mkdir()
    (tmp_path / "empty").mkdir()
    path = (tensorrt_module(tmp_path / "module"),)
    command = ["-m", "tremorscope", "build", "realtime", "--size", "64x48"]
    done = run_over("10.3.0", tmp_path / "empty", *command, path=path)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "tremorscope: TensorRT cannot be loaded (libnvinfer.so.10: cannot open shared object file: No such file or "
        "directory): sudo apt install --reinstall 'libnvinfer*' 'libnvonnxparsers*'"
    )


def uses_in(module: str) -> set[str]:
    """Every attribute of a TensorRT object that a module of ours names, as ``Class.attribute``."""
    tree = ast.parse((ROOT / f"runtime/engines/tensorrt/{module}.py").read_text(encoding="utf-8"))
    return {
        f"{CLASS_OF[node.value.id]}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in CLASS_OF
    }


def test_the_scenarios_leave_no_use_of_tensorrt_out(spied: Any) -> None:
    uses = {use for module in MODULES for use in uses_in(module)}
    assert len(uses) > 20
    seen = {name for scenario in spied("10.3.0")["scenarios"].values() for name, _ in scenario["calls"]}
    assert uses - seen == set()


def test_no_variable_of_tensorrt_goes_by_another_name() -> None:
    """What a TensorRT object returns is bound to a name that tells its class, or is a value, which has no methods."""
    for module in MODULES:
        tree = ast.parse((ROOT / f"runtime/engines/tensorrt/{module}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)):
                continue
            called = node.value.func
            while isinstance(called, ast.Attribute):
                called = called.value
            if isinstance(called, ast.Name) and called.id in {"trt", *CLASS_OF}:
                names = {ast.unparse(target) for target in node.targets}
                assert names <= {*CLASS_OF, *VALUES}, f"{module}.py:{node.lineno}"


def test_nothing_is_used_that_tensorrt_has_given_up() -> None:
    """Removed in TensorRT 11, deprecated since 10.1. (Precision constraints, gone too, are asked for by plan alone.)"""
    for module in (*MODULES, "plan"):
        source = (ROOT / f"runtime/engines/tensorrt/{module}.py").read_text(encoding="utf-8")
        for removed in (
            "calibrator",
            "max_workspace_size",
            "build_engine_with_config",
        ):
            assert removed not in source
