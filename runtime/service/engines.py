"""Makes magnifiers for the service: engines are opened once each and used for one magnifier after the other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from runtime.band_magnifier import BandMagnifier
from runtime.cell_mask import cell_mask
from runtime.configuration.magnification import MagnificationSettings
from runtime.copies import CopyAccount
from runtime.engines import BandEngine, PairwiseEngine
from runtime.engines.bundle import Bundle, FrameSize, open_bundle
from runtime.engines.choosing import Runtime, open_runtime
from runtime.engines.upgrading import find_stale
from runtime.errors import BundleFault, EngineFault
from runtime.governor import Level
from runtime.leases import LeaseError
from runtime.magnification import Magnification, filter_design
from runtime.magnifier import FrameMagnifier, Magnifier, check_amplification
from runtime.service.upkeep import EngineUpkeep, WaitingRuntime


def open_configured_runtime(
    settings: MagnificationSettings,
    bundle: Bundle,
    size: tuple[int, int],
    account: CopyAccount,
    upkeep: EngineUpkeep,
    *,
    is_first: bool = False,
) -> Runtime:
    """The runtime that the settings ask for.

    Engines that an upgrade has left behind are handed to ``upkeep``, which asks for a restart if it ``is_first`` that
    needs them. Meanwhile ``auto`` takes the CPU, and ``tensorrt`` magnifies nothing.

    Raises:
        EngineFault: what was insisted on is not to be had.
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
        width_px=size[0],
        height_px=size[1],
        threads=settings.threads,
        engines=settings.engines,
        account=account,
    )


def open_int8_bundle(settings: MagnificationSettings) -> Bundle:
    """The bundle that is taken where heat asks for INT8.

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


class MagnifierMaker:
    """Makes magnifiers on one pair of engines; used by one thread."""

    def __init__(
        self,
        bundle: Bundle,
        runtime: Runtime,
        size: tuple[int, int],
        account: CopyAccount | None = None,
        *,
        owns_runtime: bool = False,
    ) -> None:
        self._bundle, self._runtime, self._size, self._account = bundle, runtime, size, account
        self._owns_runtime = owns_runtime
        self._pairwise: PairwiseEngine | None = None
        self._band: BandEngine | None = None

    def prepare(self, wanted: Magnification) -> None:
        """Open the engine that a magnification needs, which may take seconds.

        Raises:
            BundleFault: the bundle has no graph for it.
            EngineFault: it cannot be loaded or run.
        """
        if wanted.filters:
            self._band = self._band or self._runtime.open_band()
        else:
            self._pairwise = self._pairwise or self._runtime.open_pairwise()

    def close(self) -> None:
        """Give the engines back, and a runtime of its own; its magnifiers must not be used any more."""
        opened = [engine for engine in (self._pairwise, self._band) if engine is not None]
        self._pairwise = self._band = None
        for engine in opened:
            with suppress(EngineFault):  # it is given back because it failed, as like as not
                self._runtime.give_back(engine)
        if self._owns_runtime:
            with suppress(LeaseError, EngineFault):
                self._runtime.close()

    def make(self, wanted: Magnification, rate_hz: float) -> FrameMagnifier:
        """A magnifier that begins with the next frame; the one before on the same engine must not be used again.

        Raises:
            OptionFault: an amplification or a band that cannot be, at this rate.
            BundleFault: the bundle has no graph for it.
            EngineFault: its engine cannot be loaded or run.
        """
        check_amplification(wanted.amplification, self._bundle.manifest.amplification)
        self.prepare(wanted)
        if not wanted.filters:
            assert self._pairwise is not None
            assert wanted.mode != "band"
            return Magnifier(
                self._pairwise,
                mode=wanted.mode,
                amplification=wanted.amplification,
                allocate=self._runtime.allocate,
                account=self._account,
            )
        assert self._band is not None
        design = filter_design(wanted)
        design(rate_hz)
        self._band.set_mask(
            cell_mask(
                wanted.regions,
                width_px=self._size[0],
                height_px=self._size[1],
                cell_px=self._band.cell_px,
                feather_px=wanted.feather_px,
            )
        )
        return BandMagnifier(
            self._band,
            design,
            amplification=wanted.amplification,
            rate_hz=rate_hz,
            max_displacement_px=wanted.max_displacement_px,
        )


def check_magnification(wanted: Magnification, bundle: Bundle, rate_hz: float) -> None:
    """Check that a magnification can be made at a rate, without an engine.

    Raises:
        OptionFault: an amplification or a band that cannot be.
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
        """Give all engines back; its magnifiers must not be used any more."""


MakeMaker = Callable[[Magnification, Level], Maker]
"""Opens engines of one's own for a magnification, as light as the level asks for."""
