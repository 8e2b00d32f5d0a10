"""The job of ``tremorscope build`` where memory is short: TensorRT's answers are a stand-in's, the rest is real."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorrt_fake import fake_library

from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.engines.tensorrt import build_job
from tremorscope.runtime.engines.tensorrt.build import BuildMemoryFault, BuiltEngine
from tremorscope.runtime.engines.tensorrt.build_job import BuildJob, EngineReport, build_bundle
from tremorscope.runtime.engines.tensorrt.library import BuildLog
from tremorscope.runtime.engines.tensorrt.plan import FLOOR_WORKSPACE_BYTES
from tremorscope.runtime.errors import EngineFault
from tremorscope.runtime.gpu.device import Device

MIB = 1 << 20
NANO = Device("aarch64", "Orin", "8.7", "12.6", "36.4.7", "2", sm_count=8)
Build = Callable[[int], EngineReport]


@pytest.fixture
def asked_mib() -> list[int]:
    """Scratch memory of each try."""
    return []


@pytest.fixture
def build(
    linear_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_mib: list[int]
) -> Build:
    """Builds on a device on which so many MiB of scratch memory are too many."""
    library, _ = fake_library()
    monkeypatch.setattr(build_job, "load_library", lambda _: library)
    monkeypatch.setattr(build_job, "read_device", lambda: (NANO, 2048 * MIB))

    def build(too_many_mib: int) -> EngineReport:
        def build_engine(_library: Any, _graph: Any, plan: Any, *_: Any, **__: Any) -> BuiltEngine:
            asked_mib.append(plan.workspace_bytes // MIB)
            if asked_mib[-1] >= too_many_mib:
                raise BuildMemoryFault("TensorRT 10.3.0 built no engine (OutOfMemory)", remedy="stop others")
            return BuiltEngine(b"an engine", b"", 7)

        monkeypatch.setattr(build_job, "build_engine", build_engine)
        job = BuildJob(
            linear_bundle,
            FrameSize(width_px=32, height_px=17),
            graphs=("pairwise",),
            output=tmp_path / "engines",
        )
        (report,) = build_bundle(job, lambda *_: None)
        return report

    return build


def test_a_build_that_lacks_memory_is_tried_again_with_half_the_scratch_memory(
    build: Build, asked_mib: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        report = build(300)
    assert asked_mib == [1024, 512, 256]
    assert report.sidecar.settings.workspace_bytes == 256 * MIB
    told = [
        f"tried again with {mib} MiB of scratch memory: TensorRT 10.3.0 built no engine (OutOfMemory)"
        for mib in (512, 256)
    ]
    assert list(report.notes) == told
    assert caplog.messages == told


def test_below_the_floor_it_is_given_up(build: Build, asked_mib: list[int], tmp_path: Path) -> None:
    with pytest.raises(EngineFault, match=r"built no engine \(OutOfMemory\): stop others"):
        build(0)
    assert asked_mib == [1024, 512, 256, 128, 64, 32]
    assert asked_mib[-1] * MIB == FLOOR_WORKSPACE_BYTES
    assert not (tmp_path / "engines").exists(), "nothing is half written"


@pytest.mark.parametrize(
    ("complaint", "of_memory"),
    [
        # From reports of TensorRT's users: 8.5 and 8.6, 10.3 on Orin.
        ("2: [virtualMemoryBuffer.cpp::resizePhysical::145] Error Code 2: OutOfMemory (no further information)", True),
        ("1: [defaultAllocator.cpp::allocate::20] Error Code 1: Cuda Runtime (out of memory)", True),
        ("Requested amount of GPU memory (8589934592 bytes) could not be allocated.", True),
        ("NvMapMemAllocInternalTagged: 1075072515 error 12", True),
        # More scratch memory would help here, not less.
        ("10: Could not find any implementation for node Conv_3 due to insufficient workspace.", False),
        ("4: [network.cpp::validate::3062] Error Code 4: Internal Error (frame: no shape)", False),
    ],
)  # fmt: skip
def test_what_tensorrt_says_of_memory_is_told_from_the_rest(complaint: str, of_memory: bool) -> None:
    log = BuildLog()
    assert log.lacks_memory, "on a Jetson the system's allocator complains past TensorRT's logger"
    log.errors += ["a first complaint", complaint]
    assert log.lacks_memory is of_memory
