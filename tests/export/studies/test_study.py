"""Studies as commands: they train, resume, judge all alike, and refuse what they cannot follow."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from support import run_command

from tremorscope.export.studies.study import run_variants, trainer
from tremorscope.export.studies.temporal import BAND, STATIC, BandFilm, film, run_temporal
from tremorscope.model.errors import RecipeFault
from tremorscope.model.evaluation.scenes import whole_frames
from tremorscope.model.networks.realtime import RealtimeNetwork
from tremorscope.model.networks.weights import find_weights, load_weights
from tremorscope.model.pairs.drawing import draw_picture
from tremorscope.model.training.studies import (
    RemovalStudy,
    TemporalStudy,
    VariantStudy,
    base_recipe,
    load_study,
)
from tremorscope.model.training.validation import ssim

STUDIES = Path(__file__).parents[3] / "configs" / "studies"
RECIPE: dict[str, Any] = {
    "name": "small",
    "network": {
        "family": "realtime", "decoder_blocks": 1, "decoder_channels": 16, "texture_channels": 8, "shape_channels": 8,
    },
    "pictures": {"drawn_pictures": 4, "validation_fraction": 0.25},
    "pairs": {"patch_px": 32, "foreground_layers": 1, "magnified_motion_max_px": 4, "amplification_max": 20},
    "schedule": {"steps": 4, "batch": 2, "ease_in_steps": 0},
    "validation": {"pairs": 2, "every_steps": 2, "checkpoint_every_steps": 2},
}  # fmt: skip
BASELINE = {"family": "baseline", "channels": 8, "encoder_blocks": 1, "branch_blocks": 1, "decoder_blocks": 1}


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    Image.fromarray(draw_picture(0, 300)).save(folder / "drawn.png")
    return folder


def write(tmp_path: Path, recipe: dict[str, Any], study: dict[str, Any]) -> Path:
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump({"recipe": "recipe.yaml", "question": "which?", **study}))
    return path


def judged_by_noise(path: Path, photographs: Path, out: Path) -> tuple[object, ...]:
    return ("study", path, "--judged-on", photographs, "-o", out, "--threads", 1, "--protocol", "noise")


def test_variants_are_trained_judged_and_counted_alike(tmp_path: Path, photographs: Path) -> None:
    variants = {"quarter": {}, "eighth": {"decoder_scale": 8}}
    path = write(tmp_path, RECIPE, {"kind": "variants", "schedule": {"steps": 2}, "variants": variants})
    done = run_command(*judged_by_noise(path, photographs, tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("which?\n")
    found = json.loads((tmp_path / "out" / "study.json").read_text())
    quarter, eighth = (found["costs"][name] for name in variants)
    assert quarter["kmac_per_pixel"] > eighth["kmac_per_pixel"]
    with (tmp_path / "out" / "study.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["variant"] for row in rows} == set(variants)
    assert len(rows) == 2 * 5
    log = tmp_path / "out" / "eighth" / "log.jsonl"
    assert json.loads(log.read_text())["step"] == 2
    asked = load_study(path)
    assert isinstance(asked, VariantStudy)
    run_variants(asked, base_recipe(asked, path), tmp_path / "out", trainer(None, "cpu"))
    assert len(log.read_text().splitlines()) == 1, "trained once"


def test_learning_to_remove_goes_from_gates_to_what_is_left(tmp_path: Path, photographs: Path) -> None:
    recipe = {**RECIPE, "network": BASELINE}
    removal = {
        "kind": "removal", "gate_penalty": 50.0, "closed_below": 0.97,
        "schedule": {"steps": 20, "learning_rate": 1e-3, "average_decay": 0.0, "gate_rate": 100.0, "decay_share": 0},
        "refine": {"steps": 2},
    }  # fmt: skip
    path = write(tmp_path, recipe, removal)
    trained = run_command("train", tmp_path / "recipe.yaml", "-o", tmp_path / "whole")
    assert trained.returncode == 0, trained.stderr
    command = judged_by_noise(path, photographs, tmp_path / "out")
    refused = run_command(*command)
    assert (refused.returncode, "needs --start-from" in refused.stderr) == (2, True)
    done = run_command(*command, "--start-from", tmp_path / "whole" / "weights.safetensors")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "study.json").read_text())
    assert all(each["kept"] == 0 for each in found["survivors"]), "the penalty outweighs all"
    costs = found["costs"]
    assert list(costs) == ["baseline", "what is left", "linear encoder"]
    assert costs["what is left"]["parameters"] < costs["linear encoder"]["parameters"]
    assert costs["linear encoder"]["parameters"] < costs["baseline"]["parameters"]
    kept = load_weights(tmp_path / "out" / "what-is-left" / "weights.safetensors").network
    assert not any(isinstance(module, torch.nn.ReLU) for module in kept.modules())
    assert (tmp_path / "out" / "gates.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_film_vibrates_as_asked_and_band_mode_follows_it() -> None:
    study = TemporalStudy(
        kind="temporal", question="?", displacement_px=0.1, magnified_px=2.0, noise_grey_levels=(1.0,),
        settle_s=2.0, judged_periods=1,
    )  # fmt: skip
    network = load_weights(find_weights("realtime")).network
    assert isinstance(network, RealtimeNetwork)
    (trials,) = run_temporal(study, network, [draw_picture(0, 320)])
    assert trials[BAND].reached_px == pytest.approx(2.0, rel=0.15)
    assert trials[BAND].ssim > trials[STATIC].ssim > trials[STATIC].ssim_unmagnified


def test_the_crests_are_among_the_frames() -> None:
    study = TemporalStudy(kind="temporal", question="?")
    scene = whole_frames([draw_picture(0, 320)])[0]
    places = [displacement_px for _, displacement_px in film(study, scene, 0.0, 0, 24)]
    assert places[0] == 0.0
    assert [n for n, at_px in enumerate(places) if at_px > 0.999 * 0.05] == [3, 15]
    assert min(places) == pytest.approx(-0.05)


def test_band_mode_shows_a_still_film_as_it_is() -> None:
    network = load_weights(find_weights("realtime")).network
    assert isinstance(network, RealtimeNetwork)
    band = BandFilm(network, TemporalStudy(kind="temporal", question="?"), 200.0)
    picture = draw_picture(1, 256)
    for _ in range(3):
        assert ssim(band.step(picture), picture) > 0.999


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_studies_of_the_project_can_be_followed(path: Path) -> None:
    study = load_study(path)
    if isinstance(study, VariantStudy):
        recipes = study.recipes(base_recipe(study, path))
        assert len({recipe.schedule.steps for recipe in recipes.values()}) == 1, "trained alike"
        assert len({json.dumps([recipe.network, recipe.seed]) for recipe in recipes.values()}) == len(recipes)
    elif isinstance(study, RemovalStudy):
        assert base_recipe(study, path).network["family"] == "baseline"
    else:
        assert math.isclose(study.rate_hz / study.frequency_hz % 4, 0.0), "crests fall on frames"


@pytest.mark.parametrize(
    ("study", "said"),
    [
        ({"kind": "variants", "variants": {"a": {}}}, "variants"),
        ({"kind": "guess", "variants": {}}, "kind"),
        ({"kind": "variants", "variants": {"a": {}, "b": {"decoder_blocks": "many"}}}, "decoder_blocks"),
        ({"kind": "variants", "variants": {"a": {}, "b": {"decoder_channels": 0}}}, "decoder_channels"),
        ({"kind": "variants", "variants": {"a": {}, "b": {"wings": 2}}}, "wings"),
        ({"kind": "variants", "variants": {"a": {}, "b": {"seed": "odd"}}}, "seed"),
        ({"kind": "variants", "variants": {"a": {}, "b": {}}, "schedule": {"steps": 0}}, "steps"),
        ({"kind": "removal", "gate_penalty": -1}, "gate_penalty"),
    ],
)
def test_a_bad_study_is_refused_by_its_key(study: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = write(tmp_path, RECIPE, study)

    def follow() -> None:
        read = load_study(path)
        assert isinstance(read, VariantStudy)
        read.recipes(base_recipe(read, path))

    with pytest.raises(RecipeFault, match=said):
        follow()


def test_a_bad_study_is_one_line_and_leaves_nothing(tmp_path: Path, photographs: Path) -> None:
    path = write(tmp_path, RECIPE, {"kind": "variants", "variants": {"a": {}, "b": {"wings": 2}}})
    done = run_command("study", path, "--judged-on", photographs, "-o", tmp_path / "out")
    assert (done.returncode, "wings" in done.stderr) == (1, True)
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
