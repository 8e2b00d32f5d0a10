"""An engine is loaded only where it was built, from what it was built from, and whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.engines.tensorrt.engine_file import (
    Builder,
    BuildSettings,
    EnginePaths,
    EngineSource,
    Sidecar,
    check_engine,
    describe_builder,
    engine_paths,
    write_engine,
)
from tremorscope.runtime.errors import EngineFault
from tremorscope.runtime.gpu.device import Device

ENGINE = b"an engine" * 100
SIZE = FrameSize(width_px=1920, height_px=1080)
SOURCE = EngineSource(
    network="realtime", graph="pairwise", graph_sha256="a" * 64, precision="fp16", frame_size=SIZE
)
ORIN = Device("aarch64", "Orin", "8.7", "12.6", "36.4.3", "2", sm_count=8, cuda_toolkit="12.6.68")
HERE = describe_builder("tensorrt", "10.3.0", ORIN)


@pytest.fixture
def paths(tmp_path: Path) -> EnginePaths:
    """An engine as `tremorscope build` leaves it."""
    made = engine_paths(tmp_path, "tensorrt", "pairwise", SIZE)
    sidecar = Sidecar(
        source=SOURCE,
        builder=HERE,
        settings=BuildSettings(
            rule="10.3",
            network_flags=("STRONGLY_TYPED",),
            builder_flags=(),
            cleared_flags=("TF32",),
            workspace_bytes=1 << 30,
            dla_core=None,
        ),
        engine_bytes=len(ENGINE),
        engine_sha256=hashlib.sha256(ENGINE).hexdigest(),
        built_utc="2026-01-01T00:00:00+00:00",
        build_s=61.5,
        tremorscope="0.1.0",
    )
    write_engine(made, ENGINE, sidecar)
    return made


def test_the_engine_is_a_plain_file_and_named_by_what_it_is(paths: EnginePaths, tmp_path: Path) -> None:
    assert paths.engine == tmp_path / "pairwise-1920x1080.tensorrt.engine"
    assert paths.engine.read_bytes() == ENGINE
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "pairwise-1920x1080.tensorrt.engine", "pairwise-1920x1080.tensorrt.json",
    ]  # fmt: skip


def test_engines_for_dla_lie_beside_the_others(tmp_path: Path) -> None:
    made = engine_paths(tmp_path, "tensorrt", "band", SIZE, dla_core=1)
    assert made.engine.name == "band-1920x1080-dla1.tensorrt.engine"
    assert made.timing_cache.name == "timing.tensorrt.cache"


def test_engines_in_int8_lie_beside_the_others(tmp_path: Path) -> None:
    """A service that takes INT8 when it gets hot has both, in the one directory that it is told."""
    made = engine_paths(tmp_path, "tensorrt", "band", SIZE, precision="int8")
    assert made.engine.name == "band-1920x1080-int8.tensorrt.engine"
    assert engine_paths(tmp_path, "tensorrt", "band", SIZE, precision="fp16").engine.name == (
        "band-1920x1080.tensorrt.engine"
    )


def test_where_it_was_built_it_is_taken(paths: EnginePaths) -> None:
    sidecar, notes = check_engine(paths, SOURCE, HERE)
    assert sidecar.source == SOURCE
    assert notes == ()


def changed(model: Any, **changes: Any) -> Any:
    return model.model_copy(update=changes)


@pytest.mark.parametrize(
    ("source", "here", "reason"),
    [
        ({}, {"version": "10.13.3.9"}, "its TensorRT version is 10.3.0, and here it is 10.13.3.9"),
        ({}, {"gpu": "Thor"}, "its GPU is Orin, and here it is Thor"),
        ({}, {"gpu": None}, "its GPU is Orin, and here it is none"),
        ({}, {"compute_capability": "11.0"}, "its compute capability is 8.7, and here it is 11.0"),
        # Nano, NX and AGX are all "Orin" with 8.7.
        ({}, {"sm_count": 16}, "its number of multiprocessors is 8, and here it is 16"),
        ({}, {"cuda_toolkit": "12.6.85"}, "its CUDA toolkit is 12.6.68, and here it is 12.6.85"),
        ({}, {"cuda": "13.0"}, "its CUDA version is 12.6, and here it is 13.0"),
        ({}, {"l4t": "36.5"}, "its L4T release is 36.4.3, and here it is 36.5"),
        ({}, {"machine": "x86_64"}, "its machine is aarch64, and here it is x86_64"),
        ({"graph_sha256": "b" * 64}, {}, f"its graph's hash is {'a' * 24}, and here it is {'b' * 24}"),
        ({"precision": "int8"}, {}, "its precision is fp16, and here it is int8"),
        (
            {"frame_size": FrameSize(width_px=640, height_px=360)},
            {},
            "its frame size is 1920x1080, and here it is 640x360",
        ),
    ],
)
def test_a_mismatch_is_refused_with_its_reason_and_the_remedy(
    paths: EnginePaths, source: dict[str, Any], here: dict[str, Any], reason: str
) -> None:
    with pytest.raises(EngineFault) as caught:
        check_engine(paths, changed(SOURCE, **source), changed(HERE, **here))
    assert str(caught.value) == f"{paths.engine}: {reason}: build it again with tremorscope build --rebuild"


def test_a_toolkit_that_is_not_installed_any_more_stops_nothing(paths: EnginePaths) -> None:
    assert check_engine(paths, SOURCE, changed(HERE, cuda_toolkit=None))[1] == ()


def test_a_sidecar_of_an_earlier_release_is_refused_as_such(paths: EnginePaths) -> None:
    content = json.loads(paths.sidecar.read_text())
    paths.sidecar.write_text(json.dumps(content | {"format_version": 1}))
    with pytest.raises(EngineFault, match=r"format_version: Input should be 2: build it again"):
        check_engine(paths, SOURCE, HERE)


def test_another_power_mode_is_told_but_stops_nothing(paths: EnginePaths) -> None:
    _, notes = check_engine(paths, SOURCE, changed(HERE, power_mode="0"))
    assert len(notes) == 1
    assert notes[0].startswith("built in power mode 2, now 0: it runs")


def test_an_rtx_engine_makes_its_kernels_on_the_gpu_that_it_finds(paths: EnginePaths) -> None:
    here: Builder = changed(HERE, target="tensorrt-rtx")
    sidecar = Sidecar.model_validate_json(paths.sidecar.read_bytes())
    write_engine(paths, ENGINE, changed(sidecar, builder=here))
    check_engine(paths, SOURCE, changed(here, gpu="RTX 5090", compute_capability="12.0"))
    with pytest.raises(EngineFault, match="its TensorRT version is"):
        check_engine(paths, SOURCE, changed(here, version="1.6.0"))


@pytest.mark.parametrize(
    ("key", "value"), [("built_utc", "2027"), ("build_s", 1.0), ("seal", "0" * 64), ("engine_bytes", 1)]
)
def test_a_sidecar_that_was_edited_is_refused(paths: EnginePaths, key: str, value: Any) -> None:
    content = json.loads(paths.sidecar.read_text())
    paths.sidecar.write_text(json.dumps(content | {key: value}))
    with pytest.raises(EngineFault, match="was changed since the engine was built: build it again"):
        check_engine(paths, SOURCE, HERE)


def test_a_sidecar_that_was_only_laid_out_anew_is_taken(paths: EnginePaths) -> None:
    paths.sidecar.write_text(json.dumps(json.loads(paths.sidecar.read_text())))
    check_engine(paths, SOURCE, HERE)


@pytest.mark.parametrize(
    ("content", "reason"),
    [("", "Invalid JSON"), ("{}", "source: Field required"), ("[]", "file: ")],
)
def test_a_sidecar_that_is_not_understood_is_refused(paths: EnginePaths, content: str, reason: str) -> None:
    paths.sidecar.write_text(content)
    with pytest.raises(EngineFault, match=f"{reason}.*: build it again"):
        check_engine(paths, SOURCE, HERE)


def test_a_truncated_engine_is_refused(paths: EnginePaths) -> None:
    paths.engine.write_bytes(ENGINE[:-1])
    with pytest.raises(EngineFault, match=r"899 bytes, and 900 were built: build it again"):
        check_engine(paths, SOURCE, HERE)


def test_an_engine_of_which_one_bit_changed_is_refused(paths: EnginePaths) -> None:
    paths.engine.write_bytes(b"A" + ENGINE[1:])
    with pytest.raises(EngineFault, match="its content is not what was built: build it again"):
        check_engine(paths, SOURCE, HERE)


@pytest.mark.parametrize("which", ["engine", "sidecar"])
def test_one_without_the_other_is_refused(paths: EnginePaths, which: str) -> None:
    getattr(paths, which).unlink()
    with pytest.raises(EngineFault, match=r"missing: build it again"):
        check_engine(paths, SOURCE, HERE)
