"""The band step graph: its interface, its filter against SciPy's, its mask and its cap."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from scipy import signal
from test_sizes import check_plain, check_whole_positions

from tremorscope.export.check import compare_band
from tremorscope.export.errors import ExportFault
from tremorscope.export.graphs.band_graph import BandStep, band_graph
from tremorscope.model.networks.realtime import RealtimeConfig, RealtimeNetwork
from tremorscope.runtime.engines.interface.manifest import FrameSize, RepresentationLayout
from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeBandEngine
from tremorscope.runtime.magnification.filters import BandSettings, design, frame_before

SMALL = RealtimeConfig(decoder_blocks=2, decoder_channels=16, texture_channels=8, shape_channels=8)
RATE_HZ = 30.0
CHANNELS = 8 + 2 * 8
"""Of the state: the motion's and, of the eight that least squares are fitted on, the slopes' along x and y."""


@pytest.fixture(scope="module")
def network() -> RealtimeNetwork:
    torch.manual_seed(1)
    return RealtimeNetwork(SMALL).eval()


@pytest.fixture(scope="module")
def graph(network: RealtimeNetwork) -> onnx.ModelProto:
    return band_graph(network, None)


@pytest.fixture(scope="module")
def path(graph: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "band.onnx"
    path.write_bytes(graph.SerializeToString())
    return path


def engine_for(path: Path, width_px: int, height_px: int) -> OnnxRuntimeBandEngine:
    representation = RepresentationLayout(channels=CHANNELS, cell_px=4)
    return OnnxRuntimeBandEngine(path, representation, width_px=width_px, height_px=height_px, threads=1)


def noise(seed: int, height_px: int, width_px: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)


def test_the_interface_is_as_stated(graph: onnx.ModelProto) -> None:
    frame = ("UINT8", [1, "height", "width", 3])
    state = ("FLOAT", [2, "sections", CHANNELS, "rows", "columns"])
    signature = {
        value.name: (
            onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type),
            [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim],
        )
        for value in (*graph.graph.input, *graph.graph.output)
    }
    assert signature == {
        "frame": frame,
        "previous": frame,
        "amplification": ("FLOAT", [1]),
        "max_displacement_px": ("FLOAT", [1]),
        "mask": ("FLOAT", [1, 1, "rows", "columns"]),
        "coefficients": ("FLOAT", [3, 2, "sections"]),
        "state": state,
        "magnified": frame,
        "next_state": state,
        "activity": ("FLOAT", [1]),
    }
    assert [(entry.domain, entry.version) for entry in graph.opset_import] == [("", 17)]


def test_nothing_in_it_loops_and_pixels_meet_a_cast_first_and_sizes_are_read_plainly(
    graph: onnx.ModelProto,
) -> None:
    assert not {node.op_type for node in graph.graph.node} & {
        "Loop",
        "Scan",
        "If",
        "MatMul",
        "Einsum",
        "Gemm",
    }
    assert not graph.functions
    for node in graph.graph.node:
        if {"frame", "previous"} & set(node.input):
            assert node.op_type in {"Cast", "Shape"}
    check_plain(graph)
    check_whole_positions(graph)


@pytest.mark.parametrize(("width_px", "height_px"), [(64, 48), (61, 35)])
def test_it_gives_the_grey_levels_of_pytorch_over_several_steps(
    network: RealtimeNetwork, path: Path, width_px: int, height_px: int
) -> None:
    for found in compare_band(path, network, width_px, height_px, (1.0, 20.0, 200.0)):
        assert found.worst_grey_levels <= 1
        assert found.differing_share < 0.001


def test_another_networks_graph_is_noticed(path: Path) -> None:
    torch.manual_seed(2)
    with pytest.raises(ExportFault, match=r"the band graph is .* grey levels from PyTorch"):
        compare_band(path, RealtimeNetwork(SMALL), 64, 48, (20.0,))


def test_a_graph_of_one_size_states_it(network: RealtimeNetwork) -> None:
    graph = band_graph(network, FrameSize(width_px=61, height_px=35)).graph
    shapes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.input}
    assert shapes["frame"] == [1, 35, 61, 3]
    assert shapes["state"] == [2, "sections", CHANNELS, 9, 16]


def test_the_frame_before_as_a_filter_is_the_pairwise_network(network: RealtimeNetwork, path: Path) -> None:
    """Filtering with H = 1 - 1/z and no cap is dynamic mode, slopes halfway included: the same grey levels."""
    engine = engine_for(path, 61, 35)
    engine.start(1)
    before, frame = noise(0, 35, 61), noise(1, 35, 61)
    magnified = np.empty_like(frame)
    for previous, current in ((before, before), (before, frame)):
        engine.step(
            current,
            previous,
            amplification=3.0,
            max_displacement_px=1e6,
            coefficients=frame_before(RATE_HZ).coefficients(1, 1.0),
            magnified=magnified,
        )
    now, then = (torch.from_numpy(each[None]).permute(0, 3, 1, 2).float() for each in (frame, before))
    with torch.no_grad():
        expected = network.magnify_pixels(now, then, torch.tensor([3.0]))[0].permute(1, 2, 0)
    difference = np.abs(magnified.astype(float) - expected.numpy().clip(0, 255))
    assert difference.max() <= 0.51


# The filter


def filter_of(graph: onnx.ModelProto, path: Path) -> onnxruntime.InferenceSession:
    """The part of the graph from the frames to the filtered representation, cut out of it as it is."""
    consumers = [node for node in graph.graph.node if "next_state" in node.input]
    assert [node.op_type for node in consumers] == ["Gather"]
    total = next(node for node in graph.graph.node if consumers[0].output[0] in node.input)
    assert total.op_type == "ReduceSum"
    part = onnx.utils.Extractor(graph).extract_model(
        ["frame", "previous", "coefficients", "state"], [total.output[0], "next_state"]
    )
    path.write_bytes(part.SerializeToString())
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def film(start: int, count: int) -> np.ndarray:
    """Frames u8[count, 8, 8, 3]: texture that trembles at 3 Hz and drifts, slow light, and noise."""
    n = np.arange(start, start + count)[:, None, None, None]
    y, x, colour = np.mgrid[:8, :8, :3]
    shift_px = 0.3 * np.sin(2 * np.pi * 3.0 * n / RATE_HZ) + 2.0 * np.sin(2 * np.pi * n / 9000)
    light = 30 * np.sin(2 * np.pi * n / 4000)
    level = 120 + light + 50 * np.sin((x - shift_px) / 2 + y / 3 + colour)
    grain = np.random.default_rng(start).normal(0, 1, level.shape)
    return np.clip(np.rint(level + grain), 0, 255).astype(np.uint8)


def test_30000_steps_of_its_filter_are_those_of_scipy_in_float64(
    network: RealtimeNetwork, graph: onnx.ModelProto, tmp_path: Path
) -> None:
    """The graph's recursion in FP32 on differences, against sosfilt in float64 on the encoded frames."""
    steps, block = 30_000, 5_000
    session = filter_of(graph, tmp_path / "filter.onnx")
    bands = ((2.5, 3.5), (0.4, 0.8))
    settings = BandSettings(bands)
    coefficients = design(settings, RATE_HZ).coefficients(1, 1.0)
    designs = [signal.butter(2, band, "bandpass", fs=RATE_HZ, output="sos") for band in bands]
    exact = RealtimeNetwork(SMALL)
    exact.load_state_dict(network.state_dict())
    encoder = BandStep(exact.double())
    rests = [np.zeros((sos.shape[0], 2, CHANNELS * 4)) for sos in designs]
    state = np.zeros((2, coefficients.shape[2], CHANNELS, 2, 2), np.float32)
    previous = first = film(0, 1)
    with torch.no_grad():
        still = encoder._encoded(torch.from_numpy(first / 255.0).permute(0, 3, 1, 2)).numpy().reshape(1, -1)
    errors = []
    for start in range(0, steps, block):
        frames = film(start, block)
        with torch.no_grad():
            encoded = encoder._encoded(torch.from_numpy(frames / 255.0).permute(0, 3, 1, 2)).numpy()
        expected = np.zeros((block, CHANNELS * 4))
        for number, sos in enumerate(designs):
            part, rests[number] = signal.sosfilt(sos, encoded.reshape(block, -1) - still, 0, rests[number])
            expected += part
        found = np.empty_like(expected)
        for n in range(block):
            feeds = {"frame": frames[n : n + 1], "previous": previous, "coefficients": coefficients}
            filtered, state = session.run(None, feeds | {"state": state})
            found[n] = filtered.ravel()
            previous = frames[n : n + 1]
        errors.append(np.abs(found - expected).max() / np.abs(expected).max())
    print(f"relative error, first and last 5000 of 30000 steps: {errors[0]:.2e} {errors[-1]:.2e}")
    assert max(errors) < 1e-4
    assert errors[-1] < 3 * errors[0], "it drifts"


@pytest.mark.parametrize(
    ("settings", "planes"),
    [
        (BandSettings(((2.5, 3.5),), order=1), 2),
        (BandSettings(((2.5, 3.5),), order=4), 8),
        (BandSettings(((2.5, 3.5), (6.0, 7.0)), order=2), 8),
        (BandSettings(((2.5, 3.5),), kind="iir"), 2),
    ],
    ids=["order 1", "order 4", "two bands", "low-passes"],
)
def test_the_state_is_as_small_as_the_filter_allows(path: Path, settings: BandSettings, planes: int) -> None:
    """2 x order x 4 bytes x channels / stride^2 a pixel and band."""
    engine = engine_for(path, 64, 48)
    engine.start(design(settings, RATE_HZ).sections)
    assert engine.state_nbytes == planes * 4 * CHANNELS * 64 * 48 / 4**2


# Mask and cap


def test_outside_the_mask_the_picture_is_the_filmed_one_bit_by_bit(path: Path) -> None:
    engine = engine_for(path, 61, 35)
    mask = np.zeros((9, 16), np.float32)
    mask[:, 8:] = 1
    engine.set_mask(mask)
    frame, previous = noise(1, 35, 61), noise(0, 35, 61)
    magnified = np.empty_like(frame)
    coefficients = frame_before(RATE_HZ).coefficients(1, 1.0)
    engine.step(
        frame,
        previous,
        amplification=20,
        max_displacement_px=1e6,
        coefficients=coefficients,
        magnified=magnified,
    )
    np.testing.assert_array_equal(magnified[:, :32], frame[:, :32])
    assert (magnified[:, 32:] != frame[:, 32:]).mean() > 0.5


def moved(shift_x_px: float, shift_y_px: float, widest_angle: float = np.pi) -> torch.Tensor:
    """Waves in directions from 0 (along x) to the widest angle, moved exactly: 1 x 3 x 96 x 128 in [0, 1]."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:96, :128]
    level = np.zeros((96, 128))
    for _ in range(40):
        angle, period_px, phase = rng.uniform(0, widest_angle), rng.uniform(6, 30), rng.uniform(0, 6.3)
        along = (x - shift_x_px) * np.cos(angle) + (y - shift_y_px) * np.sin(angle)
        level += np.sin(2 * np.pi * along / period_px + phase)
    return torch.from_numpy(0.5 + 0.02 * level).float().expand(1, 3, -1, -1)


def displacement_ratio(
    network: RealtimeNetwork, shift_x_px: float, shift_y_px: float, widest_angle: float = np.pi
) -> np.ndarray:
    step = BandStep(network).eval()
    frame, before = moved(shift_x_px, shift_y_px, widest_angle), moved(0, 0, widest_angle)
    with torch.no_grad():
        probed = torch.nn.functional.conv2d(network.motion(frame - before), step.probe)
        found = step._displacement_px(frame, (probed * probed).sum(1, keepdim=True))
    return np.asarray(found[0, 0, 3:-3, 3:-3].numpy() / np.hypot(shift_x_px, shift_y_px))


@pytest.mark.parametrize(("shift_x_px", "shift_y_px"), [(0.1, 0.0), (0.0, 0.3), (0.35, -0.35), (0.02, 0.01)])
def test_the_displacement_that_the_cap_goes_by_is_what_shows_of_it(
    network: RealtimeNetwork, shift_x_px: float, shift_y_px: float
) -> None:
    """Of texture of all directions 0.7 shows if it is even; less of what runs along it, more of what crosses it."""
    ratio = displacement_ratio(network, shift_x_px, shift_y_px)
    assert np.median(ratio) == pytest.approx(0.71, abs=0.15)
    assert np.quantile(ratio, 0.05) > 0.45
    assert ratio.max() < 1.15


@pytest.mark.parametrize("shift_px", [0.02, 0.2, 0.5])
def test_of_an_edge_all_displacement_across_it_shows(network: RealtimeNetwork, shift_px: float) -> None:
    ratio = displacement_ratio(network, shift_px, 0.0, widest_angle=0.0)
    # The finest waves, of 6 px, are steeper than central differences see.
    assert np.quantile(np.abs(ratio - 1), 0.95) < 0.15


def test_motion_below_the_cap_is_untouched_and_above_it_is_scaled_down_to_it(
    network: RealtimeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = BandStep(network).eval()
    before = (255 * moved(0, 0)).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    decoded: list[torch.Tensor] = []
    decode = network.decode
    monkeypatch.setattr(
        network, "decode", lambda *given: decoded.append(given[1] * given[2]) or decode(*given)
    )
    coefficients = torch.from_numpy(frame_before(RATE_HZ).coefficients(1, 1.0))

    def motion(shift_px: float, cap_px: float) -> torch.Tensor:
        frame = (255 * moved(shift_px, 0)).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        state, mask = torch.zeros(2, 1, CHANNELS, 24, 32), torch.ones(1, 1, 24, 32)
        with torch.no_grad():
            step(frame, before, torch.tensor([21.0]), torch.tensor([cap_px]), mask, coefficients, state)
        return decoded[-1][..., 3:-3, 3:-3]

    small, large = motion(0.1, 1e6), motion(0.5, 1e6)
    kept = motion(0.1, 4.0).norm(dim=1) / small.norm(dim=1)  # 2 px are added: below the cap
    assert float((kept > 0.999).float().mean()) > 0.9, "but where rounding alone looks like motion"
    scale = motion(0.5, 4.0).norm(dim=1) / large.norm(dim=1)  # 10 px would be
    assert float(scale.quantile(0.05)) > 0.36
    assert float(scale.quantile(0.95)) < 1.05 * 4 / (0.5 * 10)


def test_the_activity_is_at_most_one_for_a_single_difference(path: Path) -> None:
    engine = engine_for(path, 64, 48)
    coefficients = frame_before(RATE_HZ).coefficients(1, 1.0)
    magnified = np.empty((48, 64, 3), np.uint8)
    black, white = np.zeros_like(magnified), np.full_like(magnified, 255)
    found = [
        engine.step(
            frame,
            previous,
            amplification=2,
            max_displacement_px=1e6,
            coefficients=coefficients,
            magnified=magnified,
        )
        for previous, frame in pairwise((black, black, white, noise(0, 48, 64)))
    ]
    assert found[0] == 0
    assert all(0 < each <= 1 for each in found[1:])
