"""The command ``tremorscope measure``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from tremorscope.commands.options import reference_time, stabilise_option


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
@click.option(
    "--start",
    "start_s",
    type=float,
    default=0.0,
    metavar="SECONDS",
    help="Measure from here on, in the clip's time.",
)
@click.option("--end", "end_s", type=float, default=math.inf, metavar="SECONDS", help="Measure up to here.")
@click.option(
    "--reference",
    callback=reference_time,
    default="auto",
    show_default=True,
    metavar="auto|first|SECONDS",
    help="Frame that displacement is measured against; auto takes the first, or a sharp one where that is blurred.",
)
@stabilise_option
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
