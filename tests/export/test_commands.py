"""The commands `export`, `evaluate` and `cost`, as a user meets them."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from support import Done, run_command

from tremorscope.calibration.pairs.draw_set import draw_set
from tremorscope.export.bundle import new_bundle
from tremorscope.export.studies.runners import open_magnifier, open_magnifiers
from tremorscope.model.networks.cost import macs_per_pixel, parameter_count
from tremorscope.model.networks.realtime import RealtimeConfig, RealtimeNetwork
from tremorscope.model.networks.weights import SHIPPED_WEIGHTS, find_weights, load_weights, save_weights
from tremorscope.model.pairs.drawing import draw_picture
from tremorscope.model.training.recipe import load_recipe
from tremorscope.runtime.engines.interface.bundle import SHIPPED_BUNDLES, open_bundle
from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.errors import BundleFault

TINY = RealtimeConfig(decoder_blocks=1, decoder_channels=16, texture_channels=8, shape_channels=8)


SHIPPED_NETWORKS = ("baseline", "lite", "nano", "realtime")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = RealtimeNetwork(TINY)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, "tiny", network, network.state_dict(), (1.0, 40.0), {})
    return path


@pytest.fixture(scope="module")
def bundle(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For frames of any size."""
    directory = tmp_path_factory.mktemp("bundles") / "tiny"
    done = run_command("export", "--model", weights, "-o", directory)
    assert done.returncode == 0, done.stderr
    return directory


def test_a_bundle_says_what_it_is_and_what_was_checked(bundle: Path) -> None:
    manifest = open_bundle(bundle).manifest
    assert (manifest.network, manifest.trained, manifest.precision) == ("tiny", True, "fp32")
    assert manifest.frame_size is None
    assert manifest.amplification.maximum == 40
    checks = manifest.checks["onnxruntime_against_pytorch"]
    assert {(c["width_px"], c["height_px"]) for c in checks} == {(192, 128), (161, 119)}
    assert max(c["worst_grey_levels"] for c in checks) <= 1
    assert sorted(path.name for path in bundle.iterdir()) == ["band.onnx", "manifest.json", "pairwise.onnx"]


def test_a_bundle_stays_until_the_one_that_replaces_it_is_whole(tmp_path: Path) -> None:
    directory = tmp_path / "b"
    directory.mkdir()
    (directory / "manifest.json").write_text("old")
    (directory / "engines").mkdir()

    def fill(place: Path) -> None:
        (place / "manifest.json").write_text("new")
        assert (directory / "manifest.json").read_text() == "old"

    with suppress(ZeroDivisionError), new_bundle(directory, overwrite=True) as partial:
        fill(partial)
        raise ZeroDivisionError
    assert (directory / "manifest.json").read_text() == "old"
    with new_bundle(directory, overwrite=True) as one, new_bundle(tmp_path / "c", overwrite=False) as other:
        fill(one)
        fill(other)
    assert [(each.name, (each / "manifest.json").read_text()) for each in sorted(tmp_path.iterdir())] == [
        ("b", "new"), ("c", "new"),
    ]  # fmt: skip
    assert os.listdir(directory) == ["manifest.json"]


def test_a_bundle_is_not_replaced_unasked(bundle: Path, weights: Path, run_here: Callable[..., Done]) -> None:
    before = (bundle / "manifest.json").read_bytes()
    done = run_here("export", "--model", weights, "-o", bundle)
    assert done.returncode == 1
    assert "--overwrite" in done.stderr
    assert (bundle / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--model", "no-such"), "no-such: no such weights"),
        (("--model", "realtime", "--size", "1920"), "1920 is no size"),
        (("--model", "realtime", "--size", "8x8"), "at least 16x16"),
        (("--model", "wavelet", "--untrained"), "no such family"),
        (("--model", __file__), "not a whole safetensors file"),
        (("--model", "realtime", "--precision", "fp8"), "'fp8' is not one of 'fp32', 'fp16', 'int8'"),
        (("--model", "realtime", "--calibration", "set"), "--calibration is for --precision int8"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    tmp_path: Path, arguments: tuple[str, ...], complaint: str, run_here: Callable[..., Done]
) -> None:
    done = run_here("export", *arguments, "-o", tmp_path / "bundle")
    assert done.returncode != 0
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_evaluate_judges_bundle_and_weights_alike(weights: Path, bundle: Path, tmp_path: Path) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    Image.fromarray(draw_picture(0, 300)).save(photographs / "drawn.png")
    done = run_command(
        "evaluate", weights, bundle, "unmagnified", "--photographs", photographs,
        "--protocol", "blob", "-o", tmp_path / "found",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "moving blob, 1 photographs" in done.stdout
    assert not re.search(r"\)\S", done.stdout), "columns of the table run into each other"
    with (tmp_path / "found" / "evaluation.csv").open() as file:
        rows = list(csv.DictReader(file))
    by_runner = {
        name: [row for row in rows if name in row["magnifier"]] for name in ("PyTorch", "ONNX", "unmag")
    }
    assert [len(series) for series in by_runner.values()] == [3, 3, 3]
    for torch_row, onnx_row in zip(by_runner["PyTorch"], by_runner["ONNX"], strict=True):
        assert float(torch_row["ssim"]) == pytest.approx(float(onnx_row["ssim"]), abs=1e-3)
        assert float(torch_row["reached_px"]) == pytest.approx(float(onnx_row["reached_px"]), abs=0.02)
    for name in ("evaluation.png", "examples.png"):
        assert (tmp_path / "found" / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_evaluate_judges_on_publications_protocols_where_they_are_named(
    tmp_path: Path, run_here: Callable[..., Done]
) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    Image.fromarray(draw_picture(0, 300)).save(photographs / "drawn.png")
    options = ("--protocol", "fd4mm", "--protocol", "geomag", "-o", tmp_path / "found")
    done = run_here("evaluate", "unmagnified", "--photographs", photographs, *options)
    assert done.returncode == 0, done.stderr
    assert "fd4mm, 1 photographs: SSIM (spread between scenes) / PSNR in dB" in done.stdout
    assert sorted(path.name for path in (tmp_path / "found").iterdir()) == ["fd4mm.csv", "geomag.csv"]
    with (tmp_path / "found" / "geomag.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["kind"] for row in rows] == ["translation", "rotation", "noise", "blur"]
    assert all(20 < float(row["psnr_db"]) < 45 for row in rows)


def test_a_shipped_network_is_judged_by_its_name_whatever_lies_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("realtime").mkdir()
    assert open_magnifier("realtime")[0] == "realtime, fp32, PyTorch"
    with pytest.raises(BundleFault, match="manifest"):
        open_magnifier("./realtime")


def test_two_networks_of_one_name_are_both_judged(tmp_path: Path) -> None:
    own = shutil.copy(find_weights("nano"), tmp_path / "weights.safetensors")
    titles = list(open_magnifiers(["unmagnified", "nano", str(own), "nano"]))
    assert titles == ["unmagnified", "nano, fp32, PyTorch, nano", f"nano, fp32, PyTorch, {own}"]


def test_cost_sets_the_networks_side_by_side(
    weights: Path, tmp_path: Path, run_here: Callable[..., Done]
) -> None:
    path, wide = tmp_path / "cost.json", RealtimeNetwork(replace(TINY, decoder_channels=64))
    save_weights(tmp_path / "wide.safetensors", "wide", wide, wide.state_dict(), (1.0, 40.0), {})
    done = run_here(
        "cost", tmp_path / "wide.safetensors", weights, "--size", "64x48", "--rounds", 5, "--steps", 4,
        "-o", path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    costly, tiny = json.loads(path.read_text())
    assert (costly["network"], tiny["network"]) == ("wide", "tiny")
    assert costly["kmac_per_pixel"] > 2 * tiny["kmac_per_pixel"]
    assert costly["parameters"] == parameter_count(wide)
    assert 0 < tiny["step_ms"] < costly["step_ms"]
    assert 0 < costly["peak_memory_mib"] < 1000


def test_the_real_time_network_costs_a_quarter_of_the_baseline() -> None:
    baseline, realtime = (
        macs_per_pixel(load_weights(find_weights(each)).network) for each in ("baseline", "realtime")
    )
    assert baseline / realtime >= 4.2


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize(("name", "most_kmac_per_pixel"), [("realtime", 49), ("lite", 30), ("nano", 16)])
def test_a_shipped_bundle_is_of_the_shipped_weights(
    name: str, most_kmac_per_pixel: float, precision: str
) -> None:
    shipped, weights = open_bundle(Path(f"{name}-{precision}")).manifest, load_weights(find_weights(name))
    assert (shipped.weights_sha256, shipped.network) == (weights.sha256, name)
    assert (shipped.trained, shipped.precision) == (True, precision)
    assert shipped.frame_size is None
    assert macs_per_pixel(weights.network) / 1e3 <= most_kmac_per_pixel


def test_a_shipped_bundle_in_fp16_takes_half_the_room() -> None:
    sizes = {
        path.name: sum(each.stat().st_size for each in path.iterdir()) for path in SHIPPED_BUNDLES.iterdir()
    }
    assert sorted(sizes) == ["lite", "lite-fp16", "nano", "nano-fp16", "realtime", "realtime-fp16"]
    for name in ("lite", "nano", "realtime"):
        assert sizes[f"{name}-fp16"] < 0.55 * sizes[name]


def test_no_other_weights_are_shipped() -> None:
    assert tuple(sorted(path.stem for path in SHIPPED_WEIGHTS.glob("*.safetensors"))) == SHIPPED_NETWORKS


@pytest.mark.parametrize("name", SHIPPED_NETWORKS)
def test_shipped_weights_have_a_card(name: str) -> None:
    weights = load_weights(find_weights(name))
    card = (SHIPPED_WEIGHTS / f"{name}.md").read_text(encoding="utf-8")
    assert weights.name == name
    assert weights.sha256 in card
    assert f"{parameter_count(weights.network):,} parameters" in card
    macs = macs_per_pixel(weights.network)
    assert f"{macs / 1e3:.{0 if macs >= 1e5 else 1}f} kMAC a pixel" in card


@pytest.mark.parametrize("name", SHIPPED_NETWORKS)
def test_a_recipe_is_of_the_network_that_is_shipped(name: str) -> None:
    recipe = load_recipe(Path(__file__).parents[2] / "configs" / f"train-{name}.yaml")
    assert recipe.network_config() == load_weights(find_weights(name)).network.config


def test_a_network_that_is_not_linear_has_no_band_graph(
    tmp_path: Path, run_here: Callable[..., Done]
) -> None:
    done = run_here("export", "--model", "baseline", "--untrained", "--size", "32x32", "-o", tmp_path / "b")
    assert done.returncode == 0, done.stderr
    manifest = open_bundle(tmp_path / "b").manifest
    assert list(manifest.graphs) == ["pairwise"]
    assert manifest.representation is None


def test_the_band_graph_is_checked_over_steps_and_at_an_odd_size(bundle: Path) -> None:
    manifest = open_bundle(bundle).manifest
    assert manifest.representation is not None
    assert (manifest.representation.channels, manifest.representation.cell_px) == (24, 4)
    band = [c for c in manifest.checks["onnxruntime_against_pytorch"] if c["graph"] == "band"]
    assert {(c["width_px"], c["height_px"], c["amplification"]) for c in band} == {
        (width_px, height_px, amplification)
        for width_px, height_px in ((192, 128), (161, 119))
        for amplification in (1.0, 20.0, 40.0)
    }
    assert max(c["worst_grey_levels"] for c in band) <= 1


def test_int8_is_exported_in_one_command(
    weights: Path, tmp_path: Path, run_here: Callable[..., Done]
) -> None:
    draw_set(tmp_path / "set", FrameSize(width_px=61, height_px=35), 32, reserve_bytes=0)
    done = run_here(
        "export", "--model", weights, "--size", "61x35", "--precision", "int8",
        "--calibration", tmp_path / "set", "-o", tmp_path / "int8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "measured on     32 pairs of the set" in done.stdout
    manifest = open_bundle(tmp_path / "int8").manifest
    assert (manifest.precision, list(manifest.graphs)) == ("int8", ["pairwise", "band"])
    assert manifest.frame_size == FrameSize(width_px=61, height_px=35)
    of_fp32 = manifest.checks["onnxruntime_against_pytorch"]
    # A graph of one size says nothing of others: an odd-sized one is made for the check as well.
    assert {(c["width_px"], c["height_px"]) for c in of_fp32} == {(61, 35), (161, 119)}
    assert max(c["worst_grey_levels"] for c in of_fp32) <= 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["int8", "set"]


def test_fp16_is_checked_against_pytorch(
    weights: Path, tmp_path: Path, run_here: Callable[..., Done]
) -> None:
    done = run_here(
        "export", "--model", weights, "--size", "48x32", "--precision", "fp16", "-o", tmp_path / "fp16"
    )
    assert done.returncode == 0, done.stderr
    manifest = open_bundle(tmp_path / "fp16").manifest
    assert (manifest.precision, manifest.quantisation) == ("fp16", None)
    assert 0 < max(c["worst_grey_levels"] for c in manifest.checks["onnxruntime_against_pytorch"]) <= 2


def test_the_baseline_has_no_fp16(tmp_path: Path, run_here: Callable[..., Done]) -> None:
    done = run_here(
        "export", "--model", "baseline", "--untrained", "--precision", "fp16", "-o", tmp_path / "b"
    )
    assert done.returncode == 1
    assert "not of the realtime network: FP16 and INT8 are for that; keep this one in FP32" in done.stderr
    assert list(tmp_path.iterdir()) == []
