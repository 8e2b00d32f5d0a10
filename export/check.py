"""Is the graph the network? ONNX Runtime against PyTorch, grey level by grey level."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.errors import ExportFault
from export.step_graph import PairwiseStep
from model.networks import Network
from runtime.engines.onnx_runtime import OnnxRuntimeEngine

WORST_ALLOWED_GREY_LEVELS = 1
"""Rounding to 8 bits may fall on either side of a half; anything beyond is another computation."""


@dataclass(frozen=True)
class Comparison:
    """ONNX Runtime against PyTorch at one size and amplification."""

    width_px: int
    height_px: int
    amplification: float
    worst_grey_levels: int
    """Largest difference of any channel of any pixel."""
    differing_share: float
    """Share of the values that differ at all."""

    def as_json(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return asdict(self)


def compare(
    graph: Path, network: Network, width_px: int, height_px: int, amplifications: tuple[float, ...]
) -> list[Comparison]:
    """Run graph and network on the same noisy, moving picture.

    Raises:
        ExportFault: they differ by more than one grey level anywhere.
        BundleFault: the graph cannot be run at this size.
    """
    engine = OnnxRuntimeEngine(graph, width_px=width_px, height_px=height_px)
    step = PairwiseStep(network).eval()
    frame, reference = _moving_picture(width_px, height_px)
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
        difference = np.abs(magnified.astype(np.int16) - expected[0].numpy())
        found = Comparison(
            width_px, height_px, amplification, int(difference.max()), float((difference > 0).mean())
        )
        if found.worst_grey_levels > WORST_ALLOWED_GREY_LEVELS:
            raise ExportFault(
                f"at {width_px}x{height_px} and amplification {amplification:g} the graph is "
                f"{found.worst_grey_levels} grey levels from PyTorch (allowed: {WORST_ALLOWED_GREY_LEVELS})",
                remedy="report it with the versions of torch, onnx and onnxruntime",
            )
        comparisons.append(found)
    return comparisons


def _moving_picture(width_px: int, height_px: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A frame and its reference, u8[H, W, 3]: waves of many lengths that moved by 0.1 px, with sensor noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height_px, 0:width_px]

    def film(shift_px: float) -> NDArray[np.uint8]:
        waves = sum(
            np.sin(2 * np.pi * ((x - shift_px) * np.cos(angle) + y * np.sin(angle)) / period)
            for period, angle in ((4.5, 0.3), (11.0, 1.9), (37.0, 0.8), (90.0, 2.6))
        )
        colours = 128 + np.multiply.outer(waves, (24.0, 20.0, 16.0))
        noisy: NDArray[np.float64] = np.rint(colours + rng.normal(0, 1, colours.shape))
        pixels: NDArray[np.uint8] = np.clip(noisy, 0, 255).astype(np.uint8)
        return pixels

    reference = film(0.0)
    return film(0.1), reference
