"""Runs the real building code over the real bindings, with stand-ins for the objects that only a GPU can make.

A stand-in has the attributes and signatures of its class in the bindings, read from pybind's documentation, and
no others: what the code under test uses and a version lacks is an error, as it would be on the device. Run as a
script it prints, as JSON, what was asked of TensorRT in each scenario, and the signatures of the bindings.
"""

from __future__ import annotations

import enum
import inspect
import json
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

INPUTS = {
    "frame": (1, -1, -1, 3),
    "reference": (1, -1, -1, 3),
    "amplification": (1,),
    "state": (2, -1, 32, -1, -1),
}
LAYERS = [
    ("merge", "CONVOLUTION", "FLOAT"),
    ("fp32/div.13", "ELEMENTWISE", "FLOAT"),
    ("fp32/gridsample.1", "GRID_SAMPLE", "FLOAT"),
    ("fp32/gather.1", "GATHER", "INT32"),
    ("fp32/cast.1", "CAST", "FLOAT"),
    ("(Unnamed Layer* 5) [Shuffle]", "SHUFFLE", "FLOAT"),
]
ENGINE = b"an engine"


def signatures(function: Any) -> list[tuple[list[tuple[str, bool]], str]]:
    """Of each overload: parameters (name, has a default) without ``self``, and what it returns."""
    found = []
    for line in (function.__doc__ or "").splitlines():
        match = re.match(r"(?:\d+\. )?\w+\((.*)\) -> ([\w.:\[\], ]+)$", line.strip())
        if match is not None and not match[1].startswith("*args"):
            parameters = [(part.partition(":")[0].strip(), "=" in part) for part in _split(match[1])]
            found.append(([each for each in parameters if each[0] != "self"], match[2]))
    return found


def _split(text: str) -> list[str]:
    """At the commas that stand in no brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[(<") - (character in "])>")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part for part in parts if part.strip()]


def accepts(parameters: list[tuple[str, bool]], positional: int, keywords: set[str]) -> bool:
    """Whether a call with so many positional arguments and these keywords fits."""
    names = [name for name, _ in parameters]
    left = parameters[positional:]
    return (
        positional <= len(names)
        and keywords <= {name for name, _ in left}
        and all(has_default or name in keywords for name, has_default in left)
    )


class Spy:
    """A stand-in for an object of a class of the bindings."""

    def __init__(self, module: Any, cls: Any, calls: list[Any], answers: dict[str, Any]) -> None:
        self.__dict__.update(_module=module, _cls=cls, _calls=calls, _answers=answers)

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._cls, name)
        key = f"{self._cls.__name__}.{name}"
        if inspect.isdatadescriptor(real):
            self._calls.append((key, []))
            return self._answers[key]
        return lambda *positional, **keywords: self._call(key, real, positional, keywords)

    def __setattr__(self, name: str, value: Any) -> None:
        if not inspect.isdatadescriptor(getattr(self._cls, name)):
            raise AttributeError(f"{self._cls.__name__}.{name} cannot be set")
        self._calls.append((f"{self._cls.__name__}.{name}", [plain(value)]))

    def __bytes__(self) -> bytes:
        assert self._cls.__name__ == "IHostMemory"
        return ENGINE

    def _call(self, key: str, real: Any, positional: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        fitting = [
            returned
            for parameters, returned in signatures(real)
            if accepts(parameters, len(positional), set(keywords))
        ]
        if not fitting:
            raise TypeError(f"{key} takes {signatures(real)}, not {positional} {keywords}")
        self._calls.append((key, [plain(value) for value in (*positional, *keywords.values())]))
        if key in self._answers:
            answer = self._answers[key]
            return answer(*positional) if callable(answer) else answer
        simple = {"bool": True, "int": 0, "None": None}
        if fitting[0] in simple:
            return simple[fitting[0]]
        cls = getattr(self._module, fitting[0].rpartition(".")[2])
        return Spy(self._module, cls, self._calls, self._answers)


def plain(value: Any) -> Any:
    """A value for JSON: the bindings' enumerations by name."""
    if isinstance(value, enum.Enum) or type(getattr(type(value), "__members__", None)) is dict:
        return value.name
    return value if isinstance(value, (int, str, tuple)) else type(value).__name__


def spied_module(module: Any, calls: list[Any], answers: dict[str, Any]) -> Any:
    """The bindings, in which a Builder and a parser are stand-ins."""

    def tensor(index: int) -> Spy:
        name, shape = list(INPUTS.items())[index]
        own = {"ITensor.name": name, "ITensor.shape": shape}
        return Spy(module, module.ITensor, calls, answers | own)

    def layer(index: int) -> Spy:
        """Three that compute in FP32, of which two must, then the network's sizes, and what has its own type."""
        name, kind, dtype = LAYERS[index]
        types, kinds = module.DataType, module.LayerType
        output = Spy(module, module.ITensor, calls, answers | {"ITensor.dtype": getattr(types, dtype)})
        own = {"ILayer.name": name, "ILayer.type": getattr(kinds, kind), "ILayer.num_outputs": 1}
        return Spy(module, module.ILayer, calls, answers | own | {"ILayer.get_output": output})

    answers = {
        "INetworkDefinition.num_inputs": len(INPUTS),
        "INetworkDefinition.num_outputs": 1,
        "INetworkDefinition.num_layers": len(LAYERS),
        "INetworkDefinition.get_layer": layer,
        "INetworkDefinition.get_input": tensor,
        "OnnxParser.num_errors": 1,
        "OnnxParser.get_error": lambda _: Spy(module, module.ParserError, calls, answers),
        "ParserError.desc": "no such operator",
        "ParserError.node": 3,
        "Builder.num_DLA_cores": 2,
    } | answers

    def constructor(name: str) -> Any:
        def construct(*positional: Any) -> Spy:
            cls = getattr(module, name)
            assert any(accepts(each, len(positional), set()) for each, _ in signatures(cls.__init__)), name
            return Spy(module, cls, calls, answers)

        return construct

    made = {name: constructor(name) for name in ("Builder", "OnnxParser", "Runtime")}
    return SimpleNamespace(**{name: getattr(module, name) for name in dir(module)} | made)


def scenario(precision: str, dla_core: int | None = None, **answers: Any) -> dict[str, Any]:
    """Build with the running version's plan: what was called, and the fault, if any."""
    import tensorrt_bindings

    from tremorscope.runtime.engines.interface.manifest import FrameSize
    from tremorscope.runtime.engines.tensorrt import build as tensorrt_build
    from tremorscope.runtime.engines.tensorrt import library as tensorrt_library
    from tremorscope.runtime.engines.tensorrt import plan as tensorrt_plan
    from tremorscope.runtime.engines.tensorrt import shapes as tensorrt_shapes
    from tremorscope.runtime.errors import Fault

    calls: list[Any] = []
    module = spied_module(
        tensorrt_bindings, calls, {key.replace("__", "."): value for key, value in answers.items()}
    )
    library = tensorrt_library.library_of("tensorrt", module)
    sizes = tensorrt_shapes.EngineSizes(FrameSize(width_px=64, height_px=48), cell_px=4, most_sections=8)
    try:
        plan = tensorrt_plan.plan_build(
            tensorrt_plan.BuildRequest("tensorrt", library.version, precision, 17, 1 << 28, dla_core)  # type: ignore[arg-type]
        )
        built = tensorrt_build.build_engine(
            library,
            b"a graph",
            plan,
            lambda name, shape: tensorrt_shapes.input_shape(name, shape, sizes),
            timing_cache=b"timings",
            progress=lambda *_: None,
        )
    except Fault as fault:
        return {"calls": calls, "fault": str(fault)}
    return {"calls": calls, "engine": built.engine.decode(), "timing_cache": built.timing_cache.decode()}


def run_scenario(
    module: Any, target: str, directory: Path, work: Callable[[Any, Path], dict[str, Any]], **changed: Any
) -> dict[str, Any]:
    """Load and run both step graphs: what was called, and whether the pictures are those of ONNX Runtime.

    Behind the signatures of the bindings stands `tensorrt_fake`; ``changed`` are other answers.
    """
    from tensorrt_fake import FakeContext, FakeEngine, at_once

    from tremorscope.runtime.engines.tensorrt import library as tensorrt_library
    from tremorscope.runtime.errors import Fault

    calls: list[Any] = []

    def context(fake: FakeContext) -> Spy:
        names = ("set_tensor_address", "set_input_shape", "execute_async_v3", "get_tensor_shape")
        own = {f"IExecutionContext.{name}": getattr(fake, name) for name in names}
        return Spy(module, module.IExecutionContext, calls, own | answers)

    def engine(content: bytes) -> Spy:
        fake = FakeEngine(content, library.log, at_once, module)
        names = ("get_tensor_name", "get_tensor_mode", "get_tensor_dtype", "get_tensor_shape")
        own = {f"ICudaEngine.{name}": getattr(fake, name) for name in (*names, "get_tensor_profile_shape")}
        own["ICudaEngine.num_io_tensors"] = fake.num_io_tensors
        own["ICudaEngine.create_execution_context"] = lambda: context(fake.create_execution_context())
        return Spy(module, module.ICudaEngine, calls, own | answers)

    answers = {key.replace("__", "."): value for key, value in changed.items()}
    spied = spied_module(module, calls, {"Runtime.deserialize_cuda_engine": engine} | answers)
    library = tensorrt_library.library_of(target, spied)  # type: ignore[arg-type]
    try:
        return {"calls": calls} | work(library, directory)
    except Fault as fault:
        return {"calls": calls, "fault": str(fault)}


def _run_both(library: Any, directory: Path) -> dict[str, Any]:
    import numpy as np
    from host_gpu import HostGpu
    from tensorrt_fake import engine_content

    from tremorscope.runtime.engines.interface.manifest import RepresentationLayout
    from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeBandEngine, OnnxRuntimeEngine
    from tremorscope.runtime.engines.tensorrt.library import load_engine
    from tremorscope.runtime.engines.tensorrt.runners import TensorrtBandEngine, TensorrtEngine
    from tremorscope.runtime.frames.buffers import FrameRing

    gpu, of, size = HostGpu(), RepresentationLayout(channels=3, cell_px=1), {"width_px": 32, "height_px": 17}
    loaded = []
    for graph in ("pairwise", "band"):
        path = directory / f"{graph}.engine"
        path.write_bytes(engine_content(directory / f"{graph}.onnx", 32, 17))
        loaded.append(load_engine(library, path))
    ring = FrameRing(4, **size, allocate=gpu.allocate_mapped)
    frame, before, magnified, wanted = (ring.frame(number) for number in range(4))
    frame[:], before[:] = np.random.default_rng(1).integers(0, 256, (2, 17, 32, 3), dtype=np.uint8)
    pairwise = TensorrtEngine(gpu, loaded[0], **size)
    pairwise.step(frame, before, 3.0, magnified)
    OnnxRuntimeEngine(directory / "pairwise.onnx", **size).step(frame, before, 3.0, wanted)
    equal = {"pairwise": bool((magnified == wanted).all())}
    band = TensorrtBandEngine(gpu, loaded[1], of, **size)
    reference = OnnxRuntimeBandEngine(directory / "band.onnx", of, **size)
    options: dict[str, Any] = {"amplification": 2.0, "max_displacement_px": 9.0}
    options["coefficients"] = np.full((3, 2, 2), 0.5, np.float32)
    for each, picture in ((band, magnified), (reference, wanted)):
        each.start(2)
        for pair in ((frame, before), (before, frame), (frame, before)):
            each.step(*pair, magnified=picture, **options)
    pairwise.close()
    band.close()
    return {"equal": equal | {"band": bool((magnified == wanted).all())}}


def _profile(library: Any, directory: Path) -> dict[str, Any]:
    from host_gpu import HostGpu
    from tensorrt_fake import engine_content

    from tremorscope.runtime.engines.tensorrt.library import load_engine
    from tremorscope.runtime.engines.tensorrt.profile import layer_times_ms

    path = directory / "band.engine"
    path.write_bytes(engine_content(directory / "band.onnx", 32, 17))
    return {"layers": layer_times_ms(HostGpu(), load_engine(library, path), runs=2)}


def api(module: Any) -> dict[str, Any]:
    """Every class of the bindings: its attributes, and the signatures of those that can be called."""
    return {
        name: {
            attribute: signatures(getattr(cls, attribute))
            for attribute in dir(cls)
            if hasattr(cls, attribute)
        }
        for name, cls in vars(module).items()
        if inspect.isclass(cls)
    }


def running(module: Any, target: str) -> dict[str, Any]:
    """What comes of running engines, well and badly."""
    from support import write_bundle

    with tempfile.TemporaryDirectory() as name:
        directory = write_bundle(Path(name))
        return {
            "run": run_scenario(module, target, directory, _run_both),
            "profile": run_scenario(module, target, directory, _profile),
            "no engine": run_scenario(
                module, target, directory, _run_both, Runtime__deserialize_cuda_engine=None
            ),
            "no context": run_scenario(
                module, target, directory, _run_both, ICudaEngine__create_execution_context=None
            ),
            "no step": run_scenario(
                module, target, directory, _run_both, IExecutionContext__execute_async_v3=lambda _: False
            ),
            "no shape": run_scenario(
                module, target, directory, _run_both, IExecutionContext__set_input_shape=lambda *_: False
            ),
        }


def main() -> None:
    if sys.argv[1:] == ["rtx"]:
        import tensorrt_rtx_bindings as module

        target, scenarios = "tensorrt-rtx", {}
    else:
        import tensorrt_bindings as module

        target = "tensorrt"
        scenarios = {
            "fp32": scenario("fp32"),
            "fp16": scenario("fp16"),
            "int8": scenario("int8"),
            "dla": scenario("fp16", dla_core=1),
            "no such dla": scenario("fp16", dla_core=5),
            "parse fails": scenario("fp32", OnnxParser__parse=False),
            "build fails": scenario("fp32", Builder__build_serialized_network=None),
            "cache of another device": scenario("fp32", IBuilderConfig__set_timing_cache=lambda *_: False),
        }
    scenarios |= running(module, target)
    json.dump({"api": api(module), "scenarios": scenarios}, sys.stdout)


if __name__ == "__main__":
    main()
