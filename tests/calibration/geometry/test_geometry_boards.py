"""Boards, lens and scale against drawn views of known truth; bad boards and bad places are refused in one line."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from board_study import true_plane
from drawn_boards import LENS, SIZE, Studio, View, postures
from support import run_command

from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.geometry.boards import CalibrationBoard
from tremorscope.calibration.geometry.lengths import millimetres
from tremorscope.calibration.geometry.lens import calibrate_lens
from tremorscope.calibration.geometry.pictures import Shot
from tremorscope.calibration.geometry.scale import (
    Known,
    scale_by_board,
    scale_by_lengths,
    scale_by_points,
    scale_by_vanishing,
)
from tremorscope.runtime.errors import Fault, OptionFault
from tremorscope.runtime.vibration.displacement.geometry import Lens, distorted, through

BOARD = CalibrationBoard.parse("charuco-9x6-25mm")
FACING = View(12, -18, 4, 10, -6, 480)


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(BOARD)


@pytest.fixture(scope="module")
def shots(studio: Studio) -> list[Shot]:
    rng = np.random.default_rng(3)
    return [Shot(f"view {at}", studio.draw(each, rng)) for at, each in enumerate(postures(rng, 12))]


@pytest.fixture(scope="module")
def lens(shots: list[Shot]) -> Lens:
    return calibrate_lens(BOARD, shots).lens


class TestBoard:
    @pytest.mark.parametrize("name", ["charuco-9x6-25mm", "apriltag-5x3-40mm"])
    def test_is_printed_in_true_size(self, name: str, tmp_path: Path) -> None:
        """Read back from the PDF itself: its page, and its black parts, in points of 1/72 inch."""
        done = run_command("calibrate", "board", name, "-o", tmp_path / "b.pdf")
        assert done.returncode == 0, done.stderr
        content = (tmp_path / "b.pdf").read_bytes()
        page = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", content)
        assert page
        assert [float(each) * 25.4 / 72 for each in page.groups()] == pytest.approx([297, 210], abs=0.1)
        streams = re.findall(rb"stream\r?\n(.*?)endstream", content, re.DOTALL)
        drawn = max((s for s in map(_inflated, streams) if b" l\n" in s), key=len)
        places = np.array(re.findall(rb"([\d.]+) ([\d.]+) [ml]\n", drawn), float) * 25.4 / 72
        board = CalibrationBoard.parse(name)
        x, y = places.T
        # The ruler lies below, in the page's foot.
        on_board = (y > 10 + 6) & (x > 1) & (x < 296) & (y < 209)
        assert np.ptp(x[on_board]) == pytest.approx(board.size_mm[0], abs=0.01)
        assert np.ptp(y[on_board]) == pytest.approx(board.size_mm[1], abs=0.01)

    def test_its_corners_are_found_where_they_were_drawn(self, studio: Studio) -> None:
        found = BOARD.find(studio.draw(FACING, np.random.default_rng(1)))
        assert len(found.corners_px) == 40
        off = found.corners_px - FACING.to_picture(BOARD, found.corners_mm)
        assert np.abs(off.mean(axis=0)).max() < 0.03
        assert off.std() < 0.1

    def test_half_of_it_serves_and_a_corner_does_not(self, studio: Studio) -> None:
        picture = studio.draw(FACING, np.random.default_rng(1))
        half = picture.copy()
        half[:, :470] = 130
        assert 8 <= len(BOARD.find(half).corners_px) < 30
        picture[:, :590] = 130
        with pytest.raises(CalibrationFault, match="corners of the board"):
            BOARD.find(picture)

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            (lambda p: p[:, ::-1], "is mirrored"),
            (lambda p: cv2.GaussianBlur(p, (0, 0), 9), "no part of the board"),
            (lambda p: np.full_like(p, 99), "no part of the board"),
        ],
    )
    def test_a_picture_that_does_not_serve(self, change: object, complaint: str, studio: Studio) -> None:
        picture = np.ascontiguousarray(change(studio.draw(FACING, np.random.default_rng(1))))  # type: ignore[operator]
        with pytest.raises(CalibrationFault, match=complaint):
            BOARD.find(picture)

    @pytest.mark.parametrize(
        ("stated", "complaint"),
        [
            ("charuco-10x6-25mm", "do not lie as on the board"),
            ("charuco-5x4-25mm", "which the board charuco-5x4-25mm does not have"),
            ("apriltag-5x3-40mm", "no part of the board"),
        ],
    )
    def test_another_board_than_stated(self, stated: str, complaint: str, studio: Studio) -> None:
        with pytest.raises(CalibrationFault, match=complaint):
            CalibrationBoard.parse(stated).find(studio.draw(FACING, np.random.default_rng(1)))

    @pytest.mark.parametrize(
        "text", ["charuco", "charuco-2x2-25mm", "charuco-90x60-25mm", "charuco-9x6-25", "x-3x3-1mm"]
    )
    def test_no_board(self, text: str) -> None:
        with pytest.raises(OptionFault):
            CalibrationBoard.parse(text)


def _inflated(stream: bytes) -> bytes:
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return stream


class TestLens:
    def test_is_the_drawn_one_within_its_uncertainty(self, lens: Lens) -> None:
        off = (np.array(lens.parameters) - LENS) / lens.sigmas
        assert np.abs(off).max() < 4
        assert lens.sigmas[0] < 3
        assert lens.residual_px < 0.15

    def test_undistortion_is_the_inverse_with_a_right_jacobian(self, lens: Lens) -> None:
        place = np.array([90.0, 60.0])
        step = 1e-3
        ideal = [through(np.eye(3), [[x, 60.0]]) for x in (90 - step, 90 + step)]
        bent = [distorted(each, lens.parameters) for each in ideal]
        forward = (bent[1] - bent[0])[0] / (2 * step)
        back = lens.map_at(distorted([place], lens.parameters)[0])
        assert back @ forward == pytest.approx([1, 0], abs=1e-4)

    def test_too_few_views(self, shots: list[Shot]) -> None:
        with pytest.raises(CalibrationFault, match="4 of 4 pictures show the board: give 5 or more"):
            calibrate_lens(BOARD, shots[:4])

    def test_views_from_one_side(self, studio: Studio) -> None:
        rng = np.random.default_rng(0)
        views = [View(1, 1, 0, x, y, 480) for x in (-60, 0, 60) for y in (-20, 20)]
        shots = [Shot(str(at), studio.draw(each, rng)) for at, each in enumerate(views)]
        with pytest.raises(CalibrationFault, match="from one side"):
            calibrate_lens(BOARD, shots)


class TestScale:
    def test_by_a_board_within_one_percent_and_its_own_error(self, studio: Studio, lens: Lens) -> None:
        """Twice the standard uncertainty covers the truth in 95 of 100: of 12 at most 2 lie beyond (0.98 sure)."""
        rng = np.random.default_rng(7)
        beyond = 0
        for view in postures(rng, 12, tilt_deg=45):
            plane = scale_by_board(BOARD, studio.draw(view, rng), Known(SIZE, lens, 0.5, 0.0))
            place = view.to_picture(BOARD, np.array([BOARD.size_mm]) / 2)[0]
            true = true_plane(view.plane(BOARD))
            ratio = plane.stretch_at(place) / true.stretch_at(place)
            error = max(abs(ratio[axis, axis] - 1) for axis in (0, 1))
            assert error < 0.01
            beyond += error > 2 * plane.relative_sigma_at(place)
            assert plane.map_at(place) == pytest.approx(true.map_at(place), rel=0.01, abs=0.01)
        assert beyond <= 2

    def test_the_sides_error_is_in_it(self, studio: Studio, lens: Lens) -> None:
        picture = studio.draw(FACING, np.random.default_rng(1))
        exact, measured = (
            scale_by_board(BOARD, picture, Known(SIZE, lens, 0.5, sigma)).relative_sigma_at([480, 270])
            for sigma in (0.0, 0.5)
        )
        assert measured == pytest.approx(np.hypot(exact, 0.5 / 25), rel=0.01)

    def test_by_points_lengths_and_vanishing_points(self) -> None:
        """All three of one drawn plane, at an angle: 2 % of the truth, which they cover."""
        ideal = (900.0, 900.0, 479.5, 269.5, 0.0, 0.0, 0.0, 0.0)
        view = View(30, -35, 5, 0, 0, 480)
        true = true_plane(view.plane(BOARD, ideal)).model_copy(update={"lens": ideal})
        corners = np.array([[0, 0], [225, 0], [225, 150], [0, 150.0]])
        seen = view.to_picture(BOARD, corners, ideal)
        sides = np.array([[*seen[a], *seen[b]] for a, b in ((0, 1), (3, 2), (0, 3), (1, 2))])
        lengths = np.column_stack([sides, [225, 225, 150, 150.0]])
        known = Known(
            SIZE,
            None,
            0.3,
            0.2,
            points=np.column_stack([seen, corners]),
            lengths=lengths[:1],
            lines=(sides[:2], sides[2:]),
        )
        place = seen.mean(axis=0)
        for plane in (scale_by_points(known), scale_by_vanishing(known)):
            ratio = np.diag(plane.stretch_at(place)) / np.diag(true.stretch_at(place))
            assert np.abs(ratio - 1).max() < 0.02
            assert np.abs(ratio - 1).max() < 2 * plane.relative_sigma_at(place)

    def test_three_lengths_show_a_slanted_plane(self) -> None:
        stretch = np.array([[1.5, 0.1], [0.1, 1.0]])
        ends = np.array([[100, 100, 400, 100], [100, 100, 100, 400], [100, 100, 400, 400.0]])
        true = np.hypot(*(stretch @ (ends[:, 2:] - ends[:, :2]).T))
        known = Known(SIZE, None, 0.3, 0.1, lengths=np.column_stack([ends, true]))
        assert scale_by_lengths(known).stretch_at([200, 200]) == pytest.approx(stretch)
        two = Known(SIZE, None, 0.3, 0.1, lengths=np.column_stack([ends, true])[:2])
        with pytest.raises(CalibrationFault, match="the lengths contradict each other: length"):
            scale_by_lengths(two)

    @pytest.mark.parametrize(
        ("places", "complaint"),
        [
            ([[0, 0], [100, 0], [200, 0], [50, 90]], "three points lie in a line"),
            ([[0, 0], [100, 0], [50, 90]], "3 points do not determine"),
            ([[0, 0], [300, 0], [0, 200], [300, 200]], "cross over"),
        ],
    )
    def test_points_that_do_not_serve(self, places: list[list[float]], complaint: str) -> None:
        seen = np.array(places) + 100
        known = Known(
            SIZE, None, 0.5, 1, points=np.column_stack([seen, [[0, 0], [9, 0], [9, 9], [0, 9]][: len(seen)]])
        )
        with pytest.raises(Fault, match=complaint):
            scale_by_points(known)

    def test_a_point_that_is_wrong_is_named(self) -> None:
        seen = np.array([[100, 100], [500, 100], [500, 400], [100, 400], [300, 250], [300, 100.0]])
        points = np.column_stack([seen, 2 * seen])
        points[4, 2] += 90
        with pytest.raises(CalibrationFault, match="point 5 lies"):
            scale_by_points(Known(SIZE, None, 0.5, 1, points=points))


@pytest.mark.parametrize(("text", "mm"), [("29.7mm", 29.7), ("1.5 m", 1500), ("3cm", 30), ("-.5in", -12.7)])
def test_lengths_have_units(text: str, mm: float) -> None:
    assert millimetres(text) == pytest.approx(mm)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("12", "has no unit"),
        ("3 mmm", "did you mean mm"),
        ("five", "is no length"),
        ("1parsec", "no unit 'parsec'"),
    ],
)
def test_lengths_that_are_none(text: str, complaint: str) -> None:
    with pytest.raises(OptionFault, match=complaint):
        millimetres(text)
