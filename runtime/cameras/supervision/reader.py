"""Reading thread of a camera: opening, reading and closing, one bounded step at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.cameras.supervision.faults import FaultKind
from tremorscope.runtime.errors import CameraFault, CorruptFrameFault, Fault, FrozenCameraFault
from tremorscope.runtime.frames.frame import Camera, FrameInfo
from tremorscope.runtime.frames.ring import Lease
from tremorscope.runtime.host.threads import Threads

Stage = Literal["opening", "reading", "closing", "done"]
T = TypeVar("T")
_PROBES_PER_SIDE = 16


@dataclass(frozen=True)
class CallFailure:
    """Reason why a call to the camera brought nothing."""

    what: str
    corrupt: bool = False
    """True where only one frame is damaged, and the camera can be read on."""
    sequence: int | None = None
    """Its number, where known."""
    kind: FaultKind | None = None
    """Kind of fault, where that is known better than missing or lost."""


class ReaderOwner(Protocol):
    """Receiver of a reader's reports. Each call returns at once; once it is abandoned, the answer ends the reader."""

    def opened(self, reader: Reader, size: tuple[int, int], rate_hz: float) -> Lease | None:
        """The camera is open; returns the slot for its first frame, or None to close it."""

    def failed(
        self, reader: Reader, kind: FaultKind | None, what: str, info: FrameInfo | None = None
    ) -> None:
        """The camera gives no more frames, the last being ``info``; kind None is missing or lost."""

    def rejected(self, reader: Reader, what: str, info: FrameInfo | None, sequence: int | None) -> bool:
        """A frame was damaged; returns False where the camera is to be closed."""

    def deliver(self, reader: Reader, lease: Lease, info: FrameInfo) -> Lease | None:
        """Take a frame over; returns the slot for the next one, or None to close the camera."""

    def ended(self, reader: Reader) -> None:
        """The source has come to its end."""

    def finished(self, reader: Reader, lease: Lease | None) -> None:
        """The camera is closed, and its thread about to end; ``lease`` is what it held."""


class Reader:
    """Opens a camera, reads it until it fails or is told to end, and closes it.

    Every call to the camera may hang. The supervisor watches ``stage`` and ``deadline_s``; it abandons a reader
    that is late, and the reader then ends by itself whenever the call returns. A mistake in the program closes the
    camera too; the next reader opens it again.
    """

    def __init__(
        self, open_camera: Callable[[], Camera], owner: ReaderOwner, threads: Threads, reject_constant: bool
    ) -> None:
        self._open_camera = open_camera
        self._owner, self._threads = owner, threads
        self._reject_constant = reject_constant
        self._camera: Camera | None = None
        self._lease: Lease | None = None
        self._size = (0, 0)
        self.stage: Stage = "opening"
        self.since_s = self.limit_s = math.inf
        """Start of the present call, on the supervisor's clock, and the longest that it may take."""

    @property
    def deadline_s(self) -> float:
        """Time at which the present call is late."""
        return self.since_s + self.limit_s

    def expect(self, since_s: float, limit_s: float) -> None:
        """Bound the present call; called by the supervisor."""
        self.since_s, self.limit_s = since_s, limit_s

    def start(self) -> None:
        """Work in a thread that dies with the process, since nothing else ends a driver that hangs."""
        self._threads.start("camera", self.run, again=True, owned=True)

    def run(self) -> None:
        """Work until the camera is closed."""
        try:
            while self.step():
                pass
        except Exception as error:
            if self.stage != "done":
                self._fail(None, f"a mistake in the program: {type(error).__name__}: {error}")
                self._close()
            raise

    def step(self) -> bool:
        """Make one call to the camera; returns False when there is nothing left to do."""
        if self.stage == "opening":
            self._open()
        elif self.stage == "reading":
            self._read()
        elif self.stage == "closing":
            self._close()
        return self.stage != "done"

    def _open(self) -> None:
        opened = _guarded(lambda: _measured(self._open_camera()))
        if isinstance(opened, CallFailure):
            self.stage = "closing"
            self._owner.failed(self, opened.kind, opened.what)
            return
        self._camera, self._size, rate_hz = opened
        self._lease = self._owner.opened(self, self._size, rate_hz)
        self.stage = "closing" if self._lease is None else "reading"

    def _read(self) -> None:
        camera, lease = self._camera, self._lease
        assert camera is not None
        assert lease is not None
        info = _guarded(camera.read_into, lease.pixels)
        if isinstance(info, CallFailure):
            if not info.corrupt:
                self._fail(info.kind, info.what)
            elif not self._owner.rejected(self, info.what, None, info.sequence):
                self.stage = "closing"
        elif info is None:
            self.stage = "closing"
            self._owner.ended(self)
        else:
            self._judge(lease, info)

    def _judge(self, lease: Lease, info: FrameInfo) -> None:
        """Check a frame, and hand it over or reject it."""
        size = _guarded(_size_of, self._camera)
        if isinstance(size, CallFailure):
            self._fail(None, size.what, info)
        elif size != self._size:
            was = f"{self._size[0]}x{self._size[1]}"
            self._fail("resized", f"frames are {size[0]}x{size[1]} px, and were {was} px", info)
        elif not math.isfinite(info.timestamp_s):
            self._reject(f"frame {info.sequence} has no time", info)
        elif self._reject_constant and is_constant(lease.pixels):
            self._reject(f"frame {info.sequence} is one colour throughout", info)
        else:
            following = self._owner.deliver(self, lease, info)
            if following is None:
                self.stage = (
                    "closing"  # the frame was not taken over: its lease is given back with the camera
                )
            else:
                self._lease = following

    def _reject(self, what: str, info: FrameInfo) -> None:
        if not self._owner.rejected(self, what, info, info.sequence):
            self.stage = "closing"

    def _fail(self, kind: FaultKind | None, what: str, info: FrameInfo | None = None) -> None:
        self.stage = "closing"
        self._owner.failed(self, kind, what, info)

    def _close(self) -> None:
        camera = self._camera
        if camera is not None:
            _guarded(camera.close)
        self.stage = "done"
        lease, self._lease = self._lease, None
        self._owner.finished(self, lease)


def is_constant(pixels: NDArray[np.uint8]) -> bool:
    """Tell whether a frame, u8[H, W, 3], has one value a channel throughout, as a source that lost its signal gives.

    The red of the first pixel and the last decides nearly always, else a few hundred pixels; only where all agree is
    the whole frame looked at.
    """
    if pixels.item(0) != pixels.item(-3):
        return False
    height, width = pixels.shape[:2]
    probes = pixels[:: -(-height // _PROBES_PER_SIDE), :: -(-width // _PROBES_PER_SIDE)]
    return _is_flat(probes) and _is_flat(pixels)


def _is_flat(pixels: NDArray[np.uint8]) -> bool:
    return all(pixels[..., c].min() == pixels[..., c].max() for c in range(pixels.shape[2]))


def _size_of(camera: Camera | None) -> tuple[int, int]:
    assert camera is not None
    return camera.width_px, camera.height_px


def _measured(camera: Camera) -> tuple[Camera, tuple[int, int], float]:
    rate_hz = camera.nominal_rate_hz
    if not (math.isfinite(rate_hz) and rate_hz > 0):
        camera.close()
        raise ValueError(f"the camera states a rate of {rate_hz} Hz, which must be finite and above 0")
    return camera, _size_of(camera), rate_hz


def _guarded(call: Callable[..., T], *arguments: object) -> T | CallFailure:
    """Make a call to the camera; an exception becomes a CallFailure."""
    try:
        return call(*arguments)
    except CorruptFrameFault as fault:
        return CallFailure(str(fault), corrupt=True, sequence=fault.sequence)
    except FrozenCameraFault as fault:
        return CallFailure(str(fault), kind="frozen")
    except CameraFault as fault:
        return CallFailure(str(fault), kind="refused" if fault.misconfigured else None)
    except Fault as fault:
        return CallFailure(str(fault))
    except Exception as error:
        # The one broad except: drivers and their bindings raise any exception, and monitoring must go on when they
        # do. It is counted, reported, and answered by opening the camera again.
        return CallFailure(f"{type(error).__name__}: {error}")
