"""Telemetry from the kernel's files, read from invented trees of each board family, and from a PC's."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from boards import BY_FILES, MHZ
from device_trees import CORES, Tree, build, put_emc, put_processor

from tremorscope.runtime.telemetry import Reading, open_telemetry
from tremorscope.runtime.telemetry.sysfs import EnergyCounters, SysfsTelemetry


def same(found: Reading, wanted: Reading) -> bool:
    """Whether two readings say the same, but for what arithmetic rounds."""
    return all(
        getattr(found, each.name) == pytest.approx(getattr(wanted, each.name), rel=1e-9)
        if isinstance(getattr(wanted, each.name), (float, dict)) and each.name != "engines"
        else getattr(found, each.name) == getattr(wanted, each.name)
        for each in fields(Reading)
    )


def differing(found: Reading, wanted: Reading) -> dict[str, tuple[object, object]]:
    """Fields in which two readings differ, for the message of a failure."""
    pairs = {each.name: (getattr(found, each.name), getattr(wanted, each.name)) for each in fields(Reading)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def second_reading(telemetry: SysfsTelemetry, tree: Tree, board: str) -> Reading:
    telemetry.read()
    put_processor(tree, 1000, *CORES[board])
    return telemetry.read()


@pytest.mark.parametrize("board", BY_FILES)
def test_every_number_of_each_board_is_read_without_any_rights(tmp_path: Path, board: str) -> None:
    tree = build(tmp_path, board)
    found = second_reading(SysfsTelemetry((), tmp_path), tree, board)
    assert same(found, BY_FILES[board]), differing(found, BY_FILES[board])


def test_root_reads_the_memorys_load_too(tmp_path: Path) -> None:
    tree = build(tmp_path, "orin-nano")
    assert SysfsTelemetry((), tmp_path).read().emc_load_ratio is None
    put_emc(tree)
    found = SysfsTelemetry((), tmp_path).read()
    assert (found.emc_load_ratio, found.emc_frequency_hz) == (pytest.approx(0.31), 3199 * MHZ)


def test_clocks_that_are_held_are_told(tmp_path: Path) -> None:
    tree = build(tmp_path, "agx-orin")  # whose GPU is held already
    for policy in (0, 4):
        tree.put(f"sys/devices/system/cpu/cpufreq/policy{policy}", scaling_min_freq=2_201_600)
    assert SysfsTelemetry((), tmp_path).read().jetson_clocks is False  # policy8 still moves
    tree.put("sys/devices/system/cpu/cpufreq/policy8", scaling_min_freq=2_201_600)
    assert SysfsTelemetry((), tmp_path).read().jetson_clocks is True


def test_an_unknown_mode_is_told_by_its_number(tmp_path: Path) -> None:
    tree = build(tmp_path, "orin-nano")
    tree.put("var/lib/nvpmodel", status="pmode:0007 fmode:quiet")
    assert SysfsTelemetry((), tmp_path).read().power_mode == "mode 7"


def test_what_is_not_there_is_unknown_and_never_zero(tmp_path: Path) -> None:
    assert SysfsTelemetry((), tmp_path).read() == Reading(source="sysfs")
    assert SysfsTelemetry((), tmp_path).heat().temperature_c is None


@pytest.mark.parametrize("board", BY_FILES)
def test_files_that_vanish_are_endured(tmp_path: Path, board: str) -> None:
    """A device that is unplugged or reset takes its files with it, one by one."""
    tree = build(tmp_path, board)
    telemetry = SysfsTelemetry((), tmp_path)
    for path in sorted(path for path in tmp_path.rglob("*") if path.is_file()):
        path.unlink()
        telemetry.read()
        telemetry.heat()
    assert telemetry.read() == Reading(source="sysfs")
    assert tree.root == tmp_path


def test_a_directory_that_goes_while_it_is_looked_at_is_endured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path, "thor")

    def gone(_path: Path, _pattern: str) -> list[Path]:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "glob", gone)
    telemetry = SysfsTelemetry((), tmp_path)
    assert telemetry.heat().temperatures_c == {}
    found = telemetry.read()
    assert (found.rails_w, found.engines, found.cpu_cores, found.power_mode) == ({}, {}, 14, "120W")


RUBBISH = (
    "",
    "garbage",
    "<not supported>",
    "-1",
    "9" * 30,
    "9" * 400,
    "\x00\xff",
    "1\n2\n3",
    "cpu  x y",
    "cpu  1",
)


@pytest.mark.parametrize("content", RUBBISH)
def test_files_with_rubbish_are_endured(tmp_path: Path, content: str) -> None:
    build(tmp_path, "orin-nano")
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.write_text(content)
    telemetry = open_telemetry("sysfs", tmp_path)
    telemetry.read()
    found = telemetry.read()
    for ratio in (found.gpu_load_ratio, found.emc_load_ratio, found.cpu_load_ratio):
        assert ratio is None or 0 <= ratio <= 1
    assert telemetry.heat().throttled == ()


# A PC


def put_rapl(tree: Tree, zone: str, name: str, energy_uj: object) -> None:
    tree.put(f"sys/class/powercap/{zone}", name=name, energy_uj=energy_uj, max_energy_range_uj=1_000_000)


def test_a_processors_counters_give_power_between_two_readings(tmp_path: Path) -> None:
    tree, seconds = Tree(tmp_path), iter([0.0, 0.0, 2.0, 2.0, 4.0, 4.0])
    counters = EnergyCounters(tmp_path, lambda: next(seconds))  # asked once a counter
    put_rapl(tree, "intel-rapl:0", "package-0", 100_000)
    put_rapl(tree, "intel-rapl:0:0", "core", 50_000)  # part of the package
    put_rapl(tree, "intel-rapl:0:1", "dram", 10_000)
    assert counters.read_w() == {}
    put_rapl(tree, "intel-rapl:0", "package-0", 900_000)
    put_rapl(tree, "intel-rapl:0:1", "dram", 30_000)
    assert counters.read_w() == pytest.approx({"package-0": 0.4, "package-0 dram": 0.01})
    put_rapl(tree, "intel-rapl:0", "package-0", 300_000)  # begun anew at a million
    assert counters.read_w() == pytest.approx({"package-0": 0.2, "package-0 dram": 0})


def test_counters_that_only_root_may_read_are_left_out(tmp_path: Path) -> None:
    put_rapl(Tree(tmp_path), "intel-rapl:0", "package-0", None)
    telemetry = SysfsTelemetry((), tmp_path)
    assert [telemetry.read().power_w for _ in range(2)] == [None, None]


def test_a_pc_with_several_fans_and_a_meter_at_its_supply(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.put("sys/class/hwmon/hwmon0", name="nct6775", pwm1=255, pwm2=51, fan1_input=1200, fan2_input=0)
    tree.put("sys/class/hwmon/hwmon1", name="power_meter", power1_average=120_500_000)
    found = SysfsTelemetry((), tmp_path).read()
    assert found.fan_duty_ratio == {"nct6775 1": 1.0, "nct6775 2": 0.2}
    assert found.fan_speed_rpm == {"nct6775 1": 1200, "nct6775 2": 0}  # it stands still: that is a reading
    assert (found.power_w, found.power_of) == (120.5, "system")
    assert (found.jetson_clocks, found.power_mode, found.gpu_frequency_hz) == (None, None, None)


def test_this_machine_can_be_read() -> None:
    telemetry = open_telemetry("sysfs")
    telemetry.read()
    found = telemetry.read()
    assert found.memory_total_bytes
    assert found.cpu_cores
    assert found.memory_used_bytes is not None
    assert 0 < found.memory_used_bytes < found.memory_total_bytes


@pytest.fixture
def stuck_file(tmp_path: Path) -> Iterator[Path]:
    """A file that cannot be opened before somebody writes to it, as one whose driver waits for a chip."""
    build(tmp_path, "orin-nano")
    path = tmp_path / "sys/class/hwmon/hwmon1/curr1_input"
    path.unlink()
    os.mkfifo(path)
    yield path
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)  # lets the reader go
    os.write(descriptor, b"1640\n")
    os.close(descriptor)


def test_a_reading_waits_for_a_file_that_hangs_which_is_why_it_has_a_thread(
    tmp_path: Path, stuck_file: Path
) -> None:
    reader = threading.Thread(target=SysfsTelemetry((), tmp_path).read, daemon=True)
    reader.start()
    reader.join(0.3)
    assert reader.is_alive()
    assert stuck_file.is_fifo()
