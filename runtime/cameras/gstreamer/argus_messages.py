"""Messages of NVIDIA's Argus about a camera, which it prints instead of passing them to GStreamer.

gstnvarguscamerasrc.cpp (L4T 32 to 36) answers a missing camera, a wrong id or mode and a dead daemon with the end of
the stream; the reason goes to stdout ("GST_ARGUS:", "ARGUS_ERROR:") and stderr ("Error generated. FILE, FUNCTION:LINE
TEXT" of its Error.h, and "(Argus) Error" of libargus).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from tremorscope.runtime.cameras.gstreamer.faults import Cause, DriverMessage
from tremorscope.runtime.host.printed_lines import OutputTap

# In order: what comes first is the reason for what comes later.
_REASONS: tuple[tuple[str, Cause], ...] = (
    (
        r"Connecting to nvargus-daemon failed|[Cc]reate (a )?[Cc]amera ?[Pp]rovider|Receive thread is not running",
        "no daemon",
    ),
    (r"No cameras available", "absent"),
    (r"Invalid camera device specified", "no such camera"),
    (r"Invalid sensor mode", "no such mode"),
    (r"Frame Rate specified is greater than supported", "too fast"),
    (r"Failed to create CaptureSession|AlreadyAllocated", "busy"),
)
_PREFIX = re.compile(
    r"^(ARGUS_ERROR: )?(Error generated\. .*?, \w+ ?: ?\d+ )?(\(propagating\))?|^(GST_ARGUS|CONSUMER): "
)
_WHERE = re.compile(r" \(in src/.*\)$")
_WORDS = re.compile(
    r"GST_ARGUS:|CONSUMER:|ARGUS_ERROR:|Error generated\.|\(Argus\)|NvMap|nvbuf", re.IGNORECASE
)
_ERRORS = re.compile(r"(error|fail|invalid)(?!.*instead)", re.IGNORECASE)
_MODE = re.compile(r"(\d+) x (\d+) FR = (\d+)[.,](\d+) fps")
_CHOSEN = re.compile(r"Camera mode\s*= (\d+)")
_LONGEST = 160


@dataclass(frozen=True)
class SensorMode:
    """One mode of a sensor."""

    width_px: int
    height_px: int
    rate_hz: float
    """Highest frame rate."""

    @property
    def fastest_hz(self) -> int:
        """The fastest whole rate that the plugin lets through: it rounds the sensor's."""
        return round(self.rate_hz)

    def __str__(self) -> str:
        return f"{self.width_px}x{self.height_px} at up to {self.fastest_hz} Hz"


@dataclass(frozen=True)
class Sensor:
    """Modes of a sensor as Argus printed them when it was opened."""

    modes: tuple[SensorMode, ...] = ()
    chosen: int | None = None
    """Number of the mode that runs."""

    @property
    def mode(self) -> SensorMode | None:
        """The mode that runs; None where Argus did not print it."""
        return self.modes[self.chosen] if self.chosen is not None and self.chosen < len(self.modes) else None


class ArgusMessages:
    """Reader of what Argus prints while a camera is opened; one for the process, as there is one stdout."""

    def __init__(self) -> None:
        self._out, self._err = OutputTap(1), OutputTap(2)
        self._marks = 0, 0

    def begin(self) -> None:
        """Begin to listen, before a camera is opened: earlier lines are of another camera."""
        self._out.listen()
        self._err.listen()
        self._marks = self._out.mark(), self._err.mark()

    def opened(self) -> None:
        """Give stderr back, after opening or its failure: a process that dies prints its stack there."""
        self._err.stop()
        self._marks = self._out.mark(), self._err.mark()

    def stop(self) -> None:
        """Give both streams back."""
        self._out.stop()
        self._err.stop()

    def lines(self) -> tuple[str, ...]:
        """Lines that were printed since `begin`."""
        return (*self._err.since(self._marks[1]), *self._out.since(self._marks[0]))

    def driver_message(self) -> DriverMessage:
        """Cause of a fault as far as Argus printed one."""
        return find_cause(self.lines())

    def sensor(self) -> Sensor:
        """The sensor that was opened."""
        return read_sensor(self.lines())


@cache
def argus_messages() -> ArgusMessages:
    """The one `ArgusWords` of this process."""
    return ArgusMessages()


def find_cause(lines: Sequence[str]) -> DriverMessage:
    """The cause that some lines of output name, and the line that names it, without file names and functions."""
    relevant = [line for line in lines if _WORDS.search(line) and not _MODE.search(line)]
    offers = "; ".join(dict.fromkeys(str(mode) for mode in read_sensor(lines).modes))
    for pattern, cause in _REASONS:
        for line in relevant:
            if re.search(pattern, line):
                return DriverMessage(cause, _quote(line), offers)
    quotes = [quote for line in relevant if _ERRORS.search(line) and (quote := _quote(line))]
    return DriverMessage(None, quotes[0] if quotes else (_quote(relevant[-1]) if relevant else ""), offers)


def read_sensor(lines: Iterable[str]) -> Sensor:
    """Modes, and the one that runs, from the lines that are printed when a camera is opened."""
    modes, chosen = [], None
    for line in lines:
        if found := _MODE.search(line):
            width, height, whole, part = found.groups()
            modes.append(SensorMode(int(width), int(height), float(f"{whole}.{part}")))
        elif found := _CHOSEN.search(line):
            chosen = int(found[1])
    return Sensor(tuple(modes), chosen)


def _quote(line: str) -> str:
    return _WHERE.sub("", _PREFIX.sub("", line)).strip().rstrip(".")[:_LONGEST]
