"""Phases between regions, and orbits: true within their stated uncertainty, and silent where there is only noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.spectra.analysis import RegionSeries, analyse_recording
from tremorscope.runtime.vibration.spectra.phases import PhaseFinding, find_phases, path

RATE_HZ, SECONDS = 60.0, 20.0
TIMES = np.arange(round(RATE_HZ * SECONDS)) / RATE_HZ


def region(name: str, x: np.ndarray, y: np.ndarray) -> RegionSeries:
    count = TIMES.size
    return RegionSeries(
        name, Region(0, 0, 32, 32), x, y, np.ones(count), np.ones((2, count)), noise_floor_px=(0.01, 0.01)
    )


def phases(*regions: RegionSeries) -> tuple[PhaseFinding, ...]:
    return find_phases(TIMES, analyse_recording(TIMES, regions))


def noise(seed: int, sigma: float = 0.01) -> np.ndarray:
    return sigma * np.random.default_rng(seed).standard_normal(TIMES.size)


def tone(hz: float, amplitude: float, degrees: float) -> np.ndarray:
    return amplitude * np.cos(2 * math.pi * hz * TIMES + math.radians(degrees))


@settings(deadline=None, max_examples=10)
@given(hz=st.floats(1.5, 25), lead=st.floats(-175, 175), ratio=st.floats(0.2, 0.9), seed=st.integers(0, 99))
def test_a_lead_is_found_within_four_times_its_uncertainty(
    hz: float, lead: float, ratio: float, seed: int
) -> None:
    first = region("a", noise(seed), tone(hz, 1.0, 20) + noise(seed + 1))
    second = region("b", noise(seed + 2), tone(hz, ratio, 20 + lead) + noise(seed + 3))
    found = phases(first, second)[0]
    assert found.reference == (0, "y")
    assert found.frequency_hz == pytest.approx(hz, abs=0.01)
    (channel,) = [each for each in found.channels if (each.region, each.axis) == (1, "y")]
    assert channel.ratio == pytest.approx(ratio, rel=0.03)
    assert channel.coherence > 0.99
    off = (channel.phase_deg - lead + 180) % 360 - 180
    assert abs(off) < max(4 * channel.phase_sigma_deg, 0.2)
    assert channel.phase_sigma_deg < 2.5


def test_the_stated_uncertainty_is_the_scatter() -> None:
    leads, sigmas = [], []
    for seed in range(16):
        a = region("a", noise(5 * seed), tone(3.0, 1.0, 0) + noise(5 * seed + 1, 0.1))
        b = region("b", noise(5 * seed + 2), tone(3.0, 0.3, 90) + noise(5 * seed + 3, 0.1))
        (channel,) = [each for each in phases(a, b)[0].channels if (each.region, each.axis) == (1, "y")]
        leads.append(channel.phase_deg)
        sigmas.append(channel.phase_sigma_deg)
    assert np.mean(leads) == pytest.approx(90, abs=4 * np.std(leads) / 4)
    assert 0.5 < np.std(leads) / np.mean(sigmas) < 1.7


def test_noise_beside_a_tone_has_no_phase() -> None:
    """Of 32 channels of noise hardly one passes."""
    passed = 0
    for seed in range(4):
        parts = [region("a", noise(seed), tone(3.0, 1.0, 0) + noise(99 + seed))]
        parts += [
            region(f"n{k}", noise(1000 * seed + 2 * k), noise(1000 * seed + 2 * k + 1)) for k in range(4)
        ]
        passed += sum(each.region > 0 for each in phases(*parts)[0].channels)
    assert passed <= 2


@pytest.mark.parametrize("lead", [90.0, -90.0, 30.0, 0.0])
def test_an_orbit_is_the_ellipse_of_x_and_y_and_turns_as_seen(lead: float) -> None:
    """Upwards leads to the right by 90 degrees less: with y downwards, +90 turns counter-clockwise in the picture."""
    moving = region("a", tone(5.0, 1.0, 0) + noise(1, 0.001), tone(5.0, 0.5, lead) + noise(2, 0.001))
    (orbit,) = phases(moving)[0].orbits
    x, y = path(orbit)
    assert np.hypot(x, y).max() == pytest.approx(orbit.major_px, rel=0.01)
    assert np.hypot(x, y).min() == pytest.approx(orbit.minor_px, abs=0.01)
    area = 0.5 * abs(integrate.trapezoid(x * np.gradient(y) - y * np.gradient(x)))
    assert area == pytest.approx(math.pi * orbit.major_px * orbit.minor_px, abs=0.01)
    expected = {90.0: "counter-clockwise", -90.0: "clockwise", 30.0: "counter-clockwise", 0.0: "straight"}
    assert orbit.sense == expected[lead]
    if abs(lead) == 90:
        assert (orbit.major_px, orbit.minor_px) == pytest.approx((1.0, 0.5), rel=0.01)
        assert min(orbit.angle_deg, 180 - orbit.angle_deg) < 1
    if lead == 0:
        # x to the right and y downwards together: down to the right, which is 180 - atan(0.5) from x upwards.
        assert orbit.angle_deg == pytest.approx(180 - math.degrees(math.atan(0.5)), abs=0.5)


def test_neighbours_in_frequency_are_kept_apart() -> None:
    y = tone(3.0, 1.0, 0) + tone(3.4, 0.6, 0) + noise(1)
    other = tone(3.0, 0.5, 60) + tone(3.4, 0.6, -120) + noise(2)
    both = phases(region("a", noise(3), y), region("b", noise(4), other))
    found = {round(each.frequency_hz, 1): each for each in both}
    for hz, lead in ((3.0, 60), (3.4, -120)):
        sign = 1 if found[hz].reference[0] == 0 else -1
        (channel,) = [each for each in found[hz].channels if each.axis == "y"]
        assert channel.phase_deg == pytest.approx(sign * lead, abs=3)


def test_nothing_to_compare_gives_nothing() -> None:
    assert phases(region("a", noise(1), noise(2))) == ()
