"""Probes of the power mode, and of clocks that follow the load."""

from __future__ import annotations

import re

from tremorscope.runtime.doctor.board import is_jetson
from tremorscope.runtime.doctor.finding import ProbeFinding, not_needed, ok, wrong
from tremorscope.runtime.doctor.machine import Machine
from tremorscope.runtime.host.kernel_files import default_power_mode, power_mode_number, power_modes


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
