"""A knock of the camera is told from all that is none."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scenes import filmed, rgb, textured

from tremorscope.runtime.vibration.displacement.knock import Knock, KnockWatch
from tremorscope.runtime.vibration.displacement.meter import MotionMeter
from tremorscope.runtime.vibration.displacement.meters import KnockedMeter
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.displacement.warping import moved

WIDTH, HEIGHT, RATE_HZ = 480, 320, 10
REGIONS = [Region(90, 120, 48, 48), Region(220, 100, 48, 48), Region(340, 160, 48, 48)]
SCENE = textured(3, 1.0, 768)
KNOCKED_S = 2.0
Frame = NDArray[np.uint8]


def view(x_px: float, y_px: float, roll_deg: float) -> NDArray[np.float64]:
    """Motion of the view (3, 3): a turn about the middle and a shift."""
    turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), -roll_deg, 1.0)
    turn[:, 2] += x_px, y_px
    return np.vstack([turn, [0, 0, 1]])


def drawn(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The scene in a view."""
    placed = matrix @ np.array([[1.0, 0, -140], [0, 1, -200], [0, 0, 1]])
    return cv2.warpAffine(
        SCENE, placed[:2], (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP
    )


def frames(seconds: float, change: object = None, rate_hz: int = RATE_HZ) -> Iterator[tuple[float, Frame]]:
    """A still scene, which ``change`` turns into another at each moment."""
    rng = np.random.default_rng(0)
    for number in range(round(seconds * rate_hz)):
        time_s = number / rate_hz
        yield time_s, rgb(filmed(change(time_s), rng))  # type: ignore[operator]


def watched(change: object, seconds: float = 4.0, rate_hz: int = RATE_HZ) -> tuple[list[Knock], list[bool]]:
    """The knocks that are found until the first, and for each frame whether nothing is measured."""
    meter = watch = None
    knocks, held = [], []
    for time_s, frame in frames(seconds, change, rate_hz):
        if meter is None or watch is None:
            meter, watch = MotionMeter(frame, REGIONS), KnockWatch(frame)
        meter.measure(frame)
        knock = watch.look(frame, meter.seen_px, time_s)
        held.append(watch.is_holding)
        if knock is not None:
            return [knock], held
    return knocks, held


@pytest.mark.parametrize(
    ("x_px", "y_px", "roll_deg"),
    [(5, 0, 0), (14, -9, 0.3), (60, 0, 0), (0, -40, 0), (8, 3, 1), (0, 0, 1)],
)
def test_a_knock_is_found_with_its_blur_and_regions_follow_to_a_pixel(
    x_px: float, y_px: float, roll_deg: float
) -> None:
    after = view(x_px, y_px, roll_deg)
    rest, jolt = drawn(view(0, 0, 0)), drawn(view(0.5 * x_px, 0.5 * y_px, roll_deg))
    blurred, ended = cv2.blur(jolt, (max(1, int(abs(x_px))), max(1, int(abs(y_px))))), drawn(after)

    def knocked(time_s: float) -> NDArray[np.float64]:
        return rest if time_s < KNOCKED_S else blurred if time_s < KNOCKED_S + 0.2 else ended

    (knock,), held = watched(knocked)
    first = round(KNOCKED_S * RATE_HZ)
    assert not any(held[:first])
    assert all(held[first:])
    assert knock.since_s == KNOCKED_S
    for region in REGIONS:
        true = moved(after, np.array([region.centre_px]))[0]
        assert knock.region(region).centre_px == pytest.approx(tuple(true), abs=1.0)
    assert f"{x_px:+.0f}" in knock.text(WIDTH, HEIGHT).replace(".0", "")


def lorry(time_s: float) -> NDArray[np.float64]:
    """Something large passes in front, over half of the picture's height."""
    picture, left = drawn(view(0, 0, 0)), round(-260 + 200 * time_s)
    picture[100:260, max(0, left) : max(0, left + 240)] = textured(8, 1.0, 768)[100:260, :WIDTH][
        :, max(0, -left) : max(0, -left) + max(0, min(WIDTH, left + 240) - max(0, left))
    ]
    return picture


def switched(time_s: float) -> NDArray[np.float64]:
    """A light is switched off, and shadows fall."""
    picture = drawn(view(0, 0, 0))
    return picture if time_s < KNOCKED_S else (0.35 + 0.25 * np.linspace(0, 1, WIDTH)) * picture


def drifting(time_s: float) -> NDArray[np.float64]:
    """The view drifts by 1 px a second."""
    return drawn(view(time_s, -0.5 * time_s, 0))


def swaying(time_s: float) -> NDArray[np.float64]:
    """The camera sways by 4 px all the time."""
    return drawn(view(4 * math.sin(5 * time_s), 0, 0))


def jumping(time_s: float) -> NDArray[np.float64]:
    """What is measured moves by 6 px at once, before a view that stands."""
    picture = drawn(view(0, 0, 0))
    if time_s >= KNOCKED_S:
        picture[90:220, 80:400] = drawn(view(6, 0, 0))[90:220, 80:400]
    return picture


@pytest.mark.parametrize("change", [lorry, switched, drifting, swaying, jumping])
def test_is_not(change: object) -> None:
    knocks, held = watched(change)
    assert knocks == []
    assert not held[-1]
    assert sum(held) <= (0 if change is not lorry else RATE_HZ)


def test_a_view_that_springs_back_goes_on_after_a_gap() -> None:
    rest, away = drawn(view(0, 0, 0)), drawn(view(12, 5, 0))
    knocks, held = watched(lambda time_s: away if KNOCKED_S <= time_s < KNOCKED_S + 0.4 else rest)
    assert knocks == []
    assert held[round(KNOCKED_S * RATE_HZ)]
    assert not held[-1]
    assert sum(held) <= 0.6 * RATE_HZ


def after_(since_s: float) -> object:
    """A knock at a time."""
    rest, ended = drawn(view(0, 0, 0)), drawn(view(14, -9, 0))
    return lambda time_s: rest if time_s < since_s else ended


@pytest.mark.parametrize("rate_hz", [1, 2, 5])
def test_a_slow_camera_sees_a_knock(rate_hz: int) -> None:
    knocks, _ = watched(after_(20.0), 24.0, rate_hz)
    assert [knock.since_s for knock in knocks] == [20.0]


@pytest.mark.parametrize("left_s", [0.3, 1.0])
def test_a_knock_at_a_recordings_end_is_in_no_displacement(left_s: float) -> None:
    meter = None
    for time_s, frame in frames(KNOCKED_S + left_s, after_(KNOCKED_S)):
        if meter is None:
            meter = KnockedMeter(MotionMeter(frame, REGIONS), frame, REGIONS, [], bit_depth=8)
        lost = [each.lost for each in meter.measure(frame, time_s)]
        assert lost == [time_s >= KNOCKED_S] * len(REGIONS)
    assert meter is not None
    assert meter.gaps_s == ([(KNOCKED_S, math.inf)] if left_s > 0.5 else [])
