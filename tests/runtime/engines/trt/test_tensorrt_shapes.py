"""The shapes that an engine is built for, from what a graph leaves open."""

from __future__ import annotations

import pytest

from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.engines.tensorrt.shapes import EngineSizes, Shape, input_shape
from tremorscope.runtime.errors import BundleFault

SIZES = EngineSizes(FrameSize(width_px=1921, height_px=1081), cell_px=4, most_sections=8)


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("frame", (1, -1, -1, 3), (1, 1081, 1921, 3)),
        ("previous", (1, -1, -1, 4), (1, 1081, 1921, 4)),
        ("reference", (1, 1081, 1921, 3), (1, 1081, 1921, 3)),
        ("amplification", (1,), (1,)),
        ("mask", (1, 1, -1, -1), (1, 1, 271, 481)),  # cells of 4 px, rounded up
    ],
)
def test_what_follows_from_the_frames_is_fixed(name: str, shape: Shape, expected: Shape) -> None:
    found = input_shape(name, shape, SIZES)
    assert found.stated == expected
    assert not found.varies


def test_the_sections_of_a_filter_stay_a_range() -> None:
    state = input_shape("state", (2, -1, 32, -1, -1), SIZES)
    assert state.stated == (2, -1, 32, 271, 481)
    assert (state.smallest[1], state.usual[1], state.largest[1]) == (1, 2, 8)
    assert state.varies


def test_sections_that_the_graph_fixes_are_kept() -> None:
    assert input_shape("coefficients", (3, 2, 5), SIZES).stated == (3, 2, 5)


def test_a_graph_of_another_size_is_refused() -> None:
    with pytest.raises(BundleFault, match=r"takes frame of shape \[1, 1080, 1920, 3\], not for 1921x1081 px"):
        input_shape("frame", (1, 1080, 1920, 3), SIZES)


@pytest.mark.parametrize(("name", "shape"), [("frame", (-1, -1, -1, 3)), ("unheard_of", (1, -1))])
def test_what_should_not_be_open_is_refused(name: str, shape: Shape) -> None:
    with pytest.raises(BundleFault, match=f"leaves axis . of {name} open: export"):
        input_shape(name, shape, SIZES)


def test_where_the_most_is_one_section_nothing_varies() -> None:
    one = EngineSizes(SIZES.frame, cell_px=4, most_sections=1)
    assert not input_shape("state", (2, -1, 32, -1, -1), one).varies
