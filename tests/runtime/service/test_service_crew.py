"""Threads of the service: a mistake in one ends all, and is not swallowed."""

from __future__ import annotations

import os
import threading
import time

import pytest

from runtime.niceness import BACKGROUND
from runtime.service.crew import Crew


def test_a_mistake_in_a_thread_ends_the_others_and_is_raised_again() -> None:
    crew, ended = Crew(), threading.Event()

    def work() -> None:
        while not crew.wait(0.01):
            pass
        ended.set()

    def fail() -> None:
        raise ZeroDivisionError("a mistake")

    crew.start("good", work)
    crew.raise_failure()
    crew.start("bad", fail)
    assert ended.wait(30)
    assert crew.stop(10) == ()
    with pytest.raises(ZeroDivisionError, match="a mistake"):
        crew.raise_failure()


def test_a_thread_that_hangs_is_named_and_not_waited_for() -> None:
    crew, release = Crew(), threading.Event()
    crew.start("hangs", lambda: release.wait(60) and None)
    crew.start("ends", lambda: None)
    begun_s = time.monotonic()
    assert crew.stop(0.1) == ("hangs",)
    assert time.monotonic() - begun_s < 10
    release.set()


def test_threads_that_may_be_late_step_back() -> None:
    crew, found = Crew(), []

    def look() -> None:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    own = os.getpriority(os.PRIO_PROCESS, 0)
    crew.start("front", look)
    crew.start("back", look, niceness=BACKGROUND)
    crew.stop(10)
    assert sorted(found) == sorted([own, max(own, BACKGROUND)])
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
