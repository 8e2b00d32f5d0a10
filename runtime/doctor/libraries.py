"""The libraries that compute: Python and its environment, ONNX Runtime, TensorRT, PyCUDA and cuda-bindings."""

from __future__ import annotations

import re

from runtime.doctor.board import is_jetson, l4t_release
from runtime.doctor.finding import Finding, missing, not_needed, ok, wrong
from runtime.doctor.machine import Machine
from runtime.doctor.needs import Needs

_PYTHONS = ((3, 10), (3, 12))
_NEEDS_SITE = "python3 -m venv --system-site-packages .venv && .venv/bin/pip install ."
_TENSORRT_NEW_ENOUGH = (8, 6)


def python(machine: Machine) -> Finding:
    """The interpreter."""
    found = f"{machine.python_version[0]}.{machine.python_version[1]}, {machine.python}"
    if _PYTHONS[0] <= machine.python_version <= _PYTHONS[1]:
        return ok("Python", found)
    return wrong(
        "Python",
        found,
        "tremorscope runs on 3.10 to 3.12",
        "sudo apt install python3.10-venv, and make the virtual environment with python3.10",
        needed=True,
    )


def environment(machine: Machine, needs: Needs) -> Finding:
    """The virtual environment: JetPack's libraries are the system's, so it must see those."""
    name = "virtual environment"
    sees = sees_system_packages(machine)
    if sees is None:
        return ok(name, "none: the system's own Python")
    if sees:
        return ok(name, "with the system's packages")
    if not is_jetson(machine):
        return ok(name, "without the system's packages")
    return wrong(
        name,
        "without the system's packages",
        "JetPack's TensorRT and GStreamer cannot be seen from it",
        _NEEDS_SITE,
        needed=needs.on_gpu or needs.camera in (None, "csi", "v4l2", "rtsp"),
    )


def sees_system_packages(machine: Machine) -> bool | None:
    """Whether the virtual environment does; None where there is none."""
    try:
        stated = (machine.prefix / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"^include-system-site-packages\s*=\s*true", stated, re.MULTILINE | re.IGNORECASE)
    return found is not None


def publishing(machine: Machine, needs: Needs) -> Finding:
    """What the service publishes with: HTTP, MQTT, metrics."""
    name = "publishing"
    lacking = [
        module for module in ("aiohttp", "paho.mqtt", "prometheus_client") if not _version(machine, module)
    ]
    if not lacking:
        return ok(name, "aiohttp, paho-mqtt, prometheus-client")
    return missing(
        name,
        f"cannot import {', '.join(lacking)}",
        "the service has no page, no metrics and no MQTT",
        f"{machine.python.parent}/pip install 'tremorscope[service]'",
        needed=needs.configured,
    )


def onnx_runtime(machine: Machine) -> Finding:
    """ONNX Runtime, which magnifies on the CPU wherever there is no engine."""
    name, version = "ONNX Runtime", _version(machine, "onnxruntime")
    if version:
        return ok(name, version)
    pip = f"{machine.python.parent}/pip install onnxruntime"
    return missing(name, "cannot be imported", "nothing can be magnified on the CPU", pip, needed=True)


def tensorrt(machine: Machine, needs: Needs) -> Finding:
    """TensorRT, which magnifies on the GPU."""
    name, version = "TensorRT", _version(machine, "tensorrt")
    if not is_jetson(machine):
        if version:
            return ok(name, version)
        return not_needed(name, "not there", "frames are magnified on the CPU")
    if version is None:
        if _installed_for_system(machine):
            return wrong(
                name,
                "installed, but this Python does not see it",
                "frames are magnified on the CPU, far more slowly",
                _NEEDS_SITE,
                needed=needs.on_gpu,
            )
        return missing(
            name,
            "not installed",
            "frames are magnified on the CPU, far more slowly",
            "sudo apt install nvidia-jetpack",
            needed=needs.on_gpu,
        )
    if _numbers(version) < _TENSORRT_NEW_ENOUGH:
        return wrong(
            name,
            version,
            "older than 8.6, which tremorscope needs",
            "flash the device with JetPack 6.2 or later: https://developer.nvidia.com/embedded/jetpack",
            needed=needs.on_gpu,
        )
    if not _is_jetpacks(machine, version):
        return wrong(
            name,
            f"{version}, from pip",
            "it shadows JetPack's own, and is not made for this device",
            f"{machine.python.parent}/pip uninstall -y tensorrt tensorrt-cu12 tensorrt-cu13",
            needed=needs.on_gpu,
        )
    return ok(name, version)


def pycuda(machine: Machine, needs: Needs) -> Finding:
    """PyCUDA, which gives the GPU the camera's memory without a copy."""
    name = "PyCUDA"
    answer = machine.python_says(_PYCUDA)
    said = answer.output if answer is not None and answer.status == 0 else ""
    if said:
        return ok(name, said.splitlines()[-1])
    if not is_jetson(machine):
        return not_needed(name, "not there, or no GPU", "frames lie in ordinary memory")
    toolkit = "PATH=/usr/local/cuda/bin:$PATH"
    install = f"{toolkit} {machine.python.parent}/pip install 'tremorscope[jetson]'"
    if not machine.exists("/usr/local/cuda/bin/nvcc"):
        install = f"sudo apt install {_toolkit(machine)} && {install}"
    if answer is not None and "ModuleNotFoundError" not in answer.output and answer.output:
        return wrong(
            name,
            _last_line(answer.output),
            "the GPU cannot be used",
            f"{install} --force-reinstall",
            needed=needs.on_gpu,
        )
    return missing(name, "not installed", "the GPU cannot be used", install, needed=needs.on_gpu)


def cuda_bindings(machine: Machine) -> Finding:
    """cuda-bindings, for CSI frames without any copy and for CUDA graphs; all else works without them."""
    name, version = "cuda-bindings", _version(machine, "cuda.bindings")
    if not is_jetson(machine):
        return ok(name, version) if version else not_needed(name, "not there")
    wanted = _cuda_major(machine)
    command = f"{machine.python.parent}/pip install 'cuda-bindings=={wanted}.*'"
    if version is None:
        means = "a CSI frame is copied once, and steps run without CUDA graphs"
        return missing(name, "not installed", means, command, needed=False)
    if _numbers(version)[0] != wanted:
        return wrong(name, version, f"this JetPack has CUDA {wanted}", command, needed=False)
    return ok(name, version)


_PYCUDA = (
    "import pycuda, pycuda.driver as d; d.init(); "
    "print(pycuda.VERSION_TEXT + ', ' + (d.Device(0).name() if d.Device.count() else 'no GPU'))"
)


def _version(machine: Machine, module: str) -> str | None:
    """Version of a Python module, imported in a process of its own; None where it cannot be imported."""
    script = f"import {module} as m; print(getattr(m, '__version__', 'there'))"
    answer = machine.python_says(script)
    return _last_line(answer.output) if answer is not None and answer.status == 0 and answer.output else None


def _last_line(text: str) -> str:
    return text.splitlines()[-1].strip()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2]) or (0,)


def _installed_for_system(machine: Machine) -> bool:
    return bool(machine.glob("/usr/lib/python3*/dist-packages/tensorrt"))


def _is_jetpacks(machine: Machine, version: str) -> bool:
    """Whether the version that is imported is the one that the system's packages have, if they state one."""
    packaged = (
        machine.package("libnvinfer10") or machine.package("libnvinfer8") or machine.package("libnvinfer11")
    )
    return packaged is None or _numbers(packaged) == _numbers(version)


def _cuda_major(machine: Machine) -> int:
    release = l4t_release(machine) or "36"
    return 12 if int(release.partition(".")[0]) <= 36 else 13


def _toolkit(machine: Machine) -> str:
    release = l4t_release(machine) or "36.4"
    known = {"36.3": "12-2", "36.4": "12-6", "38.2": "13-0", "38.4": "13-0"}
    cuda = known.get(".".join(release.split(".")[:2]))
    return f"cuda-toolkit-{cuda}" if cuda else "nvidia-jetpack"
