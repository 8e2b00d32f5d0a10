"""Execution of a pairwise step graph on tiles, with access to tensors inside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass, ShapeInferencePass

from tremorscope.calibration.pairs.calibration_set import Picture
from tremorscope.export.graphs.layers import (
    SHAPE_ENCODER,
    close_graph,
    convolutions,
    decoder_convolutions,
    open_graph,
)
from tremorscope.export.graphs.qdq import input_of, output_of

MOTION = output_of(SHAPE_ENCODER)
"""Output of the motion encoder before amplification: zero where nothing moves."""

Tensor = NDArray[np.float32]


class Observer:
    """The pairwise graph of a network in FP32, run on tiles of any size; returns the tensors that INT8 rounds."""

    def __init__(self, graph: onnx.ModelProto, threads: int = 0) -> None:
        """Open a pairwise graph; it may be for one frame size or for any. 0 threads is one a core.

        Raises:
            ExportFault: it is not of the realtime network, or not in FP32.
        """
        model = open_graph(graph)
        observed = {MOTION: convolutions(model.graph)[SHAPE_ENCODER].outputs[0]}
        for name, node in decoder_convolutions(model.graph).items():
            assert node.inputs[0] is not None
            observed[input_of(name)] = node.inputs[0]
            if any(use.node.op_type == "Add" for use in node.outputs[0].uses()):
                observed[output_of(name)] = node.outputs[0]
        self._names = {name: value.name or "" for name, value in observed.items()}
        self._tensors = _Tensors(model, list(dict.fromkeys(observed.values())), threads)

    @property
    def tensors(self) -> tuple[str, ...]:
        """Keys of the observed tensors: `input_of` every decoder layer, `output_of` layers that end in a sum."""
        return tuple(self._names)

    def observe(self, frame: Picture, reference: Picture, amplification: float) -> dict[str, Tensor]:
        """Run a tile, u8[H, W, 3] each: f32[1, C, h, w] by key."""
        found = self._tensors.observe(frame, reference, amplification)
        return {name: found[value] for name, value in self._names.items()}


class LastConvolution:
    """A pairwise graph of any precision, run on tiles up to the output of one of its convolutions."""

    def __init__(self, graph: onnx.ModelProto, layer: str, threads: int = 0) -> None:
        model = ir.from_proto(graph)
        ShapeInferencePass()(model)
        node = next(each for each in model.graph if each.op_type == "Conv" and each.name == layer)
        self._tensors = _Tensors(model, [node.outputs[0]], threads)

    def observe(self, frame: Picture, reference: Picture, amplification: float) -> Tensor:
        """Run a tile, u8[H, W, 3] each: f32[1, C, h, w]."""
        (found,) = self._tensors.observe(frame, reference, amplification).values()
        return found.astype(np.float32)


class _Tensors:
    """A graph cut off behind some of its tensors, in an ONNX Runtime session."""

    def __init__(self, model: ir.Model, values: Sequence[ir.Value], threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        self._outputs = [value.name or "" for value in values]
        self._session = onnxruntime.InferenceSession(
            _cut_off(model, values).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def observe(self, frame: Picture, reference: Picture, amplification: float) -> dict[str, Tensor]:
        values = self._session.run(
            self._outputs,
            {
                "frame": np.ascontiguousarray(frame)[None],
                "reference": np.ascontiguousarray(reference)[None],
                "amplification": np.array([amplification], np.float32),
            },
        )
        return dict(zip(self._outputs, values, strict=True))


def _cut_off(model: ir.Model, values: Sequence[ir.Value]) -> onnx.ModelProto:
    """The graph with these values as its outputs, for frames of any size, without the nodes behind them."""
    model.graph.outputs.clear()
    model.graph.outputs.extend(values)
    RemoveUnusedNodesPass()(model)
    # Encoders and decoder take any size.
    for value in model.graph.inputs:
        if value.name in ("frame", "reference"):
            value.shape = ir.Shape((1, "height", "width", 3))
    for value in values:
        value.shape = ir.Shape((1, None, None, None))
    return close_graph(model)
