"""Quantisation of an FP32 bundle with calibration pairs to an INT8 bundle, written atomically."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.pairs.calibration_set import CalibrationSet
from tremorscope.calibration.quantise.quantised_bundle import BundleQuantiser, QuantiseReport
from tremorscope.calibration.scales.measuring import (
    CapturedPairs,
    DrawnPairs,
    MeasuredRanges,
    PairSource,
    describe,
    measure,
)
from tremorscope.calibration.scales.observation import MOTION
from tremorscope.calibration.scales.scales import scale_of
from tremorscope.calibration.scales.tiles import Sample, Sampling, samples_of
from tremorscope.export.bundle import check_place, new_bundle
from tremorscope.export.graphs.layers import decoder_layers
from tremorscope.export.graphs.quantised_graph import Unquantised
from tremorscope.runtime.engines.interface.bundle import Bundle, open_bundle
from tremorscope.runtime.engines.interface.manifest import (
    AmplificationRange,
    GraphName,
    Manifest,
    ScaleMethod,
)
from tremorscope.runtime.errors import BundleFault, OptionFault
from tremorscope.runtime.host.progress import Progress

CHECKPOINT = "ranges.npz"
_CORRECTED_ON_PAIRS = 32
_CORRECTED_ON = Sampling(tile_px=192, tiles_a_pair=1, seed=1)


@dataclass(frozen=True)
class QuantiseJob:
    """Options of ``tremorscope calibrate quantise``."""

    bundle: Path
    """The FP32 bundle."""
    output: Path
    """The INT8 bundle to write."""
    calibration: Path | None = None
    """A calibration set; None draws pairs."""
    drawn: DrawnPairs | None = None
    """The pairs to draw; None for the default number."""
    method: ScaleMethod = "mse"
    keep: tuple[str, ...] = ()
    """Layers of the decoder that stay in floating point."""
    unquantised: Unquantised = "fp32"
    """Type of all that is not INT8."""
    fused_sums: bool = False
    """Quantise the residual stream, too, for TensorRT."""
    amplification: AmplificationRange | None = None
    """The deployed range; None for the network's."""
    overwrite: bool = False
    restart: bool = False
    """Discard the checkpoint of an interrupted calibration."""
    threads: int | None = None

    @property
    def checkpoint(self) -> Path:
        """File of the ranges while they are measured."""
        return self.output.with_name(self.output.name + ".calibrating") / CHECKPOINT


def quantise(job: QuantiseJob, on_progress: Progress = lambda done, total: None) -> QuantiseReport:  # noqa: ARG005
    """Measure ranges, choose scales, write each graph for TensorRT and for the CPU, and check them against FP32.

    Raises:
        BundleFault: the bundle is damaged, or is not in FP32.
        CalibrationFault: the set is damaged, too small, or of another size; nothing moves in it; or an interrupted
            calibration of another bundle, set or range has left its checkpoint.
        ExportFault: the network cannot be quantised, a layer to keep is unknown, something stands where the bundle
            is to be written, or the result is not what it should be.
        OptionFault: the amplification range is not within the network's.
    """
    bundle = open_bundle(job.bundle)
    graphs = {name: _read_graph(bundle, name) for name in bundle.manifest.graphs}
    _check_precision(bundle)
    amplification = _deployed_range(job, bundle.manifest)
    source = _pairs_of(job, bundle.manifest)
    layers = _layers_to_quantise(graphs["pairwise"], job.keep)
    check_place(job.output, job.overwrite)
    if job.restart:
        shutil.rmtree(job.checkpoint.parent, ignore_errors=True)
    measured = measure(
        graphs["pairwise"],
        source,
        amplification,
        job.checkpoint,
        threads=job.threads,
        on_progress=on_progress,
    )
    _check_motion(source, measured)
    scales = {name: scale_of(each, job.method) for name, each in measured.histograms.items()}
    quantiser = BundleQuantiser(
        bundle,
        graphs,
        layers,
        job.keep,
        scales,
        job.unquantised,
        job.fused_sums,
        _correction_samples(source, amplification),
    )
    with new_bundle(job.output, job.overwrite) as partial:
        report = quantiser.write(partial, job.method, describe(source, measured, amplification))
    shutil.rmtree(job.checkpoint.parent, ignore_errors=True)
    return report


def _correction_samples(source: PairSource, amplification: AmplificationRange) -> list[Sample]:
    """One tile of some pairs each: the first drawn ones, or pairs spread over a set."""
    if isinstance(source, CapturedPairs):
        indices = np.unique(np.linspace(0, len(source) - 1, _CORRECTED_ON_PAIRS).astype(int))
        numbered = ((int(index), source.captured.read(int(index))) for index in indices)
        return [
            sample
            for index, pair in numbered
            for sample in samples_of(pair, index, amplification, _CORRECTED_ON)
        ]
    return [
        sample
        for index, pair in enumerate(islice(source.pairs(0), _CORRECTED_ON_PAIRS))
        for sample in samples_of(pair, index, amplification, _CORRECTED_ON)
    ]


def _pairs_of(job: QuantiseJob, manifest: Manifest) -> PairSource:
    if job.calibration is None:
        return job.drawn or DrawnPairs()
    source = CapturedPairs(CalibrationSet.open(job.calibration))
    size = manifest.frame_size
    if size is not None and size != source.frame_size:
        have = f"{source.frame_size.width_px}x{source.frame_size.height_px}"
        raise CalibrationFault(
            f"{job.calibration}: pairs of {have} px, and the bundle is for {size.width_px}x{size.height_px} px",
            remedy=f"capture a set of that size, or export the bundle with --size {have} or for any size",
        )
    return source


def deployed_range(bounds: tuple[float, float] | None) -> AmplificationRange | None:
    """Amplification range from its ends; None for None.

    Raises:
        OptionFault: an end is below 1 or infinite, or they are in the wrong order.
    """
    if bounds is None:
        return None
    if not 1.0 <= bounds[0] <= bounds[1] < float("inf"):
        raise OptionFault(
            f"--amplification {bounds[0]:g} {bounds[1]:g}: not a range of amplifications",
            remedy="state the smallest, at least 1, and the largest",
        )
    return AmplificationRange(minimum=bounds[0], maximum=bounds[1])


def _deployed_range(job: QuantiseJob, manifest: Manifest) -> AmplificationRange:
    wanted, trained = job.amplification or manifest.amplification, manifest.amplification
    if (
        wanted.minimum < trained.minimum
        or wanted.maximum > trained.maximum
        or wanted.minimum > wanted.maximum
    ):
        raise OptionFault(
            f"--amplification {wanted.minimum:g} {wanted.maximum:g}: not within the network's range",
            remedy=f"stay within {trained.minimum:g} and {trained.maximum:g}",
        )
    return wanted


def _layers_to_quantise(graph: onnx.ModelProto, keep: Sequence[str]) -> list[str]:
    layers = decoder_layers(graph)
    unknown = sorted(set(keep) - set(layers))
    if unknown:
        raise OptionFault(
            f"--keep-fp16 {unknown[0]}: no such layer in the decoder",
            remedy=f"choose from {', '.join(layers)}",
        )
    if set(layers) <= set(keep):
        raise OptionFault(
            "--keep-fp16: nothing is left to quantise",
            remedy="keep fewer layers, or export with --precision fp16",
        )
    return [layer for layer in layers if layer not in keep]


def _check_precision(bundle: Bundle) -> None:
    if bundle.manifest.precision != "fp32":
        raise BundleFault(
            f"{bundle.directory}: is in {bundle.manifest.precision.upper()} already",
            remedy="quantise the FP32 bundle that it was made of, or export one with --precision fp32",
        )


def _check_motion(source: PairSource, measured: MeasuredRanges) -> None:
    if measured.histograms[MOTION].largest == 0.0:
        raise CalibrationFault(
            f"nothing changes between frame and reference in any of the {len(source)} pairs, "
            "so that the range of motion cannot be measured",
            remedy="capture the set while the camera runs, with its noise, and the structure moves",
        )


def _read_graph(bundle: Bundle, name: GraphName) -> onnx.ModelProto:
    path = bundle.graph_path(name)
    try:
        return onnx.load(path)
    except (DecodeError, OSError):
        raise BundleFault(f"{path}: is no ONNX graph", remedy="export the bundle again") from None
