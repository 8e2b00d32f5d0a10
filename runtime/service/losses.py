"""Tells when a camera's frames are lost, while they are: a total that has grown for months tells nothing of today."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

_REPORTS = 15
"""Over so many seconds, as there is a report a second."""
_LEAST_SHARE, _LEAST_FRAMES = 0.02, 3
"""What is told: more than one frame now and then."""
_WORDS = {
    "source": "camera or link",
    "late": "too much to do",
    "no_slot": "too much to do",
    "corrupt": "damaged",
    "abandoned": "camera opened again",
}


class LossWatch:
    """Compares what was lost with what was processed over the latest seconds."""

    def __init__(self) -> None:
        self._latest: deque[tuple[int, dict[str, int]]] = deque(maxlen=_REPORTS + 1)

    def look(self, frames: int, drops: Mapping[str, int]) -> str:
        """Take the totals of now; returns a line for a person, empty where next to nothing is lost."""
        self._latest.append((frames, dict(drops)))
        frames_before, before = self._latest[0]
        lost = {why: count - before.get(why, 0) for why, count in drops.items()}
        total = sum(lost.values())
        share = total / max(1, total + frames - frames_before)
        if total < _LEAST_FRAMES or share < _LEAST_SHARE:
            return ""
        causes = dict.fromkeys(_WORDS.get(why, why) for why, count in lost.items() if count > 0)
        return f"{share:.0%} of the camera's frames are being lost ({', '.join(causes)})"
