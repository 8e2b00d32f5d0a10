"""Gates on the baseline: open they change nothing, closed they take parts out, folded nothing of them is left."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from model.baseline import BaselineConfig, BaselineNetwork
from model.blocks import ResidualBlock
from model.removal import (
    GatedActivation,
    GatedBlock,
    add_gates,
    close_gates,
    fold,
    gates_of,
    sparsity,
    survivors,
)

SMALL = BaselineConfig(channels=8, encoder_blocks=1, branch_blocks=1, decoder_blocks=2)


@pytest.fixture
def network() -> BaselineNetwork:
    torch.manual_seed(0)
    return BaselineNetwork(SMALL).eval()


def run(network: BaselineNetwork) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    frame, reference = (torch.rand(1, 3, 32, 40, generator=generator) for _ in range(2))
    with torch.no_grad():
        magnified: Tensor = network(frame, reference, torch.tensor([5.0]))
    return magnified


def test_open_gates_change_nothing_and_are_at_every_part(network: BaselineNetwork) -> None:
    relus = sum(isinstance(module, nn.ReLU) for module in network.modules())
    blocks = sum(isinstance(module, ResidualBlock) for module in network.modules())
    before = run(network)
    gates = add_gates(network)
    torch.testing.assert_close(run(network), before)
    assert sum(gate.part == "non-linearity" for gate in gates) == relus == 14
    assert sum(gate.part == "residual block" for gate in gates) == blocks == 6
    assert sparsity(gates).item() == 1.0
    assert not any(isinstance(module, nn.ReLU) for module in network.modules())


def test_a_closed_part_is_gone_and_folding_changes_nothing(network: BaselineNetwork) -> None:
    gates = add_gates(network)
    encoder = [gate for gate in gates if gate.module == "encoder"]
    for gate in encoder:
        gate.value.data.fill_(0.01)
    close_gates(gates, below=0.5)
    closed = run(network)
    fold(network)
    torch.testing.assert_close(run(network), closed)
    assert not any(isinstance(module, GatedActivation | GatedBlock) for module in network.modules())
    parts = [*network.stem.modules(), *network.texture_branch.modules(), *network.shape_branch.modules()]
    assert not any(isinstance(module, nn.ReLU | ResidualBlock) for module in parts)
    assert sum(isinstance(module, ResidualBlock) for module in network.decoder.modules()) == 2


def test_an_encoder_without_its_gated_parts_is_linear(network: BaselineNetwork) -> None:
    gates = add_gates(network)
    a, b = torch.rand(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(2)).unbind(0)

    def bend() -> float:
        with torch.no_grad():
            middle = network.encode((a + b) / 2).shape
            return float((middle - (network.encode(a).shape + network.encode(b).shape) / 2).abs().max())

    assert bend() > 1e-4
    for gate in gates:
        if gate.module == "encoder":
            gate.value.data.zero_()
    assert bend() < 1e-6


def test_what_survives_is_counted_by_module_and_with_its_block(network: BaselineNetwork) -> None:
    gates = add_gates(network)
    block = next(gate for gate in gates if gate.name == "decoder.0")
    block.value.data.zero_()
    table = {(entry.module, entry.part): (entry.kept, entry.of) for entry in survivors(gates)}
    assert table["decoder", "residual block"] == (1, 2)
    assert table["decoder", "non-linearity"] == (4, 5)
    assert table["encoder", "residual block"] == (3, 3)


def test_the_penalty_closes_gates_that_nothing_holds_open(network: BaselineNetwork) -> None:
    gates = add_gates(network)
    optimiser = torch.optim.SGD([gate.value for gate in gates], lr=1.0)
    for _ in range(10):
        optimiser.zero_grad()
        sparsity(gates).backward()
        optimiser.step()
    assert all(float(gate.value) == pytest.approx(0.5, abs=1e-5) for gate in gates_of(network))
