"""What a changed configuration asks for: what goes live, what needs a restart."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from service_parts import Told
from support import ROOT

from tremorscope.files import stamp_of
from tremorscope.runtime.configuration.reading import load_configuration
from tremorscope.runtime.configuration.schema import Configuration
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.live.feed import LiveFeed
from tremorscope.runtime.reports import provenance
from tremorscope.runtime.service.assembly import Components
from tremorscope.runtime.service.frames import FrameLoop
from tremorscope.runtime.service.measuring import CompletedResults
from tremorscope.runtime.service.opening import settings_record
from tremorscope.runtime.service.region_changes import RegionChanges
from tremorscope.runtime.service.reloading import changes_between
from tremorscope.runtime.store.background import BackgroundStore
from tremorscope.runtime.store.records import Channel, SeriesBlock, SettingsRecord
from tremorscope.runtime.store.store import Store
from tremorscope.runtime.vibration.displacement.knock import Knock
from tremorscope.runtime.vibration.displacement.meters import PictureFacts
from tremorscope.runtime.vibration.displacement.regions import RegionEdit
from tremorscope.runtime.vibration.monitoring.temperature import TemperatureTrends

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


def components() -> Any:
    """What measuring and analysis are built from, and nothing else."""
    parts: Any = SimpleNamespace(
        source=SimpleNamespace(rate_hz=30.0), feed=LiveFeed(width_px=64, height_px=48), account=None,
        storage=SimpleNamespace(notice=print, offer=print), alarms=SimpleNamespace(read=print), picture=PictureFacts(),
        clock=SimpleNamespace(set_by_s=0.0), tracker=None, analyst=None, measuring=None, trends=TemperatureTrends(),
    )  # fmt: skip
    parts.build_analyst = lambda settings: Components.build_analyst(parts, settings)
    parts.measuring, parts.analyst = Components.build_measuring(parts, PRESENT.vibration)
    return parts


def knocked() -> Any:
    """The same after a knock of the camera by 17 px along x and -6 px along y."""
    parts = components()
    shift = np.array([[1.0, 0, 17], [0, 1, -6], [0, 0, 1]])
    parts.measuring.placed.follow(Knock(shift, 5.0), (1920, 1080))
    return parts


def test_a_reload_leaves_regions_where_a_knock_moved_them() -> None:
    parts = knocked()
    before = parts.measuring.placed
    new = changed("vibration.window_s", 3).vibration
    placed = Components.build_measuring(parts, new)[0].placed  # type: ignore[union-attr]
    assert placed.moved == before.moved != ""
    assert (placed.regions, placed.still) == (before.regions, before.still)
    first = PRESENT.vibration.regions[0]
    assert placed.regions[first.name].x_px == first.x_px + 17


def test_a_place_that_is_written_anew_holds() -> None:
    parts = knocked()
    new = changed("vibration.regions.0.x_px", 901).vibration
    placed = Components.build_measuring(parts, new)[0].placed  # type: ignore[union-attr]
    configured = {each.name: each.region() for each in new.regions}
    names = list(configured)
    assert placed.regions[names[0]] == configured[names[0]]
    assert all(placed.regions[name].x_px == configured[name].x_px + 17 for name in names[1:])


def test_still_regions_are_told_and_carried_along_by_the_page(tmp_path: Path) -> None:
    parts = knocked()
    parts.source, parts.storage = SimpleNamespace(size_px=(1920, 1080)), MagicMock()
    still = PRESENT.vibration.still[0]
    assert f"still 1 x_px {still.x_px + 17}, y_px {still.y_px - 6}" in parts.measuring.placed.moved
    parts.loop = SimpleNamespace(measuring=parts.measuring)
    file = tmp_path / "bridge.yaml"
    file.write_bytes((ROOT / "configs/bridge.yaml").read_bytes())
    reloader: Any = SimpleNamespace(
        configuration=PRESENT,
        unwritten=None,
        seen=stamp_of(file),
        take_over=lambda _: SimpleNamespace(refused=""),
    )
    changes = RegionChanges(file, parts, reloader)
    names = [each.name for each in PRESENT.vibration.regions]
    wanted = [RegionEdit(name, region, name) for name, region in parts.measuring.placed.regions.items()]
    assert changes._change(wanted, names, "a person").written
    written = load_configuration(file).configuration.vibration
    for present, placed in zip(PRESENT.vibration.still, written.still, strict=True):
        assert (placed.x_px, placed.y_px) == (present.x_px + 17, present.y_px - 6)
    with pytest.raises(OptionFault, match="have changed meanwhile"):  # still ones of which some are not known
        changes._change([RegionEdit("one", wanted[0].region, None, True)], names, "a person")


def test_a_block_is_measured_by_the_settings_of_its_first_sample() -> None:
    present, blocks = [SettingsRecord(0.0, "before", "{}")], Told()
    parts: Any = MagicMock()
    parts.settings, parts.store = lambda: present[-1], blocks
    before, after = MagicMock(), MagicMock()
    gathered = SeriesBlock((Channel("one", "x"),), np.zeros(1), np.zeros((1, 1), np.float32))
    before.take.return_value = after.take.return_value = CompletedResults(block=gathered)
    before.flush.return_value = after.flush.return_value = gathered
    loop = FrameLoop(parts, before)
    parts.supervisor.take.return_value.info = FrameInfo(1, 0.0)
    loop.advance(0.0)
    present.append(SettingsRecord(1.0, "after", "{}"))
    loop.advance(0.0)
    loop.use(after)
    loop.advance(0.0)
    present.append(SettingsRecord(2.0, "last", "{}"))
    loop.flush()
    told = [block.measured_by and block.measured_by.program for block in blocks.all]
    assert told == ["before", "before", "after", "after", "after"]


def test_a_clip_in_the_cameras_place_is_hashed_once_by_the_thread_that_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []

    def hash_of(path: Path) -> str:
        hashed.append(threading.current_thread().name)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(provenance, "sha256_of", hash_of)
    clip = tmp_path / "clip.mp4"
    camera = {"kind": "clip", "path": str(clip)}
    replay = Configuration.model_validate(PRESENT.model_dump(mode="json") | {"camera": camera})
    told = []
    for content in (b"filmed", b"filmed", b"filmed anew"):
        if not clip.exists() or clip.read_bytes() != content:
            clip.write_bytes(content)
        record = settings_record(replay, 1.0)
        assert len(hashed) == len(set(told)), "the main thread reads no clip"
        with Store(tmp_path / "s.db") as store:
            background = BackgroundStore(store)
            background.offer(record)
            assert background.close().written == 1
        told.append(json.loads(record.settings)["clip"]["sha256"])
    assert hashed == ["store", "store"]
    assert told == [hashlib.sha256(each).hexdigest() for each in (b"filmed", b"filmed", b"filmed anew")]
    clip.unlink()
    assert "clip" not in json.loads(settings_record(replay, 1.0).settings)


def test_the_trend_over_temperature_outlives_a_change_of_the_regions() -> None:
    parts = components()
    named = PRESENT.vibration.modes[0]
    trend = parts.analyst._trends.of(None, named)
    _, analyst = Components.build_measuring(parts, changed("vibration.regions.0.x_px", 901).vibration)
    assert analyst is not None
    assert analyst._trends.of(None, named) is trend
    assert analyst._trends.of(Path("other"), named) is not trend
