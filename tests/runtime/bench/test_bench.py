"""A bench runs the service's own loop, and its numbers are those of what went through it."""

from __future__ import annotations

import json
import mmap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support import linear_graph, run_command, textured_frames, write_clip

from tremorscope import cli
from tremorscope.runtime.bench import job as compare_module
from tremorscope.runtime.bench.job import run_bench
from tremorscope.runtime.bench.picture import save_bench_picture
from tremorscope.runtime.bench.power_and_memory import MemoryTrace, peak_bytes
from tremorscope.runtime.bench.report import lines
from tremorscope.runtime.bench.result import BenchResult, curve_parts
from tremorscope.runtime.bench.rig import EngineWatch, TimedEngine
from tremorscope.runtime.bench.settings import BenchJob, BenchOptions, bench_job, read_camera
from tremorscope.runtime.cameras.settings import ClipSettings, V4l2Settings
from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeEngine
from tremorscope.runtime.errors import CameraFault, OptionFault
from tremorscope.runtime.magnification.settings import MagnificationSettings
from tremorscope.runtime.telemetry.load import resident_bytes

SMALL = FrameSize(width_px=64, height_px=48)


@pytest.fixture(scope="module")
def linear(linear_bundle: Path) -> BenchResult:
    """A bench of the stand-in network on drawn frames."""
    return run_bench(BenchJob(bundle=linear_bundle, size=SMALL, frames=60, warm_up=5, rate_hz=200.0))


def test_every_stage_of_every_frame_is_counted(linear: BenchResult) -> None:
    assert linear.frames == 60
    assert {name: each.count for name, each in linear.stages.items()} == dict.fromkeys(
        ("capture", "wait", "step", "output", "total"), 60
    )
    for name, each in linear.stages.items():
        assert 0 < each.median_ms <= each.p95_ms <= each.p99_ms <= each.max_ms, name
        curve = linear.curves_ms[name]
        assert len(curve) == len(curve_parts())
        assert curve == sorted(curve)
        assert curve[-1] == pytest.approx(each.max_ms, rel=0.0101)
    times = linear.timeline
    assert (np.diff(times.since_s) > 0).all()
    assert times.since_s[-1] == pytest.approx(linear.elapsed_s)
    assert (times.total_ms >= times.step_ms).all()
    # What the stop-watch around the engine saw lies within what the loop timed around the magnifier.
    assert linear.overhead.engine_ms <= linear.stages["step"].median_ms * 1.01
    assert float(times.step_ms.max()) <= linear.stages["step"].max_ms


def test_the_camera_and_the_machine_are_told(linear: BenchResult) -> None:
    assert linear.rate is not None
    assert linear.rate.rate_hz == pytest.approx(200.0, rel=1e-6)
    assert (linear.width_px, linear.height_px) == (64, 48)
    assert linear.drops.corrupt == linear.drops.no_slot == 0
    assert linear.copies.bytes_per_frame == 0
    assert linear.faults == ()
    assert resident_bytes() / 2 < linear.memory.resident_bytes <= linear.memory.peak_bytes
    assert linear.memory.peak_bytes <= 1.01 * peak_bytes()  # the kernel counts it in batches


def test_the_runtime_costs_less_than_a_twentieth_of_the_shipped_networks_step() -> None:
    """In CPU time of the runtime's own threads: a busy machine slows the step down, but not this ratio's upper part."""
    found = run_bench(
        BenchJob(size=FrameSize(width_px=320, height_px=180), frames=30, warm_up=3, rate_hz=30.0, threads=1)
    )
    assert found.overhead.part_of_step < 0.05
    assert found.overhead.total_ms < 5.0
    assert found.network == "realtime"


def test_a_slow_engine_is_told_to_be_too_slow_and_what_it_misses_is_counted(linear_bundle: Path) -> None:
    real_step = OnnxRuntimeEngine.step

    def slow(*arguments: object) -> None:
        until_s = time.thread_time() + 0.05
        while time.thread_time() < until_s:
            pass
        real_step(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OnnxRuntimeEngine, "step", slow)
        found = run_bench(BenchJob(bundle=linear_bundle, size=SMALL, frames=15, warm_up=2, rate_hz=100.0))
    assert not found.keeps_up
    assert found.drops.late >= 15  # four of five
    assert found.rate_hz < 20.0
    assert found.overhead.engine_ms >= 50.0
    assert found.overhead.loop_ms < 25.0  # that work is the engine's
    told = lines(found)
    told = told[told.index(next(line for line in told if line.startswith("Does not keep up"))) :]
    part = (found.rate_hz / 100.0) ** 0.5
    width_px, height_px = (max(16, int(side_px * part)) for side_px in (64, 48))  # what a network takes
    assert told[1].startswith(f"What helps: frames of about {width_px}x{height_px} px, ")


def test_the_copies_of_a_clip_are_counted(linear_bundle: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", textured_frames(20))
    camera = ClipSettings(path=clip, speed="true", loop=True)
    found = run_bench(BenchJob(bundle=linear_bundle, camera=camera, frames=20, warm_up=2))
    # One copy of each frame, but for those that lay ready when timing began; a read that was under way then may or
    # may not have copied.
    copied = found.stages["copy"].count
    assert copied >= 10
    assert found.copies.bytes_per_frame == pytest.approx(64 * 48 * 3, rel=2 / copied)
    assert list(found.copies.by_place) == ["camera: decoded picture"]
    assert "copied by the CPU" in "\n".join(lines(found))


def test_a_clip_that_ends_too_soon_and_a_camera_that_is_not_there_are_faults(
    linear_bundle: Path, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", textured_frames(6))
    job = BenchJob(bundle=linear_bundle, camera=ClipSettings(path=clip, speed="fast"), frames=50, warm_up=2)
    with pytest.raises(CameraFault, match="ended after"):
        run_bench(job)
    begun_s = time.monotonic()
    absent = V4l2Settings(device=Path("/dev/no-such-camera"), width_px=64, height_px=48)
    with pytest.raises(CameraFault, match="no frame within"):
        run_bench(replace(job, camera=absent))
    assert time.monotonic() - begun_s < 12.0
    with pytest.raises(OptionFault, match="size of a clip"):
        run_bench(replace(job, size=SMALL))


def test_the_baseline_is_timed_in_turns(
    linear_bundle: Path, make_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    baseline = make_bundle(network="slow")
    real = compare_module._step
    order: list[str] = []

    def named(*arguments: object) -> Callable[[], float]:
        step, name = real(*arguments), "model" if not order else "baseline"  # type: ignore[arg-type]
        order.append(f"open {name}")

        def timed() -> float:
            order.append(name)
            return 3 * step() if name == "baseline" else step()

        return timed

    monkeypatch.setattr(compare_module, "_step", named)
    found = run_bench(
        BenchJob(bundle=linear_bundle, against=baseline, size=SMALL, frames=40, warm_up=2, rate_hz=200.0)
    )
    assert order[2:] == ["model", "baseline"] * 9  # 8 turns, after one step each that is not timed
    assert found.comparison is not None
    assert found.comparison.turns == 8
    assert found.comparison.baseline == "slow"
    assert found.comparison.speedup > 1.0
    assert "slow:" in lines(found)[-1]


def test_a_baseline_that_cannot_run_costs_nothing_of_the_rest(
    linear_bundle: Path, make_bundle: Callable[..., Path]
) -> None:
    baseline = make_bundle(graph=linear_graph((100, 100)))
    found = run_bench(
        BenchJob(bundle=linear_bundle, against=baseline, size=SMALL, frames=20, warm_up=2, rate_hz=200.0)
    )
    assert found.comparison is None
    assert "made for frame of shape" in found.comparison_failed
    assert "could not be run" in lines(found)[-1]
    assert found.frames == 20


def test_a_band_is_timed_with_its_filter(linear_bundle: Path) -> None:
    wanted = MagnificationSettings(amplification=5.0, mode="band", bands_hz=((2.0, 6.0),))
    found = run_bench(
        BenchJob(bundle=linear_bundle, size=SMALL, magnification=wanted, frames=20, warm_up=2, rate_hz=100.0)
    )
    assert found.mode == "band"
    assert found.overhead.engine_ms > 0


def test_a_stop_watch_counts_all_steps_and_only_steps() -> None:
    class Naps:
        width_px = height_px = channels = 3

        def step(self, *frames: NDArray[np.uint8]) -> str:
            del frames
            time.sleep(0.02)
            return "done"

    watch = EngineWatch()
    timed = TimedEngine(Naps(), watch)  # type: ignore[arg-type]
    assert timed.channels == 3
    assert timed.step() == timed.step() == "done"
    time.sleep(0.05)
    elapsed = watch.read()
    assert elapsed.wall_s >= 0.04
    assert elapsed.cpu_s < 0.02
    assert watch.read().wall_s == 0.0


def test_memory_that_grows_is_seen() -> None:
    trace, kept = MemoryTrace(100, samples=100), []
    for frame in range(100):
        # Pages of their own: an array may lie in what earlier tests gave back to the heap, which is resident already.
        kept.append(mmap.mmap(-1, 1 << 20))
        kept[-1].write(bytes([1]) * (1 << 20))
        trace.look(frame)
    assert trace.growth_bytes() == pytest.approx(25 << 20, rel=0.1)
    steady = MemoryTrace(100_000, samples=100)
    for frame in range(100_000):
        steady.look(frame)
    assert len(steady.frames) == 100
    assert abs(steady.growth_bytes()) < 1 << 20


def test_the_picture_is_a_picture_and_json_has_every_number(linear: BenchResult, tmp_path: Path) -> None:
    save_bench_picture(linear, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    told = json.loads(json.dumps(linear.as_json()))
    assert told["stages"]["step"]["p99_ms"] == linear.stages["step"].p99_ms
    assert told["overhead"]["part_of_step"] == linear.overhead.part_of_step
    assert told["copies"]["bytes_per_frame"] == 0
    assert len(told["timeline"]["step_ms"]) == 60
    assert told["keeps_up"] is linear.keeps_up


def test_options_go_before_a_configuration(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(
        "version: 1\ncamera: {kind: synthetic, width_px: 128, height_px: 96, rate_hz: 20}\n"
        "magnification: {mode: dynamic, amplification: 7, threads: 3}\n"
    )
    options = BenchOptions(configuration=file, frames=10)
    job = bench_job(options)
    assert (job.magnification.mode, job.magnification.amplification, job.threads) == ("dynamic", 7.0, 3)
    assert job.camera is not None
    assert job.camera.size_px == (128, 96)
    job = bench_job(replace(options, threads=1, bands_hz=((2.0, 3.0),)))
    assert (job.magnification.mode, job.magnification.amplification, job.threads) == ("band", 7.0, 1)
    with pytest.raises(OptionFault, match="--rate"):
        bench_job(replace(options, rate_hz=5.0))
    done = run_command("bench", "--config", file, "--rate", 5)
    assert (done.returncode, "--rate" in done.stderr) == (1, True)
    assert read_camera("csi").kind == "csi"
    assert read_camera("{kind: v4l2, device: /dev/video2}") == V4l2Settings(device=Path("/dev/video2"))


def test_the_command_from_start_to_files(linear_bundle: Path, tmp_path: Path) -> None:
    done = run_command(
        "bench", "--bundle", linear_bundle, "--size", "64x48", "--rate", 100, "--frames", 20,
        "--json", tmp_path / "bench.json", "--picture", tmp_path / "bench.png",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    rows = done.stdout.splitlines()
    assert rows[0].startswith("linear (fp32), static mode, 64x48")
    for beginning in ("sensor to ring ", "magnified ", "altogether ", "overhead ", "copied ", "memory "):
        assert sum(row.startswith(beginning) for row in rows) == 1, beginning
    assert max(map(len, rows[2:])) <= 120
    assert json.loads((tmp_path / "bench.json").read_text())["frames"] == 20
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bench.json", "bench.png"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--camera", "csj"], "kind 'csj' is none of the choices"),
        (["--size", "12x9"], "12x9 is no size"),
        (["--size", "32x16"], "32x16 px: cannot be frames of a drawn camera: width_px should be"),
        (["--size", "3840x2160"], "less than or equal to 1920: name another --size"),
        (["--size", "97x61", "--camera", "v4l2"], "a v4l2 camera: width_px should be a multiple of 2"),
        (["--rate", "nan"], "nan is no finite number"),
        (["--json", "/no/such/place/bench.json"], "there is no directory /no/such/place"),
        (["--picture", "/"], "/: is a directory"),
        (["--bundle", "/no/such/bundle"], "no manifest.json there"),
        (["--against", "/no/such/bundle"], "no manifest.json there"),
        (["--mode", "band"], "a band go together"),
    ],
)
def test_what_cannot_be_is_one_line(
    options: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["tremorscope", "bench", *options])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    printed = capsys.readouterr()
    assert stopped.value.code not in (0, None)
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert told in printed.err
