"""Arguments of the Python interface: checked by their types, and every fault told in Python's own names."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from numbers import Real
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import ParamSpec, TypedDict

from tremorscope.runtime.engines.selection import RuntimeChoice
from tremorscope.runtime.errors import Fault, OptionFault, did_you_mean
from tremorscope.runtime.frames.frame import View
from tremorscope.runtime.jobs.samples import Reference
from tremorscope.runtime.magnification.filters import FilterKind
from tremorscope.runtime.magnification.magnifier import Mode
from tremorscope.runtime.reports.exports import ExportFormat
from tremorscope.runtime.vibration.displacement.warping import CameraModel

Rectangle = tuple[int, int, int, int]
"""A region of the picture: left column, top row, width and height, in pixels."""
Place = Annotated[str | Path, AfterValidator(lambda given: Path(given))]
"""A path, as text or as a ``Path``."""
Band = tuple[float, float]
"""Lower and upper edge in Hz."""

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
_PYTHON_NAMES = {
    "overwrite": "overwrite=True",
    "amplification": "amplification",
    "capture-fps": "capture_rate_hz",
    "mode band": "mode='band'",
    "band LOW HIGH": "band_hz=(low, high)",
    "band": "band_hz",
    "window": "window_s",
    "refresh": "refresh_s",
    "start": "start_s",
    "end": "end_s",
    "stabilise": "stabilise",
    "reference": "reference",
    "still": "still",
    "roi": "regions",
    "standard": "standard",
    "class": "standard_class",
    "boundary": "boundary",
    "speed-rpm": "speed_rpm",
    "bundle DIR": "bundle",
}
"""Options of the commands, as faults name them, and the arguments that they are here."""
_OPTION = re.compile(rf"--({'|'.join(sorted(_PYTHON_NAMES, key=len, reverse=True))})\b")


class MagnifyOptions(TypedDict, total=False):
    """Further arguments of `magnify`, each an option of the command ``tremorscope magnify``."""

    mode: Mode
    filter_kind: FilterKind
    order: int | None
    notches_hz: Sequence[float]
    regions: Sequence[Rectangle]
    feather_px: float
    max_displacement_px: float | None
    refresh_s: float | None
    view: View
    stabilise: CameraModel | None
    capture_rate_hz: float | None
    bundle: Place | None
    runtime: RuntimeChoice
    engines: Place | None
    threads: Annotated[int, Field(ge=1)] | None
    overwrite: bool
    allow_inaccurate: bool
    progress: bool


class MagnifyArguments(MagnifyOptions):
    """All arguments of `magnify`."""

    clip: Place
    output: Place
    amplification: float | Literal["auto"]
    band_hz: Annotated[tuple[Band, ...], BeforeValidator(lambda given: _as_bands(given))]


def _as_bands(given: Any) -> Any:
    """One band, several, or None, as a tuple of bands."""
    if given is None:
        return ()
    return (
        (given,) if isinstance(given, Sequence) and any(isinstance(edge, Real) for edge in given) else given
    )


class MeasureOptions(TypedDict, total=False):
    """Further arguments of `measure`, each an option of the command ``tremorscope measure``."""

    still: Sequence[Rectangle]
    proposals: Annotated[int, Field(ge=1, le=64)]
    capture_rate_hz: float | None
    mm_per_px: float | Place | None
    lens: Place | None
    scale_length: tuple[float, float] | None
    scale_optics: tuple[float, float, float] | None
    window_s: float | None
    band_hz: Band | None
    baseline: Place | None
    start_s: Annotated[float, Field(ge=0)]
    end_s: float
    reference: Reference
    stabilise: CameraModel | None
    standard: str | None
    standard_class: str | None
    boundary: str | None
    limits: tuple[str, str, str, Sequence[tuple[float, float]]] | None
    speed_rpm: float | None
    export: tuple[ExportFormat, ...]
    ssi: bool
    overwrite: bool
    progress: bool


class MeasureArguments(MeasureOptions):
    """All arguments of `measure`."""

    clip: Place
    directory: Place | None
    regions: Sequence[Rectangle]


class FileArguments(TypedDict):
    """The argument of what reads or writes one file."""

    path: Place


class SpanArguments(TypedDict):
    """Bounds of a span of time."""

    start: float | datetime | None
    end: float | datetime | None


class NetworkOptions(TypedDict, total=False):
    """Further arguments of `Magnifier`."""

    runtime: RuntimeChoice
    engines: Place | None
    threads: Annotated[int, Field(ge=1)] | None
    allow_inaccurate: bool


class NetworkArguments(NetworkOptions, total=False):
    """All arguments of `Magnifier`, and of a step."""

    bundle: Place | None
    amplification: float


def tell_in_python(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Let faults of a function name its arguments rather than the options of a command."""

    @functools.wraps(function)
    def told(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            return function(*args, **kwargs)
        except Fault as fault:
            fault.what, fault.remedy = _in_python(fault.what), _in_python(fault.remedy)
            fault.args = (_in_python(str(fault)),)
            raise

    return told


def _in_python(text: str) -> str:
    return _OPTION.sub(lambda found: _PYTHON_NAMES[found[1]], text)


@functools.cache
def _checker(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(with_config({"extra": "forbid"})(kind))


def checked(function: str, kind: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a public function, each of the type that a ``TypedDict`` states; numpy's numbers are numbers.

    Raises:
        OptionFault: one has another type, or does not exist.
    """
    try:
        found: dict[str, Any] = _checker(kind).validate_python(arguments)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            raise _unknown(function, kind, name) from None
        place = "".join(f"[{part}]" for part in first["loc"][1:] if isinstance(part, int))
        raise OptionFault(
            f"{function}: {name}{place}: {first['msg']}, not {_short(arguments[name])}",
            remedy=f"help(tremorscope.{function}) says what each argument is",
        ) from None
    return found


def _unknown(function: str, kind: Any, name: str) -> OptionFault:
    known = list(kind.__annotations__)
    return OptionFault(
        f"{function} has no argument {name}",
        remedy=did_you_mean(name, known) or f"choose from {', '.join(known)}",
    )


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
