"""Networks and bundles as functions of frame, reference and amplification, for evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from tremorscope.export.graphs.step_graph import PairwiseStep
from tremorscope.model.evaluation.comparators import COMPARATORS
from tremorscope.model.evaluation.evaluate import Magnifier
from tremorscope.model.evaluation.scenes import Frame
from tremorscope.model.networks.families import Network
from tremorscope.model.networks.weights import find_weights, load_weights, shipped_weights
from tremorscope.runtime.engines.interface.bundle import open_bundle
from tremorscope.runtime.engines.interface.manifest import MANIFEST_NAME
from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeEngine


def open_magnifier(name_or_path: str) -> tuple[str, Magnifier]:
    """Title and function of a magnifier: a method of `evaluation.comparators` or shipped weights by name, a bundle's
    directory (run by ONNX Runtime), or a weights file (run by PyTorch).

    Raises:
        BundleFault, WeightsFault: it is neither, or damaged.
    """
    if name_or_path in COMPARATORS:
        return name_or_path, COMPARATORS[name_or_path]
    path = Path(name_or_path)
    if shipped_weights(name_or_path) is None and (path.is_dir() or path.name == MANIFEST_NAME):
        bundle = open_bundle(path if path.is_dir() else path.parent)
        title = f"{bundle.manifest.network}, {bundle.manifest.precision}, ONNX Runtime"
        return title, graph_magnifier(bundle.graph_path("pairwise"))
    weights = load_weights(find_weights(name_or_path))
    return f"{weights.name}, fp32, PyTorch", network_magnifier(weights.network)


def open_magnifiers(names_or_paths: Iterable[str]) -> dict[str, Magnifier]:
    """Magnifiers by their titles, see `open_magnifier`; equal titles are followed by what was given."""
    opened = [(given, *open_magnifier(given)) for given in dict.fromkeys(names_or_paths)]
    titles = [title for _, title, _ in opened]
    return {f"{t}, {given}" if titles.count(t) > 1 else t: magnify for given, t, magnify in opened}


def network_magnifier(network: Network) -> Magnifier:
    """A network run by PyTorch."""
    step = PairwiseStep(network).eval()

    def magnify(frame: Frame, reference: Frame, amplification: float) -> Frame:
        with torch.no_grad():
            magnified = step(
                torch.from_numpy(np.ascontiguousarray(frame)[None]),
                torch.from_numpy(np.ascontiguousarray(reference)[None]),
                torch.tensor([amplification], dtype=torch.float32),
            )
        pixels: Frame = magnified[0].numpy()
        return pixels

    return magnify


def graph_magnifier(path: Path) -> Magnifier:
    """A pairwise graph in a file run by ONNX Runtime, with engines for the latest two frame sizes."""

    @lru_cache(maxsize=2)
    def engine_for(width_px: int, height_px: int) -> OnnxRuntimeEngine:
        return OnnxRuntimeEngine(path, width_px=width_px, height_px=height_px)

    def magnify(frame: Frame, reference: Frame, amplification: float) -> Frame:
        height_px, width_px = frame.shape[:2]
        magnified = np.empty((height_px, width_px, 3), np.uint8)
        engine_for(width_px, height_px).step(
            np.ascontiguousarray(frame), np.ascontiguousarray(reference), amplification, magnified
        )
        return magnified

    return magnify
