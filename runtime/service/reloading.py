"""Reload of the configuration while the service runs."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from pathlib import Path

from tremorscope.runtime.configuration.problems import ConfigurationFault
from tremorscope.runtime.configuration.reading import LoadedConfiguration, load_configuration
from tremorscope.runtime.errors import Fault
from tremorscope.runtime.health import ReloadHealth
from tremorscope.runtime.host.systemd import Notifier
from tremorscope.runtime.service.assembly import Components
from tremorscope.runtime.service.changes import Changes, changes_between
from tremorscope.runtime.service.reporting import status_line
from tremorscope.runtime.store.records import Notice

log = logging.getLogger("tremorscope.service")

Stamp = tuple[int, int, int]
"""Identity of a file's content: modification time in ns, size, inode."""


class Reloader:
    """Applies changes of the configuration file; called by the main thread alone."""

    def __init__(self, loaded: LoadedConfiguration, parts: Components, notifier: Notifier) -> None:
        self._file, self._parts, self._notifier = loaded.file, parts, notifier
        self.configuration = loaded.configuration
        """Configuration in effect: of a changed file, only what could be applied."""
        self.changing = threading.Lock()
        """Held while the magnification is changed, by a reload or by hand."""
        self._seen = _stamp(self._file)
        self._resting: Stamp | None = None
        self._refused = Notice(0.0, "configuration", "", count=0)
        """The latest refusal, with the count of repetitions that are not yet stored."""

    def look(self) -> None:
        """Reload if the file has changed, and not again since the last call, as it does while it is being written."""
        self._store_repeats()
        stamp = _stamp(self._file)
        if stamp == self._seen or not self.configuration.reload_on_change:
            self._resting = None
            return
        if stamp is not None and stamp == self._resting:
            self.reload()
        self._resting = stamp

    def reload(self) -> ReloadHealth:
        """Read the file and apply what can change now; returns the outcome. A file with an error changes nothing."""
        # systemd must not take the end of a reload for that of the start.
        is_ready = self._parts.loop.frames > 0
        if is_ready:
            self._notifier.reloading("reading the configuration again")
        self._seen = _stamp(self._file)
        try:
            loaded = load_configuration(self._file)
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
            measuring, parts.analyst = parts.build_measuring(vibration)
            parts.loop.use(measuring)
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


def _stamp(file: Path) -> Stamp | None:
    """Stamp of a file; None where it does not exist."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
