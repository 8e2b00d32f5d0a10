"""Memory of an engine: its inputs on the GPU, the destination of its picture, and its warm-up.

The GPU does not cache memory that it shares with the CPU (NVIDIA, "CUDA for Tegra", memory types: pinned memory), and
the kernels of a step read a frame more than once. So the GPU copies each frame once into memory of its own; the CPU
copies nothing. Inputs then never change their address, whichever slots the frames lie in, so that the CUDA graph of
one step fits the next.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.engines.interface.engine import FixedFrames
from tremorscope.runtime.engines.tensorrt.library import LoadedEngine
from tremorscope.runtime.engines.tensorrt.step import GraphUse, StepContext
from tremorscope.runtime.frames.buffers import CopyAccount, copy_pixels
from tremorscope.runtime.gpu.protocol import DeviceMemory, Gpu

_WARM_UP_STEPS = 3
_PLACE = "engine: frame outside of mapped memory"


class NumberInputs:
    """Small inputs: f32 numbers on the GPU, sent again only where they have changed."""

    def __init__(self, gpu: Gpu, counts: dict[str, int]) -> None:
        """Make room for so many numbers by name, within ``Gpu.current``."""
        self._gpu = gpu
        memory = gpu.allocate_mapped(4 * sum(counts.values())).view(np.float32)
        ends = np.cumsum(list(counts.values()))
        parts = np.split(memory, ends[:-1])
        self._sent: dict[str, NDArray[np.float32]] = dict(zip(counts, parts, strict=True))
        self._unsent = set(counts)
        self._memory: dict[str, DeviceMemory] = {
            name: gpu.allocate_device(4 * count) for name, count in counts.items()
        }

    def bind(self, steps: StepContext) -> None:
        """Bind their addresses to the engine's inputs."""
        for name, memory in self._memory.items():
            steps.bind_fixed(name, memory.address)

    def send(self, name: str, values: NDArray[np.float32] | float, steps: StepContext) -> None:
        """Let the next step have these values, in their order in memory, which may be fewer than there is room for."""
        wanted = np.asarray(values, np.float32).reshape(-1)
        sent = self._sent[name][: wanted.size]
        if name in self._unsent or not np.array_equal(sent, wanted):
            self._unsent.add(name)
            sent[:] = wanted
            self._gpu.send(sent, self._memory[name], steps.stream)
            self._unsent.discard(name)

    def close(self) -> None:
        """Give the memory back, within ``Gpu.current``."""
        self._sent.clear()
        _free_all(self._memory)


class FrameInputs:
    """The frames of a step on the GPU.

    A frame that is not in mapped memory is staged in some that is. That costs a copy by the CPU, which ``account``
    counts; a runtime's own allocator avoids it.
    """

    def __init__(
        self, gpu: Gpu, account: CopyAccount | None, names: tuple[str, ...], shape: tuple[int, ...]
    ) -> None:
        """Make room for frames of ``shape`` by name, within ``Gpu.current``."""
        self._gpu, self._account = gpu, account
        self._staged: dict[str, NDArray[np.uint8]] = {}
        self._memory: dict[str, DeviceMemory] = {
            name: gpu.allocate_device(math.prod(shape)) for name in names
        }

    def bind(self, steps: StepContext) -> None:
        """Bind their addresses to the engine's inputs."""
        for name, memory in self._memory.items():
            steps.bind_fixed(name, memory.address)

    def send(self, name: str, frame: NDArray[np.uint8], steps: StepContext) -> None:
        """Let the next step have this frame; leave it alone until the step is done."""
        if self._gpu.find(frame) is None:
            staged = _stage(self._gpu, self._staged, name, frame)
            copy_pixels(frame, staged, self._account, _PLACE)
            frame = staged
        self._gpu.send(frame, self._memory[name], steps.stream)

    def close(self) -> None:
        """Give the memory back, within ``Gpu.current``."""
        self._staged.clear()
        _free_all(self._memory)


class PictureOutput:
    """Destination of a step's picture: the picture itself, or mapped memory where it lies elsewhere."""

    def __init__(self, gpu: Gpu, account: CopyAccount | None) -> None:
        self._gpu, self._account = gpu, account
        self._staged: dict[str, NDArray[np.uint8]] = {}

    def address_of(self, picture: NDArray[np.uint8]) -> int:
        """Address for the step to write to; ``deliver`` the picture afterwards."""
        address = self._gpu.find(picture)
        if address is None:
            address = self._gpu.device_address(_stage(self._gpu, self._staged, "", picture))
        return address

    def deliver(self, picture: NDArray[np.uint8]) -> None:
        """Complete a picture that has been written."""
        if self._staged and self._gpu.find(picture) is None:
            copy_pixels(self._staged[""], picture, self._account, _PLACE)

    def close(self) -> None:
        """Release the memory."""
        self._staged.clear()


def frame_channels(loaded: LoadedEngine) -> int:
    """Channels of the frames that an engine takes: 3, or 4 of which the graph leaves one out."""
    frame = loaded.tensors.get("frame")
    return 4 if frame is not None and frame.shape[-1] == 4 else 3


class TensorrtStep(FixedFrames):
    """A step graph on the GPU, with its inputs and its picture; `_open_step` prepares it."""

    def _open_step(
        self,
        gpu: Gpu,
        loaded: LoadedEngine,
        account: CopyAccount | None,
        *,
        frames: tuple[str, ...],
        numbers: dict[str, int],
        varying: tuple[str, ...],
    ) -> None:
        """Make context and memory; see `FrameInputs`, `NumberInputs` and `StepContext` for the three lists of names."""
        self._gpu = gpu
        self._picture = PictureOutput(gpu, account)
        with gpu.current():
            self._steps = StepContext(gpu, loaded, varying)
            self._numbers = NumberInputs(gpu, numbers)
            self._frames = FrameInputs(gpu, account, frames, self._input_shape)
            self._numbers.bind(self._steps)
            self._frames.bind(self._steps)

    @property
    def last_gpu_ms(self) -> float:
        """Time of the latest step on the GPU."""
        return self._steps.last_gpu_ms

    @property
    def graphs(self) -> int:
        """CUDA graphs that are kept at present; 0 where none are captured."""
        return self._steps.graphs

    @property
    def graph_use(self) -> GraphUse:
        """Use of CUDA graphs since the warm-up."""
        return self._steps.use

    def close(self) -> None:
        """Give everything back to the GPU."""
        self._picture.close()
        with self._gpu.current():
            self._steps.close()
            self._numbers.close()
            self._frames.close()


def warm_up(gpu: Gpu, steps: StepContext, picture_nbytes: int, ends: tuple[int, ...] = ()) -> None:
    """Run a few steps on memory that is given back: the first does what TensorRT and CUDA put off until then."""
    picture = gpu.allocate_device(picture_nbytes)
    try:
        for _ in range(_WARM_UP_STEPS):
            steps.begin()
            steps.run((picture.address, *ends))
    finally:
        picture.free()
    steps.end_warm_up()


def _stage(
    gpu: Gpu, staged: dict[str, NDArray[np.uint8]], name: str, frame: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    if name not in staged:
        staged[name] = gpu.allocate_mapped(frame.nbytes).reshape(frame.shape)
    return staged[name]


def _free_all(memory: dict[str, DeviceMemory]) -> None:
    while memory:
        memory.popitem()[1].free()
