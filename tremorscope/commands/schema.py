"""The command ``tremorscope schema``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write to a file, not to stdout."
)
def schema(output: Path | None) -> None:
    """Print the JSON schema of the configuration, by which editors complete and check it."""
    from tremorscope.runtime.configuration.schema import schema_text, write_schema

    if output is None:
        click.echo(schema_text(), nl=False)
    else:
        write_schema(output)
