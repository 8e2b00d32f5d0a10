"""ONNX Runtime's profiler on a step graph, in a process of its own: operations, values and time of each layer.

The profiler states the shapes of every tensor, so operations and bytes need no package that reads ONNX. The process,
``python -m tremorscope.runtime.engines.onnx.profile``, keeps ONNX Runtime out of one in which TensorRT runs.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tremorscope.runtime.errors import EngineFault

_LIMIT_S = 120.0
_KINDS = {"float", "float16", "double", "uint8", "int8", "bool", "int32", "int64"}
_NUMPY = {"tensor(uint8)": np.uint8, "tensor(int8)": np.int8, "tensor(float)": np.float32}
_SUFFIX = "_kernel_time"


@dataclass(frozen=True)
class Layer:
    """One node of a graph as it was run."""

    name: str
    operator: str
    time_ms: float
    """Median over the runs."""
    macs: int
    """Multiply-accumulates of a convolution; 0 of all else."""
    input_items: int
    """Values that it reads, weights left out."""
    output_items: int
    """Values that it writes."""
    weight_items: int


def profile(
    graph: Path, width_px: int, height_px: int, *, cell_px: int = 4, runs: int = 1, optimised: bool = False
) -> list[Layer]:
    """Run a graph on noise and return its layers, in the order in which they ran.

    Args:
        graph: the ONNX file.
        width_px: width of the frames.
        height_px: height of the frames.
        cell_px: pixels a cell of a band graph's mask and state.
        runs: how often, after a first that is not timed.
        optimised: let ONNX Runtime fuse what it can, as it does in use; else the nodes are the file's own.

    Raises:
        EngineFault: it could not be run.
    """
    arguments = [str(graph), str(width_px), str(height_px), str(cell_px), str(runs), str(int(optimised))]
    answer = run_apart("tremorscope.runtime.engines.onnx.profile", arguments, f"{graph}: cannot be profiled")
    return [Layer(**each) for each in answer]


def run_apart(module: str, arguments: Sequence[str], what: str, limit_s: float = _LIMIT_S) -> Any:
    """Run a module as a program in a process of its own, and return what it prints as JSON on its last line.

    Raises:
        EngineFault: it failed, or took longer than ``limit_s``; begins with ``what``.
    """
    command = [sys.executable, *(["-I"] if sys.flags.isolated else []), "-m", module, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise EngineFault(f"{what} (no answer within {limit_s:g} s)", remedy="stop other programs") from None
    # The output decides, not the exit status: libraries may abort at the exit of a process that has succeeded.
    lines = done.stdout.strip().splitlines()
    try:
        return json.loads(lines[-1])
    except (IndexError, ValueError):
        errors = done.stderr.strip().splitlines()
        reason = errors[-1] if errors else f"exit status {done.returncode}"
        raise EngineFault(
            f"{what} ({reason[:200]})", remedy="free memory, or use a smaller picture"
        ) from None


def _profile_here(graph: str, sizes: dict[str, int], runs: int, *, optimised: bool) -> list[Layer]:
    import onnxruntime

    from tremorscope.runtime.engines.onnx.graph import session_options

    options = session_options(sizes, None)
    level = onnxruntime.GraphOptimizationLevel
    if not optimised:
        options.graph_optimization_level = level.ORT_DISABLE_ALL
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as directory:
        options.profile_file_prefix = str(Path(directory) / "profile")
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        feeds = {each.name: _noise(each) for each in session.get_inputs()}
        for _ in range(runs + 1):
            session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return layers_of(events, runs + 1)


def time_graph(graph: bytes, threads: int, trials: int) -> float:
    """The shortest time that a graph takes on noise, in seconds; in this process."""
    import onnxruntime

    from tremorscope.runtime.engines.onnx.graph import session_options

    session = onnxruntime.InferenceSession(
        graph, session_options({}, threads), providers=["CPUExecutionProvider"]
    )
    feeds = {each.name: _noise(each) for each in session.get_inputs()}
    best_s = math.inf
    for _ in range(trials + 1):
        begun_s = time.perf_counter()
        session.run(None, feeds)
        best_s = min(best_s, time.perf_counter() - begun_s)
    return best_s


def _noise(tensor: Any) -> Any:
    """An input; a length that is still a name (the sections of a filter) is 1."""
    shape = [length if isinstance(length, int) else 1 for length in tensor.shape]
    kind = _NUMPY[tensor.type]
    if kind in (np.uint8, np.int8):
        return np.random.default_rng(0).integers(0, 100, shape, kind)
    return np.ones(shape, kind)


def layers_of(events: list[dict[str, Any]], rounds: int) -> list[Layer]:
    """The layers from a profile of so many rounds, of which the first is left out where there are more."""
    times: dict[str, list[float]] = {}
    first: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_SUFFIX):
            key = f"{event['name']}{event['args'].get('node_index', '')}"
            first.setdefault(key, event)
            times.setdefault(key, []).append(event["dur"] / 1e3)
    found = []
    for key, event in first.items():
        taken = times[key][1:] if rounds > 1 and len(times[key]) > 1 else times[key]
        found.append(_layer(event, float(np.median(taken))))
    return found


def _layer(event: dict[str, Any], time_ms: float) -> Layer:
    arguments = event["args"]
    operator = arguments["op_name"]
    inputs, outputs = (
        _tensors(arguments.get(side, [])) for side in ("input_type_shape", "output_type_shape")
    )
    convolution = "Conv" in operator and len(inputs) > 1 and bool(outputs)
    # A quantised convolution has scale and zero point between its input and its weights.
    weights = inputs[1:] if convolution and not operator.startswith("QLinear") else inputs[3:4]
    weights = weights if convolution else []
    macs = math.prod(outputs[0][1]) * math.prod(weights[0][1][1:]) if convolution else 0
    return Layer(
        name=event["name"].removesuffix(_SUFFIX),
        operator=operator,
        time_ms=time_ms,
        macs=macs,
        input_items=_items(inputs[:1] if convolution else inputs),
        output_items=_items(outputs),
        weight_items=_items(weights),
    )


def _items(tensors: list[tuple[str, list[int]]]) -> int:
    return sum(math.prod(shape) for _, shape in tensors)


def _tensors(shapes: list[dict[str, list[int]]]) -> list[tuple[str, list[int]]]:
    return [(kind, shape) for each in shapes for kind, shape in each.items() if kind in _KINDS]


def main() -> None:
    """Profile what the command line names, and print it as one line of JSON."""
    graph, *numbers = sys.argv[1:]
    width_px, height_px, cell_px, runs, optimised = (int(each) for each in numbers)
    rows, columns = (-(-side // cell_px) for side in (height_px, width_px))
    sizes = {"width": width_px, "height": height_px, "rows": rows, "columns": columns}
    layers = _profile_here(graph, sizes, runs, optimised=bool(optimised))
    print(json.dumps([asdict(each) for each in layers]))


if __name__ == "__main__":
    main()
