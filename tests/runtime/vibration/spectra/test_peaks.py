"""Peaks: found where there are some and only there, with true frequency, amplitude, damping and uncertainty."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import Values, shaken

from tremorscope.runtime.vibration.spectra.peaks import ChannelSpectrum, analyse
from tremorscope.runtime.vibration.spectra.sampling import resample_evenly

RATE_HZ, DURATION_S = 30.0, 60.0
TIMES = np.arange(round(RATE_HZ * DURATION_S)) / RATE_HZ


def analysed(values: Values, times: Values = TIMES, **options: object) -> ChannelSpectrum:
    return analyse(resample_evenly(times, values), **options)  # type: ignore[arg-type]


def sine(frequency_hz: float, amplitude: float, phase: float = 0.3, times: Values = TIMES) -> Values:
    return amplitude * np.sin(2 * np.pi * frequency_hz * times + phase)


class TestSteadyTone:
    @pytest.mark.parametrize("frequency_hz", [0.517, 2.0, 2.1083, 7.77, 14.2])
    def test_is_found_to_a_thirtieth_of_the_resolution(self, frequency_hz: float) -> None:
        rng = np.random.default_rng(0)
        (peak,) = analysed(sine(frequency_hz, 0.1) + 0.02 * rng.standard_normal(TIMES.size)).peaks
        assert peak.frequency_hz == pytest.approx(frequency_hz, abs=1 / 30 / DURATION_S)
        assert peak.amplitude == pytest.approx(0.1, rel=0.03)
        assert peak.kind == "steady"

    def test_at_the_noise_floor_is_found_to_a_tenth_of_the_resolution(self) -> None:
        rng = np.random.default_rng(1)
        errors, misses = [], 0
        for _ in range(60):
            frequency_hz = rng.uniform(1, 12)
            # In one frame the noise is twice the amplitude.
            peaks = analysed(sine(frequency_hz, 0.05) + 0.1 * rng.standard_normal(TIMES.size)).peaks
            misses += not peaks
            errors += [peak.frequency_hz - frequency_hz for peak in peaks[:1]]
        assert misses == 0
        assert np.sqrt(np.mean(np.square(errors))) < 0.1 / DURATION_S

    def test_states_uncertainties_that_are_true(self) -> None:
        rng = np.random.default_rng(2)
        deviations = []
        for _ in range(100):
            frequency_hz = rng.uniform(2, 12)
            (peak, *_) = analysed(sine(frequency_hz, 0.1) + 0.1 * rng.standard_normal(TIMES.size)).peaks
            deviations.append(
                (
                    (peak.frequency_hz - frequency_hz) / peak.frequency_sigma_hz,
                    (peak.amplitude - 0.1) / peak.amplitude_sigma,
                )
            )
        assert np.std(deviations, axis=0) == pytest.approx([1, 1], abs=0.25)

    def test_has_no_damping_but_a_bound(self) -> None:
        rng = np.random.default_rng(3)
        (peak,) = analysed(sine(5, 0.1) + 0.01 * rng.standard_normal(TIMES.size)).peaks
        assert peak.damping is None
        assert peak.damping_below == pytest.approx(1.44 / DURATION_S / (2 * 5), rel=0.02)

    def test_of_two_cycles_is_found_beside_drift(self) -> None:
        rng = np.random.default_rng(4)
        times = np.arange(212) / 24
        values = sine(0.24, 0.1, times=times) + 0.01 * times + 0.01 * rng.standard_normal(212)
        (peak,) = analysed(values, times).peaks
        assert peak.frequency_hz == pytest.approx(0.24, abs=0.01)
        assert peak.amplitude == pytest.approx(0.1, rel=0.1)

    def test_leaks_no_ghosts(self) -> None:
        rng = np.random.default_rng(5)
        for frequency_hz in (3.0, 3.0083, 3.0041):
            peaks = analysed(sine(frequency_hz, 10.0) + 0.001 * rng.standard_normal(TIMES.size)).peaks
            assert len(peaks) == 1


class TestTwoModes:
    @pytest.mark.parametrize("frequency_hz", [1.0, 2.0, 8.0])
    @pytest.mark.parametrize("ratio", [1.0, 0.3])
    def test_five_percent_apart_are_told_apart_in_a_minute(self, frequency_hz: float, ratio: float) -> None:
        rng = np.random.default_rng(6)
        other_hz = 1.05 * frequency_hz
        values = sine(frequency_hz, 0.1) + sine(other_hz, 0.1 * ratio, 1.3)
        peaks = analysed(values + 0.02 * rng.standard_normal(TIMES.size)).peaks
        assert sorted(peak.frequency_hz for peak in peaks) == pytest.approx(
            [frequency_hz, other_hz], abs=0.1 / DURATION_S
        )
        assert sorted(peak.amplitude for peak in peaks) == pytest.approx(sorted([0.1, 0.1 * ratio]), rel=0.05)


class TestDamping:
    def test_of_a_free_decay(self) -> None:
        rng = np.random.default_rng(7)
        decay = np.exp(-0.01 * 2 * np.pi * 2.1 * TIMES)
        (peak,) = analysed(sine(2.1, 0.1) * decay + 0.002 * rng.standard_normal(TIMES.size)).peaks
        assert peak.kind == "decaying"
        assert peak.damping == pytest.approx(0.01, rel=0.05)
        assert peak.damping_sigma is not None
        assert abs(peak.damping - 0.01) < 4 * peak.damping_sigma
        assert peak.frequency_hz == pytest.approx(2.1, abs=0.1 / DURATION_S)

    def test_of_a_resonance_shaken_at_random(self) -> None:
        rng = np.random.default_rng(8)
        times = np.arange(30 * 600) / 30
        found = []
        for _ in range(12):
            values = 0.1 * shaken(3.0, 0.015, 30, 600, rng) + 0.01 * rng.standard_normal(times.size)
            (peak, *rest) = analysed(values, times).peaks
            assert peak.kind == "random"
            assert not [other for other in rest if other.amplitude > 0.2 * peak.amplitude]
            found.append(
                (peak.frequency_hz, peak.damping, peak.amplitude, peak.frequency_sigma_hz, peak.damping_sigma)
            )
        frequencies, dampings, amplitudes, frequency_sigmas, damping_sigmas = np.array(found).T
        assert frequencies.mean() == pytest.approx(3.0, rel=0.002)
        assert dampings.mean() == pytest.approx(0.015, rel=0.15)
        assert amplitudes.mean() == pytest.approx(0.1 * np.sqrt(2), rel=0.1)
        assert 0.6 < np.median(frequency_sigmas) / frequencies.std() < 2.5
        assert 0.6 < np.median(damping_sigmas) / dampings.std() < 2.5


class TestSilence:
    @pytest.mark.parametrize("drift", [0.0, 0.05])
    def test_noise_and_drift_hardly_ever_show_a_peak(self, drift: float) -> None:
        rng = np.random.default_rng(9)
        alarms = 0
        for _ in range(150):
            walk = np.cumsum(rng.standard_normal(TIMES.size))
            alarms += bool(analysed(rng.standard_normal(TIMES.size) + drift * walk).peaks)
        assert alarms <= (4 if drift == 0 else 12)

    def test_nothing_at_all_shows_none(self) -> None:
        assert analysed(np.zeros(TIMES.size)).peaks == ()

    def test_a_band_leaves_out_the_rest(self) -> None:
        rng = np.random.default_rng(10)
        values = sine(2, 0.1) + sine(9, 0.05) + 0.01 * rng.standard_normal(TIMES.size)
        assert [round(p.frequency_hz) for p in analysed(values).peaks] == [2, 9]
        assert [round(p.frequency_hz) for p in analysed(values, band_hz=(5.0, 12.0)).peaks] == [9]


def test_noise_is_measured() -> None:
    rng = np.random.default_rng(11)
    spectrum = analysed(sine(4, 1.0) + 0.05 * rng.standard_normal(TIMES.size))
    assert spectrum.noise_sigma == pytest.approx(0.05, rel=0.15)


def test_peaks_are_found_on_both_sides_of_a_gap() -> None:
    rng = np.random.default_rng(12)
    kept = np.delete(np.arange(TIMES.size), slice(500, 700))
    values = sine(3.3, 0.1) + 0.02 * rng.standard_normal(TIMES.size)
    (peak,) = analysed(values[kept], TIMES[kept]).peaks
    assert (peak.frequency_hz, peak.amplitude) == (
        pytest.approx(3.3, abs=0.002),
        pytest.approx(0.1, rel=0.05),
    )


class TestSlowRingDown:
    """A fork that rings for minutes, filmed for seconds: its decay is measured, not bounded by the recording."""

    TIMES_S = np.arange(1728) / 500

    def ringing(self, frequency_hz: float, damping: float, amplitude: float = 1.0) -> Values:
        decay = np.exp(-2 * np.pi * frequency_hz * damping * self.TIMES_S)
        return amplitude * decay * np.sin(2 * np.pi * frequency_hz * self.TIMES_S + 0.4)

    @pytest.mark.parametrize("damping", [0.0001, 0.0002, 0.0004])
    def test_gives_its_damping(self, damping: float) -> None:
        noise = 0.01 * np.random.default_rng(0).standard_normal(self.TIMES_S.size)
        (peak,) = analysed(self.ringing(64.04, damping) + noise, self.TIMES_S).peaks
        assert peak.kind == "decaying"
        assert peak.damping == pytest.approx(damping, abs=4e-6 + 3 * (peak.damping_sigma or 0))
        assert peak.damping_sigma is not None
        assert peak.damping_sigma < 0.1 * damping

    def test_beside_a_steady_neighbour_too(self) -> None:
        noise = 0.005 * np.random.default_rng(1).standard_normal(self.TIMES_S.size)
        steady = 0.3 * np.sin(2 * np.pi * 65.9 * self.TIMES_S)
        first, second = analysed(self.ringing(64.04, 0.0004) + steady + noise, self.TIMES_S).peaks
        assert first.damping == pytest.approx(0.0004, rel=0.05)
        assert (second.kind, second.damping) == ("steady", None)

    def test_a_tone_that_does_not_decay_is_given_none(self) -> None:
        rng = np.random.default_rng(2)
        for _ in range(40):
            noise = rng.uniform(0.005, 0.3) * rng.standard_normal(self.TIMES_S.size)
            (peak, *_) = analysed(self.ringing(rng.uniform(20, 200), 0.0) + noise, self.TIMES_S).peaks
            assert peak.damping is None
