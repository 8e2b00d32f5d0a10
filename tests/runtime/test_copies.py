"""Every copy of pixels by the CPU is told, and a frame's share of them is exact."""

from __future__ import annotations

import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runtime.copies import CopyAccount, copy_pixels


@given(st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1 << 40)), max_size=5), max_size=8))
def test_frames_and_places_sum_to_the_total(frames: list[list[tuple[str, int]]]) -> None:
    account = CopyAccount()
    told = []
    for copies in frames:
        for place, nbytes in copies:
            account.add(place, nbytes)
        told.append(account.frame_done())
    assert told == [sum(nbytes for _, nbytes in copies) for copies in frames]
    assert account.frames == len(frames)
    assert account.total_bytes == sum(told) == sum(account.by_place().values())
    assert account.most_frame_bytes == max(told, default=0)
    assert account.last_frame_bytes == (told[-1] if told else 0)


def test_a_picture_is_copied_and_told() -> None:
    source = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    target, account = np.zeros_like(source), CopyAccount()
    copy_pixels(source, target, account, "a place")
    copy_pixels(source, target, None, "nobody asks")
    assert (target == source).all()
    assert account.by_place() == {"a place": 48}


def test_threads_lose_no_byte() -> None:
    account = CopyAccount()
    threads = [
        threading.Thread(target=lambda: [account.add("x", 3) for _ in range(20_000)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert account.total_bytes == 4 * 20_000 * 3
