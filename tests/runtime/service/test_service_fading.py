"""A live change shows no jump: from picture to picture the magnified motion never leaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tremorscope.runtime.engines.interface.bundle import open_bundle
from tremorscope.runtime.engines.selection import open_runtime
from tremorscope.runtime.magnification.factory import Engines
from tremorscope.runtime.magnification.filters import BandSettings
from tremorscope.runtime.magnification.magnifier import FADE_S, FadingMagnifier
from tremorscope.runtime.magnification.settings import Magnification

RATE_HZ = 30.0
SIZE = (32, 24)


class Recording:
    """A magnifier that only notes the amplification of each step."""

    settling_left_s = 0.0

    def __init__(self, amplification: float) -> None:
        self.amplification = amplification
        self.steps: list[float] = []
        self.restarts = 0

    def step(self, frame: NDArray[np.uint8], magnified: NDArray[np.uint8], timestamp_s: float) -> None:  # noqa: ARG002
        self.steps.append(self.amplification)

    def restart(self) -> None:
        self.restarts += 1

    def lines(self) -> list[str]:
        return []


def step(magnifier: FadingMagnifier, first: int, last: int) -> None:
    frame = np.zeros((24, 32, 3), np.uint8)
    for number in range(first, last):
        magnifier.step(frame, frame.copy(), number / RATE_HZ)


class TestAmplification:
    def test_goes_from_one_to_another_within_half_a_second_without_a_leap(self) -> None:
        inner = Recording(10.0)
        fading = FadingMagnifier(inner)
        step(fading, 0, 10)
        fading.amplification = 40.0
        step(fading, 10, 40)
        assert inner.steps[:10] == [10.0] * 10
        assert inner.steps[10] == 10.0
        assert inner.steps[-1] == 40.0
        reached = next(n for n, each in enumerate(inner.steps) if each == 40.0)
        assert reached - 10 == pytest.approx(FADE_S * RATE_HZ, abs=1)
        steps = np.diff(inner.steps)
        assert (steps >= 0).all()
        assert steps.max() < 30 * np.pi / 2 / (FADE_S * RATE_HZ) * 1.05

    def test_changed_again_midway_goes_on_from_where_it_is(self) -> None:
        inner = Recording(10.0)
        fading = FadingMagnifier(inner)
        step(fading, 0, 10)
        fading.amplification = 40.0
        step(fading, 10, 18)
        fading.amplification = 5.0
        step(fading, 18, 60)
        assert inner.steps[-1] == 5.0
        assert np.abs(np.diff(inner.steps)).max() < 35 * np.pi / 2 / (FADE_S * RATE_HZ) * 1.05

    def test_is_there_at_once_where_nobody_has_seen_another(self) -> None:
        inner = Recording(10.0)
        fading = FadingMagnifier(inner)
        step(fading, 0, 5)
        fading.restart()
        fading.amplification = 40.0
        step(fading, 100, 103)
        assert inner.steps[5:] == [40.0] * 3
        assert inner.restarts == 1


class TestOtherChanges:
    def test_wait_until_the_magnification_is_out_and_fade_in(self) -> None:
        before, after = Recording(20.0), Recording(20.0)
        fading = FadingMagnifier(before)
        step(fading, 0, 10)
        fading.change(lambda: after)
        step(fading, 10, 60)
        assert before.steps[-1] == 1.0
        assert after.steps[0] == 1.0
        assert after.steps[-1] == 20.0
        every = [*before.steps, *after.steps]
        assert np.abs(np.diff(every)).max() < 19 * np.pi / 2 / (FADE_S * RATE_HZ) * 1.05

    def test_are_made_at_once_after_a_rest(self) -> None:
        before, after = Recording(20.0), Recording(30.0)
        fading = FadingMagnifier(before)
        step(fading, 0, 10)
        fading.restart()
        fading.amplification = 30.0
        fading.change(lambda: after)
        step(fading, 500, 503)
        assert after.steps == [30.0] * 3

    def test_of_real_magnifiers_show_no_jump(self, linear_bundle: Path) -> None:
        """From static to a band and to another amplification: pixels change as little as while nothing changes."""
        bundle = open_bundle(linear_bundle)
        runtime = open_runtime("onnxruntime", bundle, SIZE, threads=1)
        maker = Engines(bundle, runtime, SIZE)
        static = Magnification(amplification=10.0, refresh_s=60.0)
        band = Magnification(amplification=10.0, mode="band", band=BandSettings(((1.5, 3.0),)))
        fading = FadingMagnifier(maker.make(static, RATE_HZ))
        pictures = []
        for number in range(450):
            if number == 90:
                fading.change(lambda: maker.make(band, RATE_HZ))
            if number == 300:
                fading.amplification = 20.0
            swing = 2.0 * np.sin(2 * np.pi * 2.0 * number / RATE_HZ)
            frame = np.full((24, 32, 3), round(128 + swing), np.uint8)
            magnified = np.empty_like(frame)
            fading.step(frame, magnified, number / RATE_HZ)
            pictures.append(int(magnified[12, 16, 1]))
        steps = np.abs(np.diff(pictures))
        # At amplification 10 a swing of 2 grey levels at 2 Hz changes by up to 10 * 2 * 0.42 from frame to frame, and
        # by a grey level of rounding on each side, ten times.
        assert steps[:290].max() <= 10 * 2 * 0.42 + 2 * 10
        assert steps.max() <= 20 * 2 * 0.42 + 2 * 20
        assert np.ptp(pictures[420:]) > 1.6 * np.ptp(pictures[250:290])
