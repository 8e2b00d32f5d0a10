"""Frames live as long as somebody holds them, and mistakes with them are told."""

from __future__ import annotations

import gc
import random
import threading

import numpy as np
import pytest

from tremorscope.runtime.frames.buffers import PAGE_BYTES, allocate_host
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.frames.ring import Lease, LeaseError, LeasingRing


@pytest.fixture
def ring() -> LeasingRing:
    return LeasingRing(3, width_px=40, height_px=30)


def acquired(ring: LeasingRing, holder: str = "camera") -> Lease:
    lease = ring.acquire(holder)
    assert lease is not None
    return lease


def test_every_slot_begins_on_a_page_and_lies_where_it_says(ring: LeasingRing) -> None:
    leases = [acquired(ring) for _ in range(3)]
    first = leases[0].pixels.ctypes.data
    for number, lease in enumerate(leases):
        assert lease.pixels.shape == (30, 40, 3)
        assert lease.pixels.ctypes.data % PAGE_BYTES == 0
        assert lease.pixels.ctypes.data == first + number * PAGE_BYTES
        lease.release()
    ring.close()


def test_the_memory_is_made_once_by_the_allocator_given() -> None:
    asked = []
    ring = LeasingRing(2, width_px=64, height_px=64, allocate=lambda n: asked.append(n) or allocate_host(n))
    for _ in range(10):
        acquired(ring).release()
    assert asked == [2 * 3 * PAGE_BYTES]


def test_a_slot_is_free_only_when_every_holder_has_let_go(ring: LeasingRing) -> None:
    written = acquired(ring)
    written.pixels[:] = 7
    written.seal(FrameInfo(5, 0.1))
    shown = written.share("viewer")
    assert ring.holders == ("camera", "viewer")
    written.release()
    assert ring.free == 2
    assert (shown.pixels == 7).all()
    assert shown.info == FrameInfo(5, 0.1)
    shown.release()
    assert ring.free == 3


def test_the_frame_before_is_the_reference_without_a_copy(ring: LeasingRing) -> None:
    reference: Lease | None = None
    addresses = set()
    for number in range(100):
        frame = acquired(ring)
        frame.pixels[:] = number
        frame.seal(FrameInfo(number, number / 30))
        addresses.add(frame.pixels.ctypes.data)
        if reference is not None:
            assert int(frame.pixels[0, 0, 0]) - int(reference.pixels[0, 0, 0]) == 1
            reference.release()
        reference = frame
    assert reference is not None
    reference.release()
    assert len(addresses) == 3
    ring.close()


def test_a_ring_that_is_full_gives_nothing_and_does_not_wait(ring: LeasingRing) -> None:
    leases = [acquired(ring) for _ in range(3)]
    assert ring.acquire("camera") is None
    address = leases[1].pixels.ctypes.data
    leases[1].release()
    again = acquired(ring)
    assert again.pixels.ctypes.data == address
    for lease in (leases[0], leases[2], again):
        lease.release()


def test_a_sealed_frame_cannot_be_written(ring: LeasingRing) -> None:
    with acquired(ring) as lease:
        lease.seal(FrameInfo(0, 0.0))
        with pytest.raises(ValueError, match="read-only"):
            lease.pixels[0, 0, 0] = 1


def test_mistakes_are_errors(ring: LeasingRing) -> None:
    lease = acquired(ring, "viewer")
    with pytest.raises(LeaseError, match="viewer shared a frame that is still being written"):
        lease.share("other")
    lease.seal(FrameInfo(3, 0.0))
    with pytest.raises(LeaseError, match="frame 3 was sealed twice"):
        lease.seal(FrameInfo(4, 0.0))
    other = lease.share("other")
    lease.release()
    for mistake in (
        lease.release,
        lambda: lease.pixels,
        lambda: lease.share("x"),
        lambda: lease.hand_to("x"),
    ):
        with pytest.raises(LeaseError, match="viewer used or released a frame that it had released before"):
            mistake()
    # The second release has not taken the frame from the one who holds it still.
    assert ring.free == 2
    with pytest.raises(LeaseError, match="held still by other"):
        ring.close()
    other.release()
    ring.close()


def test_a_lease_that_is_lost_is_told_by_name(ring: LeasingRing) -> None:
    lease = acquired(ring)
    lease.seal(FrameInfo(12, 0.0))
    lease.hand_to("recorder")
    del lease
    gc.collect()
    with pytest.raises(LeaseError, match="never released: frame 12 of recorder"):
        ring.acquire("camera")
    with pytest.raises(LeaseError, match="frame 12 of recorder"):
        ring.close()


def test_a_context_releases_once_even_if_its_body_did_or_failed(ring: LeasingRing) -> None:
    with acquired(ring) as lease:
        lease.release()
    with pytest.raises(ZeroDivisionError), acquired(ring):
        raise ZeroDivisionError
    assert ring.free == 3


def test_threads_never_get_the_same_slot_and_none_is_lost() -> None:
    ring = LeasingRing(8, width_px=16, height_px=16)
    mixed: list[int] = []

    def use(mark: int) -> None:
        chance = random.Random(mark)
        for number in range(1500):
            lease = ring.acquire(f"thread {mark}")
            if lease is None:
                continue
            lease.pixels[:] = mark
            lease.seal(FrameInfo(number, 0.0))
            shares = [lease.share("reader") for _ in range(chance.randrange(3))]
            lease.release()
            for share in shares:
                mixed.extend(np.unique(share.pixels).tolist() if (share.pixels != mark).any() else [])
                share.release()

    threads = [threading.Thread(target=use, args=(mark,)) for mark in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert mixed == []
    assert ring.free == 8
    ring.close()


@pytest.mark.parametrize(("slots", "width_px", "height_px"), [(0, 8, 8), (1, 0, 8), (1, 8, -1)])
def test_an_impossible_ring_is_refused(slots: int, width_px: int, height_px: int) -> None:
    with pytest.raises(ValueError, match="must be 1 or more"):
        LeasingRing(slots, width_px=width_px, height_px=height_px)
