"""Examples in public docstrings give what they say: units, shapes, the values at the edges."""

from __future__ import annotations

import doctest
import importlib

import pytest

ROOMS = {
    "runtime": "errors frames.clip_times frames.frame frames.rates frames.stage_times host.files magnification.filters"
    " reports.digits store.records vibration.displacement.regions vibration.displacement.windows"
    " vibration.monitoring.standards vibration.spectra.derivatives vibration.spectra.modes vibration.spectra.sampling"
    " vibration.spectra.spectra vibration.spectra.tones",
    "calibration": "capture.visits geometry.lengths",
}
MODULES = [f"tremorscope.{stage}.{name}" for stage, names in ROOMS.items() for name in names.split()]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module_hold(name: str) -> None:
    done = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert done.attempted > 0
    assert done.failed == 0


def test_there_are_a_hundred_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [len(test.examples) for name in MODULES for test in finder.find(importlib.import_module(name))]
    assert sum(examples) >= 100
