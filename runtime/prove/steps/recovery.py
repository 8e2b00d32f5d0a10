"""Recovery: a restart of the camera daemon, after which a new process must get frames again within 45 s; and the
service on the drawn camera, with this process in systemd's place: readiness, watchdog messages, orderly stop.

That process is ``python -m tremorscope.runtime.prove.steps.recovery``, its plan on stdin: it reads one frame.

Argus binds a process to the daemon that it met first; so each test after a restart needs a new process.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tremorscope.runtime.cameras.opening import frame_size, has_argus, open_camera
from tremorscope.runtime.doctor.probe import Machine
from tremorscope.runtime.errors import Fault
from tremorscope.runtime.host.privileged import ask
from tremorscope.runtime.prove.apart import module_command
from tremorscope.runtime.prove.outcome import Outcome, Skip, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan


def first_frame_s(plan: ProvePlan, number: int, limit_s: float) -> tuple[float | None, str]:
    """Seconds until a new process had a frame, or None and the reason for which it had none."""
    try:
        done = subprocess.run(
            module_command("tremorscope.runtime.prove.steps.recovery", str(number)),
            input=plan.as_text(),
            capture_output=True,
            text=True,
            check=False,
            timeout=limit_s,
        )
    except subprocess.TimeoutExpired:
        return None, f"no answer within {limit_s:.0f} s"
    try:
        answer = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return None, f"exit status {done.returncode}"
    return answer["first_frame_s"], answer["why"]


def main() -> None:
    """Read a frame, and print the result as the last line of stdout."""
    plan, number = ProvePlan.from_text(sys.stdin.read()), int(sys.argv[1])
    begun_s = time.monotonic()
    try:
        settings = plan.camera(number)
        width_px, height_px = frame_size(settings)
        camera = open_camera(settings)
        try:
            info = camera.read_into(np.zeros((height_px, width_px, 3), np.uint8))
        finally:
            camera.close()
        answer = {
            "first_frame_s": time.monotonic() - begun_s if info else None,
            "why": "" if info else "it ended",
        }
    except Fault as fault:
        answer = {"first_frame_s": None, "why": str(fault)}
    print(json.dumps(answer), flush=True)


_BACK_S = 45.0
_PROBE_S = 20.0


def run_argus(plan: ProvePlan, findings: StepFindings) -> Outcome:
    """Read a frame, restart the daemon, and read one again."""
    number = next((each for each in range(plan.cameras) if has_argus(plan.camera(each))), None)
    if number is None:
        raise Skip("no camera of Argus is configured")
    state = Machine().says("systemctl", "show", "--property=LoadState", "--value", "nvargus-daemon.service")
    if state != "loaded":
        raise Skip("there is no nvargus-daemon here")
    if not plan.restart_argus:
        raise Skip(
            "not allowed: it disturbs every camera of the device",
            remedy="tremorscope prove --restart-daemon",
        )
    before_s, why = first_frame_s(plan, number, _PROBE_S)
    findings.check("a frame before", _told(before_s, why), "a frame", holds=before_s is not None)
    refused = ask("restart-argus")
    findings.check("the restart", refused or "done", "done", holds=not refused)
    begun_s = time.monotonic()
    after_s, tries = None, 0
    while after_s is None and (left_s := _BACK_S - (time.monotonic() - begun_s)) > 0:
        after_s, why = first_frame_s(plan, number, min(_PROBE_S, left_s))
        tries += 1
    back_s = time.monotonic() - begun_s
    findings.fact("tries", tries)
    findings.fact("back_s", back_s if after_s is not None else None)
    findings.check(
        "a frame after the restart", _told(after_s, why), f"within {_BACK_S:g} s", holds=after_s is not None
    )
    return findings.outcome(f"frames again {back_s:.1f} s after the restart, at attempt {tries}")


def _told(seconds: float | None, why: str) -> str:
    return f"after {seconds:.2f} s" if seconds is not None else f"none ({why})"


_WATCHDOG_S = 4.0
_READY_S, _STOP_S = 90.0, 25.0
_CONFIGURATION = """\
version: 1
name: prove
camera: {{kind: synthetic, width_px: 160, height_px: 90, rate_hz: 30}}
magnification: {{when: watched, amplification: 10}}
vibration:
  regions: [{{name: mid-span, x_px: 64, y_px: 40, width_px: 32, height_px: 24}}]
store: {{directory: {directory}}}
outputs: {{}}
"""


def run_watchdog(plan: ProvePlan, findings: StepFindings) -> Outcome:
    """Start the service, check its messages, and stop it.

    Raises:
        Skip: the libraries for publishing are not installed, so that the service cannot start.
    """
    if importlib.util.find_spec("aiohttp") is None:
        raise Skip("the service cannot run here: pip install 'tremorscope[service]'")
    with tempfile.TemporaryDirectory(prefix="tremorscope-prove-") as name:
        directory = Path(name)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with contextlib.closing(listener):
            listener.bind(str(directory / "notify"))
            with _service(directory) as (process, begun_s):
                ready_s = _listen(listener, process, _READY_S, "READY=1", 1, begun_s)
                findings.check("ready", _after(ready_s), f"within {_READY_S:g} s", holds=ready_s is not None)
                wanted = 2 if plan.quick else 12
                alive_s = _listen(
                    listener, process, _WATCHDOG_S * wanted, "WATCHDOG=1", wanted, time.monotonic()
                )
                findings.check(
                    f"{wanted} signs of life",
                    _after(alive_s),
                    f"within {_WATCHDOG_S * wanted:g} s, for a watchdog of {_WATCHDOG_S:g} s",
                    holds=alive_s is not None,
                )
                stopped_s = _stop(process)
        status = process.returncode
        findings.check("its end", f"exit status {status}", "exit status 0", holds=status == 0)
        findings.check("stopped", _after(stopped_s), f"within {_STOP_S:g} s", holds=stopped_s is not None)
        if status != 0 or ready_s is None:
            print((directory / "log").read_text(encoding="utf-8", errors="replace")[-3000:])
    return findings.outcome(
        f"ready {_after(ready_s)}, {wanted} signs of life {_after(alive_s)}, stopped {_after(stopped_s)}"
    )


@contextlib.contextmanager
def _service(directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    configuration = directory / "prove.yaml"
    configuration.write_text(_CONFIGURATION.format(directory=directory / "store"), encoding="utf-8")
    environment = {
        name: value for name, value in os.environ.items() if name not in ("WATCHDOG_PID", "JOURNAL_STREAM")
    }
    environment |= {"NOTIFY_SOCKET": str(directory / "notify"), "WATCHDOG_USEC": str(int(1e6 * _WATCHDOG_S))}
    environment |= {"TREMORSCOPE_RECOVERY_FILE": str(directory / "recovery.json")}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            module_command("tremorscope", "run", "--config", str(configuration)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    try:
        yield process, time.monotonic()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _listen(
    listener: socket.socket,
    process: subprocess.Popen[bytes],
    limit_s: float,
    wanted: str,
    count: int,
    begun_s: float,
) -> float | None:
    """Seconds until a message has come ``count`` times; None if it has not, or the service has ended."""
    listener.settimeout(0.2)
    seen = 0
    while time.monotonic() - begun_s < limit_s and process.poll() is None:
        with contextlib.suppress(TimeoutError):
            seen += listener.recv(65536).decode("utf-8", "replace").splitlines().count(wanted)
            if seen >= count:
                return time.monotonic() - begun_s
    return None


def _stop(process: subprocess.Popen[bytes]) -> float | None:
    begun_s = time.monotonic()
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        return None
    return time.monotonic() - begun_s


def _after(seconds: float | None) -> str:
    return "not at all" if seconds is None else f"after {seconds:.1f} s"


if __name__ == "__main__":
    main()
