"""The buffer of messages: order, bounds, and files that are damaged or belong to others."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tremorscope.runtime.outputs.mqtt.outbox import MessageKind, MqttBuffer
from tremorscope.runtime.store.sqlite_file import StoreFault, StoreFullFault


def open_buffer(directory: Path, summaries: int = 5, edges: int = 100) -> MqttBuffer:
    buffer = MqttBuffer(directory / "b.db", most_summaries=summaries, most_edges=edges)
    buffer.open()
    return buffer


def payloads(buffer: MqttBuffer) -> list[tuple[str, str]]:
    return [(each.kind, each.payload) for each in buffer.after(0, 10_000)]


@settings(max_examples=12, deadline=None)
@given(kinds=st.lists(st.sampled_from(["edge", "summary"]), max_size=30), summaries=st.integers(0, 8))
def test_all_edges_and_the_newest_summaries_are_kept_in_order(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[MessageKind], summaries: int
) -> None:
    buffer = open_buffer(tmp_path_factory.mktemp("b"), summaries)
    for number, kind in enumerate(kinds):
        buffer.add([(kind, "t", str(number))])
    of_summaries = [number for number, kind in enumerate(kinds) if kind == "summary"]
    kept = set(of_summaries[max(0, len(of_summaries) - summaries) :])
    expected = [(kind, str(n)) for n, kind in enumerate(kinds) if kind == "edge" or n in kept]
    assert payloads(buffer) == expected
    assert buffer.dropped == {"summary": len(of_summaries) - len(kept), "edge": 0, "unknown": 0}
    buffer.close()


def test_edges_too_have_a_bound_and_are_counted(tmp_path: Path) -> None:
    buffer = open_buffer(tmp_path, edges=3)
    buffer.add(("edge", "t", str(number)) for number in range(5))
    assert [payload for _, payload in payloads(buffer)] == ["2", "3", "4"]
    assert buffer.dropped["edge"] == 2


def test_what_a_message_costs_does_not_depend_on_how_many_wait(tmp_path: Path) -> None:
    buffer = open_buffer(tmp_path, edges=20_000)
    counts, steps = [], 0

    def step() -> None:
        nonlocal steps
        steps += 1

    for waiting in (10, 10_000):
        buffer.add(("edge", "t", "") for _ in range(waiting))
        assert buffer._opened is not None
        steps = 0
        buffer._opened.set_progress_handler(step, 1)  # called at every instruction of SQLite's machine
        buffer.add([("summary", "t", "")])
        buffer.remove([each.number for each in buffer.after(0, 3)])
        counts.append(steps)
    assert 0 < counts[1] < 1.2 * counts[0]
    assert buffer.waiting() == {"edge": 10_004, "summary": 2}
    assert buffer.after(0, 20_000)[-1].kind == "summary"


def test_numbers_never_come_again(tmp_path: Path) -> None:
    buffer = open_buffer(tmp_path)
    buffer.add([("edge", "t", "a"), ("edge", "t", "b")])
    last = buffer.after(0, 10)[-1].number
    buffer.remove([1, 2])
    assert buffer.waiting() == {}
    buffer.close()
    again = open_buffer(tmp_path)
    again.add([("edge", "t", "c")])
    assert again.after(0, 10)[0].number == last + 1


def test_a_damaged_buffer_is_kept_and_a_new_one_begun(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "b.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    buffer = open_buffer(tmp_path)
    assert buffer.set_aside is not None
    assert buffer.set_aside.read_bytes().endswith(b"\xff" * 100)
    buffer.add([("edge", "t", "a")])
    assert len(buffer.after(0, 10)) == 1
    assert buffer.dropped == {"edge": 0, "summary": 0, "unknown": 1}
    assert "without what waited in it: how many messages is not known" in caplog.text


def test_what_is_sound_in_a_damaged_buffer_is_carried_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    buffer = open_buffer(tmp_path)
    buffer.add([("edge", "t", "a"), ("summary", "t", "b")])
    buffer.note_announced(str(number) * 99 for number in range(100))
    (page,) = buffer._connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'announced'"
    ).fetchone()
    buffer.close()
    with (tmp_path / "b.db").open("r+b") as file:
        file.seek(4096 * (page - 1))
        file.write(b"\xff" * 4096)
    again = open_buffer(tmp_path)
    assert again.set_aside is not None
    assert payloads(again) == [("edge", "a"), ("summary", "b")]
    assert again.dropped == {"edge": 0, "summary": 0, "unknown": 0}
    assert "begun anew, with the 2 messages that waited" in caplog.text
    again.close()


def test_a_loss_is_counted_though_another_buffer_can_be_begun_only_later(tmp_path: Path) -> None:
    buffer = open_buffer(tmp_path)
    buffer.add([("edge", "t", "a"), ("summary", "t", "b")])
    buffer.close()
    (tmp_path / "b.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    open_in_turn = buffer._open

    def open_once_then_find_the_disk_full() -> sqlite3.Connection:
        if buffer.set_aside is not None:
            raise StoreFullFault("full", remedy="free some space")
        return open_in_turn()

    buffer._open = open_once_then_find_the_disk_full  # type: ignore[method-assign]
    with pytest.raises(StoreFullFault):
        buffer.open()
    assert buffer.dropped["edge"] == 0
    buffer._open = open_in_turn  # type: ignore[method-assign]
    buffer.open()
    assert buffer.dropped == {"edge": 1, "summary": 1, "unknown": 0}
    assert buffer.waiting() == {}
    buffer.close()


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "b.db") as other:
        other.execute("CREATE TABLE precious (x)")
    with pytest.raises(StoreFault, match="another program"):
        open_buffer(tmp_path)
    with sqlite3.connect(tmp_path / "b.db") as other:
        assert other.execute("SELECT count(*) FROM precious").fetchone() == (0,)


def test_a_directory_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(StoreFault, match="cannot be written"):
        open_buffer(tmp_path / "nowhere")


def test_a_buffer_that_cannot_be_opened_works_as_soon_as_it_can(tmp_path: Path) -> None:
    buffer = MqttBuffer(tmp_path / "later" / "b.db", most_summaries=10, most_edges=10)
    with pytest.raises(StoreFault, match="cannot be written"):
        buffer.add([("edge", "t", "a")])
    assert (buffer.waiting(), buffer.announced()) == ({}, set())
    (tmp_path / "later").mkdir()
    buffer.add([("edge", "t", "a")])
    assert buffer.waiting() == {"edge": 1}
    buffer.close()


def _remove(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.mkdir()


def _remove_log(directory: Path) -> None:
    (directory / "b.db-wal").unlink()


def _put_another_there(directory: Path) -> None:
    directory.rename(directory.with_name("away"))
    directory.mkdir()
    other = open_buffer(directory)
    other.add([("edge", "t", "of another")])
    other.close()


@pytest.mark.parametrize("take_away", [_remove, _remove_log, _put_another_there])
def test_a_buffer_that_is_taken_away_is_begun_anew_with_what_waits_and_told(
    tmp_path: Path, take_away: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "state"
    directory.mkdir()
    buffer = open_buffer(directory)
    buffer.add(("edge", "t", text) for text in "abc")
    buffer.note_announced({"x"})
    buffer.remove([2])
    take_away(directory)
    buffer.add([("edge", "t", "d")])
    there = {"a", "c", "d"} | ({"of another"} if take_away is _put_another_there else set())
    assert {payload for _, payload in payloads(buffer)} == there
    assert (buffer.openings, buffer.announced()) == (2, {"x"})
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "was taken away while it was written; begun anew" in caplog.text
    # What another process would find after a power cut at this moment.
    shutil.copytree(directory, tmp_path / "cut")
    found = open_buffer(tmp_path / "cut")
    assert {payload for _, payload in payloads(found)} == there
    found.close()
    buffer.close()


def test_numbers_go_on_where_nothing_waits_in_a_buffer_that_is_taken_away(tmp_path: Path) -> None:
    buffer = open_buffer(tmp_path)
    buffer.add([("edge", "t", "a"), ("edge", "t", "b")])
    buffer.remove([1, 2])
    (tmp_path / "b.db").unlink()
    buffer.add([("edge", "t", "c")])
    assert [message.number for message in buffer.after(0, 10)] == [3]
    buffer.close()


def test_messages_wait_in_the_former_file_while_there_is_no_place_for_another(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    directory.mkdir()
    buffer = open_buffer(directory)
    buffer.add([("edge", "t", "a")])
    directory.rename(tmp_path / "away")
    for _ in range(2):
        with pytest.raises(StoreFault, match="cannot be written"):
            buffer.add([("edge", "t", "b")])
    directory.mkdir()
    buffer.add([("edge", "t", "b")])
    assert payloads(buffer) == [("edge", "a"), ("edge", "b")]
    (tmp_path / "away").rename(tmp_path / "state-2")
    buffer.close()


def test_a_buffer_damaged_while_running_is_kept_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []
    buffer = MqttBuffer(tmp_path / "b.db", most_summaries=5, most_edges=10_000, notice=told.append)
    buffer.add(("edge", "t", str(number) * 100) for number in range(3000))
    buffer._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    buffer._connection.execute("PRAGMA cache_size = 1")
    with (tmp_path / "b.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 400_000)
    with pytest.raises(StoreFault, match="damaged"):
        buffer.after(0, 3000)
    buffer.add([("edge", "t", "new")])
    assert payloads(buffer) == [("edge", "new")]
    assert buffer.set_aside is not None
    assert buffer.set_aside.is_file()
    lost = (
        f"it is kept as {buffer.set_aside}; begun anew, with the 0 messages that waited, without 3000 edges"
    )
    assert lost in caplog.text
    assert buffer.dropped == {"edge": 3000, "summary": 0, "unknown": 0}
    assert told == [caplog.messages[-1]]
    buffer.add([("edge", "t", "newer")])
    assert buffer.after(0, 10)[0].number > 3000
    buffer.close()
