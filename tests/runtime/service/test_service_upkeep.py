"""Engines after an upgrade: built anew in a process of its own, a few times at most, while all else goes on.

TensorRT is a stand-in, and so is what builds: a process of its own, started, watched and ended as the real one.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from running_service import frames, running, until
from service_parts import configured
from support import ROOT
from tensorrt_fake import fake_library, write_fake_engine

from tremorscope.runtime.engines import upkeep
from tremorscope.runtime.engines.interface.bundle import Bundle, open_bundle
from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.engines.tensorrt import runtime as tensorrt_runtime
from tremorscope.runtime.engines.tensorrt import upgrading
from tremorscope.runtime.engines.tensorrt.engine_file import describe_builder, engine_paths
from tremorscope.runtime.engines.tensorrt.upgrading import MOST_ATTEMPTS, Attempts, StaleEngines, find_stale
from tremorscope.runtime.engines.upkeep import EngineUpkeep
from tremorscope.runtime.errors import EngineFault
from tremorscope.runtime.gpu.device import Device
from tremorscope.runtime.host.threads import Threads
from tremorscope.runtime.service.process import Service
from tremorscope.runtime.service.recovery import EXIT_RECOVERY

BEFORE = Device("aarch64", "Orin", "8.7", "12.6", "36.4.3", "0", sm_count=8)
AFTER = dataclasses.replace(BEFORE, l4t="36.5.0")
SIZE = FrameSize(width_px=320, height_px=180)
BUILDER = """
import dataclasses, os, sys, time
sys.path[:0] = {path!r}
from pathlib import Path
from tensorrt_fake import write_fake_engine
from tremorscope.runtime.engines.interface.bundle import FrameSize, open_bundle
from tremorscope.runtime.gpu.device import Device
from tremorscope.runtime.engines.tensorrt.engine_file import describe_builder
Path({here!r}, "started").write_text(f"{{os.getpid()}} {{os.nice(0)}}")
while not Path({here!r}, "go").exists():
    time.sleep(0.02)
{before_that}
for graph in {graphs!r}:
    write_fake_engine(open_bundle(Path({bundle!r})), graph, FrameSize(width_px=320, height_px=180),
                      Path({directory!r}), describe_builder("tensorrt", "10.3.0", Device(*{device!r})))
"""


@dataclass
class Jetson:
    """A device with engines of an earlier L4T."""

    here: Path
    bundle: Bundle
    before_that: str = ""
    """What the build does before it writes."""
    builds_for: Device = AFTER
    started: list[list[str]] = field(default_factory=list)

    @property
    def engines(self) -> Path:
        return self.bundle.directory / "engines"

    def build(self, device: Device, *graphs: Any, bundle: Bundle | None = None) -> None:
        for graph in graphs or ("pairwise", "band"):
            builder = describe_builder("tensorrt", "10.3.0", device)
            write_fake_engine(bundle or self.bundle, graph, SIZE, self.engines, builder)

    def stale(self) -> StaleEngines | None:
        return find_stale(self.bundle, SIZE, None, None)

    def go(self) -> None:
        (self.here / "go").touch()

    def command(self, stale: StaleEngines) -> list[str]:
        self.started.append(list(stale.graphs))
        script = BUILDER.format(
            path=[str(ROOT), str(ROOT / "tests")],
            here=str(self.here),
            before_that=self.before_that,
            graphs=stale.graphs,
            bundle=str(stale.bundle),
            directory=str(stale.directory),
            device=dataclasses.astuple(self.builds_for),
        )
        return [sys.executable, "-c", script]

    def work(self, most_s: float = 60.0) -> tuple[EngineUpkeep, list[str]]:
        """Build until nothing is left to do; what was told."""
        told: list[str] = []
        kept, crew, stale = EngineUpkeep(told.append), Threads(), self.stale()
        assert stale is not None
        kept.add(stale, needs_restart=True)
        crew.start("engines", lambda: kept.work(crew))
        until_s = time.monotonic() + most_s
        while kept.state and "not tried again" not in kept.state:
            assert time.monotonic() < until_s, told
            time.sleep(0.02)
        assert crew.stop(5.0) == ()
        return kept, told


@pytest.fixture
def jetson(tmp_path: Path, make_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Jetson:
    library, _ = fake_library()
    it = Jetson(tmp_path, open_bundle(make_bundle()))
    for module in (tensorrt_runtime, upgrading):
        monkeypatch.setattr(module, "read_device", lambda: (AFTER, 1 << 30))
    monkeypatch.setattr(tensorrt_runtime, "load_library", lambda _: library)
    monkeypatch.setattr(tensorrt_runtime, "load_pycuda", lambda: "pycuda")
    monkeypatch.setattr(upkeep, "_command", it.command)
    monkeypatch.setattr(upkeep, "_PAUSE_S", 0.0)
    monkeypatch.setattr(upkeep, "_POLL_S", 0.02)
    it.build(BEFORE)
    return it


class TestWhatIsStale:
    def test_engines_of_another_l4t_are(self, jetson: Jetson) -> None:
        stale = jetson.stale()
        assert stale is not None
        assert (stale.graphs, stale.size, stale.most_sections) == (("pairwise", "band"), SIZE, 8)
        assert "its L4T release is 36.4.3, and here it is 36.5.0" in stale.reason
        jetson.build(AFTER, "pairwise")
        again = jetson.stale()
        assert again is not None
        assert again.graphs == ("band",)
        assert again.identity != stale.identity

    def test_engines_of_an_earlier_release_of_ours_are(self, jetson: Jetson) -> None:
        sidecar = engine_paths(jetson.engines, "tensorrt", "band", SIZE).sidecar
        content = json.loads(sidecar.read_text())
        del content["builder"]["sm_count"]
        sidecar.write_text(json.dumps(content | {"format_version": 1}))
        stale = jetson.stale()
        assert stale is not None
        assert "band" in stale.graphs

    def test_engines_that_fit_are_not(self, jetson: Jetson) -> None:
        jetson.build(AFTER)
        assert jetson.stale() is None

    def test_engines_that_were_never_built_are_not(self, jetson: Jetson) -> None:
        for path in jetson.engines.iterdir():
            path.unlink()
        assert jetson.stale() is None

    def test_engines_of_another_bundle_in_the_same_directory_are_not(self, jetson: Jetson) -> None:
        """They are somebody's: two bundles would push each other out for ever."""
        sidecar = engine_paths(jetson.engines, "tensorrt", "pairwise", SIZE).sidecar
        content = json.loads(sidecar.read_text())
        content["source"]["precision"] = "int8"
        sidecar.write_text(json.dumps(content))
        assert jetson.stale() is None

    def test_where_something_else_is_missing_building_would_be_for_nothing(
        self, jetson: Jetson, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing() -> Any:
            raise EngineFault("no PyCUDA", remedy="install it")

        monkeypatch.setattr(tensorrt_runtime, "load_pycuda", missing)
        assert jetson.stale() is None


class TestBuilding:
    def test_engines_are_built_and_fit(self, jetson: Jetson) -> None:
        jetson.go()
        kept, told = jetson.work()
        assert kept.wants_restart
        assert jetson.stale() is None
        assert jetson.started == [["pairwise", "band"]]
        assert told[0].endswith("here it is 36.5.0: the engines are being built anew; measuring goes on")
        assert told[1:] == ["the engines were built anew and fit"]

    @pytest.mark.parametrize(
        ("before_that", "problem"),
        [
            ("print('build 3 %'); sys.exit('tremorscope: no room: make some')", "no room: make some"),
            ("os.kill(os.getpid(), 9)", "it was ended by SIGKILL, as where memory runs out"),
            ("sys.exit(1)", "it printed nothing"),
            ("sys.exit(0)", "they were built and do not fit all the same"),
        ],
    )
    def test_a_build_that_fails_is_told_and_tried_a_few_times_ever(
        self, jetson: Jetson, before_that: str, problem: str
    ) -> None:
        jetson.before_that = before_that
        jetson.go()
        for tries in (MOST_ATTEMPTS, MOST_ATTEMPTS):  # another process begins anew, and finds what was tried
            kept, told = jetson.work()
            assert len(jetson.started) == tries
            assert not kept.wants_restart
            assert kept.state == told[-1]
            assert f"failed ({problem}); not tried again for this system" in told[-1]

    def test_another_upgrade_is_another_chance(self, jetson: Jetson, monkeypatch: pytest.MonkeyPatch) -> None:
        jetson.before_that = "sys.exit(1)"
        jetson.go()
        jetson.work()
        newer = dataclasses.replace(AFTER, l4t="36.5.1")
        for module in (tensorrt_runtime, upgrading):
            monkeypatch.setattr(module, "read_device", lambda: (newer, 1 << 30))
        jetson.before_that, jetson.builds_for = "", newer
        assert jetson.work()[0].wants_restart

    def test_a_build_that_is_ended_on_purpose_does_not_count_and_leaves_no_process(
        self, jetson: Jetson
    ) -> None:
        stale, crew, kept = jetson.stale(), Threads(), EngineUpkeep()
        assert stale is not None
        kept.add(stale, needs_restart=True)
        crew.start("engines", lambda: kept.work(crew))
        until_s = time.monotonic() + 60
        while not (jetson.here / "started").exists():
            assert time.monotonic() < until_s
            time.sleep(0.02)
        assert crew.stop(5.0) == ()
        pid = int((jetson.here / "started").read_text().split()[0])
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        record = json.loads((jetson.engines / "rebuilds.json").read_text())
        assert record == {"tries": {stale.identity: {"count": 0, "problem": ""}}}

    def test_two_instances_build_once(self, jetson: Jetson) -> None:
        crew, both, stale = Threads(), [EngineUpkeep(), EngineUpkeep()], jetson.stale()
        assert stale is not None
        for kept in both:
            kept.add(stale, needs_restart=True)
            crew.start("engines", lambda kept=kept: kept.work(crew))  # type: ignore[misc]
        jetson.go()
        until_s = time.monotonic() + 60
        while not all(kept.wants_restart for kept in both):
            assert time.monotonic() < until_s
            time.sleep(0.02)
        assert crew.stop(5.0) == ()
        assert len(jetson.started) == 1

    def test_a_directory_that_cannot_be_written_is_told(
        self, jetson: Jetson, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        stale = jetson.stale()
        assert stale is not None
        nowhere = dataclasses.replace(stale, directory=tmp_path / "file" / "engines")
        monkeypatch.setattr(Jetson, "stale", lambda _: nowhere)
        monkeypatch.setattr(upkeep.Attempts, "may", lambda *_: False)
        _, told = jetson.work()
        assert "no engine can be built there (not a directory): set magnification.engines to" in told[0]
        assert jetson.started == []

    def test_the_count_survives_a_damaged_file(self, tmp_path: Path) -> None:
        (tmp_path / "rebuilds.json").write_text("{")
        attempts = Attempts(tmp_path)
        for _ in range(MOST_ATTEMPTS):
            assert attempts.may("a")
            attempts.begin("a")
        assert not Attempts(tmp_path).may("a")
        assert Attempts(tmp_path).may("b")
        assert Attempts(tmp_path).problem("a") == "it did not come to its end"


def test_the_real_command_is_understood(tmp_path: Path, linear_bundle: Path) -> None:
    """Here it ends where TensorRT is missing, and says so."""
    stale = StaleEngines(linear_bundle, SIZE, ("pairwise",), tmp_path / "engines", 8, "", "")
    assert "TensorRT is not there for this Python" in upkeep._run_build(stale, Threads())


@pytest.mark.usefixtures("camera")
@pytest.mark.parametrize("runtime", ["auto", "tensorrt"])
def test_the_service_measures_meanwhile_and_starts_anew_with_the_engines(
    jetson: Jetson, tmp_path: Path, runtime: str
) -> None:
    asked = {"when": "always", "threads": 1, "runtime": runtime}
    with running(Service(configured(tmp_path, jetson.bundle.directory, magnification=asked))) as service:
        until(service, lambda: (jetson.here / "started").exists())
        frames(service, 60)
        pid, niceness = (jetson.here / "started").read_text().split()
        assert int(niceness) >= 19
        assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "800"
        until(service, lambda: service.board.snapshot().regions)
        health = service.board.snapshot()
        assert any("the engines are being built anew; measuring goes on" in text for text in health.problems)
        if runtime == "auto":
            until(service, lambda: service.parts.magnifying.health().frames > 3)
        else:
            until(service, lambda: "being built anew" in service.parts.magnifying.health().why_not)
            assert service.parts.magnifying.health().frames == 0
        assert service._exit_status == 0
        jetson.go()
        until(service, lambda: service._threads.stopping)
        assert service._exit_status == EXIT_RECOVERY
    assert jetson.stale() is None
