"""A store that is taken away, damaged or held while the service runs: told, and another in its place."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support import mount_small_disk, unmount

from tremorscope.runtime.clips.settings import RecordingSettings
from tremorscope.runtime.frames.buffers import FrameFormat
from tremorscope.runtime.frames.ring import LeasingRing
from tremorscope.runtime.host.threads import Threads
from tremorscope.runtime.outputs.web.archive import Archive
from tremorscope.runtime.service.storing import Storage
from tremorscope.runtime.store.background import BackgroundStore, StoreUpkeep
from tremorscope.runtime.store.disk import mount_trouble
from tremorscope.runtime.store.reader import StoreReader
from tremorscope.runtime.store.records import (
    Channel,
    Clip,
    LearningBaseline,
    ModePoint,
    ModeRecord,
    Notice,
    SeriesBlock,
)
from tremorscope.runtime.store.settings import StoreSettings
from tremorscope.runtime.store.soundness import SoundnessWatch
from tremorscope.runtime.store.sqlite_file import StoreDamagedFault, StoreFault
from tremorscope.runtime.store.store import Store
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge
from tremorscope.runtime.vibration.monitoring.levels import Learning

DISK = {"previews_below_gb": 0.003, "clips_below_gb": 0.002, "series_below_gb": 0.001}
CHANNELS = tuple(Channel(f"r{number}", "x") for number in range(20))


def settings(directory: Path, **more: object) -> StoreSettings:
    return StoreSettings.model_validate({"directory": directory, "disk": DISK, "reserve_mb": 1} | more)


def storage(directory: Path, **more: object) -> Storage:
    kept = Storage(settings(directory, **more), RecordingSettings(pre_roll_s=1, post_roll_s=1))
    ring = LeasingRing(80, width_px=64, height_px=48)
    kept.start_recorder(FrameFormat(64, 48, 25.0), ring, magnifier=None, to_unix_s=float)
    return kept


def until(condition: Callable[[], object], kept: Storage | None = None) -> None:
    limit_s = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < limit_s
        if kept is not None:
            kept.check()
        time.sleep(0.05)


def notices(path: Path) -> list[str]:
    with StoreReader(path) as reader:
        return [notice.text for notice in reader.notices()]


def remove(directory: Path) -> None:
    """At once, for the service goes on writing there."""
    directory.rename(directory.with_name("removed"))
    shutil.rmtree(directory.with_name("removed"), ignore_errors=True)


async def downloaded(archive: Archive) -> list[bytes]:
    return [part async for part in archive.series(0.0, 2e9)]


def raised(name: str) -> AlarmEdge:
    return AlarmEdge(name, "top", "rms", "raised", 5.0, 4.0, 3.0, 2.0, "px")


def damage(path: Path) -> None:
    """Overwrite all but the first page, by another process: closing the file here would end SQLite's locks."""
    size = path.stat().st_size
    command = f"head -c {size - 4096} /dev/urandom | dd of={path} bs=4096 seek=1 conv=notrunc status=none"
    subprocess.run(["sh", "-c", command], check=True)


def test_a_store_that_was_removed_is_begun_anew_with_its_clips_directory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = storage(tmp_path / "state")
    again: list[AlarmEdge] = []
    kept.on_begun_anew = lambda *_: (again.append(raised("sway")), kept.offer(raised("sway")))[0]  # type: ignore[func-returns-value]
    kept.offer(Notice(1.0, "a", "before"))
    until(lambda: kept.health().written >= 1)
    remove(tmp_path / "state")
    kept.offer(Notice(2.0, "a", "into the void?"))  # is written, fails to be there, and is written again
    until(lambda: kept.path.exists() and kept.health().written >= 4, kept)
    until(lambda: not kept.health().trouble, kept)  # the disk guard looks once more
    assert kept.clips.is_dir()
    assert (kept.health().replaced, kept.health().trouble) == ({"gone": 1}, "")
    kept.offer(Notice(3.0, "a", "after"))
    assert kept.close(5.0) == ""
    told = {text for text in notices(kept.path) if "free space" not in text}
    assert told == {
        "into the void?", "after",
        f"the store was taken away while it was written; a new one was begun at {kept.path}",
    }  # fmt: skip
    with StoreReader(kept.path) as reader:
        assert [alarm.name for alarm in reader.open_alarms()] == ["sway"]
    assert len(again) == 1
    assert any("taken away" in record.message for record in caplog.records if record.levelname == "WARNING")


def test_a_removed_store_is_noticed_though_nothing_is_written(tmp_path: Path) -> None:
    kept = storage(tmp_path / "state")
    remove(tmp_path / "state")
    until(lambda: kept.health().replaced, kept)
    kept.close(5.0)


@pytest.mark.parametrize("suffix", ["-wal", ".lock"])
def test_a_store_without_its_log_or_its_lock_is_opened_anew_and_complete(tmp_path: Path, suffix: str) -> None:
    kept = storage(tmp_path / "state")
    kept.offer(Notice(1.0, "a", "before"))
    until(lambda: kept.health().written >= 1)
    kept.path.with_name(kept.path.name + suffix).unlink()
    kept.offer(SeriesBlock((Channel("top", "x"),), np.arange(10.0), np.ones((1, 10), np.float32)))
    kept.offer(Notice(2.0, "a", "into the void?"))
    until(lambda: kept.health().replaced and not kept.health().pending, kept)
    shutil.copytree(tmp_path / "state", tmp_path / "cut")  # as a power cut would leave it
    told = notices(tmp_path / "cut" / kept.path.name)
    assert {"before", "into the void?"} <= {*told}
    with StoreReader(tmp_path / "cut" / kept.path.name) as reader:
        assert [len(block.times_s) for block in reader.blocks()] == [10]  # once
    assert any(text.startswith("the store was taken away") for text in told)
    assert kept.close(5.0) == ""


def test_a_clips_directory_that_was_removed_is_made_again(tmp_path: Path) -> None:
    kept = storage(tmp_path / "state")
    kept.clips.rmdir()
    kept.check()
    assert kept.clips.is_dir()
    kept.close(5.0)
    assert notices(kept.path) == [f"the directory {kept.clips} was gone; it is made again, without its clips"]


class TestRequiredMount:
    @pytest.mark.parametrize("by_path", [True, False])
    def test_a_disk_that_goes_is_not_replaced_by_the_systems_own(self, tmp_path: Path, by_path: bool) -> None:
        mount_small_disk(tmp_path, "size=24m")
        kept = storage(tmp_path / "state", require_mount=str(tmp_path) if by_path else True)
        try:
            kept.offer(Notice(1.0, "a", "before"))
            until(lambda: kept.health().written >= 1)
            subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)
            kept.offer(Notice(2.0, "a", "while it is away"))
            until(lambda: "no disk is mounted" in kept.health().trouble, kept)
            assert "mount the disk, or change store.require_mount" in kept.health().trouble
            assert kept.recorder is not None
            assert kept.recorder.trigger(1.0, "no place for a clip") is None
            assert list(tmp_path.iterdir()) == []
            mount_small_disk(tmp_path, "size=24m")
            until(lambda: not kept.health().trouble, kept)
            assert kept.close(5.0) == ""
            assert "while it is away" in notices(kept.path)
        finally:
            kept.close(1.0)
            unmount(tmp_path)

    def test_a_disk_that_is_missing_at_the_start_is_waited_for(self, tmp_path: Path) -> None:
        kept = storage(tmp_path / "state", require_mount=str(tmp_path))
        assert kept.health().trouble.startswith(
            f"{kept.path}: no disk is mounted at {tmp_path}: mount the disk, or change store.require_mount"
        )
        assert not kept.directory.exists()
        kept.close(1.0)

    def test_any_disk_does_unless_one_is_required(self, tmp_path: Path) -> None:
        assert mount_trouble(tmp_path / "a", False) == ""
        assert "no disk is mounted" in mount_trouble(Path("/nowhere/to/be/found"), True)
        assert mount_trouble(Path("/nowhere"), Path("/")) == ""


class TestDamage:
    def test_what_is_sound_is_kept_where_damage_is_found_after_the_opening(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Store(tmp_path / "tremorscope.db") as store:
            store.write([raised("sway")])
        listed, asked = StoreReader.clips, []

        def clips(reader: StoreReader) -> tuple[Clip, ...]:
            asked.append(reader)
            if len(asked) == 1:
                raise StoreDamagedFault("a page is damaged", remedy="")
            return listed(reader)

        monkeypatch.setattr(StoreReader, "clips", clips)
        kept = storage(tmp_path)
        assert [alarm.name for alarm in kept.opened_alarms] == ["sway"]
        assert (kept.health().replaced, kept.close(5.0)) == ({"damaged": 1}, "")

    def test_a_new_store_that_cannot_be_read_is_closed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(*_: object) -> None:
            raise StoreFault("no reading", remedy="")

        kept = storage(tmp_path / "kept")
        assert kept._background is not None
        for part in ("__init__", "open_alarms"):
            new = Store(tmp_path / f"{part}.db")
            with monkeypatch.context() as patch:
                patch.setattr(kept._keeper, "renew", lambda *_, new=new: new)
                patch.setattr(StoreReader, part, fails)
                with pytest.raises(StoreFault, match="no reading"):
                    kept._renew(kept._background.store, StoreFault("", remedy=""))
            assert not new.is_open
        kept.close(5.0)

    def test_a_store_damaged_while_running_is_set_aside_and_another_begun(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tremorscope.runtime.store.soundness._EVERY_S", 0.5)
        kept = storage(tmp_path)
        for number in range(500):
            kept.offer(Notice(float(number), "n", 100 * str(number)))
        until(lambda: kept.health().written >= 500)
        assert kept._background is not None
        kept._background.store.empty_log()
        damage(kept.path)
        # It may find pages in its memory still: nothing is known of the damage before somebody reads the file.
        kept.offer(Notice(1000.0, "n", "at that time"))
        until(lambda: kept.health().replaced, kept)
        for number in range(500):
            kept.offer(Notice(1000.0 + number, "n", f"after {number}"))
        until(lambda: not kept.health().pending, kept)
        assert kept.health().replaced == {"damaged": 1}
        assert kept.close(5.0) == ""
        (aside,) = (path for path in tmp_path.glob("tremorscope.db.damaged-*") if "Z-" not in path.name)
        told = notices(kept.path)
        assert f"the store was damaged; it is kept as {aside}, and a new one was begun" in told
        assert {f"after {number}" for number in range(500)} <= set(told)

    @pytest.mark.parametrize("large", [False, True])
    def test_is_found_by_reading_all_of_it_at_any_size(
        self, tmp_path: Path, large: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Damage to the series of a large file, which opening does not read."""
        if large:
            for room in ("database", "soundness"):
                monkeypatch.setattr(f"tremorscope.runtime.store.{room}.CHECKED_WHOLE_BYTES", 4096)
        with Store(tmp_path / "tremorscope.db") as store:
            times_s = np.arange(500.0)
            values = np.zeros((20, 500), np.float32)
            store.write(SeriesBlock(CHANNELS, 1e9 + 1000 * n + times_s, values) for n in range(20))
            (page,) = store._connection.execute(
                "SELECT rootpage FROM sqlite_master WHERE name='block_values'"
            ).fetchone()
        with store.path.open("r+b") as file:
            file.seek(4096 * (page - 1))
            file.write(b"\xff" * 4096)
        kept = storage(tmp_path)  # of a small file, opening reads all
        until(lambda: list(tmp_path.glob("*.damaged-*")), kept)
        until(lambda: not kept.health().pending and (kept.health().replaced or not large), kept)
        assert kept.health().replaced == ({"damaged": 1} if large else {})
        assert kept.close(5.0) == ""
        assert any("the store was damaged" in text for text in notices(kept.path))

    @pytest.mark.parametrize("met_by", ["a list", "the download"])
    def test_that_the_page_meets_is_looked_for_at_once(self, tmp_path: Path, met_by: str) -> None:
        """Not a minute later, as it would be for a large file not for a day."""
        kept = storage(tmp_path)
        kept.offer(Notice(1.0, "a", "before"))
        until(lambda: not kept.health().pending, kept)
        with contextlib.closing(sqlite3.connect(kept.path)) as other:
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        damage(kept.path)
        with contextlib.closing(Archive(kept.path, None, kept.doubt)) as archive:
            if met_by == "a list":
                assert "damaged" in asyncio.run(archive.page("notices", None, 10))["trouble"]
            else:
                with pytest.raises(StoreFault, match="damaged"):
                    asyncio.run(downloaded(archive))
        until(lambda: kept.health().replaced, kept)
        assert kept.health().replaced == {"damaged": 1}
        assert kept.close(5.0) == ""

    @pytest.mark.parametrize(
        ("value", "replaced", "left"),
        [
            ("mode SET shape = '[[1' WHERE label = 'first'", {}, (["second"], ["shift"])),
            ("mode SET shape = '7' WHERE label = 'first'", {}, (["second"], ["shift"])),
            ("learning SET kept = x'000102'", {}, (["first", "second"], [])),
            ("mode SET shape = '[7]' WHERE label = 'first'", {"damaged": 1}, ([], ["shift"])),
        ],
    )
    def test_within_a_row_that_is_read_at_a_start_costs_that_row_and_does_not_end_the_service(
        self, tmp_path: Path, value: str, replaced: dict[str, int], left: tuple[list[str], list[str]]
    ) -> None:
        kept = storage(tmp_path)
        kept.offer(raised("deck"))
        kept.offer(ModeRecord(1e9, "first", 2.1, shape=(ModePoint("r0", "x", 1.0, 0.0),)))
        kept.offer(ModeRecord(1e9 + 1, "second", 3.1, shape=(ModePoint("r0", "x", 1.0, 0.0),)))
        kept.offer(LearningBaseline("shift", Learning("first", (2.1, 2.2), 1, 2, 600.0, 1e9, 1e9 + 600)))
        until(lambda: not kept.health().pending, kept)
        kept.close(5.0)
        with contextlib.closing(sqlite3.connect(kept.path)) as other, other:
            assert other.execute(f"UPDATE {value}").rowcount == 1
        again = storage(tmp_path)
        assert [each.name for each in again.opened_alarms] == ["deck"]
        assert ([mode.label for mode in again.modes], list(again.learnings)) == left
        assert again.health().replaced == replaced
        assert again.close(5.0) == ""
        told = "the store was damaged" if replaced else "1 rows of modes or learning cannot be read"
        assert [told in text for text in notices(again.path)].count(True) == 1

    def test_is_looked_for_once_more_between_two_checks_by_schedule(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks = threading.Semaphore(0)
        (tmp_path / "s.db").touch()
        monkeypatch.setattr(SoundnessWatch, "_check", lambda _: looks.release())
        for every_s, looked in ((60.0, False), (0.1, True)):
            monkeypatch.setattr("tremorscope.runtime.store.soundness._EVERY_S", every_s)
            watch = SoundnessWatch(tmp_path / "s.db", lambda _: None, threads=Threads())
            watch.hurry()
            assert looks.acquire(timeout=10)
            if looked:
                assert looks.acquire(timeout=10), "the next by schedule"
                monkeypatch.setattr("tremorscope.runtime.store.soundness._EVERY_S", 60.0)
                while looks.acquire(timeout=0.5):
                    pass
            watch.hurry()
            assert looks.acquire(timeout=10 if looked else 0.5) == looked
            watch.close()

    def test_a_sound_store_is_not_reported_while_it_is_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tremorscope.runtime.store.soundness._EVERY_S", 0.01)
        found: list[StoreFault] = []
        with Store(tmp_path / "s.db") as store:
            watch = SoundnessWatch(store.path, found.append, threads=Threads())
            for number in range(100):
                store.write([Notice(float(number), "a", "b")])
            watch.close()
        assert found == []

    def test_two_stores_of_one_second_are_both_kept(self, tmp_path: Path) -> None:
        for _ in range(2):
            (tmp_path / "tremorscope.db").write_bytes(b"SQLite format 3\x00" + bytes(range(256)) * 40)
            kept = Storage(settings(tmp_path), None, unix_clock=lambda: 1.8e9)
            kept.close(5.0)
            kept.path.unlink()
        assert sorted(path.name.partition("damaged-")[2] for path in tmp_path.glob("*.damaged-*")) == [
            "20270115T080000Z", "20270115T080000Z-2",
        ]  # fmt: skip


def test_a_store_that_fails_for_long_is_opened_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tremorscope.runtime.store.background._FAILING_S", 0.5)
    opened: list[StoreFault] = []

    class Failing(Store):
        def write(self, records: object) -> None:  # noqa: ARG002
            raise StoreFault("disk I/O error", remedy="check the disk")

    def renew(before: Store, fault: StoreFault) -> Store:
        before.close()
        opened.append(fault)
        return Store(tmp_path / "s.db")

    background = BackgroundStore(Failing(tmp_path / "s.db"), upkeep=StoreUpkeep(renew=renew))
    background.offer(Notice(1.0, "a", "b"))
    until(lambda: background.state().written == 1)
    background.close()
    background.store.close()
    assert [str(fault) for fault in opened] == ["disk I/O error: check the disk"]
    assert notices(tmp_path / "s.db") == ["b"]


class TestHeldLog:
    def test_a_reader_that_holds_a_transaction_is_told_and_holds_nobody_up(self, tmp_path: Path) -> None:
        kept = storage(tmp_path, retention={"store_gb": 0.01})
        background, keeper = kept._background, kept._housekeeper
        assert background is not None
        store = background.store
        store.write([Notice(1.0, "a", "b")])
        reader = sqlite3.connect(f"file:{kept.path}?mode=ro", uri=True, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM notice").fetchone()
        values = np.random.default_rng(0).standard_normal((20, 1500)).astype(np.float32)
        waited: list[str] = []
        store._connection.set_trace_callback(waited.append)
        at = 1.79e9
        while not keeper.log_is_too_long:
            for _ in range(40):
                store.write([SeriesBlock(CHANNELS, at + np.arange(1500) / 30, values)])
                at += 50.0
            keeper.run(store, kept._keeper.reserve)
            assert store.log_bytes < 60e6
        # Every wait for the log to become free is one that must not wait.
        asked = [text for text in waited if text.startswith(("PRAGMA busy", "PRAGMA wal"))]
        assert [asked[at - 1] for at, text in enumerate(asked) if "checkpoint" in text] == [
            "PRAGMA busy_timeout = 0" for text in asked if "checkpoint" in text
        ]
        store._connection.set_trace_callback(None)
        kept.check()
        kept.offer(SeriesBlock(CHANNELS, at + np.arange(1500) / 30, values))
        assert kept.health().dropped["declined"] == 1
        assert 16e6 < kept.health().log_bytes <= store.log_bytes
        first, second = kept.health().remarks[-2:]
        assert first.startswith("another program reads the store in one long transaction: its log has ")
        assert second == "series, peaks and modes are not stored, for the log has grown too long"
        reader.close()
        keeper.run(store, kept._keeper.reserve)
        assert store.log_bytes < 100_000
        kept.check()
        kept.offer(SeriesBlock(CHANNELS, at + np.arange(1500) / 30, values))
        assert kept.health().dropped["declined"] == 1
        assert kept.close(5.0) == ""
        told = notices(kept.path)
        assert first in told
        assert f"no longer: {second}" in told
