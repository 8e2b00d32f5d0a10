"""Signals that end the program, obeyed at once or put off."""

from __future__ import annotations

import signal
from threading import Thread

import pytest

from tremorscope.runtime.host.signals import orderly_stop, stop_put_off


def stopped_in_the_middle(reached: list[str]) -> None:
    with orderly_stop(), stop_put_off() as wanted:
        reached.append(f"before: {wanted()}")
        signal.raise_signal(signal.SIGTERM)
        reached.append(f"after: {wanted()}")


def test_a_stop_that_is_put_off_is_obeyed_after_the_block() -> None:
    reached: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        stopped_in_the_middle(reached)
    assert reached == ["before: False", "after: True"]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        assert signal.getsignal(number) is signal.SIG_IGN  # as orderly_stop leaves a program that is ending
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_without_a_signal_nothing_is_left_changed() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_put_off() as wanted:
        assert signal.getsignal(signal.SIGTERM) is not before
    assert not wanted()
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_is_ignored_from_outside_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_put_off() as wanted:
            signal.raise_signal(signal.SIGHUP)
            assert not wanted()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_off_the_main_thread_it_does_nothing() -> None:
    answers: list[bool] = []

    def work() -> None:
        with stop_put_off() as wanted:
            answers.append(wanted())

    thread = Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [False]
