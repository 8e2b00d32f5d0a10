"""Reads the configuration again while the service runs, and takes over what can be taken over."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from tremorscope.runtime.configuration.problems import ConfigurationFault
from tremorscope.runtime.configuration.reading import LoadedConfiguration, load_configuration
from tremorscope.runtime.errors import Fault
from tremorscope.runtime.health import ReloadHealth
from tremorscope.runtime.host.systemd import Notifier
from tremorscope.runtime.service.assembly import Parts
from tremorscope.runtime.service.changes import Changes, changes_between
from tremorscope.runtime.service.reporting import status_line
from tremorscope.runtime.store.records import Notice

log = logging.getLogger("tremorscope.service")

Stamp = tuple[int, int, int]
"""What tells a changed file: time, size, inode."""


class Reloader:
    """Follows the configuration file; the main thread alone calls it."""

    def __init__(self, loaded: LoadedConfiguration, parts: Parts, notifier: Notifier) -> None:
        self._file, self._parts, self._notifier = loaded.file, parts, notifier
        self.configuration = loaded.configuration
        """What is followed at present: of a changed file, only what could be taken over."""
        self.changing = threading.Lock()
        """Held while the magnification is changed, by a reload or by hand."""
        self._seen = _stamp(self._file)
        self._resting: Stamp | None = None

    def look(self) -> None:
        """Reload if the file has changed and has rested since the look before: while it is written it changes again."""
        stamp = _stamp(self._file)
        if stamp == self._seen or not self.configuration.reload_on_change:
            self._resting = None
            return
        if stamp is not None and stamp == self._resting:
            self.reload()
        self._resting = stamp

    def reload(self) -> ReloadHealth:
        """Read the file and take over what can be taken over; tells what cannot. One with a mistake changes nothing."""
        is_ready = (
            self._parts.loop.frames > 0
        )  # systemd must not take the end of a reload for that of the start
        if is_ready:
            self._notifier.reloading("reading the configuration again")
        self._seen = _stamp(self._file)
        try:
            loaded = load_configuration(self._file)
            with self.changing:
                changes = changes_between(self.configuration, loaded.configuration)
                self._apply(changes)
        except ConfigurationFault as fault:
            told = ReloadHealth(time.time(), refused="; ".join(fault.lines))
        except Fault as fault:
            told = ReloadHealth(time.time(), refused=str(fault))
        else:
            self.configuration = changes.configuration
            told = ReloadHealth(time.time(), changes.applied, changes.needs_restart)
        self._tell(told)
        board = self._parts.board
        board.update(reload=told)
        if is_ready:
            self._notifier.ready(status_line(board.snapshot()))
        return told

    def _apply(self, changes: Changes) -> None:
        """Take over what can be taken over, or nothing where any of it cannot be."""
        parts, vibration = self._parts, changes.configuration.vibration
        # Adjustments by hand end with a reload, also where the file says of them what it said before.
        present = parts.magnifying.settings
        if changes.magnification or present != changes.configuration.magnification:
            parts.magnifying.configure(changes.configuration.magnification)
        if changes.alarms:
            parts.alarms.use(vibration, parts.clock.now_s())
        if changes.regions:
            measuring, parts.analyst = parts.build_measuring(vibration)
            parts.loop.use(measuring)
        elif changes.analysis and parts.analyst is not None:
            parts.analyst = parts.build_analyst(vibration)

    def _tell(self, told: ReloadHealth) -> None:
        if told.refused:
            log.error("configuration refused, all goes on as before: %s", told.refused)
        for text in told.applied:
            log.info("changed: %s", text)
        for text in told.needs_restart:
            log.warning("needs a restart: %s", text)
        if not (told.refused or told.applied or told.needs_restart):
            log.info("the configuration has not changed")
        words = [told.refused and f"refused: {told.refused}", *told.applied]
        words += [f"needs a restart: {text}" for text in told.needs_restart]
        if any(words):
            text = "; ".join(word for word in words if word)
            self._parts.storage.offer(Notice(time.time(), "configuration", text))


def _stamp(file: Path) -> Stamp | None:
    """None where it is not there."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
