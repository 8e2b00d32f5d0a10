"""Measured series come onto even times; gaps stay gaps."""

from __future__ import annotations

import numpy as np
import pytest

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.spectra.sampling import resample_evenly


def tone(times: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * 3 * times)


def test_even_frames_are_taken_as_they_are() -> None:
    times = 100 + np.arange(200) / 30
    series = resample_evenly(times, tone(times))
    assert series.rate_hz == pytest.approx(30, rel=1e-12)
    assert (len(series.runs), series.gaps, series.bridged, series.interpolated) == (1, (), 0, False)
    assert np.array_equal(series.runs[0].values[0], tone(times))


def test_timestamps_rounded_to_ticks_are_no_jitter() -> None:
    true = np.arange(2000) / 240
    series = resample_evenly(np.round(true, 3), tone(true), tick_s=0.001)
    assert not series.interpolated
    assert series.rate_hz == pytest.approx(240, rel=1e-4)
    assert np.array_equal(series.runs[0].values[0], tone(true))


def test_a_variable_rate_is_interpolated() -> None:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.7, 1.3, 600)) / 60
    series = resample_evenly(times, tone(times))
    assert series.interpolated
    even = series.runs[0].start_s + np.arange(series.runs[0].samples) / series.rate_hz
    assert series.runs[0].values[0] == pytest.approx(tone(even), abs=0.01)


def test_a_single_missing_frame_is_bridged_and_counted() -> None:
    times = np.delete(np.arange(200) / 30, [50, 120])
    series = resample_evenly(times, tone(times))
    assert (len(series.runs), series.bridged, series.gaps) == (1, 2, ())
    assert series.runs[0].samples == 200
    assert series.runs[0].values[0] == pytest.approx(tone(np.arange(200) / 30), abs=0.01)


def test_a_gap_is_marked_and_never_bridged() -> None:
    times = np.delete(np.arange(300) / 30, slice(100, 130))
    series = resample_evenly(times, tone(times))
    assert [run.samples for run in series.runs] == [100, 170]
    (gap,) = series.gaps
    assert (gap.start_s, gap.end_s, gap.missing) == (pytest.approx(99 / 30), pytest.approx(130 / 30), 30)
    assert series.duration_s == pytest.approx(9)


def test_a_frame_lost_in_one_channel_is_missing_in_all() -> None:
    times = np.arange(120) / 30
    values = np.stack([tone(times), tone(times)])
    values[1, 40:60] = np.nan
    series = resample_evenly(times, values)
    assert [run.samples for run in series.runs] == [40, 60]
    assert series.gaps[0].missing == 20


@pytest.mark.parametrize("at", [1, 77])
@pytest.mark.parametrize("step", [0.0, -0.5, np.nan])
def test_time_that_does_not_run_forwards_is_refused(at: int, step: float) -> None:
    times = np.arange(100) / 30
    times[at] = times[at - 1] + step
    with pytest.raises(OptionFault, match=rf"time does not run forwards: frame {at + 1} is at") as fault:
        resample_evenly(times, tone(times))
    assert fault.value.remedy


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(OptionFault, match="15 measured frames are too few"):
        resample_evenly(np.arange(15) / 30, np.zeros(15))
    scattered = np.where(np.arange(200) % 4 == 0, 1.0, np.nan)
    with pytest.raises(OptionFault, match="no 16 frames in a row"):
        resample_evenly(
            np.arange(200) / 30, np.where(np.arange(200) % 40 < 10, 1.0, np.nan) + 0 * scattered[0]
        )
