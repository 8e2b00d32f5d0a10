"""Capture of a calibration set: judge the pair of each visit, and keep those that add to the set.

There are more visits than pairs wanted. Two rules, both even in time, decide which candidates are kept:

* a new scene is kept if the set is not ahead of its schedule: after a tenth of the visits, at most a tenth of the
  pairs. Pairs not used in monotonous hours remain for eventful ones, such as a shower or a sunrise.
* a near-duplicate is kept only while the set is behind the fewest pairs that calibration needs.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, ValidationError

from tremorscope.calibration.capture.pair_reader import PairReader
from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.pairs.calibration_set import (
    FEWEST_PAIRS,
    FLAT_GREY_LEVELS,
    ManifestModel,
    PairMode,
    contrast_of,
    luma_of,
)
from tremorscope.calibration.pairs.duplicates import Signature
from tremorscope.calibration.pairs.set_writer import NewPair, SetWriter
from tremorscope.runtime.engines.interface.manifest import FrameSize

_CUTS_TRIED = 8

Reason = Literal["alike", "flat", "frozen", "missed", "failed"]
"""Reason for which a visit brought no new pair."""
_WORDS: dict[Reason, str] = {
    "alike": "near-duplicates",
    "flat": "showed nothing",
    "frozen": "frozen",
    "missed": "visits missed",
    "failed": "visits failed",
}


@dataclass(frozen=True)
class Pace:
    """Numbers of pairs that a set may and should have after each visit."""

    wanted: int
    fewest: int
    visits: int

    def takes_new(self, kept: int, visit: int) -> bool:
        """True if a new scene may be kept at a visit, counted from 0."""
        return kept < min(self.wanted, math.ceil(self.wanted * (visit + 1) / self.visits))

    def takes_alike(self, kept: int, visit: int) -> bool:
        """True if even a near-duplicate is to be kept at a visit."""
        fewest = min(self.fewest, self.wanted)
        return kept < math.ceil(fewest * (visit + 1) / self.visits)


class CaptureSettings(ManifestModel):
    """Settings of a set, fixed when it is begun."""

    source: str
    is_clip: bool
    """True for a clip, read once from beginning to end; False for a camera, visited on a schedule."""
    wanted: int
    over_s: float
    schedule: str
    visits: int
    distances_s: tuple[float, ...]
    cut: bool
    """True if pairs are cut from the camera's larger picture."""
    started_at: datetime


class CaptureState(ManifestModel):
    """Progress of a capture, stored in the manifest."""

    model_config = ConfigDict(frozen=False)

    settings: CaptureSettings
    visits_done: int = 0
    left_out: dict[Reason, int] = Field(default_factory=dict)


def read_state(writer: SetWriter, directory: Path) -> CaptureState:
    """State of a capture, from the manifest of its set.

    Raises:
        CalibrationFault: the set was not captured.
    """
    try:
        return CaptureState.model_validate(writer.manifest.capture)
    except ValidationError:
        raise CalibrationFault(
            f"{directory}: the set was not captured from a camera or a clip",
            remedy="name another directory for the capture",
        ) from None


@dataclass
class Collector:
    """Judges the candidate pair of each visit, and stores those that add to the set."""

    writer: SetWriter
    state: CaptureState
    size: FrameSize
    _signatures: dict[PairMode, list[Signature]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for entry in self.writer.manifest.pairs:
            self._known(entry.mode).append(Signature.decoded(entry.signature, entry.change))

    @property
    def settings(self) -> CaptureSettings:
        """Settings that the set was begun with."""
        return self.state.settings

    @property
    def pace(self) -> Pace:
        """Number of pairs allowed and needed at each visit."""
        return Pace(self.settings.wanted, FEWEST_PAIRS, self.settings.visits)

    @property
    def full(self) -> bool:
        """True once the set has all wanted pairs."""
        return self.writer.count >= self.settings.wanted

    def wants(self, visit: int) -> bool:
        """True if a new pair could be kept at a visit."""
        return self.pace.takes_new(self.writer.count, visit)

    def visit(self, number: int, reader: PairReader, apart_s: float) -> Reason | Literal["kept", "ended"]:
        """Read one candidate pair, and keep it if it adds to the set.

        Args:
            number: of the visit, from 0; even ones take neighbouring frames, odd ones frames far apart in time.
            reader: of the camera.
            apart_s: least age of the reference in a static pair, in seconds.

        Raises:
            Fault: the camera cannot be read on, or the disk is full.
        """
        candidate = reader.neighbours() if number % 2 == 0 else reader.long_apart(apart_s)
        if candidate is None:
            return "ended"
        pair = self._cut(candidate, number)
        outcome = "flat" if pair is None else self._keep(pair, number)
        self.state.visits_done = number + 1
        if outcome != "kept":
            self.count(outcome)
        return outcome

    def count(self, reason: Reason, times: int = 1) -> None:
        """Count visits without a new pair, by reason."""
        self.state.left_out = {**self.state.left_out, reason: self.state.left_out.get(reason, 0) + times}

    def note(self) -> None:
        """Write the state of the capture to the manifest."""
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
        """Numbers of visits without a new pair, by reason, in one line."""
        parts = [f"{_WORDS[reason]} {count}" for reason, count in sorted(self.state.left_out.items())]
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
        self.writer.add(replace(pair, signature=signature.encoded()), state.model_dump(mode="json"))
        known.append(signature)
        return "kept"

    def _known(self, mode: PairMode) -> list[Signature]:
        return self._signatures.setdefault(mode, [])

    def _cut(self, pair: NewPair, number: int) -> NewPair | None:
        """The pair, cut to the set's size where the camera's picture is larger; None if it is without contrast."""
        height_px, width_px = pair.frame.shape[:2]
        width, height = self.size.width_px, self.size.height_px
        for attempt in range(_CUTS_TRIED if self.settings.cut else 1):
            left, top = _place(number + attempt, width_px - width, height_px - height)
            within = slice(top, top + height), slice(left, left + width)
            frame, reference = pair.frame[within], pair.reference[within]
            if contrast_of(luma_of(frame)) >= FLAT_GREY_LEVELS:
                return replace(pair, frame=frame, reference=reference, left_px=left, top_px=top)
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
    """Left and top of the cut of a pair, spread over the picture by the R2 sequence (Roberts 2018)."""
    x, y = ((0.5 + number * step) % 1.0 for step in (0.7548776662466927, 0.5698402909980532))
    return round(x * most_left), round(y * most_top)
