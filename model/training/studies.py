"""Studies: base recipe, variations and schedule, in one YAML file each (configs/studies/)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from tremorscope.model.errors import RecipeFault
from tremorscope.model.networks.families import describe
from tremorscope.model.training.recipe import Recipe, load_recipe
from tremorscope.model.yaml_file import Strict, first_fault, read_yaml


class _Trained(Strict):
    recipe: Path
    """Base recipe; relative to the study's file."""
    schedule: dict[str, Any] = Field(default_factory=dict)
    """Changed keys of the recipe's schedule."""
    question: str
    """Heading of the table of results."""

    def recipe_for(
        self,
        base: Recipe,
        name: str,
        network: dict[str, Any],
        schedule: dict[str, Any] | None = None,
        seed: Any = None,
    ) -> Recipe:
        """The recipe of one variant: the base's, with the study's schedule, another network and, given one, seed.

        Raises:
            RecipeFault: a key or value is wrong.
        """
        values = base.model_dump(mode="json")
        values["name"] = name
        values["network"] = network
        values["schedule"] |= self.schedule | (schedule or {})
        if seed is not None:
            values["seed"] = seed
        try:
            return Recipe.model_validate(values)
        except ValidationError as error:
            raise RecipeFault(f"{name}: {first_fault(error)}", remedy="mend that key of the study") from None


class VariantStudy(_Trained):
    """Networks that differ in some keys, trained and judged alike."""

    kind: Literal["variants"]
    variants: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")], dict[str, Any]] = Field(
        min_length=2
    )
    """By name, the changed keys of the recipe's network, and optionally its ``seed``."""

    def recipes(self, base: Recipe) -> dict[str, Recipe]:
        """The recipe of every variant, by name.

        Raises:
            RecipeFault: a key or value is wrong.
        """
        found = {}
        for name, changes in self.variants.items():
            network = describe(base.network_config()) | changes
            seed = network.pop("seed", None)
            found[name] = self.recipe_for(base, name, network, seed=seed)
        return found


class RemovalStudy(_Trained):
    """Learning to remove, from a trained baseline: train gates under a penalty, cut, and refine the rest."""

    kind: Literal["removal"]
    gate_penalty: float = Field(gt=0)
    closed_below: float = Field(default=0.1, gt=0, lt=1)
    """Gates smaller than this are closed for good."""
    refine: dict[str, Any] = Field(default_factory=dict)
    """Changed keys of the schedule of the second training, after the cut."""


class TemporalStudy(Strict):
    """A trained network's band mode beside its static mode, on films of a vibrating picture."""

    kind: Literal["temporal"]
    question: str
    model: str = "realtime"
    displacement_px: float = Field(default=0.05, gt=0)
    """Amplitude of the vibration."""
    magnified_px: float = Field(default=10.0, gt=0)
    frequency_hz: float = Field(default=2.5, gt=0)
    band_hz: tuple[float, float] = (2.0, 3.0)
    rate_hz: float = Field(default=30.0, gt=0)
    noise_grey_levels: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 4.0)
    settle_s: float = Field(default=4.0, ge=0)
    """Time before judging starts, in which filters settle."""
    judged_periods: int = Field(default=4, ge=1)


Study = VariantStudy | RemovalStudy | TemporalStudy
_STUDY: TypeAdapter[Study] = TypeAdapter(Annotated[Study, Field(discriminator="kind")])


def load_study(path: Path) -> Study:
    """Read a study.

    Raises:
        RecipeFault: the file cannot be read, or a key or value in it is wrong.
    """
    return read_yaml(path, _STUDY, "a study, such as configs/studies/decoder-resolution.yaml")


def base_recipe(study: VariantStudy | RemovalStudy, path: Path) -> Recipe:
    """The recipe that a study read from ``path`` starts from.

    Raises:
        RecipeFault: it cannot be read, or is wrong.
    """
    return load_recipe(path.parent / study.recipe)
