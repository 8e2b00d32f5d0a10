"""Live picture on loan from the live feed: a frame, its magnified twin, and their data."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.frames.ring import Lease

_VIEWER = "a viewer"


class LiveInfo(NamedTuple):
    """Number, time and magnification of a live picture."""

    sequence: int
    """Rises from picture to picture."""
    time_s: float
    """Unix time of the capture."""
    amplification: float = 1.0
    """Magnified over true displacement, with all fades; 1 where the frame was not magnified."""
    settling_left_s: float = 0.0
    """Seconds until the filter has settled."""


class LiveFrame:
    """A picture on loan: use it within ``with``, for as short as possible."""

    def __init__(
        self,
        frame: Lease,
        magnified: Lease | None,
        info: LiveInfo,
        on_release: Callable[[], None] = lambda: None,
    ) -> None:
        """Take the leases over; ``on_release`` is called when they are released."""
        self._leases = (frame, magnified)
        self._on_release = on_release
        self.info = info

    @property
    def frame(self) -> NDArray[np.uint8]:
        """As filmed, u8[H, W, 3] in RGB, read-only."""
        return self._leases[0].pixels

    @property
    def magnified(self) -> NDArray[np.uint8] | None:
        """Magnified, of the same form; None while it is not (yet) magnified."""
        lease = self._leases[1]
        return None if lease is None else lease.pixels

    def lend(self, on_release: Callable[[], None]) -> LiveFrame:
        """The same picture for a viewer, to be released apart from this one."""
        frame, magnified = (each and each.share(_VIEWER) for each in self._leases)
        assert frame is not None
        return LiveFrame(frame, magnified, self.info, on_release)

    def release(self) -> None:
        """Give the picture back.

        Raises:
            LeaseError: it has been given back already.
        """
        for lease in self._leases:
            if lease is not None:
                lease.release()
        self._on_release()

    def __enter__(self) -> LiveFrame:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
