"""Layers as TensorRT's profiler reports them."""

from __future__ import annotations

from pathlib import Path

import pytest
from host_gpu import HostGpu
from tensorrt_fake import FakeContext, FakeEngine, engine_content, fake_library

from tremorscope.runtime.engines.tensorrt.library import LoadedEngine, load_engine
from tremorscope.runtime.engines.tensorrt.profile import layer_times_ms, step_times_ms
from tremorscope.runtime.errors import EngineFault


def load(directory: Path, graph: Path) -> tuple[LoadedEngine, list[FakeEngine]]:
    library, made = fake_library()
    path = directory / "x.engine"
    path.write_bytes(engine_content(graph, 32, 17, 1, 8))
    return load_engine(library, path), made


@pytest.mark.parametrize("graph", ["pairwise", "band"])
def test_the_median_of_each_layer_without_the_first_run(
    graph: str, linear_bundle: Path, tmp_path: Path
) -> None:
    loaded, made = load(tmp_path, linear_bundle / f"{graph}.onnx")
    gpu = HostGpu()
    assert layer_times_ms(gpu, loaded, runs=3) == {"convolutions": 3.0, "/GridSample": 4.0}  # of 3, 4, 5
    context = made[0].contexts[0]
    assert context.executed == 4
    assert context.faults == []
    assert context.profiler is None


def test_steps_are_timed_on_mapped_and_on_device_memory_in_turns(linear_bundle: Path, tmp_path: Path) -> None:
    loaded, made = load(tmp_path, linear_bundle / "pairwise.onnx")
    gpu = HostGpu()
    mapped_ms, device_ms = step_times_ms(gpu, loaded, runs=4)
    assert mapped_ms > 0
    assert device_ms > 0
    assert [context.executed for context in made[0].contexts] == [6, 6]
    # Of the first context the frames lie in mapped memory, of the second none does.
    on_mapped, on_device = (context.addresses for context in made[0].contexts)
    assert not set(on_mapped.values()) & set(on_device.values())
    gpu.close()  # which refuses where mapped memory is in use


@pytest.mark.parametrize("refused", ["set_tensor_address", "set_input_shape", "execute_async_v3"])
def test_what_tensorrt_refuses_is_a_fault(
    refused: str, linear_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, _ = load(tmp_path, linear_bundle / "band.onnx")
    monkeypatch.setattr(FakeContext, refused, lambda *_: False)
    with pytest.raises(EngineFault, match=r"TensorRT 10\.3\.0 (does not take|failed to run)"):
        layer_times_ms(HostGpu(), loaded, runs=1)
