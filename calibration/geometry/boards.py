"""Boards of known size that a camera is shown: ChArUco and grids of AprilTags, drawn and found again in a picture."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.geometry.lengths import millimetres
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.displacement.geometry import through

Values = NDArray[np.float64]

_SPEC = re.compile(r"(charuco|apriltag)-(\d+)x(\d+)-(.+)")
_EXAMPLES = "write charuco-9x6-25mm or apriltag-5x3-40mm: kind, columns x rows, side of a square or tag"
_DICTIONARIES = {"charuco": cv2.aruco.DICT_5X5_250, "apriltag": cv2.aruco.DICT_APRILTAG_36h11}
_MARKER_SHARE = 0.75
_GAP_SHARE = 0.3
_MODULES = {"charuco": 7, "apriltag": 8}
_MOST_MARKERS = 250
_FEWEST_CORNERS = 8
_WORST_SHARE = 0.02
"""Distance of corners from a plane, as a share of the board's width in the picture, that no lens explains."""


@dataclass(frozen=True, eq=False)
class BoardSighting:
    """Corners of a board in a picture: (n, 2) px, and (n, 2) mm on the board, x to the right, y down."""

    corners_px: Values
    corners_mm: Values


@dataclass(frozen=True)
class CalibrationBoard:
    """A board: its kind, number of squares or tags across and down, and their side."""

    kind: str
    columns: int
    rows: int
    side_mm: float

    @classmethod
    def parse(cls, text: str) -> CalibrationBoard:
        """The board of a specification such as ``charuco-9x6-25mm``.

        Raises:
            OptionFault: it is none, or such a board does not exist.
        """
        found = _SPEC.fullmatch(text.strip().lower())
        if not found:
            raise OptionFault(f"{text!r} is no board", remedy=_EXAMPLES)
        kind, columns, rows = found[1], int(found[2]), int(found[3])
        side_mm = millimetres(found[4], least=0)
        least = 3 if kind == "charuco" else 2
        markers = columns * rows // (2 if kind == "charuco" else 1)
        if min(columns, rows) < least or markers > _MOST_MARKERS:
            raise OptionFault(
                f"{text!r}: {columns}x{rows} is no size of such a board",
                remedy=f"give {least}x{least} or more, of at most {_MOST_MARKERS} markers",
            )
        return cls(kind, columns, rows, side_mm)

    def __str__(self) -> str:
        return f"{self.kind}-{self.columns}x{self.rows}-{self.side_mm:g}mm"

    @property
    def size_mm(self) -> tuple[float, float]:
        """Width and height of what is printed."""
        if self.kind == "charuco":
            return self.columns * self.side_mm, self.rows * self.side_mm
        pitch = self.side_mm * (1 + _GAP_SHARE)
        gap = self.side_mm * _GAP_SHARE
        return self.columns * pitch - gap, self.rows * pitch - gap

    def black_mm(self) -> Iterator[tuple[float, float, float, float]]:
        """Left, top, width and height of everything black."""
        if self.kind == "charuco":
            for row in range(self.rows):
                for column in range(row % 2, self.columns, 2):
                    yield column * self.side_mm, row * self.side_mm, self.side_mm, self.side_mm
        board, dictionary = self._opencv(), self._dictionary()
        modules = _MODULES[self.kind]
        for number, corners in zip(np.ravel(board.getIds()), board.getObjPoints(), strict=True):
            picture = cv2.aruco.generateImageMarker(dictionary, int(number), modules)
            left, top = corners[0][:2]
            module = float(corners[1][0] - corners[0][0]) / modules
            for row, line in enumerate(picture):
                edges = np.flatnonzero(np.diff(np.r_[False, line == 0, False]))
                for begin, end in edges.reshape(-1, 2):
                    yield (
                        float(left) + begin * module,
                        float(top) + row * module,
                        float(end - begin) * module,
                        module,
                    )

    def find(self, picture: NDArray[np.uint8]) -> BoardSighting:
        """Find the board in a picture, u8 (H, W) or (H, W, 3; RGB).

        Raises:
            CalibrationFault: it is not there, or is mirrored, another one, half seen, blurred or bent.
        """
        grey = picture
        if picture.ndim == 3:
            grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
        markers, numbers = self._markers(grey)
        if not numbers.size:
            if self._markers(np.ascontiguousarray(grey[:, ::-1]))[1].size:
                raise CalibrationFault(
                    f"the board {self} is mirrored", remedy="turn the mirroring of the camera or picture off"
                )
            raise CalibrationFault(
                f"no part of the board {self} is seen",
                remedy="show it larger, sharp, evenly lit and with its white margin, and check its kind",
            )
        known = {int(each): corners for each, corners in zip(*self._markers_mm(), strict=True)}
        strange = sorted(set(numbers.tolist()) - set(known))
        if strange:
            raise CalibrationFault(
                f"marker {strange[0]} is seen, which the board {self} does not have",
                remedy="state the board that was printed",
            )
        seen_mm = np.concatenate([known[int(each)] for each in numbers])
        self._check_flat(BoardSighting(np.concatenate(markers), seen_mm), len(numbers))
        found = self._corners(grey, markers, numbers, seen_mm)
        if len(found.corners_px) < _FEWEST_CORNERS or is_line(found.corners_mm):
            raise CalibrationFault(
                f"only {len(found.corners_px)} corners of the board {self} are seen, or all in a line",
                remedy=f"show more of it: {_FEWEST_CORNERS} corners in two directions or more",
            )
        self._check_flat(found, len(numbers))
        return found

    def _check_flat(self, found: BoardSighting, markers: int) -> None:
        homography = cv2.findHomography(found.corners_px, found.corners_mm)[0]
        worst = 1.0
        if homography is not None:
            back = through(np.linalg.inv(homography), found.corners_mm)
            width_px = float(np.ptp(found.corners_px, axis=0).max())
            worst = float(np.sqrt(((back - found.corners_px) ** 2).sum(axis=1).mean())) / width_px
        if worst > _WORST_SHARE:
            raise CalibrationFault(
                f"{markers} markers are seen, but they do not lie as on the board {self}",
                remedy="state the board that was printed, hold it flat, still and sharp",
            )

    def _corners(
        self, grey: NDArray[np.uint8], markers: list[Values], numbers: NDArray[np.int64], seen_mm: Values
    ) -> BoardSighting:
        board = self._opencv()
        if isinstance(board, cv2.aruco.GridBoard):
            return BoardSighting(np.concatenate(markers), seen_mm)
        corners, places, _, _ = cv2.aruco.CharucoDetector(board).detectBoard(
            grey,
            markerCorners=[each[None].astype(np.float32) for each in markers],
            markerIds=numbers[:, None].astype(np.int32),
        )
        if places is None:
            return BoardSighting(np.empty((0, 2)), np.empty((0, 2)))
        inner = np.asarray(board.getChessboardCorners(), float)[:, :2]
        return BoardSighting(corners.reshape(-1, 2).astype(float), inner[places.ravel()])

    def _markers(self, grey: NDArray[np.uint8]) -> tuple[list[Values], NDArray[np.int64]]:
        parameters = cv2.aruco.DetectorParameters()
        if self.kind == "apriltag":
            parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
        found, numbers, _ = cv2.aruco.ArucoDetector(self._dictionary(), parameters).detectMarkers(grey)
        if numbers is None:
            return [], np.empty(0, np.int64)
        return [each.reshape(4, 2).astype(float) for each in found], numbers.ravel().astype(np.int64)

    def _markers_mm(self) -> tuple[NDArray[np.int64], list[Values]]:
        board = self._opencv()
        places = [np.asarray(each, float)[:, :2] for each in board.getObjPoints()]
        return np.ravel(board.getIds()).astype(np.int64), places

    def _dictionary(self) -> cv2.aruco.Dictionary:
        return cv2.aruco.getPredefinedDictionary(_DICTIONARIES[self.kind])

    def _opencv(self) -> cv2.aruco.CharucoBoard | cv2.aruco.GridBoard:
        size, side = (self.columns, self.rows), self.side_mm
        if self.kind == "charuco":
            return cv2.aruco.CharucoBoard(size, side, _MARKER_SHARE * side, self._dictionary())
        return cv2.aruco.GridBoard(size, side, _GAP_SHARE * side, self._dictionary())


def is_line(places: Values) -> bool:
    """True where all places lie in one line, or nearly."""
    if len(places) < 3:
        return True
    parts = np.linalg.svd(places - places.mean(axis=0), compute_uv=False)
    return bool(parts[1] < 0.02 * parts[0])
