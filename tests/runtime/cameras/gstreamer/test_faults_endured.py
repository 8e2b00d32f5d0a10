"""A camera behind GStreamer fails in every way, 10,000 frames long: all is told and counted, and memory stays flat.

Real GStreamer, real threads, the supervisor as the service runs it. GStreamer's own test elements fail, and the
stand-in for v4l2src does what they cannot.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from standins import number_in, picture
from support import frames_of

from tremorscope.runtime.cameras.gstreamer.camera import GStreamerCamera, RequestedFormat
from tremorscope.runtime.cameras.gstreamer.exposure import ExposureControl
from tremorscope.runtime.cameras.gstreamer.faults import Advice
from tremorscope.runtime.cameras.gstreamer.load import SINK_TEXT
from tremorscope.runtime.cameras.gstreamer.memory import cpu_writer
from tremorscope.runtime.cameras.gstreamer.pipeline import PipelinePlan
from tremorscope.runtime.cameras.settings import V4l2Settings
from tremorscope.runtime.cameras.supervision.faults import BackoffSettings, CameraEvent
from tremorscope.runtime.cameras.supervision.settings import SupervisorSettings
from tremorscope.runtime.cameras.supervision.supervisor import CameraSupervisor
from tremorscope.runtime.cameras.v4l2 import open_v4l2
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.frames.ring import LeasingRing
from tremorscope.runtime.telemetry.load import resident_bytes

FRAMES = 10_000
WANTED = V4l2Settings.model_validate(
    {"width_px": 64, "height_px": 48, "format": "raw", "exposure": {"settle_s": 0}}
)
QUICK = SupervisorSettings(
    frozen_least_s=30, open_timeout_s=30, backoff=BackoffSettings(first_s=0.001, longest_s=0.002)
)
PATIENT_S = 20.0
"""A busy machine may keep a thread waiting."""
Act = Callable[[int], Any]


class NoControls:
    def lock(self) -> None:
        pass

    def free(self) -> None:
        pass


def no_controls(_: V4l2Settings) -> ExposureControl:
    return NoControls()


class Watched:
    """A camera that remembers the first and the last number that it gave out or named."""

    def __init__(self, camera: GStreamerCamera) -> None:
        self.camera = camera
        self.width_px, self.height_px = camera.width_px, camera.height_px
        self.nominal_rate_hz = camera.nominal_rate_hz
        self.first: int | None = None
        self.last = self.before = -1

    def read_into(self, pixels: np.ndarray) -> FrameInfo | None:
        try:
            info = self.camera.read_into(pixels)
        except Exception as error:
            self._note(getattr(error, "sequence", None))
            raise
        finally:
            self.width_px, self.height_px = self.camera.width_px, self.camera.height_px
        assert info is not None
        self._note(info.sequence)
        return info

    def _note(self, number: int | None) -> None:
        if number is not None:
            self.first = number if self.first is None else self.first
            self.before, self.last = self.last, number

    @property
    def given(self) -> int:
        return 0 if self.first is None else self.last - self.first + 1

    def close(self) -> None:
        self.camera.close()


class Rig:
    """The supervisor over a camera that fails, and a consumer that takes what comes."""

    def __init__(self, open_it: Callable[[], GStreamerCamera]) -> None:
        self.cameras: list[Watched] = []
        self.events: list[CameraEvent] = []
        self.ring = LeasingRing(QUICK.slots(held_by_consumer=2), width_px=64, height_px=48)
        self.supervisor = CameraSupervisor(
            lambda: self._watched(open_it()), self.ring, settings=QUICK, on_event=self.events.append
        )

    def _watched(self, camera: GStreamerCamera) -> Watched:
        self.cameras.append(Watched(camera))
        return self.cameras[-1]

    def endure(self, frames: int = FRAMES) -> tuple[list[FrameInfo], list[int]]:
        """Everything that the consumer gets until so many frames were produced, and the memory meanwhile."""
        infos, resident = [], []
        self.supervisor.start()
        until_s = time.monotonic() + 120
        while sum(camera.given for camera in self.cameras) < frames:
            assert time.monotonic() < until_s
            lease = self.supervisor.take(5)
            if lease is None:
                continue
            with lease:
                assert lease.info is not None
                infos.append(lease.info)
                if len(infos) % 100 == 0:
                    resident.append(resident_bytes())
        self.state = self.supervisor.close()
        self.ring.close()
        return infos, resident

    def check(self, infos: list[FrameInfo]) -> None:
        """Nothing is lost that was not counted, and what came is in order."""
        # The frame that comes while the supervisor closes counts as one, without those that it left out.
        last = self.cameras[-1]
        uncounted = sum(camera.given for camera in self.cameras) - frames_of(self.state)
        assert 0 <= uncounted < max(1, last.last - last.before)
        assert self.state.taken == len(infos)
        assert (self.state.drops.no_slot, self.state.abandoned_threads) == (0, 0)
        numbers = np.array([info.sequence for info in infos])
        times_s = np.array([info.timestamp_s for info in infos])
        segments = np.array([info.segment for info in infos])
        assert (np.diff(numbers) >= 1).all()
        assert (np.diff(times_s) > 0).all()
        same = np.diff(segments) == 0
        np.testing.assert_allclose(np.diff(times_s)[same], np.diff(numbers)[same] / 30, rtol=1e-3)

    @property
    def kinds(self) -> set[str]:
        return {event.kind for event in self.events}


def flowing(elements: str) -> Callable[[], GStreamerCamera]:
    """A camera of GStreamer's own test elements, which are as fast as can be."""
    advice = Advice("test camera")
    text = (
        "videotestsrc name=source {} ! video/x-raw,format=YUY2,width=64,height=48,framerate=30/1 ! {}identity ! "
    ).format(*elements.split("|"))
    made = PipelinePlan(text + SINK_TEXT, ("videotestsrc", "identity", "appsink"), advice)
    return lambda: GStreamerCamera(
        made, RequestedFormat((64, 48), 30.0), cpu_writer(None), silence_s=PATIENT_S
    )


@pytest.mark.parametrize(
    ("elements", "kinds", "openings"),
    [
        ("pattern=ball|", set(), 1),
        ("pattern=ball|identity error-after=400 ! ", {"lost"}, 25),  # it dies with an error
        ("pattern=ball num-buffers=400|", {"lost"}, 25),  # it ends without one
        ("pattern=ball|identity drop-probability=0.3 ! ", set(), 1),  # it stutters
    ],
)
@pytest.mark.usefixtures("gstreamer", "quick_threads")
def test_nothing_is_lost_that_was_not_counted(elements: str, kinds: set[str], openings: int) -> None:
    rig = Rig(flowing(elements))
    infos, resident = rig.endure()
    rig.check(infos)
    assert rig.kinds == kinds
    assert (rig.state.openings >= openings) if openings > 1 else rig.state.openings == 1
    assert len(infos) > 30
    assert max(resident[2:], default=0) - min(resident[2:], default=0) < 4e6


def is_short(number: int) -> Any:
    return "short" if number % 20 == 7 else None


def is_one_colour(number: int) -> Any:
    return b"\x50" * (64 * 48 * 3) if number % 20 == 7 else None


@pytest.mark.parametrize("act", [is_short, is_one_colour])
@pytest.mark.usefixtures("quick_threads")
def test_garbage_is_refused_frame_by_frame(scene: Any, act: Act) -> None:
    scene.act = act
    rig = Rig(lambda: open_v4l2(WANTED, controls=no_controls, silence_s=PATIENT_S))
    infos, resident = rig.endure()
    rig.check(infos)
    assert rig.kinds == {"corrupt"}
    assert rig.state.openings == 1
    assert rig.state.drops.corrupt > 10
    assert max(resident[2:]) - min(resident[2:]) < 4e6


@pytest.mark.usefixtures("quick_threads")
def test_frames_are_whole_and_in_their_place_after_every_return(scene: Any) -> None:
    unplugged = (
        "error",
        "gst-resource-error-quark",
        9,
        "Could not read from resource.",
        "poll\nNo such device",
    )
    scene.act = lambda number: unplugged if number == 400 else None
    rig = Rig(lambda: open_v4l2(WANTED, controls=no_controls, silence_s=PATIENT_S))
    rig.supervisor.start()
    until_s = time.monotonic() + 120
    while rig.supervisor.state().openings < 5:
        assert time.monotonic() < until_s
        lease = rig.supervisor.take(5)
        if lease is not None:
            with lease:
                np.testing.assert_array_equal(lease.pixels, picture(number_in(lease.pixels), 64, 48))
    rig.supervisor.close()
    told = "camera /dev/video0 cannot be opened (Could not read from resource. No such device): plug it in"
    assert rig.events[0].detail.startswith(told)


@pytest.mark.usefixtures("quick_threads")
def test_a_camera_that_changes_its_size_is_told_and_opened_again(
    scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Like a network camera, whose size nothing pins down.
    monkeypatch.setattr(
        "tremorscope.runtime.cameras.v4l2._caps", lambda *_, **__: "video/x-raw,framerate=30/1"
    )
    scene.act = lambda number: ("size", 80, 60) if number == 400 else None
    rig = Rig(lambda: open_v4l2(WANTED, controls=no_controls, silence_s=PATIENT_S))
    infos, _ = rig.endure(2000)
    rig.check(infos)
    assert rig.kinds == {"resized"}
    assert rig.events[0].detail == "frames are 80x60 px, and were 64x48 px"
    assert infos[-1].segment == rig.state.segments - 1


@pytest.mark.usefixtures("quick_threads")
def test_a_camera_that_freezes_is_opened_again_and_leaves_no_thread_behind(scene: Any) -> None:
    scene.act = lambda number: time.sleep(3.0) if number == 300 else None
    rig = Rig(lambda: open_v4l2(WANTED, controls=no_controls, silence_s=1.5))
    infos, _ = rig.endure(500)
    rig.check(infos)
    assert rig.kinds == {"frozen"}
    assert (
        rig.events[0].detail
        == "camera /dev/video0: no frame within 1.5 s: check the camera's cable and its power"
    )
    assert rig.state.openings >= 2
