"""Peak operations and bandwidth of a device: of NVIDIA's boards from a table, of a processor measured by products of
matrices and copies of memory.

A board's peak is its number of streaming multiprocessors (SM) times what one does in a cycle times the clock that its
power mode allows, which the kernel states. Dense figures throughout: NVIDIA's headline figures for INT8 are for weights
with structured sparsity, which these networks do not have, and are twice as high.

Sources, NVIDIA's where no other is named: "Jetson AGX Orin Series Technical Brief" v1.2 (16 SM with 128 CUDA cores
and 4 tensor cores each, 5.3 TFLOPS in FP32, 170 sparse TOPS in INT8 at 1.3 GHz: 256, 2048 and 4096 operations a cycle
and SM in FP32, FP16 and INT8, dense); the modules' data sheets and the comparison at
developer.nvidia.com/embedded/jetson-modules for cores, clocks and bandwidth, with and without Super mode (Orin Nano
Super: 1024 cores at 1020 MHz, 67 sparse TOPS, 102 GB/s); T5000 and T4000: 2560 and 1536 CUDA cores, 2070 and 1200
TFLOPS in FP4 with sparsity, of which dense FP8 is a quarter and FP16 an eighth; that INT8 is as fast as FP8 there is
assumed. "H200 Tensor Core GPU" data sheet (989 TFLOPS in FP16 and 1979 TOPS in INT8, dense, 4.8 TB/s).

``python -m tremorscope.runtime.bench.peaks THREADS`` measures in a process of its own and prints JSON. The products
are ONNX Runtime's own, in FP32 and INT8: what its convolutions are made of, on as many threads as they have.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tremorscope.runtime.engines.interface.manifest import Precision
from tremorscope.runtime.engines.onnx.file import matrix_product
from tremorscope.runtime.engines.onnx.profile import run_apart, time_graph
from tremorscope.runtime.host.files import kernel_text, meminfo

FLOPS_OF_ORIN: Mapping[Precision, int] = {"fp32": 256, "fp16": 2048, "int8": 4096}
FLOPS_OF_THOR: Mapping[Precision, int] = {"fp32": 256, "fp16": 8192, "int8": 16384}
FLOPS_OF_HOPPER: Mapping[Precision, int] = {"fp32": 256, "fp16": 4096, "int8": 8192}
"""Operations of one SM in a cycle; a multiply-accumulate is two."""
_ABOVE = 1.02
"""A GPU that may run faster than this many times its usual clock is in Super mode, and its memory as well."""


@dataclass(frozen=True)
class Peaks:
    """Peak operations and bandwidth of a device."""

    of: str
    """Device and clock."""
    flops: Mapping[Precision, float]
    """Operations a second by precision."""
    bandwidth_bytes_s: float
    """Bytes a second to and from memory, both ways together."""
    measured: bool
    """True for measured peaks, which a program reaches; False for those of a data sheet."""


@dataclass(frozen=True)
class Board:
    """A module or a GPU as its data sheet has it."""

    name: str
    sms: int
    clock_hz: float
    """The highest of the GPU."""
    bandwidth_bytes_s: float
    flops_per_cycle: Mapping[Precision, int]

    def peaks(self, clock_hz: float | None = None, sms: int | None = None) -> Peaks:
        """Peaks at a clock and a number of SM, both of which a power mode may lower; None takes the highest."""
        at_hz = min(clock_hz or self.clock_hz, self.clock_hz)
        count = min(sms or self.sms, self.sms)
        flops: dict[Precision, float] = {
            precision: count * at_hz * each for precision, each in self.flops_per_cycle.items()
        }
        of = f"{self.name}, {count} SM at {at_hz / 1e6:.0f} MHz"
        return Peaks(of, flops, self.bandwidth_bytes_s, measured=False)


_ORIN_NANO_4 = Board("Jetson Orin Nano 4 GB", 4, 625e6, 34e9, FLOPS_OF_ORIN)
_ORIN_NANO_4_SUPER = Board("Jetson Orin Nano 4 GB, Super", 4, 1020e6, 51e9, FLOPS_OF_ORIN)
_ORIN_NANO_8 = Board("Jetson Orin Nano 8 GB", 8, 625e6, 68e9, FLOPS_OF_ORIN)
_ORIN_NANO_8_SUPER = Board("Jetson Orin Nano 8 GB, Super", 8, 1020e6, 102e9, FLOPS_OF_ORIN)
_ORIN_NX_8 = Board("Jetson Orin NX 8 GB", 8, 765e6, 102.4e9, FLOPS_OF_ORIN)
_ORIN_NX_8_SUPER = Board("Jetson Orin NX 8 GB, Super", 8, 1173e6, 102.4e9, FLOPS_OF_ORIN)
_ORIN_NX_16 = Board("Jetson Orin NX 16 GB", 8, 918e6, 102.4e9, FLOPS_OF_ORIN)
_ORIN_NX_16_SUPER = Board("Jetson Orin NX 16 GB, Super", 8, 1173e6, 102.4e9, FLOPS_OF_ORIN)
_AGX_ORIN_32 = Board("Jetson AGX Orin 32 GB", 14, 930e6, 204.8e9, FLOPS_OF_ORIN)
_AGX_ORIN_64 = Board("Jetson AGX Orin 64 GB", 16, 1300e6, 204.8e9, FLOPS_OF_ORIN)
_T4000 = Board("Jetson T4000", 12, 1530e6, 273e9, FLOPS_OF_THOR)
_T5000 = Board("Jetson T5000 (Thor)", 20, 1575e6, 273e9, FLOPS_OF_THOR)
_H200 = Board("H200", 132, 1830e6, 4.8e12, FLOPS_OF_HOPPER)

# Model in the device tree -> (memory of at least so many GB, as it is and in Super mode), the largest first.
_FAMILIES: tuple[tuple[str, tuple[tuple[float, Board, Board], ...]], ...] = (
    ("orin nano", ((6, _ORIN_NANO_8, _ORIN_NANO_8_SUPER), (0, _ORIN_NANO_4, _ORIN_NANO_4_SUPER))),
    ("orin nx", ((12, _ORIN_NX_16, _ORIN_NX_16_SUPER), (0, _ORIN_NX_8, _ORIN_NX_8_SUPER))),
    ("agx orin", ((40, _AGX_ORIN_64, _AGX_ORIN_64), (0, _AGX_ORIN_32, _AGX_ORIN_32))),
    ("thor", ((96, _T5000, _T5000), (0, _T4000, _T4000))),
)


def gpu_peaks(gpu: str | None = None, sms: int | None = None, root: Path = Path("/")) -> Peaks | None:
    """Peaks of this machine's GPU; None where the table does not have it.

    Args:
        gpu: its name as CUDA gives it, used where this is not a Jetson.
        sms: number of SM in the present power mode, where that is known.
        root: where the system's files are.
    """
    model, clock_hz = kernel_text(root / "proc/device-tree/model").lower(), _gpu_clock_hz(root)
    for family, modules in _FAMILIES:
        if family in model:
            usual, raised = next(pair for least_gb, *pair in modules if _memory_gb(root) >= least_gb)
            is_super = clock_hz is not None and clock_hz > _ABOVE * usual.clock_hz
            return (raised if is_super else usual).peaks(clock_hz, sms)
    return _H200.peaks() if gpu and "H200" in gpu else None


def _gpu_clock_hz(root: Path) -> float | None:
    """The highest clock that the power mode allows the GPU, in Hz."""
    for path in sorted((root / "sys/class/devfreq").glob("*")):
        named = f"{path.name} {kernel_text(path / 'device/of_node/name')}"
        if (
            re.search(r"gpu|gv11b|ga10b|gb10b|gpc", named)
            and (stated := kernel_text(path / "max_freq")).isdigit()
        ):
            return float(stated)
    return None


def _memory_gb(root: Path) -> float:
    return meminfo(root).get("MemTotal", 0) / 1e9


_SIDE = 768
_COPY_BYTES = 32 * 2**20
"""Bytes that each thread copies: more than any cache holds."""
_TRIALS = 8


def processor_peaks(threads: int | None = None) -> Peaks:
    """Measure this machine's processor now, with ``threads`` threads or one a core; takes about two seconds.

    FP16 counts as FP32: ONNX Runtime computes it so on a processor.

    Raises:
        EngineFault: it could not be measured.
    """
    count = threads or os.cpu_count() or 1
    found = run_apart(
        "tremorscope.runtime.bench.peaks", [str(count)], "the processor's peaks cannot be measured"
    )
    fp32, int8 = float(found["fp32"]), float(found["int8"])
    of = f"{_name()}, {count} thread{'s' if count > 1 else ''}"
    return Peaks(of, {"fp32": fp32, "fp16": fp32, "int8": int8}, float(found["bandwidth"]), measured=True)


def _name() -> str:
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        cpuinfo = ""
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def _best_s(work: Callable[[], object]) -> float:
    """Shortest of some trials, as other load of the machine only makes them longer."""
    times_s = []
    for _ in range(_TRIALS):
        begun_s = time.perf_counter()
        work()
        times_s.append(time.perf_counter() - begun_s)
    return min(times_s)


def _bandwidth(threads: int) -> float:
    """Bytes a second, read and written together, of a copy by ``threads`` threads."""
    sources = [np.ones(_COPY_BYTES, np.uint8) for _ in range(threads)]
    targets = [np.zeros(_COPY_BYTES, np.uint8) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        best_s = _best_s(lambda: list(pool.map(np.copyto, targets, sources)))
    return 2 * threads * _COPY_BYTES / best_s


def _product(kind: str, threads: int) -> float:
    """Operations a second of ONNX Runtime's product of two square matrices."""
    return 2 * _SIDE**3 / time_graph(matrix_product(_SIDE, kind), threads, _TRIALS)


def main() -> None:
    """Measure, and print it as one line of JSON."""
    threads = int(sys.argv[1])
    found = {"fp32": _product("fp32", threads), "int8": _product("int8", threads)}
    # One thread alone may reach more where threads share a core.
    print(json.dumps(found | {"bandwidth": max(_bandwidth(1), _bandwidth(threads))}))


if __name__ == "__main__":
    main()
