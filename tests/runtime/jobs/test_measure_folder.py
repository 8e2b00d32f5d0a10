"""A folder of clips: each measured in a process of its own, one table of all, and none that ends the others."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from raw_recordings import (
    AMPLITUDE_PX,
    REGION,
    drawn,
    frequency_hz,
    names,
    write_cine,
    write_mraw,
    write_plugins,
)
from support import command_line, textured_frames, write_clip

from tremorscope.runtime.cameras.recordings import clips_in
from tremorscope.runtime.errors import ClipFault, OptionFault, OutputFault
from tremorscope.runtime.jobs.measure import MeasureJob
from tremorscope.runtime.jobs.measure_folder import TABLE, measure_folder, over_cores

ROI = ["--roi", *map(str, (REGION.x_px, REGION.y_px, REGION.width_px, REGION.height_px))]


def write_sequence(folder: Path, count: int = 3) -> None:
    folder.mkdir()
    for path, picture in zip(names(folder, ".png", range(count)), drawn(8)[:count], strict=True):
        Image.fromarray(picture).save(path)


def test_one_bad_clip_does_not_end_the_others(tmp_path: Path) -> None:
    clips, out = tmp_path / "clips", tmp_path / "out"
    clips.mkdir()
    write_cine(clips / "run10.cine", drawn(12), rate_hz=1000)
    write_mraw(clips / "run9.cihx", drawn(12), rate_hz=500)
    np.save(clips / "run11.npy", drawn(8))
    (clips / "bad.mp4").write_text("no clip")
    write_plugins(tmp_path / "site", {"lab": "lab_readers:Deadly"})
    (clips / "dead.lab").write_bytes(drawn(12)[:20].tobytes())
    done = subprocess.run(
        command_line("measure", clips, "-o", out, *ROI),
        env={**os.environ, "PYTHONPATH": f"{tmp_path / 'site'}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "tremorscope: 3 of 5 clips could not be measured: see the table\n"
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:5]] == [
        "bad.mp4",
        "dead.lab",
        "run9.cihx",
        "run10.cine",
        "run11.npy",
    ]
    assert "not measured: is not a video" in lines[0]
    assert "not measured: its process was ended by SIGKILL" in lines[1]
    assert "not measured: states no rate of capture" in lines[4]
    with (out / TABLE).open(newline="") as file:
        rows = {row["clip"]: row for row in csv.DictReader(file)}
    for name, rate_hz in (("run9.cihx", 500), ("run10.cine", 1000)):
        assert float(rows[name]["frequency_hz"]) == pytest.approx(frequency_hz(rate_hz), rel=1e-3)
        assert float(rows[name]["amplitude_px"]) == pytest.approx(AMPLITUDE_PX, rel=0.05)
        assert (out / name / "report.html").is_file()
    assert rows["dead.lab"]["fault"].startswith("its process was ended")
    assert sorted(each.name for each in out.iterdir()) == [TABLE, "run10.cine", "run9.cihx"]


def test_what_is_a_batch_and_what_a_sequence(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    write_sequence(folder)
    assert clips_in(folder) == (), "a folder of pictures is one sequence"
    for number in (10, 9):
        write_clip(folder / f"c{number}.mp4", textured_frames(2))
    write_mraw(folder / "d.cihx", drawn(12)[:2])
    (folder / ".hidden.mp4").write_bytes(b"")
    (folder / "notes.txt").write_bytes(b"")
    write_sequence(folder / "shots")
    write_sequence(folder / "results")
    (folder / "results" / "summary.json").write_text("{}")
    assert [each.name for each in clips_in(folder)] == ["c9.mp4", "c10.mp4", "d.cihx", "shots"]


@pytest.mark.parametrize("pages", [1, 4])
def test_tiff_files_of_one_page_are_a_sequence(pages: int, tmp_path: Path) -> None:
    for number in range(3):
        first, *others = (Image.fromarray(picture) for picture in drawn(8)[:pages])
        first.save(tmp_path / f"{number}.tif", save_all=True, append_images=others)
    assert len(clips_in(tmp_path)) == (3 if pages > 1 else 0)


def test_what_cannot_be_a_batch_is_told(tmp_path: Path) -> None:
    job = MeasureJob(tmp_path, tmp_path / "out")
    with pytest.raises(ClipFault, match="holds no clip"):
        measure_folder(tmp_path, job, over_cores())
    (tmp_path / "c.mp4").write_bytes(b"x")
    with pytest.raises(OptionFault, match="another directory for its results"):
        measure_folder(tmp_path, replace(job, directory=tmp_path), over_cores())
    measured = measure_folder(tmp_path, job, over_cores())
    assert measured.failed == 1
    with pytest.raises(OutputFault, match="holds earlier results"):
        measure_folder(tmp_path, job, over_cores())


def test_an_interrupted_batch_leaves_no_process(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    write_plugins(tmp_path / "site", {"lab": "lab_readers:Endless"})
    for number in range(3):
        (clips / f"{number}.lab").write_bytes(drawn(12)[:20].tobytes())
    process = subprocess.Popen(
        command_line("measure", clips, "-o", tmp_path / "out", "--workers", "2"),
        env={**os.environ, "PYTHONPATH": f"{tmp_path / 'site'}:{os.environ.get('PYTHONPATH', '')}"},
        stderr=subprocess.DEVNULL,
    )
    while not list(clips.glob("*.begun")):
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(30) != 0
    (pid, *_) = (int(path.suffixes[0][1:]) for path in clips.glob("*.begun"))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not list((tmp_path / "out").glob("*"))
