"""Training: it learns, it goes on bit for bit after a kill, and it refuses what it cannot use."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from support import ROOT, command_line, run_command

from tremorscope.model.errors import CheckpointFault, RecipeFault, WeightsFault
from tremorscope.model.networks.removal import gates_of
from tremorscope.model.networks.weights import load_weights
from tremorscope.model.training.processes import shared
from tremorscope.model.training.recipe import Recipe, TrainingSchedule, load_recipe
from tremorscope.model.training.train import train

SMALL: dict[str, Any] = {
    "name": "small",
    "network": {
        "family": "realtime", "decoder_blocks": 1, "decoder_channels": 16, "texture_channels": 8, "shape_channels": 8,
    },
    "pictures": {"drawn_pictures": 4, "validation_fraction": 0.25},
    "pairs": {"patch_px": 32, "foreground_layers": 1, "magnified_motion_max_px": 4, "amplification_max": 20},
    "schedule": {"steps": 12, "batch": 2, "ease_in_steps": 0, "warm_up_steps": 5},
    "validation": {"pairs": 4, "every_steps": 6, "checkpoint_every_steps": 2},
}  # fmt: skip


def recipe(**schedule: Any) -> Recipe:
    return Recipe.model_validate({**SMALL, "schedule": {**SMALL["schedule"], **schedule}})


def write_recipe(path: Path, **schedule: Any) -> Path:
    path.write_text(yaml.safe_dump({**SMALL, "schedule": {**SMALL["schedule"], **schedule}}))
    return path


def same_weights(first: Path, second: Path) -> bool:
    ours, theirs = (load_weights(path).network.state_dict() for path in (first, second))
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_it_learns_to_magnify(tmp_path: Path) -> None:
    clean = {
        "noiseless_share": 1.0,
        "flicker_share": 0.0,
        "still_background_share": 0.0,
        "still_layer_share": 0.0,
    }
    schedule = {**SMALL["schedule"], "steps": 240, "average_decay": 0.95, "learning_rate": 3e-3}
    pairs = {**SMALL["pairs"], **clean, "magnified_motion_max_px": 3}
    train(Recipe.model_validate({**SMALL, "schedule": schedule, "pairs": pairs}), tmp_path)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert log[-1]["step"] == 240
    assert log[-1]["ssim"] > log[0]["ssim"]
    assert log[-1]["ssim"] > log[-1]["ssim_unmagnified"]


def test_it_leaves_weights_log_checkpoint_and_a_contact_sheet(tmp_path: Path) -> None:
    weights = load_weights(train(recipe(), tmp_path))
    assert (weights.name, weights.amplification_min, weights.amplification_max) == ("small", 1, 20)
    assert weights.training["step"] == 12
    assert weights.training["recipe"]["schedule"]["steps"] == 12
    # A row a pair: reference, frame, result, truth, error, each 32 px wide and shown twice as large.
    assert Image.open(tmp_path / "validation.png").size == (5 * 32 * 2, 4 * 32 * 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checkpoint.pt", "log.jsonl", "run.safetensors", "validation.png", "weights.safetensors",
    ]  # fmt: skip


def test_after_a_kill_it_goes_on_bit_for_bit(tmp_path: Path) -> None:
    steps = 60
    straight = train(recipe(steps=steps), tmp_path / "straight")
    path, killed = write_recipe(tmp_path / "recipe.yaml", steps=steps), tmp_path / "killed"
    command = command_line("train", path, "-o", killed)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not (killed / "checkpoint.pt").exists():
            assert time.monotonic() < deadline, "it never wrote a checkpoint"
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    saved = torch.load(killed / "checkpoint.pt", weights_only=True)
    assert 0 < saved["step"] < steps
    assert same_weights(train(recipe(steps=steps), killed), straight)


def test_a_run_can_be_made_longer_but_not_another(tmp_path: Path) -> None:
    train(recipe(steps=4), tmp_path)
    train(recipe(steps=8), tmp_path)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 8
    with pytest.raises(CheckpointFault, match="another recipe"):
        train(recipe(steps=8, batch=3), tmp_path)


def test_a_new_run_can_start_from_weights(tmp_path: Path) -> None:
    first = train(recipe(), tmp_path / "first")
    # With a rate of next to nothing the weights stay what they were at the start.
    second = train(recipe(learning_rate=1e-12), tmp_path / "second", start_from=first)
    ours, theirs = (load_weights(path).network.state_dict() for path in (first, second))
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, rtol=0, atol=1e-6)
    other = Recipe.model_validate({**SMALL, "network": {**SMALL["network"], "decoder_blocks": 2}})
    with pytest.raises(WeightsFault, match="another network"):
        train(other, tmp_path / "third", start_from=first)


def test_a_damaged_checkpoint_is_refused_and_kept(tmp_path: Path) -> None:
    train(recipe(steps=2), tmp_path)
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(CheckpointFault, match="damaged"):
        train(recipe(steps=2), tmp_path)
    assert len(checkpoint.read_bytes()) == 1000


def test_the_learning_rate_warms_up_holds_and_falls_to_zero() -> None:
    schedule = TrainingSchedule(steps=1000, learning_rate=1.0, warm_up_steps=100, decay_share=0.25)
    assert schedule.learning_rate_at(0) == pytest.approx(0.01)
    assert [schedule.learning_rate_at(step) for step in (99, 500, 750)] == [1.0, 1.0, 1.0]
    assert schedule.learning_rate_at(875) == pytest.approx(0.5)
    assert schedule.learning_rate_at(1000) == 0.0


def test_difficulty_eases_in() -> None:
    schedule = TrainingSchedule(steps=1000, ease_in_steps=100, ease_in_from=0.2)
    assert [schedule.difficulty(step) for step in (0, 50, 100, 900)] == pytest.approx([0.2, 0.6, 1.0, 1.0])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name: [", "not valid YAML"),
        ("", "the file"),
        ("name: a\nnetwork: {family: wavelet}\nschedule: {steps: 1}", "network: .*wavelet.* unknown"),
        (
            "name: a\nnetwork: {family: realtime}\nschedule: {steps: 0}",
            "schedule.steps: .*greater than or equal to 1",
        ),
        ("name: a\nnetwork: {family: realtime}\nschedule: {steps: 1}\nseeds: 3", "seeds: Extra inputs"),
    ],
)
def test_a_wrong_recipe_is_refused_by_key(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeFault, match=complaint):
        load_recipe(path)


def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    done = run_command("train", tmp_path / "absent.yaml", "-o", tmp_path / "run")
    assert done.returncode == 1
    assert done.stderr.strip().count("\n") == 0
    assert "absent.yaml: no such file" in done.stderr
    done = run_command(
        "train", write_recipe(tmp_path / "r.yaml"), "-o", tmp_path / "run", "--photographs", tmp_path / "no"
    )
    assert done.returncode == 1
    assert "no such folder" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[3].glob("configs/train-*.yaml")), ids=lambda p: p.stem
)
def test_the_recipes_that_are_shipped_are_valid(path: Path) -> None:
    assert load_recipe(path).name


def test_a_gated_baseline_learns_what_to_remove(tmp_path: Path) -> None:
    network = {
        "family": "baseline",
        "channels": 8,
        "encoder_blocks": 1,
        "branch_blocks": 1,
        "decoder_blocks": 1,
    }
    schedule = {**SMALL["schedule"], "steps": 6, "learning_rate": 1e-3, "average_decay": 0.5}
    whole = train(
        Recipe.model_validate({**SMALL, "network": network, "schedule": schedule}), tmp_path / "whole"
    )
    schedule |= {"steps": 30, "gate_penalty": 1.0, "gate_rate": 50.0}
    with_gates = {**SMALL, "network": network | {"gated": True}, "schedule": schedule}
    found = train(Recipe.model_validate(with_gates), tmp_path / "gated", start_from=whole)
    values = [gate.value.item() for gate in gates_of(load_weights(found).network)]
    assert len(values) == 13 + 5
    assert max(values) < 0.8, "a penalty that outweighs the error closes them all"
    last = json.loads((tmp_path / "gated" / "log.jsonl").read_text().splitlines()[-1])
    assert sorted(last["gates"].values()) == pytest.approx(sorted(values), abs=1e-4)


def test_a_carried_run_goes_on_within_the_rounding_of_its_moments(tmp_path: Path) -> None:
    """Three steps, and five more from the carried run, end where eight end: within a thirtieth of what they moved."""
    train(recipe(steps=8), tmp_path / "whole")
    train(recipe(steps=3), tmp_path / "first")
    carried = tmp_path / "first" / "run.safetensors"
    assert carried.stat().st_size < 0.62 * (tmp_path / "first" / "checkpoint.pt").stat().st_size
    train(recipe(steps=8), tmp_path / "second", go_on_from=carried)
    first, whole, second = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)
        for name in ("first", "whole", "second")
    )
    assert second["average"]["n_averaged"] == whole["average"]["n_averaged"]
    moved, apart = (
        sum(
            float((whole["network"][name] - other["network"][name]).square().sum())
            for name in whole["network"]
        )
        for other in (first, second)
    )
    assert 0.0 < apart < 1e-3 * moved
    with pytest.raises(CheckpointFault, match="another recipe"):
        train(recipe(steps=8, batch=3), tmp_path / "third", go_on_from=carried)
    with pytest.raises(CheckpointFault, match="not a training run in one file"):
        train(recipe(steps=8), tmp_path / "fourth", go_on_from=tmp_path / "first" / "weights.safetensors")


def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    """Each on half of every batch: the same loss at every validation, and the same weights but for rounding."""
    values = {
        **SMALL,
        "network": {**SMALL["network"], "skip": "layers", "flow_moving_windows_cells": [3],
            "flow_layer_windows_cells": [3], "flow_affine_windows_cells": [6],
        },
        "pairs": {**SMALL["pairs"], "two_layers": True, "structure_share": 0.5},
        "schedule": {
            **SMALL["schedule"], "steps": 6, "batch": 4, "consistency_weight": 0, "displacement_weight": 0.02,
            "edge_weight": 2, "layer_weight": 0.05,
        },
        "validation": {"pairs": 2, "every_steps": 1, "checkpoint_every_steps": 6},
    }  # fmt: skip
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    train(load_recipe(path), tmp_path / "one")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "tremorscope", "train", str(path), "-o", str(tmp_path / "two"), "--threads", "1",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    logs = [
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert [entry["step"] for entry in logs[1]] == [1, 2, 3, 4, 5, 6]
    for ours, theirs in zip(*logs, strict=True):
        assert theirs["loss"] == pytest.approx(ours["loss"], abs=2e-5)
    one, two = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["network"] for name in ("one", "two")
    )
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=2e-4)


def test_a_batch_that_cannot_be_shared_evenly_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(RecipeFault, match="8 pairs for 3 processes"), shared(8, torch.device("cpu")):
        pass
