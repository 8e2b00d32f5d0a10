"""Probe of GStreamer, its bindings for Python, and each element of the cameras' pipelines."""

from __future__ import annotations

import json

from tremorscope.runtime.cameras.gstreamer.load import BINDINGS, PACKAGES
from tremorscope.runtime.doctor.board import is_jetson
from tremorscope.runtime.doctor.finding import ProbeFinding, missing, not_needed, ok
from tremorscope.runtime.doctor.libraries import pip, sees_system_packages
from tremorscope.runtime.doctor.machine import Machine
from tremorscope.runtime.doctor.needs import CameraKind, Needs

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
    return missing(title, "not there", whose, f"sudo apt install {PACKAGES[name]}", needed=needed)
