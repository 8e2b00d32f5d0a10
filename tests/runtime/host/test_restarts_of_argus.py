"""Restarts of nvargus-daemon, which several instances share: one a wedge, ever fewer where they bring nothing."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tremorscope.runtime.host.privileged import ArgusDaemon
from tremorscope.runtime.host.settings import RecoverySettings
from tremorscope.runtime.service.recovery import LEAST_LIFE_S, Outlook, RecoveryLadder

SETTINGS = RecoverySettings()
STARTS_IN_S = 15.0
"""From the end of a process to the first look of the next."""


@dataclass
class Device:
    """A device whose time is ours, with a daemon of which each process has one connection for its whole life."""

    directory: Path
    now_s: float = 1000.0
    generation: int = 0
    wedged: bool = False
    cured_by_restart: bool = True
    restarts_s: list[float] = field(default_factory=list)

    def daemon(self, instance: str) -> ArgusDaemon:
        return ArgusDaemon(
            SETTINGS,
            instance=instance,
            directory=self.directory,
            socket=self.directory / "socket",
            uptime_s=lambda: self.now_s,
        )

    def come_back(self) -> None:
        """The daemon has died, and systemd has brought it back: it listens on another socket."""
        self.generation += 1
        (self.directory / "new").touch()
        (self.directory / "new").replace(self.directory / "socket")

    def restart(self) -> str:
        self.generation += 1
        self.wedged = self.wedged and not self.cured_by_restart
        self.restarts_s.append(self.now_s)
        return ""


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


class Instance:
    """One instance of the service: its processes, one after the other."""

    def __init__(self, device: Device, name: str, *, camera_is_there: bool = True) -> None:
        self.device, self.name, self.camera_is_there = device, name, camera_is_there
        self.dark_s = 0.0
        self.start()

    def start(self) -> None:
        self.generation = self.device.generation
        self.daemon = self.device.daemon(self.name)
        self.ladder = RecoveryLadder(SETTINGS, argus=self.daemon, opening_s=17)
        self.comes_up_s: float | None = None

    def look(self) -> None:
        """A second passes."""
        device = self.device
        if self.comes_up_s is not None:
            self.dark_s += 1
            if device.now_s >= self.comes_up_s:
                self.start()
            return
        sees = self.camera_is_there and not device.wedged and self.generation == device.generation
        self.dark_s += not sees
        action = self.ladder.advance(device.now_s, sees, Outlook(opened_in_vain=not sees))
        if action is None or action.rung == "reopen":
            return
        if action.rung == "restart_argus":
            self.daemon.restart(device.restart)
        self.comes_up_s = device.now_s + STARTS_IN_S


def live(device: Device, instances: list[Instance], seconds: float) -> None:
    until_s = device.now_s + seconds
    while device.now_s < until_s:
        device.now_s += 1.0
        for instance in instances:
            instance.look()


def test_two_instances_and_one_wedge_make_one_restart_and_both_are_back_soon(device: Device) -> None:
    instances = [Instance(device, "north"), Instance(device, "south")]
    live(device, instances, 120)
    assert [instance.dark_s for instance in instances] == [0, 0]
    device.wedged = True
    live(device, instances, 1800)
    assert len(device.restarts_s) == 1
    assert max(instance.dark_s for instance in instances) <= 10 + 1 + STARTS_IN_S + 1


def test_a_restart_that_is_refused_is_asked_for_ever_less_often(device: Device) -> None:
    daemon = device.daemon("north")
    pauses_s = []
    for _ in range(4):
        assert daemon.refusal() == ""
        assert "not allowed" in daemon.restart(lambda: "not allowed")
        asked_s = device.now_s
        while daemon.refusal():
            device.now_s += 10.0
        pauses_s.append(device.now_s - asked_s)
    assert pauses_s == [120, 240, 480, 960]
    assert not daemon.is_blind()


def test_a_daemon_that_died_by_itself_is_not_restarted_once_more(device: Device) -> None:
    device.come_back()
    instances = [Instance(device, "north"), Instance(device, "south")]
    live(device, instances, 10)
    device.come_back()  # before they are old enough to end at once
    live(device, instances, 300)
    assert max(instance.dark_s for instance in instances) <= LEAST_LIFE_S + STARTS_IN_S + 1
    device.come_back()
    live(device, instances, 300)
    assert max(instance.dark_s for instance in instances) <= LEAST_LIFE_S + 2 * (STARTS_IN_S + 2)
    assert device.restarts_s == []


def test_a_camera_that_is_gone_takes_the_frames_of_another_ever_less_often(device: Device) -> None:
    gone, well = Instance(device, "gone", camera_is_there=False), Instance(device, "well")
    live(device, [gone, well], 6 * 3600)
    apart_s = [
        later - earlier for earlier, later in zip(device.restarts_s, device.restarts_s[1:], strict=False)
    ]
    assert len(device.restarts_s) == 10
    for pause_s, least_s in zip(apart_s, [120, 240, 480, 960, 1920, *[3600] * 4], strict=True):
        assert least_s <= pause_s < least_s + 120
    assert well.dark_s <= 10 * (STARTS_IN_S + 4)


def test_frames_for_good_forget_what_was_in_vain(device: Device) -> None:
    device.wedged, device.cured_by_restart = True, False
    instance = Instance(device, "north")
    live(device, [instance], 900)
    assert len(device.restarts_s) == 4
    assert "4 times in a row without frames" in device.daemon("north").refusal()
    device.wedged = False
    live(device, [instance], 120)
    assert device.daemon("north").refusal() == ""
    device.wedged = True
    live(device, [instance], 20)
    assert len(device.restarts_s) == 5


def test_who_began_before_a_restart_is_blind_and_who_began_after_it_is_not(device: Device) -> None:
    before, asking = device.daemon("before"), device.daemon("asking")
    device.now_s += 5
    assert asking.restart(device.restart) == "nvargus-daemon was restarted"
    device.now_s += 5
    assert [before.is_blind(), device.daemon("after").is_blind()] == [True, False]
    assert before.restart(device.restart) == "nvargus-daemon was restarted by another instance meanwhile"
    assert len(device.restarts_s) == 1


def test_whoever_waits_for_the_lock_sees_what_was_done_meanwhile(device: Device) -> None:
    first, second = device.daemon("first"), device.daemon("second")
    asked, go_on, said = threading.Event(), threading.Event(), []

    def slow() -> str:
        asked.set()
        assert go_on.wait(20)
        device.now_s += 3
        return device.restart()

    threads = [
        threading.Thread(target=lambda: said.append(first.restart(slow))),
        threading.Thread(target=lambda: asked.wait(20) and said.append(second.restart(device.restart))),
    ]
    device.now_s += 1
    for thread in threads:
        thread.start()
    asked.wait(20)
    assert second.restart(device.restart, patience_s=0.2).endswith("by another instance meanwhile")
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert sorted(said) == [
        "nvargus-daemon was restarted",
        "nvargus-daemon was restarted by another instance meanwhile",
    ]
    assert len(device.restarts_s) == 1


def test_a_restart_that_was_refused_makes_nobody_blind_and_says_why(device: Device) -> None:
    other, asking = device.daemon("other"), device.daemon("asking")
    device.now_s += 5
    said = asking.restart(lambda: "systemd refused: no")
    assert said == "nvargus-daemon could not be restarted: systemd refused: no"
    assert not other.is_blind()


def test_a_daemon_that_others_restarted_is_known_by_its_socket(device: Device) -> None:
    path = device.directory / "socket"

    def bind() -> socket.socket:
        path.unlink(missing_ok=True)
        made = socket.socket(socket.AF_UNIX)
        made.bind(str(path))
        return made

    too_early = device.daemon("north")
    with bind():
        assert too_early.is_blind()  # its plugin found no daemon, and asks only once
        daemon = device.daemon("north")
        assert not daemon.is_blind()
        path.unlink()
        assert not daemon.is_blind()  # dead, and nobody has restarted it yet
    with bind():
        assert daemon.is_blind()


def test_it_can_be_switched_off(device: Device) -> None:
    never = ArgusDaemon(RecoverySettings(restart_argus_attempts=0), directory=device.directory)
    assert never.refusal() == "restart_argus_attempts is 0"


@pytest.mark.parametrize("content", [b"", b"\x00", b'{"restarted_s": "x"}', b'{"in_vain": {"a": -1}}'])
def test_a_damaged_record_counts_as_none(device: Device, content: bytes) -> None:
    (device.directory / "argus.json").write_bytes(content)
    daemon = device.daemon("north")
    assert (daemon.refusal(), daemon.is_blind()) == ("", False)
    device.now_s += 1
    assert daemon.restart(device.restart) == "nvargus-daemon was restarted"
    assert daemon.is_blind()


def test_without_the_shared_directory_an_instance_is_on_its_own(device: Device) -> None:
    daemon = ArgusDaemon(SETTINGS, directory=device.directory / "none", socket=device.directory / "socket")
    assert daemon.restart(device.restart) == "nvargus-daemon was restarted"
    assert len(device.restarts_s) == 1
