"""x-t slices hold a line of pixels over time in the same memory however long."""

from __future__ import annotations

import numpy as np
import pytest

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.reports.demo_picture import TimeSlice, VerticalLine


def frame(number: int) -> np.ndarray:
    pixels = np.zeros((20, 30, 3), dtype=np.uint8)
    pixels[:, 7] = np.arange(20, dtype=np.uint8)[:, None]
    pixels[:, 7, 2] = number % 256
    return pixels


def test_column_n_is_the_line_of_frame_n() -> None:
    collected = TimeSlice(VerticalLine(7, 5, 15), capacity=8)
    for number in range(5):
        collected.add(frame(number), 0.1 * number)
    assert collected.picture.shape == (10, 5, 3)
    assert np.array_equal(collected.picture[:, 3, 0], np.arange(5, 15))
    assert np.array_equal(collected.picture[0, :, 2], [0, 1, 2, 3, 4])
    assert collected.times_s == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("count", [8, 9, 10, 16, 17, 100, 255])
def test_when_full_evenly_spaced_instants_from_the_first_to_the_last_are_kept(count: int) -> None:
    collected = TimeSlice(VerticalLine(7, 0, 20), capacity=8)
    for number in range(count):
        collected.add(frame(number), float(number))
    times = collected.times_s
    stride = times[1] - times[0]
    assert np.array_equal(times, np.arange(times.size) * stride)
    assert np.array_equal(collected.picture[0, :, 2], times)
    assert 4 <= times.size <= 8
    assert count - times[-1] <= stride


@pytest.mark.parametrize("line", [(30, 0, 5), (-1, 0, 5), (3, 5, 5), (3, 0, 21), (3, -1, 4)])
def test_a_line_outside_the_picture_is_refused(line: tuple[int, int, int]) -> None:
    with pytest.raises(OptionFault, match="not within 30x20 px"):
        TimeSlice(VerticalLine(*line)).add(frame(0), 0.0)
