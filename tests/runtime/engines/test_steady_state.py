"""What a step costs beyond the graph on the CPU, and that nothing of it stays."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tremorscope.runtime.engines.interface.bundle import SHIPPED_BUNDLES, open_bundle
from tremorscope.runtime.engines.onnx.graph import BoundGraph
from tremorscope.runtime.engines.selection import Runtime, open_runtime
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.frames.ring import LeasingRing
from tremorscope.runtime.telemetry.load import resident_bytes

pytestmark = pytest.mark.alone
KEEP_ALL = np.array([[[1.0], [0.0]], [[0.0], [0.0]], [[1.0], [0.0]]], np.float32)
Carry = Callable[[int], None]
"""Carries one frame, by its number, from a camera's slot to a magnified picture."""


def pairwise(runtime: Runtime, frames: LeasingRing, pictures: LeasingRing) -> Carry:
    """Dynamic mode as the service runs it: the frame before is held for a step longer."""
    engine, held = runtime.open_pairwise(), []

    def carry(number: int) -> None:
        frame, picture = frames.acquire("camera"), pictures.acquire("magnifier")
        assert frame is not None
        assert picture is not None
        frame.seal(FrameInfo(number, number / 30))
        held.append(frame)
        engine.step(frame.pixels, held[0].pixels, 5.0, picture.pixels)
        picture.seal(FrameInfo(number, number / 30))
        picture.release()
        if len(held) == 2:
            held.pop(0).release()

    return carry


def band(runtime: Runtime, frames: LeasingRing, pictures: LeasingRing) -> Carry:
    engine, held = runtime.open_band(), []
    engine.start(1)

    def carry(number: int) -> None:
        frame, picture = frames.acquire("camera"), pictures.acquire("magnifier")
        assert frame is not None
        assert picture is not None
        frame.seal(FrameInfo(number, number / 30))
        held.append(frame)
        engine.step(
            frame.pixels, held[0].pixels, amplification=5.0, max_displacement_px=9.0,
            coefficients=KEEP_ALL, magnified=picture.pixels,
        )  # fmt: skip
        picture.seal(FrameInfo(number, number / 30))
        picture.release()
        if len(held) == 2:
            held.pop(0).release()

    return carry


def rings(runtime: Runtime, width_px: int, height_px: int) -> tuple[LeasingRing, LeasingRing]:
    size = {"width_px": width_px, "height_px": height_px}
    return LeasingRing(4, **size, allocate=runtime.allocate), LeasingRing(
        2, **size, allocate=runtime.allocate
    )


@pytest.mark.parametrize("make", [pairwise, band])
def test_beyond_the_graph_a_step_costs_less_than_a_twentieth(
    monkeypatch: pytest.MonkeyPatch, make: Callable[..., Carry]
) -> None:
    """Of the thread's own time, in one run: the shipped network at a tenth of full HD, on one thread."""
    bundle, inside_s = open_bundle(SHIPPED_BUNDLES / "realtime"), 0.0
    run = BoundGraph.run

    def timed(graph: BoundGraph) -> None:
        nonlocal inside_s
        begun_s = time.thread_time()
        run(graph)
        inside_s += time.thread_time() - begun_s

    monkeypatch.setattr(BoundGraph, "run", timed)
    with closing(open_runtime("onnxruntime", bundle, (640, 320), threads=1)) as runtime:
        carry = make(runtime, *rings(runtime, 640, 320))
        carry(0)
        inside_s, begun_s = 0.0, time.thread_time()
        for number in range(1, 9):
            carry(number)
        whole_s = time.thread_time() - begun_s
    assert inside_s > 0
    assert (whole_s - inside_s) / inside_s < 0.05


@pytest.mark.parametrize("make", [pairwise, band])
def test_nothing_stays_of_ten_thousand_frames(linear_bundle: Path, make: Callable[..., Carry]) -> None:
    bundle = open_bundle(linear_bundle)
    with closing(open_runtime("onnxruntime", bundle, (16, 16), threads=1)) as runtime:
        carry = make(runtime, *rings(runtime, 16, 16))
        for number in range(1_000):
            carry(number)
        resident = resident_bytes()
        for number in range(9_000):
            carry(number)
        assert resident_bytes() - resident < 1 << 20
        tracemalloc.start()
        carry(0)
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1_000):
            carry(number)
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert after - before < 4_000
