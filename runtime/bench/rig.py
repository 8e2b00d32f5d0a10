"""Timers around the camera and the engine of the live loop, the drawn camera, and the viewer."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.cameras.synthetic import SyntheticCamera, SyntheticSettings
from tremorscope.runtime.engines.interface.engine import BandEngine, PairwiseEngine
from tremorscope.runtime.engines.selection import Runtime
from tremorscope.runtime.frames.buffers import CopyAccount
from tremorscope.runtime.frames.frame import Camera, FrameInfo
from tremorscope.runtime.frames.stage_times import LatencyHistogram, StageLatencies
from tremorscope.runtime.live.feed import LiveFeed
from tremorscope.runtime.outputs.settings import HttpSettings
from tremorscope.runtime.outputs.web.pictures import LivePictures

DRAWN_FRAMES = 4
"""Distinct frames of the synthetic camera: content hardly affects the times, and drawing is slower than a step."""


class Moment(NamedTuple):
    """A moment on two clocks, or the time between two of them."""

    wall_s: float
    cpu_s: float
    """CPU time of this thread alone, without other load of the machine."""

    @staticmethod
    def now() -> Moment:
        """This moment."""
        return Moment(time.perf_counter(), time.thread_time())

    def since(self, earlier: Moment) -> Moment:
        """The time between."""
        return Moment(self.wall_s - earlier.wall_s, self.cpu_s - earlier.cpu_s)


class EngineWatch:
    """Timer of the engines' steps since it was last read."""

    def __init__(self) -> None:
        self._wall_s = self._cpu_s = 0.0

    def add(self, elapsed: Moment) -> None:
        """Count one step of an engine."""
        self._wall_s += elapsed.wall_s
        self._cpu_s += elapsed.cpu_s

    def read(self) -> Moment:
        """The time since the last call, of all steps together."""
        elapsed = Moment(self._wall_s, self._cpu_s)
        self._wall_s = self._cpu_s = 0.0
        return elapsed


class TimedEngine:
    """Engine whose step is timed; all else is the engine's own."""

    def __init__(self, engine: PairwiseEngine | BandEngine, watch: EngineWatch) -> None:
        self.engine, self._watch = engine, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def step(self, *frames: Any, **settings: Any) -> Any:
        """See `PairwiseEngine.step` and `BandEngine.step`."""
        begun = Moment.now()
        answer = self.engine.step(*frames, **settings)
        self._watch.add(Moment.now().since(begun))
        return answer


class TimedRuntime:
    """`Runtime` whose engines are timed; all else is its own."""

    def __init__(self, runtime: Runtime, watch: EngineWatch) -> None:
        self._runtime, self._watch = runtime, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def open_pairwise(self) -> TimedEngine:
        """See `Runtime.open_pairwise`."""
        return TimedEngine(self._runtime.open_pairwise(), self._watch)

    def open_band(self) -> TimedEngine:
        """See `Runtime.open_band`."""
        return TimedEngine(self._runtime.open_band(), self._watch)

    def give_back(self, engine: TimedEngine) -> None:
        """See `Runtime.give_back`."""
        self._runtime.give_back(engine.engine)


class TimedCamera:
    """Camera that times its reader's CPU time between two frames: the supervisor's own work on each."""

    def __init__(self, camera: Camera, cpu: StageLatencies) -> None:
        self._camera, self._cpu = camera, cpu
        self._given_s: float | None = None
        self.close = camera.close

    @property
    def width_px(self) -> int:
        """Width of every frame in pixels."""
        return self._camera.width_px

    @property
    def height_px(self) -> int:
        """Height of every frame in pixels."""
        return self._camera.height_px

    @property
    def nominal_rate_hz(self) -> float:
        """Frames a second as the source states them."""
        return self._camera.nominal_rate_hz

    def read_into(self, pixels: NDArray[np.uint8]) -> FrameInfo | None:
        """See `Camera.read_into`."""
        if self._given_s is not None:
            self._cpu.add("supervision", time.thread_time() - self._given_s)
        info = self._camera.read_into(pixels)
        self._given_s = time.thread_time()
        return info


class TimedAccount(CopyAccount):
    """An account of copies that knows how long each took, where that is known."""

    def __init__(self) -> None:
        super().__init__()
        self.times = LatencyHistogram()

    def add(self, place: str, nbytes: int, elapsed_s: float | None = None) -> None:
        """Take note of a copy."""
        super().add(place, nbytes)
        if elapsed_s is not None:
            self.times.add(elapsed_s)


class DrawnCamera:
    """The synthetic footbridge, drawn once: a few frames that come again and again, at the cost of writing them."""

    def __init__(self, drawn: NDArray[np.uint8], rate_hz: float) -> None:
        """Show ``drawn``, u8[N, H, W, 3], in turn."""
        self._drawn, self.nominal_rate_hz = drawn, rate_hz
        self.height_px, self.width_px = drawn.shape[1:3]
        self._next = 0

    def read_into(self, pixels: NDArray[np.uint8]) -> FrameInfo | None:
        """Write the next frame; see `Camera.read_into`."""
        np.copyto(pixels, self._drawn[self._next % len(self._drawn)])
        info = FrameInfo(self._next, self._next / self.nominal_rate_hz)
        self._next += 1
        return info

    def close(self) -> None:
        """Do nothing: nothing is held."""


def draw_frames(settings: SyntheticSettings) -> NDArray[np.uint8]:
    """The first frames of the synthetic camera, u8[N, H, W, 3]."""
    camera = SyntheticCamera(settings)
    drawn = np.zeros((DRAWN_FRAMES, settings.height_px, settings.width_px, 3), np.uint8)
    for frame in drawn:
        camera.read_into(frame)
    return drawn


class PageViewer:
    """Viewer of the magnified picture on the live page, whose pictures are composed and encoded as for a browser."""

    def __init__(self, feed: LiveFeed) -> None:
        self._pictures = LivePictures(feed, HttpSettings())
        self._left: asyncio.Event | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="viewer", daemon=True)
        self._watches = threading.Event()

    @property
    def encoded(self) -> int:
        """Pictures that were shown."""
        return self._pictures.encoded

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()
        self._watches.wait()

    def close(self) -> None:
        """Leave."""
        if self._left is not None:
            self._loop.call_soon_threadsafe(self._left.set)
            self._thread.join()

    def _run(self) -> None:
        self._loop.run_until_complete(self._watch())
        self._loop.close()

    async def _watch(self) -> None:
        self._left = asyncio.Event()
        self._pictures.start()
        with self._pictures.watch("magnified"):
            self._watches.set()
            await self._left.wait()
        self._pictures.close()
