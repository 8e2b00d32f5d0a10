"""The CPU runner: exact numbers of a known graph, bound to the caller's memory, and clear faults."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from support import ROOT, linear_graph

from tremorscope.runtime.engines.onnx.graph import session_options
from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeEngine
from tremorscope.runtime.errors import BundleFault
from tremorscope.runtime.frames.buffers import FrameRing


@pytest.fixture
def graph(linear_bundle: Path) -> Path:
    return linear_bundle / "pairwise.onnx"


def noise(seed: int, height_px: int, width_px: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)


@pytest.mark.parametrize(("width_px", "height_px"), [(64, 48), (641, 359), (16, 17)])
@pytest.mark.parametrize("amplification", [1.0, 2.5, 20.0])
def test_a_step_computes_the_graph_exactly(
    graph: Path, width_px: int, height_px: int, amplification: float
) -> None:
    engine = OnnxRuntimeEngine(graph, width_px=width_px, height_px=height_px, threads=1)
    frame, reference = noise(1, height_px, width_px), noise(2, height_px, width_px)
    magnified = np.empty_like(frame)
    engine.step(frame, reference, amplification, magnified)
    motion = (amplification - 1) * (frame.astype(np.float64) - reference)
    np.testing.assert_array_equal(magnified, np.clip(np.round(frame + motion), 0, 255).astype(np.uint8))


def test_steps_read_and_write_the_memory_they_are_given(graph: Path) -> None:
    engine = OnnxRuntimeEngine(graph, width_px=32, height_px=16)
    ring = FrameRing(4, width_px=32, height_px=16)
    for value, number in ((100, 0), (104, 1)):
        ring.frame(number)[:] = value
    engine.step(ring.frame(1), ring.frame(0), 5.0, ring.frame(2))
    engine.step(ring.frame(0), ring.frame(1), 5.0, ring.frame(3))
    assert np.unique(ring.frame(2)).tolist() == [120]
    assert np.unique(ring.frame(3)).tolist() == [84]
    assert np.unique(ring.frame(0)).tolist() == [100]


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((16, 33, 3), np.uint8),
        np.zeros((16, 32, 4), np.uint8),
        np.zeros((16, 32, 3), np.float32),
        np.zeros((16, 64, 3), np.uint8)[:, ::2],
    ],
    ids=["size", "channels", "type", "strides"],
)
def test_memory_that_does_not_fit_is_refused_before_it_is_touched(graph: Path, wrong: np.ndarray) -> None:
    engine = OnnxRuntimeEngine(graph, width_px=32, height_px=16)
    right = np.zeros((16, 32, 3), np.uint8)
    for arguments in ((wrong, right, 2.0, right), (right, wrong, 2.0, right), (right, right, 2.0, wrong)):
        with pytest.raises(ValueError, match="contiguous uint8"):
            engine.step(*arguments)


def test_a_damaged_graph_is_a_fault_of_the_bundle(tmp_path: Path) -> None:
    damaged = tmp_path / "pairwise.onnx"
    damaged.write_bytes(b"no graph at all")
    with pytest.raises(BundleFault, match=r"cannot be loaded .*export the bundle again"):
        OnnxRuntimeEngine(damaged, width_px=32, height_px=16)


def test_a_missing_graph_is_a_fault_of_the_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleFault, match="cannot be loaded"):
        OnnxRuntimeEngine(tmp_path / "pairwise.onnx", width_px=32, height_px=16)


def test_a_graph_of_another_size_is_refused(tmp_path: Path) -> None:
    fixed = tmp_path / "pairwise.onnx"
    fixed.write_bytes(linear_graph(size=(48, 64)))
    OnnxRuntimeEngine(fixed, width_px=64, height_px=48)
    with pytest.raises(BundleFault, match=r"\[1, 48, 64, 3\], not \[1, 16, 32, 3\]"):
        OnnxRuntimeEngine(fixed, width_px=32, height_px=16)


def test_a_graph_with_other_inputs_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "pairwise.onnx"
    other.write_bytes(linear_graph().replace(b"reference", b"elsewhere"))
    with pytest.raises(BundleFault, match="not a pairwise graph"):
        OnnxRuntimeEngine(other, width_px=32, height_px=16)


def test_the_size_is_fixed_in_the_session_and_threads_are_set(
    graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[onnxruntime.SessionOptions] = []
    real: Callable[..., onnxruntime.InferenceSession] = onnxruntime.InferenceSession

    def spy(path: str, options: onnxruntime.SessionOptions, **rest: object) -> object:
        seen.append(options)
        return real(path, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    engine = OnnxRuntimeEngine(graph, width_px=32, height_px=16, threads=1)
    assert seen[0].intra_op_num_threads == 1
    assert (engine.width_px, engine.height_px) == (32, 16)


@pytest.mark.parametrize(("machine", "threads"), [("aarch64", 4), ("x86_64", 0)])
def test_on_a_jetson_there_is_a_thread_for_each_core_that_its_power_mode_has_on(
    monkeypatch: pytest.MonkeyPatch, machine: str, threads: int
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert session_options({}, None).intra_op_num_threads == threads, (
        "0 pins threads to cores that are off, too"
    )


@pytest.mark.parametrize("status", [0, 75, 78])
def test_a_process_ends_as_it_means_to_whatever_onnx_runtime_does_when_it_is_unloaded(status: int) -> None:
    """Of some releases its destructors free wrongly on a Jetson, and abort the process after all of its work."""
    script = f"""
import ctypes, sys
from tremorscope.runtime.engines.onnx import graph as onnx_graph
libc = ctypes.CDLL(None)
libc.__cxa_atexit(libc.abort, None, None)  # as a library registers a destructor
libc.printf(b"from a library\\n")  # which writes past Python's own buffers
print("from Python")
sys.exit({status})
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (status, "")
    assert sorted(done.stdout.splitlines()) == ["from Python", "from a library"]
