"""Geometry of a picture: its lens, and the plane on the structure that it shows, as files that calibration writes.

Places and displacements are carried through it as points; frames are never resampled. The lens is a pinhole with the
radial and tangential distortion of Brown (1966), as in OpenCV: fx, fy, cx, cy, k1, k2, p1, p2.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tremorscope.files import reason_of, regular_bytes
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.displacement.regions import Scale, scale_of

Values = NDArray[np.float64]

LENS_PARAMETERS = 8
_ENTRIES = LENS_PARAMETERS + 9
_STEP_PX = 0.5
_ITERATIONS = 50
_CONVERGED = 1e-9

Number = Annotated[float, Field(allow_inf_nan=False)]
LensNumbers = Annotated[tuple[Number, ...], Field(min_length=LENS_PARAMETERS, max_length=LENS_PARAMETERS)]
Joint = Annotated[tuple[Number, ...], Field(min_length=_ENTRIES, max_length=_ENTRIES)]
NO_LENS = (1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class _GeometryFile(BaseModel):
    """Data that both files have."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    width_px: Annotated[int, Field(ge=16)]
    height_px: Annotated[int, Field(ge=16)]
    residual_px: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """RMS distance between what was seen and what the result predicts."""
    made_from: str
    """Human-readable origin."""

    def check_size(self, width_px: int, height_px: int, name: str) -> None:
        """Check that pictures have the size that was calibrated.

        Raises:
            OptionFault: they have another.
        """
        if (width_px, height_px) != (self.width_px, self.height_px):
            raise OptionFault(
                f"{name} is of {self.width_px}x{self.height_px} px, and the picture has {width_px}x{height_px} px",
                remedy="calibrate with the camera's pictures as they are measured in, neither scaled nor cut",
            )


class Lens(_GeometryFile):
    """A lens: intrinsics and distortion, with their uncertainty."""

    format: Literal["tremorscope lens 1"] = "tremorscope lens 1"
    parameters: LensNumbers
    ensemble: tuple[LensNumbers, ...]
    """The parameters, each time moved by one of their independent standard uncertainties."""
    views: Annotated[int, Field(ge=1)]
    """Pictures of the board that it rests on."""

    @field_validator("parameters")
    @classmethod
    def _has_a_focal_length(cls, given: tuple[float, ...]) -> tuple[float, ...]:
        if min(given[:2]) <= 0:
            raise ValueError("a focal length is not above 0")
        return given

    @property
    def sigmas(self) -> Values:
        """Standard uncertainty of each parameter, (8,)."""
        found: Values = np.sqrt(((np.array(self.ensemble) - self.parameters) ** 2).sum(axis=0))
        return found

    def map_at(self, place: ArrayLike) -> Values:
        """The Jacobian of undistortion at a place, (2, 2), px to px."""
        return _jacobian(place, self.parameters, None)


class PlaneScale(_GeometryFile):
    """A plane on the structure: where a pixel lies on it, in mm, with its uncertainty."""

    format: Literal["tremorscope scale 1"] = "tremorscope scale 1"
    method: Literal["board", "points", "lengths", "vanishing points"]
    lens: LensNumbers | None
    """Lens by which places are undistorted first; None: none."""
    homography: Annotated[tuple[Number, ...], Field(min_length=9, max_length=9)]
    """Row by row, from (undistorted) px to mm on the plane."""
    ensemble: Annotated[tuple[Joint, ...], Field(min_length=1)]
    """Lens and homography, each time moved by one of their independent standard uncertainties."""
    points: tuple[tuple[Number, Number, Number, Number], ...]
    """Its foundation: x and y in the picture (px), and on the plane (mm)."""

    def map_at(self, place: ArrayLike) -> Values:
        """Millimetres along the plane's own axes for a pixel along the picture's, (2, 2), at a place (px)."""
        return _jacobian(place, self.lens or NO_LENS, self.homography)

    def stretch_at(self, place: ArrayLike) -> Values:
        """The same map, (2, 2) mm/px, without its turn: plane's axes that lie nearest to the picture's."""
        return _stretch(self.map_at(place))

    def relative_sigma_at(self, place: ArrayLike) -> float:
        """Relative standard uncertainty of the scale at a place, along the worse axis."""
        nominal = self.stretch_at(place)
        moved = np.array(
            [
                _stretch(_jacobian(place, each[:LENS_PARAMETERS], each[LENS_PARAMETERS:]))
                for each in self.ensemble
            ]
        )  # (k, 2, 2)
        sigmas = np.sqrt(((moved - nominal) ** 2).sum(axis=0))
        return float(max(sigmas[axis, axis] / nominal[axis, axis] for axis in (0, 1)))

    def to_plane(self, places: ArrayLike) -> Values:
        """Places on the plane in mm, (n, 2), of places in the picture, (n, 2)."""
        return through(self.homography, undistorted(places, self.lens or NO_LENS))

    def to_picture(self, places_mm: ArrayLike) -> Values:
        """Places in the picture in px, (n, 2), of places on the plane."""
        back = np.linalg.inv(np.reshape(self.homography, (3, 3)))
        return distorted(through(back, np.asarray(places_mm, float)), self.lens or NO_LENS)


File = TypeVar("File", Lens, PlaneScale)


def read_lens(path: Path) -> Lens:
    """The lens in a file of `calibrate lens`.

    Raises:
        OptionFault: it cannot be read, or holds something else.
    """
    return _read(path, Lens)


def read_scale(path: Path) -> PlaneScale:
    """The plane in a file of `calibrate scale`; raises as `read_lens`."""
    return _read(path, PlaneScale)


def scale_or_plane(
    given: float | str | Path | None,
    length: tuple[float, float] | None,
    optics: tuple[float, float, float] | None,
) -> Scale | PlaneScale | None:
    """The scale from the one way in which it was given: mm for a pixel, or the name of a file, or as `scale_of` does.

    Raises:
        OptionFault: it was given in more than one way, a number is out of range, or the file does not serve.
    """
    if isinstance(given, (str, Path)):
        try:
            return scale_of(float(str(given)), length, optics)
        except ValueError:
            scale_of(1.0, length, optics)  # only one way
            return read_scale(Path(given))
    return scale_of(given, length, optics)


def check_same_lens(scale: PlaneScale, lens: Lens | None) -> None:
    """Check that a scale was made with the lens that is stated beside it.

    Raises:
        OptionFault: with none, or with another.
    """
    if lens is not None and scale.lens != lens.parameters:
        which = "with another lens than the one stated" if scale.lens else "without a lens, and one is stated"
        raise OptionFault(
            f"the scale was calibrated {which}",
            remedy="calibrate the scale with --lens and the same file; the scale's file then holds the lens",
        )


def _read(path: Path, kind: type[File]) -> File:
    name = "lens" if kind is Lens else "scale"
    again = f"name a file that `tremorscope calibrate {name}` wrote"
    try:
        content = regular_bytes(path)
    except OSError as error:
        reason = reason_of(error)
        raise OptionFault(f"{path}: cannot be read ({reason})", remedy=again) from None
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        what = f"{where}: {first['msg']}" if where else first["msg"]
        raise OptionFault(f"{path}: is no {name} file ({what})", remedy=again) from None


def through(homography: ArrayLike, places: ArrayLike) -> Values:
    """Places (n, 2) carried by a homography (9 numbers or 3x3)."""
    carried = (
        np.column_stack([np.asarray(places, float), np.ones(len(np.asarray(places)))])
        @ np.reshape(homography, (3, 3)).T
    )
    found: Values = carried[:, :2] / carried[:, 2:]
    return found


def distorted(places: ArrayLike, lens: Sequence[float] | Values) -> Values:
    """Places (n, 2) of an ideal picture in the lens's picture."""
    fx, fy, cx, cy, *distortion = lens
    x, y = _bent((np.asarray(places, float) - (cx, cy)) / (fx, fy), distortion).T
    return np.column_stack([fx * x + cx, fy * y + cy])


def undistorted(places: ArrayLike, lens: Sequence[float] | Values) -> Values:
    """Places (n, 2) of the lens's picture in an ideal one of the same focal length.

    Raises:
        OptionFault: a place lies where the lens's distortion cannot be undone.
    """
    fx, fy, cx, cy, *distortion = lens
    seen = (np.asarray(places, float) - (cx, cy)) / (fx, fy)
    if not any(distortion):
        return np.asarray(places, float)
    found = seen.copy()
    for _ in range(_ITERATIONS):
        step = seen - _bent(found, distortion)
        found += step
        if np.abs(step).max() < _CONVERGED:
            ideal: Values = found * (fx, fy) + (cx, cy)
            return ideal
    raise OptionFault(
        "the lens's distortion cannot be undone at a region or point so far out",
        remedy="calibrate the lens with the board also in the picture's corners",
    )


def _bent(places: Values, distortion: Sequence[float]) -> Values:
    """Distorted places of normalised ones, (n, 2)."""
    k1, k2, p1, p2 = distortion
    x, y = places.T
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * k2)
    return np.column_stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ]
    )


def _jacobian(place: ArrayLike, lens: Sequence[float] | Values, homography: ArrayLike | None) -> Values:
    """Change on the plane (2, rows) for a step in the picture (2, columns), by central differences."""
    steps = _STEP_PX * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    carried = undistorted(np.asarray(place, float) + steps, lens)
    if homography is not None:
        carried = through(homography, carried)
    found: Values = (carried[0::2] - carried[1::2]).T / (2 * _STEP_PX)
    return found


def _stretch(matrix: Values) -> Values:
    """Symmetric factor of the polar decomposition, the square root of M^T M (2, 2)."""
    values, vectors = np.linalg.eigh(matrix.T @ matrix)
    found: Values = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return found
