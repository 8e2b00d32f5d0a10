"""The sizes of a step graph's inputs in an engine: those of the frames fixed, those of a filter left a range."""

from __future__ import annotations

from dataclasses import dataclass

from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.errors import BundleFault

Shape = tuple[int, ...]

_OPEN_SIZES: dict[str, dict[int, str]] = {
    "frame": {1: "height", 2: "width"},
    "reference": {1: "height", 2: "width"},
    "previous": {1: "height", 2: "width"},
    "mask": {2: "rows", 3: "columns"},
    "coefficients": {2: "sections"},
    "state": {1: "sections", 3: "rows", 4: "columns"},
}
"""By input and axis, which size a graph for any frame leaves open. TensorRT's parsers before 10 may not tell."""
_USUAL_SECTIONS = 2
"""Sections of the default band filter, a Butterworth of order 2 for one band."""


@dataclass(frozen=True)
class EngineSizes:
    """Frame size, cells and most sections of an engine."""

    frame: FrameSize
    cell_px: int = 1
    """Side of a cell of the representation in pixels; rows and columns are rounded up."""
    most_sections: int = 1
    """Most sections of a band filter. TensorRT sets memory aside for them: choose no more than needed."""


@dataclass(frozen=True)
class InputShape:
    """Smallest, usual and largest shape of an input; all the same where it is fixed."""

    smallest: Shape
    usual: Shape
    largest: Shape

    @property
    def stated(self) -> Shape:
        """The shape with -1 where it varies."""
        pairs = zip(self.smallest, self.largest, strict=True)
        return tuple(low if low == high else -1 for low, high in pairs)

    @property
    def varies(self) -> bool:
        """True where the shape is a range, for which an engine needs a profile."""
        return self.smallest != self.largest


def input_shape(name: str, shape: Shape, sizes: EngineSizes) -> InputShape:
    """The shape of the input ``name`` for frames of one size, where the graph has -1 for what it leaves open.

    A fixed size is stated as such, not as a profile of one: such an engine needs no shapes at run time.

    Args:
        name: the input.
        shape: its shape in the graph.
        sizes: what the engine is built for.

    Raises:
        BundleFault: the graph is for another size, or leaves open what it should not.
    """
    size, cell_px, most = sizes.frame, sizes.cell_px, sizes.most_sections
    lengths = {
        "height": (size.height_px,) * 3,
        "width": (size.width_px,) * 3,
        "rows": (-(-size.height_px // cell_px),) * 3,
        "columns": (-(-size.width_px // cell_px),) * 3,
        "sections": (1, min(_USUAL_SECTIONS, most), most),
    }
    known = _OPEN_SIZES.get(name, {})
    ranges = []
    for axis, length in enumerate(shape):
        size_name = known.get(axis)
        if length == -1 and size_name is None:
            raise BundleFault(
                f"the graph leaves axis {axis} of {name} open",
                remedy="export the bundle with this release of tremorscope",
            )
        wanted = (length,) * 3 if size_name is None else lengths[size_name]
        if length not in (-1, wanted[0]) and size_name != "sections":
            raise BundleFault(
                f"the graph takes {name} of shape {list(shape)}, not for {size.width_px}x{size.height_px} px",
                remedy="leave --size out, or export a bundle for this size",
            )
        ranges.append(wanted if length == -1 else (length,) * 3)
    smallest, usual, largest = (tuple(each[which] for each in ranges) for which in range(3))
    return InputShape(smallest, usual, largest)
