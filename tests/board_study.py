"""A study by hand of the scale by a board: `PYTHONPATH=. python tests/board_study.py [LENSES [VIEWS]]`.

Each lens is calibrated from 12 drawn views with noise; then the scale is taken in other views, and compared with the
truth at the board's middle, along x and y. Prints the worst error, and how often twice the stated standard
uncertainty covers the truth.
"""

from __future__ import annotations

import sys

import numpy as np
from drawn_boards import LENS, SIZE, Studio, postures

from tremorscope.calibration.geometry.boards import CalibrationBoard
from tremorscope.calibration.geometry.lens import calibrate_lens
from tremorscope.calibration.geometry.pictures import Shot
from tremorscope.calibration.geometry.scale import Known, scale_by_board
from tremorscope.runtime.vibration.displacement.geometry import PlaneScale

SIDE_SIGMA_MM = 0.05


def trial(studio: Studio, lenses: int, views: int, seed: int = 0) -> tuple[list[float], list[bool]]:
    """Relative errors of the scale, and True for each where the stated error covers it."""
    rng = np.random.default_rng(seed)
    errors, covered = [], []
    for _ in range(lenses):
        shots = [Shot(f"view {at}", studio.draw(each, rng)) for at, each in enumerate(postures(rng, 12))]
        lens = calibrate_lens(studio.board, shots).lens
        for view in postures(rng, views, tilt_deg=45):
            # The paper is what it is; the side that a ruler tells is off by its uncertainty.
            measured_mm = studio.board.side_mm + rng.normal(0, SIDE_SIGMA_MM)
            board = CalibrationBoard(studio.board.kind, studio.board.columns, studio.board.rows, measured_mm)
            plane = scale_by_board(board, studio.draw(view, rng), Known(SIZE, lens, 0.5, SIDE_SIGMA_MM))
            place = view.to_picture(studio.board, np.array([studio.board.size_mm]) / 2)[0]
            true = true_plane(view.plane(studio.board)).stretch_at(place)
            found, sigma = plane.stretch_at(place), plane.relative_sigma_at(place)
            error = max(abs(found[axis, axis] / true[axis, axis] - 1) for axis in (0, 1))
            errors.append(error)
            covered.append(error <= 2 * sigma)
    return errors, covered


def true_plane(to_picture: np.ndarray) -> PlaneScale:
    """The plane of a drawn view."""
    plane = np.linalg.inv(to_picture)
    numbers = tuple((plane / plane[2, 2]).ravel().tolist())
    return PlaneScale(
        width_px=SIZE[0],
        height_px=SIZE[1],
        residual_px=0,
        made_from="the drawing",
        method="board",
        lens=LENS,
        homography=numbers,
        ensemble=((*LENS, *numbers),),
        points=(),
    )


if __name__ == "__main__":
    lenses, views = (int(each) for each in (sys.argv[1:] + ["10", "10"][len(sys.argv) - 1 :])[:2])
    for name in ("charuco-9x6-25mm", "apriltag-5x3-40mm"):
        errors, covered = trial(Studio(CalibrationBoard.parse(name)), lenses, views)
        print(
            f"{name}: {len(errors)} views, error median {100 * np.median(errors):.3f} %, "
            f"largest {100 * max(errors):.3f} %; covered {sum(covered)} of {len(covered)}",
            flush=True,
        )
