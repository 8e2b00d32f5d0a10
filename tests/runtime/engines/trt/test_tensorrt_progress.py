"""Nested phases become one percentage that never goes back."""

from __future__ import annotations

from threading import Thread

from tremorscope.runtime.engines.tensorrt.build import PhaseProgress


def test_a_phase_below_counts_within_one_step_of_the_phase_above() -> None:
    told: list[int] = []
    progress = PhaseProgress(lambda done, total: told.append(done) if total == 100 else None)
    progress.start("build", None, 4)
    progress.step("build", 0)
    progress.start("time", "build", 5)
    progress.step("time", 0)
    progress.step("time", 3)
    progress.finish("time")
    progress.step("build", 1)
    assert told == [25, 30, 45, 50]


def test_a_phase_that_starts_again_takes_nothing_back() -> None:
    told: list[int] = []
    progress = PhaseProgress(lambda done, _: told.append(done))
    progress.start("build", None, 2)
    for _ in range(3):
        progress.start("reformat", "build", 2)
        progress.step("reformat", 0)
        progress.finish("reformat")
    assert told == [25]


def test_phases_that_end_early_or_were_never_started_are_harmless() -> None:
    told: list[int] = []
    progress = PhaseProgress(lambda done, _: told.append(done))
    progress.step("nothing", 3)
    progress.finish("nothing")
    progress.start("build", None, 0)
    progress.step("build", 7)
    progress.finish("build")
    assert told == [0, 99]  # all is only said by whoever holds the engine


def test_several_threads_may_tell_at_once() -> None:
    told: list[int] = []
    progress = PhaseProgress(lambda done, _: told.append(done))
    progress.start("build", None, 1000)
    threads = [
        Thread(target=lambda: [progress.step("build", step) for step in range(1000)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == sorted(set(told))
    assert told[-1] == 99
