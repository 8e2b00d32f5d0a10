"""The command ``tremorscope magnify``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tremorscope.commands.options import (
    bundle_option,
    clip_argument,
    engines_option,
    stabilise_option,
    threads_option,
)

if TYPE_CHECKING:
    from tremorscope.runtime.jobs.sweep import SweepBands
    from tremorscope.runtime.magnification.filters import FilterKind


def _amplification(_: click.Context, __: click.Parameter, text: str | None) -> float | str | None:
    """The number, ``auto``, or None where none is given.

    Raises:
        click.BadParameter: it is neither.
    """
    try:
        return text if text in ("auto", None) else float(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no number and not auto, e.g. 20") from None


@click.command()
@clip_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="What to write: .mp4, .mkv (both H.264), .webm (VP9) or .gif; a folder, or frames/%04d.png, for PNG pictures.",
)
@click.option(
    "-a",
    "--amplification",
    metavar="NUMBER|auto",
    callback=_amplification,
    help="Magnified over true displacement, e.g. 20; the bundle states the most. Below 1 motion is attenuated, and 0 "
    "freezes it. auto measures the clip first and shows its largest steady motion as about 8 px.",
)
@click.option(
    "--mode",
    type=click.Choice(["static", "dynamic", "band"]),
    default="static",
    show_default=True,
    help="Which motion: since the first frame (displacement), since the frame before (velocity), or that of the "
    "frequencies in --band.",
)
@click.option(
    "--band",
    "bands_hz",
    type=float,
    nargs=2,
    multiple=True,
    metavar="LOW HIGH",
    help="Band mode: magnify motion of these frequencies in Hz; may be given twice.",
)
@click.option(
    "--filter",
    "filter_kind",
    type=click.Choice(["butterworth", "iir", "fir"]),
    default="butterworth",
    show_default=True,
    help="Band mode: butterworth is sharp; iir, two first-order low-passes, is soft and settles soonest; fir "
    "forgets what is older than its taps.",
)
@click.option(
    "--order",
    type=int,
    metavar="N",
    help="Band mode: 1 to 4 for butterworth; taps less one for fir.  [default: 2; fits the band]",
)
@click.option(
    "--notch",
    "notches_hz",
    type=float,
    multiple=True,
    metavar="HZ",
    help="Band mode: leave this frequency out; may be given several times.",
)
@click.option(
    "--sweep",
    type=click.Choice(["peaks", "log"]),
    is_flag=False,
    flag_value="peaks",
    help="Magnify nothing, but draw one PNG with a cell a band, in which one sees where something moves, and how far: "
    "bands around the measured frequencies (peaks, which the option alone means), or evenly spaced (log).",
)
@click.option(
    "--roi",
    "regions_px",
    type=int,
    nargs=4,
    multiple=True,
    metavar="X Y W H",
    help="Magnify only this region, in pixels; may be given several times.",
)
@click.option(
    "--feather",
    "feather_px",
    type=float,
    default=16.0,
    show_default=True,
    metavar="PX",
    help="Width of the soft seam around regions.",
)
@click.option(
    "--max-displacement",
    "max_displacement_px",
    type=float,
    metavar="PX",
    help="The most that magnification adds to any displacement.  [default: no limit]",
)
@click.option(
    "--refresh",
    "refresh_s",
    type=float,
    metavar="SECONDS",
    help="Static mode: let the reference follow the scene in so many seconds.  [default: keep the first frame]",
)
@click.option(
    "--view",
    type=click.Choice(["magnified", "split", "difference"]),
    default="magnified",
    show_default=True,
    help="What is shown: the magnified frame; left half as filmed beside right half magnified; "
    "or 128 + (magnified - frame) / 2.",
)
@click.option(
    "--capture-fps",
    "capture_rate_hz",
    type=float,
    metavar="HZ",
    help="True rate of a high-speed clip, where the file states only that of playback. The video keeps the "
    "playback timing; duration and frequencies are reported for the true rate.",
)
@stabilise_option
@bundle_option
@click.option(
    "--runtime",
    type=click.Choice(["auto", "onnxruntime", "tensorrt"]),
    default="auto",
    show_default=True,
    help="What computes: TensorRT takes engines that `tremorscope build` made, and a GPU; auto takes it if it can.",
)
@engines_option
@threads_option
@click.option(
    "--allow-inaccurate",
    is_flag=True,
    help="Run a bundle that `tremorscope compare` found to lose too much.",
)
@click.option("--overwrite", is_flag=True, help="Replace the video if it exists.")
def magnify(
    bands_hz: tuple[tuple[float, float], ...],
    filter_kind: FilterKind,
    order: int | None,
    notches_hz: tuple[float, ...],
    regions_px: tuple[tuple[int, int, int, int], ...],
    amplification: float | str | None,
    sweep: SweepBands | None,
    **options: Any,
) -> None:
    """Magnify the motion in CLIP into a video, or into pictures.

    CLIP is a video, a file of raw frames (.cine, .cihx, .tif, .npy ...), pictures (a folder, or 'frames/*.png'), or -
    for a video on standard input.
    """
    from tremorscope.runtime.host.progress import progress_bar
    from tremorscope.runtime.host.signals import orderly_stop
    from tremorscope.runtime.jobs.magnify import MagnifyJob, magnify_clip
    from tremorscope.runtime.magnification.filters import BandSettings
    from tremorscope.runtime.vibration.displacement.regions import Region

    if sweep is not None:
        _sweep(sweep, click.get_current_context(), options)
        return
    if amplification is None:
        raise click.MissingParameter(
            param_hint="'-a' / '--amplification'", param_type="option", ctx=click.get_current_context()
        )
    if (order is not None or notches_hz) and not bands_hz:
        raise click.UsageError("--order and --notch belong to --band")
    band = BandSettings(bands_hz, filter_kind, order, notches_hz) if bands_hz else None
    job = MagnifyJob(
        1.0 if isinstance(amplification, str) else amplification,
        automatic=amplification == "auto",
        band=band,
        regions=tuple(Region(*region) for region in regions_px),
        **options,
    )
    with orderly_stop(), progress_bar("magnify") as bar:
        report = magnify_clip(job, bar, bar.note, partial(bar.line, to_stderr=True))
    for line in report.lines():
        click.echo(line)


_OF_SWEEP = ("clip", "output", "capture_rate_hz", "overwrite", "sweep")


def _sweep(bands: SweepBands, context: click.Context, options: dict[str, Any]) -> None:
    """Draw a contact sheet.

    Raises:
        click.UsageError: there are options that have no part in it.
    """
    from tremorscope.runtime.host.progress import progress_bar
    from tremorscope.runtime.host.signals import orderly_stop
    from tremorscope.runtime.jobs.piped import piped_clip
    from tremorscope.runtime.jobs.sweep import SweepJob, sweep_clip

    for name in context.params:
        given = context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if given and name not in _OF_SWEEP:
            option = next(each.opts[-1] for each in context.command.params if each.name == name)
            raise click.UsageError(f"{option} has no part in --sweep")
    output, rate_hz, overwrite = options["output"], options["capture_rate_hz"], options["overwrite"]
    with orderly_stop(), progress_bar("sweep") as bar, piped_clip(options["clip"], output) as clip:
        swept = sweep_clip(SweepJob(clip, output, bands, rate_hz, overwrite=overwrite), bar)
    for line in replace(swept, job=replace(swept.job, clip=options["clip"])).lines():
        click.echo(line)
