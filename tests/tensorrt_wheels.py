"""NVIDIA's own Python bindings for the tests: fetched once into a cache outside the project, then unpacked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tremorscope" / "tensorrt"
THIS_PYTHON = f"cp{sys.version_info.major}{sys.version_info.minor}"

BINDINGS = {
    "8.6.1": "tensorrt-bindings",
    "10.3.0": "tensorrt-cu12-bindings",
    "10.13.3.9": "tensorrt-cu13-bindings",
    "10.16.1.11": "tensorrt-cu13-bindings",
    "11.4.0.106": "tensorrt-cu13-bindings",
}
"""By TensorRT version, the distribution of its bindings."""
RTX_VERSION = "1.7.1.116"

# Every symbol that any of the bindings links; what they return is never looked at, since it is null.
_SYMBOLS = (
    "createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL",
    "createNvOnnxParser_INTERNAL", "createNvOnnxParserRefitter_INTERNAL", "getBuilderPluginRegistry",
    "getNvOnnxParserVersion", "getPluginRegistry", "initLibNvInferPlugins",
    "_ZN11nvuffparser15createUffParserEv", "_ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi",
    "_ZN14nvcaffeparser117createCaffeParserEv", "_ZN14nvcaffeparser123shutdownProtobufLibraryEv",
)  # fmt: skip
_LIBRARIES = ("libnvinfer", "libnvonnxparser", "libnvinfer_plugin", "libnvparsers")


def unpacked(distribution: str, version: str, part: str) -> Path:
    """A wheel's content as a directory to put on the path; skips the test where the wheel cannot be had."""
    place = CACHE / f"{distribution}-{version}-{THIS_PYTHON}"
    if place.is_dir():
        return place
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as fetched:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
        ]
        command += ["--only-binary", ":all:", "--dest", fetched, f"{distribution}=={version}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        wheels = list(Path(fetched).glob("*.whl"))
        if done.returncode != 0 or not wheels:
            pytest.skip(f"needs {part} ({distribution} {version} cannot be had)")
        content = Path(fetched) / "content"
        with zipfile.ZipFile(wheels[0]) as wheel:
            wheel.extractall(content)
        try:
            content.rename(place)
        except OSError:  # another run was first
            assert place.is_dir()
    return place


def bindings(version: str) -> Path:
    """The bindings of a TensorRT version."""
    if version.startswith("8.") and sys.version_info >= (3, 12):
        pytest.skip("TensorRT 8.6 has no bindings for Python 3.12")
    return unpacked(BINDINGS[version], version, "tensorrt-bindings")


def rtx_path() -> list[Path]:
    """TensorRT for RTX, whole: bindings and library, about 95 MB to fetch."""
    return [
        unpacked("tensorrt-rtx-cu13-bindings", RTX_VERSION, "tensorrt-rtx"),
        unpacked("tensorrt-rtx-cu13-libs", RTX_VERSION, "tensorrt-rtx"),
    ]


def stub_libraries(directory: Path) -> Path:
    """Compile libraries with TensorRT's names and nothing in them, so that its bindings can be imported."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    source = directory / "stub.c"
    source.write_text("".join(f"void *{symbol}(void) {{ return 0; }}\n" for symbol in _SYMBOLS))
    for major in (8, 10, 11):
        for library in _LIBRARIES:
            name = f"{library}.so.{major}"
            command = [
                "gcc",
                "-shared",
                "-fPIC",
                f"-Wl,-soname,{name}",
                "-o",
                str(directory / name),
                str(source),
            ]
            subprocess.run(command, check=True)
    return directory


def tensorrt_module(directory: Path) -> Path:
    """A module named ``tensorrt`` over the bindings, as the whole package has it."""
    package = directory / "tensorrt"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from tensorrt_bindings import *\nfrom tensorrt_bindings import __version__\n"
    )
    return directory
