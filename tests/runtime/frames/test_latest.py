"""The newest win, nothing is lost untold, and nobody waits longer than asked."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremorscope.runtime.frames.latest import Latest


class Item:
    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.released = 0

    def release(self) -> None:
        self.released += 1


@given(st.lists(st.sampled_from(["put", "put", "take", "push out", "clear"]), max_size=60), st.integers(1, 4))
def test_items_come_in_order_and_each_is_taken_or_released_once(acts: list[str], most: int) -> None:
    latest: Latest[Item] = Latest(most)
    every, taken, cleared = [], [], 0
    for act in acts:
        if act == "put":
            every.append(Item(len(every)))
            assert latest.is_full == (len(latest) == most)
            latest.put(every[-1])
            assert latest.newest is every[-1]
        elif act == "take":
            item = latest.take()
            taken += [item] if item is not None else []
        elif act == "push out":
            waited = len(latest)
            assert latest.push_out() == (waited > 0)
        else:
            cleared += latest.clear()
        assert len(latest) <= most
    assert [item.number for item in taken] == sorted(item.number for item in taken)
    assert latest.taken == len(taken)
    assert len(every) == len(taken) + latest.pushed_out + cleared + len(latest)
    latest.clear()
    assert {item.released for item in every if item not in taken} <= {1}
    assert {item.released for item in taken} <= {0}


def test_who_waits_is_woken_and_waits_no_longer_than_asked() -> None:
    latest: Latest[Item] = Latest()
    begun_s = time.monotonic()
    assert latest.take(0.05) is None
    assert not latest.wait(0.0)
    assert time.monotonic() - begun_s >= 0.05
    item = Item()
    threading.Timer(0.05, latest.put, (item,)).start()
    assert latest.wait(30)
    assert latest.take() is item


def test_a_queue_for_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="0 items may wait"):
        Latest(0)
