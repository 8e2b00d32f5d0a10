"""A month in the field in minutes: the product's own parts under a turned clock, and the truth that knows better.

    python tests/field_month.py --days 30 --seed 7

Twenty regions and two hundred alarms from displacement onward: levels, baselines, followed frequencies, alarm board,
store, journal, MQTT, the page's answers and the metrics. From the seed come outages of disk, broker, camera and clock,
and kills without warning. After every step the edges of the alarms are compared with those of an independent judge on
true time; at every checked moment journal, page, metrics and broker with what the simulation knows.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from field_box import BLOCK_S, PEAK_OVER_RMS, Box
from field_broker import Broker
from field_clock import Clock, turned
from field_weather import HOUR_S, Kind, Outage, TrueAlarm, Weather

from tremorscope.runtime.outputs.mqtt import publisher
from tremorscope.runtime.service import alarming, analysing
from tremorscope.runtime.store import soundness
from tremorscope.runtime.store.settings import StoreSettings
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge
from tremorscope.runtime.vibration.monitoring.levels import Baseline
from tremorscope.runtime.vibration.settings import VibrationSettings

Rows = dict[tuple[str, float], dict[str, Any]]
REGIONS, MODES = 20, 19
SUMMER_S = 1_780_000_000.0
THREADED = (
    "store.background", "store.soundness", "outputs.mqtt.publisher", "service.publishing",
)  # fmt: skip
_SETTLED_EVERY = 5
"""Steps after which threads have their turn though nothing has happened: each turn costs the system's scheduler."""
_LATE_S = 40.0
"""Time for which stamps may still follow the clock before a step; see `UnixClock`."""
_COVERED = {
    "kill": "kills without warning (as kill -9), half of them with edges that nobody had written",
    "broker": "outages of the broker or the network to it",
    "unconfirmed": "times in which the link stood but nothing was confirmed",
    "camera": "outages of the camera",
    "clock": "times with a wrong clock",
    "full": "times with a full disk",
    "away": "times in which the disk was taken away and brought back",
    "damage": "damaged stores",
    "reader": "times in which another program held the log",
    "reload": "reloads of the configuration",
    "acknowledged": "acknowledgements",
    "raised": "alarms raised, none missed and none false unless it says so below",
    "cleared": "alarms cleared",
    "checked": "moments at which journal, page, metrics and broker were compared with the truth",
}


def natural_hz(mode: int) -> float:
    """Natural frequency of a mode in fair weather."""
    return float(3 * 1.12**mode)


def vibration(step_s: float, learning_s: float) -> VibrationSettings:
    """Twenty regions and two hundred alarms."""
    regions = [
        {"name": f"r{number}", "x_px": 8, "y_px": 8, "width_px": 32, "height_px": 32}
        for number in range(REGIONS)
    ]
    modes = [
        {"name": f"m{number}", "low_hz": 0.95 * natural_hz(number), "high_hz": 1.05 * natural_hz(number)}
        for number in range(MODES)
    ]
    dwell = {"dwell_s": 1.5 * step_s, "clear_dwell_s": 3.5 * step_s}
    alarms: list[dict[str, object]] = [
        {"name": "camera silent", "quantity": "signal", "source": "camera", "silence_s": 3.5 * step_s}
    ]
    for number in range(REGIONS):
        of = {"region": f"r{number}"} | dwell
        for kind, key, limits in (
            ("rms", "above_px", (0.1, 0.2, 0.4, 0.8)),
            ("peak", "above_px", (0.3, 0.7, 1.5)),
            ("rms", "above_mm", (0.3,)),
        ):
            alarms += [
                {"name": f"r{number} {kind} {key} {limit:g}", "quantity": kind, key: limit} | of
                for limit in limits
            ]
        silent = {"quantity": "signal", "source": f"r{number}", "silence_s": 4.5 * step_s}
        alarms.append({"name": f"r{number} silent"} | silent)
    alarms += [
        {"name": f"m{number} shift", "quantity": "frequency", "mode": f"m{number}", "above_percent": 2.5,
         "dwell_s": 1700, "clear_dwell_s": 1700, "learning_s": learning_s}
        for number in range(MODES)
    ]  # fmt: skip
    return VibrationSettings.model_validate(
        {"regions": regions, "modes": modes, "alarms": alarms, "window_s": step_s, "analyse_every_s": 600,
         "scale": {"mm_per_px": 0.5}}
    )  # fmt: skip


class Disk:
    """Directory of the box's state on a disk of its own, and what can happen to it."""

    def __init__(self, root: Path) -> None:
        self.root, self.spare = root / "disk", root / "spare"
        self.root.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=192m", "tmpfs", str(self.root)]
        self.is_bounded = (
            os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
        )
        self.state = self.root / "state"
        self.file = self.state / "tremorscope.db"
        self._reader: sqlite3.Connection | None = None
        self._returns = 0

    def begin(self, kind: Kind) -> None:
        if kind == "full":
            disk = os.statvfs(self.root)
            with (self.root / "ballast").open("wb") as ballast:
                os.posix_fallocate(ballast.fileno(), 0, disk.f_bavail * disk.f_frsize - 400_000)
        elif kind == "away":
            self.state.rename(self.root / "away")
        elif kind == "reader":
            self._reader = sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, isolation_level=None)
            self._reader.execute("BEGIN")
            self._reader.execute("SELECT count(*) FROM alarm").fetchone()
        elif kind == "damage":
            size = self.file.stat().st_size
            command = f"head -c {size - 4096} /dev/urandom | dd of={self.file} bs=4096 seek=1 conv=notrunc status=none"
            subprocess.run(["sh", "-c", command], check=True)

    def end(self, kind: Kind) -> None:
        if kind == "full":
            (self.root / "ballast").unlink()
        elif kind == "away":
            if self.state.exists():
                self._returns += 1
                self.state.rename(self.root / f"meanwhile-{self._returns}")
            (self.root / "away").rename(self.state)
        elif kind == "reader":
            self.let_go()

    def let_go(self) -> None:
        """End the program that reads in one long transaction."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def close(self) -> None:
        self.let_go()
        if self.is_bounded:
            subprocess.run(["umount", "-l", str(self.root)], check=False)


@dataclass
class Learned:
    """Time with readings of a baseline, by the independent judge."""

    seconds: float = 0.0
    readings: int = 0


class Month:
    """The simulation."""

    def __init__(self, days: float, seed: int, step_s: float, root: Path, learning_s: float) -> None:
        self.step_s, self.disk = step_s, Disk(root)
        self.weather = Weather.draw(seed, days, REGIONS, MODES, step_s, 1.5 * learning_s + HOUR_S)
        if not self.disk.is_bounded:
            self.weather.outages = [each for each in self.weather.outages if each.kind != "full"]
        self.random, self.clock, self.broker = Random(seed + 1), Clock(SUMMER_S), Broker()
        self.begun_s, self.learning_s = self.clock.true_s, learning_s
        self.vibration = vibration(step_s, learning_s)
        self.store = StoreSettings.model_validate(
            {"directory": self.disk.state, "reserve_mb": 4, "retention": {"store_gb": 0.05},
             "disk": {"previews_below_gb": 0.003, "clips_below_gb": 0.002, "series_below_gb": 0.001}}
        )  # fmt: skip
        self.truth = {rule.name: TrueAlarm(rule) for rule in alarming.alarm_rules(self.vibration)}
        self.baselines: dict[str, float] = {}
        self.analysed_s = -math.inf
        self.errors: deque[tuple[float, float]] = deque([(0.0, 0.0)], maxlen=64)
        self.faults: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.lasting: dict[Kind, Outage] = {}
        self.fed: Counter[int] = Counter()
        """Samples by the hour of the device's clock."""
        self.told: list[tuple[str, str, float]] = []
        """Every edge, in order; the first ``sure`` of them are on the disk."""
        self.owed: set[tuple[str, str, float]] = set()
        self.arrived: set[tuple[str, str, float]] = set()
        self.sure = self.journal_from = self.tag = self.steps = 0
        self.kept: dict[int, Rows] = {}
        self.hours: dict[int, dict[int, int]] = {}
        self.learned = {name: Learned() for name in self.truth}
        self.has_frames, self.forgiven_s, self.damaged_s = False, 900.0, -math.inf

    @property
    def at_s(self) -> float:
        return self.clock.true_s - self.begun_s

    def fault(self, what: str, detail: str = "") -> None:
        """Note a disagreement; the first ones are printed."""
        self.faults[what] += 1
        if self.faults[what] <= 3:
            print(f"  day {self.at_s / 86400:.3f}: {what}: {detail}", flush=True)

    # What happens.

    def run(self) -> None:
        """Simulate it all, with a line a day."""
        self._begin_box()
        kills, end_s, day = deque(self.weather.kills_s), self.weather.days * 86400, 0
        while self.at_s < end_s:
            self.clock.true_s += self.step_s
            self._change()
            self._step()
            if kills and self.at_s >= kills[0]:
                kills.popleft()
                self._kill()
            if self.at_s >= self.check_due_s:
                self._check()
            if self.at_s >= (day + 1) * 86400:
                day += 1
                print(f"day {day}: {dict(self.counts)}, faults {sum(self.faults.values())}", flush=True)
        self.box.threads.kill()

    def _begin_box(self) -> None:
        self.box = Box(
            self.clock, self.disk.state, (self.store, self.vibration), self.broker, self._is_synchronised
        )
        self.changed_s, self.check_due_s = self.at_s, self.at_s + 6 * HOUR_S
        self.since_s = self.at_s
        self.box.threads.settle()

    def _is_synchronised(self) -> bool:
        return self.clock.error_s == 0.0

    def _change(self) -> None:
        """Begin and end what is broken."""
        lasting = self.weather.lasting(self.at_s)
        for kind in {*lasting, *self.lasting}:
            if lasting.get(kind) is self.lasting.get(kind):
                continue
            if kind in ("full", "away", "reader"):
                (self.disk.begin if kind in lasting else self.disk.end)(kind)
                if kind == "away":  # what was told meanwhile is in the store that was there meanwhile
                    self.journal_from = len(self.told)
            elif kind == "damage" and kind in lasting:
                self.disk.begin(kind)
                self.damaged_s = self.at_s
                self.journal_from = len(self.told)
            elif kind == "clock":
                self.clock.error_s = lasting["clock"].clock_error_s if kind in lasting else 0.0
                self.errors.append((self.clock.true_s, self.clock.error_s))
            if kind in lasting:
                self.counts[kind] += 1
            self.changed_s = self.at_s
            self.check_due_s = min(self.check_due_s, self.at_s + max(3 * self.step_s, 150.0))
        self.broker.is_up, self.broker.confirms = "broker" not in lasting, "unconfirmed" not in lasting
        self.lasting = dict(lasting)

    def _step(self) -> None:
        rms_px = None if "camera" in self.lasting else self._levels_px()
        self.has_frames = self.has_frames or rms_px is not None
        hz = [
            natural_hz(mode)
            * (1 + 0.002 * math.sin(self.at_s / 13751))
            * (0.968 if self._is_softer(mode) else 1.0)
            for mode in range(MODES)
        ]
        self.box.step(rms_px, hz, self.step_s)
        if rms_px is not None:
            self.fed[int(self.box.unix_s // 3600)] += 1
        expected = self._judge(rms_px, hz)
        found = self.box.take_edges()
        self.steps += 1
        if found or self.steps % _SETTLED_EVERY == 0 or self.at_s - self.changed_s < 6 * self.step_s:
            self.box.threads.settle()
        self._compare(expected, found)
        self.told += [(edge.name, edge.edge, edge.time_s) for edge in found]
        if self.box.is_settled and self.box.mqtt_is_settled:
            self.owed |= {*self.told[self.sure :]}
            self.sure = len(self.told)
        if self.random.random() < self.step_s / 20000:
            self._acknowledge()
        if self.random.random() < self.step_s / 86400:
            self.counts["reload"] += 1
            self.vibration = self.vibration.model_copy(
                update={"analyse_over_s": 300 + self.random.randint(0, 9)}
            )
            self.box.alarms.use(self.vibration, self.clock.time())

    def _levels_px(self) -> np.ndarray:
        now_s, found = self.at_s, np.full(REGIONS, 0.02)
        for at, gusts in enumerate(self.weather.gusts):
            for gust in gusts:
                if gust.begin_s <= now_s < gust.end_s:
                    found[at] = gust.rms_px
        return found

    def _is_softer(self, mode: int) -> bool:
        return any(begin_s <= self.at_s < end_s for begin_s, end_s in self.weather.softer[mode])

    def _judge(self, rms_px: np.ndarray | None, hz: list[float]) -> Counter[tuple[str, str]]:
        """The edges of this step, by the independent judge."""
        now_s, found = self.clock.true_s, Counter[tuple[str, str]]()
        baselines = {}
        if self.box.has_analysed:
            baselines = {
                each.rule.name: each.baseline for each in self.box.alarms.statuses() if each.baseline
            }
        for name, alarm in self.truth.items():
            edges: list[str | None] = []
            rule = alarm.rule
            if rule.quantity == "signal":
                edges.append(alarm.listen(now_s - 1.0))
                if rms_px is not None:
                    edges.append(alarm.hear(now_s))
            elif rule.quantity == "frequency":
                if self.box.has_analysed and self.has_frames:
                    edges.append(self._judge_shift(alarm, hz[int(rule.source[1:])], baselines.get(name)))
            elif rms_px is not None:
                rms = float(rms_px[int(rule.source[1:])])
                value = rms * (PEAK_OVER_RMS if rule.quantity == "peak" else 1.0)
                edges.append(alarm.read(now_s, 0.5 * value if rule.unit == "mm" else value))
            found.update((name, edge) for edge in edges if edge)
        if self.box.has_analysed:
            self.has_frames = False
        return found

    def _judge_shift(self, alarm: TrueAlarm, hz: float, baseline: Baseline | None) -> str | None:
        name, now_s = alarm.rule.name, self.clock.true_s
        before = self.baselines.get(name)
        learned = self.learned[name]
        if before is None:
            if alarm.heard_s is not None:
                learned.seconds += min(now_s - alarm.heard_s, alarm.rule.longest_gap_s)
            alarm.heard_s = now_s
            learned.readings += 1
            if baseline is not None:
                self.baselines[name] = baseline.value
                if (
                    learned.seconds < self.learning_s - 1
                    or learned.seconds > self.learning_s + self.forgiven_s
                ):
                    self.fault(
                        "learned too early or late",
                        f"{name} after {learned.seconds:.0f} s of {self.learning_s}",
                    )
                if abs(baseline.value / natural_hz(int(alarm.rule.source[1:])) - 1) > 0.003:
                    self.fault("baseline is wrong", f"{name}: {baseline.value}")
                alarm.heard_s = None
            elif learned.seconds > self.learning_s + self.forgiven_s:
                self.fault("learns for ever", f"{name}: {learned.seconds:.0f} s")
            return None
        if baseline is None or abs(baseline.value - before) > 1e-9:
            self.fault("baseline is lost", f"{name}: {before} is now {baseline}")
            return None
        return alarm.read(now_s, 100 * abs(hz / before - 1))

    def _kill(self) -> None:
        """SIGKILL in the middle of anything; the process is begun again a little later."""
        self.counts["kill"] += 1
        if self._is_calm(2 * self.step_s):
            self._check()
        was = {name for name, alarm in self.truth.items() if alarm.is_raised}
        is_sure = self.sure == len(self.told) and not {"away", "damage"} & {*self.lasting}
        is_sure = is_sure and self.at_s - self.damaged_s > 2 * HOUR_S
        if self.random.random() < 0.5:  # with edges that nobody has written yet
            self.clock.true_s += self.step_s
            self._change()
            self.has_frames |= "camera" not in self.lasting
            self.box.step(None if "camera" in self.lasting else self._levels_px(), [1.0] * 0, self.step_s)
            lost = self.box.take_edges()
            self.told += [(edge.name, edge.edge, edge.time_s) for edge in lost]
            is_sure = is_sure and not lost
        self.disk.let_go()
        self.lasting.pop("reader", None)
        self.weather.outages = [
            each for each in self.weather.outages
            if each.kind != "reader" or not each.begin_s <= self.at_s < each.end_s
        ]  # fmt: skip
        self.box.kill(self.disk.state, self.disk.spare)
        self.sure = len(self.told)
        if "away" in self.lasting:
            self.owed &= {*self.arrived}
        self.clock.true_s += self.random.randint(1, 4) * self.step_s
        self.forgiven_s += 800.0
        self._begin_box()
        raised = {
            each.rule.name for each in self.box.alarms.statuses() if each.phase in ("raised", "clearing")
        }
        if is_sure and raised != was:
            self.fault("a kill changed what is raised", f"lost {was - raised}, new {raised - was}")
        for name, alarm in self.truth.items():
            alarm.start(name in raised)
        if not is_sure:
            self.baselines = {
                each.rule.name: each.baseline.value for each in self.box.alarms.statuses() if each.baseline
            }

    def _acknowledge(self) -> None:
        status = self.random.choice(self.box.alarms.statuses())
        if self.box.alarms.acknowledge(status.rule.name, "field", self.clock.time()):
            self.counts["acknowledged"] += 1

    # What is compared.

    def _compare(self, expected: Counter[tuple[str, str]], found: list[AlarmEdge]) -> None:
        seen = Counter((edge.name, edge.edge) for edge in found)
        for name, edge in expected - seen:
            self.fault("missed", f"{name} {edge}")
        for name, edge in seen - expected:
            self.fault("false", f"{name} {edge}")
        for edge in found:
            self.counts[edge.edge] += 1
            now_s = self.clock.true_s
            recent = [error for since, error in self.errors]
            current = [
                error for (since, error), until in zip(
                    self.errors, [*(since for since, _ in list(self.errors)[1:]), math.inf], strict=True
                ) if until > now_s - _LATE_S - 2 * self.step_s
            ]  # fmt: skip
            off = min(abs(edge.time_s - now_s - error) for error in current)
            # A shift has the time of the latest frame that was analysed, which may be an analysis ago.
            if off > 3.0 + (600.0 if edge.quantity == "frequency" else 1e-3 * self.step_s):
                self.fault("stamp is wrong", f"{edge.name} by {off:.0f} s of {len(recent)} settings")

    def _is_calm(self, for_s: float) -> bool:
        broken = {"full", "away", "damage", "clock"} & {*self.lasting}
        return not broken and self.at_s - self.changed_s > for_s and self.at_s - self.since_s > for_s

    def _check(self) -> None:
        """Compare journal, page, metrics and broker with the truth."""
        self.check_due_s = self.at_s + 6 * HOUR_S
        self.counts["checked"] += 1
        box = self.box
        box.threads.settle()
        while box.client.step():  # twenty messages at a time, as fast as the broker confirms them
            box.threads.settle()
        box.report(self._levels_px() if "camera" not in self.lasting else None)
        raised = {name for name, alarm in self.truth.items() if alarm.is_raised}
        state = box.api("/api/state")
        self._same("page", {each["rule"]["name"] for each in state["alarms"] if each["raised"]}, raised)
        labels = {key.split('"')[1] for key, value in box.metric("alarm_raised").items() if value == 1}
        self._same("metrics", labels, raised)
        if state["ok"] != ("camera" not in self.lasting) and self.at_s - self.changed_s > 10:
            self.fault("liveness", state["verdict"])
        if box.metric("store_ok")[""] != (not box.storage.health().trouble):
            self.fault("store_ok", "")
        self._check_outputs(raised)
        if box.is_settled and self._is_calm(3 * self.step_s):
            self._check_journal(raised)
        elif self._is_calm(max(300.0, 5 * self.step_s)):
            self.fault(
                "store does not recover",
                box.storage.health().trouble or f"{box.storage.health().pending} wait",
            )

    def _check_outputs(self, raised: set[str]) -> None:
        box, for_s = self.box, self.at_s - max(self.changed_s, self.since_s)
        text = box.board.snapshot().outputs.get("mqtt")
        if for_s < 120 + 2 * self.step_s:
            return
        if not self.broker.is_up or not self.broker.confirms:
            if not text and (not self.broker.is_up or box.client.longest_wait_s > 60.0):
                self.fault("outage of the broker is not told", str(text))
            return
        if text and not {"full", "away"} & {*self.lasting}:
            self.fault("broker is called broken", text)
        for name in self.truth:
            topic = box._publisher._topics.alarm(name)  # type: ignore[union-attr]
            if ('"raised":true' in self.broker.retained.get(topic, "")) != (name in raised):
                self.fault("retained topic is wrong", f"{name}: {self.broker.retained.get(topic)}")
        if {"full", "away"} & {*self.lasting}:
            return
        self.arrived = {*self.broker.arrived}
        if missing := {(name, edge, round(at, 3)) for name, edge, at in self.owed} - self.arrived:
            self.fault("message lost", f"{len(missing)}: {sorted(missing)[:2]}")
            self.owed = {each for each in self.owed if (each[0], each[1], round(each[2], 3)) in self.arrived}
        if invented := self.arrived - {(name, edge, round(at, 3)) for name, edge, at in self.told}:
            self.fault("message invented", str(sorted(invented)[:2]))

    def _check_journal(self, raised: set[str]) -> None:
        rows = {(each["name"], each["raised_s"]): each for each in self.box.journal("alarms")}
        self._same("journal", {name for (name, _), row in rows.items() if row["cleared_s"] is None}, raised)
        known = {(name, at) for name, edge, at in self.told if edge == "raised"}
        if invented := set(rows) - known:
            self.fault("journal invents", str(sorted(invented)[:2]))
        tag = self.disk.file.stat().st_ino
        if tag != self.tag:
            self.tag, self.journal_from = tag, len(self.told)
        for name, edge, at in self.told[self.journal_from : self.sure]:
            written = (name, at) in rows if edge == "raised" else any(
                row["cleared_s"] == at for (other, _), row in rows.items() if other == name
            )  # fmt: skip
            if not written:
                self.fault("journal lacks", f"{name} {edge} {at:.1f}")
        self._check_kept(tag, rows)
        self.journal_from = self.sure = len(self.told)
        self._check_acknowledged(rows)
        self._check_series(tag)

    def _check_kept(self, tag: int, rows: Rows) -> None:
        """Nothing that was there is lost, or other than it was."""
        for key, row in self.kept.setdefault(tag, {}).items():
            now = rows.get(key)
            if now is None or (row["cleared_s"] is not None and now["cleared_s"] != row["cleared_s"]):
                self.fault("journal forgets", f"{key}: {row} is now {now}")
            elif row["acknowledged_s"] is not None and now["acknowledged_s"] is None:
                self.fault("journal forgets who acknowledged", str(key))
        self.kept[tag] = rows

    def _check_acknowledged(self, rows: Rows) -> None:
        for status in self.box.alarms.statuses():
            row = rows.get((status.rule.name, status.raised_s or 0.0))
            seen = row is not None and row["acknowledged_s"] is not None
            if status.phase in ("raised", "clearing") and row and seen != (status.acknowledged_s is not None):
                self.fault("acknowledgement differs", f"{status.rule.name}: {row} {status.acknowledged_s}")

    def _check_series(self, tag: int) -> None:
        """Hours are complete where nothing happened, and none that was there is lost."""
        with sqlite3.connect(f"file:{self.disk.file}?mode=ro", uri=True) as connection:
            found = dict(
                connection.execute(
                    "SELECT start_s / 3600, samples + lost FROM summary WHERE period_s = 3600 AND channel = 1"
                ).fetchall()
            )
        connection.close()
        for hour, count in self.hours.setdefault(tag, {}).items():
            if found.get(hour, 0) < count:
                self.fault("an hour is lost", f"{hour}: {count} samples, now {found.get(hour, 0)}")
        self.hours[tag] = found
        now = int(self.box.unix_s // 3600)
        quiet_s = self.at_s - max(self.changed_s, self.since_s)
        waiting = math.ceil(BLOCK_S / self.step_s) + 1
        if (
            quiet_s > 2.2 * HOUR_S
            and not self.lasting
            and abs(found.get(now - 1, 0) - self.fed[now - 1]) > waiting
        ):
            self.fault("an hour is incomplete", f"{found.get(now - 1, 0)} of {self.fed[now - 1]}")

    def _same(self, where: str, found: set[str], raised: set[str]) -> None:
        if found != raised:
            extra, missing = sorted(found - raised)[:3], sorted(raised - found)[:3]
            self.fault(f"{where} disagrees", f"raises {extra}, lacks {missing}")


def simulate(days: float, seed: int, *, step_s: float = 20.0, learning_s: float = 2 * 86400.0) -> Month:
    """Simulate some days; the answer holds what was counted and all disagreements."""
    replaced = [
        (analysing, "analyse_recording"), (publisher, "make_client"),
        (soundness, "_EVERY_S"), (publisher, "_UPDATE_EVERY_S"),
    ]  # fmt: skip
    real = [getattr(module, name) for module, name in replaced]
    clock_at = tempfile.mkdtemp(prefix="field-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    try:
        month = Month(days, seed, step_s, Path(clock_at), learning_s)
        soundness._EVERY_S, publisher._UPDATE_EVERY_S = 1800.0, 60.0
        try:
            with turned(month.clock, THREADED):
                month.run()
        finally:
            month.disk.close()
        return month
    finally:
        for (module, name), before in zip(replaced, real, strict=True):
            setattr(module, name, before)
        shutil.rmtree(clock_at, ignore_errors=True)


def main() -> int:
    """Simulate a month, or what is asked for, and print the verdict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--step-s", type=float, default=20.0, help="length of a window")
    asked = parser.parse_args()
    logging.disable(logging.ERROR)  # thousands of alarms
    learning_s = min(2 * 86400.0, 0.25 * asked.days * 86400)
    month = simulate(asked.days, asked.seed, step_s=asked.step_s, learning_s=learning_s)
    print(
        f"{asked.days:g} days, seed {asked.seed}, {REGIONS} regions, {len(month.truth)} alarms; it covered:"
    )
    for kind, words in _COVERED.items():
        print(f"  {month.counts[kind]:5} {words}")
    for what, count in month.faults.items():
        print(f"DISAGREES {count} times: {what}")
    print("agrees at every moment" if not month.faults else "does not agree")
    return 1 if month.faults else 0


if __name__ == "__main__":
    sys.exit(main())
