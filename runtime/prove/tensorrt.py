"""Availability of TensorRT for the steps, and engines for them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tremorscope.runtime.doctor.board import is_jetson
from tremorscope.runtime.doctor.machine import Machine
from tremorscope.runtime.engines.interface.bundle import Bundle
from tremorscope.runtime.engines.interface.manifest import FrameSize, GraphName
from tremorscope.runtime.engines.tensorrt.engine_file import EnginePaths, engine_paths
from tremorscope.runtime.engines.tensorrt.library import load_library
from tremorscope.runtime.engines.tensorrt.load import LoadedEngine, load_engine
from tremorscope.runtime.frames.ring import LeaseError
from tremorscope.runtime.gpu.device import read_device
from tremorscope.runtime.gpu.protocol import Gpu
from tremorscope.runtime.prove.outcome import Skip
from tremorscope.runtime.prove.plan import ProvePlan


def has_tensorrt(plan: ProvePlan) -> bool:
    """True if engines are TensorRT's here. On a Jetson they must be, unless the configuration chooses ONNX Runtime."""
    configuration = plan.configuration()
    if configuration is not None and configuration.magnification.runtime == "onnxruntime":
        return False
    if read_device()[0].gpu is None:
        return is_jetson(Machine())  # one without its driver is a fault, which opening TensorRT reports
    return is_jetson(Machine()) or importlib.util.find_spec("tensorrt") is not None


def need_tensorrt(plan: ProvePlan) -> None:
    """Skip a step that examines TensorRT, unless it is available.

    Raises:
        Skip: there is no GPU or TensorRT, or the configuration chooses ONNX Runtime.
    """
    if not has_tensorrt(plan):
        gpu = read_device()[0].gpu
        raise Skip(
            "no GPU answers here"
            if gpu is None
            else f"{gpu} is there, and TensorRT is not or is not to be used"
        )


def site_bundle(plan: ProvePlan) -> Bundle:
    """The network as this device runs it: in FP16 on a GPU, unless a precision is configured.

    Raises:
        BundleFault: it is missing or damaged.
    """
    return plan.bundle.for_gpu() if has_tensorrt(plan) else plan.bundle


def engines_directory(plan: ProvePlan, bundle: Bundle) -> Path:
    """Directory in which the engines of a bundle are kept from run to run."""
    return plan.work / "engines" / f"{bundle.directory.name}-{bundle.manifest.precision}"


def small_engine(plan: ProvePlan, bundle: Bundle, graph: GraphName, size: FrameSize) -> EnginePaths:
    """An engine that an earlier step has built.

    Raises:
        Skip: it has not.
    """
    directory, precision = engines_directory(plan, bundle), bundle.manifest.precision
    paths = engine_paths(directory, "tensorrt", graph, size, precision=precision)
    if not paths.engine.exists():
        raise Skip("there is no engine to look at: it was not built before")
    return paths


@contextmanager
def opened_gpu() -> Iterator[Gpu]:
    """The GPU, closed at the end.

    Raises:
        EngineFault: it cannot be opened.
    """
    from tremorscope.runtime.gpu.pycuda_gpu import open_gpu

    gpu = open_gpu()
    try:
        yield gpu
    finally:
        with suppress(LeaseError):  # after a fault, whose traceback holds memory; the process ends then
            gpu.close()


@contextmanager
def loaded_engine(paths: EnginePaths) -> Iterator[tuple[Gpu, LoadedEngine]]:
    """An engine on the GPU.

    Raises:
        EngineFault: it cannot be loaded.
    """
    with opened_gpu() as gpu:
        with gpu.current():
            loaded = load_engine(load_library("tensorrt"), paths.engine)
        yield gpu, loaded
