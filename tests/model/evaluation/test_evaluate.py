"""The protocols, judged with magnifiers whose results are known beforehand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tremorscope.model.errors import ImageFault
from tremorscope.model.evaluation.comparators import linear_eulerian, phase_based, unmagnified
from tremorscope.model.evaluation.evaluate import (
    Conditions,
    film,
    judge,
    moving_blob,
    noise,
    still_frame_ssim,
    still_noise_gain,
    subpixel_test,
    texture,
    write_csv,
)
from tremorscope.model.evaluation.registration import ShiftedScene, reached_displacement_px
from tremorscope.model.evaluation.scenes import (
    BandOfTexture,
    Frame,
    blobs,
    read_evaluation_photographs,
    whole_frames,
)
from tremorscope.model.pairs.drawing import draw_picture
from tremorscope.model.training.validation import ssim


@pytest.fixture(scope="module")
def photographs() -> list[Frame]:
    return [draw_picture(seed, 320) for seed in (0, 1)]


@pytest.mark.parametrize(("x_px", "y_px"), [(0.0, 0.0), (0.01, 0.0), (0.0, -0.25), (3.7, 9.9)])
def test_a_shift_is_exact(x_px: float, y_px: float) -> None:
    y, x = np.mgrid[0:64, 0:96].astype(float)

    def scene(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        # Even about both ends, as the mirrored extension assumes, so that there is a truth to compare with.
        return np.cos(np.pi * 5 * (x + 0.5) / 96) * np.cos(np.pi * 7 * (y + 0.5) / 64)

    shifted = ShiftedScene(scene(x, y)).shifted(x_px, y_px)
    np.testing.assert_allclose(shifted, scene(x - x_px, y - y_px), atol=1e-12)


@pytest.mark.parametrize("moved_px", [0.0, 0.5, 3.2, 10.0])
def test_reached_displacement_is_the_true_one(photographs: list[Frame], moved_px: float) -> None:
    inner = slice(40, -40), slice(40, -40)
    for angle in (0.0, 2.0):
        moved = ShiftedScene(photographs[0].astype(float)).shifted(
            moved_px * np.cos(angle), moved_px * np.sin(angle)
        )
        result = np.clip(np.rint(moved), 0, 255).astype(np.uint8)[inner]
        assert reached_displacement_px(
            result, photographs[0].astype(float), inner, angle, 15.0
        ) == pytest.approx(moved_px, abs=0.02)


def test_what_is_not_magnified_reaches_what_it_moved(photographs: list[Frame]) -> None:
    trials = list(subpixel_test(unmagnified, photographs, displacements_px=(0.05, 1.0)))
    assert [trial.reached_px for trial in trials] == pytest.approx([0.05, 1.0], abs=0.05)
    assert all(trial.ssim == trial.ssim_unmagnified for trial in trials)
    assert trials[0].ssim < 0.9


@pytest.mark.parametrize("kind", ["whole", "blob", "texture"])
def test_the_truth_of_every_scene_is_perfect_and_reaches_its_target(
    kind: str, photographs: list[Frame]
) -> None:
    scene = {
        "whole": whole_frames(photographs)[1], "blob": blobs(photographs)[1], "texture": BandOfTexture(16.0, seed=1),
    }[kind]  # fmt: skip
    conditions = Conditions(0.2)
    truth = film(scene, conditions, np.random.default_rng(0))[2]
    trial = judge({"truth": lambda *_: truth, "as it is": unmagnified}, [scene], conditions)
    assert trial["truth"].ssim == 1.0
    assert trial["truth"].reached_px == pytest.approx(10.0, abs=0.05)
    assert trial["as it is"].reached_px == pytest.approx(0.2, abs=0.05)
    assert trial["as it is"].ssim == trial["truth"].ssim_unmagnified < 0.95


def test_only_the_disc_moves_before_its_background(photographs: list[Frame]) -> None:
    scene = blobs(photographs)[0]
    change = np.abs(scene.picture(10.0) - scene.picture(0.0)).max(axis=2)
    assert change[:40].max() < 0.01
    assert change[108:148, 108:148].mean() > 1.0


def test_a_band_of_texture_holds_only_its_periods() -> None:
    picture = BandOfTexture(8.0, seed=0).picture(0.0)[..., 0]
    power = np.abs(np.fft.fft2(picture - picture.mean())) ** 2
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256))
    outside = np.abs(np.log2(np.maximum(frequency, 1e-9) * 8.0)) > 0.51
    assert power[outside].sum() < 1e-9 * power.sum()
    assert picture.std() == pytest.approx(24.0, rel=0.01)


def test_every_protocol_judges_all_magnifiers_on_the_same_frames(photographs: list[Frame]) -> None:
    seen: dict[str, list[bytes]] = {"first": [], "second": []}

    def noting(name: str) -> Callable[[Frame, Frame, float], Frame]:
        return lambda frame, _reference, _amplification: seen[name].append(frame.tobytes()) or frame

    protocols = [
        noise(photographs[:1], (2.0,)), moving_blob(photographs, (1.0,)), texture((8.0,), count=1),
    ]  # fmt: skip
    trials = [
        trial for protocol in protocols for trial in protocol.run({name: noting(name) for name in seen})
    ]
    assert seen["first"] == seen["second"]
    assert len(seen["first"]) == 4
    assert [trial["first"].noise_grey_levels for trial in trials] == [2.0, 0.5, 0.0]
    assert trials[2]["first"].period_px == 8.0


def test_phase_based_reaches_what_linear_eulerian_does_not(photographs: list[Frame]) -> None:
    magnifiers = {"phase": phase_based, "linear": linear_eulerian, "none": unmagnified}
    trial = judge(magnifiers, whole_frames(photographs)[:1], Conditions(0.2, target_px=4.0))
    assert trial["phase"].reached_px == pytest.approx(4.0, abs=0.8)
    assert trial["phase"].ssim > trial["linear"].ssim + 0.05
    assert 0.2 < trial["linear"].reached_px < 3.0


def test_what_is_still_is_left_alone_by_every_method(photographs: list[Frame]) -> None:
    for method in (phase_based, linear_eulerian):
        assert still_frame_ssim(method, photographs) > 0.999
    odd = np.ascontiguousarray(photographs[0][:-1, :-2])
    assert ssim(phase_based(odd[:, 1:], odd[:, 1:], 20.0), odd[:, 1:]) > 0.999, "sides need not be even"
    assert still_noise_gain(unmagnified, photographs) == 0.0

    def amplifying(frame: Frame, reference: Frame, amplification: float) -> Frame:
        grown = frame + (amplification - 1) * (frame.astype(float) - reference)
        return np.clip(np.rint(grown), 0, 255).astype(np.uint8)

    # The difference of two noisy frames is noisier than one by the root of two.
    assert still_noise_gain(amplifying, photographs) == pytest.approx(19 * np.sqrt(2), rel=0.1)


def test_more_noise_is_judged_worse(photographs: list[Frame]) -> None:
    scores = [
        next(
            iter(subpixel_test(unmagnified, photographs, displacements_px=(1.0,), noise_grey_levels=sigma))
        ).ssim
        for sigma in (0.0, 4.0, 16.0)
    ]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] - scores[2] > 0.05


def test_a_still_frame_left_alone_is_perfect(photographs: list[Frame]) -> None:
    assert still_frame_ssim(unmagnified, photographs) == 1.0


def test_small_or_missing_photographs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageFault, match="no such folder"):
        read_evaluation_photographs(tmp_path / "absent")
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "small.png")
    with pytest.raises(ImageFault, match="no photograph of at least 288 px"):
        read_evaluation_photographs(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(ImageFault, match=r"broken\.png"):
        read_evaluation_photographs(tmp_path)


def test_the_table_is_written_whole(tmp_path: Path) -> None:
    write_csv([{"d": 0.5, "ssim": 0.7}, {"d": 1.0, "ssim": 0.8}], tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text().split() == ["d,ssim", "0.5,0.7", "1.0,0.8"]
