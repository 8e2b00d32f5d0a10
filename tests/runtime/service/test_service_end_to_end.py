"""One life of the service, as a process: start, alarm on both edges, reload, events, and an end in time, all whole."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import pytest
import yaml
from support import command_line

from tremorscope.runtime.cameras.synthetic import SyntheticSettings
from tremorscope.runtime.reports.signals import PROGRAM
from tremorscope.runtime.store.export import settings_of
from tremorscope.runtime.store.reader import StoreReader
from tremorscope.runtime.store.records import Clip

DRAWN = SyntheticSettings(320, 180)
PATIENCE_S = 120.0
"""On a machine with nothing else to do all of this takes 20 s."""


def region(name: str, box: tuple[int, int, int, int]) -> dict[str, object]:
    return {"name": name, **dict(zip(("x_px", "y_px", "width_px", "height_px"), box, strict=True))}


def configuration(state: Path, bundle: Path) -> dict[str, object]:
    still = region("", DRAWN.abutment_px)
    del still["name"]
    return {
        "version": 1,
        "name": "test",
        "camera": {"kind": "synthetic", "width_px": 320, "height_px": 180},
        "magnification": {"amplification": 20, "bundle": str(bundle)},
        "vibration": {
            "regions": [region("mid-span", (130, 90, 60, 24)), region("quarter-span", (68, 92, 44, 20))],
            "still": [still],
            "scale": {"mm_per_px": 10},
            "window_s": 0.5,
            "analyse_every_s": 5,
            "analyse_over_s": 60,
            "alarms": [
                {
                    "name": "sways", "quantity": "rms", "region": "mid-span", "above_mm": 0.2, "dwell_s": 0.5,
                    "clear_dwell_s": 0.5,
                }
            ],
        },
        "recording": {"pre_roll_s": 1, "post_roll_s": 2},
        "store": {
            "directory": str(state),
            "disk": {"previews_below_gb": 0.003, "clips_below_gb": 0.002, "series_below_gb": 0.001},
        },
        "outputs": {"http": {"enabled": False}},
    }  # fmt: skip


@dataclass
class Life:
    """What a life of the service left behind."""

    log: str
    status: int
    stopped_s: float
    """From SIGTERM to the end."""
    state: Path
    file: Path


class Running:
    """The service as a process, and what it says."""

    def __init__(self, file: Path, log: Path) -> None:
        self._log = log
        with log.open("w") as stderr:
            self.process = subprocess.Popen(command_line("run", "--config", file), stderr=stderr)

    def said(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def until(self, condition: Callable[[], object], what: str) -> None:
        limit_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < limit_s, f"{what}:\n{self.said()}"
            time.sleep(0.05)

    def until_said(self, pattern: str) -> None:
        self.until(lambda: re.search(pattern, self.said()), pattern)

    def stop(self) -> float:
        begun_s = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        return time.monotonic() - begun_s


def clips(state: Path) -> dict[str, Clip]:
    if not (state / "tremorscope.db").exists():
        return {}
    with StoreReader(state / "tremorscope.db") as reader:
        return {clip.file: clip for clip in reader.clips()}


def saved(state: Path) -> list[Clip]:
    return [clip for clip in clips(state).values() if clip.state == "saved"]


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, linear_bundle: Path) -> Iterator[Life]:
    directory = tmp_path_factory.mktemp("service")
    state, file = directory / "state", directory / "service.yaml"
    asked = configuration(state, linear_bundle)
    file.write_text(yaml.safe_dump(asked))
    running = Running(file, directory / "log")
    try:
        running.until_said("alarm sways raised")
        running.until(lambda: len(saved(state)) == 2, "a clip is saved and magnified")

        asked["magnification"] = {  # type: ignore[index]
            "amplification": 40, "mode": "band", "bands_hz": [[1.8, 2.4]], "bundle": str(linear_bundle),
        }  # fmt: skip
        asked["vibration"]["alarms"][0]["above_mm"] = 5  # type: ignore[index]
        asked["name"] = "renamed"
        file.write_text(yaml.safe_dump(asked))
        running.process.send_signal(signal.SIGHUP)
        running.until_said("changed: magnification.mode")
        running.process.send_signal(signal.SIGUSR1)
        running.until_said("alarm sways cleared")
        running.until(lambda: len(saved(state)) == 4, "another clip is saved and magnified")

        asked["magnification"]["amplification"] = 0  # type: ignore[index]
        file.write_text(yaml.safe_dump(asked))  # taken note of without a signal
        running.until_said("configuration refused")

        running.process.send_signal(signal.SIGUSR1)
        running.until(
            lambda: any(c.state == "recording" for c in clips(state).values()), "a clip is recorded"
        )
        stopped_s = running.stop()
        yield Life(running.said(), running.process.returncode, stopped_s, state, file)
    finally:
        running.process.kill()
        running.process.wait()


class TestLife:
    def test_ends_in_time_and_in_good_order(self, life: Life) -> None:
        assert life.status == 0
        assert life.stopped_s < 10
        assert "at the end:" not in life.log
        assert "Traceback" not in life.log

    def test_tells_both_edges_of_the_alarm(self, life: Life) -> None:
        with StoreReader(life.state / "tremorscope.db") as reader:
            (alarm,) = reader.alarms()
        assert (alarm.name, alarm.source, alarm.unit, alarm.threshold) == ("sways", "mid-span", "mm", 0.2)
        # 0.12 px at mid-span and 0.05 px away from it, at random phases within half a second, times 10 mm/px.
        assert 0.2 <= alarm.value < 1.5
        assert alarm.cleared_s is not None
        assert alarm.cleared_s > alarm.raised_s

    def test_leaves_every_clip_whole(self, life: Life) -> None:
        found = saved(life.state)
        unmade = [clip for clip in clips(life.state).values() if clip not in found]
        # The end leaves time to complete the raw clip, and perhaps to magnify it.
        assert len(unmade) <= 1
        for clip in unmade:
            assert clip.kind == "magnified"
            assert "the service ended before it was made" in clip.detail
        assert [clip.kind for clip in found].count("raw") == 3
        assert sorted(os.listdir(life.state / "clips")) == sorted(clip.file for clip in found)
        for clip in found:
            with av.open(str(life.state / "clips" / clip.file)) as container:
                frames = sum(1 for _ in container.decode(video=0))
            assert frames == clip.frames
            assert clip.nbytes == (life.state / "clips" / clip.file).stat().st_size

    def test_keeps_the_event_of_the_alarm_with_it(self, life: Life) -> None:
        with StoreReader(life.state / "tremorscope.db") as reader:
            (alarm,) = reader.alarms()
            events = reader.events()
        of_alarm = [event for event in events if event.alarm == "sways"]
        assert [event.alarm_raised_s for event in of_alarm] == [pytest.approx(alarm.raised_s)]
        assert "by SIGUSR1" in {event.reason for event in events}

    def test_takes_over_what_can_change_and_says_what_cannot(self, life: Life) -> None:
        assert "changed: magnification.amplification: 20.0 -> 40.0" in life.log
        assert "changed: magnification.mode: static -> band" in life.log
        assert "changed: vibration.alarms" in life.log
        assert "needs a restart: name: test -> renamed" in life.log

    def test_stores_by_which_settings_it_has_measured_and_magnified(self, life: Life) -> None:
        with StoreReader(life.state / "tremorscope.db") as reader:
            before, after = settings_of(reader, -math.inf, math.inf)
            events, blocks = reader.events(), list(reader.blocks())
            first_s = min(block.times_s[0] for block in blocks)
        assert before.time_s <= first_s < after.time_s
        assert before.program == after.program == PROGRAM
        for block in blocks:  # by the settings at its first sample
            assert block.measured_by == (after if block.times_s[0] > after.time_s + 0.5 else before)
        told = [json.loads(each.settings)["vibration"] for each in (before, after)]
        assert [each["alarms"][0]["above_mm"] for each in told] == [0.2, 5.0]
        assert told[0]["regions"][0]["x_px"] == 130
        reasons = {event.name: event.reason for event in events}
        magnified = [clip for clip in saved(life.state) if clip.kind == "magnified"][:2]
        assert [reasons[clip.event].split()[:2] for clip in magnified] == [
            ["alarm", "sways"],
            ["by", "SIGUSR1"],
        ]
        assert ["magnified 20 times;" in clip.detail for clip in magnified] == [True, False]
        assert [clip.magnifies(2.1) for clip in magnified] == [False, True]

    def test_refuses_a_bad_change_with_its_line_and_goes_on(self, life: Life) -> None:
        (line,) = [line for line in life.log.splitlines() if "refused" in line]
        assert re.search(r"service\.yaml:\d+: magnification\.amplification = 0: must be at least 1", line)
        with StoreReader(life.state / "tremorscope.db") as reader:
            topics = [notice.topic for notice in reader.notices()]
        assert topics.count("configuration") == 2

    def test_stores_displacement_of_every_raw_frame(self, life: Life) -> None:
        with StoreReader(life.state / "tremorscope.db") as reader:
            (channel,) = [c for c in reader.channels() if c.name == "mid-span y" and c.mm_per_px]
            times, values = zip(*reader.series(channel), strict=True)
        steps = [step for block in times for step in block[1:] - block[:-1]]
        ended = int(re.search(r"ended after (\d+) frames", life.log)[1])  # type: ignore[index]
        # All but those of the first second, of which noise is learned.
        assert ended - 60 <= sum(map(len, times)) <= ended
        assert sorted(steps)[len(steps) // 2] == pytest.approx(1 / 30, abs=1e-4)
        assert channel.mm_per_px == 10
        largest = max(abs(block).max() for block in values)
        assert 0.05 < largest < 0.25
