"""Artefacts: peaks that filming, light or compression makes, each with its cause in words.

One rule covers most of them. What happens to pictures at a rate L, such as a key frame every second, a B picture's
coarser quantiser or a repeated picture, modulates a tone of frequency g and its n-th multiple, and leaves lines at
k L +- n g. Sampling itself is such a rhythm: with L the frame rate these are the multiples folded at half of it. So a
peak of frequency f is suspected where f +- n g is a whole multiple of L, and g is stronger.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tremorscope.runtime.vibration.displacement.coding_loss import LEAST_ERRORS
from tremorscope.runtime.vibration.spectra.peaks import Peak

MAINS_LIGHT_HZ = (100.0, 120.0)
"""Lamps on the mains flicker at twice its frequency."""
_MAINS_OFF = 0.005
"""Share by which mains and the camera's clock may be off."""
_PX_PER_LIGHT, _PX_PER_BAND = 0.15, 1.0
"""Largest residual of a change of light, px of apparent motion for a change of 1 in relative brightness: over the
whole region, and in bands as a rolling shutter makes them of flicker."""
_OF_LIGHT = (1, 2, 3)
"""Multiples of a lamp's flicker that strong bands leave in the motion."""
_MULTIPLES = (2, 3, 4, 5, 6)
_ODD_MULTIPLES = (2, 3, 5, 7, 9, 11, 13)
"""A coder's dead zone treats both signs alike, and makes odd multiples far up."""
_MODULATED = (1, 3)
_CYCLES = (2, 3, 4, 5, 6)
"""Pictures in the cycle of a conversion, such as 5 from 24 to 30 pictures a second."""
_LARGEST_SHARE = 0.7
"""Amplitude of an artefact against that of the tone that it stems from."""
_MOST_ERRORS = 2.0
"""Amplitude below which a rhythm of compression is looked for, in standard errors that it leaves."""
_LEFT_OF_CAMERA = 0.05
"""Largest share of the camera's motion that still regions leave: a rolling shutter's skew, a lens, parallax."""
_NEAREST_BINS, _FURTHEST_BINS = 0.1, 1.0
_DENSE = 0.3
"""Share of all frequencies that a rhythm's lines cover from which on only those next to the tone count."""
_SIDEBANDS = 3
_HELD_MATCH = 0.3


@dataclass(frozen=True)
class Origin:
    """Circumstances of a recording that make tones of their own; by default a live camera's."""

    key_rate_hz: float | None = None
    """Key frames a second, where they come regularly."""
    pattern_rate_hz: float | None = None
    """Pictures a second that are no B pictures, where there are such."""


@dataclass(frozen=True)
class Suspect:
    """A peak to judge, and the standard error that compression leaves in its amplitude."""

    peak: Peak
    error_px: float


@dataclass(frozen=True)
class _Rhythm:
    rate_hz: float
    multiples: tuple[int, ...]
    words: str


@dataclass(frozen=True)
class ArtefactTable:
    """The rhythms of one recording, and the judgement of its peaks by them."""

    origin: Origin
    rate_hz: float
    duration_s: float

    def causes(self, suspects: Sequence[Suspect]) -> list[str]:
        """Cause of each of some peaks, strongest first; empty for motion."""
        accepted: list[Peak] = []
        found = []
        frequencies_hz = [each.peak.frequency_hz for each in suspects]
        for suspect in suspects:
            found.append(self.cause(suspect, accepted, frequencies_hz))
            if not found[-1]:
                accepted.append(suspect.peak)
        return found

    def cause(self, suspect: Suspect, stronger: Sequence[Peak], frequencies_hz: Sequence[float] = ()) -> str:
        """Cause of a peak beside those that are motion and stronger; empty if it is motion itself.

        Args:
            suspect: the peak.
            stronger: peaks of motion.
            frequencies_hz: of all peaks, of which several together prove a cycle of repeated pictures.
        """
        peak = suspect.peak
        parents = [each for each in stronger if peak.amplitude <= _LARGEST_SHARE * each.amplitude]
        may_be_coded = peak.amplitude < _MOST_ERRORS * suspect.error_px
        for parent in parents:
            for rhythm in self._rhythms(may_be_coded):
                told = self._modulation(peak, parent, rhythm)
                if told:
                    return told
            told = self._cycle(peak, parent, frequencies_hz)
            if told:
                return told
        weak = weakness(peak, suspect.error_px)
        return weak and (self._jolt(peak) or weak)

    def _rhythms(self, may_be_coded: bool) -> Iterator[_Rhythm]:
        """Rhythms that may have made a peak; those of compression only where it is no stronger than they make."""
        yield _Rhythm(self.rate_hz, _ODD_MULTIPLES if may_be_coded else _MULTIPLES, "the frame rate")
        if may_be_coded and self.origin.pattern_rate_hz:
            yield _Rhythm(self.origin.pattern_rate_hz, _MODULATED, "the pattern of B pictures")
        if may_be_coded and self.origin.key_rate_hz:
            yield _Rhythm(self.origin.key_rate_hz, _MODULATED, "the key frames")

    def _modulation(self, peak: Peak, parent: Peak, rhythm: _Rhythm) -> str:
        """Words for a line that a rhythm makes of a tone; empty if it is none."""
        for multiple in rhythm.multiples:
            if rhythm.rate_hz == self.rate_hz and multiple == 1:
                continue
            order = self._order(peak, parent, rhythm.rate_hz, multiple)
            if order:
                times = "" if multiple == 1 else f"{multiple} x "
                of = f"{times}{parent.frequency_hz:.4g} Hz"
                if rhythm.rate_hz == self.rate_hz:
                    return f"{of}, folded at half the frame rate"
                return f"{of}, mirrored at {order * rhythm.rate_hz:.4g} Hz by {rhythm.words}"
        return ""

    def _order(self, peak: Peak, parent: Peak, rate_hz: float, multiple: int) -> int:
        """The multiple of a rate at which a multiple of a tone would be mirrored onto a peak; 0 if at none."""
        within_hz = self._tolerance_hz(peak, parent, multiple)
        is_dense = 4 * within_hz / rate_hz > _DENSE
        for sign in (-1, 1):
            sum_hz = peak.frequency_hz + sign * multiple * parent.frequency_hz
            order = round(sum_hz / rate_hz)
            far = is_dense and (abs(order) > _SIDEBANDS or multiple > 1)
            if order and not far and abs(sum_hz - order * rate_hz) < within_hz:
                return abs(order)
        return 0

    def _cycle(self, peak: Peak, parent: Peak, frequencies_hz: Sequence[float]) -> str:
        """Words for a line of repeated or missing pictures, as a conversion leaves them; empty if it is none."""
        for cycle in _CYCLES:
            rate_hz = self.rate_hz / cycle
            if not any(self._order(peak, parent, rate_hz, each) for each in _MODULATED):
                continue
            # Every second picture held gives one line, of known strength; longer cycles give several.
            held = math.tan(math.pi * parent.frequency_hz / self.rate_hz) * parent.amplitude
            if cycle == 2:
                proven = abs(peak.amplitude / held - 1) < _HELD_MATCH
            else:
                lines = {
                    round(hz * self.duration_s) for hz in frequencies_hz if self._is_line(hz, parent, rate_hz)
                }
                proven = len(lines) >= 2
            if proven:
                return (
                    f"{parent.frequency_hz:.4g} Hz, mirrored by pictures that repeat or are missing "
                    f"in a cycle of {cycle}"
                )
        return ""

    def _is_line(self, frequency_hz: float, parent: Peak, rate_hz: float) -> bool:
        nearest = (
            abs(math.remainder(frequency_hz + sign * parent.frequency_hz, rate_hz)) for sign in (-1, 1)
        )
        apart_hz = abs(frequency_hz - parent.frequency_hz)
        return apart_hz > 2 / self.duration_s and min(nearest) < 0.5 / self.duration_s

    def _jolt(self, peak: Peak) -> str:
        """Words for a line that key frames or the pattern of pictures make by themselves; empty if it is none."""
        within_hz = self._tolerance_hz(peak, peak, 0)
        for rate_hz, words in (
            (self.origin.key_rate_hz, "jolts at the key frames"),
            (self.origin.pattern_rate_hz, "steps in the pattern of B pictures"),
        ):
            if (
                rate_hz
                and within_hz < _DENSE * rate_hz / 4
                and abs(math.remainder(peak.frequency_hz, rate_hz / 2)) < within_hz
            ):
                return f"{words}, {rate_hz:.4g} a second"
        return ""

    def _tolerance_hz(self, peak: Peak, parent: Peak, multiple: int) -> float:
        own_hz = 3 * math.hypot(peak.frequency_sigma_hz, multiple * parent.frequency_sigma_hz)
        return min(max(own_hz, _NEAREST_BINS / self.duration_s), _FURTHEST_BINS / self.duration_s)


def may_be_coded(amplitudes: ArrayLike, errors: ArrayLike, surest: float) -> NDArray[np.bool_]:
    """True where compression alone may show an amplitude; one above that of the surest channel must be twice as sure.

    >>> may_be_coded([0.28, 0.10, 0.02], [0.15, 0.03, 0.03], surest=0.10)
    array([ True, False,  True])
    """
    found = np.asarray(amplitudes)
    may_be: NDArray[np.bool_] = found < np.where(found > surest, 2, LEAST_ERRORS) * np.asarray(errors)
    return may_be


def weakness(peak: Peak, error_px: float) -> str:
    """Words for a peak that compression alone may show; empty for a stronger one."""
    least_px = LEAST_ERRORS * error_px
    if peak.amplitude >= least_px:
        return ""
    return f"weaker than {LEAST_ERRORS:g} times the {error_px:.2g} px that compression may take or add here"


def camera_cause(peak: Peak, camera_px: float) -> str:
    """Cause of a peak that is no more than what is left of the camera's own motion; empty where it is more.

    Args:
        peak: of a region from which the camera's motion was taken out.
        camera_px: amplitude of that motion at the peak's frequency.
    """
    if peak.amplitude > _LEFT_OF_CAMERA * camera_px:
        return ""
    return f"what is left of the camera's own {camera_px:.2g} px at this frequency"


def light_cause(peak: Peak, swing_at: Callable[[float], float], rate_hz: float) -> str:
    """Cause of a peak that a change of light explains; empty where that is too little.

    Args:
        peak: the peak.
        swing_at: the relative change of light at a frequency in Hz.
        rate_hz: frames a second.
    """
    for light_hz, multiple, sign in itertools.product(MAINS_LIGHT_HZ, _OF_LIGHT, (1, -1)):
        folded = round((multiple * light_hz - sign * peak.frequency_hz) / rate_hz)
        lamp_hz = (folded * rate_hz + sign * peak.frequency_hz) / multiple  # if it is theirs
        is_mains = abs(lamp_hz - light_hz) < _MAINS_OFF * light_hz + peak.frequency_sigma_hz / multiple
        seen_hz = abs(math.remainder(lamp_hz, rate_hz))
        if multiple > 1 and seen_hz < 2 * _MAINS_OFF * light_hz:
            continue  # folded to a standstill; what light swings there are clouds and exposure
        if is_mains and peak.amplitude < _PX_PER_BAND * swing_at(seen_hz):
            times = "" if multiple == 1 else f"{multiple} times "
            return f"lamps that flicker at {times}{light_hz:g} Hz, folded by the frame rate"
    is_light = peak.amplitude <= _PX_PER_LIGHT * swing_at(peak.frequency_hz)
    return "light that changes at this frequency" if is_light else ""
