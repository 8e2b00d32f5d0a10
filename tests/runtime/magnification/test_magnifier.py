"""Which frame each mode magnifies against, and which amplifications are taken."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tremorscope.runtime.engines.interface.manifest import AmplificationRange
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.frames.buffers import CopyAccount
from tremorscope.runtime.magnification.magnifier import Magnifier, Mode, check_amplification


class RecordingEngine:
    """Writes down what it is asked for: (frame, reference, amplification) by the value of the first pixel."""

    width_px, height_px, channels = 16, 16, 3

    def __init__(self) -> None:
        self.asked: list[tuple[int, int, float]] = []

    def step(
        self, frame: np.ndarray, reference: np.ndarray, amplification: float, magnified: np.ndarray
    ) -> None:
        self.asked.append((int(frame[0, 0, 0]), int(reference[0, 0, 0]), amplification))
        magnified[:] = 255


def run(mode: Mode, values: list[int]) -> list[tuple[int, int, float]]:
    engine = RecordingEngine()
    magnifier = Magnifier(engine, mode=mode, amplification=20.0)
    slots = [np.zeros((16, 16, 3), np.uint8) for _ in range(3)]
    for number, value in enumerate(values):
        slots[number % 3][:] = value
        magnifier.step(slots[number % 3], np.zeros((16, 16, 3), np.uint8))
    return engine.asked


def test_static_mode_compares_with_the_first_frame_even_when_its_slot_is_used_again() -> None:
    assert run("static", [1, 2, 3, 4, 5]) == [(value, 1, 20.0) for value in (1, 2, 3, 4, 5)]


def test_dynamic_mode_compares_with_the_frame_before() -> None:
    assert run("dynamic", [1, 2, 3, 4, 5]) == [(1, 1, 20), (2, 1, 20), (3, 2, 20), (4, 3, 20), (5, 4, 20)]


@pytest.mark.parametrize(("mode", "copied_bytes"), [("static", 2 * 16 * 16 * 3), ("dynamic", 0)])
def test_a_frame_is_copied_only_where_it_must_outlive_its_slot(mode: Any, copied_bytes: int) -> None:
    """Static mode keeps its first frame, and the first after a restart."""
    account = CopyAccount()
    magnifier = Magnifier(RecordingEngine(), mode=mode, amplification=2.0, account=account)
    frame, picture = np.zeros((2, 16, 16, 3), np.uint8)
    for number in range(10):
        if number == 5:
            magnifier.restart()
        magnifier.step(frame, picture)
    assert account.total_bytes == copied_bytes


@pytest.mark.parametrize("amplification", [0.0, 0.5, 1.0, 20.0, 100.0])
def test_amplifications_within_the_range_are_taken(amplification: float) -> None:
    allowed = AmplificationRange(minimum=1, maximum=100, attenuates=True)
    assert check_amplification(amplification, allowed) == amplification


@pytest.mark.parametrize("amplification", [-3.0, -0.01, 100.1, 1e30, math.nan, math.inf, -math.inf])
def test_amplifications_outside_the_range_are_refused_with_the_range(amplification: float) -> None:
    with pytest.raises(OptionFault, match=r"choose a number from 0 to 100$"):
        check_amplification(amplification, AmplificationRange(minimum=1, maximum=100, attenuates=True))


def test_a_bundle_of_an_older_release_does_not_attenuate() -> None:
    with pytest.raises(OptionFault, match=r"choose a number from 1 to 100$"):
        check_amplification(0.5, AmplificationRange(minimum=1, maximum=100))
