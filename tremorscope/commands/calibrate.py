"""The commands below ``tremorscope calibrate``: capture, draw, show, quantise."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tremorscope.commands.options import FiniteRange, frame_size

if TYPE_CHECKING:
    from tremorscope.runtime.engines.interface.manifest import FrameSize


_set_directory = click.option(
    "-o",
    "--output",
    "directory",
    type=click.Path(path_type=Path),
    required=True,
    metavar="SET",
    help="Directory of the set; one that was begun is resumed.",
)


@click.group()
def calibrate() -> None:
    """Gather the frames that INT8 scales are computed from, look at them, and quantise with them."""


@calibrate.command()
@click.option(
    "--camera",
    "source",
    type=click.Path(path_type=Path),
    metavar="SETTINGS|CLIP",
    help="A camera's settings (.yaml: a configuration, or its camera section alone), or a recorded clip.",
)
@_set_directory
@click.option(
    "--count", type=click.IntRange(min=32), metavar="N", help="Pairs to keep, at least 32.  [default: 256]"
)
@click.option(
    "--over", metavar="TIME", help="How long to go on, such as '7 days' or '12 h'.  [default: 1 day]"
)
@click.option(
    "--schedule",
    metavar="HOURS",
    help="Parts of the day to use, in local time, such as '5-9, 12-13, 17-21'.  [default: all]",
)
@click.option(
    "--size",
    type=frame_size,
    metavar="WxH",
    help="Keep cuts of this size, from all over the picture.  [default: the whole picture]",
)
@click.option(
    "--distance",
    "distances_s",
    type=FiniteRange(min=0, min_open=True),
    multiple=True,
    metavar="SECONDS",
    help="Age of the reference in static pairs; repeated.  [default: 1, 30]",
)
@click.option("--due", "due_only", is_flag=True, help="Take what is due now and end: for a timer.")
@click.option("--finish", is_flag=True, help="Close the set with what it holds.")
@click.option(
    "--reserve",
    "reserve_gb",
    type=FiniteRange(min=0),
    default=2.0,
    show_default=True,
    metavar="GB",
    help="Free space that is left alone.",
)
def capture(reserve_gb: float, **options: Any) -> None:
    """Gather frame pairs from a camera or a clip into a set; resumes after any interruption."""
    from tremorscope.calibration.capture.job import CaptureJob
    from tremorscope.calibration.capture.job import capture as run
    from tremorscope.runtime.host.progress import progress_bar
    from tremorscope.runtime.host.signals import orderly_stop

    job = CaptureJob(reserve_bytes=round(reserve_gb * 1e9), **options)
    with orderly_stop(), progress_bar("capture", "visits") as bar:
        # On a terminal the bar shows it; a log gets a line for each pair.
        say = bar.note if sys.stderr.isatty() else lambda text: click.echo(text, err=True)
        report = run(job, bar, say)
    for line in report.lines():
        click.echo(line)


@calibrate.command()
@click.option("--size", type=frame_size, metavar="WxH", required=True, help="Size of the frames.")
@click.option("--count", type=click.IntRange(min=32), default=256, show_default=True, help="Pairs to draw.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same gives the same set."
)
@_set_directory
def draw(size: FrameSize, count: int, seed: int, directory: Path) -> None:
    """Draw a set of frame pairs, where there is no camera yet."""
    from tremorscope.calibration.pairs.draw_set import draw_set
    from tremorscope.runtime.host.progress import progress_bar
    from tremorscope.runtime.host.signals import orderly_stop

    with orderly_stop(), progress_bar("draw", "pairs") as bar:
        manifest = draw_set(directory, size, count, seed, bar)
    click.echo(f"{manifest.count} pairs of {size.width_px}x{size.height_px} px: {directory}")
    click.echo(f"sha256 {manifest.sha256}")


@calibrate.command()
@click.argument("directory", metavar="SET", type=click.Path(path_type=Path))
@click.option(
    "--sheet", type=click.Path(path_type=Path), metavar="PNG", help="Draw frames and histograms, too."
)
@click.option("--verify", is_flag=True, help="Check every file against its hash, as calibrating would.")
def show(directory: Path, sheet: Path | None, verify: bool) -> None:
    """Summarise SET: number of pairs, times, brightness, change between frame and reference."""
    from tremorscope.calibration.pairs.calibration_set import CalibrationSet, read_manifest
    from tremorscope.calibration.pairs.show import describe, draw_sheet

    manifest = CalibrationSet.open(directory).manifest if verify else read_manifest(directory)
    for line in describe(manifest):
        click.echo(line)
    if verify:
        click.echo("every file is as it was sealed")
    if sheet is not None and manifest.pairs:
        draw_sheet(directory, manifest, sheet)
        click.echo(f"sheet: {sheet}")


@calibrate.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    metavar="SET",
    help="The set to measure ranges on.  [default: drawn pairs]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="BUNDLE8",
    help="INT8 bundle to write; after an interruption the same command resumes.",
)
@click.option(
    "--method",
    type=click.Choice(["mse", "entropy", "percentile", "minmax"]),
    default="mse",
    show_default=True,
    help="Choice of ranges; mse: least mean square error of rounding and clipping.",
)
@click.option(
    "--keep-fp16",
    "keep",
    multiple=True,
    metavar="LAYER",
    help="Leave a layer of the decoder in floating point; repeatable.",
)
@click.option(
    "--unquantised",
    type=click.Choice(["fp32", "fp16"]),
    default="fp32",
    show_default=True,
    help="Type of all that is not INT8. fp16: for TensorRT 10 and later (opset 19).",
)
@click.option(
    "--fused-sums",
    is_flag=True,
    help="Put the residual stream into INT8, too: less memory traffic in TensorRT, more noise.",
)
@click.option(
    "--amplification",
    type=(float, float),
    metavar="MIN MAX",
    help="The range that will be used.  [default: the network's]",
)
@click.option("--overwrite", is_flag=True, help="Replace the bundle if it exists.")
@click.option("--restart", is_flag=True, help="Throw away what an interrupted run has left.")
def quantise(amplification: tuple[float, float] | None, keep: tuple[str, ...], **options: Any) -> None:
    """Measure the ranges of BUNDLE, which is in FP32, and write it in INT8."""
    from tremorscope.calibration.quantise.quantise import QuantiseJob, deployed_range
    from tremorscope.calibration.quantise.quantise import quantise as run
    from tremorscope.runtime.host.progress import progress_bar
    from tremorscope.runtime.host.signals import orderly_stop

    job = QuantiseJob(**options, keep=keep, amplification=deployed_range(amplification))
    with orderly_stop(), progress_bar("calibrate", "pairs") as bar:
        report = run(job, bar)
    for line in report.lines():
        click.echo(line)
    click.echo(f"bundle: {job.output}")
