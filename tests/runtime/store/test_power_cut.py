"""Killed at 100 random moments while it writes series, alarms and clips: nothing that was committed is lost.

SIGKILL leaves what the system has taken from the process, so this is a crash of the program. That a commit also
waits for the disk, and that a log which is torn anywhere is read up to the tear, is tested in test_store.py.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tremorscope.runtime.clips.writer import read_back, recover_clips
from tremorscope.runtime.store.reader import StoreReader
from tremorscope.runtime.store.records import Record
from tremorscope.runtime.store.store import Store

WORKER = Path(__file__).with_name("power_cut_worker.py")
KILLS_A_PROCESS = 50
KILLS_A_STORE = 10
MOST_KILLS = 200
"""Where the first fifty came too early to strike writes and clips: of a machine with too much to do."""
LEAST = (200, 5, 5)
"""Writes and clips that the kills left, and clips that they struck half-written."""


def check(directory: Path) -> tuple[int, int, int]:
    """Check a store as the kill left it: how many writes and clips it holds, and how many partial files."""
    clips = directory / "clips"
    told = (directory / "told").read_text().split("\n")[:-1] if (directory / "told").exists() else []
    with Store(directory / "s.db") as store:
        store.check()
    with StoreReader(directory / "s.db") as reader:
        channels = reader.channels()
        series = [{float(times[0]) for times, _ in reader.series(channel)} for channel in channels]
        alarms = {alarm.raised_s for alarm in reader.alarms()}
        listed = reader.clips()
    both = {float(line.split()[1]) for line in told if line.startswith("both")}
    assert both <= alarms
    assert all(starts == alarms for starts in series)  # of a transaction there is all or nothing
    ever_saved = {clip.file for clip in listed if clip.state in ("saved", "removed")}
    assert {line.split()[1] for line in told if line.startswith("clip")} <= ever_saved
    saved = [clip for clip in listed if clip.state == "saved"]
    for clip in saved:
        found = read_back(clips / clip.file)
        assert (len(found.ticks), found.nbytes) == (clip.frames, clip.nbytes)
    partials = sum(path.name.startswith(".") for path in clips.iterdir()) if clips.is_dir() else 0
    return len(alarms), len(ever_saved), partials


def recover(directory: Path) -> None:
    """What a service does at its start; nothing partial is left then, and nothing is there that is not listed."""
    clips = directory / "clips"
    if not clips.is_dir():
        return
    with Store(directory / "s.db") as store, StoreReader(store.path) as reader:

        def log(record: Record) -> None:
            store.write([record])

        found = recover_clips(clips, reader.clips(), log)
        assert found.unreadable == ()
        listed = {clip.file for clip in reader.clips() if clip.state == "saved"}
        assert {path.name for path in clips.iterdir()} == listed
        assert not any(clip.state == "recording" for clip in reader.clips())


@pytest.mark.parametrize("process", range(2))
def test_killed_at_fifty_random_moments(tmp_path: Path, process: int) -> None:
    rng = np.random.default_rng(process)
    writes = clips = partials = 0
    slowness = 1.0
    with subprocess.Popen(
        [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        for kill in range(MOST_KILLS):
            directory = tmp_path / f"store {kill // KILLS_A_STORE}"
            directory.mkdir(exist_ok=True)
            # Mostly while it runs, sometimes while it opens.
            milliseconds = slowness * (rng.uniform(0, 30) if kill % 5 == 0 else rng.uniform(30, 350))
            print(f"{directory}\t{kill}\t{milliseconds}", file=worker.stdin, flush=True)
            assert worker.stdout.readline().strip() == str(int(signal.SIGKILL))
            in_store, in_clips, in_parts = check(directory)
            partials += in_parts
            if rng.random() < 0.5:  # else the next process finds it as it is
                recover(directory)
            if kill % KILLS_A_STORE == KILLS_A_STORE - 1:
                recover(directory)
                writes, clips = writes + in_store, clips + in_clips
                share = (kill + 1) / KILLS_A_PROCESS
                if share >= 1 and writes > LEAST[0] and clips > LEAST[1] and partials > LEAST[2]:
                    break
                if writes < 2 * share * LEAST[0] or clips < 2 * share * LEAST[1]:
                    slowness *= 1.5  # a busy machine: it comes to do less before it is killed
        worker.stdin.close()
    # The kills struck where it counts.
    print(f"{kill + 1} kills: {writes} writes, {clips} clips, {partials} partial files")
    assert (writes > LEAST[0], clips > LEAST[1], partials > LEAST[2]) == (True, True, True)
