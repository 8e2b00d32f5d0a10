"""Types of options that click has none for, and options that several commands take."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from tremorscope.runtime.engines.interface.manifest import FrameSize

_Command = TypeVar("_Command", bound=Callable[..., object])

PROTOCOLS = ("subpixel", "subpixel-4px", "noise", "blob", "texture")
"""Names in `model.evaluation.evaluate.standard_protocols`, which the help shows without importing it."""
PROTOCOLS_ALONE = ("structures", "small-motion", "axial", "fd4mm", "geomag")
"""Names in `export.studies.evaluation_job.JUDGES`: protocols whose trials have figures of their own."""


CAMERA_MODELS = ("translation", "similarity", "homography")
"""Names of `runtime.vibration.displacement.warping.CameraModel`."""


class FiniteRange(click.FloatRange):
    """A number within bounds; click's own lets ``nan`` pass, which is on neither side of any bound."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number, if it is one.

        Raises:
            click.BadParameter: it is none, not finite, or out of bounds.
        """
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!s} is no finite number.", param, ctx)
        return number


def reference_time(_: click.Context, param: click.Parameter, text: str) -> str | float:
    """The word ``auto`` or ``first``, or a time in seconds.

    Raises:
        click.BadParameter: it is neither.
    """
    return text if text in ("auto", "first") else FiniteRange(min=0).convert(text, param, None)


def stabilise_option(command: _Command) -> _Command:
    """Add ``--stabilise``, which takes the camera's motion out."""
    return click.option(
        "--stabilise",
        type=click.Choice(CAMERA_MODELS),
        is_flag=False,
        flag_value="similarity",
        help="Take the motion of a camera that does not stand still out, by what stands still in the picture; how the "
        "camera may move: translation; similarity, with roll and zoom too, which the option alone means; homography, "
        "with tilt and pan of a near camera too. Needs OpenCV.",
    )(command)


def unix_time(option: str, text: str | None, default_s: float) -> float:
    """Unix time of a date or a moment in ISO 8601, in UTC where it names no offset.

    Raises:
        click.BadParameter: it is none.
    """
    if text is None:
        return default_s
    try:
        # Python 3.10 knows no Z.
        moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
    except ValueError:
        raise click.BadParameter(f"{option} {text} is no time, such as 2026-11-01T06:00+01:00") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def frame_size(text: str) -> FrameSize:
    """Width and height in px, from such as 1920x1080.

    Raises:
        click.BadParameter: it is none, or smaller than a network takes.
    """
    from tremorscope.runtime.engines.interface.manifest import FrameSize

    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= 16):
        raise click.BadParameter(f"{text} is no size of at least 16x16, such as 1920x1080")
    return FrameSize(width_px=int(width), height_px=int(height))


def clip_argument(command: _Command) -> _Command:
    """Add ``CLIP``, one name; several are what a shell makes of a pattern of pictures."""

    def one(_ctx: click.Context, _param: click.Parameter, given: tuple[Path, ...]) -> Path:
        if len(given) > 1:
            raise click.UsageError(
                f"{len(given)} names for one CLIP: quote a pattern, as 'frames/*.png', against the shell"
            )
        return given[0]

    return click.argument(
        "clip", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="CLIP", callback=one
    )(command)


def bundle_option(command: _Command) -> _Command:
    """Add ``--bundle``, the network to run."""
    return click.option(
        "--bundle",
        type=click.Path(path_type=Path),
        metavar="NAME|DIR",
        help="Network to run: realtime, lite, nano (for the smallest devices), each in FP16 on a GPU and in FP32 on "
        "the CPU; realtime-fp32 and -fp16 insist; or a directory that was exported.  [default: realtime]",
    )(command)


def engines_option(command: _Command) -> _Command:
    """Add ``--engines``, the directory of engines made by `tremorscope build`."""
    return click.option(
        "--engines",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Where TensorRT's engines are.  [default: engines, within the bundle]",
    )(command)


def threads_option(command: _Command) -> _Command:
    """Add ``--threads``, the number of the engine's threads on the CPU."""
    return click.option(
        "--threads",
        type=click.IntRange(min=1),
        help="Threads of the engine on the CPU.  [default: one a core]",
    )(command)
