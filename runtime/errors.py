"""Faults that the runtime reports. Each says in one line what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class Fault(Exception):
    """Fault in the input or the surroundings, not in the program, with a ``remedy``.

    >>> from tremorscope.runtime.errors import OptionFault
    >>> fault = OptionFault('--band 14: above 12.5 Hz', remedy='film faster')
    >>> print(fault)
    --band 14: above 12.5 Hz: film faster
    >>> fault.what, fault.remedy
    ('--band 14: above 12.5 Hz', 'film faster')
    """

    def __init__(self, what: str, *, remedy: str) -> None:
        self.what = what
        self.remedy = remedy
        super().__init__(f"{what}: {remedy}" if remedy else what)


class ClipFault(Fault):
    """A recorded clip cannot be read, or holds nothing to magnify."""


class CameraFault(Fault):
    """A camera cannot be opened, or gives no more frames until it is opened again."""

    misconfigured = False
    """True where the configuration asks for a feature that the camera lacks: only another configuration helps."""


class FrozenCameraFault(CameraFault):
    """A camera gave no frame for too long; it is to be opened again."""


class CorruptFrameFault(CameraFault):
    """One frame came damaged, e.g. short; the camera can be read on. ``sequence`` is its number, where known."""

    def __init__(self, what: str, *, remedy: str, sequence: int | None = None) -> None:
        super().__init__(what, remedy=remedy)
        self.sequence = sequence


class OutputFault(Fault):
    """A result cannot be written."""


class BundleFault(Fault):
    """A bundle is missing, damaged, or not made for this use."""


class EngineFault(Fault):
    """An engine cannot be built or loaded, or cannot carry out a step."""


class OptionFault(Fault):
    """An option has a value that cannot be used."""


def did_you_mean(given: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Question for the known name that is nearest to a misspelt one; empty where none is near.

    Args:
        given: the name.
        known: the names that there are.
        cutoff: least likeness, from 0 to 1; see `difflib.get_close_matches`.

    >>> did_you_mean('amplifcation', ['amplification', 'band'])
    'did you mean amplification?'
    >>> did_you_mean('colour', ['amplification', 'band'])
    ''
    """
    near = difflib.get_close_matches(given, list(known), 1, cutoff)
    return f"did you mean {near[0]}?" if near else ""
