"""The TensorRT runner's own logic, its engines computed by ONNX Runtime on the addresses that they are given."""

from __future__ import annotations

import ctypes
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from host_gpu import HostGpu
from support import linear_graph
from tensorrt_fake import FakeContext, FakeEngine, engine_content, fake_library

from tremorscope.runtime.engines.interface.bundle import SHIPPED_BUNDLES, open_bundle
from tremorscope.runtime.engines.interface.manifest import RepresentationLayout
from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeBandEngine, OnnxRuntimeEngine
from tremorscope.runtime.engines.tensorrt import step as tensorrt_step
from tremorscope.runtime.engines.tensorrt.library import Library, LoadedEngine, load_engine
from tremorscope.runtime.engines.tensorrt.runners import TensorrtBandEngine, TensorrtEngine
from tremorscope.runtime.errors import EngineFault
from tremorscope.runtime.frames.buffers import CopyAccount, FrameRing
from tremorscope.runtime.magnification.filters import BandSettings, design

PIXELWISE = RepresentationLayout(channels=3, cell_px=1)
SHIPPED = open_bundle(SHIPPED_BUNDLES / "realtime")
KEEP_ALL = np.array([[[1.0], [0.0]], [[0.0], [0.0]], [[1.0], [0.0]]], np.float32)


@dataclass
class Bench:
    """A GPU that is the CPU, and a library whose engines compute by ONNX Runtime."""

    directory: Path
    gpu: HostGpu
    library: Library
    made: list[FakeEngine]

    def load(
        self, graph: Path, size: tuple[int, int] = (32, 17), cell_px: int = 1, most: int = 8
    ) -> LoadedEngine:
        path = self.directory / "x.engine"
        path.write_bytes(engine_content(graph, *size, cell_px, most))
        return load_engine(self.library, path)

    def ring(self, slots: int, size: tuple[int, int] = (32, 17), channels: int = 3) -> FrameRing:
        return FrameRing(
            slots, width_px=size[0], height_px=size[1], channels=channels, allocate=self.gpu.allocate_mapped
        )

    @property
    def context(self) -> FakeContext:
        return self.made[-1].contexts[-1]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    library, made = fake_library()
    made_here = Bench(tmp_path, HostGpu(), library, made)
    yield made_here
    assert [fault for engine in made for context in engine.contexts for fault in context.faults] == []


@pytest.fixture
def pairwise(bench: Bench, linear_bundle: Path) -> TensorrtEngine:
    return TensorrtEngine(bench.gpu, bench.load(linear_bundle / "pairwise.onnx"), width_px=32, height_px=17)


@pytest.fixture
def band(bench: Bench, linear_bundle: Path) -> TensorrtBandEngine:
    loaded = bench.load(linear_bundle / "band.onnx")
    return TensorrtBandEngine(bench.gpu, loaded, PIXELWISE, width_px=32, height_px=17)


def noise(shape: tuple[int, ...], seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def smooth(count: int, height_px: int, width_px: int) -> np.ndarray:
    n, y, x, c = np.ogrid[:count, :height_px, :width_px, :3]
    waves = 128 + 90 * np.sin((x + 0.3 * np.sin(n)) / 4 + y / 7 + c)
    return waves.round().astype(np.uint8)


def test_a_step_of_the_shipped_network_gives_the_pictures_of_onnx_runtime(bench: Bench) -> None:
    size, graph = (50, 35), SHIPPED.graph_path("pairwise")
    engine = TensorrtEngine(bench.gpu, bench.load(graph, size), width_px=50, height_px=35)
    reference = OnnxRuntimeEngine(graph, width_px=50, height_px=35, threads=1)
    ring, frames = bench.ring(3, size), smooth(4, 35, 50)
    wanted = np.empty_like(frames[0])
    for number in range(1, 4):
        ring.frame(0)[:], ring.frame(1)[:] = frames[number], frames[0]
        engine.step(ring.frame(0), ring.frame(1), 10.0 * number, ring.frame(2))
        reference.step(frames[number], frames[0], 10.0 * number, wanted)
        assert np.abs(wanted.astype(int) - frames[number]).max() > 5, "the network draws something"
        assert (ring.frame(2) == wanted).all()


def test_band_mode_of_the_shipped_network_gives_the_pictures_of_onnx_runtime(bench: Bench) -> None:
    """Thirty steps, so that the state is handed on; a mask, a cap and a filter as in use."""
    size, graph, of = (50, 35), SHIPPED.graph_path("band"), SHIPPED.representation
    loaded = bench.load(graph, size, of.cell_px)
    engine = TensorrtBandEngine(bench.gpu, loaded, of, width_px=50, height_px=35)
    reference = OnnxRuntimeBandEngine(graph, of, width_px=50, height_px=35, threads=1)
    band_filter = design(BandSettings(((3.0, 9.0),)), 30.0)
    rows, columns = -(-35 // of.cell_px), -(-50 // of.cell_px)
    mask = np.random.default_rng(2).random((rows, columns), np.float32)
    ring, frames, wanted = bench.ring(4, size), smooth(30, 35, 50), np.empty((35, 50, 3), np.uint8)
    for each in (engine, reference):
        each.set_mask(mask)
        each.start(band_filter.sections)
    assert engine.state_nbytes == reference.state_nbytes
    for number, frame in enumerate(frames):
        ring.frame(number % 2)[:] = frame
        options: dict[str, Any] = {
            "amplification": 20.0,
            "max_displacement_px": 3.0,
            "coefficients": band_filter.coefficients(number + 1, 1.0),
        }
        before = frames[max(number - 1, 0)]
        previous = ring.frame((number + 1) % 2) if number else ring.frame(0)
        activity = engine.step(ring.frame(number % 2), previous, magnified=ring.frame(2), **options)
        assert activity == reference.step(frame, before, magnified=wanted, **options)
        assert (ring.frame(2) == wanted).all(), number
    assert activity > 0
    assert np.abs(wanted.astype(int) - frames[-1]).max() > 5


def test_the_state_changes_places_from_step_to_step_and_is_zero_at_a_start(
    bench: Bench, band: TensorrtBandEngine
) -> None:
    ring = bench.ring(3)
    frame, before, magnified = (ring.frame(number) for number in range(3))
    before[:] = 100

    def step(value: int) -> tuple[int, int, int]:
        frame[:] = value
        band.step(
            frame, before, amplification=2, max_displacement_px=9, coefficients=KEEP_ALL, magnified=magnified
        )
        before[:] = value
        where = bench.context.addresses
        return where["state"], where["next_state"], int(magnified[0, 0, 0])

    band.start(1)
    first, second, third = step(110), step(115), step(115)
    assert first[:2] == second[1::-1] == third[:2]
    assert [each[2] for each in (first, second, third)] == [120, 130, 130], "110 + 10, 115 + 15, 115 + 15"
    band.start(1)
    assert step(120)[2] == 125, "only the change of 5 since the start"


def test_another_number_of_sections_is_stated_and_has_a_state_of_its_size(
    bench: Bench, band: TensorrtBandEngine
) -> None:
    ring = bench.ring(2)
    assert band.state_nbytes == 2 * 1 * 3 * 17 * 32 * 4
    band.start(3)
    assert band.state_nbytes == 2 * 3 * 3 * 17 * 32 * 4
    coefficients = np.repeat(KEEP_ALL, 3, axis=2) / 3
    ring.frame(0)[:] = 50
    for wrong in (KEEP_ALL, np.zeros((3, 2, 4), np.float32)):
        with pytest.raises(ValueError, match=r"coefficients of shape .*, not \(3, 2, 3\)"):
            band.step(
                ring.frame(0), ring.frame(0), amplification=2, max_displacement_px=9,
                coefficients=wrong, magnified=ring.frame(1),
            )  # fmt: skip
    band.step(
        ring.frame(0), ring.frame(0), amplification=2, max_displacement_px=9,
        coefficients=coefficients, magnified=ring.frame(1),
    )  # fmt: skip
    assert (ring.frame(1) == 50).all()
    with pytest.raises(
        EngineFault, match=r"of 8 sections, and this one has 9: build it again .*--sections 9"
    ):
        band.start(9)


def test_the_mask_is_where_it_magnifies(bench: Bench, band: TensorrtBandEngine) -> None:
    ring = bench.ring(3)
    ring.frame(0)[:], ring.frame(1)[:] = 110, 100
    mask = np.zeros((17, 32), np.float32)
    mask[:, 20:] = 1
    band.set_mask(mask)
    band.step(
        ring.frame(0), ring.frame(1), amplification=3, max_displacement_px=9,
        coefficients=KEEP_ALL, magnified=ring.frame(2),
    )  # fmt: skip
    assert np.unique(ring.frame(2)[:, :20]).tolist() == [110]
    assert np.unique(ring.frame(2)[:, 20:]).tolist() == [130]
    with pytest.raises(ValueError, match=r"a mask of shape \(3, 3\), not \(17, 32\)"):
        band.set_mask(np.ones((3, 3), np.float32))


def test_a_graph_of_four_channels_takes_frames_as_a_camera_gives_them(bench: Bench, tmp_path: Path) -> None:
    graph = tmp_path / "four.onnx"
    graph.write_bytes(linear_graph(channels=4))
    engine = TensorrtEngine(bench.gpu, bench.load(graph), width_px=32, height_px=17)
    on_cpu = OnnxRuntimeEngine(graph, width_px=32, height_px=17)
    assert engine.channels == on_cpu.channels == 4
    inputs, picture = bench.ring(2, channels=4), bench.ring(1).frame(0)
    inputs.frame(0)[:], inputs.frame(1)[:] = (110, 120, 130, 77), (100, 100, 100, 1)
    for each in (engine, on_cpu):
        picture[:] = 0
        each.step(inputs.frame(0), inputs.frame(1), 2.0, picture)
        assert picture[0, 0].tolist() == [120, 140, 160]
        assert (picture == picture[0, 0]).all()
        with pytest.raises(ValueError, match=r"contiguous uint8 frame of shape \(17, 32, 4\)"):
            each.step(picture, inputs.frame(1), 2.0, picture)


def test_addresses_are_told_once_unless_they_change(bench: Bench, pairwise: TensorrtEngine) -> None:
    """Inputs lie on the GPU, each at one place for good, whatever slots frames come in."""
    ring, context = bench.ring(5), bench.context
    pairwise.step(ring.frame(0), ring.frame(1), 2.0, ring.frame(2))
    context.address_calls.clear()
    pairwise.step(ring.frame(3), ring.frame(0), 2.0, ring.frame(2))
    assert context.address_calls == []
    pairwise.step(ring.frame(3), ring.frame(1), 2.0, ring.frame(4))
    assert context.address_calls == ["magnified"]


def test_numbers_go_to_the_gpu_when_they_change(
    bench: Bench, band: TensorrtBandEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From memory that the CPU shares the GPU would read them anew, uncached, in every kernel that uses them."""
    ring, sent = bench.ring(2), []
    send = HostGpu.send
    monkeypatch.setattr(
        HostGpu, "send", lambda gpu, array, *rest: (sent.append(array.nbytes), send(gpu, array, *rest))
    )

    def step(**changes: Any) -> list[int]:
        options: dict[str, Any] = {"amplification": 2, "max_displacement_px": 9, "coefficients": KEEP_ALL}
        sent.clear()
        band.step(ring.frame(0), ring.frame(0), magnified=ring.frame(1), **(options | changes))
        return [nbytes for nbytes in sent if nbytes != 17 * 32 * 3]

    assert step() == [4, 4, 24]
    assert step() == []
    assert step(amplification=3) == [4]
    assert step(amplification=3, coefficients=KEEP_ALL / 2) == [24]
    assert step() == [4, 24]
    for name in ("amplification", "max_displacement_px", "coefficients", "frame", "previous"):
        at = (ctypes.c_uint8 * 4).from_address(bench.context.addresses[name])
        assert bench.gpu.find(np.frombuffer(at, np.uint8)) is None, f"{name} lies in mapped memory"


def test_an_engine_is_warm_when_it_is_there(
    bench: Bench, pairwise: TensorrtEngine, linear_bundle: Path
) -> None:
    assert bench.context.executed == 3
    assert pairwise.last_gpu_ms > 0
    band = TensorrtBandEngine(
        bench.gpu, bench.load(linear_bundle / "band.onnx"), PIXELWISE, width_px=32, height_px=17
    )
    assert bench.context.executed == 3
    ring = bench.ring(1)
    ring.frame(0)[:] = 80
    options: dict[str, Any] = {"amplification": 9, "max_displacement_px": 9, "coefficients": KEEP_ALL}
    assert band.step(ring.frame(0), ring.frame(0), magnified=bench.ring(1).frame(0), **options) == 0


@pytest.mark.parametrize("elsewhere", [(), (0,), (1,), (2,), (0, 1, 2)])
def test_frames_that_the_gpu_cannot_reach_are_copied_and_told(
    bench: Bench, linear_bundle: Path, elsewhere: tuple[int, ...]
) -> None:
    account = CopyAccount()
    loaded = bench.load(linear_bundle / "pairwise.onnx")
    engine = TensorrtEngine(bench.gpu, loaded, width_px=32, height_px=17, account=account)
    ring = bench.ring(3)
    for value in (10, 20, 30):
        frames = [
            np.zeros((17, 32, 3), np.uint8) if place in elsewhere else ring.frame(place) for place in range(3)
        ]
        frames[0][:], frames[1][:], frames[2][:] = 100 + value, 100, 0
        engine.step(frames[0], frames[1], 2.0, frames[2])
        assert (frames[2] == 100 + 2 * value).all()
    assert account.total_bytes == 3 * len(elsewhere) * 17 * 32 * 3
    engine.close()
    del frames, ring
    bench.gpu.close()


def test_band_mode_copies_and_tells_too(bench: Bench, linear_bundle: Path) -> None:
    account, ring = CopyAccount(), bench.ring(3)
    loaded = bench.load(linear_bundle / "band.onnx")
    engine = TensorrtBandEngine(bench.gpu, loaded, PIXELWISE, width_px=32, height_px=17, account=account)
    options: dict[str, Any] = {"amplification": 2, "max_displacement_px": 9, "coefficients": KEEP_ALL}
    frames = [np.full((17, 32, 3), value, np.uint8) for value in (110, 100, 0)]
    for each in (frames, [ring.frame(number) for number in range(3)]):
        each[0][:], each[1][:], each[2][:] = 110, 100, 0
        engine.start(1)
        engine.step(each[0], each[1], magnified=each[2], **options)
        assert (each[2] == 120).all()
        assert account.total_bytes == 3 * 17 * 32 * 3


@pytest.mark.parametrize("place", [0, 1, 2])
def test_frames_that_do_not_fit_are_refused(bench: Bench, pairwise: TensorrtEngine, place: int) -> None:
    ring = bench.ring(3)
    frames, executed = [ring.frame(number) for number in range(3)], bench.context.executed
    for wrong in (ring.frame(0)[:, ::2], ring.frame(0)[:16], np.zeros((17, 32, 3), np.float32)):
        frames[place] = wrong
        with pytest.raises(ValueError, match="not a contiguous uint8 frame"):
            pairwise.step(frames[0], frames[1], 2.0, frames[2])
    assert bench.context.executed == executed


def test_nothing_is_left_after_closing(
    bench: Bench, pairwise: TensorrtEngine, band: TensorrtBandEngine
) -> None:
    assert bench.gpu.mapped_nbytes > 0
    pairwise.close()
    band.close()
    bench.gpu.close()
    assert bench.gpu.mapped_nbytes == 0


def test_a_step_that_is_refused_is_told_with_tensorrts_reason(bench: Bench, pairwise: TensorrtEngine) -> None:
    ring = bench.ring(3)
    bench.context.refuses.add("execute_async_v3")
    with pytest.raises(
        EngineFault, match=r"x\.engine: TensorRT 10\.3\.0 failed to run a step \(no room for a kernel\)"
    ):
        pairwise.step(ring.frame(0), ring.frame(1), 2.0, ring.frame(2))
    bench.context.refuses = {"set_tensor_address"}
    with pytest.raises(EngineFault, match="does not take an address for magnified"):
        pairwise.step(ring.frame(1), ring.frame(1), 2.0, ring.frame(0))
    bench.context.refuses.clear()
    pairwise.step(ring.frame(1), ring.frame(1), 2.0, ring.frame(2))


def test_a_gpu_that_hangs_is_given_up(
    bench: Bench, pairwise: TensorrtEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After that nothing more is started: the GPU may still write into the frames."""
    monkeypatch.setattr(tensorrt_step, "LONGEST_STEP_S", 0.05)
    monkeypatch.setattr("host_gpu.HostEvent.done", lambda _: False)
    ring = bench.ring(3)
    with pytest.raises(EngineFault, match=r"did not end within 0\.05 s: the GPU hangs: restart the service"):
        pairwise.step(ring.frame(0), ring.frame(1), 2.0, ring.frame(2))
    monkeypatch.undo()
    executed = bench.context.executed
    with pytest.raises(EngineFault, match="the GPU hangs"):
        pairwise.step(ring.frame(0), ring.frame(1), 2.0, ring.frame(2))
    assert bench.context.executed == executed


def test_a_file_that_is_no_engine_is_told(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"no engine")
    with pytest.raises(
        EngineFault, match=r"x: TensorRT 10\.3\.0 does not take it \(magic number does not match\): build"
    ):
        load_engine(bench.library, tmp_path / "x")
    with pytest.raises(EngineFault, match=r"gone: no such file or directory: build it again"):
        load_engine(bench.library, tmp_path / "gone")


def test_too_little_memory_for_a_context_is_told(bench: Bench, linear_bundle: Path) -> None:
    loaded = bench.load(linear_bundle / "pairwise.onnx")
    loaded.engine.no_context = True
    with pytest.raises(EngineFault, match=r"no memory to run it \(out of memory\): stop other programs"):
        TensorrtEngine(bench.gpu, loaded, width_px=32, height_px=17)


@pytest.mark.parametrize(
    ("graph", "size", "make", "problem"),
    [
        ("pairwise", (32, 16), TensorrtEngine, r"frame is uint8 \[1, 17, 32, 3\], not u1 \[1, 16, 32, 3\]"),
        (
            "band",
            (32, 17),
            TensorrtEngine,
            "it has activity, .*, not amplification, frame, magnified, reference",
        ),
        ("pairwise", (32, 17), TensorrtBandEngine, "it has amplification, frame"),
        ("band", (33, 17), TensorrtBandEngine, r"frame is uint8 \[1, 17, 32, 3\]"),
    ],
)
def test_an_engine_of_another_graph_or_size_is_refused(
    bench: Bench,
    linear_bundle: Path,
    graph: str,
    size: tuple[int, int],
    make: Callable[..., Any],
    problem: str,
) -> None:
    loaded = bench.load(linear_bundle / f"{graph}.onnx")
    more = (PIXELWISE,) if make is TensorrtBandEngine else ()
    with pytest.raises(EngineFault, match=problem + r".*: build it again with tremorscope build --rebuild"):
        make(bench.gpu, loaded, *more, width_px=size[0], height_px=size[1])


def test_types_that_no_graph_of_ours_has_are_refused(
    bench: Bench, linear_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeEngine, "get_tensor_dtype", lambda *_: bench.library.module.DataType.HALF)
    with pytest.raises(EngineFault, match=r"the engine's frame is DataType\.HALF, neither UINT8 nor FLOAT"):
        bench.load(linear_bundle / "pairwise.onnx")


@pytest.mark.alone
def test_steps_leave_nothing_behind(bench: Bench, pairwise: TensorrtEngine) -> None:
    """The stand-in for TensorRT allocates; what is counted is the runner's own."""
    ring = bench.ring(8)
    monkey = bench.context
    monkey.execute_async_v3 = lambda _: True  # type: ignore[method-assign]

    def steps(count: int) -> None:
        for number in range(count):
            pairwise.step(ring.frame(number), ring.frame(0), 2.0, ring.frame(7))

    steps(100)
    monkey.address_calls.clear()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    steps(10_000)
    monkey.address_calls.clear()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 2_000
