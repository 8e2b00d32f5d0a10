"""Capturing: what a day, a week, a dull scene, a broken camera and a kill at any moment leave on disk."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from bridge_day import MIDNIGHT, World, WorldCamera, daylight, write_set
from support import command_line, run_command, textured_frames, write_clip

from tremorscope.calibration.capture import job as capture_run
from tremorscope.calibration.capture.frames import HELD_FRAMES, CaptureSource, SupervisedFrames
from tremorscope.calibration.capture.job import CaptureJob, CaptureReport, capture
from tremorscope.calibration.capture.pair_reader import PairReader
from tremorscope.calibration.capture.visits import Clocks
from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.pairs.calibration_set import CalibrationSet, read_manifest
from tremorscope.calibration.pairs.set_writer import SetWriter, held
from tremorscope.runtime.cameras.supervision.settings import SupervisorSettings
from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.errors import CameraFault
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.frames.ring import Lease, LeasingRing

Capture = Callable[..., CaptureReport]
CAPTURE = ("calibrate", "capture", "--reserve", 0, "--camera")


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Capture:
    """Captures from a world in which hours pass at once."""

    def run(world: World, **options: object) -> CaptureReport:
        monkeypatch.setattr(
            capture_run, "find_source", lambda _path: CaptureSource("test camera", world.open)
        )
        job = CaptureJob(tmp_path / "set", Path("camera.yaml"), reserve_bytes=0)
        return capture(
            replace(job, **options),
            lambda _done, _total: None,
            lambda _text: None,
            Clocks(world.now, world.sleep),
        )

    return run


def test_a_day_is_captured_by_day_and_by_night(watch: Capture, tmp_path: Path) -> None:
    world = World(light=daylight)
    report = watch(world, count=48)
    assert report.complete
    assert report.count >= 40  # the afternoon's light is much like the morning's
    pairs = read_manifest(tmp_path / "set").pairs
    assert len({pair.captured_at.astimezone(MIDNIGHT.tzinfo).hour for pair in pairs}) >= 20
    assert min(pair.brightness for pair in pairs) < 20
    assert max(pair.brightness for pair in pairs) > 110
    assert abs(world.now_s - 86400) < 3600


def test_pairs_lie_at_the_distances_of_the_modes(watch: Capture, tmp_path: Path) -> None:
    watch(World(light=daylight), count=48, distances_s=(2.0, 10.0))
    pairs = read_manifest(tmp_path / "set").pairs
    dynamic = [pair for pair in pairs if pair.mode == "dynamic"]
    static = [pair for pair in pairs if pair.mode == "static"]
    assert min(len(dynamic), len(static)) >= 16
    assert {pair.frames_apart for pair in dynamic} == {1}
    assert {round(pair.seconds_apart) for pair in static} == {2, 10}


def test_a_scene_that_never_changes_gives_the_fewest_pairs_spread_over_the_time(
    watch: Capture, tmp_path: Path
) -> None:
    report = watch(World(), count=64)
    assert (report.count, report.complete) == (32, True)
    assert "near-duplicates" in report.left_out
    hours = [
        pair.captured_at.astimezone(MIDNIGHT.tzinfo).hour for pair in read_manifest(tmp_path / "set").pairs
    ]
    assert max(Counter(hour // 6 for hour in hours).values()) <= 10


def test_a_covered_lens_and_a_frozen_camera_are_told(watch: Capture, tmp_path: Path) -> None:
    with pytest.raises(CalibrationFault, match=r"only 0 of .* showed nothing .*: uncover the lens"):
        watch(World(light=lambda _now: 0.0, noise=0.4), count=32)
    for file in (tmp_path / "set").iterdir():
        file.unlink()
    with pytest.raises(CalibrationFault, match=r"frozen \d+.*repeats one picture"):
        watch(World(frozen=True), count=32, distances_s=(1.0,))


def test_a_timer_adds_what_is_due_and_closes_the_set(watch: Capture, tmp_path: Path) -> None:
    world, counts = World(light=daylight), []
    for _run in range(200):
        report = watch(world, count=32, over="12 h", due_only=True)
        counts.append(report.count)
        if report.complete:
            break
        world.now_s += 600
    assert counts[0] == 1
    assert counts == sorted(counts)
    assert report.complete
    assert 12 * 3600 - 1500 < world.now_s < 12 * 3600 + 1500
    assert len(CalibrationSet.open(tmp_path / "set", fewest=28)) == counts[-1]
    opened = world.opened
    again = watch(world, count=32, over="12 h", due_only=True)
    assert (again.added, again.complete, world.opened) == (0, True, opened)


def test_a_timer_between_two_visits_leaves_the_camera_alone(watch: Capture) -> None:
    world = World(light=daylight)
    watch(world, count=32, due_only=True)
    opened, before = world.opened, world.now_s
    assert watch(world, count=32, due_only=True).added == 0
    assert (world.opened, world.now_s) == (opened, before)


def test_a_camera_that_fails_for_an_hour_is_lived_with(watch: Capture) -> None:
    report = watch(World(light=daylight, fails_when=lambda now_s: 36_000 < now_s < 39_600), count=32)
    assert (report.count, report.complete) == (32, True)
    assert "visits failed" in report.left_out


def test_a_camera_that_stays_away_ends_the_capture_which_goes_on_later(watch: Capture) -> None:
    world = World(light=daylight, fails_when=lambda now_s: now_s > 36_000)
    with pytest.raises(CameraFault, match="the camera is gone: plug it in"):
        watch(world, count=32)
    world.fails_when = lambda _now_s: False
    report = watch(world, count=32)
    assert report.complete
    assert report.count >= 31


def test_a_camera_that_hangs_in_its_driver_does_not_hang_the_capture() -> None:
    hangs = threading.Event()

    class HangingCamera(WorldCamera):
        def read_into(self, _: np.ndarray) -> None:
            hangs.wait()

    settings = SupervisorSettings(open_timeout_s=0.2, close_timeout_s=0.1)
    frames = SupervisedFrames(lambda: HangingCamera(World()), (96, 54), settings)
    with pytest.raises(CameraFault, match=r"no frame within 0\.2 s"):
        frames.take()
    frames.close()
    hangs.set()


def test_after_each_opening_exposure_settles_and_the_reference_is_new() -> None:
    ring = LeasingRing(HELD_FRAMES, width_px=8, height_px=8)

    class Twice:
        """A camera at 1 Hz that was opened again after five frames."""

        times = iter([(number, number // 5) for number in range(10)])

        def take(self) -> Lease:
            lease = ring.acquire("the camera")
            assert lease is not None
            number, segment = next(self.times)
            lease.pixels[:] = number
            lease.seal(FrameInfo(number, float(number), segment))
            return lease

        def close(self) -> None:
            pass

    reader = PairReader(
        Twice(), lambda time_s: MIDNIGHT + timedelta(seconds=time_s), longest_s=60, settle_s=2
    )  # type: ignore[arg-type]
    seen = []
    for _ in range(6):
        pair = reader.long_apart(0.0)
        assert pair is not None
        seen.append((int(pair.frame[0, 0, 0]), int(pair.reference[0, 0, 0])))
        if len(seen) < 6:
            reader.advance()
    assert seen == [(2, 2), (3, 2), (4, 2), (7, 7), (8, 7), (9, 7)]
    reader.close()
    ring.close()  # every frame was released


def test_a_clock_that_was_never_set_is_refused(watch: Capture) -> None:
    world = World()
    world.now_s -= MIDNIGHT.timestamp()
    with pytest.raises(CalibrationFault, match="clock says 1970-01-01: set it"):
        watch(world, count=32)


def test_another_run_with_other_options_or_another_camera_is_refused(
    watch: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    watch(world, count=40, due_only=True)
    for options, named in (
        ({"count": 41}, "--count 40, not 41"),
        ({"over": "2 days"}, "--over"),
        ({"size": FrameSize(width_px=64, height_px=48)}, "--size"),
        ({"schedule": "5-9"}, "--schedule all"),
    ):
        with pytest.raises(CalibrationFault, match=named):
            watch(world, **{"count": 40, "due_only": True, **options})
    monkeypatch.setattr(capture_run, "find_source", lambda _path: CaptureSource("another", world.open))
    with pytest.raises(CalibrationFault, match="begun with test camera, not another"):
        capture(CaptureJob(tmp_path / "set", Path("c.yaml"), reserve_bytes=0), print, print)


def test_finish_closes_a_set_with_what_it_holds(watch: Capture, tmp_path: Path) -> None:
    world = World(light=daylight, now_s=4 * 3600)
    watch(world, count=60, over="9 h", due_only=True)
    with pytest.raises(CalibrationFault, match="only 1 of at least 32 pairs"):
        watch(world, source=None, finish=True)
    for _run in range(120):
        world.now_s += 240
        watch(world, due_only=True)
    count = watch(world, source=None, finish=True).count
    assert 32 <= count < 60
    assert len(CalibrationSet.open(tmp_path / "set")) == count


def test_cuts_come_from_all_over_the_picture(watch: Capture, tmp_path: Path) -> None:
    watch(World(light=daylight), count=48, size=FrameSize(width_px=64, height_px=32))
    calibration = CalibrationSet.open(tmp_path / "set")
    assert next(iter(calibration)).frame.shape == (32, 64, 3)
    lefts = [pair.left_px for pair in calibration.manifest.pairs]
    tops = [pair.top_px for pair in calibration.manifest.pairs]
    assert np.ptp(lefts) > 24
    assert np.ptp(tops) > 16
    larger = CaptureJob(tmp_path / "new", Path("c.yaml"), size=FrameSize(width_px=512, height_px=32))
    with pytest.raises(CalibrationFault, match="never enlarged"):
        capture(larger, print, print)


def test_the_reserve_of_the_disk_is_left_alone(watch: Capture, tmp_path: Path) -> None:
    with pytest.raises(
        CalibrationFault, match="would leave less than the reserve of 1e\\+09 GB: free some space"
    ):
        watch(World(light=daylight), count=32, reserve_bytes=10**18)
    assert [file.name for file in (tmp_path / "set").iterdir()] == ["manifest.json"]
    assert watch(World(light=daylight), count=32).complete


def test_two_captures_do_not_write_to_one_set(watch: Capture, tmp_path: Path) -> None:
    with (
        held(tmp_path / "set"),
        pytest.raises(CalibrationFault, match="another capture is writing there"),
    ):
        watch(World(light=daylight), count=32)


def test_memory_does_not_grow_with_the_set(tmp_path: Path) -> None:
    """Of a process that keeps about 90 pairs of 400x224 px, 48 MB, against one that keeps 32."""
    scene = textured_frames(1, 400, 224)[0]
    frames = ((scene * (0.2 + 0.008 * (37 * number % 101))).astype(np.uint8) for number in range(240))
    clip = write_clip(tmp_path / "clip.mkv", frames)
    peaks = []
    for count in (32, 96):
        code = (
            "import resource; from pathlib import Path; "
            "from tremorscope.calibration.capture.job import CaptureJob, capture; "
            f"report = capture(CaptureJob(Path({str(tmp_path / str(count))!r}), Path({str(clip)!r}), count={count}, "
            "reserve_bytes=0), lambda done, total: None, lambda text: None); "
            "print(report.count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        kept, peak_kib = map(int, done.stdout.split())
        assert kept >= 0.8 * count
        peaks.append(peak_kib)
    assert peaks[1] - peaks[0] < 12_000


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty seconds at ten frames a second in which it grows dark, with noise."""
    rng = np.random.default_rng(0)
    frames = (
        np.clip(frame * (1.0 - 0.004 * number) + rng.normal(0, 2, frame.shape), 0, 255).astype(np.uint8)
        for number, frame in enumerate(textured_frames(200, 96, 64))
    )
    return write_clip(tmp_path_factory.mktemp("clip") / "dusk.mp4", frames, rate=10)


def test_a_clip_becomes_a_set_by_one_command(clip: Path, tmp_path: Path) -> None:
    done = run_command(
        "calibrate", "capture", "--camera", clip, "-o", tmp_path / "set", "--count", 40, "--reserve", 0
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("40 of 40 pairs, 40 of them new; complete\nleft out: ")
    calibration = CalibrationSet.open(tmp_path / "set")
    assert calibration.manifest.source == "clip dusk.mp4"
    times = [pair.captured_at for pair in calibration.manifest.pairs]
    assert times == sorted(times)
    assert timedelta(seconds=17) < times[-1] - times[0] < timedelta(seconds=20)


def test_the_same_clip_gives_the_same_set_and_a_third_run_adds_nothing(clip: Path, tmp_path: Path) -> None:
    for name in ("one", "two", "two"):
        done = run_command(
            "calibrate", "capture", "--camera", clip, "-o", tmp_path / name, "--count", 32, "--reserve", 0
        )
        assert done.returncode == 0, done.stderr
    assert "0 of them new; complete" in done.stdout
    assert read_manifest(tmp_path / "one").sha256 == read_manifest(tmp_path / "two").sha256


def test_killed_at_any_moment_it_goes_on_and_ends_with_the_very_same_set(clip: Path, tmp_path: Path) -> None:
    command = command_line("calibrate", "capture", "--camera", clip, "--count", 48, "--reserve", 0, "-o")
    subprocess.run([*command, tmp_path / "whole"], check=True, capture_output=True)
    rng, target, kills = random.Random(0), tmp_path / "killed", 0
    for attempt in range(7):
        process = subprocess.Popen([*command, target], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        # Killed only once it is at work: at a random moment after it began to write.
        before = len(list(target.glob("pair-*"))) if target.exists() else 0
        while process.poll() is None and len(list(target.glob("pair-*"))) <= before:
            time.sleep(0.002)
        time.sleep(rng.random() * 0.15)
        if process.poll() is None and attempt < 6:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        if process.returncode == 0:
            break
        if target.joinpath("manifest.json").exists() and read_manifest(target).complete:
            continue  # killed after its work was done
        with pytest.raises(CalibrationFault, match=r"not finished|is no calibration set"):
            CalibrationSet.open(target)
    assert kills >= 3
    assert process.returncode == 0
    assert read_manifest(target).sha256 == read_manifest(tmp_path / "whole").sha256
    assert len(CalibrationSet.open(target)) == 48
    assert {file.suffix for file in target.iterdir()} == {".mkv", ".json"}


def test_what_a_power_cut_took_from_the_last_pair_is_swept_away(tmp_path: Path) -> None:
    write_set(tmp_path / "set", 33, finished=False)
    last = tmp_path / "set" / "pair-000032.mkv"
    last.write_bytes(b"")
    assert SetWriter.resume(tmp_path / "set").count == 32
    assert not last.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--camera", "missing.mp4"], "missing.mp4: no such file"),
        (["--camera", "missing.yaml"], "missing.yaml: no such file"),
        (["--camera", "clip.mp4", "--over", "1 day"], "a clip is read once"),
        (["--finish"], "no camera or clip to capture from"),
        (["--camera", "wrong.yaml"], "wrong.yaml: synthetic.width: Extra inputs are not permitted"),
        (["--camera", "synthetic.yaml", "--over", "soon"], "'soon' is not a duration"),
        (["--camera", "synthetic.yaml", "--schedule", "noon"], "'noon' is not a part of the day"),
    ],
)
def test_bad_input_is_one_line_with_its_remedy(
    clip: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "clip.mp4").symlink_to(clip)
    (tmp_path / "wrong.yaml").write_text("camera: {kind: synthetic, width: 5}")
    (tmp_path / "synthetic.yaml").write_text("kind: synthetic")
    done = run_command("calibrate", "capture", "-o", "set", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "set").exists() or not list((tmp_path / "set").iterdir())


def test_a_camera_by_its_settings(tmp_path: Path) -> None:
    (tmp_path / "bridge.yaml").write_text(
        "camera: {kind: synthetic, width_px: 128, height_px: 72, speed: fast}"
    )
    done = run_command(
        "calibrate",
        "capture",
        "--camera",
        "bridge.yaml",
        "-o",
        "set",
        "--due",
        "--reserve",
        "0",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 of 256 pairs, 1 of them new; goes on with the next run")
    entry = read_manifest(tmp_path / "set").pairs[0]
    assert (entry.mode, entry.frames_apart) == ("dynamic", 1)
