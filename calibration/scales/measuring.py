"""Measuring the ranges of a network's tensors over many pairs: in one pass, in fixed memory, resumable."""

from __future__ import annotations

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx

from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.pairs.calibration_set import CalibrationPair, CalibrationSet
from tremorscope.calibration.scales.histograms import BINS, Histogram
from tremorscope.calibration.scales.observation import Observer
from tremorscope.calibration.scales.tiles import Sampling, samples_of
from tremorscope.runtime.engines.interface.bundle import AmplificationRange, Calibration, FrameSize
from tremorscope.runtime.host.files import whole_file

_FORMAT = 1
_SAVED_EVERY_S = 20.0
_SAMPLING = Sampling()
_DRAWN_SIZE = FrameSize(width_px=384, height_px=384)


class PairSource(Protocol):
    """Where pairs come from, one at a time."""

    @property
    def kind(self) -> str:
        """``set`` or ``drawn``."""

    @property
    def sha256(self) -> str:
        """Of all that decides the pairs."""

    @property
    def frame_size(self) -> FrameSize:
        """Of every picture."""

    def __len__(self) -> int: ...

    def pairs(self, first: int) -> Iterator[CalibrationPair]:
        """The pairs from an index on."""


@dataclass(frozen=True)
class CapturedPairs:
    """The pairs of a calibration set."""

    captured: CalibrationSet
    kind: str = "set"

    @property
    def sha256(self) -> str:
        """Of the set."""
        return self.captured.sha256

    @property
    def frame_size(self) -> FrameSize:
        """Of every picture."""
        return self.captured.manifest.frame_size

    def __len__(self) -> int:
        return len(self.captured)

    def pairs(self, first: int) -> Iterator[CalibrationPair]:
        """The pairs from an index on, read from disk."""
        return (self.captured.read(index) for index in range(first, len(self)))


@dataclass(frozen=True)
class DrawnPairs:
    """Pairs drawn on the spot, for a bundle that has no set."""

    count: int = 128
    frame_size: FrameSize = _DRAWN_SIZE
    seed: int = 0
    kind: str = "drawn"

    @property
    def sha256(self) -> str:
        """Of what they are drawn from."""
        described = {
            "drawn_pairs": 1,
            "count": self.count,
            "seed": self.seed,
            "size": self.frame_size.model_dump(),
        }
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()

    def __len__(self) -> int:
        return self.count

    def pairs(self, first: int) -> Iterator[CalibrationPair]:
        """The pairs from an index on, drawn."""
        from tremorscope.calibration.pairs.drawn import draw

        return draw(self.frame_size, self.count, self.seed, first=first)


@dataclass(frozen=True)
class Measured:
    """What was measured so far, and for what."""

    key: str
    """Hash of all that decides the measurement; what bears another is never gone on with."""
    histograms: dict[str, Histogram]
    pairs: int = 0
    samples: int = 0

    def with_pair(self, found: dict[str, Histogram], samples: int) -> Measured:
        """This and what one more pair has shown."""
        together = {name: histogram.merged(found[name]) for name, histogram in self.histograms.items()}
        return Measured(self.key, together, self.pairs + 1, self.samples + samples)


def measure(
    graph: onnx.ModelProto,
    source: PairSource,
    amplification: AmplificationRange,
    checkpoint: Path,
    *,
    sampling: Sampling = _SAMPLING,
    threads: int | None = None,
    on_progress: Callable[[int, int | None], None] = lambda done, total: None,  # noqa: ARG005
) -> Measured:
    """Run a pairwise graph in FP32 over all pairs; an interrupted measurement goes on from its checkpoint.

    Args:
        graph: in FP32.
        source: of the pairs.
        amplification: the deployed range.
        checkpoint: file that is written now and then, and when interrupted; it stays until the caller removes it.
        sampling: how tiles are chosen.
        threads: how many compute; None takes one a core.
        on_progress: called with pairs done and pairs in all.

    Raises:
        CalibrationFault: the checkpoint is of another graph, set or range, or is damaged; or nothing ever moves.
        ExportFault: the graph is not of the realtime network, or is not in FP32.
    """
    observer = Observer(graph, threads or 0)
    key = _key(graph, source, amplification, sampling)
    measured = _resume(checkpoint, key, observer.tensors)
    saved_at = time.monotonic()
    on_progress(measured.pairs, len(source))
    try:
        for pair in source.pairs(measured.pairs):
            found = {name: Histogram.empty() for name in observer.tensors}
            samples = 0
            for sample in samples_of(pair, measured.pairs, amplification, sampling):
                tensors = observer.observe(sample.frame, sample.reference, sample.amplification)
                for name, tensor in tensors.items():
                    found[name].add(sample.inner(tensor))
                samples += 1
            # One assignment: whenever it is interrupted, a pair counts as a whole or not at all.
            measured = measured.with_pair(found, samples)
            on_progress(measured.pairs, len(source))
            if time.monotonic() - saved_at > _SAVED_EVERY_S:
                _save(measured, checkpoint)
                saved_at = time.monotonic()
    finally:
        if measured.pairs:
            _save(measured, checkpoint)
    return measured


def describe(source: PairSource, measured: Measured, amplification: AmplificationRange) -> Calibration:
    """What a manifest says of a measurement."""
    return Calibration(
        source="set" if source.kind == "set" else "drawn",
        sha256=source.sha256,
        pairs=measured.pairs,
        samples=measured.samples,
        frame_size=source.frame_size,
        amplification=amplification,
    )


def _key(
    graph: onnx.ModelProto, source: PairSource, amplification: AmplificationRange, sampling: Sampling
) -> str:
    # Not of the method: histograms serve them all.
    decided_by: dict[str, Any] = {
        "format": _FORMAT,
        "bins": BINS,
        "graph": hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest(),
        "pairs": source.sha256,
        "amplification": amplification.model_dump(),
        "sampling": asdict(sampling),
    }
    return hashlib.sha256(json.dumps(decided_by, sort_keys=True).encode()).hexdigest()


def _save(measured: Measured, path: Path) -> None:
    names = list(measured.histograms)
    state = {"key": measured.key, "names": names, "pairs": measured.pairs, "samples": measured.samples}
    histograms = list(measured.histograms.values())
    content = io.BytesIO()
    np.savez_compressed(
        content,
        state=np.array(json.dumps(state)),
        counts=np.stack([each.counts for each in histograms]),
        widths=np.array([each.width for each in histograms]),
        largest=np.array([each.largest for each in histograms]),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(content.getvalue())


def _resume(path: Path, key: str, tensors: tuple[str, ...]) -> Measured:
    remedy = "finish it with the bundle, set and options that it was begun with, or begin anew with --restart"
    try:
        with np.load(path, allow_pickle=False) as stored:
            state = json.loads(str(stored["state"]))
            histograms = {
                name: Histogram(counts, float(width), float(largest))
                for name, counts, width, largest in zip(
                    state["names"], stored["counts"], stored["widths"], stored["largest"], strict=True
                )
            }
            measured = Measured(state["key"], histograms, int(state["pairs"]), int(state["samples"]))
    except FileNotFoundError:
        return Measured(key, {name: Histogram.empty() for name in tensors})
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        raise CalibrationFault(
            f"{path}: what an interrupted calibration left is damaged", remedy="begin anew with --restart"
        ) from None
    if measured.key != key or tuple(measured.histograms) != tensors:
        raise CalibrationFault(
            f"{path}: an interrupted calibration of another bundle, set or amplification range", remedy=remedy
        )
    return measured
