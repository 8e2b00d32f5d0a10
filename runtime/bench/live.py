"""Live loop of the bench: the service's own, with stop-watches around its parts, and one viewer; and stages of the
service that the loop does not have, timed by themselves.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from tremorscope.runtime.bench.rig import (
    DrawnCamera,
    EngineWatch,
    PageViewer,
    TimedAccount,
    TimedCamera,
    TimedRuntime,
    draw_frames,
)
from tremorscope.runtime.bench.roofline import StageCost
from tremorscope.runtime.bench.settings import BenchJob
from tremorscope.runtime.cameras.opening import (
    describe,
    drawn_settings,
    open_camera,
    supervisor_settings,
)
from tremorscope.runtime.cameras.replay import ReplayCamera
from tremorscope.runtime.cameras.settings import CameraSettings, SyntheticCameraSettings
from tremorscope.runtime.cameras.supervision.faults import CameraEvent
from tremorscope.runtime.cameras.supervision.supervisor import CameraSupervisor
from tremorscope.runtime.cameras.synthetic import SyntheticSettings
from tremorscope.runtime.engines.interface.bundle import Bundle
from tremorscope.runtime.engines.selection import Runtime
from tremorscope.runtime.errors import EngineFault
from tremorscope.runtime.frames.frame import Camera
from tremorscope.runtime.frames.ring import LeasingRing
from tremorscope.runtime.frames.stage_times import StageLatencies
from tremorscope.runtime.gpu.protocol import Gpu
from tremorscope.runtime.health import HealthBoard
from tremorscope.runtime.host.threads import Threads
from tremorscope.runtime.live.feed import LiveFeed
from tremorscope.runtime.live.on_demand import PICTURES_HELD, Magnifying
from tremorscope.runtime.magnification.factory import EngineFactory
from tremorscope.runtime.outputs.web.pictures import JpegEncoder
from tremorscope.runtime.service.clock import UnixClock
from tremorscope.runtime.service.frames import HELD_FRAMES, FrameLoop, FrameParts
from tremorscope.runtime.vibration.displacement.estimator import RegionTracker
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.displacement.windows import MARGIN_PX, ROUNDING_SIGMA

_TAKE_S = 0.25


@dataclass
class LiveLoop:
    """Loop and its timers."""

    magnifying: Magnifying
    supervisor: CameraSupervisor
    threads: Threads
    watch: EngineWatch
    cpu: StageLatencies
    """CPU time a frame: supervision, of the camera's thread between two; measuring, of that half of the loop."""
    account: TimedAccount
    events: deque[CameraEvent]
    camera: str


def build_loop(
    job: BenchJob,
    bundle: Bundle,
    runtime: Runtime,
    camera: CameraSettings,
    size: tuple[int, int],
    closing: ExitStack,
) -> LiveLoop:
    """Build and start the loop of the service, its magnifying half aside, and a viewer of the live page."""
    watch, cpu, account = EngineWatch(), StageLatencies(("supervision", "measuring")), TimedAccount()
    threads, clock = Threads(), UnixClock()
    timed: Any = TimedRuntime(runtime, watch)
    px = {"width_px": size[0], "height_px": size[1]}
    feed = LiveFeed(**px)
    magnifying = Magnifying(
        job.magnification.model_copy(update={"when": "always"}),
        EngineFactory(bundle, timed, size, account),
        LeasingRing(PICTURES_HELD, **px, allocate=runtime.allocate),
        feed,
        rate_hz=getattr(camera, "rate_hz", None) or job.rate_hz,
        to_unix_s=clock.to_unix_s,
    )
    settings = supervisor_settings(camera)  # as patient with this kind of camera as the service is
    slots = settings.slots(held_by_consumer=HELD_FRAMES)
    opening = _opening(camera, account, runtime)
    events: deque[CameraEvent] = deque(maxlen=100)
    supervisor = CameraSupervisor(
        lambda: TimedCamera(opening(), cpu),
        LeasingRing(slots, **px, allocate=runtime.allocate),
        settings=settings,
        on_event=events.append,
        on_frame=magnifying.consider,
        threads=threads,
    )
    loop = FrameLoop(FrameParts(supervisor, clock, HealthBoard("bench")))
    viewer = PageViewer(feed)
    closing.callback(magnifying.close)
    closing.callback(supervisor.close)
    closing.callback(threads.stop, 5.0)
    closing.callback(feed.close)
    closing.callback(viewer.close)
    viewer.start()
    threads.start("frames", lambda: _measure(loop, threads, cpu))
    supervisor.start()
    return LiveLoop(magnifying, supervisor, threads, watch, cpu, account, events, describe(camera))


def _measure(loop: FrameLoop, threads: Threads, cpu: StageLatencies) -> None:
    """Run the measuring half of the loop, as ``FrameLoop.work`` does, and time it."""
    while not threads.stopping and not loop.ended:
        begun_s = time.thread_time()
        if loop.advance(_TAKE_S):
            cpu.add("measuring", time.thread_time() - begun_s)


def _opening(camera: CameraSettings, account: TimedAccount, runtime: Runtime) -> Callable[[], Camera]:
    if not isinstance(camera, SyntheticCameraSettings):
        return lambda: open_camera(camera, account=account, gpu=runtime.gpu)
    drawn = draw_frames(drawn_settings(camera))
    return lambda: ReplayCamera(lambda: DrawnCamera(drawn, camera.rate_hz), pace=camera.speed)


_TRIALS = 15
_SIDE_PX = 64
_TAPS = 2 * MARGIN_PX + 1
_JPEG_QUALITY = 80
_NOISY_FRAMES = 400
_ROUNDED_SIGMA = math.hypot(1, ROUNDING_SIGMA)


def stages_apart(
    width_px: int, height_px: int, gpu: Gpu | None
) -> Iterator[tuple[str, float, StageCost, bool]]:
    """Stage, median in ms, cost, and whether the GPU does it."""
    yield "meter", _meter_ms(), _meter_cost(), False
    picture = np.random.default_rng(0).integers(0, 256, (height_px, width_px, 3), np.uint8)
    encoder = JpegEncoder(
        width_px=width_px, height_px=height_px, most_width_px=width_px, quality=_JPEG_QUALITY
    )
    size = len(encoder.encode(picture))
    yield "jpeg", _median_ms(lambda: encoder.encode(picture)), StageCost({}, picture.nbytes + size), False
    if gpu is not None and (taken_ms := _pixel_kernel_ms(gpu, width_px, height_px)) is not None:
        yield "pixels", taken_ms, StageCost({}, 7.0 * width_px * height_px), True


def _meter_ms() -> float:
    """A region of 64x64 px against its reference, on frames of the drawn structure."""
    drawn = draw_frames(SyntheticSettings(width_px=160, height_px=90))
    tracker = RegionTracker(drawn[0], Region(48, 13, _SIDE_PX, _SIDE_PX))
    return _median_ms(lambda: tracker.measure(drawn[1]))


def meter_noise_px() -> tuple[float, float]:
    """Standard deviation along x that noise of a grey level leaves in the same region, and its Cramer-Rao bound."""
    drawn = draw_frames(SyntheticSettings(width_px=160, height_px=90, noise_sigma=0))[0].astype(np.float64)
    rng = np.random.default_rng(0)
    noisy = [np.rint(drawn + rng.standard_normal(drawn.shape[:2])[..., None]) for _ in range(_NOISY_FRAMES)]
    frames = [np.clip(each, 0, 255).astype(np.uint8) for each in noisy]
    tracker = RegionTracker(frames[0], Region(48, 13, _SIDE_PX, _SIDE_PX), _ROUNDED_SIGMA)
    return float(np.std([tracker.measure(each).x_px for each in frames[1:]])), tracker.bound_px[0]


def _meter_cost() -> StageCost:
    """One iteration: luma, the windowed sinc along both axes, gain and two steps, in FP64 at half the rate of FP32."""
    window, region = (_SIDE_PX + 2 * MARGIN_PX) ** 2, _SIDE_PX**2
    resampled = 2 * _TAPS * (_SIDE_PX * (_SIDE_PX + 2 * MARGIN_PX) + region)
    flops = 5 * window + resampled + 3 * 2 * region
    return StageCost({"fp32": 2.0 * flops}, 3 * window + 8 * 3 * region)


def _pixel_kernel_ms(gpu: Gpu, width_px: int, height_px: int) -> float | None:
    """The kernel that writes a camera's picture into the ring; None where cuda-bindings are not there."""
    from tremorscope.runtime.gpu.egl import DevicePicture, EglPictures

    try:
        pictures = EglPictures(gpu)
    except EngineFault:
        return None
    with closing(pictures):
        target = gpu.allocate_mapped(3 * width_px * height_px).reshape(height_px, width_px, 3)
        with gpu.current():
            source = gpu.allocate_device(4 * width_px * height_px)
        try:
            picture = DevicePicture(source.address, 4 * width_px, width_px, height_px)
            return _median_ms(lambda: pictures.write(picture, target))
        finally:
            with gpu.current():
                source.free()


def _median_ms(work: Callable[[], object]) -> float:
    work()
    times_s = []
    for _ in range(_TRIALS):
        begun_s = time.perf_counter()
        work()
        times_s.append(time.perf_counter() - begun_s)
    return 1e3 * float(np.median(times_s))
