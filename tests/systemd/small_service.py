"""A small service around the real notifier, watchdog, ladder and log, for tests under a real systemd.

Its camera is a file: while ``frozen`` exists in the state directory no frames come, and the process lives on;
while ``away`` exists none come either, and the recovery ladder looks after it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, "/srv/source")
sys.path.append("/srv/libraries")
if Path(
    os.environ["STATE_DIRECTORY"], "crash"
).exists():  # before the imports, which take a second at each start
    sys.exit("crashing")

from tremorscope.runtime.host.privileged import ArgusDaemon
from tremorscope.runtime.host.settings import RecoverySettings
from tremorscope.runtime.host.systemd import FrameWatchdog, Notifier, set_up
from tremorscope.runtime.service.recovery import EXIT_CONFIGURATION, EXIT_RECOVERY, RecoveryLadder
from tremorscope.runtime.telemetry import open_telemetry

STATE = Path(os.environ["STATE_DIRECTORY"])
LADDER = RecoverySettings(reopen_after_s=0.2, reopen_attempts=1, restart_argus_dwell_s=5, steady_s=1)


def main() -> int:
    """Run until told to stop."""
    log = set_up()
    asked: dict[str, bool] = {}
    signal.signal(signal.SIGTERM, lambda *_: asked.update(stop=True))
    signal.signal(signal.SIGHUP, lambda *_: asked.update(reload=True))
    if (STATE / "wrong").exists():
        log.error("the configuration cannot be followed")
        return EXIT_CONFIGURATION
    notifier = Notifier.from_environment()
    argus = ArgusDaemon(LADDER)
    watchdog, ladder = FrameWatchdog(notifier), RecoveryLadder(LADDER, argus=argus)
    frames, ready = 0, False
    while not asked.get("stop"):
        time.sleep(0.02)
        healthy = not (STATE / "away").exists() and not (STATE / "frozen").exists()
        frames += healthy
        watchdog.progress(frames, time.monotonic())
        if healthy and not ready:
            ready = True
            notifier.ready("50 frames/s")
            (STATE / "environment.json").write_text(json.dumps(dict(os.environ)))
        if (STATE / "away").exists():
            action = ladder.advance(time.monotonic(), healthy)
            if action is not None:
                log.warning("%s", action, extra={"fields": {"rung": action.rung}})
                if action.rung == "restart_argus":
                    log.warning("%s", argus.restart())
                if action.rung != "reopen":
                    return EXIT_RECOVERY
        else:
            ladder.advance(time.monotonic(), True)
        if asked.pop("reload", False):
            notifier.reloading()
            log.info("reloaded")
            notifier.ready("50 frames/s, reloaded")
    notifier.stopping("finishing")
    time.sleep(float(os.environ.get("STOP_TAKES_S", "0")))
    (STATE / "finished").touch()
    return 0


def look_around() -> dict[str, Any]:
    """What the process may do, for the test of its confinement."""

    def works(path: str) -> bool:
        try:
            Path(path).write_text("")
        except OSError:
            return False
        return True

    status = Path("/proc/self/status").read_text().splitlines()
    capabilities = next(line.split()[1] for line in status if line.startswith("CapEff"))
    credentials = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent"))
    return {
        "credentials": {path.name: path.read_text() for path in sorted(credentials.glob("*"))},
        "uid": os.getuid(), "groups": sorted(os.getgroups()), "capabilities": int(capabilities, 16),
        "etc": works("/etc/tremorscope/x"), "opt": works("/opt/x"), "state": works(str(STATE / "x")),
        "tmp": works("/tmp/x"), "sysctl": works("/proc/sys/kernel/hostname"), "home": os.access("/root", os.R_OK),
        "requests": works("/run/tremorscope-requests/x"), "cwd": str(Path.cwd()), "telemetry": telemetry(),
    }  # fmt: skip


def telemetry() -> dict[str, Any]:
    """What the device tells a process like this, and whether the socket of jtop may be connected to."""
    multiprocessing.Event()  # as jtop's client makes one: a semaphore in /dev/shm
    told = open_telemetry("jtop")
    told.read()
    time.sleep(0.2)
    reading = told.read()
    with socket.socket(socket.AF_UNIX) as connection:
        connected = connection.connect_ex("/run/jtop.sock")
    return {
        "known": sorted(name for name, value in vars(reading).items() if value not in (None, {}, "")),
        "note": told.note(), "connected": os.strerror(connected),
    }  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:] == ["--look-around"]:
        (STATE / "around.json").write_text(json.dumps(look_around()))
        sys.exit(0)
    sys.exit(main())
