"""The box in the simulated field: the product's own parts from displacement onward, begun, killed and begun again."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from aiohttp.test_utils import make_mocked_request
from field_broker import Broker, Client
from field_clock import Clock, TurnedThreads

from tremorscope.runtime.health import CameraHealth, HealthBoard, RegionHealth
from tremorscope.runtime.live.feed import LiveFeed
from tremorscope.runtime.outputs import metrics
from tremorscope.runtime.outputs.mqtt import publisher as mqtt
from tremorscope.runtime.outputs.settings import HttpSettings, MqttSettings
from tremorscope.runtime.outputs.state import ServiceView
from tremorscope.runtime.outputs.web.access import AccessLevel
from tremorscope.runtime.outputs.web.archive import Archive
from tremorscope.runtime.outputs.web.handlers import LEVEL, Handlers
from tremorscope.runtime.outputs.web.limits import HttpLimits
from tremorscope.runtime.service import analysing
from tremorscope.runtime.service.alarming import AlarmService
from tremorscope.runtime.service.analysing import AnalysisOutputs, Analyst
from tremorscope.runtime.service.clock import ClockTrust, UnixClock
from tremorscope.runtime.service.history import MotionHistory, SeriesCollector, followed_before
from tremorscope.runtime.service.measuring import RegionLevels
from tremorscope.runtime.service.storing import Storage
from tremorscope.runtime.store.records import Channel
from tremorscope.runtime.store.settings import StoreSettings
from tremorscope.runtime.vibration.displacement.regions import Scale
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge
from tremorscope.runtime.vibration.monitoring.levels import Levels
from tremorscope.runtime.vibration.settings import VibrationSettings
from tremorscope.runtime.vibration.spectra.analysis import Analysis
from tremorscope.runtime.vibration.spectra.modes import Mode
from tremorscope.runtime.vibration.spectra.peaks import Peak
from tremorscope.runtime.vibration.spectra.region_series import ROW

BLOCK_S = 60.0
PEAK_OVER_RMS = 2.5


class Box:
    """One process of the service, without camera, engines and sockets."""

    def __init__(
        self,
        clock: Clock,
        state: Path,
        settings: tuple[StoreSettings, VibrationSettings],
        broker: Broker,
        is_synchronised: Callable[[], bool],
    ) -> None:
        self._clock, self._vibration = clock, settings[1]
        self.threads = TurnedThreads(clock)
        self.edges: list[AlarmEdge] = []
        """Edges since they were last taken away."""
        self.blocks = 0
        self.board = HealthBoard("field", clock=clock.monotonic, unix_clock=clock.time)
        self.storage = Storage(
            settings[0],
            None,
            clock=clock.monotonic,
            unix_clock=clock.time,
            threads=self.threads,
            trust=ClockTrust(unix_clock=clock.time, clock=clock.monotonic, synchronised=is_synchronised),
        )
        self.clock = UnixClock(unix_clock=clock.time, clock=clock.monotonic)
        self.alarms = AlarmService(settings[1], on_edge=self._on_edge, store=self.storage.offer)
        self.storage.on_opened, self.storage.on_begun_anew = self._resume, self.alarms.store_again
        self._resume()
        self.client = Client(broker, clock.monotonic)
        mqtt.make_client = lambda *_: self.client  # type: ignore[assignment]
        self._publisher: mqtt.MqttPublisher | None = None
        self._publisher = mqtt.MqttPublisher(
            MqttSettings.model_validate(
                {"host": "broker", "discovery_prefix": None, "summary_every_s": 3600}
            ),
            board=self.board,
            state_directory=state,
            threads=self.threads,
        )
        self._publisher.start()
        self.has_analysed, self.unix_s = False, 0.0
        self._build_measurement()
        self._build_web()

    def _build_measurement(self) -> None:
        names = [each.name for each in self._vibration.regions]
        self._history = MotionHistory(
            names, [each.region() for each in self._vibration.regions], most_samples=64
        )
        self._history.begin(np.full((len(names), 2), 0.001), np.zeros((len(names), 2)))
        self._rows = np.zeros((len(names), ROW))
        channels = [Channel(name, axis, mm_per_px=0.5) for name in names for axis in "xy"]
        self._collector = SeriesCollector(channels, block_s=BLOCK_S)
        self.feed = LiveFeed(width_px=64, height_px=48, most_samples=16)
        self.analyst = Analyst(
            self._vibration,
            self._history,
            AnalysisOutputs(
                self.feed.begin_motion(names), self.feed, store=self.storage.offer, read=self.alarms.read
            ),
            tracker=followed_before(self.storage.modes),
            clock=self._clock.monotonic,
            set_by_s=lambda: self.clock.set_by_s,
        )

    def _build_web(self) -> None:
        view = ServiceView(
            *(self.board, self.feed, self.storage.path, self.storage.clips), on_damage=self.storage.doubt
        )
        self._archive = Archive(view.store, view.clips, view.on_damage)
        pictures: Any = None
        self._handlers = Handlers(
            HttpSettings(),
            view,
            pictures=pictures,
            archive=self._archive,
            limits=HttpLimits(),
            counts=self._publisher.counts if self._publisher else dict,
        )

    def step(self, rms_px: np.ndarray | None, frequencies_hz: list[float], step_s: float) -> None:
        """One window has ended: of all regions, or of none while the camera gives nothing."""
        now_s = self._clock.monotonic()
        self.alarms.advance(now_s - 1.0, self.clock.now_s() - 1.0)  # as it is called every second
        if rms_px is not None:
            self._measure(rms_px, step_s)
        self.has_analysed = False
        analysing.analyse_recording = lambda *_, **__: self._analyse(frequencies_hz)  # type: ignore[assignment]
        self.analyst.look()
        self.storage.check()
        self.report(rms_px)
        self.client.step()

    def _measure(self, rms_px: np.ndarray, step_s: float) -> None:
        now_s = self._clock.monotonic()
        unix_s = self.clock.take(now_s, now_s)
        self._rows[:, 0] = rms_px
        self._history.add(now_s, unix_s, self._rows)
        self.alarms.levels(
            unix_s,
            [
                RegionLevels(
                    each.name,
                    Levels(unix_s - step_s, unix_s, PEAK_OVER_RMS * rms, rms, 100, 0),
                    Scale.stated(0.5),
                )
                for each, rms in zip(self._vibration.regions, rms_px.tolist(), strict=True)
            ],
            self.clock.steady_s,
        )
        self.alarms.frame(unix_s, now_s)
        self.unix_s = unix_s
        self.board.frame_processed(int(now_s))
        block = self._collector.add(unix_s, np.repeat(rms_px, 2))
        if block is not None:
            self.blocks += 1
            self.storage.offer(block)

    def _analyse(self, frequencies_hz: list[float]) -> Analysis:
        self.has_analysed = True
        return analysis_of(frequencies_hz, list(self._history.names))

    def report(self, rms_px: np.ndarray | None) -> None:
        """As `Reporter` does, of what is there."""
        regions = tuple(RegionHealth(each.name) for each in self._vibration.regions)
        faults = () if rms_px is not None else ("frozen",)
        self.board.update(
            camera=CameraHealth(status="running", faults=faults, rate_hz=1.0, nominal_rate_hz=1.0),
            regions=regions,
            modes=self.analyst.findings.modes,
            alarms=self.alarms.statuses(),
            storage=self.storage.health(),
        )

    def take_edges(self) -> list[AlarmEdge]:
        """The edges since the last call."""
        found, self.edges = self.edges, []
        return found

    def api(self, path: str) -> Any:
        """The page's answer to a GET."""
        request = make_mocked_request("GET", path)
        request[LEVEL] = AccessLevel.CONTROL
        handler = self._handlers.history if "history" in path else self._handlers.state
        return json.loads(asyncio.run(handler(request)).body)  # type: ignore[arg-type]

    def journal(self, kind: str, *, was_damaged: bool = False) -> list[dict[str, Any]]:
        """All pages of a kind, the latest first."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            answer = self.api(f"/api/history?kind={kind}&before={cursor}")
            if "damaged" in answer["trouble"] and not was_damaged:  # it says so, and is set aside for it
                self.threads.settle()
                return self.journal(kind, was_damaged=True)
            assert not answer["trouble"], answer["trouble"]
            found += answer[kind]
            cursor = answer["next"][kind]
            if cursor is None:
                return found

    def metric(self, name: str) -> dict[str, float]:
        """Values of a metric by its labels."""
        assert self._publisher is not None
        text = metrics.render(self.board.snapshot, self._publisher.counts).decode()
        start = f"tremorscope_{name}"
        lines = (line for line in text.splitlines() if line.startswith((start + "{", start + " ")))
        return {line.rpartition(" ")[0][len(start) :]: float(line.rpartition(" ")[2]) for line in lines}

    @property
    def is_settled(self) -> bool:
        """True if everything that was handed over is on the disk."""
        health = self.storage.health()
        return not health.pending and not health.trouble

    @property
    def mqtt_is_settled(self) -> bool:
        """True if every edge is in the buffer for the broker."""
        return self._publisher is not None and not self._publisher._unwritten

    def kill(self, state: Path, spare: Path) -> None:
        """End as by SIGKILL: what is on the disk stays as it is, and nothing is written any more."""
        shutil.rmtree(spare, ignore_errors=True)
        shutil.copytree(state, spare)
        self.threads.kill()
        self._archive.close()
        background = self.storage._background
        if background is not None:
            background.store.close()
        if self._publisher is not None:
            self._publisher._buffer.close()
        shutil.rmtree(state)
        shutil.copytree(spare, state)

    def _on_edge(self, edge: AlarmEdge, _: bool) -> None:
        self.edges.append(edge)
        if self._publisher is not None:
            self._publisher.edge(edge)

    def _resume(self) -> None:
        left = self.storage
        self.alarms.resume(left.opened_alarms, left.baselines, left.learnings, self._clock.time())
        self.alarms.store_again()  # it may have been begun in place of a damaged one, or opened late


def analysis_of(frequencies_hz: list[float], names: list[str]) -> Analysis:
    """What an analysis would find: modes at these frequencies, of the shapes of a beam."""
    along = np.repeat(np.arange(1, len(names) + 1) / (len(names) + 1), 2)
    modes = tuple(
        Mode(
            Peak(hz, 1e-4, 0.1, 0.01, "resonance", 0.01, 0.001, None, 50.0),
            np.sin(np.pi * number * along) + 0j,
            1.0,
        )
        for number, hz in enumerate(frequencies_hz, 1)
    )
    regions: Any = tuple(
        SimpleNamespace(series=SimpleNamespace(name=name), along=lambda _: None) for name in names
    )
    return Analysis(regions, (), (), modes, 1.0, 300.0, 60.0, (), 0, False)
