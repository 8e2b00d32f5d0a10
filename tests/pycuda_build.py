"""PyCUDA without CUDA: compiled once from its own sources into a cache, and run over `fake_cuda.c`.

PyCUDA has no wheels. Its sources, NVIDIA's headers (2 MB) and cuda-bindings come from PyPI; compiling without
optimisation takes a minute on two cores, once a machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from support import ROOT
from tensorrt_wheels import CACHE, THIS_PYTHON, unpacked

PYCUDA = "2026.1"
_HEADERS = {"nvidia-cuda-runtime": "13.0.96", "nvidia-cuda-profiler-api": "13.0.85"}
_PATHFINDER = "1.4.2"
JETPACK_6, JETPACK_7 = "12.9.10", "13.0.3"
"""cuda-bindings for the CUDA of each."""
_CONFIGURATION = """
USE_SHIPPED_BOOST = True
CUDA_ENABLE_GL = False
CUDA_ENABLE_CURAND = False
CUDA_ROOT = "/nowhere"
CUDA_INC_DIR = {headers!r}
CUDADRV_LIB_DIR = [{libraries!r}]
CUDADRV_LIBNAME = ["cuda"]
CXXFLAGS = ["-O0", "-g0", "-w"]
"""


def graph_bindings(version: str) -> list[Path]:
    """cuda-bindings and what they need, as directories to put on the path."""
    needed = {"cuda-bindings": version, "cuda-pathfinder": _PATHFINDER}
    return [unpacked(name, release, "pycuda") for name, release in needed.items()]


def pycuda() -> Path:
    """PyCUDA as a directory to put on the path; skips the test where it cannot be built."""
    place = CACHE.parent / f"pycuda-{PYCUDA}-{THIS_PYTHON}"
    if not place.is_dir():
        _need_compiler()
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE.parent) as directory:
            built = _build(Path(directory))
            try:
                built.rename(place)
            except OSError:  # another run was first
                assert place.is_dir()
    return place


def fake_driver(directory: Path) -> Path:
    """Compile `fake_cuda.c` as libcuda.so.1, and all that PyCUDA links besides as "not supported"."""
    _need_compiler()
    itself = directory / "itself.so"
    _compile(itself, ROOT / "tests/fake_cuda.c")
    stubs = directory / "stubs.c"
    missing = _symbols(_driver_of(pycuda()), "--undefined-only") - _symbols(itself, "--defined-only")
    stubs.write_text("".join(f"int {name}(void) {{ return 801; }}\n" for name in sorted(missing)))
    _compile(directory / "libcuda.so.1", ROOT / "tests/fake_cuda.c", stubs)
    itself.unlink()
    return directory


def over_fake_driver(suite: Path, directory: Path, bindings: str = JETPACK_7) -> None:
    """Run a module of tests in a process that finds PyCUDA, cuda-bindings and the fake driver; all must pass."""
    path = [pycuda(), *graph_bindings(bindings), ROOT, ROOT / "tests", ROOT / "tests/runtime"]
    environment = os.environ | {
        "LD_LIBRARY_PATH": str(fake_driver(directory)),
        "PYTHONPATH": os.pathsep.join(map(str, path)),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(suite)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " skipped" not in done.stdout


def _need_compiler() -> None:
    if shutil.which("gcc") is None or shutil.which("g++") is None:
        pytest.skip("needs gcc")


def _headers() -> list[str]:
    return [
        str(unpacked(name, version, "pycuda") / "nvidia/cu13/include") for name, version in _HEADERS.items()
    ]


def _build(directory: Path) -> Path:
    """PyCUDA's own build, in place; returns the directory that holds the package."""
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    fetch += ["--no-binary", "pycuda", "--dest", str(directory), f"pycuda=={PYCUDA}"]
    done = subprocess.run(fetch, capture_output=True, text=True, timeout=600, check=False)
    archives = list(directory.glob("pycuda-*.tar.gz"))
    if done.returncode != 0 or not archives:
        pytest.skip(f"needs pycuda (its sources cannot be had: {done.stderr.strip()[-200:]})")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(directory, filter="data")
    source = directory / f"pycuda-{PYCUDA}"
    # To link against: every name that the sources might use, whichever version of it.
    named = "grep -rohE 'cu[A-Z][A-Za-z0-9]+' src | sort -u | sed 's/.*/int &(void){return 0;}/'"
    stub = directory / "libcuda.c"
    lines = subprocess.run(named, shell=True, cwd=source, capture_output=True, text=True, check=True).stdout
    versions = [lines, *(lines.replace("(void)", f"_v{version}(void)") for version in (2, 3, 4))]
    stub.write_text("".join(versions))
    subprocess.run(
        ["gcc", "-w", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", directory / "libcuda.so", stub],
        check=True,
    )
    (source / "siteconf.py").write_text(_CONFIGURATION.format(headers=_headers(), libraries=str(directory)))
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [*build, "--no-cache-dir", "--wheel-dir", directory, source],
        capture_output=True,
        text=True,
        env=os.environ | {"NPY_NUM_BUILD_JOBS": "2"},
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    place = directory / "place"
    with zipfile.ZipFile(next(directory.glob("*.whl"))) as wheel:
        wheel.extractall(place)
    return place


def _driver_of(place: Path) -> Path:
    return next((place / "pycuda").glob("_driver*.so"))


def _compile(target: Path, *sources: Path) -> None:
    includes = [f"-I{headers}" for headers in _headers()]
    command = ["gcc", "-O1", "-w", "-shared", "-fPIC", *includes, "-Wl,-soname,libcuda.so.1"]
    subprocess.run([*command, "-o", target, *sources, "-ldl", "-lpthread"], check=True)


def _symbols(library: Path, which: str) -> set[str]:
    listed = subprocess.run(
        ["nm", "-D", which, str(library)], capture_output=True, text=True, check=True
    ).stdout
    return {
        name
        for line in listed.splitlines()
        if (name := line.split()[-1]).startswith("cu") and name[2].isupper()
    }
