"""The contract of `runtime.gpu.protocol.Gpu`. Collected by the modules that say which one ``gpu`` is."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest

from tremorscope.runtime.frames.buffers import PAGE_BYTES, FrameRing
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.frames.ring import LeaseError, LeasingRing
from tremorscope.runtime.gpu.protocol import wait_for

Any_ = Any  # the gpu under test: runtime.gpu.protocol.Gpu


def test_it_says_what_it_is(gpu: Any_) -> None:
    assert gpu.info.name
    assert gpu.info.compute_capability.replace(".", "").isdecimal()


@pytest.mark.parametrize("nbytes", [1, PAGE_BYTES, 3 * PAGE_BYTES + 1])
def test_mapped_memory_is_zeroed_writable_and_on_a_page(gpu: Any_, nbytes: int) -> None:
    memory = gpu.allocate_mapped(nbytes)
    assert memory.shape == (nbytes,)
    assert memory.dtype == np.uint8
    assert not memory.any()
    assert memory.ctypes.data % PAGE_BYTES == 0
    assert gpu.device_address(memory) % PAGE_BYTES == 0
    memory[:] = 7
    assert gpu.mapped_nbytes == nbytes


def test_parts_of_mapped_memory_lie_as_far_apart_for_the_device(gpu: Any_) -> None:
    ring = LeasingRing(3, width_px=50, height_px=33, channels=4, allocate=gpu.allocate_mapped)
    leases = [ring.acquire("test") for _ in range(3)]
    start = gpu.device_address(leases[0].pixels)
    for number, lease in enumerate(leases):
        assert lease is not None
        assert gpu.device_address(lease.pixels) == start + number * 2 * PAGE_BYTES
        assert gpu.device_address(lease.pixels) % 256 == 0
        assert lease.pixels.shape == (33, 50, 4)
        lease.release()
    ring.close()


def test_memory_that_is_not_mapped_is_refused(gpu: Any_) -> None:
    mapped = gpu.allocate_mapped(PAGE_BYTES)
    assert gpu.find(mapped) == gpu.device_address(mapped)
    assert gpu.find(np.zeros(16, np.uint8)) is None
    with pytest.raises(ValueError, match="not in mapped memory: allocate them with the runtime's allocator"):
        gpu.device_address(np.zeros(16, np.uint8))
    beyond = np.lib.stride_tricks.as_strided(mapped, (PAGE_BYTES + 1,), (1,))
    with pytest.raises(ValueError, match="not in mapped memory"):
        gpu.device_address(beyond)


def test_memory_that_is_in_use_is_a_leak_at_the_end_and_stays_readable(gpu: Any_) -> None:
    ring = FrameRing(2, width_px=64, height_px=64, allocate=gpu.allocate_mapped)
    last_row = ring.frame(1)[-1]
    last_row[:] = 9
    del ring  # the row is a view of a view of a view; it alone keeps the memory
    gc.collect()
    with pytest.raises(
        LeaseError, match=r"mapped memory is in use still: 0\.0 MB; let go of rings and frames"
    ):
        gpu.close()
    assert last_row.min() == 9
    assert gpu.mapped_nbytes == 2 * 64 * 64 * 3
    del last_row
    gpu.close()


def test_a_ring_that_is_closed_frees_its_memory_at_the_next_allocation(gpu: Any_) -> None:
    for _ in range(50):
        ring = LeasingRing(2, width_px=64, height_px=64, allocate=gpu.allocate_mapped)
        lease = ring.acquire("test")
        assert lease is not None
        lease.seal(FrameInfo(0, 0.0))
        lease.release()
        ring.close()
        with pytest.raises(LeaseError, match="wants a frame of a ring that is closed"):
            ring.acquire("test")
        assert gpu.mapped_nbytes == 2 * 64 * 64 * 3


def test_memory_may_be_used_and_dropped_in_any_thread(gpu: Any_) -> None:
    held: list[Any] = []

    def work() -> None:
        memory = gpu.allocate_mapped(PAGE_BYTES)
        with gpu.current():
            device = gpu.allocate_device(PAGE_BYTES)
            gpu.upload(memory, device)
            device.free()
        held.append(memory)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
        thread.join()
    assert len(held) == 4
    assert gpu.mapped_nbytes == 4 * PAGE_BYTES
    dropping = threading.Thread(target=held.clear)
    dropping.start()
    dropping.join()
    gpu.close()
    assert gpu.mapped_nbytes == 0


def test_freeing_twice_is_an_error(gpu: Any_) -> None:
    with gpu.current():
        device = gpu.allocate_device(100)
        device.free()
    with pytest.raises(Exception, match=r".+"), gpu.current():
        device.free()


def test_a_picture_of_the_device_loses_its_padding(gpu: Any_) -> None:
    padded = np.arange(8 * 40, dtype=np.uint8).reshape(8, 40)
    picture = gpu.allocate_mapped(8 * 10 * 3).reshape(8, 10, 3)
    with gpu.current():
        stream, event = gpu.stream(), gpu.event()
        source = gpu.allocate_device(padded.nbytes)
        gpu.upload(padded, source)
        gpu.fetch_picture(source.address, 40, picture, stream)
        event.record(stream)
        assert wait_for(event, expected_s=0.001, limit_s=5)
        source.free()
        stream.free()
        event.free()
    assert (picture == padded[:, :30].reshape(8, 10, 3)).all()


def test_zeroing_keeps_the_order_of_the_stream_and_takes_time(gpu: Any_) -> None:
    picture = gpu.allocate_mapped(64 * 64 * 3).reshape(64, 64, 3)
    with gpu.current():
        stream, before, after = gpu.stream(), gpu.event(), gpu.event()
        device = gpu.allocate_device(picture.nbytes)
        gpu.upload(np.full(picture.nbytes, 5, np.uint8), device)
        before.record(stream)
        gpu.fetch_picture(device.address, 64 * 3, picture, stream)
        gpu.zero(device, stream)
        after.record(stream)
        assert wait_for(after, expected_s=0.0, limit_s=5)
        assert (picture == 5).all()
        gpu.fetch_picture(device.address, 64 * 3, picture, stream)
        after.record(stream)
        assert wait_for(after, expected_s=0.0, limit_s=5)
        assert not picture.any()
        assert 0 <= after.ms_since(before) < 5000
        device.free()
        stream.free()
        before.free()
        after.free()
