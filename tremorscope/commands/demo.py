"""The command ``tremorscope demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tremorscope.commands.options import bundle_option, threads_option


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
    from tremorscope.runtime.host.progress import progress_bar
    from tremorscope.runtime.host.signals import orderly_stop
    from tremorscope.runtime.jobs.demo import DemoJob, run_demo

    with orderly_stop(), progress_bar("demo") as progress:
        report = run_demo(DemoJob(**options), progress)
    for line in report.lines():
        click.echo(line)
