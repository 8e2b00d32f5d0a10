"""Present losses of a camera's frames: totals that have grown for months do not show those of today."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

_REPORTS = 15
"""Reports that losses are counted over, one a second."""
_LEAST_SHARE, _LEAST_FRAMES = 0.02, 3
"""Losses that are reported: at least this share of the frames, and this many."""
_FULL = 0.95
"""Load of the processor from which on a gap in the camera's count may be this device's own doing."""
_WHILE_FULL = "while the processor was full"
_WORDS = {
    "source": "camera or link",
    _WHILE_FULL: "at the camera while this device's processor was full",
    "unfetched": "this device fetched them too late",
    "late": "too much to do",
    "no_slot": "too much to do",
    "corrupt": "damaged",
    "abandoned": "camera opened again",
}


class LossWatch:
    """Compares lost with processed frames over the latest seconds, and names the causes."""

    def __init__(self) -> None:
        self._totals: dict[str, int] | None = None
        self._frames = 0
        self._latest: deque[tuple[int, Counter[str]]] = deque(maxlen=_REPORTS)

    def look(self, frames: int, drops: Mapping[str, int], cpu_load_ratio: float | None = None) -> str:
        """Take the present totals; returns a human-readable line, empty where next to nothing is lost.

        Args:
            frames: processed frames.
            drops: by reason: see `Drops`.
            cpu_load_ratio: load of the processor's cores together at present, 0 to 1; None where it is not known.
        """
        if self._totals is not None:
            lost = Counter({why: count - self._totals.get(why, 0) for why, count in drops.items()})
            if cpu_load_ratio is not None and cpu_load_ratio >= _FULL:
                lost[_WHILE_FULL] = lost.pop("source", 0)
            self._latest.append((frames - self._frames, lost))
        self._frames, self._totals = frames, dict(drops)
        sums: Counter[str] = sum((lost for _, lost in self._latest), Counter())
        total = sums.total()
        share = total / max(1, total + sum(processed for processed, _ in self._latest))
        if total < _LEAST_FRAMES or share < _LEAST_SHARE:
            return ""
        causes = dict.fromkeys(_WORDS.get(why, why) for why in (*_WORDS, *sums) if sums[why] > 0)
        return f"{share:.0%} of the camera's frames are being lost ({', '.join(causes)})"
