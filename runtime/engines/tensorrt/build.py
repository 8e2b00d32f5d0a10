"""Build of a TensorRT engine from a step graph: parse, set shapes and formats, build, with progress from the nested
phases that TensorRT reports. One path for every version.

Within this module a variable's name tells its TensorRT class (``builder`` is a ``Builder``, ``config`` an
``IBuilderConfig``, and so on); the contract test reads every use by these names and looks it up in the real
bindings of every version.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tremorscope.runtime.engines.tensorrt.library import Library
from tremorscope.runtime.engines.tensorrt.plan import EXACT, BuildPlan
from tremorscope.runtime.engines.tensorrt.shapes import InputShape, Shape
from tremorscope.runtime.errors import BundleFault, EngineFault
from tremorscope.runtime.host.progress import Progress
from tremorscope.runtime.host.signals import stop_put_off


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class PhaseProgress:
    """The share of a build that is done, from phases that start, step and finish; safe for several threads.

    A phase of n steps that is at step k, with a phase below it done by the share s, is done by (k + s) / n.
    The percentage never falls, though TensorRT starts some phases more than once.
    """

    def __init__(self, show: Progress) -> None:
        self._show = show
        self._phases: dict[str, _Phase] = {}
        self._shown_percent = -1
        self._lock = threading.Lock()

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """A phase of ``steps`` steps begins, within ``parent`` or (None) by itself."""
        with self._lock:
            self._phases[phase] = _Phase(parent, max(1, steps))

    def step(self, phase: str, step: int) -> None:
        """Step number ``step``, from 0, of a phase is done."""
        with self._lock:
            if phase in self._phases:
                self._phases[phase].done = step + 1
                self._show_progress()

    def finish(self, phase: str) -> None:
        """A phase ends, be it early."""
        with self._lock:
            ended = self._phases.pop(phase, None)
            if ended is not None and ended.parent is None:
                self._shown_percent = 99  # 100 only with the finished engine
            self._show_progress()

    def _show_progress(self) -> None:
        outermost = [name for name, phase in self._phases.items() if phase.parent is None]
        share = max((self._share(name) for name in outermost), default=0.0)
        percent = min(99, int(100 * share))
        if percent > self._shown_percent:
            self._shown_percent = percent
            self._show(percent, 100)

    def _share(self, name: str) -> float:
        phase = self._phases[name]
        below = max(
            (self._share(child) for child, other in self._phases.items() if other.parent == name), default=0.0
        )
        return min(1.0, (phase.done + below) / phase.steps)


def progress_monitor(trt: Any, progress: PhaseProgress, stop_wanted: Callable[[], bool]) -> Any:
    """``IProgressMonitor`` that reports to ``progress``, and ends the build once a stop is wanted."""

    class _BuildMonitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress.step(phase_name, step)
            return not stop_wanted()

        def phase_finish(self, phase_name: str) -> None:
            progress.finish(phase_name)

    return _BuildMonitor()


ShapeOf = Callable[[str, Shape], InputShape]
"""From an input's name and its shape in the graph, -1 where open, to its shape in the engine."""


class BuildMemoryFault(EngineFault):
    """The builder had too little memory: with less scratch memory it may succeed."""


@dataclass(frozen=True)
class BuiltEngine:
    """A serialised engine, and the timing cache of its build."""

    engine: bytes
    timing_cache: bytes
    layers: int
    """Layers of the network as parsed."""


def build_engine(
    library: Library,
    graph: bytes,
    plan: BuildPlan,
    shape_of: ShapeOf,
    *,
    timing_cache: bytes,
    progress: Progress,
) -> BuiltEngine:
    """Build an engine from an ONNX graph.

    Args:
        library: TensorRT.
        graph: the ONNX file's content.
        plan: build settings for this version.
        shape_of: the shape of each input.
        timing_cache: of earlier builds on this device, or empty; one of another device is not used.
        progress: called with the per cent done.

    Raises:
        BundleFault: TensorRT does not take the graph.
        BuildMemoryFault: memory was too short to build an engine.
        EngineFault: TensorRT does not start, or finds no engine.
        KeyboardInterrupt: the build was interrupted.
    """
    trt = library.module
    library.log.errors.clear()
    builder = _start(library)
    network = builder.create_network(_mask(trt.NetworkDefinitionCreationFlag, plan.network_flags))
    parser = _parse(library, network, graph)
    config = builder.create_builder_config()
    _configure(trt, builder, config, plan)
    if plan.holds_exact:
        _hold_exact(trt, network)
    _state_inputs_and_outputs(trt, builder, network, config, plan, shape_of)
    # Cache and monitor are referred to from within TensorRT for as long as the build lasts.
    cache = _attach_timing_cache(config, timing_cache) if plan.timing_cache else None
    with stop_put_off() as stop_wanted:
        monitor = (
            progress_monitor(trt, PhaseProgress(progress), stop_wanted) if plan.progress_monitor else None
        )
        if monitor is not None:
            config.progress_monitor = monitor
        memory = builder.build_serialized_network(network, config)
    del parser  # not earlier: it owns the weights
    if memory is None:
        raise _no_engine(library)
    progress(100, 100)
    return BuiltEngine(bytes(memory), _content(cache), network.num_layers)


def _no_engine(library: Library) -> EngineFault:
    fault = BuildMemoryFault if library.log.lacks_memory else EngineFault
    return fault(
        f"{library} built no engine ({library.log.reason()})",
        remedy="where memory is short, stop other programs or give a smaller --workspace-mib or --size",
    )


def _start(library: Library) -> Any:
    trt = library.module
    try:
        return trt.Builder(library.logger)
    except TypeError:  # Python's error for a constructor that returned null
        raise EngineFault(
            f"{library} does not start ({library.log.reason()})",
            remedy="run this on the device with the GPU, and check that its driver is loaded",
        ) from None


def _mask(flags: Any, names: tuple[str, ...]) -> int:
    return sum(1 << int(getattr(flags, name)) for name in names)


def _parse(library: Library, network: Any, graph: bytes) -> Any:
    trt = library.module
    parser = trt.OnnxParser(network, library.logger)
    if parser.parse(graph):
        return parser
    problems = []
    for index in range(parser.num_errors):
        problem = parser.get_error(index)
        problems.append(f"node {problem.node()}: {' '.join(problem.desc().split())}")
    raise BundleFault(
        f"{library} does not take the graph ({(problems or [library.log.reason()])[0][:300]})",
        remedy="export the bundle with this release of tremorscope",
    )


def _configure(trt: Any, builder: Any, config: Any, plan: BuildPlan) -> None:
    for name, limit_bytes in plan.pool_limits:
        config.set_memory_pool_limit(getattr(trt.MemoryPoolType, name), limit_bytes)
    for name in plan.builder_flags:
        config.set_flag(getattr(trt.BuilderFlag, name))
    for name in plan.cleared_flags:
        config.clear_flag(getattr(trt.BuilderFlag, name))
    if plan.dla_core is not None:
        if plan.dla_core >= builder.num_DLA_cores:
            raise EngineFault(
                f"--dla {plan.dla_core}: this device has {builder.num_DLA_cores} DLA cores",
                remedy="leave --dla out, or name a core that there is, counted from 0",
            )
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = plan.dla_core


_TYPED_BY_THEMSELVES = ("CAST", "CONSTANT", "DEQUANTIZE", "FILL", "QUANTIZE", "SHAPE")
"""Kinds of layers whose types follow from their own attributes, and must not be set."""


def _hold_exact(trt: Any, network: Any) -> None:
    """Keep in FP32 what FP16 would ruin, where flags would let the builder reduce any layer that is faster so."""
    float32 = trt.DataType.FLOAT
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if not layer.name.startswith(EXACT) or layer.type.name in _TYPED_BY_THEMSELVES:
            continue
        tensors = [layer.get_output(number) for number in range(layer.num_outputs)]
        if any(tensor.dtype != float32 for tensor in tensors):
            continue  # sizes and indices
        layer.precision = float32
        for number in range(layer.num_outputs):
            layer.set_output_type(number, float32)


def _state_inputs_and_outputs(
    trt: Any, builder: Any, network: Any, config: Any, plan: BuildPlan, shape_of: ShapeOf
) -> None:
    order = 1 << int(getattr(trt.TensorFormat, plan.io_format))
    profile = builder.create_optimization_profile()
    varies = False
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        shape = shape_of(tensor.name, tuple(tensor.shape))
        tensor.shape = shape.stated
        tensor.allowed_formats = order
        if shape.varies:
            varies = True
            profile.set_shape(tensor.name, shape.smallest, shape.usual, shape.largest)
    for index in range(network.num_outputs):
        tensor = network.get_output(index)
        tensor.allowed_formats = order
    if varies:
        config.add_optimization_profile(profile)


def _attach_timing_cache(config: Any, content: bytes) -> Any:
    cache = config.create_timing_cache(content)
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
    return cache


def _content(cache: Any) -> bytes:
    if cache is None:
        return b""
    memory = cache.serialize()
    return b"" if memory is None else bytes(memory)
