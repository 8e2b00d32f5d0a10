"""The jobs `calibrate lens` and `calibrate scale`: pictures in; a file and its check view out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from tremorscope.calibration.geometry.boards import CalibrationBoard
from tremorscope.calibration.geometry.lengths import millimetres
from tremorscope.calibration.geometry.lens import LensResult, calibrate_lens
from tremorscope.calibration.geometry.lens_picture import lens_picture
from tremorscope.calibration.geometry.pictures import read_shots
from tremorscope.calibration.geometry.scale import (
    Known,
    scale_by_board,
    scale_by_lengths,
    scale_by_points,
    scale_by_vanishing,
)
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.host.files import check_place, whole_file
from tremorscope.runtime.reports.scale_picture import scale_picture
from tremorscope.runtime.vibration.displacement.geometry import PlaneScale, read_lens

Values = NDArray[np.float64]


@dataclass(frozen=True)
class ScaleJob:
    """Settings of `calibrate scale`. Lengths are typed with their units, such as ``1.2m``."""

    picture: Path
    output: Path
    lens: Path | None = None
    board: str | None = None
    side: str | None = None
    """Side of the board's squares or tags as measured on paper."""
    points: tuple[tuple[float, float, str, str], ...] = ()
    lengths: tuple[tuple[float, float, float, float, str], ...] = ()
    first_lines: tuple[tuple[float, float, float, float], ...] = ()
    second_lines: tuple[tuple[float, float, float, float], ...] = ()
    sigma: str | None = None
    """Standard uncertainty of a stated length."""
    sigma_px: float = 0.5
    overwrite: bool = False


def board_of(text: str, side: str | None) -> CalibrationBoard:
    """The board of a specification, its side as measured, where it was."""
    board = CalibrationBoard.parse(text)
    return replace(board, side_mm=millimetres(side, least=0)) if side else board


def find_lens(
    board: CalibrationBoard, pictures: Sequence[Path], output: Path, *, overwrite: bool = False
) -> tuple[LensResult, Path]:
    """Calibrate a lens and write it; returns the check view's place, too.

    Raises:
        Fault: the pictures do not serve, or the files cannot be written.
    """
    view = _check(output, overwrite=overwrite)
    if not pictures:
        raise OptionFault("no pictures of the board", remedy="name pictures or a clip")
    result = calibrate_lens(board, read_shots(pictures))
    _write(output, result.lens, view, lens_picture(result))
    return result, view


def find_scale(job: ScaleJob) -> tuple[PlaneScale, Path]:
    """Calibrate a plane and write it; returns the check view's place, too.

    Raises:
        Fault: what is given does not determine a plane, or the files cannot be written.
    """
    view = _check(job.output, overwrite=job.overwrite)
    way = _way(job)
    if job.sigma is None:
        raise OptionFault(
            "--sigma is missing: the scale's uncertainty needs that of the stated lengths",
            remedy="state how well they are known (one standard deviation), e.g. --sigma 0.5mm",
        )
    if not 0 < job.sigma_px <= 50:
        raise OptionFault(f"--sigma-px {job.sigma_px:g} is not within 0 and 50 px", remedy="give e.g. 0.5")
    lens = read_lens(job.lens) if job.lens else None
    picture = read_shots([job.picture], most=1)[0].picture
    height_px, width_px = picture.shape[:2]
    if lens is not None:
        lens.check_size(width_px, height_px, str(job.lens))
    known = Known(
        (width_px, height_px),
        lens,
        job.sigma_px,
        millimetres(job.sigma, least=-1e-12),
        points=_array([(*each[:2], *map(millimetres, each[2:])) for each in job.points], 4),
        lengths=_array([(*each[:4], millimetres(each[4], least=0)) for each in job.lengths], 5),
        lines=(_array(job.first_lines, 4), _array(job.second_lines, 4)),
    )
    _check_inside(known)
    if way == "board":
        plane = scale_by_board(board_of(job.board or "", job.side), picture, known)
    else:
        by = {"points": scale_by_points, "lengths": scale_by_lengths, "lines": scale_by_vanishing}
        plane = by[way](known)
    _write(job.output, plane, view, scale_picture(picture, plane))
    return plane, view


def scale_lines(plane: PlaneScale) -> list[str]:
    """Human-readable result: the scale at the middle of what it rests on, and in the picture's quarters."""
    points = np.array(plane.points).reshape(-1, 4)
    size = np.array([plane.width_px, plane.height_px], float)
    middle = points[:, :2].mean(axis=0) if len(points) else size / 2
    places = [("at its middle" if len(points) else "mid-picture", middle)]
    places += [
        (f"at {x:.0f}, {y:.0f} px", np.array([x, y]))
        for x in size[0] * np.array([0.25, 0.75])
        for y in size[1] * np.array([0.25, 0.75])
    ]
    lines = [
        f"scale       from {plane.made_from}"
        + (f", residual {plane.residual_px:.3f} px RMS" if len(points) else "")
    ]
    for name, place in places:
        try:
            stretch, sigma = plane.stretch_at(place), plane.relative_sigma_at(place)
        except OptionFault:
            lines.append(f"{name:<18}outside of what the lens shows")
            continue
        lines.append(
            f"{name:<18}{stretch[0, 0]:.5g} mm/px along x, {stretch[1, 1]:.5g} along y, ± {100 * sigma:.2g} % "
            f"(95 of 100: ± {200 * sigma:.2g} %)"
        )
    turned = plane.map_at(middle)
    angle_deg = float(np.degrees(np.arctan2(*(np.linalg.inv(turned)[::-1, 0]))))
    sense = "anticlockwise" if angle_deg <= -0.05 else "clockwise"
    lines.append(
        f"direction   the plane's x axis is turned {abs(angle_deg):.1f} degrees {sense} from the picture's"
    )
    return lines


def _way(job: ScaleJob) -> str:
    lines = bool(job.first_lines or job.second_lines)
    ways = {
        "board": job.board is not None,
        "points": bool(job.points),
        "lines": lines,
        "lengths": bool(job.lengths) and not lines,
    }
    taken = [name for name, given in ways.items() if given]
    if len(taken) != 1:
        said = "in no way" if not taken else f"in {len(taken)} ways: {', '.join(taken)}"
        raise OptionFault(
            f"the scale is given {said}",
            remedy="give --board, or --point four times, or --length, or --line-x, --line-y and a --length",
        )
    if lines and not job.lengths:
        raise OptionFault("lines show no size", remedy="add a --length in their plane")
    if job.side and not job.board:
        raise OptionFault("--side belongs to --board", remedy="name the board, too")
    return taken[0]


def _check_inside(known: Known) -> None:
    assert known.lines is not None
    assert known.lengths is not None
    assert known.points is not None
    groups = [("--point", known.points[:, :2]), ("--length", known.lengths[:, :4].reshape(-1, 2))]
    groups += [("a line", each.reshape(-1, 2)) for each in known.lines]
    for name, places in groups:
        outside = (places < -0.5) | (places > np.array(known.size_px) - 0.5) | ~np.isfinite(places)
        if outside.any():
            x, y = places[int(outside.any(axis=1).argmax())]
            raise OptionFault(
                f"{name}: {x:g}, {y:g} px is outside the picture of {known.size_px[0]}x{known.size_px[1]} px",
                remedy="give places in the picture, from its top left",
            )


def _array(rows: Sequence[Sequence[float]], width: int) -> Values:
    return np.array(rows, float).reshape(-1, width)


def _check(output: Path, *, overwrite: bool) -> Path:
    """Place of the check view, after a look at both."""
    view = output.with_suffix(".png")
    if output.suffix != ".json":
        raise OptionFault(f"{output}: is no .json file", remedy="name a file that ends in .json")
    for path in (output, view):
        check_place(path)
        if path.exists() and not overwrite:
            raise OptionFault(f"{path}: is there already", remedy="name another file, or give --overwrite")
    return view


def _write(output: Path, result: BaseModel, view: Path, picture: bytes) -> None:
    for path, content in ((view, picture), (output, result.model_dump_json(indent=1).encode())):
        with whole_file(path) as file:
            file.write(content)
