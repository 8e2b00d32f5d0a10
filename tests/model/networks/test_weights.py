"""Weights: they come back as they went, and nothing else is taken for them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tremorscope.model.errors import WeightsFault
from tremorscope.model.networks.realtime import RealtimeConfig, RealtimeNetwork
from tremorscope.model.networks.weights import SHIPPED_WEIGHTS, find_weights, load_weights, save_weights

CONFIG = RealtimeConfig(decoder_blocks=1, decoder_channels=16, texture_channels=8, shape_channels=8)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    network = RealtimeNetwork(CONFIG)
    path = tmp_path / "weights.safetensors"
    save_weights(path, "tiny", network, network.state_dict(), (1.0, 50.0), {"step": 7})
    return path


def test_weights_come_back_as_they_went(saved: Path) -> None:
    weights = load_weights(saved)
    assert weights.network.config == CONFIG
    assert (weights.name, weights.amplification_max, weights.training) == ("tiny", 50.0, {"step": 7})
    state = load_file(saved)
    assert all(torch.equal(value, state[name]) for name, value in weights.network.state_dict().items())


def test_a_truncated_file_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(WeightsFault, match="not a whole safetensors file"):
        load_weights(saved)


def test_a_file_with_a_changed_bit_is_refused(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[-1000] ^= 1
    saved.write_bytes(content)
    with pytest.raises(WeightsFault, match="numbers are not those that were written: copy it again"):
        load_weights(saved)


def test_a_shipped_file_that_its_card_does_not_know_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tremorscope.model.networks.weights.SHIPPED_WEIGHTS", tmp_path)
    content = bytearray((SHIPPED_WEIGHTS / "realtime.safetensors").read_bytes())
    (tmp_path / "realtime.md").write_text((SHIPPED_WEIGHTS / "realtime.md").read_text())
    (tmp_path / "realtime.safetensors").write_bytes(content)
    assert load_weights(tmp_path / "realtime.safetensors").name == "realtime"
    content[-1000] ^= 1
    (tmp_path / "realtime.safetensors").write_bytes(content)
    with pytest.raises(WeightsFault, match="damaged"):
        load_weights(tmp_path / "realtime.safetensors")


def test_weights_that_are_no_numbers_are_refused(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tremorscope.model.networks.weights._content_sha256", lambda _state: "the same")
    network = RealtimeNetwork(CONFIG)
    state = network.state_dict()
    next(iter(state.values())).view(-1)[0] = float("nan")
    save_weights(saved, "tiny", network, state, (1.0, 50.0), {})
    with pytest.raises(WeightsFault, match="damaged"):
        load_weights(saved)


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"layer": torch.zeros(3)}, path)
    with pytest.raises(WeightsFault, match="no tremorscope header"):
        load_weights(path)


def test_weights_that_do_not_fit_their_network_are_refused(saved: Path) -> None:
    weights = load_weights(saved)
    save_weights(saved, "tiny", weights.network, {"merge.weight": torch.zeros(1)}, (1.0, 50.0), {})
    with pytest.raises(WeightsFault, match="do not fit"):
        load_weights(saved)


def test_missing_weights_are_refused_with_what_there_is() -> None:
    with pytest.raises(WeightsFault, match=r"shipped: .*realtime"):
        find_weights("no-such-network")
