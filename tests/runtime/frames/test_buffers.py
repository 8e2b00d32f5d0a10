"""The frame ring: one block, one page boundary a slot, nothing allocated twice."""

from __future__ import annotations

import numpy as np
import pytest

from tremorscope.runtime.frames.buffers import PAGE_BYTES, FrameRing, allocate_host


@pytest.mark.parametrize(("width_px", "height_px"), [(16, 16), (641, 359), (1920, 1080)])
def test_every_slot_is_contiguous_and_starts_on_a_page(width_px: int, height_px: int) -> None:
    ring = FrameRing(3, width_px=width_px, height_px=height_px)
    for number in range(3):
        frame = ring.frame(number)
        assert frame.shape == (height_px, width_px, 3)
        assert frame.dtype == np.uint8
        assert frame.flags.c_contiguous
        assert frame.flags.writeable
        assert frame.ctypes.data % PAGE_BYTES == 0


def test_slots_do_not_overlap() -> None:
    ring = FrameRing(4, width_px=37, height_px=23)
    for number in range(4):
        ring.frame(number)[:] = number + 1
    assert [int(ring.frame(number).min()) for number in range(4)] == [1, 2, 3, 4]
    assert [int(ring.frame(number).max()) for number in range(4)] == [1, 2, 3, 4]


def test_a_frame_number_comes_back_to_its_slot_after_one_turn() -> None:
    ring = FrameRing(3, width_px=16, height_px=16)
    addresses = [ring.frame(number).ctypes.data for number in range(7)]
    assert addresses[0] == addresses[3] == addresses[6]
    assert len(set(addresses)) == 3


def test_all_memory_comes_from_one_call_of_the_allocator() -> None:
    asked: list[int] = []

    def allocate(nbytes: int) -> np.ndarray:
        asked.append(nbytes)
        return allocate_host(nbytes)

    FrameRing(5, width_px=100, height_px=100, allocate=allocate)
    assert asked == [5 * 8 * PAGE_BYTES]  # 30,000 bytes a frame are 8 pages


def test_memory_outlives_the_ring_that_made_it() -> None:
    frame = FrameRing(1, width_px=16, height_px=16).frame(0)
    frame[:] = 7
    assert int(frame.sum()) == 7 * 16 * 16 * 3


@pytest.mark.parametrize("sizes", [(0, 16, 16), (1, 0, 16), (1, 16, -1)])
def test_a_ring_of_nothing_is_refused(sizes: tuple[int, int, int]) -> None:
    slots, width_px, height_px = sizes
    with pytest.raises(ValueError, match="must be 1 or more"):
        FrameRing(slots, width_px=width_px, height_px=height_px)
