"""Engines of the service: opened once for each load level, and used for one magnifier after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from tremorscope.runtime.engines.interface.bundle import Bundle, open_bundle
from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.engines.selection import Runtime, open_runtime
from tremorscope.runtime.engines.tensorrt.upgrading import find_stale
from tremorscope.runtime.engines.upkeep import EngineUpkeep, WaitingRuntime
from tremorscope.runtime.errors import BundleFault, EngineFault, Fault
from tremorscope.runtime.frames.copies import CopyAccount
from tremorscope.runtime.magnification.factory import Magnification, filter_design
from tremorscope.runtime.magnification.load import LoadLevel
from tremorscope.runtime.magnification.magnifier import FrameMagnifier, check_amplification
from tremorscope.runtime.magnification.settings import MagnificationSettings
from tremorscope.runtime.vibration.displacement.regions import Region

log = logging.getLogger("tremorscope.magnification")


def open_configured_runtime(
    settings: MagnificationSettings,
    bundle: Bundle,
    size: tuple[int, int],
    account: CopyAccount,
    upkeep: EngineUpkeep,
    *,
    is_first: bool = False,
) -> Runtime:
    """Open the runtime that the settings ask for.

    Engines that an upgrade has left behind are handed to ``upkeep``, which asks for a restart if it ``is_first`` that
    needs them. Meanwhile ``auto`` takes the CPU, and ``tensorrt`` magnifies nothing.

    Raises:
        EngineFault: the runtime that was named is not available.
    """
    if settings.runtime != "onnxruntime":
        frame_size = FrameSize(width_px=size[0], height_px=size[1])
        on_gpu = bundle.for_gpu()
        stale = find_stale(on_gpu, frame_size, None, settings.engines)
        if stale is not None:
            upkeep.add(stale, needs_restart=is_first)
            if settings.runtime == "tensorrt":
                return WaitingRuntime(stale, on_gpu, upkeep)
    return open_runtime(
        settings.runtime,
        bundle,
        size,
        threads=settings.threads,
        engines=settings.engines,
        account=account,
    )


def open_int8_bundle(settings: MagnificationSettings) -> Bundle:
    """Open the bundle in INT8 for load levels that ask for it.

    Raises:
        BundleFault: none is named, it is missing or damaged, or it is not in INT8.
    """
    if settings.int8_bundle is None:
        raise BundleFault(
            "magnification.int8_bundle names no bundle",
            remedy="make one with `tremorscope calibrate quantise`",
        )
    bundle = open_bundle(settings.int8_bundle)
    if bundle.manifest.precision != "int8":
        raise BundleFault(
            f"{settings.int8_bundle}: is in {bundle.manifest.precision}",
            remedy="name a bundle that `tremorscope calibrate quantise` wrote",
        )
    return bundle


def check_magnification(wanted: Magnification, bundle: Bundle, rate_hz: float) -> None:
    """Check that a magnification can be made at a rate, without an engine.

    Raises:
        OptionFault: an amplification or a band out of range.
        BundleFault: the bundle has no graph for it.
    """
    check_amplification(wanted.amplification, bundle.manifest.amplification)
    bundle.graph_path("band" if wanted.filters else "pairwise")
    filter_design(wanted)(rate_hz)


class Maker(Protocol):
    """Makes magnifiers; used by one thread."""

    def prepare(self, wanted: Magnification) -> None:
        """Open the engine that a magnification needs, which may take seconds."""

    def make(self, wanted: Magnification, rate_hz: float) -> FrameMagnifier:
        """A magnifier that begins with the next frame."""

    def close(self) -> None:
        """Close all engines; their magnifiers must not be used any more."""


EngineFactory = Callable[[Magnification, LoadLevel], Maker]
"""Opens engines of its own for a magnification at a load level; raises a Fault or MemoryError where it cannot."""

_Load = tuple[str, float, tuple[Region, ...]]
"""Precision, share of the region, and the regions where that share is below 1."""
_FULL_LOAD: _Load = ("configured", 1.0, ())


class EnginePool:
    """Engines of the live magnification by load level, opened once each; used by one thread.

    Engines for a lighter load are kept, for heat comes and goes every day, but not those for regions that are no longer
    magnified.
    """

    def __init__(self, open_engines: EngineFactory) -> None:
        self._open_engines = open_engines
        self._by_load: dict[_Load, Maker] = {}
        self._retired: list[Maker] = []
        self._load = _FULL_LOAD
        self.present: Maker | None = None
        """Engines for the present load; None before `open` and after `close`."""

    @property
    def is_int8(self) -> bool:
        """True while engines in INT8 stand in for the configured ones."""
        return self._load[0] == "int8" and self._load in self._by_load

    def open(self, wanted: Magnification) -> Maker:
        """Return the present engines, or open those for the full load.

        Raises:
            Fault: they cannot be opened.
            MemoryError: there is no room for them.
        """
        if self.present is None:
            self.present = self._open_engines(wanted, LoadLevel())
            self._load = _FULL_LOAD
            self._by_load[_FULL_LOAD] = self.present
        return self.present

    def follow(self, wanted: Magnification, level: LoadLevel) -> bool:
        """Take the engines for a load level; returns True if they are other ones than before.

        Engines that cannot be opened are logged once, and the present ones stay in use.
        """
        load = (level.precision, level.region_fraction, wanted.regions if level.region_fraction < 1 else ())
        if load == self._load:
            return False
        self._load = load
        maker = self._by_load.get(load)
        try:
            maker = maker or self._open_engines(wanted, level)
            maker.prepare(wanted)
        except (Fault, MemoryError) as error:
            log.warning("%s cannot be had, magnification stays as it is: %s", level, as_fault(error))
            if maker is not None and load not in self._by_load:
                maker.close()
            return False
        for other in [other for other in self._by_load if other[2] and load[2] and other[2] != load[2]]:
            self._retired.append(self._by_load.pop(other))
        self._by_load[load] = self.present = maker
        return True

    def close_retired(self) -> None:
        """Close engines that are not wanted any more, once the latest magnifier on them has faded out."""
        while self._retired:
            self._retired.pop().close()

    def close(self) -> None:
        """Close all engines; the pool can be opened again."""
        self.present = None
        self._retired += self._by_load.values()
        self._by_load.clear()
        self.close_retired()


def as_fault(error: Fault | MemoryError) -> Fault:
    """Return the fault itself, or an EngineFault for a lack of memory, which is retried like any other."""
    if isinstance(error, Fault):
        return error
    return EngineFault(
        f"no room for the engine ({error})", remedy="stop other programs, or use a smaller picture"
    )
