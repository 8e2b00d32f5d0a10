"""Probe of the cameras that the kernel knows."""

from __future__ import annotations

from tremorscope.runtime.doctor.board import is_jetson
from tremorscope.runtime.doctor.finding import ProbeFinding, missing, not_needed, ok
from tremorscope.runtime.doctor.machine import Machine
from tremorscope.runtime.doctor.needs import Needs

_CSI_DRIVER = "vi-output"
"""Beginning of the names that Jetson's capture driver gives its devices."""


def _names(machine: Machine) -> dict[str, str]:
    """Video devices and the names of their cameras."""
    found = {}
    for path in machine.glob("/sys/class/video4linux/video*"):
        if (machine.number(f"{path}/index") or 0) == 0:  # further ones of a USB camera carry no pictures
            found["/dev/" + path.rpartition("/")[2]] = machine.text(f"{path}/name")
    return found


def cameras(machine: Machine, needs: Needs) -> list[ProbeFinding]:
    """Probe of the cameras: one finding each, or one for the wanted camera that is missing."""
    found = _names(machine)
    findings = [ok(f"camera {device}", name or "without a name") for device, name in found.items()]
    if needs.wants("csi") or (needs.camera is None and is_jetson(machine)):
        return findings + _csi(needs, list(found.values()))
    if needs.wants("v4l2"):
        return findings + _v4l2(machine, needs)
    if not findings:
        return [
            not_needed("camera", "none here", "clips, cameras on the network and the drawn structure will do")
        ]
    return findings


def _csi(needs: Needs, names: list[str]) -> list[ProbeFinding]:
    on_csi = [name for name in names if name.startswith(_CSI_DRIVER)]
    if len(on_csi) > needs.sensor_id:
        return []
    if names and needs.camera is None:
        return []
    what = f"the kernel knows {len(on_csi)} CSI cameras" if on_csi else "the kernel knows no CSI camera"
    if needs.sensor_id:
        what += f", and sensor_id is {needs.sensor_id}"
    return [
        missing(
            "camera",
            what,
            "check the cable on both ends with the device switched off, and choose the sensor's overlay",
            "sudo /opt/nvidia/jetson-io/jetson-io.py",
            needed=needs.wants("csi"),
        )
    ]


def _v4l2(machine: Machine, needs: Needs) -> list[ProbeFinding]:
    device = needs.device
    if device is None or machine.exists(device):
        return []
    there = machine.glob("/dev/v4l/by-id/*-index0") or machine.glob("/dev/video*")
    return [
        missing(
            f"camera {device}",
            "not there",
            f"there are {', '.join(there)}" if there else "no video device is there: plug the camera in",
            "ls /dev/v4l/by-id /dev/video*",
            needed=True,
        )
    ]
