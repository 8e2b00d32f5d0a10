"""What is forgotten and when: the oldest first, by age and by space, and what somebody must still see last."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from runtime.store.settings import RetentionSettings
from runtime.store.store import Store
from runtime.store.summaries import HOUR_S, MINUTE_S

DAY_S = 86_400.0
_ROWS = 256
_ROUNDS = 40
_GIVEN_BACK_BYTES = 16 * 2**20
"""Rows a transaction, transactions a call, and how much the file shrinks a call: a long backlog takes calls."""


@dataclass(frozen=True)
class Forgotten:
    """What one call of ``enforce`` deleted."""

    rows: int = 0
    clips: tuple[str, ...] = ()
    clip_bytes: int = 0
    stuck: tuple[str, ...] = ()
    """Clips that are no longer listed but whose files could not be deleted; tried again at the next start."""


def enforce(
    store: Store, clips: Path, policy: RetentionSettings, now_s: float, *, wanted_bytes: int = 0
) -> Forgotten:
    """Delete what is too old or too much, in bounded pieces; call it once a minute.

    A clip leaves the list before its file is deleted, so none is ever listed that is not there. Clips of alarms
    that nobody has acknowledged stay beyond their age, and go for lack of space only after all others.

    Args:
        store: where it is listed.
        clips: the directory of the clips.
        policy: what to keep.
        now_s: Unix time. It must be right: a clock that is years ahead makes everything old.
        wanted_bytes: free so much of the disk besides: clips, then series older than a day, then the clips of
        unacknowledged alarms.

    Raises:
        StoreFault: the store cannot be written.
    """
    rows = sum(_delete(store, statement, now_s - days * DAY_S) for statement, days in _ages(policy))
    rows += _shrink(store, policy.store_bytes)
    done = _remove_clips(store, clips, _too_old_or_too_many(_saved(store), policy, now_s, wanted_bytes))
    freed = done.clip_bytes
    if wanted_bytes > freed:
        deleted = _delete(store, _BLOCKS, now_s - DAY_S, rounds=1)
        if deleted == 0 and freed == 0:
            done = _remove_clips(store, clips, _oldest_unseen(_saved(store), wanted_bytes))
        rows += deleted
    if rows:
        store.give_back(_GIVEN_BACK_BYTES)
    return replace(done, rows=rows)


_BLOCKS = "DELETE FROM block WHERE id IN (SELECT id FROM block WHERE end_s < ? ORDER BY end_s LIMIT ?)"
_SUMMARIES = (
    "DELETE FROM summary WHERE (channel, period_s, start_s) IN (SELECT channel, period_s, start_s FROM summary "
    "WHERE period_s = {} AND start_s < ? ORDER BY start_s LIMIT ?)"
)
_MINUTES, _HOURS = _SUMMARIES.format(MINUTE_S), _SUMMARIES.format(HOUR_S)
_TIMED = "DELETE FROM {0} WHERE id IN (SELECT id FROM {0} WHERE time_s < ? ORDER BY time_s LIMIT ?)"
_ALARMS = (
    "DELETE FROM alarm WHERE id IN (SELECT id FROM alarm WHERE raised_s < ? AND cleared_s IS NOT NULL "
    "AND acknowledged_s IS NOT NULL ORDER BY raised_s LIMIT ?)"
)
_EVENTS = (
    "DELETE FROM event WHERE name IN (SELECT name FROM event WHERE time_s < ? AND NOT EXISTS (SELECT 1 FROM clip "
    "WHERE event = name AND state IN ('saved', 'recording')) ORDER BY time_s LIMIT ?)"
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
        (_TIMED.format("peak"), policy.spectra_days),
        (_TIMED.format("mode"), policy.spectra_days),
        (_TIMED.format("notice"), policy.alarms_days),
        (_ALARMS, policy.alarms_days),
        (_EVENTS, policy.alarms_days),
    ]


def _delete(store: Store, statement: str, before_s: float, *, rounds: int = _ROUNDS) -> int:
    deleted = 0
    for _ in range(rounds):
        with store.transaction() as connection:
            count = connection.execute(statement, (before_s, _ROWS)).rowcount
        deleted += count
        if count < _ROWS:
            break
    return deleted


def _shrink(store: Store, most_bytes: int) -> int:
    deleted = 0
    for statement in (_BLOCKS, _MINUTES):
        for _ in range(_ROUNDS):
            if store.used_bytes <= most_bytes:
                return deleted
            count = _delete(store, statement, float("inf"), rounds=1)
            deleted += count
            if count == 0:
                break
    return deleted


@dataclass(frozen=True)
class _SavedClip:
    file: str
    nbytes: int
    end_s: float
    unseen: bool
    """It belongs to an alarm that nobody has acknowledged."""


def _saved(store: Store) -> list[_SavedClip]:
    """The saved clips in the order in which they may go: what somebody must still see last, else by age."""
    with store.transaction() as connection:
        rows = connection.execute(
            f"SELECT file, nbytes, end_s, {_UNSEEN} AS unseen FROM clip WHERE state = 'saved' "
            "ORDER BY unseen, start_s, file"
        ).fetchall()
    return [_SavedClip(file, int(nbytes), float(end_s), bool(unseen)) for file, nbytes, end_s, unseen in rows]


def _too_old_or_too_many(
    saved: list[_SavedClip], policy: RetentionSettings, now_s: float, wanted_bytes: int
) -> Iterator[tuple[_SavedClip, str]]:
    excess = sum(clip.nbytes for clip in saved) - policy.clips_bytes
    for clip in saved:
        too_old = not clip.unseen and clip.end_s < now_s - policy.clips_days * DAY_S
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


def _remove_clips(store: Store, clips: Path, chosen: Iterable[tuple[_SavedClip, str]]) -> Forgotten:
    removed, stuck, freed = [], [], 0
    for clip, reason in chosen:
        _unlist(store, clip.file, reason)
        if _unlink(clips / clip.file):
            removed.append(clip.file)
            freed += clip.nbytes
        else:
            stuck.append(clip.file)
    return Forgotten(clips=tuple(removed), clip_bytes=freed, stuck=tuple(stuck))


def _unlist(store: Store, name: str, reason: str) -> None:
    with store.transaction() as connection:
        connection.execute("UPDATE clip SET state = 'removed', detail = ? WHERE file = ?", (reason, name))


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except OSError as error:
        return error.errno == errno.ENOENT
    return True
