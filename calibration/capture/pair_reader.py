"""Reader of candidate pairs of both modes from a camera, in the memory of three frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tremorscope.calibration.pairs.calibration_set import PairMode, Picture
from tremorscope.runtime.errors import CorruptFrameFault
from tremorscope.runtime.frames.info import Camera, FrameInfo

_MOST_DAMAGED = 25
"""Consecutive damaged frames that are tolerated."""


@dataclass(frozen=True, eq=False)
class CandidatePair:
    """Frame and reference of one scene; the pictures are the reader's buffers and change when it reads on."""

    frame: Picture
    reference: Picture
    mode: PairMode
    frames_apart: int
    seconds_apart: float
    at_s: float
    """Capture time of the frame on the camera's clock."""


class PairReader:
    """Reads a camera; keeps the newest frame, the one before it, and a reference held for static mode."""

    def __init__(self, camera: Camera, longest_s: float) -> None:
        """Start at the camera's next frame.

        Args:
            camera: open, with a next frame.
            longest_s: age at which the held reference is replaced.
        """
        self._camera, self._longest_s = camera, longest_s
        shape = (camera.height_px, camera.width_px, 3)
        self._frame, self._previous, self._held = (np.empty(shape, np.uint8) for _ in range(3))
        self._info: FrameInfo | None = None
        self._previous_info: FrameInfo | None = None
        self._held_info: FrameInfo | None = None
        self._first_s: float | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds from the first frame to the newest, on the camera's clock."""
        if self._info is None or self._first_s is None:
            return 0.0
        return self._info.timestamp_s - self._first_s

    def advance(self) -> bool:
        """Read one frame; False at the end.

        Raises:
            Fault: the camera cannot be read on.
        """
        self._frame, self._previous = self._previous, self._frame
        self._previous_info = self._info
        self._info = self._read(self._frame)
        if self._info is None:
            return False
        if self._first_s is None:
            self._first_s = self._info.timestamp_s
        held = self._held_info
        if (
            held is None
            or held.segment != self._info.segment
            or self._info.timestamp_s - held.timestamp_s > self._longest_s
        ):
            np.copyto(self._held, self._frame)
            self._held_info = self._info
        return True

    def advance_to(self, elapsed_s: float) -> bool:
        """Read on until ``elapsed_s`` after the first frame; False if the source ends before."""
        while self._info is None or self.elapsed_s < elapsed_s:
            if not self.advance():
                return False
        return True

    def forget(self) -> None:
        """Discard all frames so far, e.g. those of a settling exposure; the next one becomes the reference."""
        self._held_info = self._previous_info = self._info = None

    def neighbours(self) -> CandidatePair | None:
        """Pair of the newest frame and the one before it; reads on past a gap. None at the end."""
        while self._info is None or not self._follows():
            if not self.advance():
                return None
        return self._against(self._previous, self._previous_info, "dynamic")

    def long_apart(self, at_least_s: float) -> CandidatePair | None:
        """Pair of the newest frame and the held reference; reads on to an age of ``at_least_s``. None at the end."""
        while self._info is None or self._age_s() < at_least_s:
            if not self.advance():
                return None
        return self._against(self._held, self._held_info, "static")

    def _follows(self) -> bool:
        before, now = self._previous_info, self._info
        return (
            before is not None
            and now is not None
            and before.segment == now.segment
            and now.sequence == before.sequence + 1
        )

    def _age_s(self) -> float:
        if self._info is None or self._held_info is None:
            return 0.0
        return self._info.timestamp_s - self._held_info.timestamp_s

    def _against(
        self, reference: NDArray[np.uint8], since: FrameInfo | None, mode: PairMode
    ) -> CandidatePair:
        assert self._info is not None
        assert since is not None
        return CandidatePair(
            self._frame,
            reference,
            mode,
            frames_apart=self._info.sequence - since.sequence,
            seconds_apart=max(0.0, self._info.timestamp_s - since.timestamp_s),
            at_s=self._info.timestamp_s,
        )

    def _read(self, pixels: Picture) -> FrameInfo | None:
        for attempt in range(_MOST_DAMAGED + 1):
            try:
                return self._camera.read_into(pixels)
            except CorruptFrameFault:  # noqa: PERF203
                if attempt == _MOST_DAMAGED:
                    raise
        return None
