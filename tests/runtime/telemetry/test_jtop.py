"""Telemetry from jtop: its answers, its service that comes and goes, and the kernel's files whenever it is away."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jtop_client
import pytest
from boards import ANSWERS, BY_FILES, BY_JTOP, MHZ, gpu
from device_trees import CORES, build, put_processor
from test_sysfs import differing, same

from tremorscope.runtime.host.settings import ThermalSettings
from tremorscope.runtime.host.threads import Threads
from tremorscope.runtime.service.device import DeviceWatch
from tremorscope.runtime.telemetry import Reading, open_telemetry
from tremorscope.runtime.telemetry.jtop import JtopLink, JtopTelemetry
from tremorscope.runtime.telemetry.jtop_reading import reading_of, temperatures_c
from tremorscope.runtime.telemetry.sysfs import SysfsTelemetry

INTERVAL_S = 0.2
WITHIN_S = 20.0


def answering(**changes: Any) -> jtop_client.Answers:
    """What a connected client of jtop says on an Orin Nano, but for some changes."""
    return jtop_client.Answers({**ANSWERS["orin-nano"], "uptime": 1.0, **changes})


# The answers


@pytest.mark.parametrize("board", BY_JTOP)
def test_jtop_and_the_files_tell_each_board_in_the_same_names_and_units(tmp_path: Path, board: str) -> None:
    tree, kernel = build(tmp_path, board), SysfsTelemetry((), tmp_path)
    kernel.read()
    put_processor(tree, 1000, *CORES[board])
    told = reading_of(jtop_client.Answers({**ANSWERS[board], "uptime": 1.0}))
    found = told.completed_by(kernel.read())
    assert same(found, BY_JTOP[board]), differing(found, BY_JTOP[board])
    known = {name for name, value in vars(BY_FILES[board]).items() if value not in (None, {}, "")}
    assert known <= {name for name, value in vars(found).items() if value not in (None, {}, "")}


def test_zeros_by_which_jtop_means_that_it_does_not_know_are_unknown() -> None:
    by_nvml = reading_of(answering(gpu=gpu("Orin", 0.0, 0, 0, power_control="nvml")))
    assert (by_nvml.gpu_load_ratio, by_nvml.gpu_frequency_hz, by_nvml.gpu_frequency_max_hz) == (
        None,
        None,
        None,
    )
    no_rails = reading_of(answering(power={"rail": {}, "tot": {"power": 0, "avg": 0}}))
    assert (no_rails.power_w, no_rails.power_of) == (None, "")
    no_monitor = reading_of(answering(power={}))
    assert no_monitor.power_w is None
    no_clock = reading_of(answering(mem={"EMC": {"cur": 1, "val": 99_169_000, "online": True}}))
    assert (no_clock.emc_load_ratio, no_clock.emc_frequency_hz) == (None, None)


def test_zeros_that_jtop_has_read_are_zeros() -> None:
    found = reading_of(
        answering(gpu=gpu("gpu", 0.0, 306000, 1020000), fan={"pwmfan": {"speed": [0.0], "rpm": [0]}})
    )
    assert (found.gpu_load_ratio, found.gpu_frequency_hz) == (0.0, 306 * MHZ)
    assert (found.fan_duty_ratio, found.fan_speed_rpm) == ({"pwmfan": 0.0}, {"pwmfan": 0.0})


@pytest.mark.parametrize(
    "rubbish", [None, {}, [], 7, "x", {"a": None}, {"a": {"b": None}}, {"a": {"cur": "x"}}]
)
def test_answers_in_another_form_are_left_out(rubbish: Any) -> None:
    keys = ("gpu", "mem", "engines", "temperature", "power", "fan")
    answers = jtop_client.Answers({})
    found = jtop_client.Readable({"EMC": rubbish})
    answers.gpu, answers.memory, answers.fan = (jtop_client.Readable({"x": rubbish}), found, found)
    answers._numbers = {key: {"x": rubbish, "rail": rubbish, "tot": rubbish} for key in keys}
    told = reading_of(answers)
    assert (told.power_w, told.gpu_load_ratio, told.emc_load_ratio, told.engines) == (None, None, None, {})
    assert temperatures_c(answers) == {}


def test_a_power_mode_that_nvpmodel_did_not_tell_is_unknown() -> None:
    assert reading_of(answering(nvp={"status": [], "thread": False, "model": {}})).power_mode is None
    assert reading_of(answering(nvp={"status": [], "thread": False, "model": None})).power_mode is None
    assert reading_of(answering(jc={"enable": True})).jetson_clocks is True


# The service


class Rig:
    """A service of jtop in a process of its own, and a client in this one."""

    def __init__(self, directory: Path, authkey: str, answers: dict[str, Any]) -> None:
        self.directory, self.authkey, self.answers = directory, authkey, answers
        self.socket = directory / "jtop.sock"
        self.later_s = 0.0
        self._process: subprocess.Popen[str] | None = None

    def start(self, version: str = jtop_client.VERSION) -> None:
        self.socket.unlink(missing_ok=True)
        command = [sys.executable, str(Path(__file__).with_name("jtop_service.py")), str(self.socket)]
        self._process = subprocess.Popen([*command, self.authkey, version], stdin=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(self.answers))
        self._process.stdin.close()
        until(self.socket.exists)

    def end(self) -> None:
        """As a crash ends it: the socket stays behind."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def command(self, word: str, on: bool = True) -> None:
        (self.directory / word).touch() if on else (self.directory / word).unlink()

    def telemetry(self, asked_for: bool = True) -> JtopTelemetry:
        link = JtopLink(
            asked_for=asked_for, socket=self.socket, interval_s=INTERVAL_S,
            clock=lambda: time.monotonic() + self.later_s,
        )  # fmt: skip
        return JtopTelemetry(SysfsTelemetry((), self.directory), link, asked_for=asked_for)

    def wait_out_the_pause(self) -> None:
        self.later_s += 1000.0


def until(is_so: Callable[[], object]) -> None:
    until_s = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < until_s
        time.sleep(0.01)


@pytest.fixture(params=["stand-in", "jetson-stats"])
def rig(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """With a stand-in for jtop's client; and with its own, for whoever has it on the path."""
    build(tmp_path, "orin-nano")
    authkey = jtop_client.AUTHKEY
    if request.param == "stand-in":
        monkeypatch.setitem(sys.modules, "jtop", jtop_client.module(tmp_path / "jtop.sock"))
    else:
        pytest.importorskip("jtop", reason="needs jetson-stats, which is never installed by this project")
        from jtop import service
        from jtop.core.common import get_key

        authkey = get_key()
        monkeypatch.setattr(service, "JTOP_PIPE", str(tmp_path / "jtop.sock"))
    made = Rig(tmp_path, authkey, {**ANSWERS["orin-nano"], "cpu": {}, "processes": []})
    yield made
    made.end()


def source(telemetry: JtopTelemetry) -> str:
    return telemetry.read().source


def test_jtop_tells_what_it_can_and_the_files_tell_all_when_it_ends(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.start()
    telemetry = rig.telemetry()
    until(lambda: source(telemetry) == "jtop")
    assert (telemetry.read().emc_load_ratio, telemetry.note()) == (0.31, "")
    # Of jtop's temperatures those count that the kernel has too, by the kernel's names: no disk slows magnification.
    assert telemetry.heat().temperatures_c == {
        "cpu-thermal": 48.75, "gpu-thermal": 47.1, "soc0-thermal": 46.0, "tj-thermal": 48.25
    }  # fmt: skip
    rig.end()
    until(lambda: source(telemetry) == "sysfs")
    assert telemetry.read().power_w == pytest.approx(8.2)
    assert telemetry.heat().temperatures_c["cpu-thermal"] == 48.25
    until(telemetry.note)
    telemetry.close()
    assert [record.levelname for record in caplog.records if "kernel's files are read" in record.message] == [
        "WARNING"
    ]


def test_a_service_that_was_started_again_is_found(rig: Rig) -> None:
    """Many times: a client in the thread of the one before would never come through again."""
    telemetry = rig.telemetry()
    for _ in range(3):
        rig.start()
        rig.wait_out_the_pause()
        until(lambda: source(telemetry) == "jtop")
        rig.end()
        until(telemetry.note)
        assert source(telemetry) == "sysfs"
    telemetry.close()


def test_a_service_that_hangs_is_noticed_by_its_old_numbers(rig: Rig) -> None:
    rig.start()
    telemetry = rig.telemetry()
    until(lambda: source(telemetry) == "jtop")
    rig.command("hang")
    until(lambda: source(telemetry) == "sysfs")
    assert telemetry.note() == "jtop: its service does not answer"
    rig.command("hang", on=False)
    until(lambda: source(telemetry) == "jtop")
    assert telemetry.note() == ""
    telemetry.close()


def test_a_service_that_never_greets_is_found_when_it_was_started_again(rig: Rig) -> None:
    rig.command("mute")
    rig.start()
    telemetry = rig.telemetry()
    until(lambda: source(telemetry) == "sysfs" and telemetry.note() == "jtop: its service does not answer")
    rig.end()
    until(lambda: source(telemetry) and "does not answer" not in telemetry.note())
    rig.command("mute", on=False)
    rig.start()
    rig.wait_out_the_pause()
    until(lambda: source(telemetry) == "jtop")
    telemetry.close()


def test_another_version_is_told_in_one_line(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.start(version="4.3.2")
    telemetry = rig.telemetry()
    until(lambda: source(telemetry) and telemetry.note())
    assert "Mismatch version" in telemetry.note()
    assert "\n" not in caplog.text.strip()
    telemetry.close()


def test_a_connection_that_hangs_holds_nobody_up(rig: Rig) -> None:
    with socket.socket(socket.AF_UNIX) as listening:  # that never accepts
        listening.bind(str(rig.socket))
        listening.listen(1)
        telemetry = rig.telemetry()
        begun_s = time.monotonic()
        assert source(telemetry) == "sysfs"
        until(lambda: source(telemetry) and telemetry.note() == "jtop: its service does not answer")
        assert time.monotonic() - begun_s < WITHIN_S
    telemetry.close()


# Where there is no jtop


@pytest.fixture
def without_jtop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jtop", None)


def test_no_service_is_a_warning_once_and_never_a_fault(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build(tmp_path, "orin-nano")
    telemetry = open_telemetry("jtop", tmp_path)
    for _ in range(5):
        assert telemetry.read().source == "sysfs"
        assert telemetry.heat().temperature_c == 48.25
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"there is no {tmp_path}/run/jtop.sock: its service does not run" in caplog.text


def test_without_its_group_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "run/jtop.sock"))
        monkeypatch.setattr(
            os, "access", lambda path, mode: mode == os.F_OK or "jtop.sock" not in str(path)
        )  # root may all
        telemetry = open_telemetry("jtop", tmp_path)
        assert telemetry.read().source == "sysfs"
    assert "add it to the group jtop" in telemetry.note()
    assert caplog.text.count("add it to the group jtop") == 1


@pytest.mark.usefixtures("without_jtop")
def test_without_the_package_the_files_are_read(tmp_path: Path) -> None:
    build(tmp_path, "orin-nano")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/jtop.sock").touch()
    telemetry = open_telemetry("jtop", tmp_path)
    until(lambda: telemetry.read() and "install jetson-stats" in telemetry.note())
    assert telemetry.read().power_w == pytest.approx(8.2)


def test_nobody_is_warned_who_did_not_ask_for_jtop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        telemetry = open_telemetry("auto", tmp_path)
        assert telemetry.read() == Reading(source="sysfs")
    assert (caplog.text, telemetry.note()) == ("", "")


# The service's watch


def test_one_chip_that_hangs_hides_neither_the_heat_nor_stops_the_service(tmp_path: Path) -> None:
    build(tmp_path, "orin-nano")
    stuck = tmp_path / "sys/class/hwmon/hwmon1/curr1_input"
    stuck.unlink()
    os.mkfifo(stuck)
    watch = DeviceWatch(ThermalSettings(), open_telemetry("sysfs", tmp_path))
    watch.start()
    until(lambda: watch.heat().temperature_c == 48.25)
    assert watch.reading() == Reading()
    assert watch.trouble() == ""
    begun_s, watch._readings._clock = time.monotonic(), lambda: time.monotonic() + 60
    until(watch.trouble)
    assert watch.trouble().startswith("the kernel has not given power, clocks and load for 6")
    watch.close()
    assert time.monotonic() - begun_s < WITHIN_S
    descriptor = os.open(stuck, os.O_RDWR | os.O_NONBLOCK)
    os.write(descriptor, b"1640\n")
    os.close(descriptor)


def test_a_mistake_in_a_reading_is_told_and_ends_nothing() -> None:
    class Mistaken(SysfsTelemetry):
        def read(self) -> Reading:
            raise ZeroDivisionError

    threads = Threads(pauses_s=(0.01, 0.01))
    watch = DeviceWatch(ThermalSettings(), Mistaken(), threads=threads)
    watch.start()
    until(lambda: threads.failures.get("telemetry", 0) > 2)
    assert (watch.reading(), threads.stopping) == (Reading(), False)
    assert "thread telemetry failed" in threads.problems()[0]
    watch.close()
    threads.stop(1.0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_mistake_in_jtop_itself_is_told_and_the_files_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mistaken(jtop_client.Jtop):
        def start(self) -> None:
            raise ZeroDivisionError

    (tmp_path / "run").mkdir()
    (tmp_path / "run/jtop.sock").touch()
    module = jtop_client.module(tmp_path / "run/jtop.sock")
    module.jtop = Mistaken
    monkeypatch.setitem(sys.modules, "jtop", module)
    telemetry = open_telemetry("jtop", tmp_path)
    until(lambda: telemetry.read().source == "sysfs" and "ended by a program error" in telemetry.note())
