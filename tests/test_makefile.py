"""The Makefile says what it can do, and refuses an interpreter that the project does not run on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    # Under `make test` this is a make within a make, which would say so.
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=alone, capture_output=True, text=True, check=False
    )


def test_help_lists_the_targets_and_is_the_default() -> None:
    listed = make()
    assert listed.returncode == 0
    assert [line.split()[1] for line in listed.stdout.splitlines() if line.startswith("  make")] == [
        "help", "demo", "test", "lint", "docs", "house", "deb", "container-lint", "clean",
    ]  # fmt: skip
    assert make("help").stdout == listed.stdout


def test_an_interpreter_of_another_version_is_refused_by_name_and_version(tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit 0\nexit 1\n')
    old.chmod(0o755)
    refused = make("python", f"PYTHON={old}")
    assert refused.returncode != 0
    assert refused.stderr.splitlines()[0] == (
        f"make: {old} is Python 3.9.2; tremorscope needs Python 3.10, 3.11 or 3.12: "
        "install one and name it, e.g. make demo PYTHON=python3.11"
    )


def test_a_missing_interpreter_is_refused() -> None:
    refused = make("python", "PYTHON=/nowhere/python")
    assert refused.returncode != 0
    assert "tremorscope needs Python 3.10, 3.11 or 3.12" in refused.stderr


def test_this_interpreter_is_accepted() -> None:
    assert make("python", f"PYTHON={sys.executable}").returncode == 0
