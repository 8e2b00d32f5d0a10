"""The kernel that writes RGBA as RGB, run instruction by instruction; and what is said where there is no CUDA."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from host_gpu import HostGpu
from hypothesis import given, settings
from hypothesis import strategies as st

from tremorscope.runtime.errors import EngineFault
from tremorscope.runtime.frames.ring import LeasingRing
from tremorscope.runtime.gpu.egl import _BLOCK, _PTX, DevicePicture, EglPictures
from tremorscope.runtime.gpu.pycuda_gpu import open_gpu

SOURCE, TARGET = 1 << 40, 1 << 41
MASK = {"u32": 0xFFFFFFFF, "b32": 0xFFFFFFFF, "u64": (1 << 64) - 1, "b64": (1 << 64) - 1, "u8": 0xFF}
COMPARE = {"ge": lambda a, b: a >= b, "lt": lambda a, b: a < b}
ARITHMETIC = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a // b,
    "shl": lambda a, b: a << b,
    "shr": lambda a, b: a >> b,
    "or": lambda a, b: a | b,
}


class Machine:
    """As much of PTX as the kernel needs, one thread at a time; memory is two arrays, and nothing beside them."""

    def __init__(self, source: np.ndarray, target: np.ndarray, arguments: dict[str, int]) -> None:
        text = re.sub(r"//.*", "", _PTX.rstrip(b"\x00").decode())
        body = text[text.index("{") + 1 : text.rindex("}")]
        self.program: list[str] = []
        self.labels: dict[str, int] = {}
        for line in re.split(r"[;\n]", body):
            code = line.strip()
            if re.fullmatch(r"\w+:", code):
                self.labels[code[:-1]] = len(self.program)
            elif code and not code.startswith("."):
                self.program.append(code)
        self.source, self.target, self.arguments = source.reshape(-1), target.reshape(-1), arguments

    def run(self, block: int, thread: int) -> None:
        self.registers: dict[str, int] = {"%ctaid.x": block, "%ntid.x": _BLOCK, "%tid.x": thread}
        at = steps = 0
        while self.program[at] != "ret":
            steps += 1
            assert steps < 500
            code = self.program[at]
            guarded = re.fullmatch(r"@(%p\d) bra (\w+)", code)
            if guarded or code.startswith("bra "):
                taken = self.registers[guarded[1]] if guarded else 1
                label = guarded[2] if guarded else code.split()[1]
                at = self.labels[label] if taken else at + 1
                continue
            name, *operands = [part for part in re.split(r"[\s,]+", code) if part]
            self.step(name.split("."), operands)
            at += 1

    def value(self, operand: str) -> int:
        return self.registers[operand] if operand.startswith("%") else int(operand)

    def step(self, name: list[str], operands: list[str]) -> None:
        kind = name[-1]
        if name[:2] == ["ld", "param"]:
            self.registers[operands[0]] = self.arguments[operands[1].strip("[]")]
        elif name[:2] == ["ld", "global"]:
            self.registers[operands[0]] = int(self.source[self.value(operands[1].strip("[]")) - SOURCE])
        elif name[:2] == ["st", "global"]:
            address = self.value(operands[0].strip("[]")) - TARGET
            size = {"u8": 1, "u32": 4}[kind]
            assert address % size == 0
            assert address + size <= self.target.size
            written = (self.value(operands[1]) & MASK[kind]).to_bytes(size, "little")
            self.target[address : address + size] = np.frombuffer(written, np.uint8)
        elif name[0] == "setp":
            self.registers[operands[0]] = int(COMPARE[name[1]](*map(self.value, operands[1:])))
        elif name[0] == "mad":
            a, b, c = map(self.value, operands[1:])
            self.registers[operands[0]] = (a * b + c) & MASK[kind]
        elif name[0] in ("mov", "cvt", "cvta"):
            self.registers[operands[0]] = self.value(operands[1])
        else:
            wide = "u64" if "wide" in name else kind
            result = ARITHMETIC[name[0]](*map(self.value, operands[1:]))
            self.registers[operands[0]] = result & MASK[wide]


@settings(max_examples=25, deadline=None)
@given(
    width=st.integers(1, 23), height=st.integers(1, 9), slack=st.integers(0, 17), seed=st.integers(0, 2**16)
)
def test_every_byte_of_every_size_is_written_and_none_beside_it(
    width: int, height: int, slack: int, seed: int
) -> None:
    pitch = 4 * width + slack
    source = np.random.default_rng(seed).integers(0, 256, (height, pitch), dtype=np.uint8)
    target = np.full(3 * width * height, 77, np.uint8)
    arguments = {"source": SOURCE, "target": TARGET, "pitch": pitch, "width": width, "nbytes": target.size}
    machine = Machine(source, target, arguments)
    for thread in range(-(-target.size // 4) + 3):  # three of them have nothing to do
        machine.run(thread // _BLOCK, thread % _BLOCK)
    expected = source[:, : 4 * width].reshape(height, width, 4)[..., :3]
    np.testing.assert_array_equal(target.reshape(height, width, 3), expected)


@pytest.mark.parametrize("architecture", ["sm_87", "sm_90", "sm_110"])  # Orin, a data centre's GPU, Thor
def test_nvidias_assembler_takes_the_kernel(architecture: str, tmp_path: Path) -> None:
    assembler = shutil.which("ptxas")
    if assembler is None:
        pytest.skip("needs ptxas")
    (tmp_path / "kernel.ptx").write_bytes(_PTX.rstrip(b"\x00"))
    command = [
        assembler,
        f"-arch={architecture}",
        str(tmp_path / "kernel.ptx"),
        "-o",
        str(tmp_path / "kernel"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "kernel").stat().st_size > 0


def test_without_cuda_bindings_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    monkeypatch.setitem(sys.modules, "cuda", None)
    with pytest.raises(EngineFault, match="cuda-bindings cannot be loaded") as told:
        EglPictures(HostGpu())
    assert "pip install 'cuda-bindings" in told.value.remedy


def test_what_is_used_of_cuda_bindings_exists() -> None:
    driver = pytest.importorskip("cuda.bindings.driver", reason="needs cuda-bindings")
    for name in (
        "cuModuleLoadData", "cuModuleGetFunction", "cuModuleUnload", "cuLaunchKernel", "EGLImageKHR",
        "cuGraphicsEGLRegisterImage", "cuGraphicsResourceGetMappedEglFrame", "cuGraphicsUnregisterResource",
    ):  # fmt: skip
        assert hasattr(driver, name)
    frame = driver.CUeglFrame()
    assert frame.frameType == driver.CUeglFrameType.CU_EGL_FRAME_TYPE_ARRAY
    assert (frame.planeCount, frame.pitch, len(frame.frame.pPitch)) == (0, 0, 3)
    assert driver.CUgraphicsRegisterFlags.CU_GRAPHICS_REGISTER_FLAGS_NONE.value == 0


def test_a_gpu_writes_a_picture_into_the_ring() -> None:
    pytest.importorskip("pycuda", reason="needs a GPU with PyCUDA")
    try:
        gpu = open_gpu()
    except EngineFault as fault:
        pytest.skip(f"needs a GPU: {fault}")
    ring = LeasingRing(2, width_px=637, height_px=359, allocate=gpu.allocate_mapped)
    source = np.random.default_rng(3).integers(0, 256, (359, 2560), dtype=np.uint8)
    pictures = EglPictures(gpu)
    with gpu.current():
        memory = gpu.allocate_device(source.nbytes)
        gpu.upload(source, memory)
    lease = ring.acquire("test")
    assert lease is not None
    for _ in range(3):
        lease.pixels[:] = 0
        pictures.write(DevicePicture(memory.address, 2560, 637, 359), lease.pixels)
        np.testing.assert_array_equal(lease.pixels, source[:, : 4 * 637].reshape(359, 637, 4)[..., :3])
    with pytest.raises(ValueError, match="not in mapped memory"):
        pictures.write(DevicePicture(memory.address, 2560, 637, 359), np.zeros((359, 637, 3), np.uint8))
    pictures.close()
    lease.release()
    with gpu.current():
        memory.free()
