"""Probes of cameras: those that the kernel knows, the service's as it was last opened (doctor does not open a camera
that may be in use), and NVIDIA's Argus behind CSI cameras, its packages, daemon and socket.
"""

from __future__ import annotations

import json

from tremorscope.runtime.cameras.gstreamer.load import WHOSE_TIMES
from tremorscope.runtime.doctor.board import is_jetson, release_numbers
from tremorscope.runtime.doctor.probe import Machine, Needs, ProbeFinding, missing, not_needed, ok, wrong

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


_FILE = "camera.json"  # as runtime.service.opening.CAMERA_FILE, which is not imported for that alone


def seen(machine: Machine, needs: Needs) -> list[ProbeFinding]:
    """Probe of mode, memory and clock of the frames, a finding for each instance of the service that has run."""
    files = [*machine.glob(f"{needs.data}/{_FILE}"), *machine.glob(f"{needs.data}/*/{_FILE}")]
    return [finding for file in files if (finding := _finding(machine.text(file)))]


def _finding(text: str) -> ProbeFinding | None:
    try:
        report = json.loads(text)
        name = f"{report['camera']} when last opened"
        found = f"{report['width_px']}x{report['height_px']} px at {report['rate_hz']:g} Hz"
        if report["mode"]:
            found += f", sensor mode {report['mode']}"
        means = WHOSE_TIMES[report["times"]]
        if report["remarks"]:
            command = "change width_px, height_px, rate_hz or exposure of the camera in the configuration"
            return wrong(name, found, "; ".join([*report["remarks"], means]), command)
        return ok(name, found, means)
    except (ValueError, KeyError, TypeError):  # of another release, or cut short
        return None


_SOCKET = "/tmp/argus_socket"
CAMERA_PACKAGES = (
    "nvidia-l4t-gstreamer",
    "nvidia-l4t-camera",
    "nvidia-l4t-multimedia",
    "nvidia-l4t-multimedia-utils",
)
"""Packages that must be of one release: mixed ones do not understand each other's buffers."""
_SOUND_VERSION = "36.4.4-20250616085344"
"""Version of JetPack 6.2.1: the newest of JetPack 6 with 100 openings without an error, by IMX219 on Orin NX.

Drivers of other sensors may differ: in one report an AR0234 fails to open a second time (Kurokesu/ar0234-jetson-driver
issue 8)."""
_BROKEN = {(36, 4, 7), (36, 5, 0)}
"""Releases that close cameras badly.

Measured by ARK Electronics (ark_jetson_kernel, docs/argus_relaunch_regression.md) on 36.5.0: of 252 openings 248
ended in errors, and three in a crash of the daemon; the same kernel with the packages of 36.4.4: none of 100."""
_HOLD = f"sudo apt-mark hold {' '.join(CAMERA_PACKAGES)}"


def packages(machine: Machine, needs: Needs) -> ProbeFinding:
    """Probe of the releases of the camera's packages, of which some of JetPack 6 close cameras badly."""
    name = "camera packages"
    versions = {each: machine.package(each) for each in CAMERA_PACKAGES}
    releases = sorted({release_numbers(version)[:3] for version in versions.values() if version})
    if not is_jetson(machine) or not needs.may_want("csi") or not releases:
        return not_needed(name, "no CSI camera is used" if releases else "none are installed")
    stated = " and ".join(".".join(map(str, each)) for each in releases)
    if len(releases) > 1:
        return wrong(
            name,
            f"a mix of {stated}",
            "they belong together: one does not understand the other's buffers, and cameras fail to open",
            _back_to_sound(machine),
        )
    if releases[0] in _BROKEN:
        return wrong(
            name,
            stated,
            "nearly every closing of a camera ends in an error, and now and then nvargus-daemon crashes: no frames "
            "for 40 s, or until the device is restarted; 36.4.4 had no error in 100 openings",
            _back_to_sound(machine),
        )
    held = all(machine.is_held(each) for each in CAMERA_PACKAGES)
    if releases[0][:2] == (36, 4) and not held:
        return wrong(
            name,
            f"{stated}, not held",
            "the next apt upgrade brings 36.4.7 or later, which closes cameras badly",
            _HOLD,
        )
    if (36, 4, 7) < releases[0] < (37,):
        return ok(name, f"{stated}; 36.4.7 and 36.5.0 closed cameras badly, this one is not known")
    return ok(name, f"{stated}, held" if held else stated)


def _back_to_sound(machine: Machine) -> str:
    """Command that installs the packages of 36.4.4, which need a core below 36.5, and CUDA and NvSci of their build."""
    core = machine.package("nvidia-l4t-core")
    if core and release_numbers(core) >= (36, 5):
        return f"flash the device with JetPack 6.2.1 (36.4.4), and before any apt upgrade: {_HOLD}"
    wanted = (*CAMERA_PACKAGES, "nvidia-l4t-cuda", "nvidia-l4t-nvsci")
    names = " ".join(f"{each}={_SOUND_VERSION}" for each in wanted)
    return f"sudo apt install --allow-downgrades {names} && {_HOLD} && sudo reboot"


def daemon(machine: Machine, needs: Needs) -> ProbeFinding:
    """Probe of the daemon behind CSI cameras, and of its socket."""
    name = "nvargus-daemon"
    if not is_jetson(machine) or not needs.may_want("csi"):
        return not_needed(name, "no CSI camera is used")
    answer = machine.run(("systemctl", "is-active", name))
    state = answer.output.splitlines()[-1] if answer and answer.output else "unknown"
    needed = needs.wants("csi") or needs.camera is None
    if state == "active":
        if machine.exists(_SOCKET):
            return ok(name, "active")
        return wrong(
            name,
            f"active, but {_SOCKET} is not there",
            "no CSI camera can be opened",
            f"sudo systemctl restart {name}",
            needed=needed,
        )
    if state == "unknown" and machine.exists(_SOCKET):  # within a container systemd cannot be asked
        return ok(name, f"{_SOCKET} is there")
    if state == "failed":
        command = f"sudo systemctl restart {name}; journalctl -u {name} -n 50"
        return wrong(name, "failed", "no CSI camera can be opened", command, needed=needed)
    return missing(
        name,
        f"is {state}",
        "no CSI camera can be opened",
        f"sudo systemctl enable --now {name}",
        needed=needed,
    )
