"""The memory of an engine: where its frames lie, its small numbers, and what it warms up on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtime.copies import CopyAccount, copy_pixels
from runtime.cuda import ADDRESS_ALIGNMENT_BYTES, Gpu
from runtime.engines.tensorrt_load import LoadedEngine
from runtime.engines.tensorrt_step import StepContext

_WARM_UP_STEPS = 3


class Scalars:
    """The small inputs and outputs: f32 numbers that CPU and GPU both see, each at an address of its own."""

    def __init__(self, gpu: Gpu, counts: dict[str, int]) -> None:
        """Make room for so many numbers by name."""
        self._gpu = gpu
        strides = {name: _aligned(4 * count) for name, count in counts.items()}
        memory = gpu.allocate_mapped(sum(strides.values()))
        self._arrays: dict[str, NDArray[np.float32]] = {}
        start = 0
        for name, count in counts.items():
            self._arrays[name] = memory[start : start + 4 * count].view(np.float32)
            start += strides[name]

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        return self._arrays[name]

    def bind(self, steps: StepContext) -> None:
        """Tell the engine where they lie."""
        for name, array in self._arrays.items():
            steps.bind_fixed(name, self._gpu.device_address(array))

    def close(self) -> None:
        """Let go of the memory."""
        self._arrays.clear()


class FrameAddresses:
    """Where the GPU finds the frames of a step. One that is not in mapped memory is passed through some that is.

    That costs a copy by the CPU, which is told; a runtime's own allocator avoids it.
    """

    PLACE = "engine: frame outside of mapped memory"

    def __init__(self, gpu: Gpu, account: CopyAccount | None) -> None:
        self._gpu, self._account = gpu, account
        self._staged: dict[str, NDArray[np.uint8]] = {}

    def of_input(self, name: str, frame: NDArray[np.uint8]) -> int:
        """Where an input lies; its pixels are there."""
        address = self._gpu.find(frame)
        if address is not None:
            return address
        staged = self._stage(name, frame)
        copy_pixels(frame, staged, self._account, self.PLACE)
        return self._gpu.device_address(staged)

    def of_output(self, name: str, picture: NDArray[np.uint8]) -> int:
        """Where an output is to be written; ``deliver`` it then."""
        address = self._gpu.find(picture)
        return self._gpu.device_address(self._stage(name, picture)) if address is None else address

    def deliver(self, name: str, picture: NDArray[np.uint8]) -> None:
        """Complete an output that has been written."""
        if name in self._staged and self._gpu.find(picture) is None:
            copy_pixels(self._staged[name], picture, self._account, self.PLACE)

    def close(self) -> None:
        """Let go of the memory."""
        self._staged.clear()

    def _stage(self, name: str, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if name not in self._staged:
            self._staged[name] = self._gpu.allocate_mapped(frame.nbytes).reshape(frame.shape)
        return self._staged[name]


def frame_channels(loaded: LoadedEngine) -> int:
    """Channels of the frames that an engine takes: 3, or 4 of which the graph leaves one out."""
    frame = loaded.tensors.get("frame")
    return 4 if frame is not None and frame.shape[-1] == 4 else 3


def warm_up(gpu: Gpu, steps: StepContext, sizes: tuple[int, ...], ends: tuple[int, ...] = ()) -> None:
    """Run a few steps on memory that is given back: the first does what TensorRT and CUDA put off until then."""
    frames = [gpu.allocate_device(nbytes) for nbytes in sizes]
    try:
        for _ in range(_WARM_UP_STEPS):
            steps.run((*(frame.address for frame in frames), *ends))
    finally:
        steps.forget_graphs()
        for frame in frames:
            frame.free()


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ADDRESS_ALIGNMENT_BYTES) * ADDRESS_ALIGNMENT_BYTES
