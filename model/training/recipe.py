"""The training recipe: network, pairs and schedule in one YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, field_validator, model_validator

from tremorscope.model.networks.families import NetworkConfig, configure, describe
from tremorscope.model.pairs.settings import PairSettings
from tremorscope.model.yaml_file import Strict, read_yaml


class PictureSettings(Strict):
    """Source pictures of the pairs; photographs are named on the command line."""

    drawn_pictures: int = Field(default=128, ge=0)
    validation_fraction: float = Field(default=0.08, gt=0, lt=0.5)


class TrainingSchedule(Strict):
    """Training schedule: steps, learning rate, curriculum, weights of the losses."""

    steps: int = Field(ge=1)
    batch: int = Field(default=8, ge=1)
    pair_uses: int = Field(default=1, ge=1, le=8)
    """Uses of each pair, turned otherwise each time: drawing takes longer than a small network's step."""
    learning_rate: float = Field(default=1e-3, gt=0)
    warm_up_steps: int = Field(default=200, ge=1)
    decay_share: float = Field(default=0.25, ge=0, le=1)
    """Share of the steps, at the end, over which the learning rate falls linearly to zero."""
    weight_decay: float = Field(default=1e-4, ge=0)
    gradient_norm_max: float = Field(default=1.0, gt=0)
    average_decay: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the exponential moving average of the weights, which are the weights that are saved."""
    ease_in_steps: int = Field(default=4000, ge=0)
    """Steps over which motion and amplification grow to their full range."""
    ease_in_from: float = Field(default=0.1, gt=0, le=1)
    consistency_weight: float = Field(default=0.1, ge=0)
    displacement_weight: float = Field(default=0.0, ge=0)
    """Weight of the error, in px, of the displacement that a warped skip applies to the frame."""
    layer_weight: float = Field(default=0.0, ge=0)
    """Weight of the errors of mask and hidden background, for pairs with two layers; ``displacement_weight`` then
    applies to the displacement of each layer."""
    edge_weight: float = Field(default=0.0, ge=0)
    """Additional weight of the error near the edges of moving foreground, where it is largest."""
    gate_penalty: float = Field(default=0.0, ge=0)
    """Weight of the mean absolute gate of a gated baseline (`model.networks.removal`)."""
    gate_rate: float = Field(default=10.0, gt=0)
    """Learning rate of gates over that of weights."""
    loss_border_px: int = Field(default=8, ge=0)
    """Border left out of the losses: content that moves in from outside the patch is unknown."""

    @model_validator(mode="after")
    def _divides(self) -> TrainingSchedule:
        if self.batch % self.pair_uses:
            raise ValueError("batch must be a multiple of pair_uses")
        return self

    def difficulty(self, step: int) -> float:
        """Share of the full motion that pairs have at a step."""
        if step >= self.ease_in_steps:
            return 1.0
        return self.ease_in_from + (1.0 - self.ease_in_from) * step / self.ease_in_steps

    def learning_rate_at(self, step: int) -> float:
        """Learning rate at a step: warm-up, plateau, linear decay."""
        decay_steps = max(1, round(self.decay_share * self.steps))
        falling = min(1.0, (self.steps - step) / decay_steps) if self.decay_share else 1.0
        return self.learning_rate * min(1.0, (step + 1) / self.warm_up_steps) * falling


class Validation(Strict):
    """Intervals of validation and checkpoints, and the number of held-out pairs."""

    pairs: int = Field(default=32, ge=1)
    every_steps: int = Field(default=1000, ge=1)
    checkpoint_every_steps: int = Field(default=250, ge=1)


class Recipe(Strict):
    """A training recipe."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    network: dict[str, Any]
    pictures: PictureSettings = PictureSettings()
    pairs: PairSettings = PairSettings()
    schedule: TrainingSchedule
    validation: Validation = Validation()
    seed: int = 0

    @field_validator("network")
    @classmethod
    def _complete(cls, value: dict[str, Any]) -> dict[str, Any]:
        return describe(configure(value))

    def network_config(self) -> NetworkConfig:
        """The network that the recipe trains."""
        return configure(self.network)


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        RecipeFault: the file cannot be read, or a key or value in it is wrong.
    """
    return read_yaml(path, TypeAdapter(Recipe), "a recipe, such as configs/train-realtime.yaml")
