"""A TensorRT that "builds": its engine is the graph itself, which `tensorrt_fake` runs.

It knows the classes and methods that building uses, and what 8.6 lacks: no STRONGLY_TYPED, no progress monitor.
What was asked of it stands in `Asked`.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
from tensorrt_fake import DataType, TensorIOMode, engine_content, fake_library

from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.engines.tensorrt.library import Library
from tremorscope.runtime.engines.tensorrt.plan import parse_version


@dataclass
class Asked:
    """Of one build."""

    network_flags: int
    flags: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    """Layers that were held to FP32."""


class _Layer:
    num_outputs = 1

    def __init__(self, node: onnx.NodeProto, dtype: DataType, asked: Asked) -> None:
        self.name, self._dtype, self._asked = node.name, dtype, asked
        self.type = SimpleNamespace(name="CAST" if node.op_type == "Cast" else node.op_type.upper())
        self.precision: Any = None

    def get_output(self, number: int) -> Any:
        assert number == 0
        return SimpleNamespace(dtype=self._dtype)

    def set_output_type(self, number: int, dtype: DataType) -> None:
        assert (number, dtype, self.precision) == (0, DataType.FLOAT, DataType.FLOAT)
        self._asked.held.append(self.name)


class _Network:
    num_outputs = 1

    def __init__(self, asked: Asked) -> None:
        self.asked, self.content = asked, b""
        self._inputs: list[Any] = []
        self._layers: list[_Layer] = []

    def read(self, content: bytes) -> None:
        self.content = content
        model = onnx.shape_inference.infer_shapes(onnx.load_from_string(content))
        for value in model.graph.input:
            shape = tuple(dim.dim_value or -1 for dim in value.type.tensor_type.shape.dim)
            self._inputs.append(SimpleNamespace(name=value.name, shape=shape))
        types = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
        known = {onnx.TensorProto.FLOAT: DataType.FLOAT, onnx.TensorProto.FLOAT16: DataType.HALF}
        self._layers = [
            _Layer(node, known.get(types.get(node.output[0], 0), DataType.UINT8), self.asked)
            for node in model.graph.node
        ]

    @property
    def num_inputs(self) -> int:
        return len(self._inputs)

    @property
    def num_layers(self) -> int:
        return len(self._layers)

    def get_input(self, index: int) -> Any:
        return self._inputs[index]

    def get_output(self, index: int) -> Any:
        return SimpleNamespace(index=index)

    def get_layer(self, index: int) -> _Layer:
        return self._layers[index]


class _Config:
    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def set_flag(self, flag: enum.Enum) -> None:
        self._asked.flags.append(flag.name)

    def clear_flag(self, flag: enum.Enum) -> None:
        assert flag.name == "TF32"

    def set_memory_pool_limit(self, pool: enum.Enum, nbytes: int) -> None:
        assert pool.name == "WORKSPACE"
        assert nbytes > 0

    def add_optimization_profile(self, profile: Any) -> None:
        assert profile.shapes

    def create_timing_cache(self, content: bytes) -> Any:
        return SimpleNamespace(serialize=lambda: content)

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        return cache is not None and not ignore_mismatch


class _Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, Any] = {}

    def set_shape(self, name: str, *shapes: Any) -> None:
        self.shapes[name] = shapes


def fake_builder(directory: Path, size: FrameSize, cell_px: int, release: str) -> tuple[Library, list[Asked]]:
    """The library, whose engines of that size are kept in a directory; and what was asked, a build each."""
    library, _ = fake_library()
    builds: list[Asked] = []
    version = parse_version(release)

    class Builder:
        def __init__(self, logger: Any) -> None:
            assert logger == "the logger"

        def create_network(self, flags: int) -> _Network:
            builds.append(Asked(flags))
            return _Network(builds[-1])

        def create_builder_config(self) -> _Config:
            return _Config(builds[-1])

        def create_optimization_profile(self) -> _Profile:
            return _Profile()

        def build_serialized_network(self, network: _Network, config: _Config) -> bytes:
            assert config is not None
            path = directory / f"{hashlib.sha256(network.content).hexdigest()[:16]}.onnx"
            path.write_bytes(network.content)
            return engine_content(path, size.width_px, size.height_px, cell_px)

    class OnnxParser:
        num_errors = 0

        def __init__(self, network: _Network, logger: Any) -> None:
            assert logger == "the logger"
            self._network = network

        def parse(self, content: bytes) -> bool:
            self._network.read(content)
            return True

    flags = ["EXPLICIT_BATCH"] + (["STRONGLY_TYPED"] if version.major >= 10 else [])
    module = SimpleNamespace(
        **vars(library.module) | {
            "Builder": Builder,
            "OnnxParser": OnnxParser,
            "TensorFormat": enum.IntEnum("TensorFormat", {"LINEAR": 0}),
            "MemoryPoolType": enum.IntEnum("MemoryPoolType", ["WORKSPACE"]),
            "BuilderFlag": enum.IntEnum("BuilderFlag", ["FP16", "INT8", "TF32", "OBEY_PRECISION_CONSTRAINTS"]),
            "NetworkDefinitionCreationFlag": enum.IntEnum(
                "NetworkDefinitionCreationFlag", {name: bit for bit, name in enumerate(flags)}
            ),
            "DataType": DataType,
            "TensorIOMode": TensorIOMode,
        }
    )  # fmt: skip
    if version.major >= 10:
        module.IProgressMonitor = type("IProgressMonitor", (), {})
    return Library("tensorrt", module, version, release, "the logger", library.log), builds
