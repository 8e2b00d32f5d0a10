"""Power over a run: of the device, by frame and by pixel."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tremorscope.runtime.bench.job import run_bench
from tremorscope.runtime.bench.power_and_memory import DeviceTrace, traced_device
from tremorscope.runtime.bench.report import lines
from tremorscope.runtime.bench.settings import BenchJob
from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.host.thermal import ThermalReading
from tremorscope.runtime.telemetry import Reading


@dataclass
class Device:
    """A device that draws 10, 20, 10, 20 ... W."""

    asked: int = 0
    closed: bool = False
    fails_at: int = 1_000_000

    def read(self) -> Reading:
        self.asked += 1
        if self.asked >= self.fails_at:
            raise ValueError("the chip says nonsense")
        return Reading(source="sysfs").with_rails({"VDD_IN": 10.0 + 10 * (self.asked % 2)})

    def heat(self) -> ThermalReading:
        return ThermalReading(60.0, "tj", ("cpufreq-cpu0",) if self.asked == 3 else ())

    def note(self) -> str:
        return ""

    def close(self) -> None:
        self.closed = True


def test_power_is_the_mean_over_the_run_and_costs_follow() -> None:
    device = Device()
    with traced_device(device, every_s=0.005) as trace:
        while len(trace.power_w) < 20:
            time.sleep(0.002)
    assert device.closed
    assert trace.throttled == {"cpufreq-cpu0"}
    exact = replace_power(trace, [10.0, 20.0, 10.0, 20.0])
    found = exact.power(rate_hz=30.0, pixels=1_000_000)
    assert found is not None
    assert (found.mean_w, found.most_w, found.of) == (15.0, 20.0, "VDD_IN")
    assert found.frames_per_j == pytest.approx(2.0)
    assert found.pixel_nj == pytest.approx(500.0)  # 15 W over 30 million pixels a second


def replace_power(trace: DeviceTrace, power_w: list[float]) -> DeviceTrace:
    return replace(trace, power_w=power_w)


def test_a_run_shorter_than_a_period_is_read_once() -> None:
    with traced_device(Device(), every_s=60.0) as trace:
        pass
    assert len(trace.power_w) == 1


def test_a_device_without_a_meter_has_no_power() -> None:
    assert DeviceTrace().power(30.0, 100) is None
    assert DeviceTrace(power_w=[5.0]).power(0.0, 100) is None


def test_readings_that_fail_are_told_and_do_not_end_the_run() -> None:
    with traced_device(Device(fails_at=3), every_s=0.005) as trace:
        until_s = time.monotonic() + 10
        while not trace.failed and time.monotonic() < until_s:
            time.sleep(0.002)
    assert trace.failed == "ValueError: the chip says nonsense"


def test_a_bench_tells_power_where_it_is_measured(
    linear_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tremorscope.runtime.bench.power_and_memory.open_telemetry", Device)
    size = FrameSize(width_px=64, height_px=48)
    found = run_bench(BenchJob(bundle=linear_bundle, size=size, frames=12, warm_up=2, rate_hz=200.0))
    assert found.power is not None
    assert found.power.frames_per_j == pytest.approx(found.rate_hz / found.power.mean_w)
    told = next(line for line in lines(found) if line.startswith("power"))
    assert "W (VDD_IN)" in told
    assert "nJ a pixel" in told
    assert found.as_json()["power"]["mean_w"] == found.power.mean_w
