"""The documents name files and modules that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import ROOT

DOCUMENTS = sorted(
    [
        ROOT / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "systemd/README.md",
        *(ROOT / "model").rglob("*.md"),
    ]
)
FOLDERS = "runtime|model|export|calibration|configs|systemd|tests|docs|tremorscope"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_a_document_names_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = set(re.findall(rf"(?<![\w./-])(?:{FOLDERS})/[\w./-]+\.(?:py|yaml|json|sh|md)\b", text))
    named |= {
        f"{name.replace('.', '/')}.py" for name in re.findall(r"python -m (tremorscope(?:\.\w+)+)", text)
    }
    selected = re.findall(r"pytest (tests/[\w/]+\.py)\s+-k\s+(\w+)", text)
    assert [
        each for each in selected if not re.search(rf"def test_\w*{each[1]}", (ROOT / each[0]).read_text())
    ] == []
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)`", text)) <= targets
    links = {target for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text) if "://" not in target}
    assert sorted(path for path in named if not (ROOT / path).exists()) == []
    assert sorted(path for path in links if not (document.parent / path).exists()) == []
