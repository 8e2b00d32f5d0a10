"""The command ``tremorscope measure``."""

from __future__ import annotations

import math
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from tremorscope.commands.options import clip_argument, reference_time, stabilise_option


@click.command()
@clip_argument
@click.option(
    "-o",
    "--output",
    "directory",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Directory to leave displacement, velocity and acceleration (CSV and UFF), spectrum.png, orbits.png, "
    "overlay.png, modes.uff, report.html and summary.json in.",
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
@click.option(
    "--standard",
    metavar="NAME",
    help="Judge every region by a standard: din-4150-3, iso-20816-3 or en-1990-footbridge. Needs --class and a scale.",
)
@click.option("--class", "of_class", metavar="CLASS", help="Class of the standard, such as residential.")
@click.option(
    "--boundary", metavar="ZONES", help="Of iso-20816-3: A/B, B/C or C/D is the limit.  [default: B/C]"
)
@click.option(
    "--limits",
    nargs=4,
    metavar="QUANTITY STATISTIC UNIT POINTS",
    help='Judge by limits of your own, such as: velocity rms mm/s "2:4.5 50:7.1".',
)
@click.option(
    "--speed-rpm",
    type=float,
    metavar="RPM",
    help="Speed of the machine: peaks are named by its orders.",
)
@click.option(
    "--export",
    type=click.Choice(["mat", "mseed"]),
    multiple=True,
    help="Also leave the results as MATLAB's measurement.mat, or as MiniSEED by ObsPy; may be repeated.",
)
@click.option(
    "--ssi",
    is_flag=True,
    help="Also identify modes by stochastic subspaces (pyOMA2), with stabilisation.png and in the report.",
)
@click.option("--overwrite", is_flag=True, help="Replace the results of an earlier run.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Clips of a folder that are measured at once.  [default: one a core]",
)
@click.option(
    "--dask", metavar="ADDRESS", help="Spread the clips of a folder over the cluster of this Dask scheduler."
)
def measure(workers: int | None, dask: str | None, **options: Any) -> None:
    """Measure displacement, natural frequencies and mode shapes in CLIP.

    CLIP is a video (- on standard input), a file of raw frames (.cine, .cihx, .tif, .npy ...), pictures (a folder, or
    'frames/*.png'), or a folder of clips: then each is measured, and a table of all is written and printed.
    """
    from tremorscope.runtime.cameras.recordings import clips_in
    from tremorscope.runtime.errors import ClipFault
    from tremorscope.runtime.host.files import printable
    from tremorscope.runtime.host.progress import progress_bar
    from tremorscope.runtime.host.signals import orderly_stop
    from tremorscope.runtime.jobs.measure import MeasureJob, measure_clip
    from tremorscope.runtime.jobs.measure_folder import TABLE, measure_folder, over_cores
    from tremorscope.runtime.jobs.over_dask import over_dask
    from tremorscope.runtime.vibration.displacement.geometry import read_lens, scale_or_plane
    from tremorscope.runtime.vibration.displacement.regions import Region
    from tremorscope.runtime.vibration.monitoring.standards import stated_criteria

    lens = read_lens(options.pop("lens")) if options["lens"] else options.pop("lens")
    scale = scale_or_plane(options.pop("scale"), options.pop("scale_length"), options.pop("scale_optics"))
    regions, still = (tuple(Region(*each) for each in options.pop(name)) for name in ("regions", "still"))
    stated = {name: options.pop(name) for name in ("standard", "of_class", "boundary", "limits")}
    criteria = stated_criteria(**stated, speed_rpm=options["speed_rpm"])
    command = printable(shlex.join(["tremorscope", *sys.argv[1:]]))
    job = MeasureJob(
        criteria=criteria, regions=regions, still=still, scale=scale, lens=lens, command=command, **options
    )
    of_folder = job.clip.is_dir() and clips_in(job.clip)
    if (dask or workers) and not of_folder:
        raise click.UsageError(f"{'--dask' if dask else '--workers'} belongs to a folder of clips")
    if of_folder:
        with orderly_stop(), progress_bar("measure", "clips") as progress:
            spread = over_dask(dask) if dask else over_cores(workers)
            table = measure_folder(job.clip, job, spread, progress)
        for line in [*table.lines(), "", f"written     {TABLE} and a directory a clip in {job.directory}"]:
            click.echo(line)
        if table.failed:
            raise ClipFault(
                f"{table.failed} of {len(table.results)} clips could not be measured", remedy="see the table"
            )
        return
    with orderly_stop(), progress_bar("measure") as progress:
        measurement = measure_clip(job, progress)
    for line in [*measurement.lines(), "", f"written     {', '.join(measurement.files)} in {job.directory}"]:
        click.echo(line)
