"""The CPU runner of the band graph: exact numbers of a known graph, its state, and clear faults."""

from __future__ import annotations

import os
import tracemalloc
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support import linear_band_graph

from tremorscope.runtime.engines.interface.bundle import SHIPPED_BUNDLES, open_bundle
from tremorscope.runtime.engines.interface.engine import BandEngine
from tremorscope.runtime.engines.interface.manifest import RepresentationLayout
from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeBandEngine, OnnxRuntimeEngine
from tremorscope.runtime.engines.selection import open_runtime
from tremorscope.runtime.errors import BundleFault
from tremorscope.runtime.frames.buffers import allocate_host
from tremorscope.runtime.telemetry.load import resident_bytes

PIXELWISE = RepresentationLayout(channels=3, cell_px=1)
KEEP_ALL = np.array([[[1.0], [0.0]], [[0.0], [0.0]], [[1.0], [0.0]]], np.float32)
"""One section that adds up all differences: what it filters is the change since the start."""


@pytest.fixture
def graph(linear_bundle: Path) -> Path:
    return linear_bundle / "band.onnx"


def noise(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 17, 32, 3), dtype=np.uint8)


def play(engine: BandEngine, frames: np.ndarray, amplification: float = 1.5) -> np.ndarray:
    magnified = np.empty_like(frames)
    for number, frame in enumerate(frames):
        engine.step(
            frame,
            frames[max(0, number - 1)],
            amplification=amplification,
            max_displacement_px=1e6,
            coefficients=KEEP_ALL,
            magnified=magnified[number],
        )
    return magnified


def expected(frames: np.ndarray, amplification: float = 1.5) -> np.ndarray:
    motion = frames.astype(float) - frames[0]
    return np.clip(frames + (amplification - 1) * motion, 0, 255)


def test_its_state_goes_from_step_to_step(graph: Path) -> None:
    engine = OnnxRuntimeBandEngine(graph, PIXELWISE, width_px=32, height_px=17, threads=1)
    frames = noise(1, 5)
    assert np.abs(play(engine, frames) - expected(frames)).max() <= 0.501
    frames = noise(2, 4)
    engine.start(1)
    assert np.abs(play(engine, frames) - expected(frames)).max() <= 0.501, "a start forgets"


def test_it_goes_on_after_a_rest_though_its_file_is_gone(graph: Path, tmp_path: Path) -> None:
    path = tmp_path / "band.onnx"
    path.write_bytes(graph.read_bytes())
    engine = OnnxRuntimeBandEngine(path, PIXELWISE, width_px=32, height_px=17, threads=1)
    path.unlink()
    frames = noise(3, 6)
    before = play(engine, frames[:3])
    engine.rest()
    engine.rest()
    found = np.concatenate([before, play(engine, frames[2:])[1:]])
    assert np.abs(found - expected(frames)).max() <= 0.501


def test_a_file_that_is_written_to_in_use_is_told(graph: Path, tmp_path: Path) -> None:
    path = tmp_path / "band.onnx"
    path.write_bytes(graph.read_bytes())
    engine = OnnxRuntimeBandEngine(path, PIXELWISE, width_px=32, height_px=17, threads=1)
    play(engine, noise(3, 2))
    engine.rest()
    path.write_bytes(graph.read_bytes())
    os.utime(path, (1.0, 1.0))
    with pytest.raises(BundleFault, match=r"band\.onnx: was written to while it was in use"):
        play(engine, noise(3, 2))


@pytest.mark.alone
def test_at_rest_its_file_is_not_held_in_memory() -> None:
    graph = SHIPPED_BUNDLES / "realtime" / "pairwise.onnx"
    size = graph.stat().st_size
    assert size > 1e6
    tracemalloc.start()
    try:
        engine = OnnxRuntimeEngine(graph, width_px=64, height_px=48, threads=1)
        held = tracemalloc.get_traced_memory()[0]
        assert held > size
        engine.rest()
        assert tracemalloc.get_traced_memory()[0] < held - 0.95 * size
    finally:
        tracemalloc.stop()


def test_a_rest_gives_the_memory_of_its_steps_back() -> None:
    bundle = open_bundle(SHIPPED_BUNDLES / "realtime")
    with closing(open_runtime("onnxruntime", bundle, (640, 368), threads=1)) as runtime:
        engine = runtime.open_band()
        engine.start(1)
        frames = np.zeros((2, 368, 640, 3), np.uint8)
        play(engine, frames)
        held = resident_bytes()
        engine.rest()
        given_back = held - resident_bytes()
        print(f"given back at 640x368: {given_back / 1e6:.0f} MB")
        assert given_back > 32 << 20
        play(engine, frames)


def test_the_mask_is_where_it_magnifies(graph: Path) -> None:
    engine = OnnxRuntimeBandEngine(graph, PIXELWISE, width_px=32, height_px=17, threads=1)
    mask = np.zeros((17, 32), np.float32)
    mask[4:9, 20:] = 1
    engine.set_mask(mask)
    frames = noise(1, 3)
    magnified = play(engine, frames)
    inside = mask.astype(bool)
    np.testing.assert_array_equal(magnified[:, ~inside], frames[:, ~inside])
    assert np.abs(magnified - expected(frames))[:, inside].max() <= 0.501


def test_the_state_is_allocated_twice_and_again_only_for_another_number_of_sections(graph: Path) -> None:
    asked: list[int] = []

    def allocate(nbytes: int) -> NDArray[np.uint8]:
        asked.append(nbytes)
        return allocate_host(nbytes)

    engine = OnnxRuntimeBandEngine(graph, PIXELWISE, width_px=32, height_px=17, allocate=allocate)
    plane = 4 * 3 * 32 * 17
    assert asked == [2 * plane] * 2
    for sections in (1, 4, 4, 4):
        engine.start(sections)
    assert asked == [2 * plane] * 2 + [8 * plane] * 2
    assert engine.state_nbytes == 8 * plane


def test_memory_that_does_not_fit_is_refused_before_it_is_touched(graph: Path) -> None:
    engine = OnnxRuntimeBandEngine(graph, PIXELWISE, width_px=32, height_px=17)
    right, wrong = np.zeros((17, 32, 3), np.uint8), np.zeros((17, 33, 3), np.uint8)
    options = {"amplification": 2.0, "max_displacement_px": 1.0}
    for frame, previous, magnified in ((wrong, right, right), (right, wrong, right), (right, right, wrong)):
        with pytest.raises(ValueError, match="contiguous uint8"):
            engine.step(frame, previous, coefficients=KEEP_ALL, magnified=magnified, **options)
    with pytest.raises(ValueError, match="coefficients of shape"):
        engine.step(
            right, right, coefficients=np.zeros((3, 2, 2), np.float32), magnified=right.copy(), **options
        )


def test_a_pairwise_graph_is_refused(linear_bundle: Path) -> None:
    with pytest.raises(BundleFault, match="not a band graph"):
        OnnxRuntimeBandEngine(linear_bundle / "pairwise.onnx", PIXELWISE, width_px=32, height_px=17)


def test_a_graph_with_another_state_than_the_bundle_states_is_refused(graph: Path) -> None:
    with pytest.raises(BundleFault, match=r"made for state of shape .* not \[2, 'sections', 8, 17, 32\]"):
        OnnxRuntimeBandEngine(graph, RepresentationLayout(channels=8, cell_px=1), width_px=32, height_px=17)


def test_a_graph_of_another_size_is_refused(tmp_path: Path) -> None:
    fixed = tmp_path / "band.onnx"
    fixed.write_bytes(linear_band_graph(size=(48, 64)))
    OnnxRuntimeBandEngine(fixed, PIXELWISE, width_px=64, height_px=48)
    with pytest.raises(BundleFault, match=r"\[1, 48, 64, 3\], not \[1, 17, 32, 3\]"):
        OnnxRuntimeBandEngine(fixed, PIXELWISE, width_px=32, height_px=17)
