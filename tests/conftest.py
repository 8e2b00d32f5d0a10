"""Fixtures that several tests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from _pytest.reports import TestReport

# Threads of libraries that wait for each other spin: with other tests beside them that takes ten times the work. Small
# networks take twice the time on two threads. Set before any of these libraries is loaded, and inherited by all
# workers and commands.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from support import Done, textured_frames, write_bundle, write_clip

from tremorscope import cli

REQUIRED_PARTS = {part for part in os.environ.get("TREMORSCOPE_REQUIRE", "").split(",") if part}
"""Parts of the machine that must be there, e.g. ``make,tmpfs``: a test that skips for want of one fails instead."""


LONGEST = (
    "test_service_soak.py", "test_package.py", "test_units_live.py", "test_docs_run.py", "test_service_unit.py",
    "test_quantise.py", "test_train.py", "test_argus_live.py",
)  # fmt: skip
"""Modules that take minutes, to be begun first: at the end of a parallel run all but one of its workers would wait."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: tests of services wait for a third of their time, and the soak for most of it."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest modules first."""
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, TestReport, TestReport]:
    """Turn a skip whose reason names a required part ("needs make") into a failure."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple):
        missing = sorted(part for part in REQUIRED_PARTS if part in report.longrepr[2])
        if missing:
            report.outcome = "failed"
            report.longrepr = f"TREMORSCOPE_REQUIRE names {', '.join(missing)}, but: {report.longrepr[2]}"
    return report


@pytest.fixture(scope="session")
def linear_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the linear stand-in network, for frames of any size."""
    return write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """Writes a bundle that differs from the stand-in in what is named; see ``write_bundle``."""
    return lambda **changes: write_bundle(tmp_path / "bundle", **changes)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Ten pictures of 64x48 px at 25 frames/s, encoded without loss: ``textured_frames(10)``."""
    return write_clip(tmp_path / "clip.mp4", textured_frames(10))


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """The command in this process, which has imported its libraries already; what is no fault comes out as it is."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr("sys.argv", ["tremorscope", *map(str, arguments)])
        capfd.readouterr()
        try:
            cli.main()
            status: object = 0
        except SystemExit as ended:
            status = ended.code
        printed = capfd.readouterr()
        return Done(status, printed.out, printed.err)

    return run
