"""Every copy of pixels by the CPU is told, and a frame's share of them is exact."""

from __future__ import annotations

import ast
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT

from tremorscope.runtime.frames.copies import CopyAccount, copy_pixels


@given(st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1 << 40)), max_size=5), max_size=8))
def test_frames_and_places_sum_to_the_total(frames: list[list[tuple[str, int]]]) -> None:
    account = CopyAccount()
    told = []
    for copies in frames:
        for place, nbytes in copies:
            account.add(place, nbytes)
        told.append(account.frame_done())
    assert told == [sum(nbytes for _, nbytes in copies) for copies in frames]
    assert account.frames == len(frames)
    assert account.total_bytes == sum(told) == sum(account.by_place().values())


def test_a_picture_is_copied_and_told() -> None:
    source = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    target, account = np.zeros_like(source), CopyAccount()
    copy_pixels(source, target, account, "a place")
    copy_pixels(source, target, None, "nobody asks")
    assert (target == source).all()
    assert account.by_place() == {"a place": 48}


def test_threads_lose_no_byte() -> None:
    account = CopyAccount()
    threads = [
        threading.Thread(target=lambda: [account.add("x", 3) for _ in range(20_000)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert account.total_bytes == 4 * 20_000 * 3


RUNTIME = ROOT / "runtime"
DRAWN = {"footbridge.py", "synthetic.py"}
"""Cameras whose pictures are computed: what they write into the slot is the picture's first place."""
HANDS_FRAMES_ON = [
    *sorted(
        path
        for room in ("cameras", "engines", "live")
        for path in (RUNTIME / room).rglob("*.py")
        if path.name not in DRAWN
    ),
    *(RUNTIME / "frames" / f"{name}.py" for name in ("buffers", "latest", "ring")),
    *(RUNTIME / "magnification" / f"{name}.py" for name in ("band_magnifier", "magnifier")),
    RUNTIME / "gpu" / "mapped.py",
    RUNTIME / "clips" / "pre_roll.py",
]
COPYING = {"array", "ascontiguousarray", "astype", "copy", "copyto", "memmove", "tobytes"}
NO_PIXELS = {
    ("feed.py", "later_than"): "displacements",
    ("frozen.py", "look"): "a sample of some 1,500 pixels",
    ("ring.py", "close"): "a part without length, in place of the memory",
    ("runtime.py", "step"): "coefficients of a filter",
    ("band.py", "set_mask"): "a mask",
    ("memory.py", "send"): "coefficients of a filter",
    ("profile.py", "_alone"): "noise, on which an engine is timed alone",
}


def copies_in(path: Path) -> set[str]:
    """The functions of a file that copy an array: by a call, or by assigning to a part of one."""
    return {
        function.name
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in COPYING)
        or (isinstance(node, ast.Assign) and any(is_part(target) for target in node.targets))
    }


def is_part(target: ast.expr) -> bool:
    """Whether something is assigned to as ``array[...]`` or ``array[a:b]``."""
    return isinstance(target, ast.Subscript) and any(
        isinstance(node, ast.Slice) or (isinstance(node, ast.Constant) and node.value is ...)
        for node in ast.walk(target.slice)
    )


def test_nobody_who_hands_frames_on_copies_in_silence() -> None:
    """Every copy of a camera's pixels goes through `runtime.frames.copies`, or is told where it is made."""
    found = {(path.name, function) for path in HANDS_FRAMES_ON for function in copies_in(path)}
    assert found == set(NO_PIXELS)


@pytest.mark.parametrize(
    "copy", ["np.copyto(pixels, it)", "pixels[:] = it", "pixels[..., 1] = it", "it.tobytes()"]
)
def test_a_copy_would_be_found(tmp_path: Path, copy: str) -> None:
    (tmp_path / "camera.py").write_text(f"def read_into(pixels):\n    {copy}\n")
    assert copies_in(tmp_path / "camera.py") == {"read_into"}
