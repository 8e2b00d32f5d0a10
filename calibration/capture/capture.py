"""Captures a calibration set: visits the scene on a schedule, and keeps what adds to the set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tremorscope.calibration.capture.pair_reader import Glimpse, Look
from tremorscope.calibration.capture.schedule import Pace
from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.pairs.calibration_set import (
    FEWEST_PAIRS,
    FLAT_GREY_LEVELS,
    PairMode,
    contrast_of,
    luma_of,
)
from tremorscope.calibration.pairs.duplicates import Signature
from tremorscope.calibration.pairs.set_writer import RESERVE_BYTES, NewPair, SetWriter
from tremorscope.runtime.engines.interface.bundle import FrameSize

DISTANCES_S = (1.0, 30.0)
"""How far apart the pairs of static mode are, in turn: a swing, and the light's change within a held reference."""
_CUTS_TRIED = 8

Outcome = Literal["kept", "alike", "flat", "frozen", "ahead", "ended"]
Say = Callable[[str], None]
Progress = Callable[[int, int | None], None]
"""Called with visits done and visits in all."""


@dataclass(frozen=True)
class CaptureJob:
    """What to capture, how much, and where to. None leaves a choice to the source, or to how the set was begun."""

    directory: Path
    source: Path | None
    count: int | None = None
    over: str | None = None
    schedule: str | None = None
    size: FrameSize | None = None
    distances_s: tuple[float, ...] = ()
    due_only: bool = False
    """Make the visit that is due, if one is, and end, rather than stay until the end."""
    finish: bool = False
    """Close the set with what it holds."""
    reserve_bytes: int = RESERVE_BYTES


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CaptureSettings(_Strict):
    """What a set was begun with: later runs go on with the same."""

    source: str
    is_clip: bool
    """Read once from beginning to end, rather than looked at now and then."""
    wanted: int
    over_s: float
    schedule: str
    visits: int
    distances_s: tuple[float, ...]
    cut: bool
    """Whether pairs are parts of the camera's picture."""
    started_at: datetime


class CaptureState(_Strict):
    """What the manifest notes of a capture."""

    settings: CaptureSettings
    visits_done: int = 0
    left_out: dict[Literal["alike", "flat", "frozen", "missed", "failed"], int] = Field(default_factory=dict)


def read_state(writer: SetWriter, directory: Path) -> CaptureState:
    """The state of a capture that was begun.

    Raises:
        CalibrationFault: the set was not captured.
    """
    try:
        return CaptureState.model_validate(writer.manifest.capture)
    except ValidationError:
        raise CalibrationFault(
            f"{directory}: was not captured from a camera or a clip",
            remedy="name another directory for the capture",
        ) from None


@dataclass
class Collector:
    """Judges what is seen at each visit and stores what adds to the set."""

    writer: SetWriter
    state: CaptureState
    size: FrameSize
    _signatures: dict[PairMode, list[Signature]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for entry in self.writer.manifest.pairs:
            self._known(entry.mode).append(Signature.decoded(entry.signature, entry.change))

    @property
    def settings(self) -> CaptureSettings:
        """What the set was begun with."""
        return self.state.settings

    @property
    def pace(self) -> Pace:
        """How many pairs there should be by when."""
        return Pace(self.settings.wanted, FEWEST_PAIRS, self.settings.visits)

    @property
    def full(self) -> bool:
        """Whether the set has all the pairs that it is to have."""
        return self.writer.count >= self.settings.wanted

    def wants(self, visit: int) -> bool:
        """Whether a visit is worth looking at all."""
        return self.pace.takes_new(self.writer.count, visit)

    def visit(self, number: int, look: Look, at: Callable[[Glimpse], datetime], apart_s: float) -> Outcome:
        """Look once and keep the pair if it adds to the set.

        Args:
            number: of the visit, counted from 0; even ones look at neighbours, odd ones long apart.
            look: follows the camera.
            at: the time of day of what was seen.
            apart_s: seconds between frame and reference of a static pair, at least.

        Raises:
            Fault: the camera cannot be read on, or the disk is full.
        """
        glimpse = look.neighbours() if number % 2 == 0 else look.long_apart(apart_s)
        if glimpse is None:
            return "ended"
        pair = self._cut(glimpse, at(glimpse), number)
        outcome = "flat" if pair is None else self._keep(pair, number)
        self.state.visits_done = number + 1
        if outcome != "kept":
            self.count(outcome)
        return outcome

    def count(self, reason: Literal["alike", "flat", "frozen", "missed", "failed"], times: int = 1) -> None:
        """Count visits from which nothing came."""
        self.state.left_out = {**self.state.left_out, reason: self.state.left_out.get(reason, 0) + times}

    def note(self) -> None:
        """Write down how far the capture is."""
        self.writer.note(self.state.model_dump(mode="json"))

    def finish(self) -> None:
        """Close the set.

        Raises:
            CalibrationFault: it holds too few pairs; it stays open.
        """
        if self.writer.count < min(FEWEST_PAIRS, self.settings.wanted):
            raise CalibrationFault(
                f"only {self.writer.count} of at least {FEWEST_PAIRS} pairs were found ({self.summary()})",
                remedy=self._remedy(),
            )
        self.note()
        self.writer.finish()

    def summary(self) -> str:
        """What was left out, in words."""
        words = {
            "alike": "near-duplicates", "flat": "showed nothing", "frozen": "frozen", "missed": "visits missed",
            "failed": "visits failed",
        }  # fmt: skip
        parts = [f"{words[reason]} {count}" for reason, count in sorted(self.state.left_out.items())]
        return "left out: " + (", ".join(parts) or "nothing")

    def _keep(self, pair: NewPair, number: int) -> Literal["kept", "alike", "frozen"]:
        signature = Signature.of(pair.frame, pair.reference)
        if signature.frozen:
            return "frozen"
        known = self._known(pair.mode)
        if any(signature.alike(other) for other in known) and not self.pace.takes_alike(
            self.writer.count, number
        ):
            return "alike"
        state = self.state.model_copy(update={"visits_done": number + 1})
        self.writer.add(
            NewPair(**{**vars(pair), "signature": signature.encoded()}), state.model_dump(mode="json")
        )
        known.append(signature)
        return "kept"

    def _known(self, mode: PairMode) -> list[Signature]:
        return self._signatures.setdefault(mode, [])

    def _cut(self, glimpse: Glimpse, captured_at: datetime, number: int) -> NewPair | None:
        """The pair, cut to the set's size where the camera's picture is larger; None where it shows nothing."""
        height_px, width_px = glimpse.frame.shape[:2]
        width, height = self.size.width_px, self.size.height_px
        for attempt in range(_CUTS_TRIED if self.settings.cut else 1):
            left, top = _place(number + attempt, width_px - width, height_px - height)
            frame, reference = (
                picture[top : top + height, left : left + width]
                for picture in (glimpse.frame, glimpse.reference)
            )
            if contrast_of(luma_of(frame)) >= FLAT_GREY_LEVELS:
                return NewPair(
                    frame, reference, captured_at, glimpse.mode, glimpse.frames_apart, glimpse.seconds_apart,
                    left, top,
                )  # fmt: skip
        return None

    def _remedy(self) -> str:
        often: Counter[str] = Counter(self.state.left_out)
        most = often.most_common(1)[0][0] if often else "missed"
        return {
            "flat": "uncover the lens and check the exposure",
            "frozen": "the camera repeats one picture: start it again",
            "failed": "see to the camera",
        }.get(most, "let it last longer, or name a longer clip")


def _place(number: int, most_left: int, most_top: int) -> tuple[int, int]:
    """Where the cut of a pair lies: spread over the picture, by the R2 sequence (Roberts 2018)."""
    x, y = ((0.5 + number * step) % 1.0 for step in (0.7548776662466927, 0.5698402909980532))
    return round(x * most_left), round(y * most_top)
