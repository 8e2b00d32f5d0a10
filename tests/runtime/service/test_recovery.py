"""The recovery ladder: its rungs in order, each with its dwell, and restarts of the device bounded and remembered."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tremorscope.runtime.host.privileged import is_updating
from tremorscope.runtime.host.settings import RebootSettings, RecoverySettings
from tremorscope.runtime.service.reboots import RebootMemory, memory_file
from tremorscope.runtime.service.recovery import (
    ALL_REFUSED_S,
    LEAST_LIFE_S,
    RUNGS,
    Action,
    Outlook,
    RecoveryLadder,
)

SETTINGS = RecoverySettings(reopen_after_s=10, reopen_attempts=2, steady_s=30)
IN_VAIN = Outlook(opened_in_vain=True)


@dataclass
class Daemon:
    """nvargus-daemon as the ladder sees it."""

    blind: bool = False
    why_not: str = ""
    healths: int = 0

    def is_blind(self) -> bool:
        return self.blind

    def refusal(self) -> str:
        return self.why_not

    def note_health(self) -> None:
        self.healths += 1


@dataclass
class Device:
    """A device whose time is ours: it can run, and be started anew."""

    path: Path
    settings: RebootSettings = field(default_factory=lambda: RebootSettings(enabled=True))
    uptime_s: float = 0.0
    boot: int = 1

    def memory(self, instance: str = "") -> RebootMemory:
        return RebootMemory(
            self.path,
            self.settings,
            instance=instance,
            uptime_s=lambda: self.uptime_s,
            boot_id=lambda: f"boot-{self.boot}",
        )

    def restart(self) -> None:
        self.uptime_s, self.boot = 0.0, self.boot + 1


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path / "recovery.json")


def climb(
    ladder: RecoveryLadder, *, until_s: float, healthy: bool = False, outlook: Outlook | None = None
) -> list[tuple[float, str]]:
    """Ten looks a second at a camera that stays as it is; returns when each rung was taken."""
    taken = []
    for tenth in range(round(until_s * 10)):
        action = ladder.advance(tenth / 10, healthy, outlook or Outlook())
        if action is not None:
            taken.append((tenth / 10, action.rung))
    return taken


def test_the_rungs_come_in_their_order_each_after_its_dwell() -> None:
    ladder = RecoveryLadder(SETTINGS)
    assert climb(ladder, until_s=100) == [(10.0, "reopen"), (20.0, "reopen"), (30.0, "exit")]
    assert ladder.longest_s == 30.0
    assert ladder.counts == {"reopen": 2, "restart_argus": 0, "exit": 1, "reboot": 0}


def test_a_restart_of_the_daemon_is_the_last_that_a_process_does() -> None:
    ladder = RecoveryLadder(SETTINGS, argus=Daemon())
    assert climb(ladder, until_s=100) == [(10.0, "reopen"), (20.0, "reopen"), (30.0, "restart_argus")]
    assert ladder.counts == {"reopen": 2, "restart_argus": 1, "exit": 0, "reboot": 0}


@pytest.mark.parametrize("outlook", [IN_VAIN, Outlook(stuck=True)])
def test_a_camera_that_was_opened_in_vain_already_is_not_opened_once_more_before_the_daemon_is_restarted(
    outlook: Outlook,
) -> None:
    slow = RecoveryLadder(SETTINGS, argus=Daemon(), opening_s=17)
    assert climb(slow, until_s=100, outlook=outlook) == [(10.0, "restart_argus")]


def test_a_daemon_that_was_restarted_in_vain_is_left_alone_for_a_while() -> None:
    ladder = RecoveryLadder(SETTINGS, argus=Daemon(why_not="not again"))
    assert climb(ladder, until_s=100, outlook=IN_VAIN) == [(10, "reopen"), (20, "reopen"), (30, "exit")]


def test_what_the_configuration_got_wrong_is_no_reason_to_restart_the_daemon() -> None:
    ladder = RecoveryLadder(SETTINGS, argus=Daemon())
    wrong = Outlook(refused=True, opened_in_vain=True)
    assert climb(ladder, until_s=100, outlook=wrong) == [(10, "reopen"), (20, "reopen"), (30, "exit")]


def test_a_process_that_lived_through_a_restart_of_the_daemon_ends_at_once_and_restarts_nothing() -> None:
    daemon = Daemon()
    ladder = RecoveryLadder(SETTINGS, argus=daemon)
    climb(ladder, until_s=60, healthy=True)
    assert daemon.healths == 1
    daemon.blind = True
    assert ladder.advance(60.0, True) is None  # as long as frames come nobody asks
    action = ladder.advance(61.0, False)
    assert action is not None
    assert action.rung == "exit"
    assert str(action).endswith("nvargus-daemon was restarted, and only a new process sees frames")
    assert ladder.counts["restart_argus"] == 0


def test_a_process_that_is_blind_from_the_start_does_not_end_so_soon_that_systemd_gives_it_up() -> None:
    ladder = RecoveryLadder(SETTINGS, argus=Daemon(blind=True))
    assert climb(ladder, until_s=60, outlook=IN_VAIN) == [(LEAST_LIFE_S, "exit")]


def test_a_camera_that_is_slow_to_open_is_given_the_time_for_it() -> None:
    ladder = RecoveryLadder(SETTINGS, opening_s=25)
    assert climb(ladder, until_s=100) == [(25.0, "reopen"), (50.0, "reopen"), (75.0, "exit")]
    assert ladder.longest_s == 75.0


def test_a_camera_that_hangs_in_its_driver_is_not_opened_again() -> None:
    assert climb(RecoveryLadder(SETTINGS), until_s=60, outlook=Outlook(stuck=True)) == [
        (LEAST_LIFE_S, "exit")
    ]


def test_a_process_that_can_tell_of_refused_frames_lives_on_for_ten_minutes() -> None:
    taken = climb(
        RecoveryLadder(SETTINGS), until_s=700, outlook=Outlook(all_refused=True, opened_in_vain=True)
    )
    assert taken == [(10.0, "reopen"), (20.0, "reopen"), (ALL_REFUSED_S, "exit")]
    assert ALL_REFUSED_S == 600.0


def test_a_sensor_is_never_dark_to_the_bit_so_its_daemon_is_restarted_all_the_same() -> None:
    outlook = Outlook(all_refused=True, opened_in_vain=True)
    taken = climb(RecoveryLadder(SETTINGS, argus=Daemon()), until_s=60, outlook=outlook)
    assert taken == [(10.0, "restart_argus")]


def test_refused_frames_that_end_in_nothing_are_a_camera_that_is_away() -> None:
    ladder = RecoveryLadder(SETTINGS)
    climb(ladder, until_s=100, outlook=Outlook(all_refused=True))
    action = ladder.advance(100.0, False)
    assert action is not None
    assert action.rung == "exit"


def test_a_camera_that_is_well_is_left_alone() -> None:
    ladder = RecoveryLadder(SETTINGS, argus=Daemon())
    assert climb(ladder, until_s=100, healthy=True) == []


def test_an_outage_is_over_only_when_frames_have_come_for_a_while() -> None:
    ladder = RecoveryLadder(SETTINGS, argus=Daemon())
    assert ladder.advance(0, False) is None
    assert str(ladder.advance(10, False)) == ("no good frames for 10 s: opening the camera anew (attempt 1)")
    for second in range(11, 35):  # back, but not for long enough
        assert ladder.advance(second, True) is None
    assert ladder.advance(35, False) is None
    again = ladder.advance(45, False)
    assert again is not None
    assert (again.rung, again.attempt) == ("reopen", 2)
    for second in range(46, 78):
        ladder.advance(second, True)
    ladder.advance(80, False)
    afresh = ladder.advance(90, False)
    assert afresh is not None
    assert (afresh.rung, afresh.attempt) == ("reopen", 1)
    assert ladder.counts["reopen"] == 3


def test_after_the_last_rung_nothing_more_is_done() -> None:
    ladder = RecoveryLadder(SETTINGS)
    climb(ladder, until_s=40)
    assert [ladder.advance(1000.0 + second, False) for second in range(100)] == [None] * 100


@given(
    st.lists(st.tuples(st.floats(0, 40), st.booleans(), st.booleans()), max_size=80),
    st.booleans(),
)
def test_rungs_never_step_down_within_an_outage_and_never_come_sooner_than_their_dwell(
    looks: list[tuple[float, bool, bool]], has_argus: bool
) -> None:
    ladder = RecoveryLadder(SETTINGS, argus=Daemon() if has_argus else None)
    now_s, well_since_s, latest, taken = 0.0, None, -1, []
    for pause_s, healthy, stuck in looks:
        now_s += pause_s
        action = ladder.advance(now_s, healthy, Outlook(stuck=stuck))
        well_since_s = (now_s if well_since_s is None else well_since_s) if healthy else None
        if well_since_s is not None and now_s - well_since_s >= SETTINGS.steady_s:
            latest = -1  # the outage is over
        if action is not None:
            assert not healthy
            assert RUNGS.index(action.rung) >= latest
            assert has_argus or action.rung != "restart_argus"
            latest = RUNGS.index(action.rung)
            taken.append(now_s)
    assert all(later - earlier >= 10.0 for earlier, later in pairwise(taken))
    assert sum(ladder.counts.values()) == len(taken)


def process(device: Device, *, instance: str = "", busy: str = "") -> Action:
    """One process that never gets a frame, from its start to its end."""
    ladder = RecoveryLadder(
        SETTINGS.model_copy(update={"reboot": device.settings}),
        memory=device.memory(instance),
        busy=lambda: busy,
    )
    began_s = device.uptime_s
    while True:
        device.uptime_s += 1.0
        action = ladder.advance(device.uptime_s - began_s, False)
        if action is not None and action.rung in ("exit", "reboot"):
            return action


def test_the_device_is_restarted_only_after_enough_failed_starts(device: Device) -> None:
    device.uptime_s = 5000.0
    assert [process(device).rung for _ in range(4)] == ["exit", "exit", "exit", "reboot"]


def test_frames_that_come_for_good_end_the_row_of_failed_starts(device: Device) -> None:
    device.uptime_s = 5000.0
    for _ in range(3):
        process(device)
    assert device.memory().failed_starts == 3
    ladder = RecoveryLadder(SETTINGS, memory=device.memory())
    climb(ladder, until_s=40, healthy=True)
    assert device.memory().failed_starts == 0
    assert process(device).rung == "exit"


def test_it_is_never_restarted_unless_somebody_wants_it(tmp_path: Path) -> None:
    device = Device(tmp_path / "recovery.json", RebootSettings(), uptime_s=5000.0)
    assert {process(device).rung for _ in range(20)} == {"exit"}


def test_it_is_not_restarted_while_something_must_not_be_interrupted(device: Device) -> None:
    device.uptime_s = 5000.0
    for _ in range(3):
        process(device)
    action = process(device, busy="a clip is being written")
    assert action.rung == "exit"
    assert str(action).endswith("the device is not restarted: a clip is being written")
    assert process(device).rung == "reboot"


def test_it_is_not_restarted_soon_after_it_was_started(device: Device) -> None:
    device.uptime_s = 100.0
    actions = [process(device) for _ in range(5)]
    assert {action.rung for action in actions} == {"exit"}
    assert "started only" in actions[-1].note


def test_it_is_not_restarted_when_that_could_not_be_remembered(device: Device) -> None:
    device.uptime_s = 5000.0
    for _ in range(3):
        process(device)
    device.path = device.path.parent / "no such directory" / "recovery.json"
    memory = device.memory()
    assert memory.note_reboot() != ""
    assert str(device.path) in memory.trouble


@pytest.mark.parametrize("content", [b"", b"\x00\x17", b'{"reboots_s": "many"}', b'{"running_s": -1}'])
def test_a_damaged_memory_counts_as_a_day_used_up(device: Device, content: bytes) -> None:
    device.path.write_bytes(content)
    device.uptime_s = 5000.0
    assert {process(device).rung for _ in range(6)} == {"exit"}
    device.uptime_s += 86_400.0
    assert process(device).rung == "reboot"


def test_instances_share_the_bound_and_have_rows_of_their_own(device: Device) -> None:
    device.uptime_s = 5000.0
    for _ in range(3):
        process(device, instance="north")
    assert process(device, instance="south").rung == "exit"
    assert (device.memory("north").failed_starts, device.memory("south").failed_starts) == (3, 1)
    for instance in ("north", "south", "south", "south"):
        action = process(device, instance=instance)
        if action.rung == "reboot":
            device.restart()
            device.uptime_s = 5000.0
    assert len([*device.memory().recent_s()]) == 2
    for _ in range(8):
        assert process(device, instance="east").rung == "exit"


@settings(max_examples=10, deadline=None)
@given(
    most=st.integers(1, 4),
    after_exits=st.integers(1, 3),
    off_s=st.lists(st.floats(0, 50_000), min_size=1, max_size=5),
    least_uptime_s=st.floats(1, 3000),
)
def test_never_more_restarts_a_day_than_allowed_whatever_the_clock_says(
    most: int,
    after_exits: int,
    off_s: list[float],
    least_uptime_s: float,
) -> None:
    limits = RebootSettings(
        enabled=True, most_a_day=most, after_exits=after_exits, least_uptime_s=least_uptime_s
    )
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:  # hundreds of flushes would wear a disk
        restarts_s = weeks_of_failures(Device(Path(memory) / "recovery.json", limits), off_s)
    assert restarts_s
    for moment_s in restarts_s:
        assert sum(moment_s <= other_s < moment_s + 86_400 for other_s in restarts_s) <= most


def weeks_of_failures(device: Device, off_s: list[float]) -> list[float]:
    """When the device is restarted, in true time, while the camera never gives a frame."""
    true_s, restarts_s = 0.0, []
    for round_number in range(100):
        before_s = device.uptime_s
        action = process(device)
        device.uptime_s += 600.0  # time that nobody noted, e.g. because the process was killed
        true_s += device.uptime_s - before_s
        if action.rung == "reboot":
            restarts_s.append(true_s)
            device.restart()
            true_s += off_s[round_number % len(off_s)]
    return restarts_s


def test_the_unit_says_where_all_instances_remember(tmp_path: Path) -> None:
    stated = {"TREMORSCOPE_RECOVERY_FILE": "/var/lib/tremorscope/recovery.json"}
    assert memory_file(tmp_path, stated) == Path("/var/lib/tremorscope/recovery.json")
    assert memory_file(tmp_path, {}) == tmp_path / "recovery.json"


def test_an_installation_is_known_by_its_lock_and_forgotten_with_its_process(tmp_path: Path) -> None:
    lock = tmp_path / "tremorscope.lock"
    assert not is_updating(lock)
    script = f"exec 9>{lock}; flock -n 9; echo locked; read line"
    with subprocess.Popen(
        ["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as installer:
        assert installer.stdout is not None
        installer.stdout.readline()
        assert is_updating(lock)
        installer.kill()
    assert not is_updating(lock)
