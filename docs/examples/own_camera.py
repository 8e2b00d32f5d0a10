"""# A camera of one's own

A camera is a class with two sizes, a rate, `read_into` and `close`. The supervisor of the service reads it in a thread
of its own and opens it again when it fails: this one breaks once. Each frame is measured as it comes.
"""

import time

import numpy as np
from drawn import BLUE, ORANGE, plt, save

from tremorscope.runtime.cameras.supervision.settings import SupervisorSettings
from tremorscope.runtime.cameras.supervision.supervisor import CameraSupervisor
from tremorscope.runtime.cameras.synthetic import SyntheticCamera, SyntheticSettings
from tremorscope.runtime.errors import CameraFault
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.frames.ring import LeasingRing
from tremorscope.runtime.vibration.displacement.estimator import RegionTracker
from tremorscope.runtime.vibration.displacement.regions import Region

SCENE = SyntheticSettings(320, 180, rate_hz=25)
"""What the sensor sees: the drawn bridge. A maker's library stands here in earnest."""


class MyCamera:
    """Camera of 320x180 px at 25 frames/s whose cable is loose the first time."""

    width_px, height_px, nominal_rate_hz = 320, 180, 25.0
    openings = 0

    def __init__(self) -> None:
        MyCamera.openings += 1
        self._sensor, self._number = SyntheticCamera(SCENE), 0
        self._start_s = time.monotonic()

    def read_into(self, pixels: np.ndarray) -> FrameInfo | None:
        """Wait for the next frame, write it into ``pixels`` (H, W, 3), and say when it was taken."""
        if MyCamera.openings == 1 and self._number == 40:
            raise CameraFault("my camera: the cable came off", remedy="plug it in")
        due_s = self._start_s + self._number / self.nominal_rate_hz
        time.sleep(max(0.0, due_s - time.monotonic()))
        self._sensor.read_into(pixels)
        self._number += 1
        return FrameInfo(self._number - 1, due_s)

    def close(self) -> None:
        """Give the sensor back."""


settings = SupervisorSettings()
ring = LeasingRing(settings.slots(held_by_consumer=2), width_px=320, height_px=180)
supervisor = CameraSupervisor(MyCamera, ring, settings=settings, on_event=print)
supervisor.start()
tracker, times_s, moved_px = None, [], []
while len(times_s) < 110:
    lease = supervisor.take(timeout_s=1.0)
    if lease is None:
        continue
    tracker = tracker or RegionTracker(lease.pixels, Region(138, 91, 44, 16))
    times_s.append(lease.info.timestamp_s)
    moved_px.append(tracker.measure(lease.pixels).y_px)
    lease.release()
supervisor.close()

seconds = np.array(times_s) - times_s[0]
gap = int(np.argmax(np.diff(seconds)))
figure, axes = plt.subplots(figsize=(9.6, 2.6))
axes.axvspan(seconds[gap], seconds[gap + 1], color=ORANGE, alpha=0.25, lw=0, label="the cable is off")
axes.plot(np.insert(seconds, gap + 1, np.nan), np.insert(moved_px, gap + 1, np.nan), color=BLUE)
axes.set(
    title="mid-span, live, by a camera that failed and was opened again",
    xlabel="s",
    ylabel="px",
    ylim=(-0.22, 0.3),
)
axes.legend(loc="upper right")
save(figure, "own_camera.png")
