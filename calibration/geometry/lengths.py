"""Lengths with units, as they are typed."""

from __future__ import annotations

import math
import re

from tremorscope.runtime.errors import OptionFault, did_you_mean

MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "in": 25.4, "ft": 304.8}
_LENGTH = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\d\s]*)\s*")
_UNITS = "give it as 30mm, 3cm, 0.03m, 1.2in or 1ft"


def millimetres(text: str, *, least: float = -math.inf) -> float:
    """Millimetres of a length with its unit, such as ``29.7mm``; it must be above ``least``.

    Raises:
        OptionFault: it is no number, has no unit, or one that does not exist.

    >>> millimetres('29.7mm'), millimetres('4 m'), millimetres('1in')
    (29.7, 4000.0, 25.4)
    >>> millimetres('4')
    Traceback (most recent call last):
        ...
    tremorscope.runtime.errors.OptionFault: '4' has no unit: give it as 30mm, 3cm, 0.03m, 1.2in or 1ft
    """
    found = _LENGTH.fullmatch(text)
    if not found:
        raise OptionFault(f"{text!r} is no length", remedy=_UNITS)
    number, unit = found.groups()
    if not unit:
        raise OptionFault(f"{text!r} has no unit", remedy=_UNITS)
    if unit not in MM:
        remedy = f"{did_you_mean(unit.lower(), MM, 0.5)} {_UNITS}".lstrip()
        raise OptionFault(f"{text!r}: there is no unit {unit!r} here", remedy=remedy)
    value = float(number) * MM[unit]
    if not (math.isfinite(value) and value > least):
        raise OptionFault(f"{text!r} is not above {least:g} mm", remedy=_UNITS)
    return value
