"""Clean-up of an exported graph: unused parts removed, nodes named after their modules."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
import onnx_ir as ir
from onnx_ir.passes import Sequential, common

PRODUCER = "tremorscope"
_NETWORK_SCOPE = "network."
"""Prefix of the names of a step's parameters: ``network.decoder.0.weight``."""
_WEIGHT = ".weight"


def tidy(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph without dead nodes, duplicates, identities and the exporter's metadata.

    Every convolution of the network has the name of its module, such as ``decoder.0``; see `layer_name`.
    """
    model = ir.from_proto(graph)
    Sequential(
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.IdentityEliminationPass(),
        common.CommonSubexpressionEliminationPass(),
        common.DeduplicateInitializersPass(),
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedOpsetsPass(),
        # Stack traces and paths of the machine that exported it do not belong in a published file.
        common.ClearMetadataAndDocStringPass(),
        common.TopologicalSortPass(),
    )(model)
    _name_nodes(model.graph)
    model.producer_name, model.producer_version = PRODUCER, None
    return ir.to_proto(model)


def layer_name(node: ir.Node) -> str | None:
    """Module name of a convolution of the network, by the name of its weights; None for other nodes."""
    if node.op_type != "Conv" or node.inputs[1] is None:
        return None
    weights = node.inputs[1].name or ""
    if not (weights.startswith(_NETWORK_SCOPE) and weights.endswith(_WEIGHT)):
        return None
    return weights[len(_NETWORK_SCOPE) : -len(_WEIGHT)]


def _name_nodes(graph: ir.Graph) -> None:
    counts: dict[str, int] = {}
    for node in graph:
        name = layer_name(node)
        kind = name or node.op_type.lower()
        counts[kind] = counts.get(kind, 0) + 1
        # A layer that runs twice, as the baseline's encoder does, has the number of its run in its name.
        again = f" run {counts[kind]}" if counts[kind] > 1 else ""
        node.name = f"{kind}.{counts[kind]}" if name is None else f"{name}{again}"


def stamp(graph: onnx.ModelProto, facts: Mapping[str, str]) -> onnx.ModelProto:
    """Write facts into the metadata of a graph, by which its file identifies itself; return the graph."""
    present = {entry.key: entry for entry in graph.metadata_props}
    for key, value in facts.items():
        entry = present.get(key) or graph.metadata_props.add(key=key)
        entry.value = value
    return graph
