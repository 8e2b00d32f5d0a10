"""Opening of the service's store, and of another in its place where it is damaged, taken away or fails for long."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from tremorscope.runtime.store.faults import StoreDamagedFault, StoreFault, StoreGoneFault
from tremorscope.runtime.store.placement import mount_trouble
from tremorscope.runtime.store.reserve import Reserve
from tremorscope.runtime.store.settings import StoreSettings
from tremorscope.runtime.store.store import Store, open_or_set_aside, replace_damaged

log = logging.getLogger("tremorscope.store")

STORE_NAME, CLIPS_NAME, RESERVE_NAME = "tremorscope.db", "clips", ".reserve"


def state_directory(settings: StoreSettings) -> Path:
    """Directory of store and clips: as configured, as systemd states, or in the working directory."""
    if settings.directory is not None:
        return settings.directory
    stated = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(stated) if stated else Path("tremorscope-state")


class StoreKeeper:
    """Store's file and clips' directory, on a disk that must be mounted where that is configured."""

    def __init__(
        self,
        directory: Path,
        settings: StoreSettings,
        *,
        notice: Callable[[str, str], None],
        unix_clock: Callable[[], float],
    ) -> None:
        self.directory, self._settings = directory, settings
        self.path, self.clips = directory / STORE_NAME, directory / CLIPS_NAME
        self.reserve = Reserve(directory / RESERVE_NAME, settings.reserve_mb << 20)
        self._notice, self._unix_clock = notice, unix_clock
        self.replaced: Counter[str] = Counter()
        """Stores that were replaced since the start, by cause: damaged, gone, failing."""

    def mount_trouble(self) -> str:
        """Reason why the directory does not lie on a mounted disk as ``store.require_mount`` wants it."""
        try:
            return mount_trouble(self.directory, self._settings.require_mount)
        except OSError as error:
            return f"{self.directory} cannot be reached ({(error.strerror or str(error)).lower()})"

    def open(self) -> Store:
        """Open the store, made with its directory if it is not there; a damaged one is set aside.

        Raises:
            StoreFault: it cannot be opened at present.
        """
        self._make_directory()
        store, damaged = open_or_set_aside(self.path, self._label(), self.reserve)
        if damaged is not None:
            self._tell_damage(damaged)
        return store

    def renew(self, store: Store, fault: StoreFault) -> Store:
        """Close a store with a fault, and open another in its place; a store that is all right stays.

        Raises:
            StoreFault: none can be opened at present.
        """
        in_place, lost = store.is_in_place and not self.mount_trouble(), isinstance(fault, StoreGoneFault)
        if lost and in_place and store.is_open:
            return store
        store.close()
        if isinstance(fault, StoreDamagedFault) and in_place:
            log.error("%s", fault)
            self._make_directory()
            new, damaged = replace_damaged(self.path, self._label())
            self.replaced["damaged"] += 1
            self._tell_damage(damaged)
            return new
        is_there = self.path.exists()
        new = self.open()
        if in_place and not lost:
            self.replaced["failing"] += 1
            self._notice("store", f"the store was opened anew, for it could not be written ({fault.what})")
        else:
            self.replaced["gone"] += 1
            what = "it lies there again" if is_there else f"a new one was begun at {self.path}"
            self._notice("store", f"the store was taken away while it was written; {what}")
        return new

    def make_clips_directory(self) -> None:
        """Make the directory of the clips where it is gone, and tell it.

        Raises:
            StoreFault: it cannot be made.
        """
        if not self.clips.is_dir():
            self._make_directory()
            self._notice("clips", f"the directory {self.clips} was gone; it is made again, without its clips")

    def _make_directory(self) -> None:
        if trouble := self.mount_trouble():
            remedy = "mount the disk, or change store.require_mount"
            raise StoreFault(f"{self.path}: {trouble}", remedy=remedy)
        try:
            self.clips.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise StoreFault(
                f"{self.clips}: cannot be created ({reason})", remedy="name a directory that may be written"
            ) from None

    def _tell_damage(self, kept: Path) -> None:
        self._notice("store", f"the store was damaged; it is kept as {kept}, and a new one was begun")

    def _label(self) -> str:
        return datetime.fromtimestamp(self._unix_clock(), timezone.utc).strftime("%Y%m%dT%H%M%SZ")
