"""ModeChange of modes with those of an earlier measurement: frequency shift and modal assurance criterion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy import optimize

from tremorscope.files import reason_of, regular_bytes
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.host.files import plain_json
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.spectra.modes import Mode, mac

Complex = NDArray[np.complexfloating[Any, Any]]

_LARGEST_SHIFT = 0.15
_LEAST_MAC = 0.3


class StoredRegion(BaseModel):
    """A region as it is kept in a file."""

    model_config = ConfigDict(frozen=True)

    x_px: int
    y_px: int
    width_px: int = Field(gt=0)
    height_px: int = Field(gt=0)

    def region(self) -> Region:
        """The region itself."""
        return Region(self.x_px, self.y_px, self.width_px, self.height_px)


class StoredMode(BaseModel):
    """A mode as it is kept in a file: per region the real and imaginary part along x and y."""

    model_config = ConfigDict(frozen=True)

    frequency_hz: float = Field(gt=0)
    frequency_sigma_hz: float = Field(ge=0)
    damping: float | None = None
    shape: list[tuple[tuple[float, float], tuple[float, float]]]


class ModalBaseline(BaseModel):
    """Regions and modes of a recording; other entries of the file are ignored."""

    model_config = ConfigDict(frozen=True)

    regions: list[StoredRegion]
    modes: list[StoredMode]


@dataclass(frozen=True)
class ModeChange:
    """Change of one mode of the baseline: the matching mode of this recording, with shift and MAC."""

    baseline_hz: float
    found: Mode | None
    """None where no mode of this recording fits it."""
    mac: float | None

    @property
    def shift(self) -> float | None:
        """Relative change of frequency."""
        return None if self.found is None else self.found.frequency_hz / self.baseline_hz - 1


def stored_mode(mode: Mode) -> StoredMode:
    """A mode whose channels are x and y of one region after the other, as it is kept in a file."""
    pairs = [(float(value.real), float(value.imag)) for value in mode.shape]
    return StoredMode(
        frequency_hz=mode.frequency_hz,
        frequency_sigma_hz=mode.peak.frequency_sigma_hz,
        damping=mode.peak.damping,
        shape=list(zip(pairs[0::2], pairs[1::2], strict=True)),
    )


def read_baseline(path: Path) -> ModalBaseline:
    """Read the modes from the summary of an earlier measurement.

    Raises:
        OptionFault: the file cannot be read, or is no such summary.
    """
    try:
        baseline = ModalBaseline.model_validate(plain_json(regular_bytes(path).decode()))
    except OSError as error:
        raise OptionFault(
            f"{path}: {reason_of(error)}", remedy="name the summary.json of a measurement"
        ) from None
    except (ValidationError, ValueError):
        raise OptionFault(
            f"{path}: holds no regions and modes of a measurement",
            remedy="name the summary.json of a measurement",
        ) from None
    if any(len(mode.shape) != len(baseline.regions) for mode in baseline.modes):
        raise OptionFault(
            f"{path}: a mode's shape does not have as many parts as there are regions",
            remedy="measure the baseline again",
        )
    return baseline


def compare_with_baseline(
    baseline: ModalBaseline, regions: Sequence[Region], modes: Sequence[Mode]
) -> tuple[ModeChange, ...]:
    """Match each mode of a baseline with the present mode that fits it best in frequency and shape together.

    Shapes are compared over the regions that both have.

    Raises:
        OptionFault: no region is the same.
    """
    places = [
        (old, regions.index(stored.region()))
        for old, stored in enumerate(baseline.regions)
        if stored.region() in regions
    ]
    if not places:
        raise OptionFault(
            "the baseline was measured in other regions", remedy="measure in its regions: leave out --roi"
        )
    if not modes or not baseline.modes:
        return tuple(ModeChange(old.frequency_hz, None, None) for old in baseline.modes)
    now = [np.concatenate([mode.shape[2 * new : 2 * new + 2] for _, new in places]) for mode in modes]
    fits = np.array(
        [[mac(_shape(old, [at for at, _ in places]), shape) for shape in now] for old in baseline.modes]
    )
    shifts = np.array(
        [[abs(mode.frequency_hz / old.frequency_hz - 1) for mode in modes] for old in baseline.modes]
    )
    possible = (shifts < _LARGEST_SHIFT) & (fits > _LEAST_MAC)
    cost = np.where(possible, shifts / _LARGEST_SHIFT + 1 - fits, 1e3)
    rows, columns = optimize.linear_sum_assignment(cost)
    partner = {
        int(row): int(column) for row, column in zip(rows, columns, strict=True) if possible[row, column]
    }
    return tuple(
        ModeChange(
            old.frequency_hz,
            modes[partner[number]] if number in partner else None,
            float(fits[number, partner[number]]) if number in partner else None,
        )
        for number, old in enumerate(baseline.modes)
    )


def _shape(mode: StoredMode, places: Sequence[int]) -> Complex:
    return np.array([complex(*part) for place in places for part in mode.shape[place]])
