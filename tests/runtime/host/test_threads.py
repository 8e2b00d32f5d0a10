"""Threads of the process: a mistake in one is never silent; it begins again, or ends all."""

from __future__ import annotations

import os
import threading
import time

import pytest

from tremorscope.runtime.errors import CameraFault, EngineFault, Fault
from tremorscope.runtime.host.threads import BACKGROUND, Threads


def test_a_mistake_in_a_thread_ends_the_others_and_is_raised_again() -> None:
    threads, ended = Threads(), threading.Event()

    def work() -> None:
        while not threads.wait(0.01):
            pass
        ended.set()

    def fail() -> None:
        raise ZeroDivisionError("a mistake")

    threads.start("good", work)
    threads.raise_failure()
    threads.start("bad", fail)
    assert ended.wait(30)
    assert threads.stop(10) == ()
    with pytest.raises(ZeroDivisionError, match="a mistake"):
        threads.raise_failure()


def test_work_that_a_mistake_ends_is_begun_again_told_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    threads, begun = Threads(pauses_s=(0.01, 0.02)), []

    def work() -> None:
        begun.append(1)
        if len(begun) < 4:
            raise ValueError("a picture of another size")
        threads.wait(30)

    threads.start("rtsp", work, again=True)
    while len(begun) < 4:
        time.sleep(0.01)
    assert (threads.stopping, threads.failures) == (False, {"rtsp": 3})
    assert threads.problems() == (
        "thread rtsp failed 3 times, the last time by ValueError: a picture of another size: report this mistake",
    )
    assert caplog.text.count("thread rtsp was ended by a mistake in the program") == 3
    assert "Traceback" in caplog.text
    assert threads.stop(30) == ()
    threads.raise_failure()


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        (EngineFault("the GPU is gone", remedy="look"), RuntimeError),
        (CameraFault("gone", remedy="look"), CameraFault),
    ],
)
def test_a_fault_of_a_thread_does_not_pass_for_one_of_the_configuration(
    fault: Fault, raised: type[Exception]
) -> None:
    """After 78 nobody starts the service again."""
    threads = Threads()

    def work() -> None:
        raise fault

    threads.start("magnifying", work)
    assert threads.stop(30) == ()
    with pytest.raises(raised, match="gone"):
        threads.raise_failure()


def test_threads_that_others_start_are_told_of_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    threads = Threads()
    threads.hear_others()

    def fail() -> None:
        raise ValueError("a driver's answer")

    other = threading.Thread(target=fail, name="paho-mqtt")
    other.start()
    other.join()
    assert threads.failures == {"paho-mqtt": 1}
    assert not threads.stopping


def test_a_thread_that_hangs_is_named_and_not_waited_for() -> None:
    threads, release = Threads(), threading.Event()
    threads.start("hangs", lambda: release.wait(60) and None)
    threads.start("ends", lambda: None)
    begun_s = time.monotonic()
    assert threads.stop(0.1) == ("hangs",)
    assert time.monotonic() - begun_s < 10
    release.set()


def test_threads_that_may_be_late_step_back() -> None:
    threads, found = Threads(), []

    def look() -> None:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    own = os.getpriority(os.PRIO_PROCESS, 0)
    threads.start("front", look)
    threads.start("back", look, niceness=BACKGROUND)
    threads.stop(10)
    assert sorted(found) == sorted([own, max(own, BACKGROUND)])
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
