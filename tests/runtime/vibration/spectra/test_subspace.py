"""Subspace identification finds the modes that frequency domain decomposition finds in the same record."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy import signal

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.spectra.analysis import Analysis, RegionSeries, analyse_recording
from tremorscope.runtime.vibration.spectra.modes import mac
from tremorscope.runtime.vibration.spectra.subspace import check_ssi, find_poles

RATE_HZ, NOISE_PX = 25.0, 0.004
MODES = {2.13: (0.1, [0.7, 1, 0.7]), 4.71: (0.06, [1, 0, -1])}


def shaken(frequency_hz: float, damping: float, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Response of an oscillator to white noise, of unit variance."""
    omega = 2 * np.pi * frequency_hz
    numerator, denominator, _ = signal.cont2discrete(([1.0], [1, 2 * damping * omega, omega**2]), 1 / RATE_HZ)
    moved = signal.lfilter(numerator.ravel(), denominator, rng.standard_normal(samples + 5000))[5000:]
    return np.asarray(moved / moved.std())


def record(samples: int) -> tuple[np.ndarray, Analysis]:
    rng = np.random.default_rng(7)
    y = sum(
        size_px * np.outer(shape, shaken(frequency_hz, 0.01, samples, rng))
        for frequency_hz, (size_px, shape) in MODES.items()
    )
    y = y + NOISE_PX * rng.standard_normal(y.shape)
    regions = [
        RegionSeries(
            f"R{number + 1}",
            Region(50 + 100 * number, 50, 40, 40),
            x_px=NOISE_PX * rng.standard_normal(samples),
            y_px=moved,
            quality=np.ones(samples),
            light=1 + 1e-4 * rng.standard_normal((2, samples)),
            noise_floor_px=(np.inf, NOISE_PX),
            rounding_floor_px=(1e-4, 1e-4),
            coding_error_px=(0.0, 0.0),
        )
        for number, moved in enumerate(y)
    ]
    time_s = np.arange(samples) / RATE_HZ
    return time_s, analyse_recording(time_s, regions)


def test_frequencies_agree_within_a_hundredth_and_shapes_within_a_mac_of_95() -> None:
    pytest.importorskip("pyoma2", reason="needs the extra ssi")
    time_s, analysis = record(1500)
    found = find_poles(time_s, analysis)
    assert [each.frequency_hz for each in found.modes] == pytest.approx(list(MODES), rel=0.01)
    for mode, (frequency_hz, (_, shape)) in zip(found.modes, MODES.items(), strict=True):
        fdd = mode.counterpart(analysis.modes)
        assert fdd is not None
        assert mode.frequency_hz == pytest.approx(fdd.frequency_hz, rel=0.01)
        assert mac(mode.shape, fdd.shape) > 0.95
        assert mac(mode.shape[1::2], shape) > 0.99, frequency_hz
        assert 0.002 < mode.damping < 0.03  # a minute tells it no better
    lines = found.lines(analysis.modes)
    assert len(lines) == 3
    assert "FDD" in lines[1]
    assert [line.endswith("it may be no motion") for line in found.lines(analysis.modes[:1])[1:]] == [
        False,
        True,
    ]
    assert [each["fdd_hz"] is not None for each in found.summary(analysis.modes)] == [True, True]


def test_too_few_frames_are_told() -> None:
    time_s, analysis = record(100)
    with pytest.raises(
        OptionFault, match="100 frames in a row are too few to identify modes: record 200 or more"
    ):
        find_poles(time_s, analysis)


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.split(".")[0] == "pyoma2"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyoma2", None)
    with pytest.raises(
        OptionFault, match=r"--ssi: pyOMA2 is not installed: pip install 'tremorscope\[ssi\]'"
    ):
        check_ssi()
