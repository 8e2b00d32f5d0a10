"""The live loop hands every frame on, times it, and is held up by nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from runtime.cameras import FrameInfo
from runtime.leases import Lease, LeasingRing
from runtime.outlets import Outlet, frames_held, pictures_held
from runtime.pipeline import LivePipeline

WIDTH, HEIGHT = 8, 4
RATE_HZ = 50.0


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Frames:
    """A source whose frames are filled with their number, modulo 256."""

    def __init__(self, slots: int, clock: Callable[[], float]) -> None:
        self.ring = LeasingRing(slots, width_px=WIDTH, height_px=HEIGHT)
        self.clock = clock
        self.infos: Iterator[FrameInfo] = (FrameInfo(n, n / RATE_HZ) for n in range(1 << 40))

    def take(self, timeout_s: float) -> Lease | None:  # noqa: ARG002
        info = next(self.infos, None)
        if info is None:
            return None
        lease = self.ring.acquire("the test's camera")
        assert lease is not None, f"no free slot: {self.ring.holders}"
        lease.pixels[:] = info.sequence % 256
        lease.seal(info)
        return lease


class Inverter:
    """A magnifier: the picture is the frame's negative. Remembers which frames it was told to forget."""

    def __init__(self) -> None:
        self.steps = 0
        self.restarts_at: list[int] = []
        self.on_step: Callable[[], None] = lambda: None
        self.settling_left_s = 0.0

    def step(self, frame: NDArray[np.uint8], magnified: NDArray[np.uint8], timestamp_s: float) -> None:  # noqa: ARG002
        self.on_step()
        np.subtract(255, frame, out=magnified)
        self.steps += 1

    def restart(self) -> None:
        self.restarts_at.append(self.steps)

    def lines(self) -> list[str]:
        return []


class Stage:
    """A loop over test frames with the rings that it needs."""

    def __init__(self, *outlets: Outlet, band_hz: tuple[float, float] | None = None) -> None:
        self.clock = Clock()
        self.source = Frames(frames_held(outlets), self.clock)
        self.pictures = LeasingRing(pictures_held(outlets), width_px=WIDTH, height_px=HEIGHT)
        self.inverter = Inverter()
        self.loop = LivePipeline(
            self.source, self.inverter, self.pictures, outlets, band_hz=band_hz, clock=self.clock
        )

    def close(self) -> None:
        """End, and check that every frame was given back."""
        self.loop.close()
        self.source.ring.close()
        self.pictures.close()


def test_frame_and_picture_reach_every_output_that_wants_them() -> None:
    viewer, meter = Outlet("viewer"), Outlet("meter", wants_magnified=False)
    stage = Stage(viewer, meter)
    for number in range(300):
        info = stage.loop.advance(0)
        assert info is not None
        for outlet in (viewer, meter):
            picture = outlet.take(0)
            assert picture is not None
            with picture:
                assert picture.info.sequence == info.sequence == number
                assert (picture.frame.pixels == number % 256).all()
                assert not picture.frame.pixels.flags.writeable
                if outlet is viewer:
                    assert picture.magnified is not None
                    assert (picture.magnified.pixels == 255 - number % 256).all()
                else:
                    assert picture.magnified is None
    state = stage.loop.state()
    assert (state.frames, state.magnified, state.no_slot, state.missed, state.segments) == (300, 300, 0, 0, 1)
    assert [(each.taken, each.dropped) for each in state.outlets] == [(300, 0), (300, 0)]
    stage.close()
