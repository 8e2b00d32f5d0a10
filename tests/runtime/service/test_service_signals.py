"""Signals wait for the main thread, also where a library's own thread would have taken them, and ended all."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

# A thread from before the queue holds nothing back; the main thread works when the signals come.
PROGRAM = """
import os, signal, threading, time
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
from tremorscope.runtime.host.signals import SignalQueue

def next_of(signals):
    # What another thread was given is handed on once the main thread runs again: after the wait it is in.
    return next(found for found in (signals.wait(0.1) for _ in range(100)) if found is not None)

with SignalQueue() as signals:
    for name in ("SIGUSR1", "SIGHUP", "SIGTERM"):
        os.kill(os.getpid(), getattr(signal, name))
        until_s = time.monotonic() + 0.2
        while time.monotonic() < until_s:
            pass
        print(next_of(signals).name, flush=True)
    print(signals.wait(0.01), flush=True)
    print("at work", flush=True)
    until_s = time.monotonic() + 1.0
    while time.monotonic() < until_s:
        pass
    print(next_of(signals).name, flush=True)
print("ended in order", flush=True)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(5)
"""


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_at_work_waits_for_the_main_thread(kind: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line.strip())
            if said[-1] == "at work":
                process.send_signal(kind)
        process.wait(30)
    assert said == ["SIGUSR1", "SIGHUP", "SIGTERM", "None", "at work", kind.name, "ended in order"]
    assert process.returncode == -signal.SIGTERM, "afterwards all is as before"


STOPPED = """
from tremorscope.runtime.host.signals import SignalQueue

with SignalQueue() as signals:
    print("waiting", flush=True)
    found = None
    while found is None:
        found = signals.wait(0.05)
print(found.name, flush=True)
"""


def test_a_process_that_is_stopped_past_a_deadline_goes_on() -> None:
    with subprocess.Popen([sys.executable, "-c", STOPPED], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        for _ in range(4):
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.1)
            process.send_signal(signal.SIGCONT)
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "SIGTERM\n"
    assert process.returncode == 0
