"""The network on arrays: frames in, magnified frames out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

from tremorscope.api.arguments import NetworkArguments, NetworkOptions, checked, tell_in_python
from tremorscope.runtime.engines.interface.bundle import Bundle, open_bundle
from tremorscope.runtime.engines.interface.engine import PairwiseEngine
from tremorscope.runtime.engines.interface.manifest import GraphName
from tremorscope.runtime.engines.selection import Runtime, open_runtime
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.jobs.magnify import check_size, open_for_use
from tremorscope.runtime.magnification.magnifier import check_amplification

Frames = NDArray[np.uint8]
_SHORTEST_SIDE_PX = 16


class FramePairMagnifier:
    """The pairwise network on uint8 arrays of any size; one thread may call it at a time.

    >>> import numpy as np
    >>> import tremorscope as ts
    >>> reference = np.zeros((48, 64, 3), np.uint8)
    >>> ts.Magnifier("realtime")(reference, reference, 20).shape
    (48, 64, 3)
    """

    @tell_in_python
    def __init__(self, bundle: str | Path | None = None, **options: Unpack[NetworkOptions]) -> None:
        """Open a bundle; its engine is loaded with the first frame, for the size of that.

        Args:
            bundle: name of a shipped bundle ("realtime", "lite", "nano"), or a directory; None is the usual one.
            **options: ``runtime``, ``engines``, ``threads`` and ``allow_inaccurate``, as in `magnify`.

        Raises:
            BundleFault: it is missing, untrained, or not deployable.
        """
        given = checked("Magnifier", NetworkArguments, {"bundle": bundle, **options})
        named, inaccurate = given.pop("bundle"), given.pop("allow_inaccurate", False)
        self.bundle = open_for_use(named, allow_inaccurate=inaccurate)
        """The bundle that was asked for."""
        self._choice = given.pop("runtime", "auto")
        self._options = given
        self._runtime: Runtime | None = None
        self._engine: PairwiseEngine | None = None

    @tell_in_python
    def __call__(self, frame: Frames, reference: Frames, amplification: float) -> Frames:
        """Magnify the motion from ``reference`` to ``frame``.

        Args:
            frame: uint8 (H, W, 3), RGB, or a batch (N, H, W, 3).
            reference: of the same size; one for all frames of a batch, or one for each.
            amplification: magnified over true displacement.

        Returns:
            A new array, uint8 of the shape of ``frame``.

        Raises:
            OptionFault: an array has another type or shape, or the amplification is out of range.
            BundleFault: the bundle is not for frames of this size.
            EngineFault: the network cannot be loaded, or a step failed.
        """
        _check_array("frame", frame)
        _check_array("reference", reference)
        if reference.shape not in (frame.shape, frame.shape[-3:]):
            raise OptionFault(
                f"Magnifier: a reference of shape {reference.shape} for a frame of {frame.shape}",
                remedy="give one of the same height and width; in a batch one for all, or one for each",
            )
        factor = checked("Magnifier", NetworkArguments, {"amplification": amplification})["amplification"]
        check_amplification(factor, self.bundle.manifest.amplification)
        engine = self._engine_for(frame.shape[-2], frame.shape[-3])
        magnified = np.empty(frame.shape, np.uint8)
        frames = np.ascontiguousarray(frame).reshape(-1, *frame.shape[-3:])  # (N, H, W, 3)
        references = np.broadcast_to(np.ascontiguousarray(reference), frames.shape)  # (N, H, W, 3)
        for one, before, out in zip(frames, references, magnified.reshape(frames.shape), strict=True):
            engine.step(one, before, factor, out)
        return magnified

    def close(self) -> None:
        """Give engine and device back; the next call opens them again."""
        runtime, self._runtime, self._engine = self._runtime, None, None
        if runtime is not None:
            runtime.close()

    def __enter__(self) -> FramePairMagnifier:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        return f"Magnifier({self.bundle.named!r})"

    def _engine_for(self, width_px: int, height_px: int) -> PairwiseEngine:
        engine = self._engine
        if engine is not None and (engine.width_px, engine.height_px) == (width_px, height_px):
            return engine
        self.close()
        check_size(self.bundle, width_px, height_px, "the frame has")
        size_px = (width_px, height_px)
        pairwise: tuple[GraphName] = ("pairwise",)
        self._runtime = open_runtime(self._choice, self.bundle, size_px, graphs=pairwise, **self._options)
        self._engine = self._runtime.open_pairwise()
        if self._engine.channels != 3:
            raise OptionFault(
                f"{self.bundle.directory}: takes frames of {self._engine.channels} bytes a pixel",
                remedy="use a bundle for RGB",
            )
        return self._engine


def _check_array(name: str, given: Any) -> None:
    if not isinstance(given, np.ndarray):
        found = type(given).__name__
    elif given.dtype != np.uint8 or given.ndim not in (3, 4) or given.shape[-1] != 3:
        found = f"{given.dtype} of shape {given.shape}"
    elif min(given.shape[-3:-1]) < _SHORTEST_SIDE_PX:
        found = f"one of shape {given.shape}"
    else:
        return
    raise OptionFault(
        f"Magnifier: {name} is no array of frames, but {found}",
        remedy=f"give uint8 (H, W, 3) in RGB, or a batch (N, H, W, 3), at least {_SHORTEST_SIDE_PX} px a side",
    )


@tell_in_python
def load_bundle(bundle: str | Path | None = None) -> Bundle:
    """Read a bundle and check it against its seal.

    Args:
        bundle: name of a shipped bundle ("realtime", "lite", "nano"), or a directory; None is the usual one.

    Raises:
        BundleFault: it is none, was edited, or is damaged.
    """
    return open_bundle(checked("load_bundle", NetworkArguments, {"bundle": bundle})["bundle"])
