"""The TensorRT runner on PyCUDA and cuda-bindings, over a driver made of threads: truly asynchronous, with graphs.

Run by `test_tensorrt_on_pycuda.py` in a process that finds that driver. The engine's work is put into the stream as a
call of the host, so that it is captured, launched and waited for like any other.
"""

from __future__ import annotations

import ctypes
import gc
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import write_bundle
from tensorrt_fake import FakeContext, FakeEngine, engine_content, fake_library, write_fake_engine

from tremorscope.runtime.engines.interface.bundle import open_bundle
from tremorscope.runtime.engines.interface.manifest import FrameSize, RepresentationLayout
from tremorscope.runtime.engines.selection import closing_runtime, open_runtime
from tremorscope.runtime.engines.tensorrt import runtime as tensorrt_runtime
from tremorscope.runtime.engines.tensorrt import step as tensorrt_step
from tremorscope.runtime.engines.tensorrt.engine_file import describe_builder
from tremorscope.runtime.engines.tensorrt.library import Library, load_engine
from tremorscope.runtime.engines.tensorrt.runners import TensorrtBandEngine, TensorrtEngine
from tremorscope.runtime.engines.tensorrt.step import MOST_GRAPHS
from tremorscope.runtime.errors import EngineFault
from tremorscope.runtime.frames.buffers import CopyAccount
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.frames.ring import LeasingRing
from tremorscope.runtime.gpu.device import read_device
from tremorscope.runtime.gpu.pycuda_gpu import PycudaGpu, open_gpu
from tremorscope.runtime.magnification.magnifier import Magnifier
from tremorscope.runtime.telemetry.load import resident_bytes

HOST_CALL = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
driver = ctypes.CDLL("libcuda.so.1")
driver.fake_count.restype = ctypes.c_long
SIZE = {"width_px": 32, "height_px": 17}
NBYTES = 17 * 32 * 3
OUT_OF_MEMORY, ILLEGAL_ADDRESS, NOT_SUPPORTED, CAPTURE_UNSUPPORTED = 2, 700, 801, 900
KEEP_ALL = np.array([[[1.0], [0.0]], [[0.0], [0.0]], [[1.0], [0.0]]], np.float32)


@dataclass
class Bench:
    """A GPU made of threads, and a library whose engines compute by ONNX Runtime in those threads."""

    directory: Path
    gpu: PycudaGpu
    library: Library
    made: list[FakeEngine]
    calls: list[Any] = field(default_factory=list)

    @property
    def context(self) -> FakeContext:
        return self.made[-1].contexts[-1]

    def pairwise(self) -> TensorrtEngine:
        return TensorrtEngine(self.gpu, self._load("pairwise"), **SIZE)

    def band(self) -> TensorrtBandEngine:
        return TensorrtBandEngine(
            self.gpu, self._load("band"), RepresentationLayout(channels=3, cell_px=1), **SIZE
        )

    def ring(self, slots: int) -> LeasingRing:
        return LeasingRing(slots, **SIZE, allocate=self.gpu.allocate_mapped)

    def _load(self, graph: str) -> Any:
        path = self.directory / f"{graph}.engine"
        path.write_bytes(engine_content(self.directory / f"{graph}.onnx", 32, 17))
        return load_engine(self.library, path)


def count(what: str) -> int:
    return int(driver.fake_count(what.encode()))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(
        tensorrt_step, "LEAST_ENQUEUE_SHARE", 0.0
    )  # these steps are no measure of a network's
    write_bundle(tmp_path)
    calls: list[Any] = []

    def enqueue(stream: int, work: Callable[[], None]) -> None:
        calls.append(HOST_CALL(lambda _: work()))  # kept: a graph calls it again
        status = driver.cuLaunchHostFunc(ctypes.c_void_p(stream), calls[-1], None)
        assert status == 0

    library, made = fake_library(enqueue)
    gpu = open_gpu()
    yield Bench(tmp_path, gpu, library, made, calls)
    driver.fake_delay_us(0)
    driver.fake_fail_next(b"", 0, 0)
    gc.collect()
    gpu.close()
    assert [fault for engine in made for context in engine.contexts for fault in context.faults] == []
    left = {
        what: count(what) for what in ("streams", "events", "graphs", "host_bytes", "device_bytes", "misuses")
    }
    assert left == dict.fromkeys(left, 0)


def belongs_to_the_gpu(context: FakeContext) -> bool:
    return all(
        driver.fake_is_device(ctypes.c_ulonglong(address), ctypes.c_ulonglong(4))
        for address in context.addresses.values()
    )


def film(ring: LeasingRing, value: int, number: int = 0) -> Any:
    """What a camera does that writes straight into the slot that it is handed."""
    lease = ring.acquire("camera")
    assert lease is not None
    lease.pixels[:] = value
    lease.seal(FrameInfo(number, number / 30))
    return lease


def test_steps_wait_for_the_gpu_and_give_its_picture(bench: Bench) -> None:
    engine, frames, pictures = bench.pairwise(), bench.ring(4), bench.ring(2)
    driver.fake_delay_us(
        3000
    )  # each piece of work: a step that did not wait would find the picture of the one before
    reference = film(frames, 100)
    for number in range(12):
        with film(frames, 101 + number) as frame:
            picture = pictures.acquire("magnifier")
            assert picture is not None
            with picture:
                picture.pixels[:] = 0
                engine.step(frame.pixels, reference.pixels, 3.0, picture.pixels)
                assert (picture.pixels == 103 + 3 * number).all()
                assert 3 <= engine.last_gpu_ms < 1000
    assert belongs_to_the_gpu(bench.context)
    reference.release()
    frames.close()
    pictures.close()
    engine.close()


def test_combinations_of_slots_that_return_become_graphs(bench: Bench) -> None:
    engine, frames, pictures = bench.pairwise(), bench.ring(4), bench.ring(2)
    reference = film(frames, 100)

    def rounds(steps: int) -> None:
        for number in range(steps):
            value = 101 + number % 50
            with film(frames, value) as frame, pictures.acquire("magnifier") as picture:  # type: ignore[union-attr]
                engine.step(frame.pixels, reference.pixels, 2.0, picture.pixels)
                assert (picture.pixels == 100 + 2 * (value - 100)).all()

    # Two pictures rotate, in whatever slots the frames are. The first time each is run, the second captured.
    rounds(2)
    assert engine.graphs == 0
    rounds(2)
    assert engine.graphs == count("graphs") == 2
    enqueued, launched = bench.context.enqueued, count("launches")
    rounds(600)
    assert bench.context.enqueued == enqueued, "nothing is put into the stream layer by layer any more"
    assert count("launches") - launched == 600
    reference.release()
    frames.close()
    pictures.close()
    engine.close()


def test_where_pictures_are_too_many_for_graphs_none_is_kept(bench: Bench) -> None:
    engine, frames, pictures = bench.pairwise(), bench.ring(2), bench.ring(MOST_GRAPHS + 1)
    with film(frames, 110) as frame, film(frames, 100) as reference:
        leases = [pictures.acquire("magnifier") for _ in range(MOST_GRAPHS + 1)]
        for kept in (MOST_GRAPHS, 0):
            for _ in range(2):
                for lease in leases[: kept or None]:
                    lease.pixels[:] = 0  # type: ignore[union-attr]
                    engine.step(frame.pixels, reference.pixels, 2.0, lease.pixels)  # type: ignore[union-attr]
                    assert (lease.pixels == 120).all()  # type: ignore[union-attr]
            assert engine.graphs == count("graphs") == kept
        for lease in leases:
            lease.release()  # type: ignore[union-attr]
    frames.close()
    pictures.close()
    engine.close()


def test_the_state_of_band_mode_goes_through_graphs_and_stays_on_the_gpu(bench: Bench) -> None:
    engine, frames, pictures = bench.band(), bench.ring(2), bench.ring(1)
    context = bench.context
    before_bytes = count("device_bytes")
    with pictures.acquire("magnifier") as picture:  # type: ignore[union-attr]
        for sections in (1, 2, 1):
            engine.start(sections)
            assert engine.graphs == 0, "they know the addresses of the state before"
            coefficients = np.repeat(KEEP_ALL, sections, axis=2)
            coefficients[2] /= sections
            previous = film(frames, 100)
            for number in range(1, 21):
                frame = film(frames, 100 + 2 * number, number)
                activity = engine.step(
                    frame.pixels, previous.pixels, amplification=2, max_displacement_px=9,
                    coefficients=coefficients, magnified=picture.pixels,
                )  # fmt: skip
                assert (picture.pixels == 100 + 4 * number).all(), (sections, number)
                assert activity == pytest.approx((2 * number / 255) ** 2, rel=1e-3)
                previous.release()
                previous = frame
            previous.release()
            assert engine.graphs == 2, "one picture and two places of the state"
            assert belongs_to_the_gpu(context)
            assert count("device_bytes") == before_bytes + (sections - 1) * 2 * 2 * NBYTES * 4
    frames.close()
    pictures.close()
    engine.close()


@pytest.mark.parametrize("call", ["cuStreamBeginCapture_v2", "cuGraphInstantiateWithFlags"])
def test_where_capturing_fails_steps_go_on_without_graphs(bench: Bench, call: str) -> None:
    engine, frames, pictures = bench.pairwise(), bench.ring(2), bench.ring(1)
    driver.fake_fail_next(call.encode(), CAPTURE_UNSUPPORTED, 1)
    with film(frames, 110) as frame, film(frames, 100) as reference, pictures.acquire("magnifier") as picture:  # type: ignore[union-attr]
        for _ in range(6):
            picture.pixels[:] = 0
            engine.step(frame.pixels, reference.pixels, 2.0, picture.pixels)
            assert (picture.pixels == 120).all()
    assert engine.graphs == count("graphs") == 0
    frames.close()
    pictures.close()
    engine.close()


def test_without_cuda_bindings_there_are_no_graphs_and_the_same_pictures(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.gpu, "_capture", None)
    engine, frames, pictures = bench.pairwise(), bench.ring(2), bench.ring(1)
    with film(frames, 110) as frame, film(frames, 100) as reference, pictures.acquire("magnifier") as picture:  # type: ignore[union-attr]
        for _ in range(4):
            engine.step(frame.pixels, reference.pixels, 2.0, picture.pixels)
        assert (picture.pixels == 120).all()
    assert (engine.graphs, count("launches")) == (0, count("launches"))
    frames.close()
    pictures.close()
    engine.close()


def test_from_camera_to_picture_the_cpu_copies_nothing(bench: Bench) -> None:
    """Dynamic mode: the reference is the slot before. A camera writes into the slot; all else is addresses."""
    account = CopyAccount()
    engine, frames, pictures = bench.pairwise(), bench.ring(3), bench.ring(1)
    magnifier = Magnifier(
        engine, mode="dynamic", amplification=2.0, allocate=bench.gpu.allocate_mapped, account=account
    )
    previous = None
    for number in range(50):
        frame = film(frames, 100 + number, number)
        with pictures.acquire("magnifier") as picture:  # type: ignore[union-attr]
            seen = bench.gpu.device_address(picture.pixels)
            magnifier.step(frame.pixels, picture.pixels, number / 30)
            assert (picture.pixels == 100 + number + (number > 0)).all()
        assert bench.context.addresses["magnified"] == seen
        if previous is not None:
            previous.release()
        previous = frame
    assert account.total_bytes == 0
    assert previous is not None
    previous.release()
    frames.close()
    pictures.close()
    engine.close()


def test_nothing_stays_of_ten_thousand_frames(bench: Bench) -> None:
    engine, frames, pictures = bench.pairwise(), bench.ring(4), bench.ring(3)
    reference = film(frames, 100)

    def run(steps: int) -> None:
        for number in range(steps):
            with film(frames, 110, number) as frame, pictures.acquire("magnifier") as picture:  # type: ignore[union-attr]
                engine.step(frame.pixels, reference.pixels, 2.0, picture.pixels)

    run(1000)
    device, mapped = count("device_bytes"), count("host_bytes")
    resident = resident_bytes()
    run(9000)
    assert resident_bytes() - resident < 2 << 20
    assert (device, mapped) == (count("device_bytes"), count("host_bytes"))
    reference.release()
    frames.close()
    pictures.close()
    engine.close()


def test_auto_takes_tensorrt_with_this_driver_and_its_gpu(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the sidecar over driver, context and engines to a picture in mapped memory, and back to nothing."""
    monkeypatch.setattr(tensorrt_runtime, "load_library", lambda _: bench.library)
    bundle, size = open_bundle(bench.directory), FrameSize(**SIZE)
    device, _ = read_device()
    assert (device.gpu, device.compute_capability) == ("threads in place of a GPU", "8.7")
    for graph in bundle.manifest.graphs:
        builder = describe_builder("tensorrt", "10.3.0", device)
        write_fake_engine(bundle, graph, size, bench.directory / "engines", builder)
    with closing_runtime(open_runtime("auto", bundle, (SIZE["width_px"], SIZE["height_px"]))) as runtime:
        assert runtime.description == "TensorRT 10.3.0 on threads in place of a GPU"
        frames = LeasingRing(3, **SIZE, allocate=runtime.allocate)
        with film(frames, 110) as frame, film(frames, 100) as reference:
            picture = frames.acquire("magnifier")
            assert picture is not None
            runtime.open_pairwise().step(frame.pixels, reference.pixels, 2.0, picture.pixels)
            assert (picture.pixels == 120).all()
            picture.release()
        frames.close()


def test_two_threads_run_an_engine_each(bench: Bench) -> None:
    """The live picture, and the clip of an event beside it, while cameras open and close."""
    problems: list[Any] = []

    def work(offset: int) -> None:
        engine = bench.pairwise()
        for number in range(60):
            frames = bench.ring(3)
            with film(frames, 100 + offset) as frame, film(frames, 100) as reference:
                picture = frames.acquire("magnifier")
                assert picture is not None
                engine.step(frame.pixels, reference.pixels, 2.0, picture.pixels)
                if not (picture.pixels == 100 + 2 * offset).all():
                    problems.append((offset, number))
                picture.release()
            frames.close()
        engine.close()

    threads = [threading.Thread(target=work, args=(offset,)) for offset in (3, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert problems == []


@pytest.mark.parametrize("call", ["cuMemAlloc_v2", "cuMemHostAlloc", "cuStreamCreate"])
def test_too_little_memory_leaves_nothing_behind(bench: Bench, call: str) -> None:
    driver.fake_fail_next(call.encode(), OUT_OF_MEMORY, 2)
    with pytest.raises(MemoryError, match="the GPU has no room"):
        bench.band()


def test_a_gpu_that_fails_is_told_in_one_line(bench: Bench) -> None:
    engine, frames = bench.pairwise(), bench.ring(3)
    with film(frames, 110) as frame, film(frames, 100) as reference, film(frames, 0) as picture:
        pixels = bench.gpu.allocate_mapped(NBYTES).reshape(picture.pixels.shape)
        driver.fake_fail_next(b"cuEventQuery", ILLEGAL_ADDRESS, 1)
        with pytest.raises(EngineFault, match=r"^the GPU failed \(cuEventQuery failed"):
            engine.step(frame.pixels, reference.pixels, 2.0, pixels)
        engine.step(frame.pixels, reference.pixels, 2.0, pixels)
        assert (pixels == 120).all()
    frames.close()
    engine.close()
