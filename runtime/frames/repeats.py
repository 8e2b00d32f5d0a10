"""Repeated pictures of a recording: stalls, and conversions to a higher rate, found by comparing the pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Values = NDArray[np.float64]

_ROWS_APART = 4
"""Every so many rows are compared."""
_BLOCK_PX = 16
_LIVELIEST = 20
"""The share of blocks, one in so many, that changes most tells whether anything moved."""
_NO_CHANGE = 0.15
"""Change of a repeated picture against that of its liveliest neighbours: codecs touch it up."""
_TOUCHED_UP = 0.1
"""Grey levels by which most blocks of a repeated picture change at most. At the turning point of a fast motion the
whole picture changes little too, but still by the camera's noise."""
_NEIGHBOURS = 6
_NOISY = 0.2
"""Grey levels by which every block of a new picture differs where the camera's noise is in the recording."""
_UNCHANGED = 0.05
"""Grey levels by which a block differs at most that a codec has carried over from the frame before."""
_SCATTERED = 0.15
"""Share of single and double repeats, in no cycle, from which on they are the work of a codec."""
_SLOWER, _CERTAIN = 0.85, 3.0
"""Change beside single repeats against that elsewhere, and standard errors between them, from which on they are
turning points of a motion: it is slow there, while a conversion repeats pictures at any point of it."""
_LONGEST_CYCLE = 30
_FEWEST_CYCLES = 4
_CYCLIC, _ACYCLIC = 0.75, 0.1
"""Share of repeats from which on a place of the cycle is one, and up to which it is none."""
_ONE_PICTURE = 0.01
"""Grey levels of 8 bits, likewise of any depth, below which nothing has changed."""


@dataclass(frozen=True, eq=False)
class Repeats:
    """The pictures of a recording that show nothing new, and the times of those that do."""

    repeated: Flags
    """(N,), True for a picture that repeats the one before."""
    times_s: Values
    """(N,), times of capture: evenly spaced again where a conversion repeated pictures in a regular cycle."""
    cycle: tuple[int, int] | None
    """Pictures of a conversion's cycle, and the new ones among them; None where there is no conversion."""
    all_one: bool
    """True where all frames are one picture."""

    def notes(self) -> list[str]:
        """Human-readable account, a line each; empty where nothing is repeated."""
        count, total = int(self.repeated.sum()), self.repeated.size
        if self.all_one:
            return [f"all {total} frames are one picture: the recording stands still"]
        if not count:
            return []
        told = f"{count} of {total} frames repeat the one before and count as missing"
        if self.cycle is not None:
            told += f": {self.cycle[1]} new ones in every {self.cycle[0]}, as a conversion to a higher rate leaves them"
        return [told]


class RepeatFinder:
    """Compares successive pictures as they come, in constant memory but for three numbers a frame."""

    def __init__(self, bit_depth: int = 8) -> None:
        self._one_picture = _ONE_PICTURE * 2.0 ** (8 - bit_depth)
        self._previous: NDArray[np.int16] | NDArray[np.float32] | None = None
        self._blocks = self._unchanged_blocks = 0
        self._most: list[float] = []
        self._typical: list[float] = []
        self._quiet: list[float] = []

    def add(self, picture: NDArray[np.uint8] | NDArray[np.float32]) -> None:
        """Take the next picture, (H, W, 3; RGB) or luma (H, W) in grey levels."""
        rows = (
            picture[::_ROWS_APART].copy()
            if picture.ndim == 2
            else picture[::_ROWS_APART, :, 1].astype(np.int16)
        )
        if self._previous is not None:
            changed = np.abs(rows - self._previous)
            blocks = np.add.reduceat(changed, np.arange(0, changed.shape[1], _BLOCK_PX), axis=1)
            blocks = np.add.reduceat(blocks, np.arange(0, blocks.shape[0], _ROWS_APART), axis=0)
            means = np.sort(blocks.ravel()) / (_BLOCK_PX * _ROWS_APART)
            self._blocks += means.size
            self._unchanged_blocks += int(np.searchsorted(means, _UNCHANGED))
            self._most.append(float(means[-max(1, means.size // _LIVELIEST) :].mean()))
            self._typical.append(float(np.median(means)))
            self._quiet.append(float(means[means.size // 4]))
        self._previous = rows

    @property
    def unchanged(self) -> float:
        """Share of the picture, 0 to 1, that is from frame to frame the same to the bit, or nearly so."""
        return self._unchanged_blocks / max(self._blocks, 1)

    def find(self, times_s: Values, key_frames: Flags) -> Repeats:
        """Judge all pictures at once.

        Where the camera's noise is in the recording, a picture without any change is a repeat. Where compression has
        removed it, a still moment looks the same; then only a regular cycle of repeats counts, unless it is that of a
        motion's turning points. A key frame is coded anew and differs from what it repeats, so only the cycle tells.

        Args:
            times_s: times of the file, (N,).
            key_frames: (N,), True for a picture that is coded by itself, while others are not.
        """
        most = np.array([np.inf, *self._most])
        if float(most[1:].max(initial=0.0)) < self._one_picture:
            return Repeats(np.zeros(most.size, bool), times_s, None, most.size > 1)
        unknown = key_frames & (most > self._one_picture) & ~key_frames.all()
        typical = np.array([np.inf, *self._typical])
        same = _unchanged(most, unknown) & (typical < _TOUCHED_UP)
        quiet = np.array(self._quiet)[~same[1:] & ~unknown[1:]]
        has_noise = quiet.size > 1 and float(np.quantile(quiet, 0.1)) > _NOISY
        if not has_noise and _are_turning_points(most, same, unknown):
            same &= _in_runs(same, longer_than=1)
        fresh = typical[~same & ~unknown]
        found = _cycle(same, unknown)
        if found is not None:
            cyclic = np.resize(found, most.size)
            stalled = (same | unknown) & _in_runs(
                same | cyclic, longer_than=2 + _longest_run(np.tile(found, 2))
            )
            repeated = cyclic | stalled
            if not stalled.any() and _is_even(~repeated):
                return Repeats(
                    repeated, _evened(times_s, ~repeated), (found.size, int((~found).sum())), False
                )
            return Repeats(repeated, times_s, None, False)
        noisy = fresh.size > 1 and float(np.quantile(fresh, 0.1)) > _NOISY
        # A codec that predicts frames carries some over here and there: they are no stalls of the camera.
        scattered = same & ~_in_runs(same, longer_than=2)
        carried_over = not key_frames.all() and float(scattered.mean()) > _SCATTERED
        return Repeats(
            same if noisy and not carried_over else np.zeros(most.size, bool), times_s, None, False
        )


def _unchanged(most: Values, unknown: Flags) -> Flags:
    """Pictures that change far less than those around them; the first and key frames never."""
    known = np.where(unknown | ~np.isfinite(most), 0.0, most)
    padded = np.pad(known, _NEIGHBOURS)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * _NEIGHBOURS + 1)
    lively = np.sort(around, axis=1)[:, -2]  # the liveliest but one: a cut is no measure
    overall = float(np.quantile(known[known > 0], 0.5)) if (known > 0).any() else 0.0
    same: Flags = (most < _NO_CHANGE * np.maximum(lively, overall)) & ~unknown
    return same


def _are_turning_points(most: Values, same: Flags, unknown: Flags) -> bool:
    """True if the picture changes less beside single repeats than elsewhere."""
    known = ~same & ~unknown & np.isfinite(most)
    beside = np.zeros(same.size, bool)
    for at in np.flatnonzero(same & ~_in_runs(same, longer_than=1)):
        beside[max(at - 1, 0) : at + 2] = True
    near, far = most[known & beside], most[known & ~beside]
    if min(near.size, far.size) < _FEWEST_CYCLES:
        return False
    # Medians, for not every turning point is a repeat.
    slow, fast = float(np.median(near)), float(np.median(far))
    error = float(np.hypot(near.std() / np.sqrt(near.size), far.std() / np.sqrt(far.size)))
    return slow < min(_SLOWER * fast, fast - _CERTAIN * error)


def _cycle(same: Flags, unknown: Flags) -> Flags | None:
    """One cycle of repeats that goes through the whole recording, (P,); None where there is none."""
    for length in range(2, min(_LONGEST_CYCLE, same.size // _FEWEST_CYCLES) + 1):
        shares = np.full(length, np.nan)
        for place in range(length):
            known = ~unknown[place::length]
            if known.sum() >= _FEWEST_CYCLES - 1:
                shares[place] = same[place::length][known].mean()
        clear = (shares >= _CYCLIC) | (shares <= _ACYCLIC)
        if clear.all() and (shares >= _CYCLIC).any() and (shares <= _ACYCLIC).any():
            cycle: Flags = shares >= _CYCLIC
            return cycle
    return None


def _in_runs(flags: Flags, *, longer_than: int) -> Flags:
    """Flags that stand in a row of more than so many."""
    found = np.zeros(flags.size, bool)
    for start, stop in _runs(flags):
        found[start:stop] = stop - start > longer_than
    return found


def _longest_run(flags: Flags) -> int:
    return max((stop - start for start, stop in _runs(flags)), default=0)


def _runs(flags: Flags) -> list[tuple[int, int]]:
    """First index of each row of flags, and the one behind its last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def _is_even(fresh: Flags) -> bool:
    """True where the new pictures lie no further from an even rate than one frame, as a conversion puts them."""
    places = np.flatnonzero(fresh).astype(np.float64)
    counts = np.arange(places.size)
    off = places - np.polyval(np.polyfit(counts, places, 1), counts)
    return float(np.ptp(off)) < 1.2


def _evened(times_s: Values, fresh: Flags) -> Values:
    """Times at which the new pictures were taken evenly; a repeat has the time of what it repeats."""
    counts = np.cumsum(fresh) - 1
    line = np.polyfit(counts[fresh], times_s[fresh], 1)
    evened: Values = np.polyval(line, np.maximum(counts, 0))
    return evened
