"""From an FP32 bundle and a set to an INT8 bundle: what it says and refuses, and that nothing is reused silently."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from bridge_day import textured, write_set
from support import run_command

from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.pairs.calibration_set import CalibrationSet
from tremorscope.calibration.pairs.draw_set import draw_set
from tremorscope.calibration.quantise.quantise import QuantiseJob, deployed_range, quantise
from tremorscope.calibration.scales.measuring import DrawnPairs
from tremorscope.export.errors import ExportFault
from tremorscope.export.graphs.quantisation_rules import offences
from tremorscope.runtime.engines.interface.bundle import SHIPPED_BUNDLES, open_bundle
from tremorscope.runtime.engines.interface.manifest import FrameSize, write_manifest
from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeEngine
from tremorscope.runtime.errors import BundleFault, OptionFault

SHIPPED = SHIPPED_BUNDLES / "realtime"
SIZE = FrameSize(width_px=64, height_px=48)
TWO_PAIRS = DrawnPairs(count=2, frame_size=FrameSize(width_px=48, height_px=48))


@pytest.fixture(scope="module")
def drawn_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("set") / "drawn"
    draw_set(directory, SIZE, 32, reserve_bytes=0)
    return directory


@pytest.fixture(scope="module")
def made(drawn_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped bundle in INT8."""
    directory = tmp_path_factory.mktemp("bundles") / "int8"
    report = quantise(QuantiseJob(SHIPPED, directory, drawn_set, keep=("decoder.0",)))
    told = report.lines()
    assert told[2].endswith("3 of 4 convolutions of the decoder, the rest in FP32; scales by mse")
    written = onnx.load(directory / "pairwise.cpu.onnx")
    weights = [node.input[1] for node in written.graph.node if node.op_type == "Conv"]
    dequantised = {node.output[0] for node in written.graph.node if node.op_type == "DequantizeLinear"}
    assert 0 < len(report.on_cpu) == len(dequantised.intersection(weights)) <= 15
    assert told[3].split()[:4] == ["on", "a", "CPU", f"{len(report.on_cpu)}:"]
    return directory


def job(directory: Path, drawn_set: Path, **changes: Any) -> QuantiseJob:
    return replace(QuantiseJob(SHIPPED, directory / "int8", drawn_set), **changes)


def test_the_manifest_says_how_it_was_made(made: Path, drawn_set: Path) -> None:
    before, after = open_bundle(SHIPPED).manifest, open_bundle(made).manifest
    assert (after.precision, after.weights_sha256) == ("int8", before.weights_sha256)
    assert (after.deployable, after.accuracy) == (None, {})
    found = after.quantisation
    assert found is not None
    assert (found.method, found.unquantised, found.kept) == ("mse", "fp32", ("decoder.0",))
    assert found.float_graphs == {name: graph.sha256 for name, graph in before.graphs.items()}
    assert found.calibration.source == "set"
    assert found.calibration.sha256 == CalibrationSet.open(drawn_set).sha256
    assert (found.calibration.pairs, found.calibration.samples) == (32, 128)
    assert found.calibration.frame_size == SIZE
    assert found.calibration.amplification == before.amplification
    assert {each["file"] for each in after.checks["int8_against_fp32"]} == {
        "pairwise.onnx",
        "pairwise.cpu.onnx",
    }
    assert sorted(path.name for path in made.iterdir()) == [
        "band.cpu.onnx", "band.onnx", "manifest.json", "pairwise.cpu.onnx", "pairwise.onnx",
    ]  # fmt: skip
    assert not made.with_name("int8.calibrating").exists()


@pytest.mark.parametrize("name", ["pairwise", "band"])
def test_graphs_keep_the_rules_and_say_what_they_are(made: Path, name: str) -> None:
    graph = onnx.load(made / f"{name}.onnx")
    assert list(offences(graph)) == []
    facts = {entry.key: entry.value for entry in graph.metadata_props}
    manifest = open_bundle(made).manifest
    assert facts["tremorscope.precision"] == "int8"
    assert facts["tremorscope.graph"] == name
    assert facts["tremorscope.weights_sha256"] == manifest.weights_sha256
    assert manifest.quantisation is not None
    assert facts["tremorscope.calibration_sha256"] == manifest.quantisation.calibration.sha256
    # Beside FP32 its weights are stored in FP32, on the grid of INT8: TensorRT 8.6 takes no others.
    assert graph.ByteSize() < 1.02 * (SHIPPED / f"{name}.onnx").stat().st_size


def test_the_constant_error_is_taken_out_of_every_graph(made: Path) -> None:
    last = "head.conv"

    def bias(path: Path) -> np.ndarray:
        graph = onnx.load(path).graph
        name = next(node.input[2] for node in graph.node if node.op_type == "Conv" and node.name == last)
        return onnx.numpy_helper.to_array(next(each for each in graph.initializer if each.name == name))

    for kind in ("", ".cpu"):
        shifts = []
        for name in ("pairwise", "band"):
            before = bias(SHIPPED / f"{name}.onnx")
            now = bias(made / f"{name}{kind}.onnx")
            assert not now[len(before) :].any(), "a CPU's whole groups of channels, filled up with nothing"
            shifts.append(now[: len(before)] - before)
        assert (np.abs(shifts[0]) > 1e-6).sum() > 25, "of 54 channels"
        np.testing.assert_array_equal(*shifts)


@pytest.mark.parametrize("file", ["pairwise.onnx", "pairwise.cpu.onnx"])
def test_pictures_stay_near_those_of_fp32(made: Path, drawn_set: Path, file: str) -> None:
    pair = CalibrationSet.open(drawn_set).read(3)
    magnified, expected = np.empty_like(pair.frame), np.empty_like(pair.frame)
    for path, picture in ((made / file, magnified), (SHIPPED / "pairwise.onnx", expected)):
        engine = OnnxRuntimeEngine(path, width_px=64, height_px=48)
        engine.step(pair.frame, pair.reference, 20.0, picture)
    difference = magnified.astype(float) - expected
    assert 0 < np.sqrt((difference**2).mean()) < 4


def test_the_cpu_is_given_its_own_arrangement(made: Path) -> None:
    bundle = open_bundle(made)
    assert bundle.graph_path("band") == made / "band.onnx"
    assert bundle.cpu_graph_path("band") == made / "band.cpu.onnx"
    assert open_bundle(SHIPPED).cpu_graph_path("band") == SHIPPED / "band.onnx"


def test_an_interrupted_calibration_goes_on_and_ends_as_if_it_had_not_been(
    made: Path, drawn_set: Path, tmp_path: Path
) -> None:
    wanted = job(tmp_path, drawn_set, keep=("decoder.0",))

    def interrupt(done: int, _total: int | None) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantise(wanted, interrupt)
    assert not wanted.output.exists()
    assert list(tmp_path.iterdir()) == [wanted.checkpoint.parent]
    reported: list[int] = []
    quantise(wanted, lambda done, _total: reported.append(done))
    assert reported == list(range(20, 33))
    for name in ("pairwise.onnx", "band.onnx", "pairwise.cpu.onnx", "band.cpu.onnx"):
        assert (wanted.output / name).read_bytes() == (made / name).read_bytes()


def test_a_graph_whose_decoder_is_clipped_to_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tremorscope.calibration.quantise.quantise.scale_of", lambda *_: 1e-6
    )  # which clips everything
    monkeypatch.setattr(
        "tremorscope.calibration.quantise.quantised_bundle._ALWAYS_ALLOWED_GREY_LEVELS", 0.0
    )  # the pairs are tame
    monkeypatch.setattr(
        "tremorscope.calibration.quantise.quantised_bundle._FITS_WITHIN", 0.05
    )  # least squares, which is not clipped, leaves a tenth of them to the decoder
    with pytest.raises(ExportFault, match=r"RMS\) from FP32's pictures.*--keep-fp16"):
        quantise(replace(QuantiseJob(SHIPPED, tmp_path / "int8"), drawn=TWO_PAIRS))
    assert not (tmp_path / "int8").exists()


def begun(tmp_path: Path, drawn_set: Path, **changes: Any) -> QuantiseJob:
    """A job that was interrupted after a pair."""
    wanted = job(tmp_path, drawn_set, **changes)

    def interrupt(done: int, _total: int | None) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantise(wanted, interrupt)
    return wanted


def test_what_was_measured_on_another_set_is_never_reused(drawn_set: Path, tmp_path: Path) -> None:
    wanted = begun(tmp_path, drawn_set)
    other = tmp_path / "other"
    write_set(other)
    with pytest.raises(
        CalibrationFault, match=r"ranges\.npz: an interrupted calibration of another bundle, set"
    ):
        quantise(replace(wanted, calibration=other))
    with pytest.raises(CalibrationFault, match=r"begin anew with --restart"):
        quantise(replace(wanted, amplification=deployed_range((1, 50))))
    assert not wanted.output.exists()


@pytest.mark.parametrize("left", [slice(0, -40), slice(0, 0), slice(40, None)])
def test_a_damaged_checkpoint_is_refused(drawn_set: Path, tmp_path: Path, left: slice) -> None:
    wanted = begun(tmp_path, drawn_set)
    wanted.checkpoint.write_bytes(wanted.checkpoint.read_bytes()[left])
    with pytest.raises(CalibrationFault, match="an interrupted calibration left is damaged: begin anew"):
        quantise(wanted)


def test_a_set_in_which_nothing_moves_is_refused(tmp_path: Path) -> None:
    still = tmp_path / "still"
    write_set(still, pictures=lambda number: textured(number // 2, 32, 32))
    with pytest.raises(
        CalibrationFault, match="nothing changes between frame and reference in any of the 32"
    ):
        quantise(job(tmp_path, still))
    assert not (tmp_path / "int8").exists()


def test_a_set_of_another_size_is_refused(drawn_set: Path, tmp_path: Path) -> None:
    fixed = Path(shutil.copytree(SHIPPED, tmp_path / "fixed"))
    size = FrameSize(width_px=640, height_px=360)
    write_manifest(fixed, open_bundle(fixed).manifest.model_copy(update={"frame_size": size}))
    with pytest.raises(
        CalibrationFault, match="pairs of 64x48 px, and the bundle is for 640x360 px: capture"
    ):
        quantise(job(tmp_path, drawn_set, bundle=fixed))


def test_a_changed_pair_is_refused(drawn_set: Path, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(drawn_set, tmp_path / "changed"))
    path = sorted(changed.glob("pair-*.mkv"))[5]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CalibrationFault, match=r"pair-.*\.mkv: its content is not what the manifest sealed"):
        quantise(job(tmp_path, changed))


@pytest.mark.parametrize(
    ("changes", "fault", "complaint"),
    [
        ({"keep": ("blocks.99.conv1",)}, OptionFault, "--keep-fp16 blocks.99.conv1: no such layer"),
        (
            {"amplification": deployed_range((2, 1000))},
            OptionFault,
            "not within the network's range: stay within 1",
        ),
        ({"output": SHIPPED}, ExportFault, "realtime: exists: name another directory"),
        ({"bundle": Path("nowhere")}, BundleFault, "nowhere: no manifest.json there"),
        ({"calibration": Path("nowhere")}, CalibrationFault, "nowhere: is no calibration set"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_measured(
    drawn_set: Path, tmp_path: Path, changes: dict[str, Any], fault: type[Exception], complaint: str
) -> None:
    with pytest.raises(fault, match=complaint):
        quantise(job(tmp_path, drawn_set, **changes), lambda _done, _total: pytest.fail("measured"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bounds", [(0.5, 10.0), (20.0, 10.0), (1.0, float("inf")), (float("nan"), 2.0)])
def test_what_is_no_range_is_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(OptionFault, match="not a range of amplifications: state the smallest, at least 1"):
        deployed_range(bounds)


def test_the_command_refuses_in_one_line(tmp_path: Path) -> None:
    done = run_command("calibrate", "quantise", SHIPPED, "-o", tmp_path / "b", "--keep-fp16", "encoder")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "tremorscope: --keep-fp16 encoder: no such layer in the decoder: choose from decoder.0"
    )
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_int8_is_not_quantised_again(made: Path, drawn_set: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleFault, match="is in INT8 already: quantise the FP32 bundle"):
        quantise(job(tmp_path, drawn_set, bundle=made))


@pytest.mark.parametrize("name", ["pairwise.onnx", "band.cpu.onnx"])
def test_a_truncated_graph_is_refused(made: Path, tmp_path: Path, name: str) -> None:
    copy = Path(shutil.copytree(made, tmp_path / "copy"))
    (copy / name).write_bytes((copy / name).read_bytes()[:-1])
    with pytest.raises(BundleFault, match=rf"{name}: its content is not what the manifest sealed"):
        open_bundle(copy)


def test_a_manifest_edited_by_hand_is_refused(made: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made, tmp_path / "copy"))
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"deployable": True}))
    with pytest.raises(BundleFault, match="was edited"):
        open_bundle(copy)


def test_without_a_set_pairs_are_drawn_and_the_manifest_says_so(tmp_path: Path) -> None:
    report = quantise(replace(QuantiseJob(SHIPPED, tmp_path / "int8"), drawn=TWO_PAIRS, unquantised="fp16"))
    found = open_bundle(tmp_path / "int8").manifest
    assert found.quantisation is not None
    assert (found.quantisation.calibration.source, found.quantisation.calibration.pairs) == ("drawn", 2)
    assert found.quantisation.calibration.sha256 == TWO_PAIRS.sha256 != DrawnPairs().sha256
    assert found.graphs["pairwise"].opset == 19
    assert found.cpu_graphs["pairwise"].opset == 17
    assert report.int8_bytes < 0.36 * report.float_bytes
    assert "times smaller than the" in "".join(report.lines())
    assert "2 drawn pairs: capture a set for scales of your own scene" in report.lines()[0]
