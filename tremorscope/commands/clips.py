"""Subcommands for recorded clips. Only click is imported here; each command imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tremorscope.commands.options import bundle_option, engines_option, threads_option

if TYPE_CHECKING:
    from tremorscope.runtime.magnification.filters import FilterKind


@click.command()
@click.argument("clip", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Video to write, in MP4."
)
@click.option(
    "-a",
    "--amplification",
    type=float,
    required=True,
    help="Magnified over true displacement, e.g. 20; the bundle states the range.",
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
    **options: Any,
) -> None:
    """Magnify the motion in CLIP, any video that FFmpeg reads, into an MP4 that browsers play."""
    from tremorscope.runtime.host.interruption import orderly_stop
    from tremorscope.runtime.host.progress import progress_bar
    from tremorscope.runtime.jobs.magnify import MagnifyJob, magnify_clip
    from tremorscope.runtime.magnification.filters import BandSettings
    from tremorscope.runtime.vibration.displacement.regions import Region

    if (order is not None or notches_hz) and not bands_hz:
        raise click.UsageError("--order and --notch belong to --band")
    band = BandSettings(bands_hz, filter_kind, order, notches_hz) if bands_hz else None
    job = MagnifyJob(band=band, regions=tuple(Region(*region) for region in regions_px), **options)
    with orderly_stop(), progress_bar("magnify") as bar:
        report = magnify_clip(job, bar, bar.note)
    for line in report.lines():
        click.echo(line)


@click.command()
@click.option(
    "-o",
    "--output",
    "directory",
    type=click.Path(path_type=Path),
    default=Path("out/demo"),
    show_default=True,
    help="Directory for the videos and the picture; files of an earlier run are replaced.",
)
@click.option(
    "-a",
    "--amplification",
    type=float,
    default=40.0,
    show_default=True,
    help="Magnified over true displacement.",
)
@click.option("--seconds", type=float, default=6.0, show_default=True, help="Length of the film.")
@bundle_option
@threads_option
def demo(**options: Any) -> None:
    """Draw a footbridge that vibrates by less than 0.2 px, magnify it, and measure both against the truth."""
    from tremorscope.runtime.host.interruption import orderly_stop
    from tremorscope.runtime.host.progress import progress_bar
    from tremorscope.runtime.jobs.demo import DemoJob, run_demo

    with orderly_stop(), progress_bar("demo") as progress:
        report = run_demo(DemoJob(**options), progress)
    for line in report.lines():
        click.echo(line)


@click.command()
@click.argument("clip", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    "directory",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Directory to leave displacement.csv, displacement.uff, spectrum.png, overlay.png, report.html and "
    "summary.json in.",
)
@click.option(
    "--roi",
    "regions",
    type=int,
    nargs=4,
    multiple=True,
    metavar="X Y W H",
    help="Region to measure, in pixels from the top left; may be repeated.  [default: regions are proposed]",
)
@click.option(
    "--still",
    type=int,
    nargs=4,
    multiple=True,
    metavar="X Y W H",
    help="Region of what cannot move: its motion is the camera's, and is subtracted; may be repeated.",
)
@click.option(
    "--proposals",
    type=click.IntRange(min=1, max=64),
    default=8,
    show_default=True,
    help="How many regions are proposed where none is named.",
)
@click.option(
    "--capture-fps",
    "capture_rate_hz",
    type=float,
    metavar="HZ",
    help="True rate of a high-speed clip, where the file states only that of playback.",
)
@click.option("--scale", type=float, metavar="MM_PER_PX", help="Millimetres on the structure for a pixel.")
@click.option(
    "--scale-length",
    type=float,
    nargs=2,
    metavar="MM PX",
    help="The scale from a known length and what it measures in the picture.",
)
@click.option(
    "--scale-optics",
    type=float,
    nargs=3,
    metavar="M MM UM",
    help="The scale from distance (m), focal length (mm) and pitch of the sensor's pixels (um).",
)
@click.option(
    "--band",
    "band_hz",
    type=float,
    nargs=2,
    metavar="LOW HIGH",
    help="Report only peaks between two frequencies, in Hz.",
)
@click.option(
    "--window",
    "window_s",
    type=float,
    metavar="SECONDS",
    help="Length of the segments that the spectrum averages.  [default: one that fits the clip]",
)
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="SUMMARY",
    help="summary.json of an earlier measurement: its regions are measured and its modes compared.",
)
@click.option("--overwrite", is_flag=True, help="Replace the results of an earlier run.")
def measure(**options: Any) -> None:
    """Measure displacement, natural frequencies and mode shapes in CLIP, any video that FFmpeg reads."""
    from tremorscope.runtime.host.interruption import orderly_stop
    from tremorscope.runtime.host.progress import progress_bar
    from tremorscope.runtime.jobs.measure import MeasureJob, measure_clip
    from tremorscope.runtime.vibration.displacement.regions import Region
    from tremorscope.runtime.vibration.displacement.scale import scale_of

    scale = scale_of(options.pop("scale"), options.pop("scale_length"), options.pop("scale_optics"))
    regions, still = (tuple(Region(*each) for each in options.pop(name)) for name in ("regions", "still"))
    job = MeasureJob(regions=regions, still=still, scale=scale, **options)
    with orderly_stop(), progress_bar("measure") as progress:
        measurement = measure_clip(job, progress)
    for line in [*measurement.lines(), "", f"written     {', '.join(measurement.files)} in {job.directory}"]:
        click.echo(line)
