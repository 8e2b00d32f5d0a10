"""A picture that stands still, noise and all, or is one colour is told like silence: health, alarm, log; both edges."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from running_service import Camera, frames, running, until
from service_parts import configured

from tremorscope.runtime.host.systemd import Notifier
from tremorscope.runtime.outputs.state import judge
from tremorscope.runtime.service import assembly, process, recovery
from tremorscope.runtime.service.process import Service


class Systemd(Notifier):
    """Counts the signs of life that systemd would get."""

    def __init__(self) -> None:
        super().__init__(None)
        self.watchdog_s, self.fed = 1.0, 0
        self.waits: list[str] = []

    def watchdog(self) -> None:
        self.fed += 1

    def still_starting(self, more_s: float, status: str = "") -> None:
        self.waits.append(f"{more_s:g} s: {status}")


@pytest.fixture(autouse=True)
def stuck_in_a_second(camera: type[Camera], monkeypatch: pytest.MonkeyPatch) -> None:
    camera.flickers = True  # each picture differs from the one before
    settings_of = assembly.supervisor_settings
    monkeypatch.setattr(
        assembly, "supervisor_settings", lambda settings: replace(settings_of(settings), still_s=1.0)
    )


def test_a_frozen_picture_counts_as_silence(
    tmp_path: Path, linear_bundle: Path, camera: type[Camera]
) -> None:
    alarm = {"name": "silent", "quantity": "signal", "source": "camera", "silence_s": 2, "clear_dwell_s": 0.5}
    loaded = configured(tmp_path, linear_bundle, vibration={"window_s": 0.5, "alarms": [alarm]})
    with running(Service(loaded)) as service:
        frames(service, 100)
        health = service.board.snapshot()
        assert (health.camera.faults, health.raised, judge(health).ok) == ((), (), True)
        camera.flickers = False
        until(service, lambda: not judge(service.board.snapshot()).ok)
        verdict = judge(service.board.snapshot()).text
        assert verdict.startswith("no frame for")
        assert verdict.endswith("(frozen)")
        until(service, lambda: [each.rule.name for each in service.board.snapshot().raised] == ["silent"])
        assert service.board.snapshot().camera.fault_totals["frozen"] == 1
        camera.flickers = True
        until(service, lambda: judge(service.board.snapshot()).ok)
        until(service, lambda: service.board.snapshot().raised == ())
        until(service, lambda: service.board.snapshot().camera.faults == ())
        assert service.board.snapshot().camera.drops["corrupt"] > 50


def test_a_process_whose_picture_is_frozen_lives_to_tell_of_it(
    tmp_path: Path, linear_bundle: Path, camera: type[Camera], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "LEAST_LIFE_S", 0.0)
    monkeypatch.setattr(recovery, "_REOPENED_WITHIN_S", 3.0)
    loaded = configured(tmp_path, linear_bundle, recovery={"reopen_after_s": 4.0, "reopen_attempts": 0})
    systemd = Systemd()
    with running(Service(loaded, notifier=systemd)) as service:
        frames(service, 20)
        camera.flickers = False
        until(service, lambda: "frozen" in service.board.snapshot().camera.faults)
        fed, until_s = systemd.fed, time.monotonic() + 6.0
        until(service, lambda: time.monotonic() > until_s)
        assert not service._threads.stopping
        assert systemd.fed >= fed + 3
        camera.fails = True
        until(service, lambda: service._threads.stopping)
        assert service.parts.supervisor.state().active[:2] == ("lost", "frozen")


def test_a_process_that_starts_into_the_dark_lives_to_tell_of_it_and_is_ready_at_dawn(
    tmp_path: Path, linear_bundle: Path, camera: type[Camera], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "LEAST_LIFE_S", 0.0)
    monkeypatch.setattr(process, "_MORE_S", 4.0)
    camera.dark = True
    loaded = configured(tmp_path, linear_bundle, recovery={"reopen_after_s": 4.0, "reopen_attempts": 0})
    systemd = Systemd()
    with running(Service(loaded, notifier=systemd)) as service:
        until(service, lambda: "corrupt" in service.board.snapshot().camera.faults)
        fed, until_s = systemd.fed, time.monotonic() + 6.0
        until(service, lambda: time.monotonic() > until_s)
        assert not service._threads.stopping
        assert service.parts.loop.frames == 0
        assert len(systemd.waits) > 2, "each is good for a while only"
        assert systemd.waits[-1].startswith("4 s: waiting for the first good frame: ")
        assert systemd.fed >= fed + 2
        camera.dark = False
        until(service, lambda: judge(service.board.snapshot()).ok)
