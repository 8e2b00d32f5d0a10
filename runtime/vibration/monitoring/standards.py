"""Standards of vibration as limits: numbers alone. docs/standards.md tells how far each was checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args

from tremorscope.runtime.errors import OptionFault, did_you_mean
from tremorscope.runtime.vibration.monitoring.limits import Axes, Criterion, Statistic
from tremorscope.runtime.vibration.spectra.derivatives import ORDERS

BOUNDARIES = ("A/B", "B/C", "C/D")
"""Boundaries of the zones of ISO 20816-3, of which one is the limit."""
_SLOW_RPM = 600.0

_DIN = "DIN 4150-3:2016-12, 5.1.1, table 1, line"
_DIN_LINES: dict[str, tuple[int, tuple[float, float, float, float], float]] = {
    "industrial": (1, (20, 20, 40, 50), 40),
    "residential": (2, (5, 5, 15, 20), 15),
    "sensitive": (3, (3, 3, 8, 10), 8),
}
"""Line; limits in mm/s at the foundation at 1, 10, 50 and 100 Hz; limit of the topmost floor, horizontal."""
_DIN_HZ = (1.0, 10.0, 50.0, 100.0)
_DIN_REMARK = "short-term vibration; a camera sees two of the three directions"

_ISO = "ISO 20816-3:2022, table A."
_ISO_ZONES: dict[str, tuple[int, tuple[float, float, float]]] = {
    "group-1-rigid": (1, (2.3, 4.5, 7.1)),
    "group-1-flexible": (1, (3.5, 7.1, 11.0)),
    "group-2-rigid": (2, (1.4, 2.8, 4.5)),
    "group-2-flexible": (2, (2.3, 4.5, 7.1)),
}
"""Number of the table, and boundaries of zones in mm/s RMS."""
_ISO_REMARK = "steady running, on bearing housings; the standard's limits of displacement are not judged"

_EN = "EN 1990:2002/A1:2005, A2.4.3.2"
_EN_DECK: dict[str, tuple[float, float, Axes]] = {
    "vertical": (0.7, 5.0, ("y",)),
    "horizontal": (0.2, 2.5, ("x",)),
    "horizontal-crowd": (0.4, 2.5, ("x",)),
}
"""Limit in m/s2, highest natural frequency that has to be verified, and direction in the picture."""
_EN_REMARK = "recommended values: a national annex may set others"

STANDARDS: dict[str, tuple[str, ...]] = {
    "din-4150-3": tuple(f"{line}{place}" for place in ("", "-top-floor") for line in _DIN_LINES),
    "iso-20816-3": tuple(_ISO_ZONES),
    "en-1990-footbridge": tuple(_EN_DECK),
}
"""Classes of each standard."""


def criterion_of(
    standard: str, of_class: str, boundary: str | None = None, speed_rpm: float | None = None
) -> Criterion:
    """The limit that a standard sets for a class.

    Args:
        standard: a key of `STANDARDS`.
        of_class: one of its classes.
        boundary: of ISO 20816-3, the boundary of zones that is the limit; None takes B/C.
        speed_rpm: of ISO 20816-3, the machine's speed: below 600 the band begins at 2 Hz, else at 10 Hz.

    Raises:
        OptionFault: there is no such standard, class or boundary; the nearest is named.

    >>> house = criterion_of('din-4150-3', 'residential')
    >>> house.name(), house.unit, house.band_hz
    ('peak velocity', 'mm/s', (1.0, 100.0))
    >>> house.limit_at(5.0), house.limit_at(50.0), house.limit_at(100.0)
    (5.0, 15.0, 20.0)
    >>> pump = criterion_of('iso-20816-3', 'group-2-rigid', boundary='C/D', speed_rpm=450)
    >>> pump.name(), pump.band_hz, pump.lowest
    ('RMS velocity', (2.0, 1000.0), 4.5)
    """
    _known("standard", standard, STANDARDS)
    _known(f"{standard} class", of_class, STANDARDS[standard])
    if boundary is not None and standard != "iso-20816-3":
        raise OptionFault(f"{standard} has no boundary of zones", remedy=f"leave {boundary} out")
    if standard == "din-4150-3":
        return _din(of_class)
    if standard == "en-1990-footbridge":
        limit, highest_hz, axes = _EN_DECK[of_class]
        points = ((0.0, limit), (highest_hz, limit))
        return Criterion(
            "acceleration", "peak", "m/s2", points, axes, f"{_EN}, {of_class.replace('-', ', ')}", _EN_REMARK
        )
    boundary = boundary or "B/C"
    _known("boundary", boundary, BOUNDARIES)
    table, zones = _ISO_ZONES[of_class]
    limit = zones[BOUNDARIES.index(boundary)]
    low_hz = 2.0 if speed_rpm is not None and speed_rpm < _SLOW_RPM else 10.0
    return Criterion(
        "velocity",
        "rms",
        "mm/s",
        ((low_hz, limit), (1000.0, limit)),
        source=f"{_ISO}{table}, {of_class}, boundary {boundary}",
        remark=_ISO_REMARK,
        zones=zones,
    )


def stated_criteria(
    standard: str | None = None,
    of_class: str | None = None,
    boundary: str | None = None,
    limits: tuple[str, str, str, str | Sequence[Sequence[float]]] | None = None,
    speed_rpm: float | None = None,
) -> tuple[Criterion, ...]:
    """Limits as they are stated for a clip: of a standard and its class, and of a curve of one's own.

    Args:
        standard: see `criterion_of`; None for none.
        of_class: of the standard.
        boundary: see `criterion_of`.
        limits: quantity, statistic, unit, and the points: pairs (Hz, limit), or text such as ``2:4.5 50:7.1``.
        speed_rpm: of ISO 20816-3.

    Raises:
        OptionFault: something does not exist or does not belong together.

    >>> (curve,) = stated_criteria(limits=('velocity', 'rms', 'mm/s', '2:4.5 50:7.1'))
    >>> curve.points
    ((2.0, 4.5), (50.0, 7.1))
    >>> curve.limit_at(26.0), curve.limit_at(1.0)
    (5.8, 4.5)
    """
    found: list[Criterion] = []
    if standard is None and (of_class is not None or boundary is not None):
        raise OptionFault(
            "--class and --boundary belong to a standard", remedy=f"add --standard {next(iter(STANDARDS))}"
        )
    if standard is not None:
        _known("standard", standard, STANDARDS)
        if of_class is None:
            raise OptionFault(
                f"--standard {standard} needs a class",
                remedy=f"add --class, {' or '.join(STANDARDS[standard])}",
            )
        found.append(criterion_of(standard, of_class, boundary, speed_rpm))
    if limits is not None:
        quantity, statistic, unit, points = limits
        _known("quantity", quantity, ORDERS)
        _known("statistic", statistic, get_args(Statistic))
        curve = Criterion(quantity, statistic, unit, _points(points))  # type: ignore[arg-type]
        curve.check()
        found.append(curve)
    return tuple(found)


def _points(given: str | Sequence[Sequence[float]]) -> tuple[tuple[float, float], ...]:
    """Points of a curve; in text a frequency and its limit are joined by a colon."""
    parts = [each.split(":") for each in given.replace(",", " ").split()] if isinstance(given, str) else given
    try:
        return tuple((float(hz), float(limit)) for hz, limit in parts)
    except (TypeError, ValueError):
        raise OptionFault(
            f"the limits {given} have a gap, or are no numbers",
            remedy="give each frequency its limit, such as 2:4.5 50:7.1",
        ) from None


def _din(of_class: str) -> Criterion:
    name = of_class.removesuffix("-top-floor")
    line, foundation, top_floor = _DIN_LINES[name]
    if name == of_class:
        points = tuple(zip(_DIN_HZ, foundation, strict=True))
        return Criterion(
            "velocity", "peak", "mm/s", points, source=f"{_DIN} {line}, foundation", remark=_DIN_REMARK
        )
    flat = ((_DIN_HZ[0], float(top_floor)), (_DIN_HZ[-1], float(top_floor)))
    source = f"{_DIN} {line}, topmost floor, horizontal"
    return Criterion("velocity", "peak", "mm/s", flat, ("x",), source, _DIN_REMARK)


def _known(what: str, name: str, names: Iterable[str]) -> None:
    known = list(names)
    if name in known:
        return
    near = did_you_mean(name.lower().replace(" ", "-").replace("_", "-"), known, 0.4)
    listed = ", ".join(known)
    raise OptionFault(
        f"there is no {what} {name}", remedy=f"{near} There are {listed}" if near else f"choose {listed}"
    )
