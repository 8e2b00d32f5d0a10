"""Engines: protocols of the runners of step graphs, and checks of arrays before their pointers are used: a wrong one
would be read beyond its end.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Engine(Protocol):
    """Runs a step graph on frames of one size."""

    @property
    def width_px(self) -> int:
        """Width of every frame in pixels."""

    @property
    def height_px(self) -> int:
        """Height of every frame in pixels."""

    @property
    def channels(self) -> int:
        """Bytes a pixel of the frames that go in: 3 in RGB, or 4 where the graph takes them as a camera gives them.

        The picture that comes out always has 3.
        """

    def rest(self) -> None:
        """Give back memory that the next step can have again at once; called while no picture is wanted."""


class PairwiseEngine(Engine, Protocol):
    """Runs the ``pairwise`` step graph on frames of one size, straight on the memory that they lie in."""

    def step(
        self,
        frame: NDArray[np.uint8],
        reference: NDArray[np.uint8],
        amplification: float,
        magnified: NDArray[np.uint8],
    ) -> None:
        """Magnify the motion from ``reference`` to ``frame`` and write the picture into ``magnified``.

        ``frame`` and ``reference`` are u8[H, W, C] with the graph's ``channels``, ``magnified`` is u8[H, W, 3] in
        RGB. All are contiguous and remain the caller's; nothing is copied of what lies in memory that the runner
        reaches (`runtime.engines.selection.Runtime.allocate`). ``magnified`` must not overlap the other two.
        Returns when the picture is complete.
        """


class BandEngine(Engine, Protocol):
    """Runs the ``band`` step graph on frames of one size and keeps the state of its filter.

    The state lies in two buffers that are made once and change roles from step to step; it is FP32 and never
    leaves the memory in which the engine computes.
    """

    @property
    def cell_px(self) -> int:
        """Pixels along each axis of a cell of mask and state; a last, partly filled cell counts."""

    @property
    def state_nbytes(self) -> int:
        """Bytes of one of the two buffers of the state."""

    def start(self, sections: int) -> None:
        """Set the state to zero, for a filter of so many sections; allocates only where their number changes."""

    def set_mask(self, mask: NDArray[np.float32]) -> None:
        """Set the mask from the next step on, f32[rows, columns] by cells: from 0 (as filmed) to 1 (magnified).

        Everywhere at the start.
        """

    def step(
        self,
        frame: NDArray[np.uint8],
        previous: NDArray[np.uint8],
        *,
        amplification: float,
        max_displacement_px: float,
        coefficients: NDArray[np.float32],
        magnified: NDArray[np.uint8],
    ) -> float:
        """Take the motion from ``previous`` to ``frame`` into the state and write the picture.

        Args:
            frame: u8[H, W, C] with the graph's ``channels``, contiguous.
            previous: the frame of the step before, of the same form.
            amplification: magnified over true displacement of the filtered motion.
            max_displacement_px: the most that is added to any displacement.
            coefficients: of this step, f32[3, 2, sections]; see `runtime.magnification.modal_filter`.
            magnified: takes the picture; must not overlap the others.

        Returns:
            The activity: mean square of the filtered motion, over the largest that a difference of two frames
            can have. Not finite where the state is damaged.
        """


def check_frame(pixels: NDArray[np.uint8], shape: tuple[int, ...]) -> None:
    """Check that ``pixels`` is a contiguous frame of this shape.

    Raises:
        ValueError: it is not.
    """
    if pixels.shape != shape or pixels.dtype != np.uint8 or not pixels.flags.c_contiguous:
        raise ValueError(f"not a contiguous uint8 frame of shape {shape}: {pixels.dtype} {pixels.shape}")


class FixedFrames:
    """Frame size and form that all runners share, and the check of arrays against them."""

    _input_shape: tuple[int, int, int]
    _picture_shape: tuple[int, int, int]

    def _take_frames(self, width_px: int, height_px: int, channels: int) -> None:
        self._input_shape, self._picture_shape = (height_px, width_px, channels), (height_px, width_px, 3)

    @property
    def width_px(self) -> int:
        """Width of every frame in pixels."""
        return self._picture_shape[1]

    @property
    def height_px(self) -> int:
        """Height of every frame in pixels."""
        return self._picture_shape[0]

    @property
    def channels(self) -> int:
        """Bytes a pixel of the frames that go in."""
        return self._input_shape[2]

    def rest(self) -> None:
        """Keep everything: on a GPU, opening it again would take too long."""

    def _check_frames(
        self, frame: NDArray[np.uint8], before: NDArray[np.uint8], magnified: NDArray[np.uint8]
    ) -> None:
        check_frame(frame, self._input_shape)
        check_frame(before, self._input_shape)
        check_frame(magnified, self._picture_shape)
