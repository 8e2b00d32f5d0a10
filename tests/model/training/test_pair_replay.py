import pytest
import torch

from tremorscope.model.networks.layered import FrameLayers, draw_layers
from tremorscope.model.pairs.layer_truth import LayerTruth
from tremorscope.model.pairs.pairs import Pairs, draw_pairs
from tremorscope.model.pairs.settings import PairSettings
from tremorscope.model.training.replay import GAP, batch_of, kept, turned

SETTINGS = PairSettings(
    patch_px=48,
    magnified_motion_max_px=8,
    noiseless_share=1.0,
    flicker_share=0.0,
    structure_share=0.5,
    two_layers=True,
)


def draw(number: int) -> Pairs:
    picture = torch.randint(256, (3, 160, 160), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return draw_pairs([picture], SETTINGS, 4, 100 + number)


def drawn(truth: LayerTruth, pairs: Pairs) -> tuple[torch.Tensor, torch.Tensor]:
    return draw_layers(pairs.frame, FrameLayers(truth.upper_px, truth.lower_px, truth.mask, truth.filled))


@pytest.mark.parametrize("use", range(8))
def test_what_a_turned_truth_draws_is_what_the_truth_draws_turned(use: int) -> None:
    pairs = draw(0)
    again = turned(pairs, use)
    assert pairs.layers is not None
    assert again.layers is not None
    picture, moved_px = drawn(pairs.layers, pairs)
    same, same_px = drawn(again.layers, again)

    def back(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.transpose(2, 3) if use & 4 else tensor
        return tensor.flip([axis for bit, axis in ((1, 3), (2, 2)) if use & bit])

    torch.testing.assert_close(back(same), picture, atol=1e-4, rtol=0)
    torch.testing.assert_close(back(same_px).norm(dim=1), moved_px.norm(dim=1), atol=1e-3, rtol=0)
    torch.testing.assert_close(back(again.added_px).norm(dim=1), pairs.added_px.norm(dim=1))


def test_each_pair_is_seen_as_often_as_asked_for_and_a_batch_depends_on_its_step_alone() -> None:
    asked: list[int] = []

    def counted(number: int) -> Pairs:
        asked.append(number)
        return draw(number)

    remembering = kept(counted, 2)
    steps = range(2 * (GAP + 3))
    seen = torch.cat([batch_of(step, 2, remembering).amplification for step in steps])
    inner = torch.cat([draw(number).amplification for number in range(3)])
    assert [(seen == value).sum().item() for value in inner] == [2] * len(inner)
    assert len(asked) == len(set(asked))
    late = batch_of(9, 2, draw)
    torch.testing.assert_close(late.frame, batch_of(9, 2, remembering).frame, atol=0, rtol=0)


def test_pairs_seen_once_are_those_drawn() -> None:
    torch.testing.assert_close(batch_of(3, 1, draw).frame, draw(3).frame, atol=0, rtol=0)
