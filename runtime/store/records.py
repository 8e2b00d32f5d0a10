"""Records of the store, as plain data. Times are Unix seconds (UTC)."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge, Quantity
from tremorscope.runtime.vibration.monitoring.levels import Baseline, Learning

ClipKind = Literal["raw", "magnified"]
ClipState = Literal["recording", "saved", "failed", "removed"]
"""saved: read back whole, and in its place; removed: deleted by retention or by a person."""


@dataclass(frozen=True)
class Channel:
    """One quantity that is measured over time.

    >>> Channel('mid-span', 'y', mm_per_px=2.4).name, Channel('device', '', 'temperature', 'C').name
    ('mid-span y', 'device')
    """

    region: str
    """Region of interest, or the device itself."""
    axis: str
    """x (to the right), y (downwards), or empty where there is no direction."""
    quantity: str = "displacement"
    unit: str = "px"
    mm_per_px: float | None = None
    """Scale of a displacement in px, where it is known."""

    @property
    def name(self) -> str:
        """The channel for a person."""
        return " ".join(part for part in (self.region, self.axis) if part)


@dataclass(frozen=True, eq=False)
class SeriesBlock:
    """Samples of several channels at the same times.

    Raises:
        ValueError: times that do not advance or are not finite, or arrays that do not fit.
    """

    channels: tuple[Channel, ...]
    times_s: NDArray[np.float64]
    """(samples,), finite, strictly increasing."""
    values: NDArray[np.float32]
    """(channels, samples); NaN where nothing could be measured."""
    measured_by: SettingsRecord | None = None
    """Settings by which it was measured; None where they are not known."""

    def __post_init__(self) -> None:
        if self.times_s.ndim != 1 or self.values.shape != (len(self.channels), len(self.times_s)):
            raise ValueError(
                f"values of {self.values.shape} for {len(self.channels)} channels at {self.times_s.shape} times"
            )
        if not len(self.times_s) or not np.isfinite(self.times_s).all():
            raise ValueError("a block needs at least one sample, at finite times")
        if not (np.diff(self.times_s) > 0).all():
            raise ValueError("times in a block must advance")


@dataclass(frozen=True)
class Summary:
    """One channel over one minute or hour."""

    start_s: int
    samples: int
    lost: int
    """Samples that are NaN."""
    minimum: float
    maximum: float
    mean: float
    rms: float
    """About zero; the RMS about the mean is sqrt(rms**2 - mean**2)."""


@dataclass(frozen=True)
class PeakRecord:
    """A peak of a spectrum."""

    time_s: float
    channel: Channel
    frequency_hz: float
    frequency_deviation_hz: float | None
    """Standard deviation, where it is known."""
    amplitude: float
    """In the channel's unit."""
    damping_ratio: float | None = None
    cause: str = ""
    """Cause in words of a peak that is no motion; empty for motion."""

    def __post_init__(self) -> None:
        _check_finite(self.time_s, self.frequency_hz, self.amplitude)


@dataclass(frozen=True)
class ModePoint:
    """A mode's motion at one region along one axis, as a complex number relative to the largest."""

    region: str
    axis: str
    real: float
    imaginary: float


@dataclass(frozen=True)
class ModeRecord:
    """A mode of the structure as it was identified at one time."""

    time_s: float
    label: str
    frequency_hz: float
    frequency_deviation_hz: float | None = None
    damping_ratio: float | None = None
    mac: float | None = None
    """Modal assurance criterion against the stored baseline, 0 to 1."""
    temperature_c: float | None = None
    shape: tuple[ModePoint, ...] = ()

    def __post_init__(self) -> None:
        _check_finite(self.time_s, self.frequency_hz)


@dataclass(frozen=True)
class Alarm:
    """One raise of an alarm and what became of it."""

    name: str
    source: str
    quantity: Quantity
    unit: str
    raised_s: float
    value: float
    threshold: float
    cleared_s: float | None = None
    acknowledged_s: float | None = None
    acknowledged_by: str | None = None
    detail: str = ""
    """Quantity, frequency, limit, margin and clause at the raise, where the alarm is on a limit."""


@dataclass(frozen=True)
class Acknowledgement:
    """Somebody has seen the latest raise of an alarm."""

    alarm: str
    time_s: float
    by: str


@dataclass(frozen=True)
class LearnedBaseline:
    """The baseline of an alarm; it replaces an earlier one, and what had been learned of it."""

    alarm: str
    baseline: Baseline


@dataclass(frozen=True)
class LearningBaseline:
    """State of a baseline that is being learned; it replaces the same, and an earlier baseline."""

    alarm: str
    learning: Learning


@dataclass(frozen=True)
class ClockJump:
    """The device's clock was set forward: nothing becomes older by it than it was."""

    before_s: float
    """Unix time at that moment, as the clock would have shown it."""
    after_s: float
    """As it did show it."""


@dataclass(frozen=True)
class EventRecord:
    """Something worth a clip."""

    name: str
    """Unique; the clips are named by it."""
    time_s: float
    """Time of the trigger."""
    reason: str
    alarm: str | None = None
    """The alarm that triggered it, with the time of its raise."""
    alarm_raised_s: float | None = None


@dataclass(frozen=True)
class Clip:
    """A clip of an event and how it stands."""

    event: str
    kind: ClipKind
    file: str
    """Name within the directory of clips."""
    state: ClipState
    start_s: float | None = None
    end_s: float | None = None
    frames: int = 0
    dropped: int = 0
    """Frames between start and end that are missing in it."""
    nbytes: int = 0
    detail: str = ""
    """Reason why it failed or was removed; of a saved one how it was made, or what its compression costs in px."""

    def magnifies(self, frequency_hz: float) -> bool:
        """True if its detail says that a band that holds a frequency is magnified, and not all that moves."""
        return any(float(low) <= frequency_hz <= float(high) for low, high in _BAND.findall(self.detail))


_BAND = re.compile(r"(\d[\d.e+-]*) to (\d[\d.e+-]*) Hz")


def magnification_text(amplification: float, bands_hz: Sequence[tuple[float, float]]) -> str:
    """Human-readable magnification of a clip, which `Clip.magnifies` understands.

    >>> magnification_text(20.0, [(1.8, 2.4), (4.0, 5.5)])
    'magnified 20 times at 1.8 to 2.4 Hz and 4 to 5.5 Hz'
    """
    bands = " and ".join(f"{low:g} to {high:g} Hz" for low, high in bands_hz)
    return f"magnified {amplification:g} times{' at ' if bands else ''}{bands}"


@dataclass(frozen=True)
class SettingsRecord:
    """Program and settings by which all is measured from a time on."""

    time_s: float
    program: str
    """Name and version."""
    told: str | Callable[[], str]
    """The settings, or a function that makes them: the hash of a clip takes long."""

    @cached_property
    def settings(self) -> str:
        """Settings of camera and measurement that are no defaults, as JSON; made by the thread that asks first."""
        return self.told if isinstance(self.told, str) else self.told()

    @property
    def sha256(self) -> str:
        """Hash of the settings' text."""
        return hashlib.sha256(self.settings.encode()).hexdigest()


@dataclass(frozen=True)
class Notice:
    """Something about the service itself that a person should know, such as a disk that runs low."""

    time_s: float
    topic: str
    text: str
    count: int = 1
    """Occurrences in a row within an hour."""
    last_s: float | None = None
    """Time of the last of several."""


Record: TypeAlias = (
    SeriesBlock
    | PeakRecord
    | ModeRecord
    | AlarmEdge
    | Acknowledgement
    | LearnedBaseline
    | LearningBaseline
    | ClockJump
    | EventRecord
    | Clip
    | SettingsRecord
    | Notice
)
"""Anything that can be written."""


def _check_finite(*numbers: float) -> None:
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"not all finite: {numbers}")
