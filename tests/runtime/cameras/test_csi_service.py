"""The whole service behind a CSI camera whose Argus wedges, is asked for what there is not, or gives another rate."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tremorscope.runtime.configuration.reading import load_configuration
from tremorscope.runtime.host import privileged
from tremorscope.runtime.host.signals import SignalQueue
from tremorscope.runtime.service.process import Service
from tremorscope.runtime.service.recovery import EXIT_RECOVERY

PATIENCE_S = 60.0
CONFIGURATION = """version: 1
camera: {{kind: csi, width_px: 64, height_px: 48, rate_hz: 30, exposure: {{settle_s: 0}}, sensor_id: {sensor_id}}}
magnification: {{when: never}}
recording: {{magnified: false}}
recovery: {{reopen_after_s: 1.5, reopen_attempts: 1}}
outputs: {{http: {{enabled: false}}}}
store: {{directory: {directory}}}
"""


@pytest.fixture
def restarts(scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the daemon was restarted; lock and stamp lie in a place of their own."""
    made: list[float] = []

    def ask(request: str) -> str:
        assert request == "restart-argus"
        made.append(time.monotonic())
        return str(scene.daemon.restart())

    shared = tmp_path / "requests"
    shared.mkdir()
    defaults = privileged.ArgusDaemon.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "directory", shared)
    monkeypatch.setitem(defaults, "socket", tmp_path / "argus_socket")
    monkeypatch.setattr(privileged, "ask", ask)
    scene.period_s, scene.event_wait_s = 1 / 30, 0.2
    return made


def service(tmp_path: Path, *, sensor_id: int = 0) -> Service:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIGURATION.format(sensor_id=sensor_id, directory=tmp_path / "state"))
    return Service(load_configuration(file))


def run(made: Service, act: Any = lambda: None) -> int:
    """Run a service to its end by itself, ``act`` being called again and again."""
    with SignalQueue() as signals:
        look, until_s = made.look, time.monotonic() + PATIENCE_S

        def acting() -> None:
            assert time.monotonic() < until_s
            act()
            look()

        made.look = acting
        return made.run(signals)


def test_a_wedge_makes_one_restart_and_ends_the_process_which_a_new_one_outlives(
    scene: Any, restarts: list[float], tmp_path: Path
) -> None:
    import standins

    first = service(tmp_path)

    def wedge() -> None:
        scene.daemon.wedged = scene.daemon.wedged or (first.parts.loop.frames > 10 and not restarts)

    assert run(first, wedge) == EXIT_RECOVERY
    assert len(restarts) == 1
    assert first.board.snapshot().recoveries == {"reopen": 0, "restart_argus": 1, "exit": 0, "reboot": 0}
    standins.PROVIDER = None  # as in a new process, where the plugin is loaded anew
    second = service(tmp_path)

    def stop_when_well() -> None:
        if second.parts.loop.frames > 10:
            second._threads.end()

    assert run(second, stop_when_well) == 0
    assert len(restarts) == 1


def test_what_the_configuration_got_wrong_never_restarts_the_daemon(
    scene: Any, restarts: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tremorscope.runtime.service.recovery.LEAST_LIFE_S", 3.0)
    made = service(tmp_path, sensor_id=7)
    began_s = time.monotonic()
    made._recovery.ladder._reopen_s = 1.5  # and not as long as opening may take
    assert run(made) == EXIT_RECOVERY
    assert time.monotonic() - began_s >= 3
    assert restarts == []
    assert scene.daemon.generation == 0
    health = made.board.snapshot()
    assert health.camera.faults == ("refused",)
    assert health.recoveries == {"reopen": 1, "restart_argus": 0, "exit": 1, "reboot": 0}


@pytest.mark.usefixtures("restarts")
def test_a_rate_that_is_not_what_was_asked_is_told_and_so_is_whose_times_they_are(
    scene: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene.period_s = 0.002
    scene.sensor_time = lambda number: number * 50_000_000  # 20 Hz, and the caps say 30
    made = service(tmp_path)
    problems: tuple[str, ...] = ()

    def look() -> None:
        nonlocal problems
        problems = made.board.snapshot().problems
        if any("frames/s" in text for text in problems):
            made._threads.end()

    assert run(made, look) == 0
    told = "the camera gives 20 frames/s, and 30 are asked of it"
    assert told in problems
    assert [record.message for record in caplog.records].count(told) == 1
    camera = made.board.snapshot().camera
    assert (camera.times, camera.mode, camera.memory) == ("sensor", "5: 64x48 at up to 120 Hz", "copy")
    kept = json.loads((tmp_path / "state" / "camera.json").read_text())
    assert (kept["times"], kept["mode"]) == (camera.times, camera.mode)
