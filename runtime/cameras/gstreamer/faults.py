"""What GStreamer's errors mean to a person: one line that says what is wrong and what to do."""

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
undecodable: its stream cannot be decoded. no daemon: what stands between the camera and everybody does not answer.
ended: it gave no error, but no more frames either."""
MISCONFIGURED: frozenset[Cause] = frozenset({"not negotiable", "no such camera", "no such mode", "too fast"})
"""What only another configuration mends."""

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
# What the system says beside the code tells more than the code.
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
    """An error as GStreamer tells it."""

    domain: str
    code: int
    message: str
    debug: str = ""


@dataclass(frozen=True)
class Heard:
    """What a driver printed instead of telling it to GStreamer."""

    cause: Cause | None = None
    """What kind of fault that is; None where it does not tell."""
    quote: str = ""
    """The line itself."""
    offers: str = ""
    """What the camera can do."""


NOTHING_HEARD = Heard()


@dataclass(frozen=True)
class Advice:
    """What to do about one camera's faults, where that is known better than in general."""

    camera: str
    """The camera for a person, as `runtime.cameras.opening.describe` names it."""
    remedies: MappingProxyType[Cause, str] = field(default_factory=lambda: MappingProxyType({}))
    heard: Callable[[], Heard] = field(default=lambda: NOTHING_HEARD, compare=False)
    """What its driver printed; asked when a fault is told."""


def cause_of(error: GStreamerError) -> Cause:
    """What kind of error this is."""
    for pattern, cause in _SAID:
        if re.search(pattern, f"{error.message} {error.debug}"):
            return cause
    return _DOMAINS.get(error.domain, {}).get(error.code, "broken")


def fault_of(error: GStreamerError, advice: Advice, offers: str = "") -> GStreamerFault:
    """The fault for a person; ``offers`` says what the camera can do, where that is known."""
    cause = cause_of(error)
    said = _one_line(error.message)
    reason = _reason_in(error.debug)
    if reason and reason not in said:
        said = f"{said} {reason}"
    return fault(cause, advice, said, offers)


def fault(cause: Cause, advice: Advice, said: str = "", offers: str = "") -> GStreamerFault:
    """A fault of one camera; what its driver printed says more than the code that GStreamer got."""
    heard = advice.heard()
    cause = heard.cause or cause
    offers = offers if cause == "not negotiable" else heard.offers
    remedy = advice.remedies.get(cause, _GENERAL[cause])
    if cause in MISCONFIGURED and offers:
        remedy = f"{remedy}; it offers {offers}"
    if heard.quote:
        said = f"{said.rstrip('.')}; " * bool(said) + f'its driver says "{heard.quote}"'
    what = f"{advice.camera} {_TEXTS[cause]}" + (f" ({said.rstrip('.')})" if said else "")
    return GStreamerFault(what, remedy=remedy, cause=cause)


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _reason_in(debug: str) -> str:
    """The last line of GStreamer's debug text: what the system said, without file names and functions."""
    lines = [line.strip() for line in debug.splitlines() if line.strip()]
    if len(lines) < 2:
        return ""
    return _one_line(re.sub(r"^system error: ", "", lines[-1]))[:160]
