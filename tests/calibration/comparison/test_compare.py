"""Comparing bundles: what is lost is measured, judged by limits, told, and noted in the manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bridge_day import write_set
from hypothesis import given
from hypothesis import strategies as st
from support import linear_graph, run_command, write_bundle

from tremorscope.calibration.comparison.comparison import PrecisionComparison, left_unmarked
from tremorscope.calibration.comparison.job import CompareJob, run_comparison, summary_lines
from tremorscope.calibration.comparison.verdict import (
    DEFAULTS,
    LimitChanges,
    displacement_error,
    noise_ratio,
    ssim_loss,
    worst_pixel,
)
from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.judging import judging
from tremorscope.calibration.judging.judging import Condition, agreement, fitted
from tremorscope.model.pairs.drawing import draw_picture
from tremorscope.runtime.engines.interface.bundle import open_bundle
from tremorscope.runtime.engines.interface.manifest import FrameSize, write_manifest

onnx = pytest.importorskip("onnx", reason="needs onnx")

QUANTISATION: dict[str, Any] = {
    "method": "entropy",
    "unquantised": "fp32",
    "layers": ["merge"],
    "float_graphs": {"pairwise": "0" * 64},
    "calibration": {
        "source": "drawn",
        "sha256": "0" * 64,
        "pairs": 32,
        "samples": 64,
        "frame_size": {"width_px": 64, "height_px": 48},
        "amplification": {"minimum": 1, "maximum": 100},
    },
}


def graph_that_moves(share: float) -> bytes:
    """The linear stand-in, whose motion falls short: at amplification 4 it moves ``share`` of what it should."""
    model = onnx.load_from_string(linear_graph())
    for constant in model.graph.initializer:
        if constant.name == "one":
            constant.CopyFrom(onnx.helper.make_tensor("one", onnx.TensorProto.FLOAT, [], [5.0 - 4.0 * share]))
    return bytes(model.SerializeToString())


def bundle_of(directory: Path, precision: str = "fp32", share: float = 1.0, **changes: Any) -> Path:
    if precision == "int8":
        changes["quantisation"] = QUANTISATION
    write_bundle(directory, graph=graph_that_moves(share), precision=precision, **changes)
    path = directory / "manifest.json"
    content = json.loads(path.read_text())
    from tremorscope.runtime.engines.interface.manifest import Manifest

    write_manifest(directory, Manifest.model_validate(content))
    return directory


@pytest.fixture(autouse=True)
def small_motion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Motion that the linear stand-in can magnify."""
    condition = Condition(0.1, 0.4)
    monkeypatch.setattr(judging.Material, "conditions", (condition,))
    monkeypatch.setattr(judging.Material.__init__, "__defaults__", ((), (condition,), 2.0, 0.0))


@pytest.fixture
def compared(tmp_path: Path) -> Callable[..., PrecisionComparison]:
    def run(*bundles: Path, **options: Any) -> PrecisionComparison:
        plain: dict[str, Any] = {
            "sensitivity": False,
            "proof": False,
        }  # the stand-in has neither layers nor encoders
        job = CompareJob(bundles, tmp_path / "report", most=1, overwrite=True, **plain | options)
        return run_comparison(job, lambda _done, _total: None)

    return run


def test_equal_bundles_lose_nothing_and_are_deployable(
    tmp_path: Path, compared: Callable[..., PrecisionComparison]
) -> None:
    found = compared(bundle_of(tmp_path / "a"), bundle_of(tmp_path / "b", "fp16"))
    assert [verdict.contestant.name for verdict in found.verdicts] == ["FP32", "FP16"]
    assert [verdict.deployable for verdict in found.verdicts] == [True, True]
    score = found.verdicts[1].score.conditions[0]
    assert score.agreement is not None
    assert (score.agreement.worst_grey_levels, score.agreement.ssim) == (0, 1.0)
    assert 0.3 < score.reached_px < 0.45
    assert open_bundle(tmp_path / "b").manifest.deployable is True


def test_motion_that_falls_short_is_measured_told_and_noted(
    tmp_path: Path, compared: Callable[..., PrecisionComparison]
) -> None:
    # The order in which they are named does not matter: FP32 is the yardstick.
    found = compared(bundle_of(tmp_path / "short", "int8", share=0.9), bundle_of(tmp_path / "fp32"))
    fp32, int8 = found.verdicts
    ratio = int8.score.conditions[0].reached_px / fp32.score.conditions[0].reached_px
    assert 0.88 < ratio < 0.97
    assert not int8.deployable
    assert re.search(r"0\.1 px x4: displacement off by \d+\.\d+% \(limit 2\.00%\)", int8.reasons[0])
    manifest = open_bundle(tmp_path / "short").manifest
    assert manifest.deployable is False
    assert manifest.accuracy["reasons"] == int8.reasons
    assert manifest.accuracy["conditions"]["0.1 px x4"]["reached_px"] == pytest.approx(
        int8.score.conditions[0].reached_px, abs=1e-4
    )
    assert open_bundle(tmp_path / "fp32").manifest.deployable is True
    assert any("not deployable" in line for line in summary_lines(found))


def test_limits_can_be_set_and_marking_left_out(
    tmp_path: Path, compared: Callable[..., PrecisionComparison]
) -> None:
    bundles = bundle_of(tmp_path / "fp32"), bundle_of(tmp_path / "short", "int8", share=0.9)
    generous = LimitChanges(ssim_loss=0.5, displacement_error=0.2, noise_ratio=2.0)
    assert compared(*bundles, limits=generous, mark=False).verdicts[1].deployable
    assert open_bundle(tmp_path / "short").manifest.deployable is None


def test_what_is_shipped_is_never_written_into(
    tmp_path: Path, compared: Callable[..., PrecisionComparison], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tremorscope.runtime.engines.interface.bundle.SHIPPED_BUNDLES", tmp_path / "installed"
    )
    shipped = bundle_of(tmp_path / "installed" / "realtime", "int8", share=0.9)
    (tmp_path / "link").symlink_to(tmp_path / "installed")
    own = bundle_of(tmp_path / "own")
    before = {path: path.read_bytes() for path in shipped.iterdir()}
    found = compared(own, tmp_path / "link" / "realtime")
    assert {path: path.read_bytes() for path in shipped.iterdir()} == before
    assert open_bundle(own).manifest.deployable is True
    told = json.loads((tmp_path / "report" / "comparison.json").read_text())["bundles"]
    assert [each["deployable"] for each in told] == [True, False]
    (line,) = left_unmarked(found)
    assert line.startswith(
        "realtime: came with this installation and is not marked; its verdict stands in comparison.json"
    )


def test_the_users_own_frames_are_judged_too(
    tmp_path: Path, compared: Callable[..., PrecisionComparison]
) -> None:
    manifest = write_set(tmp_path / "set")
    found = compared(
        bundle_of(tmp_path / "fp32"),
        bundle_of(tmp_path / "short", "int8", share=0.5),
        calibration=tmp_path / "set",
        pairs=3,
    )
    assert len(found.material.pairs) == 3
    on_set = found.verdicts[1].score.conditions[0].on_set
    assert on_set is not None
    assert on_set.worst_grey_levels > 0
    report = json.loads((tmp_path / "report" / "comparison.json").read_text())
    assert report["judged_on"]["calibration_sha256"] == manifest.sha256


def test_the_report_needs_no_other_file_and_says_what_was_lost(
    tmp_path: Path, compared: Callable[..., PrecisionComparison]
) -> None:
    compared(bundle_of(tmp_path / "fp32"), bundle_of(tmp_path / "short", "int8", share=0.9))
    page = (tmp_path / "report" / "report.html").read_text()
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert "not deployable" in page
    assert "displacement off by" in page
    figures = json.loads((tmp_path / "report" / "comparison.json").read_text())
    assert [each["deployable"] for each in figures["bundles"]] == [True, False]


def test_bundles_that_cannot_be_compared_are_refused(
    tmp_path: Path, compared: Callable[..., PrecisionComparison]
) -> None:
    fp32 = bundle_of(tmp_path / "fp32")
    with pytest.raises(CalibrationFault, match="different weights"):
        compared(fp32, bundle_of(tmp_path / "other", weights_sha256="1" * 64))
    with pytest.raises(CalibrationFault, match="untrained"):
        compared(bundle_of(tmp_path / "untrained", trained=False))
    with pytest.raises(CalibrationFault, match="no FP32 to compare it with: name the FP32 bundle"):
        compared(bundle_of(tmp_path / "alone", "int8"))
    small = bundle_of(tmp_path / "small", "int8", frame_size={"width_px": 640, "height_px": 200})
    with pytest.raises(
        CalibrationFault, match="small: is for frames of 640x200 px, and pictures of 256x256 px"
    ):
        compared(fp32, small)
    assert not (tmp_path / "report").exists()


def test_the_command_ends_with_3_where_too_much_is_lost(tmp_path: Path) -> None:
    bundles = bundle_of(tmp_path / "fp32"), bundle_of(tmp_path / "short", "int8", share=-25.0)
    plain = ("--no-sensitivity", "--no-proof", "--most", 1)
    done = run_command("compare", *bundles, "-o", tmp_path / "report", *plain)
    assert done.returncode == 3, done.stderr
    assert "INT8: not deployable" in done.stdout
    done = run_command("compare", bundles[0], "-o", tmp_path / "report", "--most", 1)
    assert done.returncode == 1
    assert "holds earlier results" in done.stderr


def test_a_bundle_of_one_size_judges_smaller_pictures() -> None:
    seen: list[tuple[int, ...]] = []

    def sized(frame: np.ndarray, reference: np.ndarray, amplification: float) -> np.ndarray:
        seen.append(frame.shape)
        return frame + (frame - reference) * np.uint8(amplification)

    frame, reference = draw_picture(1, 100), draw_picture(2, 100)
    wide = fitted(sized, FrameSize(width_px=160, height_px=120))
    assert np.array_equal(wide(frame, reference, 3.0), sized(frame, reference, 3.0))
    assert seen == [(120, 160, 3), (100, 100, 3)]


def test_agreement_is_over_all_pixels() -> None:
    first = np.full((64, 64, 3), 100, np.uint8)
    second = first.copy()
    second[3, 4, 1] = 112
    found = agreement([second, first], [first, first])
    assert found.worst_grey_levels == 12
    assert found.mean_grey_levels == pytest.approx(12 / (2 * 64 * 64 * 3))


INT8 = DEFAULTS["int8"]


@given(fp32=st.floats(0.1, 1), lost=st.floats(-0.1, 0.1))
def test_ssim_may_fall_by_a_hundredth_and_rise_by_any(fp32: float, lost: float) -> None:
    if abs(lost - 0.01) > 1e-9:
        assert ssim_loss("", fp32, fp32 - lost, INT8).exceeds is (lost > 0.01)


@given(fp32=st.floats(0.1, 20), share=st.floats(0.9, 1.1))
def test_displacement_may_be_off_by_two_per_cent_either_way(fp32: float, share: float) -> None:
    if abs(abs(share - 1) - 0.02) > 1e-9:
        assert displacement_error("", fp32, fp32 * share, INT8).exceeds is (abs(share - 1) > 0.02)


def test_noise_may_grow_by_a_tenth_and_a_figure_that_is_none_counts_as_lost() -> None:
    assert not noise_ratio("", 0.01, 0.0109, INT8).exceeds
    assert noise_ratio("", 0.01, 0.0111, INT8).exceeds
    assert noise_ratio("", 0.01, float("nan"), INT8).exceeds
    assert displacement_error("", 0.0, 1.0, INT8).exceeds
    assert worst_pixel("", 200, INT8) is None
    fp16 = worst_pixel("", 3, DEFAULTS["fp16"])
    assert fp16 is not None
    assert fp16.exceeds


def test_the_runtime_refuses_a_bundle_that_lost_too_much_unless_told_otherwise(
    tmp_path: Path, clip: Path
) -> None:
    bundle = bundle_of(
        tmp_path / "short",
        "int8",
        deployable=False,
        accuracy={"reasons": ["0.05 px x200: too short", "and more"]},
    )
    command = ("magnify", clip, "-o", tmp_path / "out.mp4", "-a", 4, "--bundle", bundle)
    done = run_command(*command)
    assert done.returncode == 1
    assert (
        "is not deployable: 0.05 px x200: too short and 1 more: use FP16, or calibrate again" in done.stderr
    )
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out.mp4").exists()
    assert run_command(*command, "--allow-inaccurate").returncode == 0


@pytest.mark.parametrize("verdict", [True, None])
def test_a_bundle_that_is_deployable_or_that_nobody_compared_runs(
    tmp_path: Path, verdict: bool | None
) -> None:
    open_bundle(bundle_of(tmp_path / "bundle", deployable=verdict)).check_deployable()
