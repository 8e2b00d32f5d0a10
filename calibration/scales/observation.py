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
    rounded_by_channel,
)
from tremorscope.export.graphs.qdq import in_units_of, input_of, output_of
from tremorscope.runtime.engines.onnx.graph import session_options

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
        channels: dict[str, tuple[str, int]] = {}
        for name, node in decoder_convolutions(model.graph).items():
            assert node.inputs[0] is not None
            observed[input_of(name)] = node.inputs[0]
            if rounded_by_channel(node):
                observed[output_of(name)] = node.outputs[0]
                assert node.outputs[0].shape is not None
                count = node.outputs[0].shape[1]
                assert isinstance(count, int)
                for channel in range(count):
                    channels[output_of(name, channel)] = output_of(name), channel
        self._values = {name: value.name or "" for name, value in observed.items()}
        self._channels = channels
        self._tensors = _Tensors(model, list(dict.fromkeys(observed.values())), threads)

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of what is observed: `input_of` every layer of the decoder, `output_of` each channel of those
        that are `rounded_by_channel`."""
        of_channels = {value for value, _ in self._channels.values()}
        return (*(name for name in self._values if name not in of_channels), *self._channels)

    def observe(self, frame: Picture, reference: Picture, amplification: float) -> dict[str, Tensor]:
        """Run a tile of u8[H, W, 3]; gives f32[1, C, h, w] by name, C being 1 of a channel."""
        found = self._tensors.observe(frame, reference, amplification)
        whole = {name: found[value] for name, value in self._values.items()}
        for name, (value, channel) in self._channels.items():
            whole[name] = whole[value][:, channel : channel + 1]
        return {name: whole[name] for name in self.tensors}


class LastConvolution:
    """A pairwise graph of any precision, run on tiles up to the output of one of its convolutions."""

    def __init__(self, graph: onnx.ModelProto, layer: str, threads: int = 0) -> None:
        model = ir.from_proto(graph)
        ShapeInferencePass()(model)
        made = {value.name: value for each in model.graph for value in each.outputs}
        node = next(each for each in model.graph if each.op_type == "Conv" and each.name == layer)
        output = node.outputs[0]
        self._tensors = _Tensors(model, [made.get(in_units_of(output.name or ""), output)], threads)

    def observe(self, frame: Picture, reference: Picture, amplification: float) -> Tensor:
        """Run a tile, u8[H, W, 3] each: f32[1, C, h, w]."""
        (found,) = self._tensors.observe(frame, reference, amplification).values()
        return found.astype(np.float32)


class _Tensors:
    """A graph cut off behind some of its tensors, in an ONNX Runtime session."""

    def __init__(self, model: ir.Model, values: Sequence[ir.Value], threads: int) -> None:
        self._outputs = [value.name or "" for value in values]
        self._session = onnxruntime.InferenceSession(
            _cut_off(model, values).SerializeToString(),
            session_options({}, threads or None),
            providers=["CPUExecutionProvider"],
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
