"""Heat as the kernel's files tell it, read from a tree of files made like a Jetson's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tremorscope.runtime.host.thermal import SysfsThermometer, ThermalReading


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
    reading = SysfsThermometer().read()
    assert reading.temperature_c is None or -40 <= reading.temperature_c <= 150


def test_temperatures_that_jtop_tells_go_first_under_the_kernels_names(
    thermometer_of: Callable[..., SysfsThermometer],
) -> None:
    reading = thermometer_of("cpu-thermal").read({"cpu": 61.0, "nvme Composite": 84.0})
    assert (reading.temperature_c, reading.zone) == (61.0, "cpu-thermal")
    assert reading.temperatures_c == {"cpu-thermal": 61.0, "gpu-thermal": 51.5, "tj-thermal": 51.75}


def test_temperatures_of_jtop_count_alone_where_the_kernel_has_none(tmp_path: Path) -> None:
    assert SysfsThermometer((), tmp_path).read({"cpu": 61.0}).temperatures_c == {"cpu": 61.0}
