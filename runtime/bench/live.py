"""Live loop of the bench: the service's own, with stop-watches around its parts, and one viewer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from tremorscope.runtime.bench.rig import (
    DrawnCamera,
    EngineWatch,
    Moment,
    PageViewer,
    TimedAccount,
    TimedCamera,
    TimedRuntime,
    draw_frames,
)
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
from tremorscope.runtime.engines.interface.bundle import Bundle
from tremorscope.runtime.engines.selection import Runtime
from tremorscope.runtime.frames.info import Camera
from tremorscope.runtime.frames.ring import LeasingRing
from tremorscope.runtime.frames.stage_times import LatencyHistogram
from tremorscope.runtime.health import HealthBoard
from tremorscope.runtime.host.threads import Threads
from tremorscope.runtime.live.feed import LiveFeed
from tremorscope.runtime.live.on_demand import PICTURES_HELD, Magnifying
from tremorscope.runtime.magnification.factory import EngineFactory
from tremorscope.runtime.service.clock import UnixClock
from tremorscope.runtime.service.frames import HELD_FRAMES, FrameLoop, FrameParts

_TAKE_S = 0.25


@dataclass
class LiveLoop:
    """Loop and its timers."""

    magnifying: Magnifying
    supervisor: CameraSupervisor
    threads: Threads
    watch: EngineWatch
    between: LatencyHistogram
    """CPU time of the camera's thread between two frames."""
    beside: LatencyHistogram
    """CPU time of the measuring half of the loop for a frame."""
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
    watch, between, beside, account = EngineWatch(), LatencyHistogram(), LatencyHistogram(), TimedAccount()
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
        lambda: TimedCamera(opening(), between),
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
    threads.start("frames", lambda: _measure(loop, threads, beside))
    supervisor.start()
    return LiveLoop(
        magnifying, supervisor, threads, watch, between, beside, account, events, describe(camera)
    )


def _measure(loop: FrameLoop, threads: Threads, beside: LatencyHistogram) -> None:
    """Run the measuring half of the loop, as ``FrameLoop.work`` does, and time it."""
    while not threads.stopping and not loop.ended:
        begun = Moment.now()
        if loop.advance(_TAKE_S):
            beside.add(Moment.now().since(begun).cpu_s)


def _opening(camera: CameraSettings, account: TimedAccount, runtime: Runtime) -> Callable[[], Camera]:
    if not isinstance(camera, SyntheticCameraSettings):
        return lambda: open_camera(camera, account=account, gpu=runtime.gpu)
    drawn = draw_frames(drawn_settings(camera))
    return lambda: ReplayCamera(lambda: DrawnCamera(drawn, camera.rate_hz), pace=camera.speed)
