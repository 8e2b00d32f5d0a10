"""The calibration set on disk: what comes back is what went in, and nothing else is ever accepted."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from bridge_day import textured, write_set
from hypothesis import given, settings
from hypothesis import strategies as st

from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.pairs.calibration_set import CalibrationSet, contrast_of, luma_of, read_manifest
from tremorscope.calibration.pairs.pair_files import encode_pair, read_pair

SIZES = st.tuples(st.integers(16, 70), st.integers(16, 70))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("set") / "set"
    write_set(directory)
    return directory


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


@given(size=SIZES, seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_a_pair_of_any_size_comes_back_bit_for_bit(
    size: tuple[int, int], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    frame, reference = textured(seed, *size), textured(seed + 1, *size)
    path = tmp_path_factory.mktemp("pair") / "pair.mkv"
    path.write_bytes(encode_pair(frame, reference))
    read_frame, read_reference = read_pair(path)
    assert np.array_equal(read_frame, frame)
    assert np.array_equal(read_reference, reference)


def test_equal_pictures_give_equal_files() -> None:
    assert encode_pair(textured(1), textured(2)) == encode_pair(textured(1), textured(2))


def test_a_set_is_read_back_in_order(finished: Path) -> None:
    calibration = CalibrationSet.open(finished)
    assert (len(calibration), calibration.width_px, calibration.height_px) == (32, 64, 48)
    for number, pair in enumerate(calibration):
        assert np.array_equal(pair.frame, textured(2 * number))
        assert np.array_equal(pair.reference, textured(2 * number + 1))
    assert number == 31


def test_the_manifest_states_what_each_pair_is_like(finished: Path) -> None:
    entry = read_manifest(finished).pairs[3]
    luma, before = luma_of(textured(6)), luma_of(textured(7))
    assert entry.brightness == pytest.approx(luma.mean(), abs=1e-3)
    assert entry.contrast == pytest.approx(luma.std(), abs=1e-3)
    assert entry.change == pytest.approx(abs(luma - before).mean(), abs=1e-3)


def test_the_hash_of_the_set_follows_its_pictures(finished: Path, tmp_path: Path) -> None:
    same = write_set(tmp_path / "same")
    other = write_set(tmp_path / "other", pictures=lambda number: textured(number + (number == 40)))
    assert same.sha256 == CalibrationSet.open(finished).sha256
    assert other.sha256 != same.sha256


@pytest.mark.alone
def test_reading_takes_the_memory_of_one_pair(finished: Path) -> None:
    calibration = CalibrationSet.open(finished)
    tracemalloc.start()
    for _pair in calibration:
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 * 64 * 48 * 3 + 200_000


def edit(directory: Path, **changes: object) -> None:
    path = directory / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refused(directory: Path) -> str:
    with pytest.raises(CalibrationFault) as fault:
        list(CalibrationSet.open(directory))
    assert "\n" not in str(fault.value)
    assert fault.value.remedy
    return str(fault.value)


def test_too_few_pairs_are_refused(finished: Path) -> None:
    with pytest.raises(CalibrationFault, match="32 pairs are too few to calibrate with, at least 33"):
        CalibrationSet.open(finished, fewest=33)


def test_an_unfinished_capture_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path / "set", finished=False)
    assert "not finished: 32 of 32 pairs: let it go on, or close the set" in refused(tmp_path / "set")


@pytest.mark.parametrize("changes", [{"complete": True, "wanted": 99}, {"count": 31}, {"source": "another"}])
def test_a_manifest_edited_by_hand_is_refused(copy: Path, changes: dict[str, object]) -> None:
    edit(copy, **changes)
    assert "was edited" in refused(copy)


def test_a_manifest_that_is_none_is_refused_with_the_key(copy: Path) -> None:
    edit(copy, colour="blue")
    assert "manifest.json: colour: " in refused(copy)
    (copy / "manifest.json").write_text("{")
    assert "not valid JSON" in refused(copy)
    (copy / "manifest.json").unlink()
    assert "is no calibration set" in refused(copy)


def test_a_file_name_cannot_lead_out_of_the_set(copy: Path) -> None:
    pairs = json.loads((copy / "manifest.json").read_text())["pairs"]
    pairs[0]["file"] = "../pair-000000.mkv"
    edit(copy, pairs=pairs)
    assert "pairs.0.file" in refused(copy)


def test_a_changed_a_truncated_and_a_missing_file_are_refused(copy: Path) -> None:
    path = copy / "pair-000007.mkv"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "pair-000007.mkv: its content is not what the manifest sealed" in refused(copy)
    path.write_bytes(whole[: len(whole) // 2])
    assert "pair-000007.mkv: its content" in refused(copy)
    path.unlink()
    assert "pair-000007.mkv: no such file" in refused(copy)


def test_a_file_that_is_no_pair_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pair.mkv"
    for content in (b"", b"not a video", encode_pair(textured(1), textured(2))[:900]):
        path.write_bytes(content)
        with pytest.raises(CalibrationFault, match="is not a pair of pictures"):
            read_pair(path)


def test_empty_and_constant_frames_are_refused(tmp_path: Path) -> None:
    def with_a_dark_one(number: int) -> np.ndarray:
        return textured(number) if number != 10 else np.full((48, 64, 3), 17, np.uint8)

    write_set(tmp_path / "set", pictures=with_a_dark_one)
    assert "pair-000005.mkv: shows nothing" in refused(tmp_path / "set")


def test_frames_of_another_size_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path / "set", pictures=lambda number: textured(number, 64 if number < 20 else 66))
    assert "is 66x48 px, the set is 64x48 px" in refused(tmp_path / "set")


@given(sigma=st.floats(1.2, 60))
@settings(max_examples=20, deadline=None)
def test_contrast_is_the_deviation_of_luma(sigma: float) -> None:
    grey = np.random.default_rng(0).normal(128, sigma, (64, 64))
    assert contrast_of(grey.astype(np.float32)) == pytest.approx(sigma, rel=0.1)


def test_a_set_is_read_without_pytorch(finished: Path) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from tremorscope.calibration.pairs.calibration_set import CalibrationSet; "
        "import tremorscope.calibration.capture.job; "
        f"next(iter(CalibrationSet.open(Path({str(finished)!r})))); "
        "print(sorted({'torch', 'onnx', 'PIL', 'skimage'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
