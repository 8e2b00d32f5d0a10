"""Creates engines for a load level, and magnifiers of them; for recorded clips and cameras alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tremorscope.runtime.engines.interface.bundle import Bundle, open_bundle
from tremorscope.runtime.engines.interface.engine import BandEngine, PairwiseEngine
from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.engines.selection import Runtime, for_live, open_runtime
from tremorscope.runtime.engines.tensorrt.upgrading import find_stale
from tremorscope.runtime.engines.upkeep import EngineUpkeep, WaitingRuntime
from tremorscope.runtime.errors import BundleFault, EngineFault
from tremorscope.runtime.frames.buffers import CopyAccount
from tremorscope.runtime.frames.ring import LeaseError
from tremorscope.runtime.magnification.band_magnifier import BandMagnifier
from tremorscope.runtime.magnification.cropped import PartMagnifier, cell_mask, middle_part, within_part
from tremorscope.runtime.magnification.load import LoadLevel
from tremorscope.runtime.magnification.magnifier import FrameMagnifier, Magnifier, check_amplification
from tremorscope.runtime.magnification.settings import Magnification, MagnificationSettings
from tremorscope.runtime.vibration.displacement.regions import Region


@contextmanager
def memory_as_fault() -> Iterator[None]:
    """Raise an EngineFault for a lack of memory, which is retried like any other."""
    try:
        yield
    except MemoryError as error:
        raise EngineFault(
            f"no room for the engine ({error})", remedy="stop other programs, or use a smaller picture"
        ) from None


def open_configured_runtime(
    settings: MagnificationSettings,
    bundle: Bundle,
    size: tuple[int, int],
    account: CopyAccount,
    upkeep: EngineUpkeep,
    *,
    is_first: bool = False,
) -> Runtime:
    """Open the runtime that the settings ask for; on a CPU, where they name no network, that of the lightest.

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
    return for_live(
        open_runtime(
            settings.runtime,
            bundle,
            size,
            threads=settings.threads,
            engines=settings.engines,
            account=account,
        )
    )


def _open_int8_bundle(settings: MagnificationSettings) -> Bundle:
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


class Engines:
    """Engines for frames of one size, and the magnifiers made of them; used by one thread."""

    def __init__(
        self,
        bundle: Bundle,
        runtime: Runtime,
        size: tuple[int, int],
        account: CopyAccount | None = None,
        *,
        part: Region | None = None,
        owns_runtime: bool = False,
    ) -> None:
        """``size`` is width and height in pixels: of the picture, or of the ``part`` of it that is magnified."""
        self._bundle, self._runtime, self._size, self._account = bundle, runtime, size, account
        self._part = part
        self._owns_runtime = owns_runtime
        self._pairwise: PairwiseEngine | None = None
        self._band: BandEngine | None = None

    @memory_as_fault()
    def prepare(self, wanted: Magnification) -> None:
        """Open the engine that a magnification needs, which may take seconds.

        Raises:
            BundleFault: the bundle has no graph for it.
            EngineFault: it cannot be loaded or run.
        """
        if self._within(wanted).filters:
            self._band = self._band or self._runtime.open_band()
        else:
            self._pairwise = self._pairwise or self._runtime.open_pairwise()

    def rest(self) -> None:
        """Give back memory that the next step can have again at once."""
        for engine in (self._pairwise, self._band):
            if engine is not None:
                engine.rest()

    def close(self) -> None:
        """Give the engines back, and a runtime of its own; its magnifiers must not be used any more."""
        opened = [engine for engine in (self._pairwise, self._band) if engine is not None]
        self._pairwise = self._band = None
        for engine in opened:
            with suppress(EngineFault):  # a failed engine may fail once more here
                self._runtime.give_back(engine)
        if self._owns_runtime:
            with suppress(LeaseError, EngineFault):
                self._runtime.close()

    @memory_as_fault()
    def make(self, wanted: Magnification, rate_hz: float) -> FrameMagnifier:
        """A magnifier that begins with the next frame; the one before on the same engine must not be used again.

        Static and dynamic mode take the pairwise graph, which has no state. Where a region, a cap or a refreshed
        reference is asked for they take the band graph, in which each of them is a filter of its own.

        Raises:
            OptionFault: an amplification, a region or a band out of range at this rate.
            BundleFault: the bundle has no graph for it.
            EngineFault: its engine cannot be loaded or run.
        """
        check_amplification(wanted.amplification, self._bundle.manifest.amplification)
        made = self._make(self._within(wanted), rate_hz)
        if self._part is None:
            return made
        return PartMagnifier(made, self._part, self._runtime.allocate, self._account)

    def _within(self, wanted: Magnification) -> Magnification:
        return wanted if self._part is None else within_part(wanted, self._part)

    def _make(self, wanted: Magnification, rate_hz: float) -> FrameMagnifier:
        if not wanted.filters:
            self.prepare(wanted)
            assert self._pairwise is not None
            assert wanted.mode != "band"
            return Magnifier(
                self._pairwise,
                mode=wanted.mode,
                amplification=wanted.amplification,
                allocate=self._runtime.allocate,
                account=self._account,
            )
        wanted.filter_design(rate_hz)  # refuses an impossible band before a network is loaded
        self.prepare(wanted)
        assert self._band is not None
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
            wanted.filter_design,
            amplification=wanted.amplification,
            rate_hz=rate_hz,
            max_displacement_px=wanted.max_displacement_px,
        )


class EngineFactory:
    """Creates engines for a load level."""

    def __init__(
        self,
        bundle: Bundle,
        runtime: Runtime,
        size: tuple[int, int],
        account: CopyAccount | None = None,
        *,
        settings: MagnificationSettings | None = None,
        upkeep: EngineUpkeep | None = None,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            bundle: network at full load.
            runtime: runs it, for frames of ``size``.
            size: width and height of the picture in pixels.
            account: counts the copies of the magnifiers.
            settings: say where lighter loads find their bundle and engines.
            upkeep: takes engines for lighter loads that an upgrade has left behind.
        """
        self.bundle = bundle
        self._runtime, self._size, self._account = runtime, size, account
        self._settings, self._upkeep = settings or MagnificationSettings(), upkeep or EngineUpkeep()

    @property
    def name(self) -> str:
        """Runner at full load, e.g. ``onnxruntime``."""
        return self._runtime.name

    @property
    def precision(self) -> str:
        """Precision at full load: fp32, fp16 or int8."""
        return self._runtime.bundle.manifest.precision

    def check(self, wanted: Magnification, rate_hz: float) -> None:
        """Check that a magnification can be made at a rate, without an engine.

        Raises:
            OptionFault: an amplification or a band out of range.
            BundleFault: the bundle has no graph for it.
        """
        check_amplification(wanted.amplification, self.bundle.manifest.amplification)
        self.bundle.graph_path("band" if wanted.filters else "pairwise")
        wanted.filter_design(rate_hz)

    @memory_as_fault()
    def open(self, wanted: Magnification, level: LoadLevel | None = None) -> Engines:
        """Engines for a load level: on the factory's own runtime at full load, else on one of their own.

        Raises:
            Fault: there is no bundle in INT8, or no engine for it or for a part of the picture.
        """
        level = level or LoadLevel()
        if level.precision == "configured" and level.region_fraction == 1:
            return Engines(self.bundle, self._runtime, self._size, self._account)
        bundle = _open_int8_bundle(self._settings) if level.precision == "int8" else self.bundle
        size, part = self._size, None
        if level.region_fraction < 1:
            part = middle_part(wanted, size, level.region_fraction)
            part = None if part == Region(0, 0, *size) else part
        if part is not None:
            size = (part.width_px, part.height_px)
        # By the same runner: the CPU's would heat the device more.
        settings = self._settings.model_copy(update={"runtime": self._runtime.name})
        account = self._account or CopyAccount()
        runtime = open_configured_runtime(settings, bundle, size, account, self._upkeep)
        return Engines(bundle, runtime, size, self._account, part=part, owns_runtime=True)
