"""Judgement of the graphs of a bundle, or of one file, by the parser of every TensorRT version: lines to print."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from tremorscope.export.errors import ExportFault
from tremorscope.export.tensorrt.lint import LintFinding, lint, parsers_since
from tremorscope.export.tensorrt.support import PARSERS
from tremorscope.files import reason_of
from tremorscope.runtime.engines.interface.bundle import open_bundle


def lint_graphs(graphs: Path, since: str | None) -> Iterator[str]:
    """Lines of the verdict: a table, then the reasons.

    Raises:
        ExportFault: a version from ``since`` on cannot read a graph; or there is none to read.
        BundleFault: the bundle is missing or damaged.
    """
    names = [parser.name for parser in PARSERS]
    found = {name: lint(graph) for name, graph in _graphs_of(graphs).items()}
    yield f"{'graph':<10}" + "".join(f"{name:>8}" for name in names)
    for graph, findings in found.items():
        counts = [len({each.node for each in findings if each.version == name}) for name in names]
        yield f"{graph:<10}" + "".join(f"{count or 'reads':>8}" for count in counts)
    for graph, findings in found.items():
        for line in _reasons(findings):
            yield f"{graph}: {line}"
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
    if path.suffix == ".onnx":
        files = {path.stem: path}
    else:
        bundle = open_bundle(path)
        files = {str(name): bundle.graph_path(name) for name in bundle.manifest.graphs}
    try:
        found = {name: onnx.load(file) for name, file in files.items()}
    except (DecodeError, OSError) as error:
        why = reason_of(error) if isinstance(error, OSError) else "not an ONNX graph"
        raise ExportFault(
            f"{path}: cannot be read ({why})", remedy="name a bundle, or an ONNX file"
        ) from None
    if not all(graph.graph.node for graph in found.values()):
        raise ExportFault(f"{path}: holds no nodes", remedy="name a bundle, or an ONNX file")
    return found
