"""Peaks of a processor, measured: products of matrices for operations, copies of memory for bandwidth.

``python -m tremorscope.runtime.bench.processor THREADS`` measures in a process of its own and prints JSON. The products
are ONNX Runtime's own, in FP32 and INT8: what its convolutions are made of, on as many threads as they have.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tremorscope.runtime.bench.peaks import Peaks
from tremorscope.runtime.engines.onnx.file import matrix_product
from tremorscope.runtime.engines.onnx.profile import run_apart, time_graph

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
        "tremorscope.runtime.bench.processor", [str(count)], "the processor's peaks cannot be measured"
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
