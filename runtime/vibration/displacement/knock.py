"""Knocks of the camera: the whole view moves at once and stays there. Told from what moves in the view, what passes in
front of it, changes of light, and slow drift.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.displacement.warping import FeatureAligner, Matrix, moved, opencv, shift_by
from tremorscope.runtime.vibration.displacement.windows import as_luma

Picture = NDArray[Any]
Values = NDArray[np.float64]

_LEAST_PX = 2.0
"""Motion of the view from which on it is a knock; what is smaller stays in the displacement."""
_OVER_SPREAD = 4.0
"""The same, as a multiple of how much all regions moved in the second before: a camera that sways is not knocked."""
_SECOND_S, _FEWEST = 1.0, 8
_SIDE_PX = 640
"""Longest side of the pictures that are compared."""
_EVERY_S, _SETTLED_PX = 0.5, 1.0
"""Time between two looks, and the most that the view may move between them, once it is at rest again."""
_PAUSE_S = 1.0
"""Time after a look that found nothing, before the next."""
_UNSURE_S = 3.0
"""Time after which regions that are followed count as true though the pictures cannot be compared."""
_RENEWED_S = 30.0
"""Age of the picture that is compared with: light and drift may change it that much."""
_BLOCK, _TEXTURE, _ALIKE, _SHARE = 16, 3.0, 0.5, 0.5
"""Side of a block; its least deviation in grey levels; correlation of one that is the same; share that must be."""

Verdict = Literal["still", "moved", "unsure"]


@dataclass(frozen=True, eq=False)
class Knock:
    """A knock of the camera that has come to rest."""

    matrix: Matrix
    """Motion of the view, (3, 3), from places before to places after, in px."""
    since_s: float
    """Time of the first frame that showed it."""

    def region(self, before: Region) -> Region:
        """The region around what another one held before."""
        x_px, y_px = moved(self.matrix, np.array([before.centre_px]))[0]
        return Region(
            round(x_px - (before.width_px - 1) / 2),
            round(y_px - (before.height_px - 1) / 2),
            before.width_px,
            before.height_px,
        )

    def text(self, width_px: int, height_px: int) -> str:
        """Shift of the picture's middle, and roll, for a person."""
        middle = np.array([[width_px / 2, height_px / 2]])
        x_px, y_px = np.round(moved(self.matrix, middle) - middle, 1)[0] + 0.0  # no -0.0
        roll_deg = round(math.degrees(math.atan2(self.matrix[1, 0], self.matrix[0, 0])), 2) + 0.0
        return f"the view moved by {x_px:+.1f} px along x and {y_px:+.1f} px along y, roll {roll_deg:+.2f} degrees"


class KnockWatch:
    """Watches the motion of the regions, which costs nothing, and compares pictures where half of them jump.

    Args:
        picture: the reference, (H, W, 3; RGB) or luma (H, W).
        holds: whether nothing is measured from the knock until it is found; no, where still regions take the camera's
        motion out meanwhile.

    Raises:
        OptionFault: OpenCV is not installed.
    """

    def __init__(self, picture: Picture, *, holds: bool = True) -> None:
        self._cv2, self._holds = opencv(), holds
        self._size_px = picture.shape[1], picture.shape[0]
        self._factor = max(1.0, max(self._size_px) / _SIDE_PX)
        self._anchor, self._anchor_s = self._small(picture), -math.inf
        self._recent: deque[tuple[float, Values]] = deque()
        self._since_s: float | None = None
        self._due_s = -math.inf
        self._seen: tuple[float, Matrix] | None = None

    @property
    def is_holding(self) -> bool:
        """True while the camera may have been knocked, so that no displacement is known."""
        return self._holds and self._since_s is not None

    def is_looking(self, time_s: float, longest_s: float) -> bool:
        """True while a knock is suspected and not yet decided on, for so long at most; also beside still regions."""
        return self._since_s is not None and time_s - self._since_s < longest_s

    def look(self, frame: Picture, seen_px: Values, time_s: float) -> Knock | None:
        """Take the next frame and the motion (regions, 2) in it, the camera's included; NaN where lost.

        Returns the knock, once the view is at rest again.
        """
        if self._since_s is None and not self._is_suspicious(seen_px, time_s):
            if time_s - self._anchor_s > _RENEWED_S:
                self._anchor, self._anchor_s = self._small(frame), time_s
            return None
        if time_s < self._due_s:
            return None
        verdict, matrix = self._compare(self._small(frame))
        if verdict == "still" or self._gives_up(verdict, seen_px, time_s):
            self._since_s, self._seen, self._due_s = None, None, time_s + _PAUSE_S
            self._recent.clear()
            return None
        self._since_s = time_s if self._since_s is None else self._since_s
        self._due_s = time_s + _EVERY_S
        before, self._seen = self._seen, (time_s, matrix) if verdict == "moved" else None
        if verdict == "moved" and before is not None and self._farthest_px(matrix, before[1]) < _SETTLED_PX:
            return Knock(matrix, self._since_s)
        return None

    def _gives_up(self, verdict: Verdict, seen_px: Values, time_s: float) -> bool:
        late = self._since_s is not None and time_s - self._since_s > _UNSURE_S
        return verdict == "unsure" and late and bool(np.isfinite(seen_px).all())

    def _is_suspicious(self, seen_px: Values, time_s: float) -> bool:
        """True where at least half of the regions are lost, or moved at once farther than they had in a second."""
        # A slow camera shows fewer frames in a second than a spread needs.
        while len(self._recent) > _FEWEST and time_s - self._recent[0][0] > _SECOND_S:
            self._recent.popleft()
        gone = np.asarray(np.isnan(seen_px).any(axis=1))
        if len(self._recent) >= _FEWEST:
            places = np.array([place for _, place in self._recent])  # (frames, regions, 2)
            least_px = np.maximum(_LEAST_PX, _OVER_SPREAD * places.std(axis=0).max(axis=1))
            gone = gone | (np.hypot(*(seen_px - np.median(places, axis=0)).T) > least_px)
        if 2 * gone.sum() >= gone.size:
            return True
        self._recent.append((time_s, seen_px))
        return False

    def _compare(self, grey: Picture) -> tuple[Verdict, Matrix]:
        """Verdict on a small picture, and the motion of the view in px of the whole one."""
        cv2, still = self._cv2, np.eye(3)
        window = cv2.createHanningWindow(grey.shape[::-1], cv2.CV_32F)
        (x_px, y_px), _ = cv2.phaseCorrelate(self._flat(self._anchor), self._flat(grey), window)
        near: Sequence[Matrix] = (still, shift_by(x_px, y_px))
        aligner = FeatureAligner(self._anchor, "similarity")
        found = [each for each in (aligner.find(grey, each) for each in near) if each is not None]
        shares = [self._share_alike(grey, each) for each in (still, *found)]
        best = int(np.argmax(shares))
        if shares[best] < _SHARE:
            return "unsure", still
        whole = still if best == 0 else found[best - 1].copy()
        whole[:2, 2] *= self._factor
        return ("still" if self._farthest_px(whole, still) < _LEAST_PX else "moved"), whole

    def _share_alike(self, grey: Picture, matrix: Matrix) -> float:
        """Share of the anchor's blocks of texture that a picture shows where a motion puts them."""
        cv2, size = self._cv2, (_BLOCK, _BLOCK)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        laid = self._flat(cv2.warpAffine(grey, matrix[:2], grey.shape[::-1], flags=flags))
        anchor = self._flat(self._anchor)
        inside = cv2.warpAffine(np.ones_like(anchor), matrix[:2], grey.shape[::-1], flags=flags)
        product, mine, its = (cv2.blur(each, size) for each in (anchor * laid, anchor**2, laid**2))
        textured = (mine > _TEXTURE**2) & (cv2.blur(inside, size) > 0.99)
        if not textured.any():
            return 0.0
        return float((product[textured] > _ALIKE * np.sqrt(mine[textured] * its[textured])).mean())

    def _flat(self, grey: Picture) -> Picture:
        """A picture less its slow changes of brightness, float32."""
        values = grey.astype(np.float32)
        flat: Picture = values - self._cv2.blur(values, (2 * _BLOCK, 2 * _BLOCK))
        return flat

    def _small(self, picture: Picture) -> Picture:
        cv2, size = self._cv2, tuple(max(1, round(side / self._factor)) for side in self._size_px)
        small = picture if self._factor == 1 else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        return np.clip(np.rint(as_luma(small)), 0, 255).astype(np.uint8)

    def _farthest_px(self, one: Matrix, other: Matrix) -> float:
        """Largest distance between two motions, over the picture's corners."""
        width, height = self._size_px
        corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], float)
        return float(np.hypot(*(moved(one, corners) - moved(other, corners)).T).max())
