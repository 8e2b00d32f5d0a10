"""The command ``tremorscope lint``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("graphs", metavar="BUNDLE|GRAPH", type=click.Path(path_type=Path))
@click.option(
    "--since", metavar="VERSION", help="The oldest TensorRT that has to read it.  [default: all claimed]"
)
def lint(graphs: Path, since: str | None) -> None:
    """Say which TensorRT can read the graphs of a bundle, by name or directory, or one .onnx file.

    Every node is judged by tables and rules that were read in the ONNX parser of each version; nothing is built, and
    TensorRT need not be there. The exit status is not zero where a version cannot read a graph.
    """
    from tremorscope.export.tensorrt.lint_job import lint_graphs
    from tremorscope.export.tensorrt.support import PARSERS

    names = [parser.name for parser in PARSERS]
    if since is not None and since not in names:
        raise click.UsageError(f"--since {since}: choose from {', '.join(names)}")
    for line in lint_graphs(graphs, since):
        click.echo(line)
