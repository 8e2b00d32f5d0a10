"""Components of the service, built from a configuration; only the threads that write to the disk run yet."""

from __future__ import annotations

import importlib.metadata
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial

from tremorscope.runtime.cameras.opening import describe, measured_bits, open_camera, supervisor_settings
from tremorscope.runtime.cameras.supervision.faults import CameraEvent
from tremorscope.runtime.cameras.supervision.supervisor import CameraSupervisor
from tremorscope.runtime.clips.pre_roll import ClipMagnifier, slots_for
from tremorscope.runtime.configuration.checking import open_configured_bundle
from tremorscope.runtime.configuration.schema import Configuration
from tremorscope.runtime.engines.upkeep import EngineUpkeep
from tremorscope.runtime.frames.buffers import CopyAccount
from tremorscope.runtime.frames.ring import LeaseError, LeasingRing
from tremorscope.runtime.health import CameraHealth, HealthBoard
from tremorscope.runtime.host.threads import Threads
from tremorscope.runtime.live.feed import LiveFeed
from tremorscope.runtime.live.on_demand import PICTURES_HELD, Magnifying
from tremorscope.runtime.magnification.factory import EngineFactory, open_configured_runtime
from tremorscope.runtime.service.alarming import AlarmService
from tremorscope.runtime.service.analysing import AnalysisOutputs, Analyst
from tremorscope.runtime.service.clock import UnixClock
from tremorscope.runtime.service.events import EventMagnifier
from tremorscope.runtime.service.frames import HELD_FRAMES, FrameLoop, FrameParts
from tremorscope.runtime.service.history import MotionHistory, followed_before, points_of
from tremorscope.runtime.service.measuring import Measuring
from tremorscope.runtime.service.opening import CAMERA_FILE, CameraOpener, settings_record, survey_source
from tremorscope.runtime.service.store_keeper import state_directory
from tremorscope.runtime.service.storing import Storage
from tremorscope.runtime.vibration.displacement.meters import PictureFacts
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge, OpenAlarm
from tremorscope.runtime.vibration.monitoring.temperature import TemperatureTrends
from tremorscope.runtime.vibration.settings import VibrationSettings

log = logging.getLogger("tremorscope.camera")

_WAITING_FRAMES = 4
"""Frames that may wait for the loop: a pause of a tenth of a second loses none."""
_FROZEN_S = 2.0
"""Least time without a frame before the camera is opened again: on a device under load sooner would be too soon."""
_OPEN_S, _DRAW_S = 10.0, 300.0
"""Most time for opening a camera, and for drawing one."""
_LIVE_S = 300.0
"""Length of displacement that a new viewer gets."""
_FASTEST_HISTORY_HZ = 240.0
"""Highest rate that the memory for histories is allocated for; of faster cameras a shorter time is kept."""


class CameraJournal:
    """Record of both edges of the camera's faults: log, store, counts."""

    def __init__(self) -> None:
        self.notice: Callable[[str, str], None] = lambda _topic, _text: None
        """Stores a topic and a text."""
        self.totals: Counter[str] = Counter()
        """Faults that have begun, by kind."""

    def __call__(self, event: CameraEvent) -> None:
        """Record an edge."""
        self.totals[event.kind] += event.begins
        fields = {"fault": event.kind, "edge": "begins" if event.begins else "ends"}
        if event.begins:
            log.warning("camera %s: %s", event.kind, event.detail, extra={"fields": fields})
            self.notice("camera", f"{event.kind}: {event.detail}")
        else:
            lasted_s = event.at_s - event.since_s
            log.info("camera no longer %s, after %.1f s", event.kind, lasted_s, extra={"fields": fields})
            self.notice("camera", f"no longer {event.kind}, after {lasted_s:.1f} s")


class Components:
    """Components of the service and their connections."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        on_edge: Callable[[AlarmEdge, bool], None],
        threads: Threads | None = None,
    ) -> None:
        """Build everything; what was opened is closed again where something else cannot be.

        Args:
            configuration: what to build.
            on_edge: called with every edge of an alarm, and True if a clip of it is wanted.
            threads: starts those that read the camera and write to the disk.

        Raises:
            Fault: the configuration cannot be followed on this machine.
            MemoryError: the system has no room for the frames.
        """
        self.source = survey_source(configuration)
        self.picture = PictureFacts(
            configuration.camera.lens, measured_bits(configuration.camera), lambda: self.opener.pixel_aspect
        )
        self._size = {"width_px": self.source.width_px, "height_px": self.source.height_px}
        self.bundle = open_configured_bundle(configuration)
        self.account = CopyAccount()
        self.upkeep = EngineUpkeep(lambda text: self.storage.notice("engines", text))
        self.engines = self._open_runtime(configuration)
        self.board = HealthBoard(configuration.name, version=importlib.metadata.version("tremorscope"))
        self.clock = UnixClock()
        live_samples = round(_LIVE_S * min(self.source.rate_hz, _FASTEST_HISTORY_HZ))
        self.feed = LiveFeed(**self._size, most_samples=live_samples)
        with ExitStack() as undo:
            undo.callback(self.close_runtime)
            self.magnifying = self._build_magnifying(configuration)
            self.supervisor = self._build_camera(configuration, threads)
            self.settings = settings_record(configuration, self.clock.now_s())
            self.storage = Storage(configuration.store, configuration.recording, threads=threads)
            undo.callback(self.storage.close, 2.0)
            self.journal.notice = self.storage.notice
            self.alarms = AlarmService(configuration.vibration, on_edge=on_edge, store=self.storage.offer)
            self.storage.on_opened, self.storage.on_begun_anew = self._resume_alarms, self._store_again
            self._resume_alarms()
            self.tracker, self.trends = followed_before(self.storage.modes), TemperatureTrends()
            self.measuring: Measuring | None = None
            self.analyst: Analyst | None = None
            self.feed.add_frequencies(points_of(self.storage.modes))
            self.measuring, self.analyst = self.build_measuring(configuration.vibration)
            self._start_recorder()
            self.loop = FrameLoop(self._frame_parts(configuration), self.measuring)
            undo.pop_all()

    def _open_runtime(self, configuration: Configuration) -> EngineFactory:
        settings, size = configuration.magnification, self.source.size_px
        self.runtime = open_configured_runtime(
            settings, self.bundle, size, self.account, self.upkeep, is_first=True
        )
        if self.bundle.stands_in and self.runtime.name == "onnxruntime":
            self.bundle = self.runtime.bundle
        return EngineFactory(
            self.bundle, self.runtime, size, self.account, settings=settings, upkeep=self.upkeep
        )

    def close_runtime(self) -> None:
        """Close engines and device, unless something still holds frames in their memory."""
        with suppress(LeaseError):
            self.runtime.close()

    def build_measuring(self, settings: VibrationSettings) -> tuple[Measuring | None, Analyst | None]:
        """Measurement and analysis for some settings; both None where no region is named."""
        self.analysed_bands_hz = [(mode.low_hz, mode.high_hz) for mode in settings.modes]
        if settings.frequencies_hz is not None:
            self.analysed_bands_hz.append(settings.frequencies_hz)
        if not settings.regions:
            self.feed.begin_motion(())
            return None, None
        rate_hz = min(self.source.rate_hz, _FASTEST_HISTORY_HZ)
        most_samples = math.ceil(1.1 * settings.analyse_over_s * rate_hz) + 64
        self.history = MotionHistory(
            [each.name for each in settings.regions],
            [each.region() for each in settings.regions],
            most_samples=most_samples,
        )
        self.live = self.feed.begin_motion([each.name for each in settings.regions])
        measuring = Measuring(
            settings,
            history=self.history,
            live=self.live,
            tell=lambda text: self.storage.notice("measurement", text),
            rate_hz=self.source.rate_hz,
            account=self.account,
            picture=replace(self.picture, before=self.measuring.placed if self.measuring else None),
        )
        return measuring, self.build_analyst(settings)

    def build_analyst(self, settings: VibrationSettings) -> Analyst:
        """Analyst of the present history."""
        return Analyst(
            settings,
            self.history,
            AnalysisOutputs(self.live, self.feed, store=self.storage.offer, read=self.alarms.read),
            tracker=self.tracker if self.analyst is None else self.analyst.tracker,
            trends=self.trends,
            set_by_s=lambda: self.clock.set_by_s,
        )

    def _start_recorder(self) -> None:
        self.events = EventMagnifier(self.engines, lambda: self.magnifying.settings, self.source.rate_hz)
        self.storage.start_recorder(
            self.source,
            self.ring,
            magnifier=ClipMagnifier(self.events.make, self.events.prepare, lambda: self.events.told),
            to_unix_s=self.clock.to_unix_s,
        )

    def _resume_alarms(self) -> None:
        left = self.storage
        self.alarms.resume(left.opened_alarms, left.baselines, left.learnings, self.clock.now_s())
        self._store_again()  # it may have been begun in place of a damaged one, or opened late

    def _store_again(self, opened: Iterable[OpenAlarm] = (), now_s: float = 0.0) -> None:
        """Store what another store must know that is used from now on."""
        self.storage.offer(self.settings)
        self.alarms.store_again(opened, now_s)

    def measure_by(self, configuration: Configuration) -> None:
        """Note and store by which settings all is measured from now on."""
        self.settings = settings_record(configuration, self.clock.now_s())
        self.storage.offer(self.settings)

    def _build_camera(self, configuration: Configuration, threads: Threads | None) -> CameraSupervisor:
        of_kind = supervisor_settings(configuration.camera)  # a camera on the network answers more slowly
        open_s = _OPEN_S if configuration.camera.kind != "synthetic" else _DRAW_S
        supervision = replace(
            of_kind,
            most_waiting=_WAITING_FRAMES,
            frozen_least_s=max(_FROZEN_S, of_kind.frozen_least_s),
            open_timeout_s=max(open_s, of_kind.open_timeout_s),
        )
        recording = configuration.recording
        kept = slots_for(recording, self.source) if recording is not None else 0
        slots = supervision.slots(held_by_consumer=HELD_FRAMES + kept)
        self.ring = LeasingRing(slots, **self._size, allocate=self.runtime.allocate)
        self.journal = CameraJournal()
        self.camera = CameraHealth(
            source=describe(configuration.camera),
            width_px=self.source.width_px,
            height_px=self.source.height_px,
            nominal_rate_hz=self.source.rate_hz,
        )
        self.opener = CameraOpener(
            configuration.camera,
            partial(
                open_camera,
                configuration.camera,
                account=self.account,
                gpu=self.runtime.gpu,
                frozen_least_s=supervision.frozen_least_s,
            ),
            state_directory(configuration.store) / CAMERA_FILE,
        )
        return CameraSupervisor(
            self.opener.open,
            self.ring,
            settings=supervision,
            on_event=self.journal,
            on_frame=self.magnifying.consider,
            threads=threads,
        )

    def _build_magnifying(self, configuration: Configuration) -> Magnifying:
        return Magnifying(
            configuration.magnification,
            self.engines,
            LeasingRing(PICTURES_HELD, **self._size, allocate=self.runtime.allocate),
            self.feed,
            rate_hz=self.source.rate_hz,
            to_unix_s=self.clock.to_unix_s,
        )

    def _frame_parts(self, configuration: Configuration) -> FrameParts:
        return FrameParts(
            self.supervisor,
            self.clock,
            self.board,
            self.alarms,
            recorder=lambda: self.storage.recorder,
            store=self.storage.offer if configuration.store.series else None,
            settings=lambda: self.settings,
        )
