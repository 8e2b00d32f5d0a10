"""Rooflines: peaks are the data sheets', costs are the network's, and shares follow from both."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tremorscope.runtime.bench import peaks as tables
from tremorscope.runtime.bench.job import run_bench
from tremorscope.runtime.bench.peaks import Board, Peaks, gpu_peaks, processor_peaks
from tremorscope.runtime.bench.report import lines
from tremorscope.runtime.bench.roofline import Roofline, StageCost, bound, bound_ms, cost_of, graph_cost
from tremorscope.runtime.bench.settings import BenchJob
from tremorscope.runtime.engines.interface.bundle import SHIPPED_BUNDLES, open_bundle
from tremorscope.runtime.engines.interface.manifest import FrameSize, Precision
from tremorscope.runtime.engines.onnx.file import matrix_product
from tremorscope.runtime.engines.onnx.profile import Layer, profile

ORIN_NX = "NVIDIA Jetson Orin NX Engineering Reference Developer Kit"
FULL_HD = FrameSize(width_px=1920, height_px=1080)
NETWORK_FLOPS = 2 * 20.9311875e3 * 1920 * 1080
"""The real-time network's, as `tremorscope cost` counts it on the PyTorch modules."""


def board(name: str) -> Board:
    return next(each for each in vars(tables).values() if isinstance(each, Board) and each.name == name)


@pytest.mark.parametrize(
    ("name", "sparse_tops"),
    [
        # NVIDIA's headline figures, of the GPU alone, with structured sparsity: INT8.
        ("Jetson Orin Nano 4 GB", 20),
        ("Jetson Orin Nano 4 GB, Super", 34),
        ("Jetson Orin Nano 8 GB", 40),
        ("Jetson Orin Nano 8 GB, Super", 67),
        ("Jetson Orin NX 8 GB", 50),
        ("Jetson Orin NX 16 GB", 60),
        ("Jetson Orin NX 8 GB, Super", 77),
        ("Jetson Orin NX 16 GB, Super", 77),
        ("Jetson AGX Orin 32 GB", 108),
        ("Jetson AGX Orin 64 GB", 170),
        # FP4 there, of which dense FP8 is a quarter: 2070 and 1200.
        ("Jetson T5000 (Thor)", 2070 / 2),
        ("Jetson T4000", 1200 / 2),
        ("H200", 2 * 1979),
    ],
)
def test_a_boards_peaks_are_half_of_its_headline_figure(name: str, sparse_tops: float) -> None:
    assert 2 * board(name).peaks().flops["int8"] == pytest.approx(sparse_tops * 1e12, rel=0.03)


@pytest.mark.parametrize(
    ("name", "fp16_hz", "int8_hz"),
    [
        ("Jetson Orin Nano 8 GB, Super", 192, 384),
        ("Jetson Orin NX 16 GB", 173, 346),
        ("Jetson AGX Orin 64 GB", 490, 980),
        ("H200", 11384, 22767),
    ],
)
def test_full_hd_frames_a_second_that_a_boards_operations_allow(
    name: str, fp16_hz: float, int8_hz: float
) -> None:
    peaks = board(name).peaks()
    for precision, rate_hz in (("fp16", fp16_hz), ("int8", int8_hz)):
        least_ms, limit = bound_ms(StageCost({precision: NETWORK_FLOPS}, 0.0), peaks)  # type: ignore[dict-item]
        assert limit == "compute"
        assert 1e3 / least_ms == pytest.approx(rate_hz, rel=0.005)


def a_jetson(root: Path, model: str, memory_gib: float, clock_mhz: int | None) -> Path:
    (root / "proc/device-tree").mkdir(parents=True)
    (root / "proc/device-tree/model").write_text(f"{model}\x00")
    (root / "proc/meminfo").write_text(f"MemTotal:       {int(memory_gib * 2**20)} kB\n")
    if clock_mhz is not None:
        gpu = root / "sys/class/devfreq/17000000.gpu"
        gpu.mkdir(parents=True)
        (gpu / "max_freq").write_text(f"{clock_mhz}000000\n")
    return root


@pytest.mark.parametrize(
    ("model", "memory_gib", "clock_mhz", "told"),
    [
        ("NVIDIA Jetson Orin Nano Developer Kit", 7.4, 625, "Jetson Orin Nano 8 GB, 8 SM at 625 MHz"),
        ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", 7.4, 1020,
         "Jetson Orin Nano 8 GB, Super, 8 SM at 1020 MHz"),
        (ORIN_NX, 15.3, 612, "Jetson Orin NX 16 GB, 8 SM at 612 MHz"),
        (ORIN_NX, 7.4, None, "Jetson Orin NX 8 GB, 8 SM at 765 MHz"),
        ("NVIDIA Jetson AGX Orin Developer Kit", 61.4, 1301, "Jetson AGX Orin 64 GB, 16 SM at 1300 MHz"),
        ("NVIDIA Jetson AGX Orin Developer Kit", 29.8, 828, "Jetson AGX Orin 32 GB, 14 SM at 828 MHz"),
        ("NVIDIA Jetson AGX Thor Developer Kit", 122.8, 1575, "Jetson T5000 (Thor), 20 SM at 1575 MHz"),
        ("NVIDIA Jetson Thor T4000", 61.0, None, "Jetson T4000, 12 SM at 1530 MHz"),
    ],
)  # fmt: skip
def test_the_board_is_known_by_its_name_memory_and_clock(
    tmp_path: Path, model: str, memory_gib: float, clock_mhz: int | None, told: str
) -> None:
    found = gpu_peaks("Orin", root=a_jetson(tmp_path, model, memory_gib, clock_mhz))
    assert found is not None
    assert found.of == told
    assert not found.measured


def test_a_power_mode_that_lowers_the_clock_or_switches_parts_off_lowers_the_peaks(tmp_path: Path) -> None:
    half = gpu_peaks(sms=4, root=a_jetson(tmp_path, ORIN_NX, 15.3, 459))
    assert half is not None
    whole = board("Jetson Orin NX 16 GB").peaks()
    assert half.flops["fp16"] == pytest.approx(whole.flops["fp16"] / 4)
    assert half.bandwidth_bytes_s == whole.bandwidth_bytes_s


def test_a_gpu_that_is_not_in_the_table_has_no_peaks(tmp_path: Path) -> None:
    assert gpu_peaks("NVIDIA GeForce RTX 9999", root=tmp_path) is None
    assert gpu_peaks(None, root=tmp_path) is None
    known = gpu_peaks("NVIDIA H200", root=tmp_path)
    assert known is not None
    assert known.bandwidth_bytes_s == 4.8e12


def test_the_cost_of_the_shipped_network_is_what_its_modules_count() -> None:
    cost = graph_cost(open_bundle(Path("realtime-fp32")), "pairwise", FULL_HD)
    assert cost.flops == {"fp32": pytest.approx(NETWORK_FLOPS, rel=1e-9)}
    band = graph_cost(open_bundle(Path("lite-fp32")), "band", FULL_HD)
    assert 2 * 9.5e3 < band.total_flops / (1920 * 1080) < 2 * 10.9e3  # 9.2 kMAC, and the slopes of both axes


def test_in_fp16_all_but_the_motion_encoder_and_the_slopes_is_in_fp16() -> None:
    """Though the processor that counts has no kernels in FP16, and runs them in FP32."""
    cost = graph_cost(open_bundle(Path("realtime-fp16")), "pairwise", FULL_HD)
    assert cost.total_flops == pytest.approx(NETWORK_FLOPS, rel=1e-9)
    # 32 filters of 8x8, 8 each of 20x8 and 8x20, and 8 of 10x10 for curvature, on 3 channels, once a cell of 16 pixels;
    # of two layers 5 products and a weight in 3 moments along x, and 32 channels along y, once in two cells each way:
    # in three rounds over 34 cells, at last over 14 and 34.
    filters, moments = 3 * (32 * 64 + 2 * 8 * 160 + 8 * 100), 2 * (6 * 3 + 32) * (3 * 17 + 7 + 17)
    in_fp32 = 2 * (filters / 16 + moments / 64) * 1920 * 1080
    assert cost.flops == {"fp32": pytest.approx(in_fp32), "fp16": pytest.approx(NETWORK_FLOPS - in_fp32)}
    least_ms, limit = bound_ms(cost, board("Jetson Orin Nano 8 GB, Super").peaks())
    assert limit == "compute"
    assert 1e3 / least_ms == pytest.approx(139.7, rel=0.005)  # 192 were all of it in FP16


def test_lower_precision_moves_half_and_a_quarter_of_the_bytes() -> None:
    layers = [
        each for each in profile(SHIPPED_BUNDLES / "realtime/pairwise.onnx", 64, 64)
        if each.operator != "GridSample"
    ]  # fmt: skip
    small = FrameSize(width_px=64, height_px=64)

    def activations(precision: Precision) -> float:
        return cost_of(layers, {each.name: precision for each in layers}, small, 1.0).nbytes - 9 * 64 * 64

    assert activations("fp16") == pytest.approx(activations("fp32") / 2)
    assert activations("int8") == pytest.approx(activations("fp32") / 4)


def test_a_full_hd_frame_on_the_fastest_jetson_waits_for_memory() -> None:
    cost = graph_cost(open_bundle(Path("realtime-fp16")), "pairwise", FULL_HD)
    least_ms, limit = bound_ms(cost, board("Jetson T5000 (Thor)").peaks())
    assert limit == "memory"
    assert 1e3 / least_ms == pytest.approx(433, rel=0.01)


def test_a_convolution_and_what_lies_between_are_counted_by_hand() -> None:
    conv = Layer("conv", "Conv", 1.0, macs=1000, input_items=10, output_items=20, weight_items=5)
    branch = Layer("add", "Add", 1.0, macs=0, input_items=40, output_items=20, weight_items=0)
    other = Layer("mul", "Mul", 1.0, macs=0, input_items=40, output_items=20, weight_items=0)
    tiny = FrameSize(width_px=16, height_px=16)
    found = cost_of([conv, branch, other], {}, tiny, 2.0)
    assert found.flops == {"fp32": 4000.0}
    assert found.nbytes == 2 * 4 * (10 + 20 + 20) + 4 * 5 + 9 * 256


def test_the_bound_is_the_longer_of_both() -> None:
    peaks = Peaks("a device", {"fp32": 1e9, "fp16": 2e9, "int8": 4e9}, 1e9, measured=False)
    assert bound_ms(StageCost({"fp32": 1e6, "int8": 4e6}, 1e5), peaks) == (2.0, "compute")
    assert bound_ms(StageCost({"fp32": 1e6}, 3e6), peaks) == (3.0, "memory")
    found = bound("network", 10.0, StageCost({"fp32": 1e6}, 3e6), peaks)
    assert found.share == pytest.approx(0.3)


@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_what_measures_a_processor_multiplies_matrices(kind: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(matrix_product(200, kind), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(1)
    types = (np.float32, np.float32) if kind == "fp32" else (np.uint8, np.int8)
    a, b = (random.integers(0, 50, (200, 200)).astype(each) for each in types)
    (product,) = session.run(None, {"a": a, "b": b})
    np.testing.assert_array_equal(product, a.astype(np.int64) @ b.astype(np.int64))


def test_a_processor_is_measured_within_reason() -> None:
    found = processor_peaks(1)
    assert found.measured
    assert found.flops["int8"] > found.flops["fp32"] > 1e9
    assert found.flops["fp16"] == found.flops["fp32"]
    assert 1e8 < found.bandwidth_bytes_s < 1e13


def test_a_bench_shows_what_part_of_its_roofline_each_stage_reaches() -> None:
    size = FrameSize(width_px=160, height_px=96)
    found = run_bench(BenchJob(size=size, frames=12, warm_up=2, rate_hz=60.0, threads=1, roofline=True))
    roof = found.roofline
    assert roof is not None
    assert roof.processor is not None
    by_stage = {each.stage: each for each in roof.bounds}
    assert set(by_stage) == {"network", "meter", "jpeg"}
    network = by_stage["network"]
    assert network.gflop == pytest.approx(NETWORK_FLOPS * 160 * 96 / (1920 * 1080 * 1e9))
    assert network.bound_ms == pytest.approx(1e3 * network.gflop * 1e9 / roof.processor.flops["fp32"])
    assert network.measured_ms == found.overhead.engine_ms
    assert all(0 < each.share < 2 for each in roof.bounds)  # below 1 on a machine that does nothing else
    told = "\n".join(lines(found))
    assert f"{network.share:.1%}" in told
    assert "measured just now" in told
    assert json.loads(json.dumps(found.as_json()))["roofline"]["bounds"][0]["stage"] == "network"


def test_a_network_that_cannot_be_profiled_costs_nothing_of_the_rest(linear_bundle: Path) -> None:
    job = BenchJob(
        bundle=linear_bundle, size=FrameSize(width_px=64, height_px=48), frames=12, warm_up=2, rate_hz=200.0
    )
    found = run_bench(job)
    assert found.roofline is None
    told = dataclasses.replace(found, roofline=Roofline(missing="the graph is gone"))
    assert lines(told)[-1] == "no bound   of the network's step: the graph is gone"
