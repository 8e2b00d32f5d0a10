"""The command ``tremorscope doctor``."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.option(
    "--config",
    "configuration",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Judge by what this configuration needs: its camera, its runtime, its directory.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def doctor(configuration: Path | None, as_json: bool) -> None:
    """Say what this device has, what is missing, and the command that mends it.

    Nothing is changed. The exit status is 0 where the device can run, and 1 where something that it needs is amiss.
    """
    import json

    from tremorscope.runtime.configuration.reading import load_configuration
    from tremorscope.runtime.doctor.examination import examine, lines
    from tremorscope.runtime.doctor.probe import Machine, Needs, needs_of
    from tremorscope.runtime.host.progress import progress_bar

    needs = needs_of(load_configuration(configuration).configuration) if configuration else Needs()
    with progress_bar("doctor", "things") as bar:
        examined = examine(Machine(), needs, bar)
    if as_json:
        click.echo(json.dumps(examined.as_json(), indent=2, ensure_ascii=False))
    else:
        for line in lines(examined):
            click.echo(line)
    sys.exit(0 if examined.can_run else 1)
