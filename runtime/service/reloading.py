"""Reload of the configuration while the service runs: differences that take effect at once, and those after a
restart.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from tremorscope.files import Stamp, stamp_of
from tremorscope.runtime.configuration.problems import ConfigurationFault
from tremorscope.runtime.configuration.reading import LoadedConfiguration, load_configuration
from tremorscope.runtime.configuration.schema import Configuration
from tremorscope.runtime.configuration.yaml_document import KeyPath, dotted
from tremorscope.runtime.errors import Fault
from tremorscope.runtime.health import ReloadHealth
from tremorscope.runtime.host.systemd import Notifier
from tremorscope.runtime.service.assembly import Components
from tremorscope.runtime.service.reporting import status_line
from tremorscope.runtime.store.records import Notice

_LIVE = ("magnification", "vibration", "reload_on_change")
"""Sections that take effect while the service runs, but for the keys in ``_NOT_LIVE``."""
_NOT_LIVE = {("magnification", key) for key in ("bundle", "int8_bundle", "runtime", "engines", "threads")}
"""Keys of these sections that need a restart."""


@dataclass(frozen=True)
class Changes:
    """Differences from one configuration to another."""

    configuration: Configuration
    """The present one with all changes that take effect now."""
    applied: tuple[str, ...]
    """Changes that take effect now, a line each."""
    needs_restart: tuple[str, ...]
    """Changes that take effect after a restart, a line each."""
    regions: bool = False
    """True where measuring must begin anew."""
    analysis: bool = False
    """True where the analysis changes."""
    alarms: bool = False
    magnification: bool = False

    @property
    def any(self) -> bool:
        """True where there is a difference."""
        return bool(self.applied or self.needs_restart)


def changes_between(present: Configuration, new: Configuration) -> Changes:
    """Compare a new configuration with the present one."""
    differences = list(_differences(present.model_dump(), new.model_dump(), ()))
    live = [each for each in differences if _is_live(each[0])]
    others = [each for each in differences if not _is_live(each[0])]
    magnification = new.magnification.model_copy(
        update={key: getattr(present.magnification, key) for _, key in _NOT_LIVE}
    )
    keys = {path[:2] for path, _, _ in live}
    measured = {("vibration", key) for key in ("regions", "still", "scale", "window_s")}
    analysed = {
        ("vibration", key)
        for key in ("analyse_every_s", "analyse_over_s", "frequencies_hz", "modes", "temperature_file")
    }
    return Changes(
        present.model_copy(
            update={
                "magnification": magnification,
                "vibration": new.vibration,
                "reload_on_change": new.reload_on_change,
            }
        ),
        applied=tuple(_line(*each) for each in live),
        needs_restart=tuple(_line(*each) for each in others),
        regions=bool(keys & measured),
        analysis=bool(keys & (measured | analysed)),
        alarms=any(path[0] == "vibration" for path, _, _ in live),
        magnification=any(path[0] == "magnification" for path, _, _ in live),
    )


def _is_live(path: KeyPath) -> bool:
    return path[0] in _LIVE and path[:2] not in _NOT_LIVE


def _differences(before: Any, after: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in (*before, *(each for each in after if each not in before)):
            yield from _differences(before.get(key), after.get(key), (*path, key))
    elif before != after:
        yield path, before, after


def _line(path: KeyPath, before: Any, after: Any) -> str:
    values = [_short(before), _short(after)]
    return f"{dotted(path)}: {values[0]} -> {values[1]}" if None not in values else dotted(path)


def _short(value: Any) -> str | None:
    """A value that fits into a line, or None."""
    if isinstance(value, (dict, list, tuple)) and value and isinstance(next(iter(value)), (dict, str)):
        return None
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else None


log = logging.getLogger("tremorscope.service")


class Reloader:
    """Applies changes of the configuration file; called by the main thread alone."""

    def __init__(self, loaded: LoadedConfiguration, parts: Components, notifier: Notifier) -> None:
        self._file, self._parts, self._notifier = loaded.file, parts, notifier
        self.configuration = loaded.configuration
        """Configuration in effect: of a changed file, only what could be applied."""
        self.changing = threading.Lock()
        """Held while the magnification is changed, by a reload or by hand."""
        self.seen = stamp_of(self._file)
        """The file as it was last read, or written by the service itself."""
        self.unwritten: bytes | None = None
        """Content that is in effect in place of the file's, because it could not be written."""
        self._resting: Stamp | None = None
        self._refused = Notice(0.0, "configuration", "", count=0)
        """The latest refusal, with the count of repetitions that are not yet stored."""

    def look(self) -> None:
        """Reload if the file has changed, and not again since the last call, as it does while it is being written."""
        self._store_repeats()
        stamp = stamp_of(self._file)
        if stamp == self.seen or not self.configuration.reload_on_change:
            self._resting = None
            return
        if stamp is not None and stamp == self._resting:
            self.reload()
        self._resting = stamp

    def reload(self) -> ReloadHealth:
        """Read the file and apply what can change now; returns the outcome. A file with an error changes nothing."""
        self.seen = stamp_of(self._file)
        outcome = self.take_over(lambda: load_configuration(self._file))
        if not outcome.refused:
            self.unwritten = None
        return outcome

    def take_over(self, load: Callable[[], LoadedConfiguration]) -> ReloadHealth:
        """Apply of a configuration what can change now; returns the outcome."""
        # systemd must not take the end of a reload for that of the start.
        is_ready = self._parts.loop.frames > 0
        if is_ready:
            self._notifier.reloading("reading the configuration again")
        try:
            loaded = load()
            with self.changing:
                changes = changes_between(self.configuration, loaded.configuration)
                self._apply(changes)
        except ConfigurationFault as fault:
            outcome = ReloadHealth(time.time(), refused="; ".join(fault.lines))
        except Fault as fault:
            outcome = ReloadHealth(time.time(), refused=str(fault))
        else:
            self.configuration = changes.configuration
            outcome = ReloadHealth(time.time(), changes.applied, changes.needs_restart)
        self._report(outcome)
        board = self._parts.board
        board.update(reload=outcome)
        if is_ready:
            self._notifier.ready(status_line(board.snapshot()))
        return outcome

    def _apply(self, changes: Changes) -> None:
        """Apply all changes that take effect now, or none where any of them is refused."""
        parts, vibration = self._parts, changes.configuration.vibration
        # A reload ends adjustments by hand, also where the file is unchanged in these keys.
        present = parts.magnifying.settings
        if changes.magnification or present != changes.configuration.magnification:
            parts.magnifying.configure(changes.configuration.magnification)
        if changes.alarms:
            parts.alarms.use(vibration, parts.clock.now_s())
        if changes.regions:
            parts.measuring, parts.analyst = parts.build_measuring(vibration)
        if changes.applied:
            parts.measure_by(changes.configuration)
        if changes.regions:
            parts.loop.use(parts.measuring)
        elif changes.alarms and parts.loop.measuring is not None:
            parts.loop.measuring.judge_by(vibration)
        if changes.analysis and not changes.regions and parts.analyst is not None:
            parts.analyst = parts.build_analyst(vibration)

    def _store_repeats(self) -> None:
        if self._refused.count:
            self._parts.storage.offer(self._refused)
            self._refused = replace(self._refused, count=0)

    def _report(self, outcome: ReloadHealth) -> None:
        text = outcome.refused and f"refused: {outcome.refused}"
        if text and text == self._refused.text:  # as of a program that asks a hundred times a second
            self._refused = replace(self._refused, time_s=time.time(), count=self._refused.count + 1)
            return
        self._refused = Notice(0.0, "configuration", text, count=0)
        if outcome.refused:
            log.error("configuration refused, all goes on as before: %s", outcome.refused)
        for text in outcome.applied:
            log.info("changed: %s", text)
        for text in outcome.needs_restart:
            log.warning("needs a restart: %s", text)
        if not (outcome.refused or outcome.applied or outcome.needs_restart):
            log.info("the configuration has not changed")
        words = [outcome.refused and f"refused: {outcome.refused}", *outcome.applied]
        words += [f"needs a restart: {text}" for text in outcome.needs_restart]
        if any(words):
            text = "; ".join(word for word in words if word)
            self._parts.storage.offer(Notice(time.time(), "configuration", text))
