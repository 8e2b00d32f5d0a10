"""Calibration set: a directory of lossless frame pairs, with a manifest that describes and seals them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timezone
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.pairs.pair_files import read_pair
from tremorscope.files import reason_of
from tremorscope.runtime.engines.interface.bundle import sha256_of
from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.frames.frame import BT601_LUMA
from tremorscope.runtime.host.files import plain_json

MANIFEST_NAME = "manifest.json"
FEWEST_PAIRS = 32
"""Fewest pairs to calibrate with: fewer miss the extremes of light and motion."""
FLAT_GREY_LEVELS = 1.0
"""RMS contrast of the luma below which a picture counts as empty."""

Picture = NDArray[np.uint8]
PairMode = Literal["dynamic", "static"]
"""Distance of a pair in time: neighbours, as dynamic and band mode compare them, or far apart, as static mode does."""

_LUMA = np.array(BT601_LUMA, np.float32)


@dataclass(frozen=True, eq=False)
class CalibrationPair:
    """Frame and reference of one step of the network."""

    frame: Picture
    """u8[H, W, 3], RGB."""
    reference: Picture
    """u8[H, W, 3], RGB."""
    mode: PairMode = "dynamic"
    displacement_px: float | None = None
    """Largest displacement between the two; known for drawn pairs."""


class ManifestModel(BaseModel):
    """Immutable part of a set's manifest that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


_Utc = Annotated[AwareDatetime, AfterValidator(lambda at: at.astimezone(timezone.utc))]
_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class PairEntry(ManifestModel):
    """Entry of one pair in the manifest."""

    file: str = Field(pattern=r"^pair-\d{6}\.mkv$")
    sha256: _Hash
    captured_at: _Utc
    """Capture time of the frame on the device's clock."""
    mode: PairMode
    frames_apart: int = Field(ge=0)
    seconds_apart: float = Field(ge=0)
    """Age of the reference on the camera's own clock."""
    left_px: int = Field(default=0, ge=0)
    """Position of the cut in the camera's picture."""
    top_px: int = Field(default=0, ge=0)
    brightness: float = Field(ge=0, le=255)
    """Mean luma of the frame in grey levels."""
    contrast: float = Field(ge=0)
    """Deviation (RMS) of the frame's luma from its mean, in grey levels."""
    change: float = Field(ge=0)
    """Mean absolute change of luma from reference to frame, in grey levels: motion, light and noise together."""
    signature: str = ""
    """Features for the recognition of near-duplicates; see `calibration.pairs.duplicates`."""


class SetManifest(ManifestModel):
    """Description of a calibration set; stored as ``manifest.json``."""

    format_version: Literal[1] = 1
    frame_size: FrameSize
    channels: Literal[3] = 3
    pixel_format: Literal["rgb"] = "rgb"
    source: str
    """Origin of the frames, in words."""
    wanted: int = Field(ge=1)
    """Number of pairs asked for."""
    complete: bool
    """False while frames are still being added."""
    count: int = Field(ge=0)
    pairs: tuple[PairEntry, ...]
    capture: dict[str, Any] = Field(default_factory=dict)
    """State of the capture: schedule, distances, candidates left out."""
    versions: dict[str, str] = Field(default_factory=dict)
    sha256: str
    """Seal: SHA-256 of everything above, which includes the hashes of the pairs' files."""

    def sealed(self) -> SetManifest:
        """The same manifest with its seal."""
        return self.model_copy(update={"sha256": _seal(json.loads(self.model_dump_json()))})


def _seal(content: dict[str, Any]) -> str:
    """SHA-256 of a manifest's content as stored, so that fields of later releases do not change it."""
    rest = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class CalibrationSet:
    """A checked set on disk: complete, unchanged, large enough. Iterating reads a pair at a time."""

    directory: Path
    manifest: SetManifest

    @classmethod
    def open(cls, directory: Path, *, fewest: int = FEWEST_PAIRS) -> CalibrationSet:
        """Read the manifest and check everything against it; reads every file once, a block at a time.

        Args:
            directory: of the set.
            fewest: least number of pairs.

        Raises:
            CalibrationFault: it is not a set, is incomplete, was changed, or has too few pairs or empty pictures.
        """
        manifest = read_manifest(directory)
        if not manifest.complete:
            raise CalibrationFault(
                f"{directory}: the capture is not finished: {manifest.count} of {manifest.wanted} pairs",
                remedy="let it go on, or close the set as it is: "
                f"tremorscope calibrate capture --finish -o {directory}",
            )
        if manifest.count < fewest:
            raise CalibrationFault(
                f"{directory}: {manifest.count} pairs are too few to calibrate with, at least {fewest} are needed",
                remedy="capture a larger set (--count)",
            )
        for entry in manifest.pairs:
            _check_entry(directory, entry)
        return cls(directory, manifest)

    @property
    def sha256(self) -> str:
        """SHA-256 of the whole set, as in its manifest."""
        return self.manifest.sha256

    @property
    def width_px(self) -> int:
        """Width of every picture in pixels."""
        return self.manifest.frame_size.width_px

    @property
    def height_px(self) -> int:
        """Height of every picture in pixels."""
        return self.manifest.frame_size.height_px

    def __len__(self) -> int:
        return self.manifest.count

    def __iter__(self) -> Iterator[CalibrationPair]:
        return (self.read(index) for index in range(len(self)))

    def read(self, index: int) -> CalibrationPair:
        """One pair, from disk.

        Raises:
            CalibrationFault: its file is missing or damaged, empty of contrast, or of another size.
        """
        entry = self.manifest.pairs[index]
        path = self.directory / entry.file
        frame, reference = read_pair(path)
        if frame.shape != (self.height_px, self.width_px, 3):
            raise CalibrationFault(
                f"{path}: is {frame.shape[1]}x{frame.shape[0]} px, the set is {self.width_px}x{self.height_px} px",
                remedy="capture a set at one size",
            )
        if contrast_of(luma_of(frame)) < FLAT_GREY_LEVELS:
            raise _flat(path)
        return CalibrationPair(frame, reference, entry.mode)


def read_manifest(directory: Path) -> SetManifest:
    """Read the manifest of a set, finished or not, and check its seal; the pairs' files are not read.

    Raises:
        CalibrationFault: the manifest is missing, invalid, or was edited.
    """
    path = directory / MANIFEST_NAME
    remedy = "restore it from a copy, or capture the set again"
    try:
        content = plain_json(path.read_text(encoding="utf-8"))
        manifest = SetManifest.model_validate(content)
    except (FileNotFoundError, NotADirectoryError):
        raise CalibrationFault(
            f"{directory}: is no calibration set (no {MANIFEST_NAME} there)",
            remedy="name a directory that `tremorscope calibrate capture` wrote",
        ) from None
    except OSError as error:
        raise CalibrationFault(
            f"{path}: {reason_of(error)}", remedy="check the path and its permissions"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise CalibrationFault(f"{path}: {key}: {first['msg']}", remedy=remedy) from None
    except ValueError as error:
        raise CalibrationFault(f"{path}: not valid JSON ({error})", remedy=remedy) from None
    if _seal(content) != manifest.sha256 or manifest.count != len(manifest.pairs):
        raise CalibrationFault(f"{path}: was edited: its content does not match its seal", remedy=remedy)
    return manifest


def _check_entry(directory: Path, entry: PairEntry) -> None:
    path = directory / entry.file
    try:
        changed = sha256_of(path) != entry.sha256
    except OSError as error:
        raise CalibrationFault(
            f"{path}: {reason_of(error)}",
            remedy="copy the whole directory again, or capture the set again",
        ) from None
    if changed:
        raise CalibrationFault(
            f"{path}: its content is not what the manifest sealed",
            remedy="copy the whole directory again, or capture the set again",
        )
    if entry.contrast < FLAT_GREY_LEVELS:
        raise _flat(path)


def _flat(path: Path) -> CalibrationFault:
    return CalibrationFault(
        f"{path}: shows nothing: the picture is empty or of one colour",
        remedy="uncover the lens, check the exposure, and capture the set again",
    )


def luma_of(picture: Picture) -> NDArray[np.float32]:
    """Luma of u8[H, W, 3], RGB: f32[H, W] in grey levels."""
    luma: NDArray[np.float32] = picture.astype(np.float32) @ _LUMA
    return luma


def contrast_of(luma: NDArray[np.float32]) -> float:
    """RMS deviation of luma from its mean, in grey levels."""
    return float(luma.std())
