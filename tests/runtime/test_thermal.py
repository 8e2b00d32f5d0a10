"""Heat as the kernel's files tell it, read from a tree of files made like a Jetson's."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.configuration.device import ThermalSettings
from runtime.errors import OptionFault
from runtime.thermal import SysfsThermometer, ThermalReading, thermometer


class FakeSys:
    """The files of /sys that tell of heat, below a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, path: str, content: object) -> None:
        file = self.root / "sys/class" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")

    def zone(self, number: int, name: str, millidegrees: object) -> None:
        self.put(f"thermal/thermal_zone{number}/type", name)
        self.put(f"thermal/thermal_zone{number}/temp", millidegrees)

    def cooling(self, number: int, name: str, state: object) -> None:
        self.put(f"thermal/cooling_device{number}/type", name)
        self.put(f"thermal/cooling_device{number}/cur_state", state)


@pytest.fixture
def fake_sys(tmp_path: Path) -> FakeSys:
    tree = FakeSys(tmp_path)
    tree.zone(0, "cpu-thermal", 48_250)
    tree.zone(1, "gpu-thermal", 51_500)
    tree.zone(2, "cv0-thermal", "")  # switched off: the kernel answers EAGAIN, or nothing
    tree.zone(3, "soc0-thermal", -256_000)
    tree.zone(4, "soc1-thermal", 0)
    tree.zone(10, "tj-thermal", 51_750)
    tree.cooling(0, "pwm-fan", 3)
    tree.cooling(1, "cpufreq-cpu0", 0)
    tree.cooling(2, "devfreq-17000000.gpu", 0)
    tree.cooling(3, "cpu-throttle-alert", 0)
    tree.cooling(4, "hot-surface-alert", 1)
    for number in (1, 2, 3):
        tree.put(f"hwmon/hwmon3/oc{number}_event_cnt", 4)
    return tree


@pytest.fixture
def thermometer_of(fake_sys: FakeSys) -> Callable[..., SysfsThermometer]:
    return lambda *zones: SysfsThermometer(zones, fake_sys.root)


def test_the_hottest_believable_zone_counts(thermometer_of: Callable[..., SysfsThermometer]) -> None:
    reading = thermometer_of().read()
    assert (reading.temperature_c, reading.zone) == (51.75, "tj-thermal")
    assert reading.temperatures_c == {"cpu-thermal": 48.25, "gpu-thermal": 51.5, "tj-thermal": 51.75}
    assert str(reading) == "tj-thermal at 51.8 °C"


def test_only_named_zones_count_but_all_are_told(thermometer_of: Callable[..., SysfsThermometer]) -> None:
    reading = thermometer_of("cpu-thermal", "cv0-thermal").read()
    assert (reading.temperature_c, reading.zone) == (48.25, "cpu-thermal")
    assert len(reading.temperatures_c) == 3
    assert thermometer_of("no such zone").read().temperature_c is None


def test_a_fan_or_a_warm_case_does_not_hold_the_device_back_but_slower_clocks_do(
    fake_sys: FakeSys, thermometer_of: Callable[..., SysfsThermometer]
) -> None:
    assert thermometer_of().read().throttled == ()
    fake_sys.cooling(2, "devfreq-17000000.gpu", 5)
    fake_sys.cooling(3, "cpu-throttle-alert", 1)
    reading = thermometer_of().read()
    assert reading.throttled == ("devfreq-17000000.gpu", "cpu-throttle-alert")
    assert str(reading).endswith("held back by devfreq-17000000.gpu, cpu-throttle-alert")


def test_limits_count_from_the_first_reading_on_and_hold_back_only_when_just_met(
    fake_sys: FakeSys, thermometer_of: Callable[..., SysfsThermometer]
) -> None:
    sysfs = thermometer_of()
    first = sysfs.read()  # counts of before we began, e.g. from switching on, are none of ours
    assert (first.limit_events, first.throttled) == ({"oc1": 0, "oc2": 0, "oc3": 0}, ())
    fake_sys.put("hwmon/hwmon3/oc2_event_cnt", 7)
    second = sysfs.read()
    assert (second.limit_events["oc2"], second.throttled) == (3, ("over-current",))
    assert sysfs.read().throttled == ()
    fake_sys.put("hwmon/hwmon3/oc1_event_cnt", 5)
    assert sysfs.read().throttled == ("under-voltage",)


def test_short_peaks_of_power_are_counted_and_nothing_more(
    fake_sys: FakeSys, thermometer_of: Callable[..., SysfsThermometer]
) -> None:
    sysfs = thermometer_of()
    sysfs.read()
    fake_sys.put("hwmon/hwmon3/oc3_event_cnt", 27_390)
    reading = sysfs.read()
    assert (reading.limit_events["oc3"], reading.throttled) == (27_386, ())


def test_a_machine_that_tells_nothing_reads_as_nothing(tmp_path: Path) -> None:
    assert SysfsThermometer((), tmp_path).read() == ThermalReading(None)


def test_this_machine_can_be_read() -> None:
    reading = thermometer(ThermalSettings())()
    assert reading.temperature_c is None or -40 <= reading.temperature_c <= 150


# jtop


@pytest.fixture
def without_jtop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jtop", None)


@pytest.mark.usefixtures("without_jtop")
def test_jtop_that_is_not_there_is_a_fault_with_a_remedy() -> None:
    with pytest.raises(OptionFault, match="jtop is not installed: set thermal"):
        thermometer(ThermalSettings(source="jtop"))


def fake_jtop(monkeypatch: pytest.MonkeyPatch, sensors: dict[str, Any]) -> dict[str, bool]:
    """A stand-in with jtop's interface (jetson-stats 4.3 and 7.2); returns the switches of its service."""
    service = {"answers": True, "fails": False}

    class JtopException(Exception):
        pass

    class Jtop:
        def __init__(self, interval: float) -> None:
            self.temperature = sensors
            assert interval > 0

        def start(self) -> None:
            if not service["answers"]:
                raise JtopException(
                    "The jtop.service is not active. Please run:\nsudo jtop --install-service"
                )

        def ok(self, spin: bool) -> bool:
            assert spin
            if service["fails"]:
                raise JtopException("Lost connection with jtop server")
            return True

    module = types.ModuleType("jtop")
    module.jtop, module.JtopException = Jtop, JtopException  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "jtop", module)
    return service


def test_jtop_tells_temperatures_and_sysfs_the_rest(
    monkeypatch: pytest.MonkeyPatch, fake_sys: FakeSys
) -> None:
    sensors = {"cpu": {"temp": 61.0, "online": True}, "cv0": {"temp": -256, "online": False}}
    service = fake_jtop(monkeypatch, sensors)
    fake_sys.cooling(1, "cpufreq-cpu0", 2)
    read = thermometer(ThermalSettings(source="jtop"), fake_sys.root)
    assert (read().temperature_c, read().zone, read().throttled) == (61.0, "cpu", ("cpufreq-cpu0",))
    service["fails"] = True  # its service is known to crash: the kernel's own files go on
    assert (read().temperature_c, read().zone) == (51.75, "tj-thermal")


def test_jtop_without_its_service_is_a_fault_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    service = fake_jtop(monkeypatch, {})
    service["answers"] = False
    with pytest.raises(OptionFault) as caught:
        thermometer(ThermalSettings(source="jtop"))
    assert "\n" not in str(caught.value)
    assert "is not active" in str(caught.value)
