"""Comparison of a step graph in ONNX Runtime with its network in PyTorch, in grey levels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tremorscope.export.errors import ExportFault
from tremorscope.export.graphs.band_graph import BandStep
from tremorscope.export.graphs.step_graph import PairwiseStep
from tremorscope.model.networks.families import Network
from tremorscope.model.networks.realtime import RealtimeNetwork
from tremorscope.runtime.engines.interface.manifest import Precision, RepresentationLayout
from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeBandEngine, OnnxRuntimeEngine


@dataclass(frozen=True)
class GraphTolerance:
    """Largest allowed difference of a graph from PyTorch in FP32."""

    worst_grey_levels: int
    """Largest difference of any channel of any pixel."""
    rms_grey_levels: float
    """RMS difference over a picture."""


LIMITS: dict[Precision, GraphTolerance] = {
    "fp32": GraphTolerance(1, 0.1),  # values near a half may round either way
    "fp16": GraphTolerance(2, 0.5),
    # Rounding moves edges slightly, which changes single pixels much; `tremorscope compare` judges the quality.
    "int8": GraphTolerance(255, 6.0),
}
_BAND_STEPS = 12
_BAND_SECTIONS = 2
_MAX_DISPLACEMENT_PX = 6.0


@dataclass(frozen=True)
class GraphComparison:
    """ONNX Runtime against PyTorch at one size and amplification."""

    graph: str
    """Name of the graph in the bundle: ``pairwise`` or ``band``."""
    width_px: int
    height_px: int
    amplification: float
    worst_grey_levels: int
    """Largest difference of any channel of any pixel."""
    differing_share: float
    """Share of the values that differ at all."""
    rms_grey_levels: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return asdict(self)


def comparison_table(comparisons: Sequence[GraphComparison]) -> list[str]:
    """Lines of a table, one a comparison."""
    return [
        "ONNX Runtime against PyTorch:",
        "graph            size  amplification  worst difference  values that differ",
        *(
            f"{found.graph:<9} {f'{found.width_px}x{found.height_px}':>11}  {found.amplification:13g}  "
            f"{found.worst_grey_levels:4d} grey levels  {found.differing_share:18.4%}"
            for found in comparisons
        ),
    ]


def compare(
    graph: Path,
    network: Network,
    width_px: int,
    height_px: int,
    amplifications: tuple[float, ...],
    precision: Precision = "fp32",
) -> list[GraphComparison]:
    """Run graph and network on the same noisy, moving picture, at each amplification.

    Raises:
        ExportFault: they differ by more than the `LIMITS` of the graph's precision.
        BundleFault: the graph cannot be run at this size.
    """
    engine = OnnxRuntimeEngine(graph, width_px=width_px, height_px=height_px)
    step = PairwiseStep(network).eval()
    frame, reference = (_film(width_px, height_px, shift_px, seed) for shift_px, seed in ((0.1, 1), (0.0, 0)))
    magnified = np.empty_like(frame)
    comparisons = []
    for amplification in amplifications:
        engine.step(frame, reference, amplification, magnified)
        with torch.no_grad():
            expected = step(
                torch.from_numpy(frame[None]),
                torch.from_numpy(reference[None]),
                torch.tensor([amplification]),
            )
        comparisons.append(judge("pairwise", magnified, expected[0].numpy(), amplification, precision))
    return comparisons


def compare_band(
    graph: Path,
    network: RealtimeNetwork,
    width_px: int,
    height_px: int,
    amplifications: tuple[float, ...],
    precision: Precision = "fp32",
) -> list[GraphComparison]:
    """Run the band graph and the network over several steps, each with its own state; amplifications take turns.

    Raises:
        ExportFault: they differ by more than the `LIMITS` of the graph's precision.
        BundleFault: the graph cannot be run at this size.
    """
    step = BandStep(network).eval()
    representation = RepresentationLayout(channels=step.state_channels, cell_px=step.cell_px)
    engine = OnnxRuntimeBandEngine(graph, representation, width_px=width_px, height_px=height_px)
    film = [_film(width_px, height_px, 0.1 * np.sin(0.7 * n), seed=n) for n in range(_BAND_STEPS + 1)]
    found: dict[float, list[GraphComparison]] = {amplification: [] for amplification in amplifications}
    for amplification, magnified, expected in _band_steps(engine, step, film, amplifications):
        found[amplification].append(judge("band", magnified, expected, amplification, precision))
    return [
        max(every, key=lambda each: (each.worst_grey_levels, each.differing_share))
        for every in found.values()
    ]


def _band_steps(
    engine: OnnxRuntimeBandEngine,
    step: BandStep,
    film: Sequence[NDArray[np.uint8]],
    amplifications: tuple[float, ...],
) -> Iterator[tuple[float, NDArray[np.uint8], NDArray[np.uint8]]]:
    """Amplification, and magnified frames of engine and network, u8[H, W, 3] each; both start from zero state."""
    height_px, width_px = film[0].shape[:2]
    rows, columns = (-(-side // step.cell_px) for side in (height_px, width_px))
    mask = torch.linspace(0, 1, columns).expand(1, 1, rows, columns)
    coefficients = _ringing_sections()
    state = torch.zeros(2, _BAND_SECTIONS, step.state_channels, rows, columns)
    magnified = np.empty_like(film[0])
    engine.set_mask(mask[0, 0].numpy())
    engine.start(_BAND_SECTIONS)
    for amplification, (previous, frame) in zip(cycle(amplifications), pairwise(film), strict=False):
        engine.step(
            frame,
            previous,
            amplification=amplification,
            max_displacement_px=_MAX_DISPLACEMENT_PX,
            coefficients=coefficients,
            magnified=magnified,
        )
        with torch.no_grad():
            expected, state, _ = step(
                torch.from_numpy(frame[None]),
                torch.from_numpy(previous[None]),
                torch.tensor([amplification]),
                torch.tensor([_MAX_DISPLACEMENT_PX]),
                mask,
                torch.from_numpy(coefficients),
                state,
            )
        yield amplification, magnified, expected[0].numpy()


def _ringing_sections() -> NDArray[np.float32]:
    """Coefficients of two resonant sections of different frequencies, damped by a factor 0.7 a step: f32[3, 2, 2]."""
    turn = np.array([0.6, 0.9])
    own, cross = 0.7 * np.cos(turn), 0.7 * np.sin(turn)
    sections = np.stack(
        (np.stack((own, own)), np.stack((-cross, cross)), np.array([[0.5, 0.3], [0.1, -0.2]]))
    )
    return np.ascontiguousarray(sections, np.float32)


def judge(
    graph: str,
    magnified: NDArray[np.uint8],
    expected: NDArray[np.uint8],
    amplification: float,
    precision: Precision = "fp32",
) -> GraphComparison:
    """Compare a graph's picture with the expected one, u8[H, W, 3] each.

    Raises:
        ExportFault: they differ by more than the `LIMITS` of the graph's precision.
    """
    found = difference(graph, magnified, expected, amplification)
    limits = LIMITS[precision]
    if found.worst_grey_levels > limits.worst_grey_levels or found.rms_grey_levels > limits.rms_grey_levels:
        raise ExportFault(
            f"at {found.width_px}x{found.height_px} and amplification {amplification:g} the {graph} graph is "
            f"{found.worst_grey_levels} grey levels from PyTorch, {found.rms_grey_levels:.2g} RMS "
            f"(allowed: {limits.worst_grey_levels}, and {limits.rms_grey_levels:g} RMS)",
            remedy="report it with the versions of torch, onnx and onnxruntime",
        )
    return found


def difference(
    graph: str, magnified: NDArray[np.uint8], expected: NDArray[np.uint8], amplification: float
) -> GraphComparison:
    """Difference of a picture from the expected one, u8[H, W, 3] each."""
    height_px, width_px = magnified.shape[:2]
    errors = np.abs(magnified.astype(np.int16) - expected)
    rms = float(np.sqrt(np.mean(np.square(errors, dtype=np.float64))))
    return GraphComparison(
        graph,
        width_px,
        height_px,
        amplification,
        worst_grey_levels=int(errors.max()),
        differing_share=float((errors > 0).mean()),
        rms_grey_levels=round(rms, 4),
    )


def _film(width_px: int, height_px: int, shift_px: float, seed: int) -> NDArray[np.uint8]:
    """A test picture, u8[H, W, 3]: waves of several lengths, moved along x by ``shift_px``, with sensor noise."""
    y, x = np.mgrid[0:height_px, 0:width_px]
    waves = sum(
        np.sin(2 * np.pi * ((x - shift_px) * np.cos(angle) + y * np.sin(angle)) / period)
        for period, angle in ((4.5, 0.3), (11.0, 1.9), (37.0, 0.8), (90.0, 2.6))
    )
    colours = 128 + np.multiply.outer(waves, (24.0, 20.0, 16.0))
    noisy: NDArray[np.float64] = np.rint(colours + np.random.default_rng(seed).normal(0, 1, colours.shape))
    pixels: NDArray[np.uint8] = np.clip(noisy, 0, 255).astype(np.uint8)
    return pixels
