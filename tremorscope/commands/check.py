"""The command ``tremorscope check``."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--migrate",
    "output",
    type=click.Path(path_type=Path),
    metavar="NEW",
    help="Write the configuration in the present format to another file; comments are lost.",
)
def check(file: Path, output: Path | None) -> None:
    """Say whether FILE is a configuration that can be followed on this machine: ok, or each problem on a line.

    Files that it names (certificates, keys, a clip) must be there. A port that is taken, an address that the device has
    not, or a disk that is not mounted is said, and may pass.
    """
    from tremorscope.runtime.configuration.problems import ConfigurationFault
    from tremorscope.runtime.configuration.reading import lines_at, load_configuration, require
    from tremorscope.runtime.configuration.schema import write_configuration
    from tremorscope.runtime.configuration.surroundings import missing, remarks
    from tremorscope.runtime.service.recovery import EXIT_CONFIGURATION
    from tremorscope.runtime.service.store_keeper import state_directory

    try:
        loaded = load_configuration(file)
        require(loaded, missing(loaded.configuration))
    except ConfigurationFault as fault:
        for line in fault.lines:
            click.echo(line)
        sys.exit(EXIT_CONFIGURATION)
    for warning in loaded.warnings:
        click.echo(warning)
    directory = state_directory(loaded.configuration.store)
    for remark in lines_at(loaded, remarks(loaded.configuration, directory)):
        click.echo(remark)
    if output is not None:
        write_configuration(loaded.configuration, output)
        click.echo(f"{output}: written in the format of version {loaded.configuration.version}")
    click.echo(f"{file}: ok")
