"""Probes of what the GPU computes with: TensorRT, PyCUDA, cuda-bindings, and the bundle with its precision on a GPU
and on the CPU.
"""

from __future__ import annotations

import re

from tremorscope.runtime.doctor.board import FLASH, is_jetson, jetson_generation, l4t_release
from tremorscope.runtime.doctor.libraries import NEEDS_SITE, import_of, pip
from tremorscope.runtime.doctor.probe import Machine, Needs, ProbeFinding, missing, not_needed, ok, wrong
from tremorscope.runtime.engines.interface.bundle import open_bundle
from tremorscope.runtime.errors import BundleFault

_TENSORRT_NEW_ENOUGH = (8, 6)
_NVCC = "/usr/local/cuda/bin/nvcc"
# Jetson Linux release -> the packages of its CUDA.
_TOOLKITS = {"36.3": "12-2", "36.4": "12-6", "36.5": "12-6", "38.2": "13-0", "38.4": "13-0", "39.2": "13-2"}


def tensorrt(machine: Machine, needs: Needs) -> ProbeFinding:
    """Probe of TensorRT, which magnifies on the GPU."""
    name, version = "TensorRT", import_of(machine, "tensorrt").value
    if not is_jetson(machine):
        return (
            ok(name, version) if version else not_needed(name, "not there", "frames are magnified on the CPU")
        )
    slowly, needed = "frames are magnified on the CPU, far more slowly", needs.on_gpu
    if not version:
        if machine.glob("/usr/lib/python3*/dist-packages/tensorrt"):
            return wrong(
                name, "installed, but this Python does not see it", slowly, NEEDS_SITE, needed=needed
            )
        if _packaged(machine):
            bindings = "sudo apt install python3-libnvinfer"
            return missing(name, "without its Python bindings", slowly, bindings, needed=needed)
        return missing(name, "not installed", slowly, "sudo apt install nvidia-jetpack", needed=needed)
    if _numbers(version) < _TENSORRT_NEW_ENOUGH:
        return wrong(name, version, "older than 8.6, which tremorscope needs", FLASH, needed=needed)
    if not _is_jetpacks(machine, version):
        return wrong(
            name,
            f"{version}, from pip",
            "it shadows JetPack's own, and is not made for this device",
            pip(machine, "uninstall -y tensorrt tensorrt-cu12 tensorrt-cu13"),
            needed=needed,
        )
    return ok(name, version)


def pycuda(machine: Machine, needs: Needs) -> ProbeFinding:
    """Probe of PyCUDA, which opens the GPU and allocates memory that it shares with the camera."""
    name = "PyCUDA"
    answer = machine.python_tells(
        "import pycuda, pycuda.driver as driver; driver.init()",
        "pycuda.VERSION_TEXT + ', ' + (driver.Device(0).name() if driver.Device.count() else 'no GPU')",
    )
    if answer.value:
        return ok(name, answer.value)
    if not is_jetson(machine):
        return not_needed(name, "not there, or no GPU", "frames lie in ordinary memory")
    means = "the GPU cannot be used: frames are copied, and magnified on the CPU"
    if "ModuleNotFoundError" not in answer.output and answer.output:
        anew = _install_pycuda(machine, "--force-reinstall --no-cache-dir")
        return wrong(name, answer.last_line, means, anew, needed=needs.on_gpu)
    return missing(name, "not installed", means, _install_pycuda(machine), needed=needs.on_gpu)


def cuda_bindings(machine: Machine, needs: Needs) -> ProbeFinding:
    """Probe of cuda-bindings, for CSI frames without any copy and for CUDA graphs; all else works without them."""
    name = "cuda-bindings"
    answer = machine.python_tells(
        "import cuda.bindings.driver, importlib.metadata as about", "about.version('cuda-bindings')"
    )
    if not is_jetson(machine):
        return ok(name, answer.value) if answer.value else not_needed(name, "not there")
    if not needs.on_gpu:
        return not_needed(name, answer.value or "not there", "the CPU magnifies")
    cuda = _cuda_major(machine)
    command = pip(machine, f"install {_bindings(machine)}")
    if not answer.value:
        means = "frames are copied: each of a CSI camera once by the CPU, and steps run without CUDA graphs"
        return missing(name, "not installed", means, command, needed=False)
    if _numbers(answer.value)[0] != cuda:
        means = f"this JetPack has CUDA {cuda}: frames are copied"
        return wrong(name, answer.value, means, command, needed=False)
    return ok(name, answer.value)


def _install_pycuda(machine: Machine, *options: str) -> str:
    """Command that compiles PyCUDA, which needs CUDA's and Python's headers and nvcc on the path."""
    major, minor = machine.python_version
    lacking = [] if machine.exists(_NVCC) else [_toolkit(machine)]
    if not machine.exists(f"/usr/include/python{major}.{minor}/Python.h"):
        lacking += ["python3-dev", "build-essential"]
    arguments = " ".join(("install", *options, "'pycuda>=2024.1'", _bindings(machine)))
    install = pip(machine, arguments, f"PATH={_NVCC.rpartition('/')[0]}:$PATH")
    return f"sudo apt install {' '.join(lacking)} && {install}" if lacking else install


def _bindings(machine: Machine) -> str:
    return f"'cuda-bindings=={_cuda_major(machine)}.*'"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2]) or (0,)


def _packaged(machine: Machine) -> str | None:
    """Version of TensorRT among the system's packages."""
    versions = (machine.package(f"libnvinfer{major}") for major in (11, 10, 8))
    return next((each for each in versions if each), None)


def _is_jetpacks(machine: Machine, version: str) -> bool:
    """True if the imported version is that of the system's packages, or if these state none."""
    stated = machine.package(f"libnvinfer{version.partition('.')[0]}") or _packaged(machine)
    return stated is None or _numbers(stated) == _numbers(version)


def _cuda_major(machine: Machine) -> int:
    return 12 if jetson_generation(machine) == 6 else 13


def _toolkit(machine: Machine) -> str:
    release = l4t_release(machine) or ""
    cuda = _TOOLKITS.get(".".join(release.split(".")[:2]))
    return f"cuda-toolkit-{cuda}" if cuda else "nvidia-jetpack"


def network(machine: Machine, needs: Needs) -> ProbeFinding:
    """Probe of the configured bundle, or of the default one."""
    try:
        bundle = open_bundle(needs.bundle)
        on_gpu, on_cpu = bundle.for_gpu(), bundle.for_live_cpu()
    except BundleFault as fault:
        return wrong("network", str(fault.what), "nothing can be magnified", str(fault.remedy), needed=True)
    precision = bundle.manifest.precision.upper()
    if on_gpu is not bundle:
        half = on_gpu.manifest.precision.upper()
        if on_cpu is not bundle:
            told = (
                f"{bundle.named}, {half} on a GPU; {on_cpu.named}, the lightest, live on a CPU: none is named"
            )
            return ok("network", told)
        return ok("network", f"{bundle.named}: {half} on a GPU, {precision} on the CPU")
    if precision == "FP32" and needs.on_gpu and is_jetson(machine):
        return wrong(
            "network",
            f"{bundle.named}, {precision} on a GPU, too",
            "FP32 uses no tensor cores, and takes about eight times as long as FP16",
            "name realtime, lite or nano, or export with --precision fp16",
        )
    return ok("network", f"{bundle.named}, {precision}")
