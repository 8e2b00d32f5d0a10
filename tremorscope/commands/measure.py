"""The command ``tremorscope measure``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


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
@click.option(
    "--scale",
    metavar="MM_PER_PX|FILE",
    help="Millimetres on the structure for a pixel, or a file of `calibrate scale`.",
)
@click.option("--lens", type=click.Path(path_type=Path), metavar="FILE", help="File of `calibrate lens`.")
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
    from tremorscope.runtime.vibration.displacement.geometry import read_lens, scale_or_plane
    from tremorscope.runtime.vibration.displacement.regions import Region

    lens = read_lens(options.pop("lens")) if options["lens"] else options.pop("lens")
    scale = scale_or_plane(options.pop("scale"), options.pop("scale_length"), options.pop("scale_optics"))
    regions, still = (tuple(Region(*each) for each in options.pop(name)) for name in ("regions", "still"))
    job = MeasureJob(regions=regions, still=still, scale=scale, lens=lens, **options)
    with orderly_stop(), progress_bar("measure") as progress:
        measurement = measure_clip(job, progress)
    for line in [*measurement.lines(), "", f"written     {', '.join(measurement.files)} in {job.directory}"]:
        click.echo(line)
