"""CUDA graphs are captured where they pay: all steps of a live loop are launched as one, or none is captured.

The loop is the service's own, with its rings and the newest frame winning, in time that is counted and not waited for:
frames come as from a camera, steps take 14 +- 4 ms, and others hold frames for a while, so that slots come in no order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from host_gpu import HostGpu
from tensorrt_fake import engine_content, fake_library

from tremorscope.runtime.engines.interface.manifest import RepresentationLayout
from tremorscope.runtime.engines.tensorrt.library import load_engine
from tremorscope.runtime.engines.tensorrt.runners import TensorrtBandEngine, TensorrtEngine
from tremorscope.runtime.engines.tensorrt.step import MOST_GRAPHS
from tremorscope.runtime.frames.buffers import FrameRing
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.frames.ring import Lease, LeasingRing
from tremorscope.runtime.gpu.protocol import CudaGraph, Stream
from tremorscope.runtime.live.feed import HELD
from tremorscope.runtime.live.magnify_loop import MagnifyLoop
from tremorscope.runtime.live.on_demand import PICTURES_HELD
from tremorscope.runtime.magnification.band_magnifier import BandMagnifier
from tremorscope.runtime.magnification.filters import BandSettings, design
from tremorscope.runtime.magnification.magnifier import FrameMagnifier, Magnifier

Mode = Literal["static", "dynamic", "band"]
MODES: tuple[Mode, ...] = ("static", "dynamic", "band")
SIZE = {"width_px": 32, "height_px": 17}


@dataclass
class RecordedGraph:
    """What was put into the stream while capturing; done again at each launch."""

    gpu: CapturingGpu
    work: list[Callable[[], None]]

    def launch(self, stream: Stream) -> None:
        del stream
        self.gpu.launches += 1
        for each in self.work:
            each()

    def free(self) -> None:
        self.gpu.kept -= 1


@dataclass
class CapturingGpu(HostGpu):
    """A GPU in the CPU's memory that records graphs."""

    captures: bool = True
    launches: int = 0
    kept: int = 0
    made: int = 0
    recording: list[Callable[[], None]] | None = None

    def enqueue(self, stream: int, work: Callable[[], None]) -> None:
        del stream
        work() if self.recording is None else self.recording.append(work)

    def capture(self, stream: Stream, work: Callable[[], None]) -> CudaGraph:
        del stream
        self.recording = recorded = []
        work()
        self.recording = None
        self.kept += 1
        self.made += 1
        return RecordedGraph(self, recorded)


@dataclass
class JitteringCamera:
    """A source for the live loop whose clock stands unless it is told how long something took."""

    ring: LeasingRing
    rate_hz: float
    random: np.random.Generator
    now_s: float = 0.0
    count: int = 0
    newest: Lease | None = None
    held: list[tuple[float, Lease]] = field(default_factory=list)

    def spend(self, seconds: float) -> None:
        """Let time pass, in which frames come: each is measured, which holds it for up to three periods."""
        self.now_s += seconds
        while (self.count + 1) / self.rate_hz <= self.now_s:
            self.count += 1
            came_s = self.count / self.rate_hz
            self._let_go(came_s)
            frame = self.ring.acquire("camera")
            if frame is None:
                continue
            frame.pixels[:] = 100 + self.count % 7
            frame.seal(FrameInfo(self.count, came_s))
            if self.newest is not None:
                self.newest.release()
            self.newest = frame.share("box")
            self.held.append((came_s + self.random.uniform(0, 3) / self.rate_hz, frame))

    def take(self, timeout_s: float) -> Lease | None:
        del timeout_s
        while self.newest is None:
            self.spend(0.001)
        frame, self.newest = self.newest, None
        return frame

    def close(self) -> None:
        self._let_go(float("inf"))
        if self.newest is not None:
            self.newest.release()
        self.ring.close()

    def _let_go(self, until_s: float) -> None:
        kept = []
        for end_s, lease in self.held:
            if end_s <= until_s:
                lease.release()
            else:
                kept.append((end_s, lease))
        self.held = kept


@dataclass
class Viewers:
    """The live feed's holding of pictures: the newest, and those on loan, which come back in no order."""

    random: np.random.Generator
    held: list[Lease] = field(default_factory=list)

    def show(self, frame: Lease, magnified: Lease | None) -> None:
        del frame
        keep = int(self.random.integers(0, HELD))  # besides the one that comes now
        while len(self.held) > keep:
            self.held.pop(int(self.random.integers(len(self.held)))).release()
        if magnified is not None:
            self.held.append(magnified.share("viewer"))

    def close(self) -> None:
        while self.held:
            self.held.pop().release()


@dataclass
class Timed:
    """A magnifier whose steps take 14 +- 4 ms."""

    within: FrameMagnifier
    camera: JitteringCamera
    steps: int = 0

    def step(self, frame: Any, magnified: Any, timestamp_s: float) -> None:
        self.within.step(frame, magnified, timestamp_s)
        self.steps += 1
        self.camera.spend(float(np.clip(self.camera.random.normal(0.014, 0.004), 0.002, 0.05)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.within, name)


def open_engine(gpu: CapturingGpu, bundle: Path, mode: Mode) -> Any:
    library, _ = fake_library(gpu.enqueue)
    graph = "band" if mode == "band" else "pairwise"
    path = bundle / f"{graph}.engine"
    path.write_bytes(engine_content(bundle / f"{graph}.onnx", 32, 17))
    loaded = load_engine(library, path)
    if mode == "band":
        return TensorrtBandEngine(gpu, loaded, RepresentationLayout(channels=3, cell_px=1), **SIZE)
    return TensorrtEngine(gpu, loaded, **SIZE)


def run_live(
    gpu: CapturingGpu, bundle: Path, mode: Mode, rate_hz: float, frames: int, pictures: int = PICTURES_HELD
) -> int:
    """Run the live loop for so many frames; returns how many steps were made."""
    camera = JitteringCamera(
        LeasingRing(11, **SIZE, allocate=gpu.allocate_mapped), rate_hz, np.random.default_rng(3)
    )
    engine = open_engine(gpu, bundle, mode)
    within: FrameMagnifier
    if mode == "band":
        settings = BandSettings(((2.0, 4.0),))
        within = BandMagnifier(
            engine, lambda rate: design(settings, rate), amplification=5.0, rate_hz=rate_hz
        )
    else:
        within = Magnifier(engine, mode=mode, amplification=5.0, allocate=gpu.allocate_mapped)
    magnifier, ring = Timed(within, camera), LeasingRing(pictures, **SIZE, allocate=gpu.allocate_mapped)
    viewers = Viewers(np.random.default_rng(4))
    live = MagnifyLoop(camera, ring, viewers.show, clock=lambda: camera.now_s)
    live.use(magnifier)  # type: ignore[arg-type]
    for _ in range(frames):
        assert live.advance(1.0) is not None
    assert (engine.graph_use.steps, engine.graph_use.launched) == (magnifier.steps, gpu.launches)
    live.close()
    viewers.close()
    camera.close()
    engine.close()
    return magnifier.steps


@pytest.mark.parametrize("rate_hz", [30.0, 60.0])
@pytest.mark.parametrize("mode", MODES)
def test_jittering_steps_are_launched_as_graphs(linear_bundle: Path, mode: Mode, rate_hz: float) -> None:
    gpu = CapturingGpu()
    steps = run_live(gpu, linear_bundle, mode, rate_hz, frames=600)
    assert gpu.launches >= 0.95 * steps, f"{gpu.launches} of {steps} steps, {gpu.made} graphs made"
    assert gpu.made <= MOST_GRAPHS
    assert gpu.kept == 0


@pytest.mark.parametrize("mode", MODES)
def test_where_pictures_are_too_many_for_graphs_none_is_captured(linear_bundle: Path, mode: Mode) -> None:
    """Sooner none than some: each costs many steps, and would be pushed out by the next."""
    gpu = CapturingGpu()
    run_live(gpu, linear_bundle, mode, 60.0, frames=100, pictures=MOST_GRAPHS + 1)
    assert gpu.launches == 0
    assert gpu.kept == 0


def test_where_launching_costs_little_of_a_step_none_is_captured(
    linear_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("host_gpu.HostEvent.ms_since", lambda *_: 1e6)
    gpu = CapturingGpu()
    monkeypatch.setattr("tremorscope.runtime.engines.tensorrt.step.wait_for", lambda *_, **__: True)
    run_live(gpu, linear_bundle, "dynamic", 60.0, frames=50)
    assert (gpu.launches, gpu.made) == (0, 0)


def test_what_became_of_graphs_is_told(linear_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = CapturingGpu()
    ring = FrameRing(3, **SIZE, allocate=gpu.allocate_mapped)
    with_graphs = open_engine(gpu, linear_bundle, "dynamic")
    for _ in range(5):
        with_graphs.step(ring.frame(0), ring.frame(1), 2.0, ring.frame(2))
    assert str(with_graphs.graph_use) == "3 of 5 steps launched as CUDA graphs, 1 captured"
    monkeypatch.setattr("host_gpu.HostEvent.ms_since", lambda *_: 1e6)
    monkeypatch.setattr("tremorscope.runtime.engines.tensorrt.step.wait_for", lambda *_, **__: True)
    without = open_engine(gpu, linear_bundle, "dynamic")
    for _ in range(5):
        without.step(ring.frame(0), ring.frame(1), 2.0, ring.frame(2))
    assert str(without.graph_use).startswith("no CUDA graphs: putting a step into the stream takes ")
    gpu.captures = False
    assert str(open_engine(gpu, linear_bundle, "dynamic").graph_use) == (
        "no CUDA graphs: cuda-bindings are not installed"
    )
