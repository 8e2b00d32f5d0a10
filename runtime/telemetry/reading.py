"""Power, clocks, load, fans and memory of the device at one moment: the same names and units from every source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Protocol

from tremorscope.runtime.host.thermal import ThermalReading

_INPUTS = ("VIN", "VDD_IN", "system", "psys")
"""Rails that feed all others, where there is one: of Thor's carrier, of the modules Orin NX and Nano, of a PC."""


@dataclass(frozen=True)
class EngineReading:
    """A unit of the chip that encodes, decodes or converts pictures."""

    active: bool | None = None
    """True while it is switched on."""
    frequency_hz: float | None = None


@dataclass(frozen=True)
class Reading:
    """Telemetry of the device at one moment; unknown values are None, or missing from a mapping."""

    source: str = ""
    """Source: sysfs, or jtop where it gave anything; empty before the first reading."""
    power_w: float | None = None
    """Total power as far as it is measured; see `power_of`."""
    power_of: str = ""
    """The rail that feeds all others, or the rails of which ``power_w`` is the sum."""
    rails_w: Mapping[str, float] = field(default_factory=dict)
    gpu_load_ratio: float | None = None
    """Share of time in which the GPU has worked, at its present clock: 0 to 1."""
    gpu_frequency_hz: float | None = None
    gpu_frequency_max_hz: float | None = None
    """Upper limit of the clock, as power mode and heat set it."""
    emc_load_ratio: float | None = None
    """Share of the memory's bandwidth that is used, at its present clock: 0 to 1."""
    emc_frequency_hz: float | None = None
    emc_frequency_max_hz: float | None = None
    cpu_load_ratio: float | None = None
    """Share of time in which the cores that are online have worked since the reading before: 0 to 1."""
    cpu_frequency_hz: float | None = None
    """Present clock of the fastest core."""
    cpu_cores: int | None = None
    """Cores that are online."""
    fan_duty_ratio: Mapping[str, float] = field(default_factory=dict)
    """Pulse width of each fan: 0 to 1."""
    fan_speed_rpm: Mapping[str, float] = field(default_factory=dict)
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    """Used memory: MemTotal less MemAvailable."""
    swap_total_bytes: int | None = None
    swap_used_bytes: int | None = None
    engines: Mapping[str, EngineReading] = field(default_factory=dict)
    """By name: NVENC, NVDEC, NVJPG, VIC, OFA, where there is more than one with a number."""
    power_mode: str | None = None
    """Name of nvpmodel's mode, e.g. ``MAXN_SUPER``."""
    jetson_clocks: bool | None = None
    """True where `jetson_clocks` holds the clocks at their upper limits."""

    def completed_by(self, other: Reading) -> Reading:
        """This reading, with what it leaves out taken from another."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        missing = [name for name, value in values.items() if value is None or value in ("", {})]
        return replace(self, **{name: getattr(other, name) for name in missing})

    def with_rails(self, rails_w: Mapping[str, float]) -> Reading:
        """This reading with the power of each rail, and of all together."""
        power_w, power_of = total_power(rails_w)
        return replace(self, rails_w=rails_w, power_w=power_w, power_of=power_of)


def total_power(rails_w: Mapping[str, float]) -> tuple[float | None, str]:
    """All power in watts, and the rails that it is the sum of; None where no rail is measured.

    Orin NX and Nano measure VDD_IN, all that the module takes, and Thor's carrier VIN, all of the board: they contain
    the other rails. AGX Orin has no such rail; the sum of all leaves out what the carrier board takes.
    """
    for name in _INPUTS:
        if name in rails_w:
            return rails_w[name], name
    return (sum(rails_w.values()), " + ".join(sorted(rails_w))) if rails_w else (None, "")


class Telemetry(Protocol):
    """Source of readings. A call may take as long as the slowest file of the kernel; see `Sampler`."""

    def read(self) -> Reading:
        """Power, clocks, load, fans and memory now. Loads are those since the call before."""
        ...

    def heat(self) -> ThermalReading:
        """Temperatures and throttling now."""
        ...

    def note(self) -> str:
        """Reason why the configured source is not used at present; empty where all is well."""
        ...

    def close(self) -> None:
        """Close the source."""
        ...
