"""The frame ring: one block, one page boundary a slot, nothing allocated twice.

Every copy of pixels by the CPU is told, and a frame's share of them is exact.
"""

from __future__ import annotations

import ast
import threading
from pathlib import Path

import numpy as np
import pytest
from support import ROOT

from tremorscope.runtime.frames.buffers import PAGE_BYTES, CopyAccount, FrameRing, allocate_host, copy_pixels


@pytest.mark.parametrize(("width_px", "height_px"), [(16, 16), (641, 359), (1920, 1080)])
def test_every_slot_is_contiguous_and_starts_on_a_page(width_px: int, height_px: int) -> None:
    ring = FrameRing(3, width_px=width_px, height_px=height_px)
    for number in range(3):
        frame = ring.frame(number)
        assert frame.shape == (height_px, width_px, 3)
        assert frame.dtype == np.uint8
        assert frame.flags.c_contiguous
        assert frame.flags.writeable
        assert frame.ctypes.data % PAGE_BYTES == 0


def test_slots_do_not_overlap() -> None:
    ring = FrameRing(4, width_px=37, height_px=23)
    for number in range(4):
        ring.frame(number)[:] = number + 1
    assert [int(ring.frame(number).min()) for number in range(4)] == [1, 2, 3, 4]
    assert [int(ring.frame(number).max()) for number in range(4)] == [1, 2, 3, 4]


def test_a_frame_number_comes_back_to_its_slot_after_one_turn() -> None:
    ring = FrameRing(3, width_px=16, height_px=16)
    addresses = [ring.frame(number).ctypes.data for number in range(7)]
    assert addresses[0] == addresses[3] == addresses[6]
    assert len(set(addresses)) == 3


def test_all_memory_comes_from_one_call_of_the_allocator() -> None:
    asked: list[int] = []

    def allocate(nbytes: int) -> np.ndarray:
        asked.append(nbytes)
        return allocate_host(nbytes)

    FrameRing(5, width_px=100, height_px=100, allocate=allocate)
    assert asked == [5 * 8 * PAGE_BYTES]  # 30,000 bytes a frame are 8 pages


def test_memory_outlives_the_ring_that_made_it() -> None:
    frame = FrameRing(1, width_px=16, height_px=16).frame(0)
    frame[:] = 7
    assert int(frame.sum()) == 7 * 16 * 16 * 3


@pytest.mark.parametrize("sizes", [(0, 16, 16), (1, 0, 16), (1, 16, -1)])
def test_a_ring_of_nothing_is_refused(sizes: tuple[int, int, int]) -> None:
    slots, width_px, height_px = sizes
    with pytest.raises(ValueError, match="must be 1 or more"):
        FrameRing(slots, width_px=width_px, height_px=height_px)


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
DRAWN = {"canvas.py", "footbridge.py", "synthetic.py"}
"""Cameras whose pictures are computed: what they write into the slot is the picture's first place."""
HANDS_FRAMES_ON = [
    *sorted(
        path
        for room in ("cameras", "engines", "live")
        for path in (RUNTIME / room).rglob("*.py")
        if path.name not in DRAWN
    ),
    *(RUNTIME / "frames" / f"{name}.py" for name in ("buffers", "latest", "ring", "stage_times")),
    *(RUNTIME / "magnification" / f"{name}.py" for name in ("band_magnifier", "magnifier")),
    RUNTIME / "gpu" / "mapped.py",
    *(RUNTIME / "clips" / f"{name}.py" for name in ("pre_roll", "recorder", "writer")),
    *(RUNTIME / "service" / f"{name}.py" for name in ("assembly", "events", "frames", "storing")),
    RUNTIME / "outputs" / "web" / "pictures.py",
]
COPYING = {"array", "ascontiguousarray", "astype", "copy", "copyto", "memmove", "tobytes"}
NO_PIXELS = {
    ("buffers.py", "copy_pixels"): "told to the account",
    ("stage_times.py", "clear"): "times",
    ("feed.py", "later_than"): "displacements",
    ("stage_times.py", "add"): "times",
    ("intake.py", "_sample"): "some 1,500 pixels",
    ("runtime.py", "step"): "coefficients of a filter",
    ("runners.py", "set_mask"): "a mask",
    ("memory.py", "send"): "coefficients of a filter",
    ("profile.py", "_alone"): "noise, on which an engine is timed alone",
    ("stack_camera.py", "read_into"): "told to the account",
    ("stack_camera.py", "read_luma_into"): "a recorded file's pixels, made from raw ones",
    ("stack_camera.py", "_axis"): "times",
    ("deep_v4l2.py", "_take"): "told to the account",
    ("deep_v4l2.py", "grey_table"): "a table of grey levels, made once",
    ("stack.py", "unpack_msb_first"): "a recorded file's pixels, made from packed ones",
    ("pictures.py", "read_picture"): "a recorded file's pixels, as the library decodes them",
    ("pictures.py", "_places"): "numbers of pictures",
    ("phantom.py", "_take_times"): "times",
}


def copies_in(path: Path) -> set[str]:
    """The functions of a file that copy an array: by a call, or by assigning to a part of one."""
    return {
        function.name
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and copies(node, node.func.attr)
        )
        or (isinstance(node, ast.Assign) and any(is_part(target) for target in node.targets))
    }


def copies(call: ast.Call, name: str) -> bool:
    """Whether a method of this name copies; a queue has a ``take``, too."""
    return name in COPYING or (name == "take" and any(keyword.arg == "axis" for keyword in call.keywords))


def is_part(target: ast.expr) -> bool:
    """Whether something is assigned to as ``array[...]`` or ``array[a:b]``."""
    return isinstance(target, ast.Subscript) and any(
        isinstance(node, ast.Slice) or (isinstance(node, ast.Constant) and node.value is ...)
        for node in ast.walk(target.slice)
    )


def test_nobody_who_hands_frames_on_copies_in_silence() -> None:
    """Every copy of a camera's pixels goes through `runtime.frames.buffers`, or is told where it is made."""
    found = {(path.name, function) for path in HANDS_FRAMES_ON for function in copies_in(path)}
    assert found == set(NO_PIXELS)


@pytest.mark.parametrize(
    "copy", ["np.copyto(pixels, it)", "pixels[:] = it", "pixels[..., 1] = it", "it.tobytes()"]
)
def test_a_copy_would_be_found(tmp_path: Path, copy: str) -> None:
    (tmp_path / "camera.py").write_text(f"def read_into(pixels):\n    {copy}\n")
    assert copies_in(tmp_path / "camera.py") == {"read_into"}
