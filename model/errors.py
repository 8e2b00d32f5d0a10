"""Faults of training and evaluation. Each message states in one line the problem, its place and the remedy."""

from __future__ import annotations


class ModelFault(Exception):
    """A fault in the input or the surroundings, not in the program. ``remedy`` says what to do about it."""

    def __init__(self, what: str, *, remedy: str) -> None:
        self.what = what
        self.remedy = remedy
        super().__init__(f"{what}: {remedy}")


class RecipeFault(ModelFault):
    """A training recipe cannot be used."""


class ImageFault(ModelFault):
    """Images to train on or to judge with cannot be used."""


class WeightsFault(ModelFault):
    """Weights are missing, damaged, or of another network."""


class CheckpointFault(ModelFault):
    """A training run cannot be resumed or written."""


class ResultFault(ModelFault):
    """A result cannot be written."""
