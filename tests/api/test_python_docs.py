"""Every example of docs/python.md and of the public docstrings runs as it stands, in order, in a fresh folder."""

from __future__ import annotations

import doctest
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
from support import ROOT

import tremorscope as ts
from tremorscope.runtime.store.records import Channel, SeriesBlock
from tremorscope.runtime.store.store import Store

T0 = 1_793_000_000.0  # 2026-10-26T07:33:20Z
X, Y, PIER = (
    Channel(place, axis, mm_per_px=0.5) for place, axis in (("midspan", "x"), ("midspan", "y"), ("pier", "x"))
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder with a copy of a device's store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    values = np.random.default_rng(0).standard_normal((3, 960)).astype(np.float32)
    with Store(tmp_path / "tremorscope.db") as store:
        store.write([SeriesBlock((X, Y, PIER), T0 + np.arange(960) / 32, values)])
    return tmp_path


def run(text: str, name: str) -> int:
    """Run the examples of a text; returns how many there are."""
    test = doctest.DocTestParser().get_doctest(text, {}, name, name, 0)
    told: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=told.append)
    assert not told, "".join(told)
    return len(test.examples)


def test_the_guide(folder: Path) -> None:
    guide = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```pycon\n(.*?)```", guide, re.DOTALL)
    assert run("\n".join(blocks), "docs/python.md") > 20
    written = {path.name for path in folder.iterdir() if not path.name.startswith("tremorscope.db")}
    assert written == {"cache", "spectrum.png", "displacement.uff", "magnified.mp4"}


@pytest.mark.usefixtures("folder")
def test_the_docstrings() -> None:
    counts = {name: run(str(getattr(ts, name).__doc__), name) for name in ts.__all__}
    assert {name for name, count in counts.items() if count} >= {"measure", "Magnifier"}


def test_the_readme(folder: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"## Python\n\n((?:    .*\n|\n)+)", readme)
    assert found is not None
    names: dict[str, object] = {}
    exec(textwrap.dedent(found[1]), names)
    assert isinstance(names["found"], ts.Measurement)
    assert round(names["found"].peaks[0].frequency_hz, 1) == 2.1
    assert (folder / "first-mode.mp4").is_file()
