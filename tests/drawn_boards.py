"""Drawn views of boards through a known lens, with anti-aliasing, blur and noise: the truth for calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RectBivariateSpline
from scipy.ndimage import gaussian_filter

from tremorscope.calibration.geometry.boards import CalibrationBoard
from tremorscope.runtime.vibration.displacement.geometry import distorted, through, undistorted

Values = NDArray[np.float64]
SIZE = (960, 540)
LENS = (900.0, 903.0, 475.0, 272.0, -0.21, 0.06, 0.0006, -0.0004)
_SUB, _KNOT_PX = 3, 8
_PER_MM = 10
_MARGIN_MM = 12.0
_INK, _PAPER, _WALL = 25.0, 225.0, 130.0


@dataclass(frozen=True)
class View:
    """Posture of a board: turns in degrees, place of its middle in mm, in front of the camera."""

    pitch_deg: float
    yaw_deg: float
    roll_deg: float
    x_mm: float
    y_mm: float
    z_mm: float

    def plane(self, board: CalibrationBoard, lens: tuple[float, ...] = LENS) -> Values:
        """Homography from board to undistorted picture, (3, 3)."""
        a, b, c = np.radians([self.pitch_deg, self.yaw_deg, self.roll_deg])
        about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
        turn = about_z @ about_y @ about_x
        shift = np.array([self.x_mm, self.y_mm, self.z_mm]) - turn[:, :2] @ np.array(board.size_mm) / 2
        matrix = np.array([[lens[0], 0, lens[2]], [0, lens[1], lens[3]], [0, 0, 1]])
        return matrix @ np.column_stack([turn[:, :2], shift])

    def to_picture(
        self, board: CalibrationBoard, places_mm: Values, lens: tuple[float, ...] = LENS
    ) -> Values:
        """Places (n, 2) in the picture."""
        return distorted(through(self.plane(board, lens), places_mm), lens)


def postures(rng: np.random.Generator, count: int, *, tilt_deg: float = 35) -> list[View]:
    """Postures that show a board of about 225 x 150 mm whole, all over the picture."""
    return [
        View(
            *rng.uniform(-tilt_deg, tilt_deg, 2),
            rng.uniform(-12, 12),
            rng.uniform(-90, 90),
            rng.uniform(-30, 30),
            rng.uniform(420, 560),
        )
        for _ in range(count)
    ]


class Studio:
    """Draws one board; the rays of all sub-pixels are reckoned once for a lens."""

    def __init__(
        self, board: CalibrationBoard, size: tuple[int, int] = SIZE, lens: tuple[float, ...] = LENS
    ) -> None:
        self.board, self.size = board, size
        sub = (np.arange(_SUB) + 0.5) / _SUB - 0.5
        x = (np.arange(size[0])[:, None] + sub).ravel()
        y = (np.arange(size[1])[:, None] + sub).ravel()
        knots = [np.arange(-_KNOT_PX, side + 2 * _KNOT_PX, _KNOT_PX) for side in size]
        grid = np.stack(np.meshgrid(*knots), axis=-1)
        rays = undistorted(grid.reshape(-1, 2), lens).reshape(grid.shape)
        # Undistortion is smooth: between knots 8 px apart cubic splines are exact to a millionth of a pixel.
        self.x, self.y = (RectBivariateSpline(*knots[::-1], rays[..., axis])(y, x) for axis in (0, 1))
        self.lens = lens
        wide, high = (round(_PER_MM * (side + 2 * _MARGIN_MM)) for side in board.size_mm)
        self.paper = np.full((high, wide), _PAPER, np.float32)
        for left, top, width, height in board.black_mm():
            rows, columns = (
                slice(*(round(_PER_MM * (each + _MARGIN_MM)) for each in (low, low + side)))
                for low, side in ((top, height), (left, width))
            )
            self.paper[rows, columns] = _INK

    def draw(
        self, view: View, rng: np.random.Generator, *, blur_px: float = 0.6, noise: float = 2.0
    ) -> NDArray[np.uint8]:
        """A picture, u8 (H, W, 3)."""
        width, height = self.size
        wide, high = self.board.size_mm
        m = _MARGIN_MM
        outline = np.array([[-m, -m], [wide + m, -m], [wide + m, high + m], [-m, high + m], [wide / 2, -m]])
        seen = view.to_picture(self.board, outline, self.lens)
        (left, top), (right, bottom) = np.floor(seen.min(axis=0)) - 6, np.ceil(seen.max(axis=0)) + 6
        rows = slice(max(0, int(top)) * _SUB, min(height, int(bottom)) * _SUB)
        columns = slice(max(0, int(left)) * _SUB, min(width, int(right)) * _SUB)
        back = np.linalg.inv(view.plane(self.board, self.lens))
        x, y = self.x[rows, columns], self.y[rows, columns]
        weight = back[2, 0] * x + back[2, 1] * y + back[2, 2]
        across, down = (
            np.floor(_PER_MM * ((back[at, 0] * x + back[at, 1] * y + back[at, 2]) / weight + m)).astype(int)
            for at in (0, 1)
        )
        inside = (across >= 0) & (across < self.paper.shape[1]) & (down >= 0) & (down < self.paper.shape[0])
        light = np.full((height * _SUB, width * _SUB), _WALL, np.float32)
        light[rows, columns][inside] = self.paper[down[inside], across[inside]]
        picture = light.reshape(height, _SUB, width, _SUB).mean(axis=(1, 3), dtype=np.float64)
        picture = gaussian_filter(picture, blur_px) + rng.normal(0, noise, picture.shape)
        grey = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
