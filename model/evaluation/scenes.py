"""Scenes of known motion that magnifiers are judged on, moved exactly in float64.

A scene gives the picture of a still camera for any displacement along one direction. All pictures are 256 x 256 px.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from tremorscope.model.errors import ImageFault
from tremorscope.model.evaluation.registration import ShiftedScene
from tremorscope.model.pairs.images import list_photographs, read_photograph

Frame = NDArray[np.uint8]
"""H x W x 3, RGB."""

VIEW_PX = 256
BORDER_PX = 16
"""Border of the view that is not judged: content that moves in from outside is unknown."""
GOLDEN_ANGLE = np.pi * (3.0 - np.sqrt(5.0))


class Scene(Protocol):
    """A moving scene before a still camera."""

    def picture(self, displacement_px: float) -> NDArray[np.float64]:
        """The camera's picture at a displacement: 256 x 256 x 3, in grey levels, not rounded."""

    @property
    def angle(self) -> float:
        """Direction of the motion, in radians from x towards y."""

    @property
    def moving(self) -> NDArray[np.float64]:
        """The moving content at rest: H x W x 3, with the view in its middle."""

    @property
    def followed_px(self) -> int:
        """Side of the square in the middle of the view that shows moving content alone."""


@dataclass(frozen=True)
class WholeFrame:
    """A photograph that moves as a whole."""

    photograph: Frame
    angle: float
    """Direction of the motion, in radians from x towards y."""

    def picture(self, displacement_px: float) -> NDArray[np.float64]:
        """The central view of the photograph, moved."""
        return middle_of(self._shifts.shifted(*_along(self.angle, displacement_px)))

    @property
    def followed_px(self) -> int:
        """All but the border."""
        return VIEW_PX - 2 * BORDER_PX

    @cached_property
    def moving(self) -> NDArray[np.float64]:
        """The photograph."""
        return _reduced(self.photograph).astype(np.float64)

    @cached_property
    def _shifts(self) -> ShiftedScene:
        return ShiftedScene(self.moving)


@dataclass(frozen=True)
class Blob:
    """A soft disc cut from one photograph that moves over another, which stays still."""

    background: Frame
    foreground: Frame
    angle: float

    radius_px: float = 56.0
    softness_px: float = 2.0

    def picture(self, displacement_px: float) -> NDArray[np.float64]:
        """The still view with the disc over it; the disc carries its own texture along."""
        x_px, y_px = _along(self.angle, displacement_px)
        at = np.arange(VIEW_PX) - (VIEW_PX - 1) / 2
        distance = np.hypot(at[None, :] - x_px, at[:, None] - y_px)
        coverage = 0.5 * (1.0 + np.tanh((self.radius_px - distance) / self.softness_px))[..., None]
        moved = middle_of(self._shifts.shifted(x_px, y_px))
        still = middle_of(_reduced(self.background).astype(np.float64))
        picture: NDArray[np.float64] = coverage * moved + (1.0 - coverage) * still
        return picture

    @property
    def followed_px(self) -> int:
        """The square within the disc, with room for its motion."""
        return 2 * int((self.radius_px - BORDER_PX) / np.sqrt(2.0))

    @cached_property
    def moving(self) -> NDArray[np.float64]:
        """The photograph that the disc is cut from."""
        return _reduced(self.foreground).astype(np.float64)

    @cached_property
    def _shifts(self) -> ShiftedScene:
        return ShiftedScene(self.moving)


@dataclass(frozen=True)
class BandOfTexture:
    """Random grey texture whose periods lie within half an octave of one, moving as a whole."""

    period_px: float
    seed: int
    contrast_grey_levels: float = 24.0
    """Standard deviation."""

    @property
    def angle(self) -> float:
        """A direction of its own for every seed."""
        return float(self.seed * GOLDEN_ANGLE)

    def picture(self, displacement_px: float) -> NDArray[np.float64]:
        """The texture, moved exactly: it is periodic, so nothing comes in from outside."""
        x_px, y_px = _along(self.angle, displacement_px)
        rows, columns = scipy.fft.fftfreq(VIEW_PX)[:, None], scipy.fft.rfftfreq(VIEW_PX)
        moved = self._spectrum * np.exp(-2j * np.pi * (rows * y_px + columns * x_px))
        level = 128.0 + scipy.fft.irfft2(moved, s=(VIEW_PX, VIEW_PX))
        return np.repeat(level[..., None], 3, axis=2)

    @property
    def followed_px(self) -> int:
        """All but the border."""
        return VIEW_PX - 2 * BORDER_PX

    @property
    def moving(self) -> NDArray[np.float64]:
        """The texture, repeated around the view."""
        return np.pad(
            self.picture(0.0), ((VIEW_PX // 4, VIEW_PX // 4), (VIEW_PX // 4, VIEW_PX // 4), (0, 0)), "wrap"
        )

    @cached_property
    def _spectrum(self) -> NDArray[np.complex128]:
        noise = np.random.default_rng(self.seed).normal(size=(VIEW_PX, VIEW_PX))
        frequency = np.hypot(scipy.fft.fftfreq(VIEW_PX)[:, None], scipy.fft.rfftfreq(VIEW_PX))
        octaves = np.log2(np.maximum(frequency, 1e-9) * self.period_px)
        spectrum = scipy.fft.rfft2(noise) * (np.abs(octaves) <= 0.5)
        scale = self.contrast_grey_levels / scipy.fft.irfft2(spectrum, s=(VIEW_PX, VIEW_PX)).std()
        result: NDArray[np.complex128] = spectrum * scale
        return result


def whole_frames(photographs: Sequence[Frame]) -> list[Scene]:
    """Each photograph as a scene that moves as a whole, in a direction of its own spread by the golden angle."""
    return [WholeFrame(photograph, index * GOLDEN_ANGLE) for index, photograph in enumerate(photographs)]


def blobs(photographs: Sequence[Frame]) -> list[Scene]:
    """Each photograph as the background of a disc cut from the next one, turned by half a turn."""
    following = [*photographs[1:], photographs[0]]
    pairs = zip(photographs, following, strict=True)
    return [
        Blob(background, np.ascontiguousarray(foreground[::-1, ::-1]), index * GOLDEN_ANGLE)
        for index, (background, foreground) in enumerate(pairs)
    ]


def read_evaluation_photographs(folder: Path, most: int | None = None) -> list[Frame]:
    """Photographs of a folder, sorted by name, large enough for the view and the motion around it.

    Raises:
        ImageFault: no such folder, a damaged file, or nothing large enough in it.
    """
    least = VIEW_PX + 2 * BORDER_PX
    pictures = [read_photograph(path).permute(1, 2, 0).numpy() for path in list_photographs(folder)[:most]]
    large = [picture for picture in pictures if min(picture.shape[:2]) >= least]
    if not large:
        raise ImageFault(
            f"{folder}: no photograph of at least {least} px a side",
            remedy="name a folder of larger photographs",
        )
    return large


def _along(angle: float, displacement_px: float) -> tuple[float, float]:
    return displacement_px * float(np.cos(angle)), displacement_px * float(np.sin(angle))


def middle_of(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """The view, 256 x 256 px, in the middle of a larger picture."""
    height, width = picture.shape[:2]
    top, left = (height - VIEW_PX) // 2, (width - VIEW_PX) // 2
    return picture[top : top + VIEW_PX, left : left + VIEW_PX]


def _reduced(photograph: Frame) -> Frame:
    """Crop a photograph to the view and the largest motion around it, which saves time."""
    room = 2 * (VIEW_PX // 2 + 4 * BORDER_PX)
    height, width = photograph.shape[:2]
    top, left = max(0, (height - room) // 2), max(0, (width - room) // 2)
    return photograph[top : top + room, left : left + room]
