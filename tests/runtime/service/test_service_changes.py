"""What a changed configuration asks for: what goes live, what needs a restart."""

from __future__ import annotations

from typing import Any

import pytest
from support import ROOT

from tremorscope.runtime.configuration.reading import load_configuration
from tremorscope.runtime.configuration.schema import Configuration
from tremorscope.runtime.service.reloading import changes_between

PRESENT = load_configuration(ROOT / "configs" / "bridge.yaml").configuration


def changed(path: str, value: Any) -> Configuration:
    data = PRESENT.model_dump(mode="json")
    node: Any = data
    *parts, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
    for part in parts:
        node = node[part]
    assert node[last] != value
    node[last] = value
    return Configuration.model_validate(data)


def test_nothing_changes_where_nothing_has_changed() -> None:
    found = changes_between(PRESENT, Configuration.model_validate(PRESENT.model_dump(mode="json")))
    assert not found.any
    assert found.configuration == PRESENT


@pytest.mark.parametrize(
    ("path", "value", "line", "flags"),
    [
        ("magnification.amplification", 40, "magnification.amplification: 25.0 -> 40.0", "magnification"),
        ("magnification.bands_hz", [[1.5, 2]], "magnification.bands_hz: ((1.8, 2.4),) -> ((1.5, 2.0),)",
         "magnification"),
        ("magnification.when", "always", "magnification.when: watched -> always", "magnification"),
        ("vibration.regions.0.x_px", 901, "vibration.regions", "regions analysis alarms"),
        ("vibration.window_s", 3, "vibration.window_s: 2.0 -> 3.0", "regions analysis alarms"),
        ("vibration.scale.distance_m", 49, "vibration.scale.distance_m: 48.0 -> 49.0", "regions analysis alarms"),
        ("vibration.analyse_every_s", 60, "vibration.analyse_every_s: 300.0 -> 60.0", "analysis alarms"),
        ("vibration.modes.0.low_hz", 1.6, "vibration.modes", "analysis alarms"),
        ("vibration.alarms.0.above_mm", 5, "vibration.alarms", "alarms"),
        ("reload_on_change", False, "reload_on_change: True -> False", ""),
    ],
)  # fmt: skip
def test_is_taken_over_live(path: str, value: Any, line: str, flags: str) -> None:
    new = changed(path, value)
    found = changes_between(PRESENT, new)
    assert (found.applied, found.needs_restart) == ((line,), ())
    assert found.configuration == new
    all_flags = ("regions", "analysis", "alarms", "magnification")
    assert " ".join(flag for flag in all_flags if getattr(found, flag)) == flags


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("camera.rate_hz", 25, "camera.rate_hz: 30.0 -> 25.0"),
        ("magnification.threads", 2, "magnification.threads: none -> 2"),
        ("magnification.runtime", "tensorrt", "magnification.runtime: auto -> tensorrt"),
        ("recording.pre_roll_s", 4, "recording.pre_roll_s: 3.0 -> 4.0"),
        ("store.retention.clips_days", 10, "store.retention.clips_days: 180.0 -> 10.0"),
        ("outputs.http.port", 8081, "outputs.http.port: 8080 -> 8081"),
        ("name", "other", "name: bridge -> other"),
        ("recovery.steady_s", 10, "recovery.steady_s: 30.0 -> 10.0"),
        ("thermal.enabled", False, "thermal.enabled: True -> False"),
    ],
)
def test_says_what_needs_a_restart_and_stays_as_it_is(path: str, value: Any, line: str) -> None:
    found = changes_between(PRESENT, changed(path, value))
    assert (found.applied, found.needs_restart) == ((), (line,))
    assert found.configuration == PRESENT


def test_every_section_is_one_or_the_other() -> None:
    """A new section must be thought of: what is neither named here would need a restart without anybody's decision."""
    assert set(Configuration.model_fields) == {
        "version", "name", "camera", "magnification", "vibration", "recording", "store", "outputs", "recovery",
        "thermal", "reload_on_change",
    }  # fmt: skip
