"""Live loop of the bench: as the service has it, with timers, and one output that does nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tremorscope.runtime.bench.rig import (
    DrawnCamera,
    EngineWatch,
    Nothing,
    TimedAccount,
    TimedCamera,
    TimedRuntime,
    TimedSource,
    draw_frames,
)
from tremorscope.runtime.cameras.opening import describe, ends_in_good_order, open_camera
from tremorscope.runtime.cameras.replay import ReplayCamera
from tremorscope.runtime.cameras.settings import CameraSettings, SyntheticCameraSettings
from tremorscope.runtime.cameras.supervision.faults import CameraEvent
from tremorscope.runtime.cameras.supervision.settings import SupervisorSettings
from tremorscope.runtime.cameras.supervision.supervisor import CameraSupervisor
from tremorscope.runtime.cameras.synthetic import SyntheticSettings
from tremorscope.runtime.engines.interface.bundle import Bundle
from tremorscope.runtime.engines.selection import Runtime
from tremorscope.runtime.frames.info import Camera
from tremorscope.runtime.frames.ring import LeasingRing
from tremorscope.runtime.frames.stage_times import LatencyHistogram
from tremorscope.runtime.live.magnify_loop import LivePipeline
from tremorscope.runtime.live.outlets import Outlet, SinkThread, frames_held, pictures_held
from tremorscope.runtime.magnification.factory import MagnifierMaker

if TYPE_CHECKING:
    from tremorscope.runtime.bench.job import BenchJob


@dataclass
class LiveLoop:
    """Loop and its timers."""

    loop: LivePipeline
    supervisor: CameraSupervisor
    source: TimedSource
    watch: EngineWatch
    between: LatencyHistogram
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
    """Build and start the loop as the service has it, with one output that does nothing."""
    watch, between, account = EngineWatch(), LatencyHistogram(), TimedAccount()
    timed: Any = TimedRuntime(runtime, watch)
    maker = MagnifierMaker(bundle, timed, size)
    maker.prepare(job.magnification)
    outlet = Outlet("bench")
    settings = SupervisorSettings(end_is_fault=not ends_in_good_order(camera))
    ring = LeasingRing(
        settings.slots(held_by_consumer=frames_held([outlet])),
        width_px=size[0],
        height_px=size[1],
        allocate=runtime.allocate,
    )
    pictures = LeasingRing(
        pictures_held([outlet]), width_px=size[0], height_px=size[1], allocate=runtime.allocate
    )
    opening = _opening(camera, account, runtime)
    events: deque[CameraEvent] = deque(maxlen=100)
    supervisor = CameraSupervisor(
        lambda: TimedCamera(opening(), between), ring, settings=settings, on_event=events.append
    )
    source = TimedSource(supervisor)
    nominal_hz = getattr(camera, "rate_hz", None) or job.rate_hz
    magnifier = maker.make(job.magnification, nominal_hz)
    loop = LivePipeline(source, magnifier, pictures, [outlet], account=account)
    sink = SinkThread(outlet, Nothing())
    closing.callback(supervisor.close)
    closing.callback(sink.close, 5.0)
    closing.callback(loop.close)
    sink.start()
    supervisor.start()
    return LiveLoop(loop, supervisor, source, watch, between, account, events, describe(camera))


def _opening(camera: CameraSettings, account: TimedAccount, runtime: Runtime) -> Callable[[], Camera]:
    if not isinstance(camera, SyntheticCameraSettings):
        return lambda: open_camera(camera, account=account, gpu=runtime.gpu)
    drawn = draw_frames(
        SyntheticSettings(
            width_px=camera.width_px,
            height_px=camera.height_px,
            rate_hz=camera.rate_hz,
            noise_sigma=camera.noise_sigma,
            seed=camera.seed,
        )
    )
    return lambda: ReplayCamera(lambda: DrawnCamera(drawn, camera.rate_hz), pace=camera.speed)
