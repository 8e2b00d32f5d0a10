"""Gates on the baseline: open they change nothing, closed they take parts out, folded nothing of them is left."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tremorscope.model.networks.baseline import BaselineConfig, BaselineNetwork
from tremorscope.model.networks.blocks import GatedActivation, GatedBlock, ResidualBlock
from tremorscope.model.networks.families import configure, describe
from tremorscope.model.networks.removal import closed, fold, gated, gates_of, sparsity, survivors
from tremorscope.model.networks.weights import load_weights, save_weights

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
    with_gates = gated(network)
    torch.testing.assert_close(run(with_gates), run(network))
    gates = list(gates_of(with_gates))
    assert sum(gate.part == "non-linearity" for gate in gates) == relus == 14
    assert sum(gate.part == "residual block" for gate in gates) == blocks == 6
    assert sparsity(gates).item() == 1.0
    assert not any(isinstance(module, nn.ReLU) for module in with_gates.modules())
    assert {gate.name for gate in gates} == {
        name for name, module in network.named_modules() if isinstance(module, nn.ReLU | ResidualBlock)
    }


def test_a_closed_part_is_gone_and_folding_changes_nothing(network: BaselineNetwork) -> None:
    with_gates = gated(network)
    gates = list(gates_of(with_gates))
    for gate in gates:
        if gate.module == "encoder":
            gate.value.data.zero_()
    names = closed(gates, below=0.1)
    assert "stem.4" in names
    assert "stem.4.activation" not in names, "it goes with its block"
    folded = fold(with_gates, names)
    torch.testing.assert_close(run(folded), run(with_gates))
    assert not any(isinstance(module, GatedActivation | GatedBlock) for module in folded.modules())
    parts = [*folded.stem.modules(), *folded.texture_branch.modules(), *folded.shape_branch.modules()]
    assert not any(isinstance(module, nn.ReLU | ResidualBlock) for module in parts)
    assert sum(isinstance(module, ResidualBlock) for module in folded.decoder.modules()) == 2


def test_what_a_gate_leaves_of_a_block_stays(network: BaselineNetwork) -> None:
    with_gates = gated(network)
    gates = list(gates_of(with_gates))
    for gate in gates:
        if gate.part == "residual block":
            gate.value.data.fill_(0.4)
    assert closed(gates, below=0.1) == ()
    folded = fold(with_gates, ())
    torch.testing.assert_close(run(folded), run(with_gates))
    assert not torch.allclose(run(folded), run(network))


def test_a_folded_network_is_an_ordinary_one(network: BaselineNetwork, tmp_path: Path) -> None:
    folded = fold(gated(network), ("stem.1", "decoder.0"))
    assert folded.config.removed == ("stem.1", "decoder.0")
    assert configure(describe(folded.config)) == folded.config
    save_weights(tmp_path / "w.safetensors", "folded", folded, folded.state_dict(), (1, 20), {})
    torch.testing.assert_close(run(load_weights(tmp_path / "w.safetensors").network), run(folded))


def test_a_part_that_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(ValueError, match=r"no part 'stem\.99'"):
        BaselineNetwork(BaselineConfig(removed=("stem.99",)))


def test_an_encoder_without_its_gated_parts_is_linear(network: BaselineNetwork) -> None:
    with_gates = gated(network)
    a, b = torch.rand(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(2)).unbind(0)

    def bend(of: BaselineNetwork) -> float:
        with torch.no_grad():
            middle = of.encode((a + b) / 2).shape
            return float((middle - (of.encode(a).shape + of.encode(b).shape) / 2).abs().max())

    assert bend(with_gates) > 1e-4
    encoder = [gate.name for gate in gates_of(with_gates) if gate.module == "encoder"]
    assert bend(fold(with_gates, encoder)) < 1e-6


def test_what_survives_is_counted_by_module_and_with_its_block(network: BaselineNetwork) -> None:
    gates = list(gates_of(gated(network)))
    table = {(entry.module, entry.part): (entry.kept, entry.of) for entry in survivors(gates, ["decoder.0"])}
    assert table["decoder", "residual block"] == (1, 2)
    assert table["decoder", "non-linearity"] == (4, 5)
    assert table["encoder", "residual block"] == (3, 3)


def test_the_penalty_closes_gates_that_nothing_holds_open(network: BaselineNetwork) -> None:
    gates = list(gates_of(gated(network)))
    optimiser = torch.optim.SGD([gate.value for gate in gates], lr=1.0)
    for _ in range(10):
        optimiser.zero_grad()
        sparsity(gates).backward()
        optimiser.step()
    assert all(gate.value.item() == pytest.approx(0.5, abs=1e-5) for gate in gates)
