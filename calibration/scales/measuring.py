"""Measurement of the ranges of a network's tensors over many pairs: one pass, fixed memory, resumable."""

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
from tremorscope.calibration.scales.observation import Observer
from tremorscope.calibration.scales.scales import BINS, Histogram
from tremorscope.calibration.scales.tiles import Sampling, samples_of
from tremorscope.runtime.engines.interface.manifest import AmplificationRange, Calibration, FrameSize
from tremorscope.runtime.host.files import whole_file

_FORMAT = 1
_SAVED_EVERY_S = 20.0
_SAMPLING = Sampling()
_DRAWN_SIZE = FrameSize(width_px=384, height_px=384)


class PairSource(Protocol):
    """A sequence of calibration pairs, read one at a time."""

    @property
    def kind(self) -> str:
        """``set`` or ``drawn``."""

    @property
    def sha256(self) -> str:
        """SHA-256 of everything that determines the pairs."""

    @property
    def frame_size(self) -> FrameSize:
        """Size of every picture."""

    def __len__(self) -> int: ...

    def pairs(self, first: int) -> Iterator[CalibrationPair]:
        """Pairs from index ``first`` on."""


@dataclass(frozen=True)
class CapturedPairs:
    """The pairs of a calibration set."""

    captured: CalibrationSet
    kind: str = "set"

    @property
    def sha256(self) -> str:
        """SHA-256 of the set."""
        return self.captured.sha256

    @property
    def frame_size(self) -> FrameSize:
        """Size of every picture."""
        return self.captured.manifest.frame_size

    def __len__(self) -> int:
        return len(self.captured)

    def pairs(self, first: int) -> Iterator[CalibrationPair]:
        """Pairs from index ``first`` on, read from disk."""
        return (self.captured.read(index) for index in range(first, len(self)))


@dataclass(frozen=True)
class DrawnPairs:
    """Pairs drawn in memory, for a bundle without a set."""

    count: int = 128
    frame_size: FrameSize = _DRAWN_SIZE
    seed: int = 0
    kind: str = "drawn"

    @property
    def sha256(self) -> str:
        """SHA-256 of the settings that they are drawn from."""
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
        """Pairs from index ``first`` on, drawn."""
        from tremorscope.calibration.pairs.drawn import draw

        return draw(self.frame_size, self.count, self.seed, first=first)


@dataclass(frozen=True)
class MeasuredRanges:
    """Histograms measured so far, and the key of the measurement."""

    key: str
    """Hash of everything that determines the measurement; only one of the same key is resumed."""
    histograms: dict[str, Histogram]
    pairs: int = 0
    samples: int = 0

    def with_pair(self, found: dict[str, Histogram], samples: int) -> MeasuredRanges:
        """This measurement with the histograms of one more pair added."""
        together = {name: histogram.merged(found[name]) for name, histogram in self.histograms.items()}
        return MeasuredRanges(self.key, together, self.pairs + 1, self.samples + samples)


def measure(
    graph: onnx.ModelProto,
    source: PairSource,
    amplification: AmplificationRange,
    checkpoint: Path,
    *,
    sampling: Sampling = _SAMPLING,
    threads: int | None = None,
    on_progress: Callable[[int, int | None], None] = lambda done, total: None,  # noqa: ARG005
) -> MeasuredRanges:
    """Run a pairwise graph in FP32 over all pairs; an interrupted measurement resumes from its checkpoint.

    Args:
        graph: in FP32.
        source: of the pairs.
        amplification: the deployed range.
        checkpoint: file written periodically and on interruption; the caller removes it.
        sampling: choice of tiles.
        threads: of the computation; None takes one a core.
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
            # A single assignment: at any interruption a pair counts completely or not at all.
            measured = measured.with_pair(found, samples)
            on_progress(measured.pairs, len(source))
            if time.monotonic() - saved_at > _SAVED_EVERY_S:
                _save(measured, checkpoint)
                saved_at = time.monotonic()
    finally:
        if measured.pairs:
            _save(measured, checkpoint)
    return measured


def describe(source: PairSource, measured: MeasuredRanges, amplification: AmplificationRange) -> Calibration:
    """Entry of a measurement in a bundle's manifest."""
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
    # Without the method: the same histograms serve all methods.
    decided_by: dict[str, Any] = {
        "format": _FORMAT,
        "bins": BINS,
        "graph": hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest(),
        "pairs": source.sha256,
        "amplification": amplification.model_dump(),
        "sampling": asdict(sampling),
    }
    return hashlib.sha256(json.dumps(decided_by, sort_keys=True).encode()).hexdigest()


def _save(measured: MeasuredRanges, path: Path) -> None:
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


def _resume(path: Path, key: str, tensors: tuple[str, ...]) -> MeasuredRanges:
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
            measured = MeasuredRanges(state["key"], histograms, int(state["pairs"]), int(state["samples"]))
    except FileNotFoundError:
        return MeasuredRanges(key, {name: Histogram.empty() for name in tensors})
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        raise CalibrationFault(
            f"{path}: what an interrupted calibration left is damaged", remedy="begin anew with --restart"
        ) from None
    if measured.key != key or tuple(measured.histograms) != tensors:
        raise CalibrationFault(
            f"{path}: an interrupted calibration of another bundle, set or amplification range", remedy=remedy
        )
    return measured
