"""Makes magnifiers for the service: engines are opened once each and used for one magnifier after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tremorscope.runtime.engines.interface.bundle import Bundle, FrameSize, open_bundle
from tremorscope.runtime.engines.selection import Runtime, open_runtime
from tremorscope.runtime.engines.tensorrt.upgrading import find_stale
from tremorscope.runtime.engines.upkeep import EngineUpkeep, WaitingRuntime
from tremorscope.runtime.errors import BundleFault
from tremorscope.runtime.frames.copies import CopyAccount
from tremorscope.runtime.magnification.factory import Magnification, filter_design
from tremorscope.runtime.magnification.load import Level
from tremorscope.runtime.magnification.magnifier import FrameMagnifier, check_amplification
from tremorscope.runtime.magnification.settings import MagnificationSettings


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
