"""The command ``tremorscope lint``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import onnx

    from tremorscope.export.tensorrt.lint import LintFinding


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
    from tremorscope.export.errors import ExportFault
    from tremorscope.export.tensorrt.lint import lint as judge
    from tremorscope.export.tensorrt.lint import parsers_since
    from tremorscope.export.tensorrt.support import PARSERS

    names = [parser.name for parser in PARSERS]
    if since is not None and since not in names:
        raise click.UsageError(f"--since {since}: choose from {', '.join(names)}")
    found = {name: judge(graph) for name, graph in _graphs_of(graphs).items()}
    click.echo(f"{'graph':<10}" + "".join(f"{name:>8}" for name in names))
    for graph, findings in found.items():
        counts = [len({each.node for each in findings if each.version == name}) for name in names]
        click.echo(f"{graph:<10}" + "".join(f"{count or 'reads':>8}" for count in counts))
    for graph, findings in found.items():
        for line in _reasons(findings):
            click.echo(f"{graph}: {line}")
    wanted = {parser.name for parser in (parsers_since(since) if since else PARSERS)}
    unread = [graph for graph, findings in found.items() if any(each.version in wanted for each in findings)]
    if unread:
        raise ExportFault(
            f"{graphs}: not every TensorRT reads {', '.join(unread)}",
            remedy="export the bundle again with this release, or build for a TensorRT that reads it",
        )


def _reasons(findings: list[LintFinding]) -> list[str]:
    """Distinct reasons, each with the versions concerned and the sources."""
    versions: dict[tuple[str, str, str], list[str]] = {}
    sources: dict[tuple[str, str, str], list[str]] = {}
    for each in findings:
        key = (each.node, each.operator, each.reason)
        versions.setdefault(key, []).append(each.version)
        if each.source not in sources.setdefault(key, []):
            sources[key].append(each.source)
    return [
        f"{key[0]} ({key[1]}), under {', '.join(versions[key])}: {key[2]} [{'; '.join(sources[key])}]"
        for key in versions
    ]


def _graphs_of(path: Path) -> dict[str, onnx.ModelProto]:
    """Graphs of a bundle, or the one in a file, by name."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    from tremorscope.export.errors import ExportFault
    from tremorscope.runtime.engines.interface.bundle import open_bundle

    if path.suffix == ".onnx":
        files = {path.stem: path}
    else:
        bundle = open_bundle(path)
        files = {str(name): bundle.graph_path(name) for name in bundle.manifest.graphs}
    try:
        found = {name: onnx.load(file) for name, file in files.items()}
    except (DecodeError, OSError) as error:
        why = getattr(error, "strerror", None) or "not an ONNX graph"
        raise ExportFault(
            f"{path}: cannot be read ({why})", remedy="name a bundle, or an ONNX file"
        ) from None
    if not all(graph.graph.node for graph in found.values()):
        raise ExportFault(f"{path}: holds no nodes", remedy="name a bundle, or an ONNX file")
    return found
