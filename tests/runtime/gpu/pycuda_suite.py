"""PyCUDA and cuda-bindings themselves, over a driver: `fake_cuda.c`, or a GPU's own with TREMORSCOPE_GPU=real.

Run by `test_cuda_pycuda.py` in a process that finds that driver.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from gpu_suite import *  # noqa: F403

from tremorscope.runtime.errors import EngineFault
from tremorscope.runtime.frames.buffers import PAGE_BYTES
from tremorscope.runtime.frames.ring import LeaseError
from tremorscope.runtime.gpu.cuda_bindings import UrgentStream
from tremorscope.runtime.gpu.protocol import wait_for
from tremorscope.runtime.gpu.pycuda_gpu import PycudaGpu, open_gpu
from tremorscope.runtime.telemetry.load import resident_bytes

FAKE = os.environ.get("TREMORSCOPE_GPU") != "real"
needs_fake = pytest.mark.skipif(not FAKE, reason="a real GPU does not fail on demand")
HOST_CALL = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
driver = ctypes.CDLL("libcuda.so.1")
OUT_OF_MEMORY, NO_DEVICE, ILLEGAL_ADDRESS = 2, 100, 700


def count(what: str) -> int:
    driver.fake_count.restype = ctypes.c_long
    found = int(driver.fake_count(what.encode()))
    assert found >= 0
    return found


@pytest.fixture
def gpu() -> Iterator[PycudaGpu]:
    made = open_gpu()
    yield made
    made.close()
    if FAKE:
        for what in (
            "streams",
            "events",
            "graphs",
            "host_bytes",
            "device_bytes",
            "retained",
            "depth",
            "misuses",
        ):
            assert count(what) == 0, what


def call(stream: Any, function: Any) -> None:
    assert driver.cuLaunchHostFunc(ctypes.c_void_p(stream.handle), function, None) == 0


@needs_fake
def test_device_and_host_see_the_same_bytes_at_different_addresses(gpu: PycudaGpu) -> None:
    memory = gpu.allocate_mapped(PAGE_BYTES)
    assert gpu.device_address(memory) != memory.ctypes.data
    assert driver.fake_is_device(
        ctypes.c_ulonglong(gpu.device_address(memory)), ctypes.c_ulonglong(PAGE_BYTES)
    )
    ctypes.memset(gpu.device_address(memory), 3, 10)
    assert memory[:11].tolist() == [3] * 10 + [0]


@needs_fake
def test_memory_that_the_driver_puts_off_a_page_is_moved_onto_one(gpu: PycudaGpu) -> None:
    driver.fake_page_offset(512)
    memory = gpu.allocate_mapped(2 * PAGE_BYTES)
    driver.fake_page_offset(0)
    assert memory.ctypes.data % PAGE_BYTES == 0
    assert gpu.device_address(memory) % PAGE_BYTES == 0
    assert count("host_bytes") == 3 * PAGE_BYTES
    ctypes.memset(gpu.device_address(memory), 3, 10)
    assert memory[:11].tolist() == [3] * 10 + [0]


def test_a_mark_is_reached_only_when_the_work_before_it_is_done(gpu: PycudaGpu) -> None:
    going_on, done = threading.Event(), []
    function = HOST_CALL(lambda _: done.append(going_on.wait(5)))
    with gpu.current():
        stream, mark = gpu.stream(), gpu.event()
        call(stream, function)
        mark.record(stream)
        assert not wait_for(mark, expected_s=0.0, limit_s=0.05)
        going_on.set()
        assert wait_for(mark, expected_s=0.0, limit_s=5)
        assert done == [True]
        stream.free()
        mark.free()


def test_time_is_that_of_the_stream(gpu: PycudaGpu) -> None:
    function = HOST_CALL(lambda _: time.sleep(0.03))
    with gpu.current():
        stream, start, end = gpu.stream(), gpu.event(), gpu.event()
        start.record(stream)
        call(stream, function)
        end.record(stream)
        assert wait_for(end, expected_s=0.03, limit_s=5)
        assert 29 < end.ms_since(start) < 500
        stream.free()
        start.free()
        end.free()


@needs_fake
def test_an_urgent_stream_goes_before_others_and_tells_when_it_is_empty(gpu: PycudaGpu) -> None:
    from cuda.bindings import driver as bindings

    going_on = threading.Event()
    function = HOST_CALL(lambda _: going_on.wait(5))
    with gpu.current():
        urgent, usual = UrgentStream(bindings), gpu.stream()
        priorities = [int(bindings.cuStreamGetPriority(each.handle)[1]) for each in (urgent, usual)]
        assert priorities == [-5, 0], "the lower goes first"
        assert urgent.done()
        call(urgent, function)
        assert not wait_for(urgent, expected_s=0.0, limit_s=0.05)
        going_on.set()
        assert wait_for(urgent, expected_s=0.0, limit_s=5)
        driver.fake_fail_next(b"cuStreamQuery", ILLEGAL_ADDRESS, 1)
        with pytest.raises(
            EngineFault, match=r"the GPU failed \(CUDA_ERROR_ILLEGAL_ADDRESS\): restart the service"
        ):
            urgent.done()
        urgent.free()
        usual.free()


def test_captured_work_is_done_at_each_launch_and_not_before(gpu: PycudaGpu) -> None:
    assert gpu.captures
    done: list[int] = []
    function = HOST_CALL(lambda _: done.append(1))
    with gpu.current():
        stream, mark = gpu.stream(), gpu.event()
        graph = gpu.capture(stream, lambda: call(stream, function))
        mark.record(stream)
        assert wait_for(mark, expected_s=0.0, limit_s=5)
        assert done == []
        graph.launch(stream)
        graph.launch(stream)
        mark.record(stream)
        assert wait_for(mark, expected_s=0.0, limit_s=5)
        assert done == [1, 1]
        graph.free()
        stream.free()
        mark.free()


def test_a_capture_that_fails_leaves_the_stream_usable(gpu: PycudaGpu) -> None:
    def fail() -> None:
        raise KeyError("while capturing")

    with gpu.current():
        stream, mark = gpu.stream(), gpu.event()
        with pytest.raises(KeyError):
            gpu.capture(stream, fail)
        mark.record(stream)
        assert wait_for(mark, expected_s=0.0, limit_s=5)
        stream.free()
        mark.free()


def test_no_context_is_left_in_a_thread(gpu: PycudaGpu) -> None:
    with gpu.current(), gpu.current():
        gpu.free_bytes()
    with pytest.raises(KeyError), gpu.current():
        raise KeyError
    if FAKE:
        depths: list[int] = []

        def work() -> None:
            with gpu.current():
                depths.append(count("depth"))
            depths.append(count("depth"))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert depths == [1, 0]


@needs_fake
@pytest.mark.parametrize("call", ["cuMemHostAlloc", "cuMemAlloc_v2"])
def test_no_room_is_a_memory_error(gpu: PycudaGpu, call: str) -> None:
    driver.fake_fail_next(call.encode(), OUT_OF_MEMORY, 2)  # PyCUDA collects garbage and asks once more
    with pytest.raises(MemoryError, match="the GPU has no room"), gpu.current():
        gpu.allocate_mapped(100) if call == "cuMemHostAlloc" else gpu.allocate_device(100)
    driver.fake_fail_next(b"", 0, 0)


@needs_fake
def test_a_failure_while_waiting_is_told_in_one_line(gpu: PycudaGpu) -> None:
    with gpu.current():
        stream, mark = gpu.stream(), gpu.event()
        mark.record(stream)
    driver.fake_fail_next(b"cuEventQuery", ILLEGAL_ADDRESS, 1)
    one_line = r"^the GPU failed \(cuEventQuery failed: .*\): restart"
    with pytest.raises(EngineFault, match=one_line) as caught, gpu.current():
        wait_for(mark, expected_s=0.0, limit_s=5)
    assert "\n" not in str(caught.value)
    with gpu.current():
        stream.free()
        mark.free()


@needs_fake
def test_a_gpu_that_hangs_is_not_waited_for_beyond_the_limit(gpu: PycudaGpu) -> None:
    driver.fake_hang(1)
    try:
        with gpu.current():
            stream, mark, memory = gpu.stream(), gpu.event(), gpu.allocate_device(100)
            gpu.zero(memory, stream)
            mark.record(stream)
            begin_s = time.monotonic()
            assert not wait_for(mark, expected_s=0.01, limit_s=0.2)
            assert 0.2 <= time.monotonic() - begin_s < 2
    finally:
        driver.fake_hang(0)
    with gpu.current():
        assert wait_for(mark, expected_s=0.0, limit_s=5)
        memory.free()
        stream.free()
        mark.free()


def test_what_was_given_back_is_not_used_any_more() -> None:
    gpu = open_gpu()
    gpu.close()
    gpu.close()
    with pytest.raises(LeaseError, match="used after it had been given back"):
        gpu.allocate_mapped(100)


@needs_fake
@pytest.mark.parametrize("call", ["cuInit", "cuDeviceGet", "cuDevicePrimaryCtxRetain"])
def test_no_gpu_is_told_in_one_line(call: str) -> None:
    driver.fake_fail_next(call.encode(), NO_DEVICE, 1)
    with pytest.raises(
        EngineFault, match=rf"no GPU answers \({call} failed: .*check that the NVIDIA driver is loaded"
    ):
        open_gpu()
    assert count("retained") == 0


def test_nothing_stays_of_ten_thousand_frames(gpu: PycudaGpu) -> None:
    """Contexts, events and graphs are used a frame, and made at the start."""

    memory = gpu.allocate_mapped(PAGE_BYTES)
    with gpu.current():
        stream, start, end = gpu.stream(), gpu.event(), gpu.event()
        device = gpu.allocate_device(PAGE_BYTES)
        graph = gpu.capture(stream, lambda: gpu.zero(device, stream))

    def frame() -> None:
        with gpu.current():
            gpu.device_address(memory)
            start.record(stream)
            graph.launch(stream)
            end.record(stream)
            assert wait_for(end, expected_s=0.0, limit_s=5)
            end.ms_since(start)

    for _ in range(500):
        frame()
    resident = resident_bytes()
    for _ in range(9_500):
        frame()
    assert resident_bytes() - resident < 1 << 20
    with gpu.current():
        graph.free()
        device.free()
        stream.free()
        start.free()
        end.free()


def test_the_process_ends_well_where_nobody_closed_the_gpu() -> None:
    code = (
        "from tremorscope.runtime.gpu.pycuda_gpu import open_gpu\n"
        "gpu = open_gpu(); memory = gpu.allocate_mapped(100)\n"
        "print('used')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "used\n"), done.stderr
