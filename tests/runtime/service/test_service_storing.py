"""The store of the service: whatever the disk is like, watching goes on, and everything is counted."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from lent import Lent
from support import mount_small_disk, unmount

from tremorscope.runtime.clips.pre_roll import ClipMagnifier
from tremorscope.runtime.clips.settings import RecordingSettings
from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.frames.buffers import FrameFormat
from tremorscope.runtime.service import storing
from tremorscope.runtime.service.store_keeper import state_directory
from tremorscope.runtime.service.storing import Storage
from tremorscope.runtime.store.reader import StoreReader
from tremorscope.runtime.store.records import Channel, Notice, SeriesBlock
from tremorscope.runtime.store.settings import StoreSettings
from tremorscope.runtime.store.sqlite_file import StoreBusyFault
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge

FRAMES = FrameFormat(64, 48, 25.0)
ROOMY = {"previews_below_gb": 0.003, "clips_below_gb": 0.002, "series_below_gb": 0.001}


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def settings(directory: Path, **disk: float) -> StoreSettings:
    return StoreSettings.model_validate({"directory": directory, "disk": ROOMY | disk, "reserve_mb": 1})


def storage(directory: Path, clock: Clock | None = None, **disk: float) -> Storage:
    return Storage(
        settings(directory, **disk), RecordingSettings(pre_roll_s=1, post_roll_s=1), clock=clock or Clock()
    )


def until(condition: object, seconds: float = 30.0) -> None:
    limit_s = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < limit_s
        time.sleep(0.02)


LENT = Lent(85, width_px=64, height_px=48)
"""Ring with room for the pre-roll; each recorder gives its frames back in the end."""


def film(kept: Storage, first: int, last: int) -> None:
    recorder = kept.recorder
    assert recorder is not None
    for number in range(first, last):
        with LENT.frame(number % 256, number, number / 25) as frame:
            recorder.offer(frame)
        time.sleep(0.001)


def test_lies_where_the_settings_say_or_systemd_or_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert state_directory(settings(tmp_path)) == tmp_path
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/tremorscope:/var/lib/other")
    assert state_directory(StoreSettings()) == Path("/var/lib/tremorscope")
    monkeypatch.delenv("STATE_DIRECTORY")
    assert state_directory(StoreSettings()) == Path("tremorscope-state")


def test_hands_what_was_raised_and_learned_to_the_next_process(tmp_path: Path) -> None:
    first = storage(tmp_path)
    first.offer(AlarmEdge("sway", "top", "rms", "raised", 5.0, 4.0, 3.0, 2.0, "px"))
    assert first.close(5.0) == ""
    second = storage(tmp_path)
    assert [(alarm.name, alarm.raised_s) for alarm in second.opened_alarms] == [("sway", 5.0)]
    assert second.close(5.0) == ""


def test_a_second_instance_is_refused(tmp_path: Path) -> None:
    first = storage(tmp_path)
    with pytest.raises(StoreBusyFault):
        storage(tmp_path)
    first.close(5.0)


def edge(name: str, what: Literal["raised", "cleared"], time_s: float) -> AlarmEdge:
    return AlarmEdge(name, "top", "rms", what, time_s, time_s, 3.0, 2.0, "px")


def test_goes_on_without_a_disk_keeps_what_is_vital_counts_what_is_lost_and_takes_it_when_it_is_there(
    tmp_path: Path,
) -> None:
    place = tmp_path / "disk"
    place.write_text("in the way")
    clock = Clock()
    kept = storage(place / "state", clock)
    kept.start_recorder(FRAMES, LENT.ring, magnifier=None, to_unix_s=float)
    kept.offer(SeriesBlock((Channel("top", "x"),), np.arange(10.0), np.ones((1, 10), np.float32)))
    kept.offer(Notice(1.0, "a", "waits"))
    kept.offer(edge("sway", "raised", 5.0))
    kept.offer(edge("sway", "cleared", 6.0))
    kept.check()
    health = kept.health()
    assert "cannot be created (not a directory)" in health.trouble
    assert (health.dropped["unopened"], health.pending) == (1, 4)  # with the guard's own word
    assert kept.recorder is None
    place.unlink()
    clock.now_s += 31.0
    kept.check()
    kept.check()
    assert kept.health().trouble == ""
    assert kept.recorder is not None
    kept.offer(Notice(2.0, "b", "kept"))
    assert kept.close(5.0) == ""
    assert kept.health().dropped["unopened"] == 1
    with StoreReader(kept.path) as reader:
        assert {"waits", "kept"} <= {notice.text for notice in reader.notices()}
        assert [(alarm.raised_s, alarm.cleared_s) for alarm in reader.alarms()] == [(5.0, 6.0)]


def test_an_alarm_that_cleared_before_its_store_could_be_opened_is_not_taken_as_raised(
    tmp_path: Path,
) -> None:
    before = storage(tmp_path / "disk")
    before.offer(edge("sway", "raised", 1.0))
    before.offer(edge("tilt", "raised", 2.0))
    assert before.close(5.0) == ""
    (tmp_path / "disk").rename(tmp_path / "away")
    (tmp_path / "disk").write_text("in the way")
    clock = Clock()
    kept = storage(tmp_path / "disk", clock)
    kept.offer(edge("sway", "raised", 5.0))
    kept.offer(edge("sway", "cleared", 6.0))
    (tmp_path / "disk").unlink()
    (tmp_path / "away").rename(tmp_path / "disk")
    clock.now_s += 31.0
    kept.check()
    assert [alarm.name for alarm in kept.opened_alarms] == ["tilt"]
    assert kept.close(5.0) == ""
    with StoreReader(kept.path) as reader:
        spans = {(each.name, each.raised_s, each.cleared_s) for each in reader.alarms()}
    assert spans == {("sway", 1.0, 5.0), ("sway", 5.0, 6.0), ("tilt", 2.0, None)}


def test_what_waits_for_a_store_is_bounded_and_told_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "disk").write_text("in the way")
    kept = storage(tmp_path / "disk")
    for number in range(4100):
        kept.offer(Notice(float(number), "a", "waits"))
    health = kept.health()
    assert (health.dropped["unopened"], health.pending) == (4, 4096)
    assert kept.close(1.0).startswith("4096 records were not written (")


def test_keeps_a_damaged_store_and_begins_another(tmp_path: Path) -> None:
    (tmp_path / "tremorscope.db").write_bytes(b"SQLite format 3\x00" + bytes(range(256)) * 40)
    kept = storage(tmp_path)
    assert kept.close(5.0) == ""
    with StoreReader(kept.path) as reader:
        (notice,) = reader.notices()
    assert "the store was damaged; it is kept as" in notice.text
    assert len(list(tmp_path.glob("tremorscope.db.damaged-*"))) == 1


def test_gives_up_magnified_clips_then_clips_then_series_and_tells(tmp_path: Path) -> None:
    mount_small_disk(tmp_path, "size=24m")
    try:
        kept = storage(tmp_path / "s", previews_below_gb=0.015, clips_below_gb=0.010, series_below_gb=0.005)
        made = []

        def make_magnify() -> object:
            made.append(1)
            return lambda frame, magnified, _time_s: np.copyto(magnified, frame)

        kept.start_recorder(FRAMES, LENT.ring, magnifier=ClipMagnifier(make_magnify), to_unix_s=float)  # type: ignore[arg-type]
        (tmp_path / "ballast").write_bytes(bytes(9 << 20))
        kept.check()
        assert kept.health().given_up == ("previews",)
        film(kept, 0, 30)
        assert kept.recorder is not None
        kept.recorder.trigger(29 / 25, "by hand")
        film(kept, 30, 60)
        until(lambda: kept.health().clips.get("saved", 0) + kept.health().clips.get("failed", 0) == 2)
        assert (kept.health().clips["saved"], made) == (1, [])
        (tmp_path / "ballast").write_bytes(bytes(14 << 20))
        kept.check()
        assert kept.health().given_up == ("previews", "clips")
        assert kept.recorder.trigger(59 / 25, "too late") is None
        assert kept.health().clips["declined"] == 1
        (tmp_path / "ballast").unlink()
        kept.check()
        assert kept.health().given_up == ()
        assert kept.close(5.0) == ""
        with StoreReader(kept.path) as reader:
            texts = [notice.text for notice in reader.notices()]
            failed = [clip for clip in reader.clips() if clip.state == "failed" and clip.kind == "magnified"]
        assert [text.split(":")[0] for text in texts] == [
            "previews given up", "clips given up", "clips begun again", "previews begun again",
        ]  # fmt: skip
        assert failed[0].detail == "no magnified clip: the disk is low: free some space"
    finally:
        unmount(tmp_path)


def test_completes_clips_and_records_at_the_end(tmp_path: Path) -> None:
    kept = storage(tmp_path)
    kept.start_recorder(FRAMES, LENT.ring, magnifier=None, to_unix_s=float)
    film(kept, 0, 30)
    assert kept.recorder is not None
    assert kept.recorder.trigger(29 / 25, "at the very end") is not None
    for number in range(200):
        kept.offer(Notice(float(number), "n", str(number)))
    assert kept.close(8.0) == ""
    connection = sqlite3.connect(kept.path)
    assert connection.execute("SELECT count(*) FROM notice").fetchone() == (200,)
    assert connection.execute("SELECT state, frames FROM clip").fetchall() == [("saved", 26)]
    connection.close()


def test_a_recorder_that_needs_too_much_memory_is_refused(tmp_path: Path) -> None:
    kept = Storage(
        settings(tmp_path), RecordingSettings(pre_roll_s=600, post_roll_s=1, longest_s=700, memory_mb=1)
    )
    with pytest.raises(Exception, match="shorten the pre-roll") as caught:
        kept.start_recorder(FRAMES, LENT.ring, magnifier=None, to_unix_s=float)
    assert not isinstance(caught.value, OutputFault)
    kept.close(2.0)


def test_a_recorder_that_cannot_be_made_is_told_and_made_once_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the clips' directory is taken away between its check and its use."""
    clock = Clock()
    kept = storage(tmp_path, clock)
    with monkeypatch.context() as taken_away:

        def not_made(*_arguments: object, **_more: object) -> None:
            raise OutputFault("clips: gone", remedy="put it back")

        taken_away.setattr(storing, "EventRecorder", not_made)
        kept.start_recorder(FRAMES, LENT.ring, magnifier=None, to_unix_s=float)
        assert kept.recorder is None
        assert "no clips can be kept (clips: gone: put it back)" in kept.health().trouble
    clock.now_s += 60.0
    kept.check()
    assert kept.recorder is not None
    assert kept.health().trouble == ""
    assert kept.close(5.0) == ""
