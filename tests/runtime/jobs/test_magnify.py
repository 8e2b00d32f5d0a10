"""The whole job on real clips: which pictures come out, when they are shown, and what is reported."""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import Picture, linear_graph, read_video, textured_frames, write_clip

from tremorscope.runtime.cameras.clip import ClipCamera
from tremorscope.runtime.clips.video import VideoWriter
from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeEngine
from tremorscope.runtime.errors import BundleFault, ClipFault, OptionFault
from tremorscope.runtime.frames.frame import ViewComposer
from tremorscope.runtime.jobs.magnify import MagnifyJob, MagnifyReport, magnify_clip


def magnify(clip: Path, bundle: Path, **changes: Any) -> tuple[MagnifyReport, list[Picture], list[Fraction]]:
    job = MagnifyJob(
        clip=clip, output=clip.with_name("out.mp4"), bundle=bundle, **{"amplification": 4.0} | changes
    )
    report = magnify_clip(job)
    pictures, times_s = read_video(job.output)
    return report, pictures, times_s


def flat_clip(path: Path, values: list[int], **settings: Any) -> Path:
    frames = (np.full((48, 64, 3), value, np.uint8) for value in values)
    return write_clip(path, frames, **settings)


VALUES = [100, 104, 98, 110, 100, 101, 96]


def test_static_mode_magnifies_the_distance_from_the_first_frame(tmp_path: Path, linear_bundle: Path) -> None:
    _, pictures, _ = magnify(flat_clip(tmp_path / "c.mp4", VALUES), linear_bundle)
    means = [float(picture.mean()) for picture in pictures]
    assert means == pytest.approx([100 + 4 * (value - 100) for value in VALUES], abs=2)


def test_dynamic_mode_magnifies_the_distance_from_the_frame_before(
    tmp_path: Path, linear_bundle: Path
) -> None:
    _, pictures, _ = magnify(flat_clip(tmp_path / "c.mp4", VALUES), linear_bundle, mode="dynamic")
    before = [VALUES[0], *VALUES]
    expected = [value + 3 * (value - earlier) for value, earlier in zip(VALUES, before, strict=False)]
    assert [float(picture.mean()) for picture in pictures] == pytest.approx(expected, abs=2)


def test_the_split_view_has_both_halves(tmp_path: Path, linear_bundle: Path) -> None:
    _, pictures, _ = magnify(flat_clip(tmp_path / "c.mp4", VALUES), linear_bundle, view="split")
    for value, picture in zip(VALUES, pictures, strict=True):
        assert float(picture[:, :24].mean()) == pytest.approx(value, abs=2)
        assert float(picture[:, 40:].mean()) == pytest.approx(100 + 4 * (value - 100), abs=2)


def test_the_difference_view_is_grey_where_nothing_moves(tmp_path: Path, linear_bundle: Path) -> None:
    _, pictures, _ = magnify(flat_clip(tmp_path / "c.mp4", VALUES), linear_bundle, view="difference")
    expected = [128 + 1.5 * (value - 100) for value in VALUES]
    assert [float(picture.mean()) for picture in pictures] == pytest.approx(expected, abs=2)


def test_every_pixel_of_a_moving_texture_is_magnified(tmp_path: Path, linear_bundle: Path) -> None:
    frames = textured_frames(12, 96, 80, step_px=0.05)
    _, pictures, _ = magnify(write_clip(tmp_path / "c.mp4", frames), linear_bundle)
    first = frames[0].astype(float)
    expected = np.clip([first + 4 * (frame - first) for frame in frames], 0, 255)
    # Colour is stored at half the resolution and the encoder is not lossless: luma is compared.
    luma = np.array([0.299, 0.587, 0.114])
    assert float(np.abs(np.asarray(pictures, float) @ luma - expected @ luma).mean()) < 2


def test_more_frames_than_slots_keep_their_order(tmp_path: Path, linear_bundle: Path) -> None:
    values = [40 + 3 * (number % 50) for number in range(120)]
    _, pictures, _ = magnify(flat_clip(tmp_path / "c.mp4", values), linear_bundle, amplification=1.0)
    assert [float(picture.mean()) for picture in pictures] == pytest.approx(values, abs=2)


def slowly(method: Callable[..., Any]) -> Callable[..., Any]:
    """The same method, begun only after its neighbours had time to do what they must not do yet."""

    def slow(*arguments: Any) -> Any:
        time.sleep(0.02)
        return method(*arguments)

    return slow


@pytest.mark.parametrize("mode", ["static", "dynamic"])
@pytest.mark.parametrize(
    "slow",
    [
        (OnnxRuntimeEngine, "step"),
        (VideoWriter, "write"),
        (ClipCamera, "read_into"),
        (ViewComposer, "compose"),
    ],
    ids=["engine", "encoder", "decoder", "view"],
)
def test_no_frame_is_overwritten_while_somebody_still_reads_it(
    tmp_path: Path, linear_bundle: Path, monkeypatch: pytest.MonkeyPatch, mode: str, slow: tuple[type, str]
) -> None:
    owner, name = slow
    monkeypatch.setattr(owner, name, slowly(getattr(owner, name)))
    clip = flat_clip(tmp_path / "c.mp4", VALUES)
    _, pictures, _ = magnify(clip, linear_bundle, mode=mode, view="split")
    references = [VALUES[0], *VALUES] if mode == "dynamic" else [VALUES[0]] * len(VALUES)
    for value, reference, picture in zip(VALUES, references, pictures, strict=False):
        assert float(picture[:, :24].mean()) == pytest.approx(value, abs=2)
        assert float(picture[:, 40:].mean()) == pytest.approx(value + 3 * (value - reference), abs=2)


def test_variable_times_are_kept_exactly(tmp_path: Path, linear_bundle: Path) -> None:
    ticks = [0, 3003, 6006, 18018, 18019, 90000, 93003]
    clip = flat_clip(tmp_path / "c.mp4", VALUES, ticks=ticks, time_base=Fraction(1, 90000))
    report, _, times_s = magnify(clip, linear_bundle)
    assert times_s == [Fraction(tick, 90000) for tick in ticks]
    assert report.time_axis.varies


def test_the_capture_rate_is_reported_and_the_playback_is_kept(tmp_path: Path, linear_bundle: Path) -> None:
    clip = flat_clip(tmp_path / "c.mp4", VALUES)
    report, _, times_s = magnify(clip, linear_bundle, capture_rate_hz=600.0)
    assert times_s == [Fraction(number, 25) for number in range(7)]
    assert report.time_axis.real_duration_s == pytest.approx(7 / 600)
    assert report.time_axis.nyquist_hz == pytest.approx(300)
    assert "filmed at 600 Hz" in "\n".join(report.lines())


@pytest.mark.parametrize(("width_px", "height_px"), [(641, 359), (16, 16), (17, 33)])
def test_any_size_from_16_px_is_magnified(
    tmp_path: Path, linear_bundle: Path, width_px: int, height_px: int
) -> None:
    clip = write_clip(tmp_path / "c.mp4", textured_frames(4, width_px, height_px))
    report, pictures, _ = magnify(clip, linear_bundle)
    assert (report.frames, report.width_px, report.height_px) == (4, width_px, height_px)
    assert pictures[0].shape == (height_px + height_px % 2, width_px + width_px % 2, 3)


@pytest.mark.parametrize("pixel_format", ["gray", "yuv420p10le", "yuv444p"])
def test_other_pixel_formats_are_magnified(tmp_path: Path, linear_bundle: Path, pixel_format: str) -> None:
    clip = flat_clip(tmp_path / "c.mkv", VALUES, codec="ffv1", pixel_format=pixel_format)
    _, pictures, _ = magnify(clip, linear_bundle)
    expected = [100 + 4 * (value - 100) for value in VALUES]
    assert [float(picture.mean()) for picture in pictures] == pytest.approx(expected, abs=6)


def test_a_4k_clip_is_magnified(tmp_path: Path, linear_bundle: Path) -> None:
    frames = (np.full((2160, 3840, 3), value, np.uint8) for value in (90, 100))
    fast = {"preset": "ultrafast"}
    clip = write_clip(tmp_path / "c.mp4", frames, codec="libx264", pixel_format="yuv420p", options=fast)
    _, pictures, _ = magnify(clip, linear_bundle)
    assert [picture.shape for picture in pictures] == [(2160, 3840, 3)] * 2
    assert float(pictures[1].mean()) == pytest.approx(130, abs=4)


def test_progress_counts_every_frame_of_those_announced(clip: Path, linear_bundle: Path) -> None:
    told: list[tuple[int, int | None]] = []
    job = MagnifyJob(2.0, clip=clip, output=clip.with_name("out.mp4"), bundle=linear_bundle)
    magnify_clip(job, lambda done, total: told.append((done, total)))
    assert told == [(number, 10) for number in range(1, 11)]


# Refusals that leave nothing


def refused(clip: Path, fault: type[Exception], match: str, bundle: Path | None, **changes: Any) -> None:
    before = sorted(clip.parent.iterdir())
    asked = {"output": clip.with_name("out.mp4"), "amplification": 4.0} | changes
    with pytest.raises(fault, match=match):
        magnify_clip(MagnifyJob(clip=clip, bundle=bundle, **asked))
    assert sorted(clip.parent.iterdir()) == before


def test_a_clip_of_one_frame_is_refused(tmp_path: Path, linear_bundle: Path) -> None:
    clip = flat_clip(tmp_path / "c.mp4", [100])
    refused(clip, ClipFault, "holds one frame only, so no motion: name a clip of two", linear_bundle)


def test_a_clip_damaged_in_the_middle_is_refused(tmp_path: Path, linear_bundle: Path) -> None:
    rng = np.random.default_rng(2)
    noise = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(40)]
    clip = write_clip(tmp_path / "c.mp4", noise, codec="libx264", pixel_format="yuv420p", faststart=True)
    data = bytearray(clip.read_bytes())
    data[-len(data) // 3 :] = bytes(len(data[-len(data) // 3 :]))
    clip.write_bytes(data)
    refused(clip, ClipFault, r"damaged: frame \d+ of 40 cannot be decoded", linear_bundle)


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, float("nan"), float("inf")])
def test_a_capture_rate_that_cannot_be_is_refused(clip: Path, linear_bundle: Path, rate_hz: float) -> None:
    refused(
        clip, OptionFault, "--capture-fps .* not a number above 0", linear_bundle, capture_rate_hz=rate_hz
    )


def test_untrained_weights_are_refused(clip: Path, make_bundle: Callable[..., Path]) -> None:
    refused(clip, BundleFault, "its weights are random, fit for timing only", make_bundle(trained=False))


def test_a_bundle_for_another_size_is_refused(clip: Path, make_bundle: Callable[..., Path]) -> None:
    bundle = make_bundle(graph=linear_graph((96, 128)), frame_size={"width_px": 128, "height_px": 96})
    refused(clip, BundleFault, "made for 128x96 px, and the clip has 64x48 px", bundle)


def test_a_bundle_for_just_this_size_is_taken(tmp_path: Path, make_bundle: Callable[..., Path]) -> None:
    bundle = make_bundle(graph=linear_graph((48, 64)), frame_size={"width_px": 64, "height_px": 48})
    report, _, _ = magnify(flat_clip(tmp_path / "c.mp4", VALUES), bundle)
    assert report.frames == len(VALUES)


def test_a_changed_graph_is_refused(clip: Path, make_bundle: Callable[..., Path]) -> None:
    bundle = make_bundle()
    with (bundle / "pairwise.onnx").open("ab") as file:
        file.write(b"\0")
    refused(clip, BundleFault, "not what the manifest sealed", bundle)


def test_a_directory_that_is_no_bundle_is_refused(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(clip, BundleFault, r"no manifest\.json there", tmp_path / "empty")


def test_an_installation_without_a_bundle_says_so(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tremorscope.runtime.engines.interface.bundle.SHIPPED_BUNDLES", clip.parent / "none")
    refused(
        clip, BundleFault, "has no bundle of its own: name one that was exported, with --bundle DIR", None
    )
