"""Probes of the board: its release of JetPack and Jetson Linux (L4T), power mode, clocks that follow the load,
temperature and power supply, and the throttling that they cause.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from tremorscope.runtime.doctor.probe import Machine, ProbeFinding, not_needed, ok, wrong
from tremorscope.runtime.host import files
from tremorscope.runtime.host.files import default_power_mode, power_mode_number, power_modes
from tremorscope.runtime.host.thermal import SysfsThermometer

FLASH = "flash the device with JetPack 6.2 or later: https://developer.nvidia.com/embedded/jetpack"
_OLDEST_L4T = (36, 3)
"""JetPack 6.0: the first with a Python that tremorscope runs on."""
# Jetson Linux release -> JetPack: https://developer.nvidia.com/embedded/jetpack-archive. 36.4.7 came by apt alone.
_JETPACKS = {
    "36.3": "6.0",
    "36.4": "6.1",
    "36.4.3": "6.2",
    "36.4.4": "6.2.1",
    "36.4.7": "6.2.1",
    "36.5": "6.2.2",
    "38.2": "7.0",
    "38.2.1": "7.0",
    "38.2.2": "7.0",
    "38.4": "7.1",
}
_JETPACK_OF_MAJOR = {"35": "5", "36": "6", "38": "7", "39": "7.2"}


def l4t_release(machine: Machine) -> str | None:
    """Release of Jetson Linux, e.g. ``36.4.3``; None where this is no Jetson."""
    stated = files.l4t_release(machine.root)
    if stated:
        return stated
    installed = re.match(r"[\d.]+", machine.package("nvidia-l4t-core") or "")
    return installed[0] if installed else None


def release_numbers(release: str) -> tuple[int, ...]:
    """The numbers of a release: (36, 4, 3) of ``36.4.3-20250107174145``."""
    return tuple(int(part) for part in re.findall(r"\d+", release.partition("-")[0]))


def jetson_generation(machine: Machine) -> int:
    """7 on JetPack 7, whose CUDA is 13; 6 on JetPack 6, whose CUDA is 12, and where it is not known."""
    release = l4t_release(machine)
    return 7 if release and release_numbers(release)[0] > 36 else 6


def is_jetson(machine: Machine) -> bool:
    """True on a Jetson, with or without its software."""
    model = machine.text("/proc/device-tree/model")
    return l4t_release(machine) is not None or "jetson" in model.lower()


def jetpack(machine: Machine, release: str) -> str:
    """The JetPack that a release of Jetson Linux belongs to, as installed or as published."""
    installed = re.match(r"[\d.]+", machine.package("nvidia-jetpack") or "")
    if installed:
        return installed[0]
    known = _JETPACKS.get(release) or _JETPACKS.get(release.removesuffix(".0"))
    return known or _JETPACK_OF_MAJOR.get(release.partition(".")[0], "unknown")


def board(machine: Machine) -> ProbeFinding:
    """Probe of the board."""
    model = machine.text("/proc/device-tree/model")
    if is_jetson(machine):
        return ok("board", f"{model or 'a Jetson'}, {machine.architecture}")
    what = model or "no Jetson"
    return ok(
        "board", f"{what}, {machine.architecture}", "frames are magnified on the CPU, or on an NVIDIA GPU"
    )


def jetson_linux(machine: Machine) -> ProbeFinding:
    """Probe of JetPack and Jetson Linux (L4T)."""
    name, release = "JetPack", l4t_release(machine)
    if release is None:
        if is_jetson(machine):
            return wrong(
                name,
                "a Jetson without Jetson Linux",
                "neither GPU nor CSI cameras can be used",
                FLASH,
                needed=True,
            )
        return not_needed(name, "this is no Jetson")
    found = f"{jetpack(machine, release)}, Jetson Linux {release}"
    if release_numbers(release) < _OLDEST_L4T:
        return wrong(name, found, "its Python is too old for tremorscope", FLASH, needed=True)
    return ok(name, found)


def power_mode(machine: Machine) -> ProbeFinding:
    """Probe of the power mode that ``nvpmodel`` has set, by name, as the numbers differ from board to board."""
    name = "power mode"
    if not is_jetson(machine):
        return not_needed(name, "this is no Jetson")
    modes = power_modes(machine.root)
    answer = machine.says("nvpmodel", "-q")
    said = re.search(r"NV Power Mode: (\S+)\s+(\d+)", answer or "")
    if answer and not said:  # as on JetPack 7 where the GPU was used before nvpmodel.service had set a mode
        means = "something used the GPU too early at the start; the device runs in no mode that it should"
        command = f"sudo nvpmodel -m {default_power_mode(machine.root) or 0} && sudo reboot"
        return wrong(name, f"not set ({answer.splitlines()[0][:80]})", means, command)
    number = int(said[2]) if said else power_mode_number(machine.root)
    if number is None:
        return wrong(name, "unknown", "how fast the device may run is not known", "sudo nvpmodel -q")
    label = said[1] if said else modes.get(number, "")
    found = f"{label} (mode {number})" if label else f"mode {number}"
    fastest = max(modes, key=lambda each: _speed(modes[each]), default=number)
    if number == fastest or not label:
        return ok(name, found)
    return ok(
        name,
        f"{found}; the fastest is {modes[fastest]} (mode {fastest})",
        "engines belong to the mode in which they were built; a faster one needs more power and cooling",
        f"sudo nvpmodel -m {fastest}",
    )


def _speed(name: str) -> tuple[int, int]:
    """Sort key of modes by their names: ``MAXN_SUPER``, ``MAXN``, then by watts: ``25W``, ``15W``, ``7W``."""
    unlimited = name.startswith("MAXN") + name.startswith("MAXN_SUPER")
    watts = re.match(r"(?:MODE_)?(\d+)W", name)
    return unlimited, int(watts[1]) if watts else 0


def clocks(machine: Machine) -> ProbeFinding:
    """Probe of the GPU's clock, which makes some frames late if it follows the load."""
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


# Not `jetson_clocks --fan`: it sets every clock to its highest as well.
_COOLER = "clean fan and heat sink, or take a power mode of fewer watts"
_FAN = "systemctl status nvfancontrol; sudo nvpmodel -q"
HOT_C = 85.0
"""Temperature near that at which a Jetson throttles; the service takes load off before."""


def heat(machine: Machine) -> ProbeFinding:
    """Probe of the hottest zone, and of thermal throttling."""
    reading = SysfsThermometer(root=machine.root).read()
    if reading.temperature_c is None:
        return not_needed("temperature", "the kernel states none")
    found = f"{reading.temperature_c:.0f} °C at {reading.zone}"
    if reading.throttled:
        slowed = ", ".join(reading.throttled)
        return wrong("temperature", f"{found}; slowed down: {slowed}", f"frames come late: {_COOLER}", _FAN)
    if reading.temperature_c >= HOT_C:
        return wrong("temperature", found, f"the device is about to slow itself down: {_COOLER}", _FAN)
    return ok("temperature", found)


def supply(machine: Machine) -> ProbeFinding:
    """Probe of the count of limits of the supply's voltage or current since the start."""
    counts = {
        _kind(path): machine.number(path) or 0
        for path in machine.glob("/sys/class/hwmon/hwmon*/oc*_event_cnt")
    }
    if not counts:
        return not_needed("power supply", "the kernel counts nothing")
    low, high = counts.get("oc1", 0), counts.get("oc2", 0)
    if low:
        return wrong(
            "power supply",
            f"its voltage fell too low {low} times since the start",
            "frames come late, and the device may stop: use a stronger supply and a thicker cable",
            "grep . /sys/class/hwmon/hwmon*/oc*_event_cnt",
        )
    if high:
        return wrong(
            "power supply",
            f"the device drew too much {high} times since the start",
            "it slows itself down meanwhile: use a stronger supply, or a power mode of fewer watts",
            "sudo nvpmodel -q",
        )
    return ok("power supply", "within its limits since the start")


def _kind(path: str) -> str:
    found = re.match(r"oc\d+", PurePosixPath(path).name)
    return found[0] if found else ""
