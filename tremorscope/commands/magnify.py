"""The command ``tremorscope magnify``."""

from __future__ import annotations

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
    from tremorscope.runtime.magnification.filters import FilterKind


def _amplification(_: click.Context, __: click.Parameter, text: str) -> float | None:
    """The number, or None for ``auto``.

    Raises:
        click.BadParameter: it is neither.
    """
    try:
        return None if text == "auto" else float(text)
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
    required=True,
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
    amplification: float | None,
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

    if (order is not None or notches_hz) and not bands_hz:
        raise click.UsageError("--order and --notch belong to --band")
    band = BandSettings(bands_hz, filter_kind, order, notches_hz) if bands_hz else None
    job = MagnifyJob(
        1.0 if amplification is None else amplification,
        automatic=amplification is None,
        band=band,
        regions=tuple(Region(*region) for region in regions_px),
        **options,
    )
    with orderly_stop(), progress_bar("magnify") as bar:
        report = magnify_clip(job, bar, bar.note, partial(bar.line, to_stderr=True))
    for line in report.lines():
        click.echo(line)
