"""Change of the regions by people: applied as a reload is, then written into the configuration file."""

from __future__ import annotations

import logging
import os
import queue
import stat
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path

from tremorscope.files import Stamp, stamp_of
from tremorscope.runtime.configuration.editing import regions_block, with_regions
from tremorscope.runtime.configuration.problems import ConfigurationFault
from tremorscope.runtime.configuration.reading import load_configuration, parse_configuration
from tremorscope.runtime.errors import Fault, OptionFault, OutputFault
from tremorscope.runtime.host.files import whole_file
from tremorscope.runtime.outputs.state import RegionsTaken
from tremorscope.runtime.service.assembly import Components
from tremorscope.runtime.service.reloading import Reloader
from tremorscope.runtime.store.records import Notice
from tremorscope.runtime.vibration.displacement.regions import RegionEdit

log = logging.getLogger("tremorscope.service")

_ANSWER_S = 10.0
"""Most time to wait for the main thread, which looks four times a second."""


class RegionChanges:
    """Changes that any thread may ask for, and the main thread carries out."""

    def __init__(self, file: Path, parts: Components, reloader: Reloader) -> None:
        self._file, self._parts, self._reloader = file, parts, reloader
        self._asked: queue.SimpleQueue[
            tuple[Future[RegionsTaken], Sequence[RegionEdit], Sequence[str], str]
        ] = queue.SimpleQueue()

    def ask(self, wanted: Sequence[RegionEdit], before: Sequence[str], by: str) -> RegionsTaken:
        """Have the regions changed, and wait for it; see `Controls.change_regions`."""
        future: Future[RegionsTaken] = Future()
        self._asked.put((future, wanted, before, by))
        try:
            return future.result(_ANSWER_S)
        except FutureTimeoutError:
            if future.cancel():
                raise OptionFault("the service is busy", remedy="try again in a while") from None
            raise OptionFault("this takes long", remedy="see in the journal how it ends") from None

    def attend(self) -> None:
        """Carry out what was asked for; called by the main thread alone."""
        while not self._asked.empty():
            future, wanted, before, by = self._asked.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(self._change(wanted, before, by))
                except Fault as fault:
                    future.set_exception(fault)

    def _change(self, wanted: Sequence[RegionEdit], before: Sequence[str], by: str) -> RegionsTaken:
        """Apply other regions, then write them: the file never holds what was refused."""
        vibration, measuring = self._reloader.configuration.vibration, self._parts.loop.measuring
        present = [RegionEdit(each.name, each.region()) for each in vibration.regions]
        still = [
            RegionEdit(f"still {n}", each.region(), None, True) for n, each in enumerate(vibration.still, 1)
        ]
        names, seen = sorted(each.name for each in present), sorted(before)
        if seen == names and not any(each.still for each in wanted):  # somebody who knows no still regions
            places = measuring.placed.still if measuring is not None else [each.region for each in still]
            kept = zip(still, places, strict=True)
            wanted = [*wanted, *(RegionEdit(each.name, place, each.name, True) for each, place in kept)]
        elif seen != sorted(names + [each.name for each in still]):
            raise OptionFault(
                "the regions have changed meanwhile", remedy="cancel, and edit them as they are now"
            )
        told = ", ".join(_differences([*present, *still], wanted))
        if not told:
            return RegionsTaken(True, "nothing has changed")
        for each in wanted:
            each.region.check_inside(*self._parts.source.size_px)
        base, stamp = self._base()
        content = with_regions(base, wanted)
        try:
            loaded = parse_configuration(content, self._file)
        except ConfigurationFault as fault:  # its line is one of a file that is not to be
            what = fault.what.removeprefix(f"{self._file}:{fault.problems[0].line}: ")
            raise OptionFault(what, remedy=fault.problems[0].remedy) from None
        outcome = self._reloader.take_over(lambda: loaded)
        if outcome.refused:
            raise OptionFault(outcome.refused, remedy="the regions stay as they were")
        taken = self._keep(content, stamp)
        log.info("regions changed by %s: %s; %s", by, told, taken.text)
        self._parts.storage.offer(Notice(time.time(), "regions", f"changed by {by}: {told}; {taken.text}"))
        return taken

    def _base(self) -> tuple[bytes, Stamp | None]:
        """Content to change, the file's or what is in effect in its place, and the stamp of the file that it is of."""
        if self._reloader.unwritten is not None:
            return self._reloader.unwritten, self._reloader.seen
        stamp = stamp_of(self._file)
        if stamp != self._reloader.seen:
            raise OptionFault(
                f"{self._file} has changed and is not in effect", remedy="reload the service first"
            )
        load_configuration(self._file)  # a file with a mistake is to be mended first
        return self._file.read_bytes(), stamp

    def _keep(self, content: bytes, stamp: Stamp | None) -> RegionsTaken:
        """Write the content that is in effect, or say why it is not written."""
        try:
            if stamp_of(self._file) != stamp:
                raise OutputFault(f"{self._file}: was changed meanwhile", remedy="")
            _rewrite(self._file, content)
        except OutputFault as fault:
            self._reloader.unwritten = content
            text = f"in effect until the next reload or start, because the file was not written: {fault.what}"
            return RegionsTaken(False, text, regions_block(content))
        self._reloader.seen, self._reloader.unwritten = stamp_of(self._file), None
        return RegionsTaken(True, f"written into {self._file}")


def _differences(present: Sequence[RegionEdit], wanted: Sequence[RegionEdit]) -> Iterator[str]:
    edits = {(each.still, each.was): each for each in wanted if each.was is not None}
    for each in present:
        edit = edits.get((each.still, each.name))
        if edit is None:
            yield f"{each.name} deleted"
        elif (edit.name, edit.region) != (each.name, each.region):
            yield f"{each.name} is now {'' if edit.name == each.name else f'{edit.name}, '}{edit.region}"
    for each in wanted:
        if each.was is None:
            yield f"{'a still region' if each.still else each.name} is new, {each.region}"


def _rewrite(file: Path, content: bytes) -> None:
    """Replace a file, or the one that a link leads to, keeping its owner and mode.

    Raises:
        OutputFault: it cannot be written so.
    """
    place = file.resolve()
    with whole_file(place, flush_name=True) as new:
        before = place.stat()
        os.fchown(new.fileno(), before.st_uid, before.st_gid)
        os.fchmod(new.fileno(), stat.S_IMODE(before.st_mode))
        new.write(content)
