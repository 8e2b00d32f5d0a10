"""The thermal governor: steps with hysteresis and dwell, never faster than these, whatever the heat does."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tremorscope.runtime.host.settings import ThermalLevelSettings, ThermalSettings
from tremorscope.runtime.host.thermal import ThermalReading
from tremorscope.runtime.magnification.load import LoadLevel, LoadStep, ThermalGovernor

SETTINGS = ThermalSettings(
    levels=(
        ThermalLevelSettings(enter_c=80, precision="int8"),
        ThermalLevelSettings(enter_c=85, precision="int8", rate_fraction=0.5),
        ThermalLevelSettings(enter_c=90, precision="int8", rate_fraction=0.5, magnify=False),
    ),
    hysteresis_c=5,
    heat_dwell_s=10,
    cool_dwell_s=60,
)


class Governed:
    """A governor that is looked at once a second, and its steps."""

    def __init__(self, settings: ThermalSettings = SETTINGS) -> None:
        self.steps: list[LoadStep] = []
        self.reading = ThermalReading(None)
        self.governor = ThermalGovernor(settings, lambda: self.reading, on_step=self.steps.append)
        self.now_s = 0.0

    def run(self, temperature_c: float | None, for_s: int, throttled: tuple[str, ...] = ()) -> int:
        """Let the device have a temperature for a while; returns the level after that."""
        for _ in range(for_s):
            self.now_s += 1.0
            self.reading = ThermalReading(temperature_c, "tj-thermal", throttled)
            self.governor.update(self.now_s)
        return self.governor.level.index

    @property
    def moves(self) -> list[tuple[float, int]]:
        return [(step.time_s, step.after.index) for step in self.steps]


def test_a_cool_device_is_never_held_back() -> None:
    governed = Governed()
    assert governed.run(79.9, for_s=1000) == 0
    assert governed.governor.level == LoadLevel()
    assert governed.steps == []


def test_heat_steps_up_level_by_level_each_after_its_dwell() -> None:
    governed = Governed()
    governed.run(99.0, for_s=100)
    assert governed.moves == [(11.0, 1), (22.0, 2), (33.0, 3)]
    assert governed.governor.level == LoadLevel(3, 0.5, 1.0, "int8", magnify=False)


def test_a_level_is_held_where_it_belongs() -> None:
    governed = Governed()
    assert governed.run(86.0, for_s=500) == 2
    assert governed.run(80.1, for_s=500) == 2  # within the hysteresis of level 2
    assert governed.run(79.9, for_s=500) == 1
    assert governed.run(75.1, for_s=500) == 1
    assert governed.run(74.9, for_s=500) == 0


def test_a_short_peak_changes_nothing() -> None:
    governed = Governed()
    for _ in range(20):
        governed.run(99.0, for_s=9)
        governed.run(70.0, for_s=1)
    assert governed.steps == []


def test_cooling_down_takes_the_longer_dwell() -> None:
    governed = Governed()
    governed.run(99.0, for_s=33)
    governed.run(20.0, for_s=200)
    assert [later - earlier for (earlier, _), (later, _) in pairwise(governed.moves)] == [11, 11, 61, 61, 61]


def test_a_device_that_holds_itself_back_is_relieved_by_one_level() -> None:
    governed = Governed()
    assert governed.run(60.0, for_s=300, throttled=("cpufreq-cpu0",)) == 1
    assert len(governed.steps) == 1  # and not back and forth while it lasts
    assert governed.run(60.0, for_s=300) == 0
    assert "held back by cpufreq-cpu0" in str(governed.steps[0])
    ignoring = Governed(SETTINGS.model_copy(update={"throttled_counts": False}))
    assert ignoring.run(60.0, for_s=300, throttled=("cpufreq-cpu0",)) == 0


def test_without_a_reading_the_level_stays_as_it_is() -> None:
    governed = Governed()
    governed.run(86.0, for_s=100)
    assert governed.run(None, for_s=5000) == 2
    assert governed.run(20.0, for_s=200) == 0


def test_switched_off_it_only_reads() -> None:
    governed = Governed(SETTINGS.model_copy(update={"enabled": False}))
    assert governed.run(120.0, for_s=500) == 0
    assert governed.governor.reading.temperature_c == 120.0


def test_every_step_says_what_was_read_and_what_is_done_about_it() -> None:
    governed = Governed()
    governed.run(86.2, for_s=30)
    assert [str(step) for step in governed.steps] == [
        "hotter: tj-thermal at 86.2 °C: from level 0 (nothing held back) to level 1 (INT8)",
        "hotter: tj-thermal at 86.2 °C: from level 1 (INT8) to level 2 (50% of the rate, INT8)",
    ]


@pytest.mark.parametrize(
    "levels", [[{"enter_c": 85}, {"enter_c": 80}], [{"enter_c": 80}, {"enter_c": 80}], [{"enter_c": "hot"}]]
)
def test_levels_must_become_hotter(levels: list[dict[str, object]]) -> None:
    with pytest.raises(ValidationError):
        ThermalSettings.model_validate({"levels": levels})


trajectories = st.lists(
    st.tuples(
        st.floats(-60, 160) | st.none() | st.sampled_from([74.9, 75.0, 79.9, 80.0, 84.9, 85.0, 90.0]),
        st.integers(1, 90),
        st.booleans(),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(trajectories)
def test_it_never_oscillates_faster_than_the_dwell(
    trajectory: list[tuple[float | None, int, bool]],
) -> None:
    governed = Governed()
    for temperature_c, for_s, throttled in trajectory:
        governed.run(temperature_c, for_s, ("cpufreq-cpu0",) if throttled else ())
    for step in governed.steps:
        assert abs(step.after.index - step.before.index) == 1
    for earlier, later in pairwise(governed.steps):
        assert later.before == earlier.after
        dwell_s = SETTINGS.heat_dwell_s if later.after.index > later.before.index else SETTINGS.cool_dwell_s
        assert later.time_s - earlier.time_s >= dwell_s
    downs = [step for step in governed.steps if step.after.index < step.before.index]
    for step in downs:  # and it never gives back what the present heat would take again at once
        assert step.reading.temperature_c is not None
        assert step.reading.temperature_c < SETTINGS.levels[step.before.index - 1].enter_c - 5


@settings(max_examples=60, deadline=None)
@given(trajectories, st.floats(0, 130))
def test_it_settles_where_a_steady_temperature_belongs(
    trajectory: list[tuple[float | None, int, bool]], temperature_c: float
) -> None:
    governed = Governed()
    for each_c, for_s, throttled in trajectory:
        governed.run(each_c, for_s, ("cpufreq-cpu0",) if throttled else ())
    index = governed.run(temperature_c, for_s=400)
    entered = sum(level.enter_c <= temperature_c for level in SETTINGS.levels)
    kept = sum(level.enter_c - 5 <= temperature_c for level in SETTINGS.levels)
    assert entered <= index <= kept
    settled = len(governed.steps)
    governed.run(temperature_c, for_s=400)
    assert len(governed.steps) == settled
