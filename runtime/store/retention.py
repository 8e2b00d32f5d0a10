"""Deletion and thinning of old data, by age and by space; clips of unacknowledged alarms go last."""

from __future__ import annotations

import errno
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tremorscope.runtime.store.room import OLD, RoomKeeper, Thinner
from tremorscope.runtime.store.rows import HOUR_S, MINUTE_S
from tremorscope.runtime.store.settings import RetentionSettings
from tremorscope.runtime.store.store import Store

DAY_S = 86_400.0
_ROWS = 256
_ROUNDS = 40
_GIVEN_BACK_BYTES = 16 * 2**20
"""Rows a transaction, transactions a call, and how much the file shrinks a call: a long backlog takes calls."""


@dataclass(frozen=True)
class Deletions:
    """Deletions of one call of ``enforce``."""

    rows: int = 0
    clips: tuple[str, ...] = ()
    clip_bytes: int = 0
    stuck: tuple[str, ...] = ()
    """Clips that are no longer listed but whose files could not be deleted; tried again at the next start."""
    gave_way: Mapping[str, int] = field(default_factory=dict)
    """Rows deleted for lack of room, by kind; see `runtime.store.room`."""
    excess_bytes: int = 0
    """Bytes beyond ``store_gb`` for which nothing more can be deleted."""


class Thinning:
    """Progress through the tables that are thinned, kept from one call of ``enforce`` to the next."""

    def __init__(self) -> None:
        self.by_age = (Thinner("peak"), Thinner("mode", same="label"))
        self.room = RoomKeeper()


def enforce(
    store: Store,
    clips: Path,
    policy: RetentionSettings,
    now_s: float,
    *,
    wanted_bytes: int = 0,
    by_age: bool = True,
    thinning: Thinning | None = None,
) -> Deletions:
    """Delete what is too old or too much, in bounded pieces; call it once a minute.

    A clip leaves the list before its file is deleted, so none is ever listed that is not there. Clips of alarms
    that nobody has acknowledged stay beyond their age, and go for lack of space only after all others.

    Args:
        store: where it is listed.
        clips: the directory of the clips.
        policy: what to keep.
        now_s: Unix time. What was stored before a `ClockJump` is as old as it was then, and what has passed since.
        wanted_bytes: free so much of the disk besides: clips, then series older than a day, then the clips of
        unacknowledged alarms.
        by_age: forget what is too old; False where the clock cannot be believed.
        thinning: progress of earlier calls; None begins anew.

    Raises:
        StoreFault: the store cannot be written.
    """
    thinning = thinning or Thinning()
    ages = _ages(policy) if by_age else []
    rows = sum(_delete(store, statement, now_s, days * DAY_S) for statement, days in ages)
    for thinner in thinning.by_age if by_age else ():
        rows += thinner.run(store, now_s, policy.spectra_full_days * DAY_S, rounds=_ROUNDS)[0]
    shrinking = thinning.room.shrink(store, policy.store_bytes)
    rows += shrinking.rows
    saved = _saved(store, now_s, policy.clips_days * DAY_S if by_age else math.inf)
    done = _remove_clips(store, clips, _too_old_or_too_many(saved, policy, wanted_bytes))
    freed = done.clip_bytes
    if wanted_bytes > freed:
        # A clock that is wrong by years must not make all series too young, and clips go in their stead.
        deleted = _delete(store, _BLOCKS, max(now_s, _newest_s(store)), DAY_S, rounds=1)
        if deleted == 0 and freed == 0:
            done = _remove_clips(store, clips, _oldest_unseen(_saved(store, now_s, math.inf), wanted_bytes))
        rows += deleted
    if rows or store.file_bytes > policy.store_bytes:
        store.give_back(_GIVEN_BACK_BYTES)
    return replace(done, rows=rows, gave_way=shrinking.gave_way, excess_bytes=shrinking.excess_bytes)


def _oldest(table: str, key: str, time: str, also: str = "1") -> str:
    """The statement that deletes the oldest rows of a table that are too old."""
    return (
        f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE {OLD.format(time)} AND {also} "
        f"ORDER BY {time} LIMIT {_ROWS})"
    )


_BLOCKS = _oldest("block", "id", "end_s")
_MINUTES, _HOURS = (
    _oldest("summary", "channel, period_s, start_s", "start_s", f"period_s = {period_s}")
    for period_s in (MINUTE_S, HOUR_S)
)
_ALARMS = _oldest("alarm", "id", "raised_s", "cleared_s IS NOT NULL AND acknowledged_s IS NOT NULL")
_EVENTS = _oldest(
    "event",
    "name",
    "time_s",
    "NOT EXISTS (SELECT 1 FROM clip WHERE event = name AND state IN ('saved', 'recording'))",
)
_UNSEEN = (
    "EXISTS (SELECT 1 FROM event_trigger JOIN alarm ON alarm.name = event_trigger.alarm "
    "AND raised_s = alarm_raised_s WHERE event_trigger.event = clip.event AND acknowledged_s IS NULL)"
)


def _ages(policy: RetentionSettings) -> list[tuple[str, float]]:
    return [
        (_BLOCKS, policy.series_days),
        (_MINUTES, policy.minutes_days),
        (_HOURS, policy.hours_days),
        (_oldest("peak", "id", "time_s"), policy.spectra_days),
        (_oldest("mode", "id", "time_s"), policy.spectra_days),
        (_oldest("notice", "id", "time_s"), policy.alarms_days),
        (_ALARMS, policy.alarms_days),
        (_EVENTS, policy.alarms_days),
    ]


def _delete(store: Store, statement: str, now_s: float, age_s: float, *, rounds: int = _ROUNDS) -> int:
    deleted = 0
    for _ in range(rounds):
        with store.transaction() as connection:
            count = connection.execute(statement, {"now": now_s, "age": age_s}).rowcount
        deleted += count
        if count < _ROWS:
            break
    return deleted


def _newest_s(store: Store) -> float:
    """Time of the newest sample."""
    with store.transaction() as connection:
        return float(connection.execute("SELECT ifnull(max(end_s), 0) FROM block").fetchone()[0])


@dataclass(frozen=True)
class _SavedClip:
    file: str
    nbytes: int
    is_old: bool
    unseen: bool
    """It belongs to an alarm that nobody has acknowledged."""


def _saved(store: Store, now_s: float, age_s: float) -> list[_SavedClip]:
    """The saved clips in the order in which they may go: what somebody must still see last, else as they came."""
    with store.transaction() as connection:
        rows = connection.execute(
            f"SELECT file, nbytes, {OLD.format('end_s')}, {_UNSEEN} AS unseen FROM clip WHERE state = 'saved' "
            "ORDER BY unseen, (SELECT rowid FROM event WHERE name = clip.event), file",
            {"now": now_s, "age": age_s},
        ).fetchall()
    return [
        _SavedClip(file, int(nbytes), bool(is_old), bool(unseen)) for file, nbytes, is_old, unseen in rows
    ]


def _too_old_or_too_many(
    saved: list[_SavedClip], policy: RetentionSettings, wanted_bytes: int
) -> Iterator[tuple[_SavedClip, str]]:
    excess = sum(clip.nbytes for clip in saved) - policy.clips_bytes
    for clip in saved:
        too_old = clip.is_old and not clip.unseen
        wanted = wanted_bytes > 0 and not clip.unseen
        if too_old or wanted or excess > 0:
            excess -= clip.nbytes
            wanted_bytes -= clip.nbytes
            yield clip, f"older than {policy.clips_days:g} days" if too_old else "to make room"


def _oldest_unseen(saved: list[_SavedClip], wanted_bytes: int) -> Iterator[tuple[_SavedClip, str]]:
    for clip in saved:
        if wanted_bytes > 0:
            wanted_bytes -= clip.nbytes
            yield clip, "to make room"


def _remove_clips(store: Store, clips: Path, chosen: Iterable[tuple[_SavedClip, str]]) -> Deletions:
    removed, stuck, freed = [], [], 0
    for clip, reason in chosen:
        _unlist(store, clip.file, reason)
        if _unlink(clips / clip.file):
            removed.append(clip.file)
            freed += clip.nbytes
        else:
            stuck.append(clip.file)
    return Deletions(clips=tuple(removed), clip_bytes=freed, stuck=tuple(stuck))


def _unlist(store: Store, name: str, reason: str) -> None:
    with store.transaction() as connection:
        connection.execute("UPDATE clip SET state = 'removed', detail = ? WHERE file = ?", (reason, name))


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except OSError as error:
        return error.errno == errno.ENOENT
    return True
