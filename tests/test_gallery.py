"""Scripts of the gallery run as they stand, find what they have drawn, and leave the picture that its page shows."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from PIL import Image
from support import ROOT

GALLERY = ROOT / "docs" / "examples"
NUMBERS = {
    "tuning_fork": r"64\.00\d ± 0\.00\d Hz, true 64; damping 0\.007[01]",
    "machine_orders": r"order 1\.00: 0\.120 px along x[^|]*order 2\.00: 0\.030 px[^|]*order 3\.58: 0\.020 px along y",
    "mode_shapes": "",
    "handheld": r"0\.3[34]\d px at 2\.20 Hz; drawn 0\.341 px",
    "against_a_standard": r"R1 RMS velocity 5\.2[567] mm/s .* zone D, .*\nR2 [^|]*drawn with 5\.26 mm/s",
    "scale_by_board": r"0\.(199|200|201) mm at 3\.20 Hz; drawn 0\.2 mm",
    "month_in_store": r"lost for good -1\.4\d %, drawn with -1\.5 %",
    "own_camera": r"the cable came off",
}
"""What a script prints, of those that take a few seconds."""
LONGER = {"int8", "moving_picture", "phone_clip", "retraining", "two_bands"}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_script_finds_what_it_has_drawn(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(GALLERY))
    runpy.run_path(str(GALLERY / f"{name}.py"))
    assert re.search(NUMBERS[name], capsys.readouterr().out)
    with Image.open(tmp_path / f"{name}.png") as left, Image.open(GALLERY / f"{name}.png") as shown:
        assert left.size == shown.size


def test_every_script_is_run_and_shown() -> None:
    scripts = {path.stem for path in GALLERY.glob("*.py")} - {"drawn"}
    page = (GALLERY / "README.md").read_text(encoding="utf-8")
    assert scripts == NUMBERS.keys() | LONGER
    assert scripts == set(re.findall(r"\]\((\w+)\.py\)<br>", page))
    pictures = set(GALLERY.glob("*.png"))
    assert {path.stem for path in pictures} == scripts - {"moving_picture"}
    assert sum(path.stat().st_size for path in pictures) < 1.5e6
    assert (ROOT / "docs/images/bridge.gif").stat().st_size < 7e5
