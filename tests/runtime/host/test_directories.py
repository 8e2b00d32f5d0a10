"""Directories of results are whole or not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.host.files import whole_directory

NAMES = ("a.txt", "b.txt")


def fill(path: Path, text: str, *, overwrite: bool = False, then: Callable[[], object] | None = None) -> None:
    with whole_directory(path, overwrite=overwrite, names=NAMES) as scratch:
        for name in NAMES:
            (scratch / name).write_text(text)
        if then is not None:
            then()


def fail() -> None:
    raise RuntimeError


def test_it_appears_all_at_once(tmp_path: Path) -> None:
    fill(tmp_path / "new" / "deep", "1")
    assert {each.name for each in (tmp_path / "new" / "deep").iterdir()} == set(NAMES)
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["deep"]


def test_an_empty_one_is_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    fill(tmp_path / "empty", "1")
    assert (tmp_path / "empty" / "a.txt").read_text() == "1"


def test_after_a_failure_nothing_is_left_and_the_old_results_stay(tmp_path: Path) -> None:
    fill(tmp_path / "out", "old")
    with pytest.raises(RuntimeError):
        fill(tmp_path / "out", "new", overwrite=True, then=fail)
    assert (tmp_path / "out" / "a.txt").read_text() == "old"
    with pytest.raises(RuntimeError):
        fill(tmp_path / "x" / "y", "new", then=fail)
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


def test_results_are_replaced_only_when_asked(tmp_path: Path) -> None:
    fill(tmp_path / "out", "old")
    with pytest.raises(OutputFault, match="holds earlier results"):
        fill(tmp_path / "out", "new")
    fill(tmp_path / "out", "new", overwrite=True)
    assert (tmp_path / "out" / "b.txt").read_text() == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


def test_what_others_put_there_is_never_replaced(tmp_path: Path) -> None:
    fill(tmp_path / "out", "old")
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputFault, match=r"holds other files, such as thesis\.tex"):
        fill(tmp_path / "out", "new", overwrite=True)


def test_what_others_put_there_meanwhile_is_not_either(tmp_path: Path) -> None:
    def others_come() -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.tex").write_text("years of work")

    with pytest.raises(OutputFault, match="holds other files"):
        fill(tmp_path / "out", "new", overwrite=True, then=others_come)
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("path", ["/", "/proc/out"])
def test_places_that_cannot_be_are_refused(path: str) -> None:
    with pytest.raises(OutputFault):
        fill(Path(path), "1", overwrite=True)


def raise_(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError("could not get source code"), r"out: not made \(could not get source code\): mend what"),
        (FileNotFoundError(2, "No such file", "/photo.png"), "out: not made, for /photo.png: no such file: check"),
        (PermissionError(13, "Permission denied"), r"out: cannot be written \(permission denied\): name a directory"),
        (OSError(28, "No space left on device"), "out: the disk is full"),
        (OSError(5, "Input/output error", "{out}/a.txt"), r"out: cannot be written \(input/output error\)"),
    ],
)  # fmt: skip
def test_an_error_is_told_of_the_place_only_where_it_is_of_the_place(
    error: OSError, told: str, tmp_path: Path
) -> None:
    if error.filename:
        error.filename = error.filename.format(out=tmp_path / "out")
    with pytest.raises(OutputFault, match=told):
        fill(tmp_path / "out", "1", then=lambda: raise_(error))
    assert not list(tmp_path.iterdir())
