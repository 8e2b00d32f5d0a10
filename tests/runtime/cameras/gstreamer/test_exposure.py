"""Exposure is held, so that brightness does not move like a structure, and let adapt where the light has changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tremorscope.runtime.cameras.gstreamer.exposure import ExposureHold, ExposureSettings


class Lamp:
    """A camera under a changing light: free, it makes the picture 110 bright, as far as its exposure reaches."""

    def __init__(self, light: float) -> None:
        self.light, self.exposure, self.longest = light, 1.0, 30.0
        self.calls: list[str] = []
        self.adapting = True

    def lock(self) -> None:
        self.calls.append("lock")
        self.adapting = False

    def free(self) -> None:
        self.calls.append("free")
        self.adapting = True

    def frame(self) -> np.ndarray:
        if self.adapting:
            self.exposure = min(110 / self.light, self.longest)
        return np.full((48, 64, 3), min(255, self.light * self.exposure)).astype(np.uint8)


def film(
    hold: ExposureHold, lamp: Lamp, seconds: float, start_s: float, light: Any = None, rate_hz: float = 10
) -> list[int]:
    """Segments of the frames that were given out; -1 for one that was not."""
    segments = []
    for n in range(round(seconds * rate_hz)):
        now_s = start_s + n / rate_hz
        if light is not None:
            lamp.light = light(n / rate_hz)
        pixels = lamp.frame()
        segments.append(hold.look(pixels, now_s) if hold.is_settled(now_s) else -1)
    return segments


def test_frames_are_withheld_until_the_exposure_is_locked() -> None:
    lamp = Lamp(55)
    hold = ExposureHold(ExposureSettings(settle_s=2), lamp)
    assert film(hold, lamp, 3, 100.0) == [-1] * 20 + [0] * 10
    assert lamp.calls == ["lock"]
    assert lamp.frame().mean() == 110


def test_at_dusk_it_may_adapt_again_and_each_change_begins_a_segment() -> None:
    lamp = Lamp(55)
    hold = ExposureHold(ExposureSettings(settle_s=2, out_of_range_s=30), lamp)
    film(hold, lamp, 10, 0.0)
    segments = film(hold, lamp, 60, 10.0, light=lambda t: 55 if t < 10 else 10)  # 20 grey levels
    assert lamp.calls == ["lock", "free", "lock"]
    changes = [n / 10 for n in range(1, 600) if segments[n] != segments[n - 1]]
    assert len(changes) == 2
    assert changes[0] == pytest.approx(10 + 30, abs=2.1)
    assert changes[1] - changes[0] == pytest.approx(2, abs=1.1)
    assert lamp.frame().mean() == 110
    assert -1 not in segments  # a structure goes on being watched meanwhile
    assert hold.adaptations == 1


def test_a_night_without_end_is_not_adapted_to_again_and_again() -> None:
    lamp = Lamp(55)
    hold = ExposureHold(ExposureSettings(settle_s=2), lamp)
    segments = film(hold, lamp, 6 * 3600, 0.0, lambda t: max(0.3, 55 - t / 20), rate_hz=1)
    assert segments[-1] <= 12
    assert hold.adaptations <= 6
    assert lamp.frame().mean() < 24  # as bright as its longest exposure makes it
    film(hold, lamp, 600, 6 * 3600, lambda t: 55, rate_hz=1)  # noqa: ARG005
    assert lamp.frame().mean() == 110


def test_a_cloud_is_no_reason_to_adapt() -> None:
    lamp = Lamp(55)
    hold = ExposureHold(ExposureSettings(settle_s=0, out_of_range_s=30), lamp)
    segments = film(hold, lamp, 600, 0.0, light=lambda t: 8 if 20 < t % 60 < 45 else 55)
    assert set(segments) == {0}
    assert lamp.calls == ["lock"]


@pytest.mark.parametrize(
    "settings", [ExposureSettings(lock=False), ExposureSettings(exposure_us=1000, gain=1, settle_s=0)]
)
def test_what_is_left_to_the_camera_or_fixed_is_never_changed(settings: ExposureSettings) -> None:
    lamp = Lamp(55)
    hold = ExposureHold(settings, lamp)
    segments = film(hold, lamp, 300, 0.0, light=lambda t: 55 if t < 60 else 8)
    assert set(segments) == {0}
    assert "free" not in lamp.calls
