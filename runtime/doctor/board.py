"""Which board and which release of JetPack this is, and how fast it is allowed to run."""

from __future__ import annotations

import re

from runtime.doctor.finding import Finding, not_needed, ok, wrong
from runtime.doctor.machine import Machine

_OLDEST_L4T = (36, 3)
"""JetPack 6.0: the first with a Python that tremorscope runs on."""
# Jetson Linux release -> JetPack: https://developer.nvidia.com/embedded/jetpack-archive
_JETPACKS = {
    "36.3": "6.0", "36.4": "6.1", "36.4.0": "6.1", "36.4.3": "6.2", "36.4.4": "6.2.1",
    "38.2": "7.0", "38.2.0": "7.0", "38.2.1": "7.0", "38.4": "7.1", "38.4.0": "7.1",
}  # fmt: skip
_JETPACK_OF_MAJOR = {"35": "5", "36": "6", "38": "7", "39": "7.2"}


def l4t_release(machine: Machine) -> str | None:
    """Release of Jetson Linux, e.g. ``36.4.3``; None where this is no Jetson."""
    stated = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", machine.text("/etc/nv_tegra_release"))
    if stated:
        return f"{stated[1]}.{stated[2]}"
    installed = re.match(r"[\d.]+", machine.package("nvidia-l4t-core") or "")
    return installed[0] if installed else None


def is_jetson(machine: Machine) -> bool:
    """Whether this is a Jetson, with or without its software."""
    model = machine.text("/proc/device-tree/model")
    return l4t_release(machine) is not None or "jetson" in model.lower()


def jetpack(machine: Machine, release: str) -> str:
    """The JetPack that a release of Jetson Linux belongs to, as installed or as is known."""
    installed = re.match(r"[\d.]+", machine.package("nvidia-jetpack") or "")
    if installed:
        return installed[0]
    known = _JETPACKS.get(release) or _JETPACKS.get(release.removesuffix(".0"))
    return known or _JETPACK_OF_MAJOR.get(release.partition(".")[0], "unknown")


def board(machine: Machine) -> Finding:
    """The board."""
    model = machine.text("/proc/device-tree/model")
    if is_jetson(machine):
        return ok("board", f"{model or 'a Jetson'}, {machine.architecture}")
    what = model or "no Jetson"
    return ok(
        "board", f"{what}, {machine.architecture}", "frames are magnified on the CPU, or on an NVIDIA GPU"
    )


def jetson_linux(machine: Machine) -> Finding:
    """JetPack and Jetson Linux (L4T)."""
    name, release = "JetPack", l4t_release(machine)
    if release is None:
        if is_jetson(machine):
            return wrong(
                name,
                "a Jetson without Jetson Linux",
                "neither GPU nor CSI cameras can be used",
                "flash the device with JetPack 6.2 or later: https://developer.nvidia.com/embedded/jetpack",
                needed=True,
            )
        return not_needed(name, "this is no Jetson")
    found = f"{jetpack(machine, release)}, Jetson Linux {release}"
    numbers = tuple(int(part) for part in release.split(".")[:2])
    if numbers < _OLDEST_L4T:
        return wrong(
            name,
            found,
            "its Python is too old for tremorscope",
            "flash the device with JetPack 6.2 or later: https://developer.nvidia.com/embedded/jetpack",
            needed=True,
        )
    return ok(name, found)


def power_mode(machine: Machine) -> Finding:
    """The power mode that ``nvpmodel`` has set; mode 0 is the fastest on every Jetson."""
    name = "power mode"
    if not is_jetson(machine):
        return not_needed(name, "this is no Jetson")
    state = re.search(r"pmode:(\d+)", machine.text("/var/lib/nvpmodel/status"))
    said = re.search(r"NV Power Mode: (\S+)\s+(\d+)", machine.says("nvpmodel", "-q") or "")
    number = int(said[2]) if said else int(state[1]) if state else None
    if number is None:
        return wrong(
            name, "unknown", "how fast the device may run is not known", "sudo nvpmodel -q", needed=False
        )
    names = dict(_power_modes(machine))
    label = said[1] if said else names.get(number, "")
    found = f"{label} (mode {number})" if label else f"mode {number}"
    fastest = next((n for n, each in names.items() if each.startswith("MAXN")), 0)
    if number == fastest:
        return ok(name, found)
    return ok(
        name,
        found,
        "engines belong to the mode in which they were built; a faster one needs more power and cooling",
        f"sudo nvpmodel -m {fastest}",
    )


def _power_modes(machine: Machine) -> list[tuple[int, str]]:
    stated = re.findall(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", machine.text("/etc/nvpmodel.conf"))
    return [(int(number), name) for number, name in stated]


def clocks(machine: Machine) -> Finding:
    """Whether the clocks of GPU and CPU move with the load, which makes some frames late."""
    name = "clocks"
    if not is_jetson(machine):
        return not_needed(name, "this is no Jetson")
    gpu = next((path for path in machine.glob("/sys/class/devfreq/*") if _is_gpu(machine, path)), None)
    if gpu is None:
        return ok(name, "not stated by the kernel")
    limits_hz = [machine.number(f"{gpu}/{file}") for file in ("min_freq", "cur_freq", "max_freq")]
    if None in limits_hz:
        return ok(name, "not stated by the kernel")
    low, now, high = (f"{(each or 0) / 1e6:.0f}" for each in limits_hz)
    if low == high:
        return ok(name, f"GPU held at {high} MHz")
    return ok(
        name,
        f"GPU at {now} of {low} to {high} MHz, by load",
        "the first frames after a rest are slower; held clocks draw more power",
        "sudo jetson_clocks",
    )


def _is_gpu(machine: Machine, path: str) -> bool:
    return bool(re.search(r"gpu|gv11b|gp10b|ga10b", path + machine.text(f"{path}/device/of_node/name")))
