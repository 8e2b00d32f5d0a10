"""The command ``tremorscope export-store``."""

from __future__ import annotations

import math
from pathlib import Path

import click

from tremorscope.commands.options import unix_time


@click.command("export-store")
@click.argument("store", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Directory to fill."
)
@click.option(
    "--from", "from_time", metavar="TIME", help="First moment, e.g. 2026-11-01 or 2026-11-01T06:00+01:00."
)
@click.option("--to", "to_time", metavar="TIME", help="Moment to end before.  [default: all there is]")
@click.option(
    "--rates", is_flag=True, help="Also write velocity.uff and acceleration.uff, from the displacement."
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier export.")
def export_store(
    store: Path, output: Path, from_time: str | None, to_time: str | None, rates: bool, overwrite: bool
) -> None:
    """Write what lies in STORE (tremorscope.db, or the directory that holds it) for other programs.

    series.csv as measured, series.uff for modal software, and peaks, modes, alarms, events, clips and notices as CSV.
    A running service is not disturbed. Times without an offset are UTC.
    """
    from tremorscope.runtime.host.files import whole_directory
    from tremorscope.runtime.service.store_keeper import STORE_NAME
    from tremorscope.runtime.store.export import FILES, export
    from tremorscope.runtime.store.reader import StoreReader

    from_s, to_s = unix_time("--from", from_time, -math.inf), unix_time("--to", to_time, math.inf)
    if not from_s < to_s:
        raise click.BadParameter(f"--from {from_time} is not before --to {to_time}")
    with (
        StoreReader(store / STORE_NAME if store.is_dir() else store) as reader,
        whole_directory(output, overwrite=overwrite, names=FILES) as directory,
    ):
        done = export(reader, directory, from_s, to_s, rates=rates)
    click.echo(f"{done.samples} rows, {done.signals} signals without a gap:")
    for path in done.files:
        click.echo(f"  {output / path.name}")
