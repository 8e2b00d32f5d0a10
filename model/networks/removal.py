"""Learning to remove: find and cut the parts that a trained baseline does not need.

After Ha et al. (arXiv 2403.01898), section 3: every non-linearity and every residual block gets a gate, the gates are
trained together with the weights under a sparsity penalty, and the parts with closed gates are removed. A
non-linearity whose gate is 0 passes its input on; a residual block whose gate is 0 adds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from tremorscope.model.networks.baseline import BaselineNetwork
from tremorscope.model.networks.blocks import GatedActivation, GatedBlock

Module = Literal["encoder", "manipulator", "decoder"]
Part = Literal["non-linearity", "residual block"]

MODULES: tuple[Module, ...] = ("encoder", "manipulator", "decoder")
PARTS: tuple[Part, ...] = ("non-linearity", "residual block")
_MODULE_OF: dict[str, Module] = {
    "stem": "encoder", "texture_branch": "encoder", "shape_branch": "encoder",
    "manipulator_before": "manipulator", "manipulator_after": "manipulator",
    "texture_upsampler": "decoder", "decoder": "decoder",
}  # fmt: skip


@dataclass(frozen=True)
class Gate:
    """One gate of a gated network."""

    name: str
    """Name of the gated part in a network without gates."""
    module: Module
    part: Part
    value: nn.Parameter


def gated(network: BaselineNetwork) -> BaselineNetwork:
    """The same network with an open gate (1) at every part; its output stays the same."""
    with_gates = BaselineNetwork(replace(network.config, gated=True))
    ours = {_without_gates(name): name for name in with_gates.state_dict() if not name.endswith(".gate")}
    state = {ours[name]: value for name, value in network.state_dict().items()}
    with_gates.load_state_dict(state, strict=False)  # but for the gates, which are open
    return with_gates.train(network.training)


def gates_of(network: nn.Module) -> Iterator[Gate]:
    """The gates of a gated network, in the order of its layers."""
    for name, child in network.named_modules():
        if isinstance(child, GatedActivation | GatedBlock):
            part: Part = "residual block" if isinstance(child, GatedBlock) else "non-linearity"
            yield Gate(_without_gates(name), _MODULE_OF[name.split(".")[0]], part, child.gate)


def sparsity(gates: Sequence[Gate]) -> Tensor:
    """Mean absolute value of the gates: a scalar to be penalised."""
    return torch.stack([gate.value.abs() for gate in gates]).mean()


def closed(gates: Sequence[Gate], below: float) -> tuple[str, ...]:
    """Names of the parts whose gates are nearer to 0 than ``below``; parts inside a closed block are not listed."""
    shut = [gate.name for gate in gates if gate.value.abs() < below]
    return tuple(name for name in shut if not _inside(name, set(shut)))


def fold(network: BaselineNetwork, removed: Sequence[str]) -> BaselineNetwork:
    """A gated network without its gates and without the removed parts.

    The gate of a block that stays is multiplied into its last convolution; a non-linearity that stays is complete.
    """
    state = network.state_dict()
    for name, child in network.named_modules():
        if isinstance(child, GatedBlock):
            for what in ("weight", "bias"):
                key = f"{name}.block.conv2.{what}"
                state[key] = child.gate.detach() * state[key]
    names = tuple(name for name in removed if not _inside(name, set(removed)))
    folded = BaselineNetwork(replace(network.config, gated=False, removed=names))
    wanted = folded.state_dict()
    plain = {_without_gates(name): value for name, value in state.items()}
    folded.load_state_dict({name: plain[name] for name in wanted})
    return folded.train(network.training)


@dataclass(frozen=True)
class Survivors:
    """Number of parts of one kind that one module keeps."""

    module: Module
    part: Part
    kept: int
    of: int


def survivors(gates: Sequence[Gate], removed: Sequence[str]) -> list[Survivors]:
    """Parts that stay, by module and kind; a non-linearity is removed with the block around it."""
    gone = set(removed)
    table = []
    for module in MODULES:
        for part in PARTS:
            these = [gate.name for gate in gates if (gate.module, gate.part) == (module, part)]
            kept = sum(name not in gone and not _inside(name, gone) for name in these)
            table.append(Survivors(module, part, kept, len(these)))
    return table


def _without_gates(name: str) -> str:
    return name.replace(".block.", ".")


def _inside(name: str, blocks: set[str]) -> bool:
    return any(name.startswith(f"{block}.") for block in blocks)
