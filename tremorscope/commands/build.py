"""The command ``tremorscope build``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tremorscope.commands.options import frame_size


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--size",
    type=frame_size,
    metavar="WxH",
    help="Size of the frames; needed where the bundle takes any.",
)
@click.option(
    "--target",
    type=click.Choice(["tensorrt", "tensorrt-rtx"]),
    default="tensorrt",
    show_default=True,
    help="TensorRT for a Jetson or a server, TensorRT for RTX for a workstation with an RTX GPU.",
)
@click.option(
    "--workspace-mib",
    type=click.IntRange(min=1),
    help="Scratch memory for the builder.  [default: half of what is free, to 4096]",
)
@click.option(
    "--timing-cache",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What earlier builds on this device timed; read and added to.  [default: beside the engines]",
)
@click.option(
    "--sections",
    "most_sections",
    type=click.IntRange(min=1, max=256),
    default=8,
    show_default=True,
    help="Most sections of a band filter, for which memory is set aside: its order for each band, one a notch.",
)
@click.option("--dla", "dla_core", type=click.IntRange(min=0), metavar="CORE", help="Use a DLA core, from 0.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory of the engines.  [default: engines, within the bundle]",
)
@click.option(
    "--graph",
    "graphs",
    type=click.Choice(["pairwise", "band"]),
    multiple=True,
    help="Build this step graph alone; may be repeated.  [default: all of the bundle's]",
)
@click.option("--rebuild", is_flag=True, help="Replace engines that are there, whether they fit or not.")
def build(**options: Any) -> None:
    """Build TensorRT engines from BUNDLE, a directory or the name of a shipped one, on the device that runs them."""
    from tremorscope.runtime.engines.tensorrt.build_job import BuildJob, build_bundle
    from tremorscope.runtime.host.progress import progress_bar
    from tremorscope.runtime.host.signals import orderly_stop

    options["graphs"] = options["graphs"] or None
    with orderly_stop(), progress_bar("build", "%") as progress:
        reports = list(build_bundle(BuildJob(**options), progress))
    for report in reports:
        for line in report.lines():
            click.echo(line)
