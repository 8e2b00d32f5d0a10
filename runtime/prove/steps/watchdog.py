"""The service on the drawn camera, with this process in systemd's place: readiness, watchdog messages, orderly stop."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tremorscope.runtime.prove.apart import module_command
from tremorscope.runtime.prove.outcome import Outcome, Skip, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan

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


def run(plan: ProvePlan, findings: StepFindings) -> Outcome:
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
