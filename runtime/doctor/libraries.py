"""Probes of Python and its environment, ONNX Runtime, the libraries for publishing, and GStreamer with its bindings
and each element of the cameras' pipelines.
"""

from __future__ import annotations

import json
import re

from tremorscope.runtime.cameras.gstreamer.load import BINDINGS, FORGET, PACKAGES
from tremorscope.runtime.doctor.board import is_jetson
from tremorscope.runtime.doctor.probe import (
    CameraKind,
    Machine,
    Needs,
    ProbeFinding,
    PythonAnswer,
    missing,
    not_needed,
    ok,
    wrong,
)

_PYTHONS = ((3, 10), (3, 12))
NEEDS_SITE = (
    "python3 -m venv --system-site-packages .venv && .venv/bin/pip install -U pip && .venv/bin/pip install ."
)
"""Command that makes the environment anew in a checkout; ``systemd/install.sh`` does so by itself on a Jetson."""
_ORT_ABORTS = re.compile(r"1\.2[12]\b")
"""Releases of ONNX Runtime that abort on import where cores are grouped or switched off, as power modes do
(microsoft/onnxruntime issues 24092, 24221 and 25103)."""
_ORT = "'onnxruntime>=1.18,!=1.21.*,!=1.22.*'"


def python(machine: Machine) -> ProbeFinding:
    """Probe of the interpreter."""
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


def environment(machine: Machine, needs: Needs) -> ProbeFinding:
    """Probe of the virtual environment, which must see the system's packages, as JetPack's libraries are among them."""
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
        NEEDS_SITE,
        needed=needs.on_gpu or needs.camera in (None, "csi", "v4l2", "rtsp"),
    )


def sees_system_packages(machine: Machine) -> bool | None:
    """True if the virtual environment sees the system's packages; None if there is no environment."""
    try:
        stated = (machine.prefix / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"^include-system-site-packages\s*=\s*true", stated, re.MULTILINE | re.IGNORECASE)
    return found is not None


def onnx_runtime(machine: Machine) -> ProbeFinding:
    """Probe of ONNX Runtime, which magnifies on the CPU if there is no engine."""
    name, imported = "ONNX Runtime", import_of(machine, "onnxruntime")
    install = pip(machine, f"install {_ORT}")
    if not imported.value:
        reason = f" ({imported.last_line[:100]})" if imported.last_line else ""
        means = "nothing can be magnified on the CPU"
        return missing(name, f"cannot be imported{reason}", means, install, needed=True)
    if machine.architecture == "aarch64" and _ORT_ABORTS.match(imported.value):
        means = "this release aborts where the power mode switches cores off"
        return wrong(name, imported.value, means, install, needed=False)
    return ok(
        name, imported.value if imported.ended_well else f"{imported.value}, which aborts when a process ends"
    )


def publishing(machine: Machine, needs: Needs) -> ProbeFinding:
    """Probe of the libraries for publishing by HTTP, MQTT and metrics."""
    name = "publishing"
    modules = ("aiohttp", "paho.mqtt", "prometheus_client")
    lacking = [module for module in modules if not import_of(machine, module).value]
    if not lacking:
        return ok(name, "aiohttp, paho-mqtt, prometheus-client")
    return missing(
        name,
        f"cannot import {', '.join(lacking)}",
        "the service has no page, no metrics and no MQTT",
        pip(machine, "install 'tremorscope[service]'"),
        needed=needs.configured,
    )


def import_of(machine: Machine, module: str) -> PythonAnswer:
    """Version of a Python module, or ``there`` if it states none; no value if it cannot be imported."""
    return machine.python_tells(f"import {module} as module", "getattr(module, '__version__', 'there')")


def pip(machine: Machine, arguments: str, environment: str = "") -> str:
    """Command that changes the present environment; that of an installed release belongs to root."""
    before = ["sudo"] if machine.python.is_relative_to("/opt") else []
    before += [f"env {environment}"] if environment else []
    return " ".join((*before, str(machine.python), "-m pip", arguments))


ELEMENTS: dict[CameraKind, tuple[str, ...]] = {
    "csi": ("nvarguscamerasrc", "nvvidconv"),
    "v4l2": ("v4l2src", "jpegdec", "videoflip"),
    "rtsp": ("rtspsrc", "decodebin", "h264parse", "h265parse"),
}
"""Elements of each kind of camera besides `COMMON` and, for a network camera, `DECODERS`."""
COMMON = ("appsink",)
DECODERS = {True: ("nvv4l2decoder",), False: ("avdec_h264", "avdec_h265")}
"""Decoders of network cameras: True on a Jetson, False elsewhere."""
_KINDS: dict[CameraKind, str] = {"csi": "CSI", "v4l2": "USB", "rtsp": "network"}

_TO_COMPILE = "libgirepository1.0-dev libcairo2-dev pkg-config"
_PREPARE = """
import json, gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
Gst.init(None)
"""
_ASK = (
    'json.dumps({"version": Gst.version_string().split()[-1], '
    '"elements": [n for n in %r if Gst.ElementFactory.find(n)]})'
)


def gstreamer(machine: Machine, needs: Needs) -> list[ProbeFinding]:
    """Probe of GStreamer as the cameras use it, from Python, and of its elements."""
    if needs.camera in ("clip", "synthetic"):
        return [not_needed("GStreamer", f"the camera is a {needs.camera}")]
    of_kind = {kind: names for kind, names in ELEMENTS.items() if needs.may_want(kind)}
    if "rtsp" in of_kind:
        of_kind["rtsp"] += DECODERS[is_jetson(machine)]
    names = [*COMMON, *(name for names in of_kind.values() for name in names)]
    answer = machine.python_tells(_PREPARE, _ASK % (names,))
    try:
        said = json.loads(answer.value)
    except ValueError:
        said = None
    if said is None:
        means = "no camera but clips can be opened"
        command = f"sudo apt install {BINDINGS}"
        if sees_system_packages(machine) is False:
            install = pip(machine, "install 'tremorscope[gstreamer]'")
            command += f" {_TO_COMPILE} && {install}"
        needed = needs.camera is not None or is_jetson(machine)
        reason = "cannot be used from Python"
        if answer.last_line:
            reason += f" ({answer.last_line})"
        return [missing("GStreamer", reason, means, command, needed=needed)]
    there = set(said["elements"])
    return [
        ok("GStreamer", str(said["version"])),
        *(_element(machine, needs, name, None, is_there=False) for name in COMMON if name not in there),
        *(
            _element(machine, needs, name, kind, is_there=name in there)
            for kind, names in of_kind.items()
            for name in names
        ),
    ]


def _element(
    machine: Machine, needs: Needs, name: str, kind: CameraKind | None, *, is_there: bool
) -> ProbeFinding:
    title = f"element {name}"
    if is_there:
        return ok(title, "there")
    if kind == "csi" and not is_jetson(machine) and not needs.wants("csi"):
        return not_needed(title, "not there", "CSI cameras belong to a Jetson")
    whose = "every camera needs it" if kind is None else f"{_KINDS[kind]} cameras need it"
    needed = kind is None or needs.wants(kind) or (kind == "csi" and needs.camera is None)
    if all(machine.package(each) for each in PACKAGES[name].split()):
        return missing(
            title, "its package is there, but GStreamer failed to load it once", whose, FORGET, needed=needed
        )
    return missing(title, "not there", whose, f"sudo apt install {PACKAGES[name]}", needed=needed)
