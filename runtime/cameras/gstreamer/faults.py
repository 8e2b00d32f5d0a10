"""GStreamer's errors as faults: one line that says what is wrong and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from tremorscope.runtime.errors import CameraFault

Cause = Literal[
    "absent",
    "busy",
    "forbidden",
    "unauthorised",
    "not negotiable",
    "no such camera",
    "no such mode",
    "too fast",
    "undecodable",
    "no daemon",
    "ended",
    "broken",
]
"""absent: there is no such device, or nobody answers. forbidden: this process may not use it. unauthorised: the
camera wants a user and a password. not negotiable: it does not offer the size, rate or format asked for.
no such camera, no such mode, too fast: the number of a camera or of its mode, or a rate, that there is not.
undecodable: its stream cannot be decoded. no daemon: the daemon between the camera and its users does not answer.
ended: it gave no error, but no more frames either."""
MISCONFIGURED: frozenset[Cause] = frozenset({"not negotiable", "no such camera", "no such mode", "too fast"})
"""Causes that only another configuration removes."""

_RESOURCE: dict[int, Cause] = {
    3: "absent",  # not found
    4: "busy",
    5: "absent",  # open for reading
    6: "absent",  # open for writing
    7: "absent",  # open for both
    15: "unauthorised",
}
_STREAM: dict[int, Cause] = {
    3: "undecodable",  # not implemented
    4: "undecodable",  # type not found
    5: "undecodable",  # wrong type
    6: "undecodable",  # codec not found
    7: "undecodable",  # decode
    11: "not negotiable",  # format
}
_CORE: dict[int, Cause] = {7: "not negotiable", 10: "not negotiable", 12: "undecodable"}
_DOMAINS = {
    "gst-resource-error-quark": _RESOURCE,
    "gst-stream-error-quark": _STREAM,
    "gst-core-error-quark": _CORE,
}
# The system's text beside the code is more exact than the code.
_SAID: tuple[tuple[str, Cause], ...] = (
    (r"not-negotiated|Internal data flow error.*negotiat", "not negotiable"),
    (r"not-linked", "undecodable"),
    (r"Permission denied|EACCES|Operation not permitted", "forbidden"),
    (r"Device or resource busy|is busy|EBUSY|InsufficientMemory|AlreadyAllocated", "busy"),
    (r"Unauthorized|\(401\)", "unauthorised"),
    (r"No such (file|device)|No cameras available|Invalid camera device|Cannot identify device", "absent"),
)
_TEXTS: dict[Cause, str] = {
    "absent": "cannot be opened",
    "busy": "is used by another program",
    "forbidden": "may not be used by this user",
    "unauthorised": "wants another user or password",
    "not negotiable": "does not offer what is asked of it",
    "no such camera": "is not there",
    "no such mode": "has no such mode",
    "too fast": "is not so fast",
    "no daemon": "cannot be reached",
    "undecodable": "sends what cannot be decoded",
    "ended": "gives no more frames",
    "broken": "failed",
}
_GENERAL: dict[Cause, str] = {
    "absent": "check the cable, the power and the name of the camera",
    "busy": "stop the program that uses it",
    "forbidden": "give this user the right to use it",
    "unauthorised": "check the user and the password",
    "not negotiable": "choose a size and rate that the camera offers",
    "no such camera": "choose a camera that is there",
    "no such mode": "choose a mode that the camera has",
    "too fast": "choose a slower rate",
    "no daemon": "restart the camera's daemon",
    "undecodable": "choose another format in the camera",
    "ended": "check the camera's cable and its power",
    "broken": "check the camera's cable and its power, and see the journal",
}


class GStreamerFault(CameraFault):
    """A camera behind GStreamer cannot be opened or gives no more frames, for a known ``cause``."""

    def __init__(self, what: str, *, remedy: str, cause: Cause) -> None:
        super().__init__(what, remedy=remedy)
        self.cause = cause
        self.misconfigured = cause in MISCONFIGURED


@dataclass(frozen=True)
class GStreamerError:
    """An error message of GStreamer."""

    domain: str
    code: int
    message: str
    debug: str = ""


@dataclass(frozen=True)
class DriverMessage:
    """Message that a driver printed instead of passing it to GStreamer."""

    cause: Cause | None = None
    """Kind of fault; None where the message does not tell."""
    quote: str = ""
    """The line itself."""
    offers: str = ""
    """Modes that the camera offers."""


NO_MESSAGE = DriverMessage()


@dataclass(frozen=True)
class Advice:
    """Remedies for one camera's faults, where they are known better than in general."""

    camera: str
    """Name of the camera in messages, from `runtime.cameras.opening.describe`."""
    remedies: MappingProxyType[Cause, str] = field(default_factory=lambda: MappingProxyType({}))
    driver_message: Callable[[], DriverMessage] = field(default=lambda: NO_MESSAGE, compare=False)
    """Reads what the camera's driver printed; called when a fault is reported."""


def cause_of(error: GStreamerError) -> Cause:
    """Classify an error by its text, then by its domain and code."""
    for pattern, cause in _SAID:
        if re.search(pattern, f"{error.message} {error.debug}"):
            return cause
    return _DOMAINS.get(error.domain, {}).get(error.code, "broken")


def fault_of(error: GStreamerError, advice: Advice, offers: str = "") -> GStreamerFault:
    """Turn an error into a fault; ``offers`` lists the modes of the camera, where they are known."""
    cause = cause_of(error)
    said = _one_line(error.message)
    reason = _reason_in(error.debug)
    if reason and reason not in said:
        said = f"{said} {reason}"
    return fault(cause, advice, said, offers)


def fault(cause: Cause, advice: Advice, said: str = "", offers: str = "") -> GStreamerFault:
    """Fault of one camera; its driver's printed message is preferred to the code that GStreamer got."""
    message = advice.driver_message()
    cause = message.cause or cause
    offers = offers if cause == "not negotiable" else message.offers
    remedy = advice.remedies.get(cause, _GENERAL[cause])
    if cause in MISCONFIGURED and offers:
        remedy = f"{remedy}; it offers {offers}"
    if message.quote:
        said = f"{said.rstrip('.')}; " * bool(said) + f'its driver says "{message.quote}"'
    what = f"{advice.camera} {_TEXTS[cause]}" + (f" ({said.rstrip('.')})" if said else "")
    return GStreamerFault(what, remedy=remedy, cause=cause)


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _reason_in(debug: str) -> str:
    """Last line of GStreamer's debug text: the system's error, without file names and functions."""
    lines = [line.strip() for line in debug.splitlines() if line.strip()]
    if len(lines) < 2:
        return ""
    return _one_line(re.sub(r"^system error: ", "", lines[-1]))[:160]
