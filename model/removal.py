"""Learning to remove: which parts of the baseline a trained network can do without.

After Ha et al. (arXiv 2403.01898), section 3: every non-linearity and every residual block gets a gate, the gates are
trained together with the weights under a sparsity penalty, and what is gated off is removed. A non-linearity whose gate
is 0 passes its input on; a residual block whose gate is 0 adds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from model.baseline import BaselineNetwork
from model.blocks import ResidualBlock

Module = Literal["encoder", "manipulator", "decoder"]
Part = Literal["non-linearity", "residual block"]

_MODULE_OF: dict[str, Module] = {
    "stem": "encoder", "texture_branch": "encoder", "shape_branch": "encoder",
    "manipulator_before": "manipulator", "manipulator_after": "manipulator",
    "texture_upsampler": "decoder", "decoder": "decoder",
}  # fmt: skip


class GatedActivation(nn.Module):
    """gate relu(x) + (1 - gate) x."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same."""
        return x + self.gate * (x.clamp(min=0.0) - x)


class GatedBlock(nn.Module):
    """x + gate f(x), for a residual block x + f(x)."""

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.block = block
        self.gate = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """B x C x h x w -> the same."""
        gated: Tensor = x + self.gate * (self.block(x) - x)
        return gated


@dataclass(frozen=True)
class Gate:
    """One gate of a gated network."""

    name: str
    module: Module
    part: Part
    value: nn.Parameter


def add_gates(network: BaselineNetwork) -> list[Gate]:
    """Put an open gate (1) at every non-linearity and residual block, in place; the network computes what it did."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ReLU):
                setattr(parent, name, GatedActivation())
            elif isinstance(child, ResidualBlock) and not isinstance(parent, GatedBlock):
                setattr(parent, name, GatedBlock(child))
    return list(gates_of(network))


def gates_of(network: nn.Module) -> Iterator[Gate]:
    """The gates of a gated network, in the order of its layers."""
    for name, child in network.named_modules():
        if isinstance(child, GatedActivation | GatedBlock):
            part: Part = "residual block" if isinstance(child, GatedBlock) else "non-linearity"
            yield Gate(name, _MODULE_OF[name.split(".")[0]], part, child.gate)


def sparsity(gates: list[Gate]) -> Tensor:
    """Mean absolute value of the gates: a scalar to be penalised."""
    return torch.stack([gate.value.abs() for gate in gates]).mean()


def close_gates(gates: list[Gate], below: float) -> None:
    """Set every gate below a threshold to 0 and every other to 1, and leave it there."""
    for gate in gates:
        gate.value.data.fill_(float(gate.value.abs() >= below))
        gate.value.requires_grad_(False)


def fold(network: nn.Module) -> None:
    """Take closed parts out of the network, and the gates of open ones, in place: it computes what it did.

    Expects gates that are 0 or 1, as `close_gates` leaves them. A non-linearity inside a block that is removed goes
    with it.
    """
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, GatedActivation):
                setattr(parent, name, nn.ReLU() if child.gate else nn.Identity())
            elif isinstance(child, GatedBlock):
                setattr(parent, name, child.block if child.gate else nn.Identity())


@dataclass(frozen=True)
class Survivors:
    """What is left of one kind of part in one module."""

    module: Module
    part: Part
    kept: int
    of: int


def survivors(gates: list[Gate]) -> list[Survivors]:
    """How many parts of each kind are open in each module; a non-linearity counts only if its block is open."""
    open_of = {gate.name: bool(gate.value != 0) for gate in gates}

    def alive(gate: Gate) -> bool:
        around = [name for name in open_of if gate.name.startswith(f"{name}.")]
        return open_of[gate.name] and all(open_of[name] for name in around)

    table = []
    for module in ("encoder", "manipulator", "decoder"):
        for part in ("non-linearity", "residual block"):
            these = [gate for gate in gates if (gate.module, gate.part) == (module, part)]
            table.append(Survivors(module, part, sum(map(alive, these)), len(these)))
    return table
