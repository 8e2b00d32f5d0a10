"""The shipped graphs are parsed and built by TensorRT for RTX, which does both without a GPU.

It is TensorRT's own parser and builder, by the same code of ours as on a Jetson. Its engines are for RTX GPUs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, write_bundle
from tensorrt_wheels import RTX_VERSION, rtx_path

from tremorscope.runtime.engines.interface.bundle import SHIPPED_BUNDLES, open_bundle

SHIPPED = SHIPPED_BUNDLES / "realtime"
GRAPHS = sorted(open_bundle(SHIPPED).manifest.graphs)


def run(*command: object, path: list[Path]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [*path, ROOT]))}
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=False,
    )


def build(
    directory: Path, *options: object, bundle: object = "realtime-fp32"
) -> subprocess.CompletedProcess[str]:
    command = ["-m", "tremorscope", "build", bundle, "--target", "tensorrt-rtx", "-o", directory]
    return run(*command, *options, path=rtx_path())


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every graph of the shipped bundle, built for 640x360 px."""
    directory = tmp_path_factory.mktemp("engines")
    done = build(directory, "--size", "640x360")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return directory


@pytest.fixture
def copied(engines: Path, tmp_path: Path) -> Path:
    for path in engines.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def name(graph: str = "pairwise") -> str:
    return f"{graph}-640x360.tensorrt-rtx"


def test_every_shipped_graph_is_parsed_and_built(engines: Path) -> None:
    assert sorted(path.name for path in engines.iterdir()) == sorted(
        f"{name(graph)}.{suffix}" for graph in GRAPHS for suffix in ("engine", "json")
    )
    for graph in GRAPHS:
        # As large as its weights at the least: nothing was left out.
        assert (engines / f"{name(graph)}.engine").stat().st_size > (SHIPPED / f"{graph}.onnx").stat().st_size


@pytest.mark.parametrize("name", ["realtime-fp16", "lite-fp32", "lite", "nano-fp16"])
def test_every_other_shipped_bundle_is_too(name: str, tmp_path: Path) -> None:
    done = build(tmp_path, "--size", "161x119", bundle=name)
    assert (done.returncode, done.stderr) == (0, "")
    # A name alone means FP16, and says so.
    told = "lite states no precision, and a GPU is fastest in FP16; lite-fp32 insists on FP32" in done.stdout
    assert told == (name == "lite")
    assert ("pairwise of lite, FP16, 161x119 px" in done.stdout) == told
    bundle = open_bundle(Path("lite-fp16" if told else name))
    manifest = bundle.manifest
    for graph in GRAPHS:
        engine = tmp_path / f"{graph}-161x119.tensorrt-rtx.engine"
        assert engine.stat().st_size > bundle.graph_path(graph).stat().st_size
        sidecar = json.loads((tmp_path / f"{graph}-161x119.tensorrt-rtx.json").read_text())
        assert sidecar["source"]["precision"] == manifest.precision
        assert sidecar["source"]["graph_sha256"] == manifest.graphs[graph].sha256


def test_the_sidecar_says_what_was_built_from_what(engines: Path) -> None:
    sidecar = json.loads((engines / f"{name()}.json").read_text())
    manifest = open_bundle(SHIPPED).manifest
    assert sidecar["source"] == {
        "network": "realtime",
        "graph": "pairwise",
        "graph_sha256": manifest.graphs["pairwise"].sha256,
        "precision": "fp32",
        "frame_size": {"width_px": 640, "height_px": 360},
        "most_sections": None,
    }
    assert sidecar["builder"]["version"] == RTX_VERSION
    assert sidecar["engine_bytes"] == (engines / f"{name()}.engine").stat().st_size
    assert sidecar["settings"]["cleared_flags"] == ["TF32"]


def test_an_engine_that_fits_is_left_alone(copied: Path) -> None:
    before = (copied / f"{name()}.engine").stat().st_mtime_ns
    done = build(copied, "--size", "640x360")
    assert done.returncode == 0, done.stderr
    assert "built          already, on 20" in done.stdout
    assert (copied / f"{name()}.engine").stat().st_mtime_ns == before


def test_a_band_engine_of_another_filter_is_refused(copied: Path) -> None:
    sidecar = json.loads((copied / f"{name('band')}.json").read_text())
    assert sidecar["source"]["most_sections"] == 8
    done = build(copied, "--size", "640x360", "--sections", 12)
    assert done.returncode == 1
    assert "its most sections of a filter is 8, and here it is 12: build it again" in done.stderr


def truncate(directory: Path) -> None:
    path = directory / f"{name()}.engine"
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(directory: Path) -> None:
    path = directory / f"{name()}.engine"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit_the_sidecar(directory: Path) -> None:
    path = directory / f"{name()}.json"
    path.write_text(path.read_text().replace('"precision": "fp32"', '"precision": "int8"'))


def remove_the_sidecar(directory: Path) -> None:
    (directory / f"{name()}.json").unlink()


def remove_the_engine(directory: Path) -> None:
    (directory / f"{name()}.engine").unlink()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (truncate, " bytes, and "),
        (flip_a_bit, "its content is not what was built"),
        (edit_the_sidecar, "was changed since the engine was built"),
        (remove_the_sidecar, ".json: missing"),
        (remove_the_engine, "the engine of this sidecar is missing"),
    ],
)
def test_a_damaged_engine_is_refused(copied: Path, damage: Any, reason: str) -> None:
    damage(copied)
    refused = build(copied, "--size", "640x360")
    assert refused.returncode == 1
    assert reason in refused.stderr
    assert refused.stderr.endswith(": build it again with tremorscope build --rebuild\n")
    assert refused.stderr.count("\n") == 1


def test_a_rebuild_mends_what_is_damaged_and_what_is_missing(copied: Path) -> None:
    flip_a_bit(copied)
    (copied / f"{name('band')}.json").unlink()
    assert build(copied, "--size", "640x360", "--rebuild").returncode == 0
    assert "already" in build(copied, "--size", "640x360").stdout


def test_progress_only_rises_and_ends_at_all(tmp_path: Path) -> None:
    done = run("-c", _BUILD.format(output=tmp_path, on_progress="told.append(done)"), path=rtx_path())
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    per_graph = len(told) // len(GRAPHS)
    assert per_graph > 5
    first = told[: told.index(100) + 1]
    assert first == sorted(first)
    assert first[-2] <= 99


@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGTERM"])
def test_an_interrupted_build_ends_and_leaves_nothing(tmp_path: Path, signal_name: str) -> None:
    # The signal comes while TensorRT has the word: from within its own report of progress.
    on_progress = (
        f"told.append(done); done >= 20 and len(told) and os.kill(os.getpid(), signal.{signal_name})"
    )
    done = run("-c", _BUILD.format(output=tmp_path / "engines", on_progress=on_progress), path=rtx_path())
    assert done.returncode == 130, done.stderr
    assert json.loads(done.stdout)[-1] < 40  # the next step was the last
    assert not (tmp_path / "engines").exists()


_BUILD = """
import json, os, signal, sys
from pathlib import Path
from tremorscope.runtime.engines.tensorrt.build_job import BuildJob, build_bundle
from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.host.signals import orderly_stop

told = []
def progress(done, total):
    {on_progress}

job = BuildJob(Path("realtime"), FrameSize(width_px=64, height_px=48), "tensorrt-rtx", output=Path("{output}"))
try:
    with orderly_stop():
        for report in build_bundle(job, progress):
            pass
except KeyboardInterrupt:
    print(json.dumps(told))
    sys.exit(130)
print(json.dumps(told))
"""


def unsupported_graph() -> bytes:
    onnx = pytest.importorskip("onnx")
    uint8 = onnx.TensorProto.UINT8
    frame = onnx.helper.make_tensor_value_info("frame", uint8, [1, "height", "width", 3])
    magnified = onnx.helper.make_tensor_value_info("magnified", uint8, [1, "height", "width", 3])
    node = onnx.helper.make_node("NoSuchOperator", ["frame"], ["magnified"], domain="of.nobody")
    graph = onnx.helper.make_graph([node], "unsupported", [frame], [magnified])
    domains = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("of.nobody", 1)]
    return bytes(onnx.helper.make_model(graph, opset_imports=domains, ir_version=8).SerializeToString())


def test_a_graph_that_tensorrt_does_not_take_is_refused_with_its_reason(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", graph=unsupported_graph())
    done = build(tmp_path / "engines", "--size", "64x48", bundle=bundle)
    assert done.returncode == 1
    assert f"TensorRT for RTX {RTX_VERSION} does not take the graph (" in done.stderr
    assert "(node 0: " in done.stderr
    assert "Plugin not found" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_linear_graph_of_ours_is_built_too(linear_bundle: Path, tmp_path: Path) -> None:
    done = build(tmp_path, "--size", "64x48", bundle=linear_bundle)
    assert done.returncode == 0, done.stderr


def test_where_nothing_can_be_written_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = build(tmp_path / "file", "--size", "64x48")
    assert done.returncode == 1
    assert done.stderr == (
        f"tremorscope: {tmp_path}/file: no engine can be written there: name another directory with --output, or make "
        "room and give the right to write\n"
    )


@pytest.mark.parametrize(("size", "status"), [("640", 2), ("640x", 2), ("8x64", 2), ("640 x 360", 2)])
def test_a_size_that_is_none_is_refused(tmp_path: Path, size: str, status: int) -> None:
    done = build(tmp_path, "--size", size)
    assert done.returncode == status
    assert f"{size} is no size of at least 16x16, such as 1920x1080" in done.stderr


def test_a_bundle_for_any_size_asks_for_one(tmp_path: Path) -> None:
    done = build(tmp_path)
    assert done.returncode == 1
    assert (
        "the bundle takes frames of any size, and an engine is built for one size: name it, e.g. --size 1920x1080"
        in done.stderr
    )


def test_more_workspace_than_is_free_is_refused(tmp_path: Path) -> None:
    done = build(tmp_path, "--size", "64x48", "--workspace-mib", 10**9)
    assert done.returncode == 1
    assert "--workspace-mib 1000000000: only " in done.stderr
