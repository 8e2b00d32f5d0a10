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
from tensorrt_wheels import BINDINGS, bindings, stub_libraries, tensorrt_module

from runtime.engines.tensorrt_plan import Request, parse_version, plan_build

VERSIONS = list(BINDINGS)
MODULES = ["tensorrt_build", "tensorrt_library", "tensorrt_progress"]
CLASS_OF = {
    "builder": "Builder",
    "cache": "ITimingCache",
    "config": "IBuilderConfig",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "problem": "ParserError",
    "profile": "IOptimizationProfile",
    "tensor": "ITensor",
}
"""In these modules a variable's name tells its class."""


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
    weak = {"fp32": [], "fp16": [["FP16"]], "int8": [["FP16"], ["INT8"]]}
    assert flags == (weak if version == "8.6.1" else {"fp32": [], "fp16": [], "int8": []})


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_plan_says_of_a_version_is_so(spied: Any, version: str) -> None:
    api = spied(version)["api"]
    request = Request("tensorrt", parse_version(version), "int8", 17, 1 << 28)
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
    assert asked(scenario, "IBuilderConfig.set_flag") == [["FP16"], ["GPU_FALLBACK"]]
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


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_gpu_the_command_says_so_in_one_line(version: str, stubs: Path, tmp_path: Path) -> None:
    (tmp_path / "module").mkdir()
    path = (tensorrt_module(tmp_path / "module"),)
    command = [
        str(ROOT / "tremorscope.py"),
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
    command = [str(ROOT / "tremorscope.py"), "build", "realtime", "--size", "64x48"]
    done = run_over("10.3.0", tmp_path / "empty", *command, path=path)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "tremorscope: TensorRT cannot be loaded (libnvinfer.so.10: cannot open shared object file: No such file or "
        "directory): sudo apt install --reinstall 'libnvinfer*' 'libnvonnxparsers*'"
    )


def uses_in(module: str) -> set[str]:
    """Every attribute of a TensorRT object that a module of ours names, as ``Class.attribute``."""
    tree = ast.parse((ROOT / f"runtime/engines/{module}.py").read_text(encoding="utf-8"))
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
    """What a TensorRT object returns is bound to a name that tells its class, or is memory, which has no methods."""
    for module in MODULES:
        tree = ast.parse((ROOT / f"runtime/engines/{module}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)):
                continue
            called = node.value.func
            while isinstance(called, ast.Attribute):
                called = called.value
            if isinstance(called, ast.Name) and called.id in {"trt", *CLASS_OF}:
                names = {ast.unparse(target) for target in node.targets}
                assert names <= {*CLASS_OF, "memory"}, f"{module}.py:{node.lineno}"


def test_nothing_is_used_that_tensorrt_has_given_up() -> None:
    """Removed in TensorRT 11, deprecated since 10.1."""
    for module in (*MODULES, "tensorrt_plan"):
        source = (ROOT / f"runtime/engines/{module}.py").read_text(encoding="utf-8")
        for removed in (
            "calibrator",
            "PRECISION_CONSTRAINTS",
            "max_workspace_size",
            "build_engine_with_config",
        ):
            assert removed not in source
