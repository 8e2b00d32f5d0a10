"""What each TensorRT version is asked for."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tremorscope.runtime.engines.tensorrt.plan import (
    BuildPlan,
    BuildRequest,
    Version,
    fit_workspace,
    parse_version,
    plan_build,
)
from tremorscope.runtime.errors import BundleFault, EngineFault, OptionFault

MIB = 1 << 20
HELD = ("OBEY_PRECISION_CONSTRAINTS",)
"""Where flags allow FP16 everywhere, what must be in FP32 is held to it."""


def plan(version: str, **changes: Any) -> BuildPlan:
    request = BuildRequest("tensorrt", parse_version(version), "fp32", 17, 512 * MIB)
    return plan_build(dataclasses.replace(request, **changes))


@pytest.mark.parametrize(
    ("version", "precision", "network_flags", "builder_flags"),
    [
        ("8.6.1", "fp32", ("EXPLICIT_BATCH",), ()),
        ("8.6.1", "fp16", ("EXPLICIT_BATCH",), ("FP16", *HELD)),
        ("8.6.1", "int8", ("EXPLICIT_BATCH",), ("FP16", "INT8", *HELD)),
        ("10.3.0", "fp16", ("STRONGLY_TYPED",), ()),
        ("10.3.0", "int8", ("STRONGLY_TYPED",), ()),
        ("10.13.3.9", "int8", ("STRONGLY_TYPED",), ()),
        ("10.16.1.11", "int8", ("STRONGLY_TYPED",), ()),
        ("11.4.0.106", "int8", (), ()),
    ],
)
def test_precision_is_a_flag_in_8_and_the_graphs_own_from_10_on(
    version: str, precision: Any, network_flags: tuple[str, ...], builder_flags: tuple[str, ...]
) -> None:
    made = plan(version, precision=precision)
    assert (made.network_flags, made.builder_flags) == (network_flags, builder_flags)
    assert made.cleared_flags == ("TF32",)
    assert made.holds_exact is (version == "8.6.1" and precision != "fp32")


@pytest.mark.parametrize(
    ("version", "monitor"), [("8.6.1", False), ("10.3.0", True), ("10.13.3", True), ("11.4.0", True)]
)
def test_a_progress_monitor_exists_since_10(version: str, monitor: bool) -> None:
    assert plan(version).progress_monitor is monitor
    assert plan(version).timing_cache is True


def test_tensorrt_for_rtx_is_as_11_without_timings() -> None:
    made = plan("1.7.1.116", target="tensorrt-rtx")
    assert (made.network_flags, made.builder_flags) == ((), ())
    assert (made.progress_monitor, made.timing_cache) == (True, False)


@pytest.mark.parametrize(
    ("version", "rule"),
    [
        ("8.6.2", "8.6"),
        ("10.0.1", "10.3"),
        ("10.7.0", "10.3"),
        ("10.9.0", "10.13, 10.16"),
        ("11.6.0", "11.4"),
    ],
)
def test_versions_between_are_built_for_like_their_nearest_and_said_to_be(version: str, rule: str) -> None:
    made = plan(version)
    assert made.rule == rule
    checked = version.rpartition(".")[0] in rule.split(", ")
    expected = () if checked else (f"TensorRT {version} was not checked itself; it is built for like {rule}",)
    assert made.notes == expected


@pytest.mark.parametrize(
    ("version", "target", "remedy"),
    [
        ("8.5.2", "tensorrt", "install JetPack 6.0 or newer"),
        ("9.2.0", "tensorrt", "install JetPack 6.0 or newer"),
        ("12.0.0", "tensorrt", "install a newer release of tremorscope"),
        ("2.0.0", "tensorrt-rtx", "install a newer release of tremorscope"),
        ("0.9.0", "tensorrt-rtx", "pip install --upgrade tensorrt-rtx"),
    ],
)
def test_other_versions_are_refused_with_the_remedy(version: str, target: Any, remedy: str) -> None:
    with pytest.raises(EngineFault, match=rf"{version} is not supported: {remedy}"):
        plan(version, target=target)


@pytest.mark.parametrize(
    ("version", "opset", "reads"),
    [("8.6.1", 19, "9 to 17"), ("10.3.0", 21, "9 to 20"), ("11.4.0", 26, "9 to 25"), ("8.6.1", 8, "9 to 17")],
)
def test_an_opset_that_the_version_does_not_read_is_refused(version: str, opset: int, reads: str) -> None:
    with pytest.raises(BundleFault, match=rf"opset {opset}, and TensorRT {version} reads {reads}: export"):
        plan(version, opset=opset)


def test_fp16_scales_need_opset_19_which_10_reads() -> None:
    assert plan("10.3.0", opset=19, precision="int8").builder_flags == ()


@pytest.mark.parametrize(
    ("version", "network_flags", "builder_flags"),
    [
        ("8.6.1", ("EXPLICIT_BATCH",), ("FP16", *HELD, "GPU_FALLBACK")),
        ("10.3.0", (), ("FP16", *HELD, "GPU_FALLBACK")),
        ("10.7.0", (), ("FP16", *HELD, "GPU_FALLBACK")),
        ("11.4.1", (), ("GPU_FALLBACK",)),
    ],
)
def test_dla_where_it_exists(
    version: str, network_flags: tuple[str, ...], builder_flags: tuple[str, ...]
) -> None:
    made = plan(version, precision="fp16", dla_core=1)
    assert (made.network_flags, made.builder_flags, made.dla_core) == (network_flags, builder_flags, 1)


@pytest.mark.parametrize("version", ["10.8.0", "10.13.3", "10.16.2", "11.0.0", "11.4.0"])
def test_dla_where_it_does_not(version: str) -> None:
    with pytest.raises(EngineFault, match=f"TensorRT {version} cannot use DLA: leave --dla out"):
        plan(version, precision="fp16", dla_core=0)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_dla_takes_fp16_only(precision: Any) -> None:
    with pytest.raises(
        OptionFault, match=rf"--dla 0: DLA runs FP16 graphs, and this one is {precision.upper()}: "
    ):
        plan("10.3.0", precision=precision, dla_core=0)


def test_the_workspace_is_the_builders_only_limit() -> None:
    assert plan("10.3.0").pool_limits == (("WORKSPACE", 512 * MIB),)


@pytest.mark.parametrize("text", ["10.3", "", "ten.3.0", "10.3.x"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(EngineFault, match="states its version as"):
        parse_version(text)


def test_versions_are_ordered_by_number_not_by_letter() -> None:
    assert parse_version("10.13.3.9") == Version(10, 13, 3)
    assert parse_version("10.3.0") < parse_version("10.13.3.9")


@pytest.mark.parametrize(("free_mib", "fitted_mib"), [(256, 128), (3001, 1500), (8192, 4096), (65536, 4096)])
def test_the_workspace_is_half_of_what_is_free_to_4_gib(free_mib: int, fitted_mib: int) -> None:
    assert fit_workspace(free_mib * MIB, None) == fitted_mib * MIB


def test_the_workspace_asked_for_is_what_is_given() -> None:
    assert fit_workspace(1000 * MIB, 1000) == 1000 * MIB
    with pytest.raises(OptionFault, match="--workspace-mib 1001: only 1000 MiB are free"):
        fit_workspace(1000 * MIB, 1001)


def test_too_little_memory_is_refused() -> None:
    with pytest.raises(EngineFault, match="255 MiB of memory are free, too few"):
        fit_workspace(255 * MIB, None)
