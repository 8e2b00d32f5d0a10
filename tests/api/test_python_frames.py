"""The network on arrays: what the engine computes, for single frames and batches of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tremorscope as ts

RNG = np.random.default_rng(0)
REFERENCE = RNG.integers(60, 190, (48, 64, 3), dtype=np.uint8)
FRAMES = (REFERENCE.astype(int) + RNG.integers(-5, 6, (3, 48, 64, 3))).astype(np.uint8)


def linear(frame: np.ndarray, reference: np.ndarray, amplification: float) -> np.ndarray:
    moved = frame.astype(int) - reference.astype(int)
    return np.clip(frame + (amplification - 1) * moved, 0, 255).astype(np.uint8)


def test_a_frame_is_magnified(linear_bundle: Path) -> None:
    found = ts.Magnifier(linear_bundle)(FRAMES[0], REFERENCE, 4)
    assert np.array_equal(found, linear(FRAMES[0], REFERENCE, 4))


def test_a_batch_has_one_reference_or_one_for_each(linear_bundle: Path) -> None:
    magnify = ts.Magnifier(linear_bundle)
    assert np.array_equal(magnify(FRAMES, REFERENCE, 4), linear(FRAMES, REFERENCE, 4))
    before = np.stack([REFERENCE, *FRAMES[:-1]])
    assert np.array_equal(magnify(FRAMES, before, 4), linear(FRAMES, before, 4))
    assert magnify(FRAMES[:0], REFERENCE, 4).shape == (0, 48, 64, 3)


def test_arrays_may_lie_as_they_like_and_stay_as_they_are(linear_bundle: Path) -> None:
    magnify = ts.Magnifier(linear_bundle)
    bgr = FRAMES[0][..., ::-1].copy()
    kept = bgr.copy()
    found = magnify(bgr[..., ::-1], REFERENCE, np.float32(4))
    assert np.array_equal(found, linear(FRAMES[0], REFERENCE, 4))
    assert np.array_equal(bgr, kept)
    assert not np.shares_memory(found, bgr)


def test_the_size_may_change(linear_bundle: Path) -> None:
    with ts.Magnifier(linear_bundle) as magnify:
        for rows, columns in ((48, 64), (32, 48), (48, 64)):
            frame, reference = FRAMES[0, :rows, :columns], REFERENCE[:rows, :columns]
            assert np.array_equal(magnify(frame, reference, 3), linear(frame, reference, 3))


def test_a_shipped_bundle_is_taken_by_its_name() -> None:
    magnify = ts.Magnifier("realtime", threads=1)
    still = magnify(REFERENCE, REFERENCE, 20)
    assert np.abs(still.astype(int) - REFERENCE).mean() < 4
    assert repr(magnify) == "Magnifier('realtime')"
    assert ts.load_bundle("lite").manifest.trained


def test_an_untrained_bundle_is_refused(make_bundle: object) -> None:
    directory = make_bundle(trained=False)  # type: ignore[operator]
    with pytest.raises(ts.Fault, match="its weights are random"):
        ts.Magnifier(directory)
