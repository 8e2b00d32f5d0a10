"""The parts together, in this process: what runs when, what holds up nothing, what is done about faults."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from running_service import PATIENCE_S, Camera, frames, running, until
from service_parts import MID_SPAN, configured
from support import frames_of

from tremorscope.runtime.clips.afterwards import RecorderState
from tremorscope.runtime.errors import EngineFault, OptionFault
from tremorscope.runtime.host.signals import SignalQueue
from tremorscope.runtime.host.systemd import Notifier
from tremorscope.runtime.host.thermal import ThermalReading
from tremorscope.runtime.host.threads import SECOND
from tremorscope.runtime.magnification.factory import Engines
from tremorscope.runtime.service import process
from tremorscope.runtime.service.assembly import Components
from tremorscope.runtime.service.process import Service
from tremorscope.runtime.service.recovery import EXIT_RECOVERY
from tremorscope.runtime.store.reader import StoreReader


@pytest.mark.parametrize(
    ("recording", "waiting", "busy"), [(None, 0, ""), ("e", 1, "a clip"), (None, 1, "a clip")]
)
def test_a_restart_waits_for_clips_that_are_to_be_made(
    recording: str | None, waiting: int, busy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "is_updating", lambda: False)
    state = RecorderState(recording, waiting, 0, 0, 0, 0, 0)
    storage = SimpleNamespace(recorder=SimpleNamespace(state=lambda: state))
    service: Any = SimpleNamespace(parts=SimpleNamespace(storage=storage))
    assert Service._busy(service).startswith(busy)
    assert bool(Service._busy(service)) == bool(busy)


class TestMagnification:
    @pytest.mark.usefixtures("camera")
    def test_runs_only_while_somebody_watches(self, tmp_path: Path, linear_bundle: Path) -> None:
        with running(Service(configured(tmp_path, linear_bundle))) as service:
            feed = service.parts.feed
            frames(service, 60)
            idle = service.parts.magnifying.health()
            assert (idle.active, idle.reasons, idle.frames) == (False, (), 0)
            with feed.watch():
                until(service, lambda: service.parts.magnifying.health().frames > 5)
                found = feed.latest(timeout_s=10)
                assert found is not None
                with found:
                    assert found.magnified is not None
                    assert found.info.amplification == 10.0
                    assert abs(found.info.time_s - time.time()) < 10
                assert service.parts.magnifying.health().reasons == ("viewer",)
            frames(service, 10)
            after = service.parts.magnifying.health()
            assert (after.active, after.reasons) == (False, ())
            frames(service, 60)
            assert service.parts.magnifying.health().frames == after.frames
            # What was compared with has been let go of: only the newest frames are held.
            until(service, lambda: service.parts.ring.free >= service.parts.ring.slots - 3)

    @pytest.mark.usefixtures("camera")
    def test_runs_behind_what_measures(self, tmp_path: Path, linear_bundle: Path) -> None:
        """On a device that computes it on the CPU, a viewer would cost frames otherwise."""
        own = os.getpriority(os.PRIO_PROCESS, 0)
        if own >= SECOND:
            pytest.skip("this process itself runs behind all others")
        asked = {"when": "always", "threads": 2}
        with running(Service(configured(tmp_path, linear_bundle, magnification=asked))) as service:
            until(service, lambda: service.parts.magnifying.health().frames > 5)
            names = {thread.native_id: thread.name for thread in threading.enumerate()}
            niceness = {
                int(each): os.getpriority(os.PRIO_PROCESS, int(each))
                for each in os.listdir("/proc/self/task")
            }
        behind = [names.get(each) for each, value in niceness.items() if value == SECOND]
        assert "magnifying" in behind
        assert None in behind  # the engine's own thread, which Python does not know
        first = [value for each, value in niceness.items() if names.get(each) in ("frames", "camera")]
        assert first == [own, own]

    @pytest.mark.usefixtures("camera")
    def test_runs_always_or_never_if_told_so(self, tmp_path: Path, linear_bundle: Path) -> None:
        asked = {"when": "always", "refresh_s": None}
        always = configured(tmp_path / "a", linear_bundle, magnification=asked)
        with running(Service(always)) as service:
            until(service, lambda: service.parts.magnifying.health().frames > 5)
            # Nothing else is copied on the way to the picture.
            until(service, lambda: service.board.snapshot().device.copied_bytes)
            copied = dict(service.parts.account.by_place())
            copied.pop("measuring: frame to learn from", None)
            assert copied == {"magnifier: reference kept": 320 * 180 * 3}
            assert service.parts.magnifying.health().reasons == ("always",)
        never = configured(tmp_path / "n", linear_bundle, magnification={"when": "never"})
        with running(Service(never)) as service, service.parts.feed.watch():
            found = service.parts.feed.latest(timeout_s=PATIENCE_S)
            assert found is not None
            with found:
                assert found.magnified is None
            assert service.parts.magnifying.health().frames == 0

    @pytest.mark.usefixtures("camera")
    def test_that_is_slow_holds_up_no_measurement_and_is_counted(
        self, tmp_path: Path, linear_bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make = Engines.make

        def slow(self: Engines, wanted: Any, rate_hz: float) -> Any:
            made = make(self, wanted, rate_hz)
            step = made.step

            def slowly(frame: Any, magnified: Any, timestamp_s: float) -> None:
                time.sleep(0.3)
                step(frame, magnified, timestamp_s)

            made.step = slowly  # type: ignore[method-assign]
            return made

        monkeypatch.setattr(Engines, "make", slow)
        with running(Service(configured(tmp_path, linear_bundle))) as service:
            frames(service, 10)
            with service.parts.feed.watch():
                until(service, lambda: service.parts.magnifying.health().frames >= 1)
                before, magnified = service.parts.loop.frames, service.parts.magnifying.health().frames
                frames(service, 150)
                health = service.parts.magnifying.health()
                measured = service.parts.loop.frames - before
                assert health.frames - magnified <= measured / 4
                assert health.skipped >= measured / 2
            state = service.parts.supervisor.state()
            assert service.parts.loop.frames >= state.taken - 1

    @pytest.mark.usefixtures("camera")
    def test_rests_while_nobody_wants_it(
        self, tmp_path: Path, linear_bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rested: set[str] = set()
        monkeypatch.setattr(Engines, "rest", lambda _: rested.add(threading.current_thread().name))
        with running(Service(configured(tmp_path, linear_bundle, recording={}))) as service:
            until(service, lambda: rested == {"magnifying", "events-magnified"})
            with service.parts.feed.watch():
                until(service, lambda: service.parts.magnifying.health().frames >= 1)
                rested.clear()
                frames(service, 30)
                assert "magnifying" not in rested
            until(service, lambda: "magnifying" in rested)

    @pytest.mark.usefixtures("camera")
    def test_whose_engine_fails_is_told_and_tried_again_while_frames_are_shown_as_filmed(
        self, tmp_path: Path, linear_bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken = [True]
        prepare = Engines.prepare

        def failing(self: Engines, wanted: Any) -> None:
            if broken[0]:
                raise EngineFault("the GPU is gone", remedy="look for it")
            prepare(self, wanted)

        monkeypatch.setattr(Engines, "prepare", failing)
        monkeypatch.setattr("tremorscope.runtime.live.on_demand._RETRY_S", (0.2, 0.2))
        with running(Service(configured(tmp_path, linear_bundle))) as service, service.parts.feed.watch():
            found = service.parts.feed.latest(timeout_s=PATIENCE_S)
            assert found is not None
            with found:
                assert found.magnified is None
            health = service.parts.magnifying.health()
            assert (health.active, health.why_not) == (False, "the GPU is gone: look for it")
            frames(service, 20)
            broken[0] = False
            until(service, lambda: service.parts.magnifying.health().frames > 3)
            assert service.parts.magnifying.health().why_not == ""

    @pytest.mark.usefixtures("camera")
    def test_whose_steps_fail_keeps_no_engine_of_those_before(
        self, tmp_path: Path, linear_bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept: list[Any] = []
        failures = [0]

        class Failing:
            """A runtime like any other, whose engines fail in their first step."""

            def __init__(self, runtime: Any) -> None:
                self._runtime = runtime

            def __getattr__(self, name: str) -> Any:
                return getattr(self._runtime, name)

            def open_band(self) -> Any:
                engine = self._runtime.open_band()
                engine.step = self._fail
                kept.append(engine)
                return engine

            def give_back(self, engine: Any) -> None:
                kept.remove(engine)

            def _fail(self, *_: Any, **__: Any) -> None:
                failures[0] += 1
                raise EngineFault("the GPU is gone", remedy="look for it")

        monkeypatch.setattr("tremorscope.runtime.live.on_demand._RETRY_S", (0.01, 0.01))
        service = Service(configured(tmp_path, linear_bundle, magnification={"when": "always"}))
        service.parts.engines._runtime = Failing(service.parts.runtime)
        with running(service):
            until(service, lambda: failures[0] >= 20)
            assert len(kept) <= 1
        assert kept == []


class TestReload:
    def test_to_other_regions_while_the_regions_before_are_still_measured(
        self, tmp_path: Path, linear_bundle: Path, camera: type[Camera], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(camera, "smooth_px", 2.0)
        monkeypatch.setattr("tremorscope.runtime.service.measuring._LEARNING_S", 0.1)
        build = Components.build_analyst

        def build_slowly(parts: Components, settings: Any) -> Any:
            goal = parts.loop.frames + 3
            while parts.loop.frames < goal and not service._threads.stopping:
                time.sleep(0.005)
            return build(parts, settings)

        loaded = configured(tmp_path, linear_bundle, vibration=regions(1))
        with running(Service(loaded)) as service:
            monkeypatch.setattr(Components, "build_analyst", build_slowly)
            for count in (2, 5, 1, 3):
                frames(service, 20)
                changed = configured(tmp_path, linear_bundle, vibration=regions(count))
                loaded.file.write_text(yaml.safe_dump(changed.configuration.model_dump(mode="json")))
                assert not service.reload().refused
                until(service, lambda: service.parts.feed.series().times_s.size > 3)
                assert service.parts.feed.series().x_px.shape[0] == count


def regions(count: int) -> dict[str, Any]:
    return {"regions": [MID_SPAN | {"name": f"region {n}", "x_px": 20 * n} for n in range(count)]}


def test_bands_that_the_camera_turns_out_too_slow_for_are_told(
    tmp_path: Path, linear_bundle: Path, camera: type[Camera], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera, "true_rate_hz", 20.0)
    loaded = configured(
        tmp_path,
        linear_bundle,
        magnification={"mode": "band", "bands_hz": [[8.0, 12.0]]},
        vibration={"regions": [MID_SPAN], "frequencies_hz": [1.0, 11.0]},
    )
    with running(Service(loaded)) as service:
        until(service, lambda: len(service.board.snapshot().problems) == 2)
        told = "; ".join(service.board.snapshot().problems)
        assert "motion at 11 Hz shows at 9 Hz" in told
        assert "motion at 12 Hz shows at 8 Hz" in told


class TestControls:
    @pytest.mark.usefixtures("camera")
    def test_adjust_changes_what_is_magnified_until_the_file_is_read_again(
        self, tmp_path: Path, linear_bundle: Path
    ) -> None:
        loaded = configured(tmp_path, linear_bundle)
        loaded.file.write_text("version: 1\n")
        with running(Service(loaded)) as service:
            service.adjust(amplification=30)
            service.adjust(bands_hz=((2.0, 4.0),))
            health = service.parts.magnifying.health()
            assert (health.amplification, health.mode, health.bands_hz) == (30, "band", ((2.0, 4.0),))
            for wrong in ({"amplification": 5000.0}, {"bands_hz": ((2.0, 40.0),)}, {"bands_hz": ()}):
                with pytest.raises(OptionFault):
                    service.adjust(**wrong)  # type: ignore[arg-type]
            assert service.parts.magnifying.health() == health
            assert "camera: is missing" in service.reload().refused
            assert service.parts.magnifying.health().amplification == 30

    @pytest.mark.usefixtures("camera")
    def test_a_storm_of_refused_reloads_is_one_notice_with_a_count(
        self, tmp_path: Path, linear_bundle: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        loaded = configured(tmp_path, linear_bundle)
        with running(Service(loaded)) as service:
            loaded.file.write_text("version: 1\n")
            for _ in range(100):
                service.reload()
            service._reloader.look()
            for _ in range(50):
                service.reload()
            service._reloader.look()
            path = service.parts.storage.path
        with StoreReader(path) as reader:
            (notice,) = [each for each in reader.notices() if each.topic == "configuration"]
        assert (notice.count, "camera: is missing" in notice.text) == (150, True)
        assert len([each for each in caplog.records if "configuration refused" in each.message]) == 1

    @pytest.mark.usefixtures("camera")
    def test_adjust_of_one_thing_while_another_is_taken_over_loses_neither(
        self, tmp_path: Path, linear_bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service = Service(configured(tmp_path, linear_bundle, magnification={"when": "always"}))
        adjusted = [10.0]

        def adjust_meanwhile(self: Engines, wanted: Any) -> None:
            prepare(self, wanted)
            if adjusted[0] < 20:
                adjusted[0] += 1
                service.adjust(amplification=adjusted[0])
                service.adjust(bands_hz=((2.0, 4.0),))

        prepare = Engines.prepare
        monkeypatch.setattr(Engines, "prepare", adjust_meanwhile)
        with running(service):
            until(service, lambda: service.parts.magnifying.health().frames > 30)
            health = service.parts.magnifying.health()
            assert (health.amplification, health.bands_hz) == (adjusted[0], ((2.0, 4.0),))
            assert adjusted[0] > 10

    @pytest.mark.usefixtures("camera")
    def test_the_engine_of_clips_is_open_before_the_first_event(
        self, tmp_path: Path, linear_bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[str] = []
        prepare = Engines.prepare

        def noted(self: Engines, wanted: Any) -> None:
            opened.append(threading.current_thread().name)
            prepare(self, wanted)

        monkeypatch.setattr(Engines, "prepare", noted)
        recording = {"pre_roll_s": 0.2, "post_roll_s": 3}
        loaded = configured(tmp_path, linear_bundle, recording=recording, magnification={"when": "never"})
        with running(Service(loaded)) as service:
            until(service, lambda: opened == ["events-magnified"])
            frames(service, 20)
            assert service.record_event("by hand") is not None
            until(service, lambda: service.parts.storage.health().clips["saved"] >= 2)

    @pytest.mark.usefixtures("camera")
    def test_record_an_event_by_hand(self, tmp_path: Path, linear_bundle: Path) -> None:
        recording = {"pre_roll_s": 0.2, "post_roll_s": 3, "magnified": False}
        with running(Service(configured(tmp_path, linear_bundle, recording=recording))) as service:
            assert service.record_event("too early") is None or service.parts.loop.frames
            frames(service, 30)
            assert service.record_event("by hand") is not None
            until(service, lambda: service.parts.storage.health().clips["saved"] >= 1)

    @pytest.mark.parametrize(
        ("recording", "why"),
        [
            (None, "by SIGUSR1: no clip is recorded: recording is null"),
            ({"magnified": False}, "-raw.mp4 is not kept: the disk is low"),
        ],
    )
    @pytest.mark.usefixtures("camera")
    def test_a_clip_that_is_not_recorded_is_told_in_one_line(
        self,
        tmp_path: Path,
        linear_bundle: Path,
        caplog: pytest.LogCaptureFixture,
        recording: dict[str, Any] | None,
        why: str,
    ) -> None:
        store = {"disk": {"previews_below_gb": 3e5, "clips_below_gb": 2e5, "series_below_gb": 1e5}}
        service = Service(configured(tmp_path, linear_bundle, recording=recording, store=store))
        service.record_event("by SIGUSR1")
        with running(service):
            frames(service, 5)
            service.record_event("by SIGUSR1")
        early = "recording is null" if recording is None else "no frame has come yet"
        told = [each.message for each in caplog.records if each.message.startswith(("by SIGUSR1", "clip "))]
        assert told[0] == f"by SIGUSR1: no clip is recorded: {early}"
        assert told[1].endswith(why)
        assert len(told) == 2

    @pytest.mark.usefixtures("camera")
    def test_acknowledge_an_alarm(self, tmp_path: Path, linear_bundle: Path) -> None:
        alarm = {
            "name": "silent",
            "quantity": "signal",
            "source": "mid-span",
            "silence_s": 2,
            "clear_dwell_s": 0,
        }
        # A region that is never measured, because its content is noise without end.
        loaded = configured(tmp_path, linear_bundle, vibration={"alarms": [alarm], "window_s": 0.5})
        with running(Service(loaded)) as service:
            service.parts.loop.use(None)
            until(service, lambda: service.board.snapshot().raised)
            assert service.acknowledge("silent", "me")
            assert not service.acknowledge("silent", "me")
            service._second_s = 0.0
            service.look()
            assert service.board.snapshot().alarms[0].acknowledged_s is not None


class TestRecovery:
    def test_ends_with_the_status_for_a_restart_where_the_camera_stays_away(
        self, tmp_path: Path, linear_bundle: Path, camera: type[Camera], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        camera.fails = True
        monkeypatch.setattr("tremorscope.runtime.service.recovery.LEAST_LIFE_S", 0.5)
        recovery = {"reopen_after_s": 0.3, "reopen_attempts": 2, "restart_argus_attempts": 0}
        loaded = configured(tmp_path, linear_bundle, recovery=recovery)
        begun_s = time.monotonic()
        with SignalQueue() as signals:
            service = Service(loaded)
            assert service.run(signals) == EXIT_RECOVERY
        assert time.monotonic() - begun_s < PATIENCE_S
        found = service.board.snapshot()
        assert found.recoveries["reopen"] == 2
        assert found.camera.faults == ("missing",)

    def test_goes_on_when_the_camera_comes_back(
        self, tmp_path: Path, linear_bundle: Path, camera: type[Camera]
    ) -> None:
        recovery = {"reopen_after_s": 0.5, "reopen_attempts": 20}
        with running(Service(configured(tmp_path, linear_bundle, recovery=recovery))) as service:
            frames(service, 20)
            camera.fails = True
            until(service, lambda: service.board.snapshot().recoveries.get("reopen", 0) >= 1)
            # Between an opening and the next failure it is not lost for a moment.
            until(service, lambda: service.board.snapshot().camera.faults == ("lost",))
            before = service.parts.loop.frames
            camera.fails = False
            until(service, lambda: service.parts.loop.frames > before + 20)
            until(service, lambda: service.board.snapshot().camera.faults == ())

    @pytest.mark.usefixtures("camera")
    def test_a_mistake_in_the_program_ends_the_service_with_its_traceback(
        self, tmp_path: Path, linear_bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service = Service(configured(tmp_path, linear_bundle))

        def mistaken(*_: object) -> None:
            raise ZeroDivisionError("a mistake")

        monkeypatch.setattr(service.parts.clock, "take", mistaken)
        with SignalQueue() as signals, pytest.raises(ZeroDivisionError, match="a mistake"):
            service.run(signals)


class Systemd(Notifier):
    """Notes what systemd would be told."""

    def __init__(self) -> None:
        super().__init__(None)
        self.watchdog_s = 0.4
        self.told: list[str] = []

    def ready(self, status: str = "") -> None:
        self.told.append(f"ready {status}")

    def watchdog(self) -> None:
        self.told.append("watchdog")

    def stopping(self, status: str = "") -> None:
        self.told.append(f"stopping {status}")


class TestSystemd:
    def test_hears_ready_with_the_first_frame_and_life_with_frames_alone(
        self, tmp_path: Path, linear_bundle: Path, camera: type[Camera]
    ) -> None:
        systemd = Systemd()
        camera.fails = True
        with running(Service(configured(tmp_path, linear_bundle), notifier=systemd)) as service:
            for _ in range(20):
                service.look()
                time.sleep(0.02)
            service.reload()  # whose end must not be taken for readiness
            assert systemd.told == []
            camera.fails = False
            frames(service, 60)
            assert systemd.told[0].startswith(("ready ", "watchdog"))
            assert sum(told.startswith("ready") for told in systemd.told) == 1
            assert systemd.told.count("watchdog") >= 3
            camera.fails = True
            until(service, lambda: service.parts.supervisor.state().status == "waiting")
            service.look()
            fed = systemd.told.count("watchdog")
            for _ in range(50):
                service.look()
                time.sleep(0.02)
            assert systemd.told.count("watchdog") == fed
        assert systemd.told[-1].startswith("stopping")


class TestSignals:
    def test_are_taken_in_order_and_none_is_left_for_later(self) -> None:
        with SignalQueue() as signals:
            signal.raise_signal(signal.SIGHUP)
            assert signals.wait(5) == signal.SIGHUP
            assert signals.wait(0.01) is None
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            assert {signals.wait(5), signals.wait(5)} == {signal.SIGINT, signal.SIGTERM}
            signal.raise_signal(signal.SIGINT)
        time.sleep(0.01)  # were it left, KeyboardInterrupt would come here


class TestHealth:
    def test_tells_everything_at_once(self, tmp_path: Path, linear_bundle: Path) -> None:
        alarm = {"name": "sway", "quantity": "rms", "region": "mid-span", "above_px": 5}
        loaded = configured(tmp_path, linear_bundle, vibration={"alarms": [alarm], "window_s": 0.5})
        service = Service(loaded)
        service._governor._read = lambda: ThermalReading(61.5, "cpu", temperatures_c={"cpu": 61.5})
        with running(service):
            until(service, lambda: any(r.displacement_rms_px for r in service.board.snapshot().regions))
            service._second_s = 0.0
            service.look()
            health = service.board.snapshot()
        assert health.ready
        assert health.frames == pytest.approx(service.parts.loop.frames, abs=5)
        assert (health.camera.source, health.camera.status) == ("synthetic footbridge", "running")
        assert (health.camera.width_px, health.camera.height_px, health.camera.nominal_rate_hz) == (
            320,
            180,
            30.0,
        )
        assert set(health.camera.drops) == {
            "source", "late", "no_slot", "corrupt", "abandoned", "unfetched",
        }  # fmt: skip
        assert {"capture", "wait", "measure", "record"} <= set(health.stages)
        assert health.regions[0].displacement_rms_px == pytest.approx(0.085, rel=0.4)
        assert [each.rule.name for each in health.alarms] == ["sway"]
        assert health.device.temperatures_c == {"cpu": 61.5}
        assert health.device.rss_bytes > 50e6
        assert health.magnification.engine == "onnxruntime"
        assert health.storage.trouble == ""
        assert health.recoveries == {"reopen": 0, "restart_argus": 0, "exit": 0, "reboot": 0}


def test_the_end_of_a_clip_is_the_end_of_the_service(tmp_path: Path, linear_bundle: Path) -> None:
    camera = {"kind": "synthetic", "width_px": 320, "height_px": 180, "duration_s": 2.0, "speed": "fast"}
    loaded = configured(tmp_path, linear_bundle, camera=camera, vibration={"regions": [MID_SPAN]})
    with SignalQueue() as signals:
        service = Service(loaded)
        assert service.run(signals) == 0
    state = service.parts.supervisor.state()
    assert frames_of(state) == 60
    assert service.parts.loop.frames + state.drops.total == 60
