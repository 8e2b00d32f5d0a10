"""The subcommands around the service. Only click is imported here: what a command needs is imported when it runs."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import click

from tremorscope.commands.options import unix_time


@click.command()
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Configuration, in YAML; `tremorscope check FILE` says whether it can be followed.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="What is logged: to the journal under systemd, else to stderr.",
)
def run(file: Path, log_level: str) -> None:
    """Run the service: a camera, what is measured and magnified, alarms, clips, store, and what leaves the device.

    SIGTERM or Ctrl-C ends it within 10 s with clips and store complete. SIGHUP, or a change of the file, takes over
    what can change while it runs, and tells what cannot. SIGUSR1 records a clip.

    Exit status: 0 ended as asked, 75 to be started again (no camera), 78 the configuration cannot be followed.
    """
    from tremorscope.runtime.service.running import run_service

    sys.exit(run_service(file, log_level))


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
    from tremorscope.runtime.configuration.surroundings import missing, remarks
    from tremorscope.runtime.configuration.writing import write_configuration
    from tremorscope.runtime.service.recovery import EXIT_CONFIGURATION
    from tremorscope.runtime.service.storing import state_directory

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


@click.command()
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write to a file, not to stdout."
)
def schema(output: Path | None) -> None:
    """Print the JSON schema of the configuration, by which editors complete and check it."""
    from tremorscope.runtime.configuration.writing import schema_text, write_schema

    if output is None:
        click.echo(schema_text(), nl=False)
    else:
        write_schema(output)


@click.command("export-store")
@click.argument("store", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Directory to fill."
)
@click.option(
    "--from", "from_time", metavar="TIME", help="First moment, e.g. 2026-11-01 or 2026-11-01T06:00+01:00."
)
@click.option("--to", "to_time", metavar="TIME", help="Moment to end before.  [default: all there is]")
@click.option("--overwrite", is_flag=True, help="Replace an earlier export.")
def export_store(
    store: Path, output: Path, from_time: str | None, to_time: str | None, overwrite: bool
) -> None:
    """Write what lies in STORE (tremorscope.db, or the directory that holds it) for other programs.

    series.csv as measured, series.uff for modal software, and peaks, modes, alarms, events, clips and notices as CSV.
    A running service is not disturbed. Times without an offset are UTC.
    """
    from tremorscope.runtime.host.directories import whole_directory
    from tremorscope.runtime.service.storing import STORE_NAME
    from tremorscope.runtime.store.export import FILES, export
    from tremorscope.runtime.store.reader import StoreReader

    from_s, to_s = unix_time("--from", from_time, -math.inf), unix_time("--to", to_time, math.inf)
    if not from_s < to_s:
        raise click.BadParameter(f"--from {from_time} is not before --to {to_time}")
    with (
        StoreReader(store / STORE_NAME if store.is_dir() else store) as reader,
        whole_directory(output, overwrite=overwrite, names=FILES) as directory,
    ):
        done = export(reader, directory, from_s, to_s)
    click.echo(f"{done.samples} rows, {done.signals} signals without a gap:")
    for path in done.files:
        click.echo(f"  {output / path.name}")
