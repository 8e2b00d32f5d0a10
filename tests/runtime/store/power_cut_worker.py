"""A service in small that is killed at a given moment, again and again; driven by test_power_cut.py.

Reads lines ``DIRECTORY SEED MILLISECONDS``. For each it forks a process that opens the store, clears up, and
writes series, alarms and event clips as fast as it can, and kills it (SIGKILL) after so long. What the process
was told to be committed it notes in the file ``told``, a line each, before it goes on.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tremorscope.runtime.clips.pre_roll import FrameHistory
from tremorscope.runtime.clips.recorder import EventRecorder
from tremorscope.runtime.clips.settings import RecordingSettings
from tremorscope.runtime.clips.writer import recover_clips
from tremorscope.runtime.store.reader import StoreReader
from tremorscope.runtime.store.records import Channel, Clip, Record, SeriesBlock
from tremorscope.runtime.store.retention import enforce
from tremorscope.runtime.store.settings import RetentionSettings
from tremorscope.runtime.store.store import Store
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge

CHANNELS = (Channel("midspan", "x"), Channel("midspan", "y"))
KEPT_CLIP_BYTES = 30_000


def serve(directory: Path, seed: int) -> None:
    """Write until killed."""
    rng = np.random.default_rng(seed)
    clips = directory / "clips"
    clips.mkdir(exist_ok=True)
    told = os.open(directory / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    store = Store(directory / "s.db")

    def log(record: Record) -> None:
        store.write([record])
        if isinstance(record, Clip) and record.state == "saved":
            os.write(told, f"clip {record.file}\n".encode())

    with StoreReader(store.path) as reader:
        recover_clips(clips, reader.clips(), log)
    settings = RecordingSettings(pre_roll_s=0.2, post_roll_s=0.2, longest_s=1.0, encoder="x264")
    recorder = EventRecorder(
        clips,
        settings,
        FrameHistory.for_clips(settings, SimpleNamespace(width_px=64, height_px=48, rate_hz=50.0)),
        log=log,
        to_unix_s=lambda time_s: 1.79e9 + 1000 * seed + time_s,
    )
    for number in range(1_000_000):
        frame = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        recorder.offer(frame, number / 50)
        if number % 30 == 15:
            recorder.trigger(number / 50, "by hand")
        if number % 4 == 0:
            start_s = float(seed * 1_000_000 + number)
            values = rng.standard_normal((2, 50)).astype(np.float32)
            name = f"alarm {seed} {number}"
            edge = AlarmEdge(name, "midspan", "rms", "raised", start_s, start_s, 1.5, 1.0, "px")
            store.write([SeriesBlock(CHANNELS, start_s + np.arange(50) / 50, values), edge])
            os.write(told, f"both {start_s}\n".encode())
        if number % 40 == 0:
            enforce(store, clips, RetentionSettings(clips_gb=KEPT_CLIP_BYTES / 1e9), 1.0)
            store.give_back(4096)
        time.sleep(0.0005)


def main() -> None:
    """Fork and kill as told."""
    for line in sys.stdin:
        directory, seed, milliseconds = line.rstrip("\n").split("\t")
        child = os.fork()
        if child == 0:
            serve(Path(directory), int(seed))
        time.sleep(float(milliseconds) / 1000)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        # Anything but our own kill is a mistake of the worker.
        print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else f"ended: {status}", flush=True)


if __name__ == "__main__":
    main()
