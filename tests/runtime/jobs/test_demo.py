"""The demonstration, small and short, on a linear stand-in network: its numbers, files and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import read_video, run_command

from tremorscope.runtime.errors import BundleFault, Fault, OptionFault, OutputFault
from tremorscope.runtime.jobs.demo import DemoJob, DemoReport, run_demo

AMPLIFICATION = 2.0


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, linear_bundle: Path) -> DemoReport:
    directory = tmp_path_factory.mktemp("demo") / "a" / "b"
    return run_demo(DemoJob(directory, AMPLIFICATION, 2.0, bundle=linear_bundle, width_px=384, height_px=216))


def test_finds_each_mode_where_it_moves(finished: DemoReport) -> None:
    assert [(mode.place, mode.true_hz) for mode in finished.modes] == [
        ("mid-span", 2.1), ("quarter-span", 2.1), ("quarter-span", 4.7),
    ]  # fmt: skip
    for mode in finished.modes:
        # A tenth of the resolution of two seconds.
        assert mode.found_hz == pytest.approx(mode.true_hz, abs=0.05)


def test_measures_the_displacement_as_filmed(finished: DemoReport) -> None:
    assert all(0.04 < mode.true_px < 0.2 for mode in finished.modes)
    for mode in finished.modes:
        # Measured in the file that is handed over, and true within the error that its compression is said to leave.
        assert abs(mode.filmed_px - mode.true_px) < 2 * mode.filmed_sigma_px
        assert mode.filmed_sigma_px < 0.01


def test_measures_what_the_magnification_has_reached(finished: DemoReport) -> None:
    # The linear stand-in falls short by a little even where the motion stays below a pixel, and patches of nine rows at
    # this size are true within a tenth.
    for mode in finished.modes:
        assert 0.9 * AMPLIFICATION < mode.reached < 1.1 * AMPLIFICATION


def test_what_stands_still_remains_still(finished: DemoReport) -> None:
    assert finished.still_filmed_px < 0.01
    assert finished.still_magnified_px < 0.05


def test_leaves_three_videos_and_the_picture(finished: DemoReport) -> None:
    directory = finished.job.directory
    assert {path.name for path in directory.iterdir()} == {
        "original.mp4", "magnified.mp4", "split.mp4", "effect.png",
    }  # fmt: skip
    for name in ("original", "magnified", "split"):
        pictures, times = read_video(directory / f"{name}.mp4")
        assert len(pictures) == finished.frames == 60
        assert pictures[0].shape == (216, 384, 3)
        assert float(times[-1]) == pytest.approx(59 / 30)


def test_reports_in_a_table_that_fits_a_terminal(finished: DemoReport) -> None:
    lines = finished.lines()
    assert max(map(len, lines[4:])) <= 80
    (row,) = (line for line in lines if line.startswith("mid-span"))
    numbers = [float(word) for word in row.replace("(", " ").replace(")", " ").split() if word[0].isdigit()]
    mode = finished.modes[0]
    expected = [mode.found_hz, 2.1, mode.true_px, mode.filmed_px, mode.filmed_sigma_px]
    expected += [mode.magnified_px, mode.reached]
    assert numbers == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize(
    ("changes", "fault", "message"),
    [
        ({"seconds": 0.5}, OptionFault, "seconds 0.5"),
        ({"seconds": float("nan")}, OptionFault, "seconds nan"),
        ({"seconds": 1e6}, OptionFault, "seconds 1e\\+06"),
        ({"amplification": -1.0}, OptionFault, "amplification -1"),
        ({"amplification": 1000.0}, OptionFault, "amplification 1000"),
        ({"bundle": Path("nowhere")}, BundleFault, "nowhere"),
    ],
)
def test_bad_options_are_refused_before_anything_is_made(
    changes: dict[str, object], fault: type[Fault], message: str, tmp_path: Path, linear_bundle: Path
) -> None:
    job: dict[str, object] = {"directory": tmp_path / "demo", "bundle": linear_bundle}
    with pytest.raises(fault, match=message):
        run_demo(DemoJob(**(job | changes)))  # type: ignore[arg-type]
    assert not (tmp_path / "demo").exists()


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path, linear_bundle: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputFault, match="file/demo"):
        run_demo(DemoJob(tmp_path / "file" / "demo", bundle=linear_bundle))


def test_an_interrupted_run_leaves_no_half_written_video(tmp_path: Path, linear_bundle: Path) -> None:
    def interrupt(done: int, total: int | None) -> None:
        assert total == 60
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_demo(DemoJob(tmp_path, seconds=2.0, bundle=linear_bundle, width_px=384, height_px=216), interrupt)
    assert list(tmp_path.iterdir()) == []


def test_untrained_weights_are_refused(tmp_path: Path, make_bundle) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BundleFault, match="random"):
        run_demo(DemoJob(tmp_path / "demo", bundle=make_bundle(trained=False)))


def test_the_command_prints_the_table(tmp_path: Path, linear_bundle: Path) -> None:
    done = run_command("demo", "-o", tmp_path, "--seconds", 1, "-a", 2, "--bundle", linear_bundle)
    assert (done.returncode, done.stderr) == (0, "")
    assert "quarter-span" in done.stdout
    assert (tmp_path / "effect.png").stat().st_size > 100_000


def test_the_command_fails_in_one_line(tmp_path: Path) -> None:
    done = run_command("demo", "-o", tmp_path, "--bundle", tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "manifest.json" in done.stderr
