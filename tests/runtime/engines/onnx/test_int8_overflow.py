"""Whether a processor adds products of INT8 up in too few bits is read from what the system says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tremorscope.runtime.engines.onnx import graph as onnx_graph


@pytest.mark.parametrize(
    ("machine", "flags", "overflows"),
    [
        ("x86_64", "avx2 fma", True),
        ("x86_64", "avx2 avx512f avx512_vnni", False),
        ("AMD64", "avx2 avx_vnni", False),
        ("aarch64", "asimd asimddp", False),
    ],
)
def test_only_x86_without_vnni_overflows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, machine: str, flags: str, overflows: bool
) -> None:
    monkeypatch.setattr(onnx_graph.platform, "machine", lambda: machine)
    (tmp_path / "cpuinfo").write_text(f"flags\t\t: {flags}\n")
    assert onnx_graph._overflows_in_int8(tmp_path / "cpuinfo") is overflows


def test_what_cannot_be_read_is_taken_for_the_worse(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(onnx_graph.platform, "machine", lambda: "x86_64")
    assert onnx_graph._overflows_in_int8(tmp_path / "none")
