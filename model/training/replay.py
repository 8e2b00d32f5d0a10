"""Batches of training pairs of which each is drawn once and seen several times, turned otherwise each time."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from tremorscope.model.pairs.layer_truth import LayerTruth
from tremorscope.model.pairs.pairs import Pairs

GAP = 8
"""Batches drawn between two uses of a pair."""


def batch_of(step: int, uses: int, draw: Callable[[int], Pairs]) -> Pairs:
    """The batch of a step, which depends on the step alone.

    Args:
        uses: how often each pair is seen; a batch must be divisible by it. At one, ``draw(step)`` is the batch.
        draw: a number to the pairs of a whole batch; keep what it gives (`kept`), for it is asked for again. Numbers
            are negative before the first step has seen all.
    """
    if uses == 1:
        return draw(step)
    number, phase = divmod(step, uses)
    parts = []
    for use in range(uses):
        pairs = draw(number - GAP * use)
        size = len(pairs.amplification) // uses
        parts.append(turned(pairs.select(slice(phase * size, (phase + 1) * size)), use))
    return _joined(parts)


def kept(draw: Callable[[int], Pairs], uses: int) -> Callable[[int], Pairs]:
    """``draw``, remembering all that later steps ask for again."""
    return lru_cache(maxsize=(GAP + 1) * uses)(draw) if uses > 1 else draw


def turned(pairs: Pairs, use: int) -> Pairs:
    """The same pairs by one of eight symmetries: mirrored (bits 0 and 1 of ``use``), axes exchanged (bit 2)."""
    use %= 8

    def picture(tensor: Tensor) -> Tensor:
        if tensor.dim() != 4:
            return tensor
        tensor = tensor.flip([axis for bit, axis in ((1, 3), (2, 2)) if use & bit])
        return tensor.transpose(2, 3) if use & 4 else tensor

    def displacement(tensor: Tensor) -> Tensor:
        sign = tensor.new_tensor([-1.0 if use & 1 else 1.0, -1.0 if use & 2 else 1.0]).reshape(1, 2, 1, 1)
        tensor = picture(sign * tensor)
        return tensor.flip(1) if use & 4 else tensor

    def each(parts: dict[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: (displacement if name.endswith("_px") else picture)(part) for name, part in parts.items()
        }

    layers = pairs.layers and LayerTruth(**each(vars(pairs.layers)))
    return Pairs(**each(_pictures(pairs)), layers=layers)


def _joined(parts: list[Pairs]) -> Pairs:
    def join(each: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {name: torch.cat([part[name] for part in each]) for name in each[0]}

    truths = [part.layers for part in parts if part.layers is not None]
    layers = LayerTruth(**join([vars(truth) for truth in truths])) if truths else None
    return Pairs(**join([_pictures(pairs) for pairs in parts]), layers=layers)


def _pictures(pairs: Pairs) -> dict[str, Tensor]:
    """All that pairs consist of but the truth of their layers."""
    return {name: part for name, part in vars(pairs).items() if name != "layers"}
