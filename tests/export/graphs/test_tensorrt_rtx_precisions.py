"""FP16 and INT8 graphs are parsed and built by TensorRT for RTX, which does both without a GPU, in one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import onnx
from precisions import GRAPHS, scales, shipped_graph
from support import ROOT
from tensorrt_wheels import rtx_path

from tremorscope.export.graphs.half_graph import half_graph
from tremorscope.export.graphs.quantised_graph import quantised_graph

_BUILD = """
import json, sys
from pathlib import Path
from tremorscope.runtime.engines.tensorrt.library import load_library

library = load_library("tensorrt-rtx")
trt = library.module
builder = trt.Builder(library.logger)
sizes = {"frame": (1, 61, 97, 3), "reference": (1, 61, 97, 3), "previous": (1, 61, 97, 3),
         "mask": (1, 1, 16, 25), "coefficients": (3, 2, 2), "state": (2, 2, 48, 16, 25)}
built = {}
for path in map(Path, sys.argv[1:]):
    library.log.errors.clear()
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, library.logger)
    if not parser.parse(path.read_bytes()):
        built[path.stem] = parser.get_error(0).desc()
        continue
    for number in range(network.num_inputs):
        tensor = network.get_input(number)
        tensor.shape = sizes.get(tensor.name, tensor.shape)
    types = {}
    for number in range(network.num_layers):
        layer = network.get_layer(number)
        if layer.type == trt.LayerType.CONVOLUTION:
            types[layer.name] = str(layer.get_output_type(0)).rpartition(".")[2]
    engine = builder.build_serialized_network(network, builder.create_builder_config())
    built[path.stem] = library.log.reason() if engine is None else [engine.nbytes, types]
print(json.dumps(built))
"""


def test_every_precision_of_every_graph_is_parsed_and_built(tmp_path: Path) -> None:
    path = rtx_path()
    graphs = {}
    for name in GRAPHS:
        graph = shipped_graph(name)
        graphs[f"{name} fp16"] = half_graph(graph)
        graphs[f"{name} int8"] = quantised_graph(graph, scales())
        graphs[f"{name} int8 fused"] = quantised_graph(graph, scales(), fused_sums=True)
        graphs[f"{name} int8 beside fp16"] = quantised_graph(graph, scales(), unquantised="fp16")
    for name, graph in graphs.items():
        onnx.save(graph, tmp_path / f"{name}.onnx")
    done = subprocess.run(
        [sys.executable, "-c", _BUILD, *(str(tmp_path / f"{name}.onnx") for name in graphs)],
        capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [*path, ROOT]))},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    built = json.loads(done.stdout)
    assert built.keys() == graphs.keys()
    for name, found in built.items():
        assert isinstance(found, list), f"{name}: {found}"
        nbytes, types = found
        assert nbytes > 700_000, "as large as its weights in INT8 at the least"
        # Strongly typed: what TensorRT computes is what the graph says.
        half = "fp16" in name
        assert types["decoder.0"] == ("HALF" if half else "FLOAT")
        assert types["fp32/shape_encoder"] == "FLOAT"
