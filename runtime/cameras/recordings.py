"""The door to recordings of every format: pictures, stacks of raw frames, what plug-ins read, videos by FFmpeg."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from tremorscope.files import reason_of
from tremorscope.runtime.cameras.clip import ClipCamera
from tremorscope.runtime.cameras.intactness import inspect_clip
from tremorscope.runtime.cameras.stack_camera import StackCamera, check_stack
from tremorscope.runtime.cameras.stacks.stack import RawPicture, Stack
from tremorscope.runtime.errors import ClipFault, Fault
from tremorscope.runtime.frames.buffers import CopyAccount, FrameRing
from tremorscope.runtime.frames.frame import FrameInfo, RecordedClip
from tremorscope.runtime.host.files import natural_order

MeasuredFrame = NDArray[np.uint8] | NDArray[np.float32]
"""A frame as it is measured: (H, W, 3; RGB), or of more than 8 bits luma (H, W) in grey levels with fractions."""
_Result = TypeVar("_Result")

PLUGINS = "tremorscope.readers"
"""Group of entry points: each is named by the suffix that it reads, and is called with a path."""
_VIDEO_NAMES = "3gp avi flv gif h264 hevc m2ts m4v mkv mov mp4 mpeg mpg mts mxf ogv ts webm wmv y4m"
_VIDEO_SUFFIXES = frozenset(f".{name}" for name in _VIDEO_NAMES.split())


def open_recording(
    path: Path,
    *,
    capture_rate_hz: float | None = None,
    assumed_rate_hz: float | None = None,
    account: CopyAccount | None = None,
    quantisers: bool = False,
) -> RecordedClip:
    """Open a recorded clip: a folder or pattern of pictures, a file of raw frames, or any video that FFmpeg reads.

    Args:
        path: the clip; ``frames/``, ``frames/*.png`` and ``frames/%04d.png`` are pictures.
        capture_rate_hz: true rate of capture; None takes the file's.
        assumed_rate_hz: rate for a file that states none, where time does not matter.
        account: takes note of the pixels that are copied.
        quantisers: have the decoder of a video hand out how coarsely it was coded; see `ClipCamera.coding`.

    Raises:
        ClipFault: it cannot be read, or states no rate while none is given.
    """
    stack = _open_stack(path)
    if stack is None:
        return ClipCamera(path, capture_rate_hz=capture_rate_hz, account=account, quantisers=quantisers)
    try:
        assumed_hz = assumed_rate_hz if stack.rate_hz is None else None
        return StackCamera(path, stack, capture_rate_hz=capture_rate_hz or assumed_hz, account=account)
    except ClipFault:
        stack.close()
        raise


def frame_of(camera: RecordedClip) -> tuple[MeasuredFrame, Callable[[], FrameInfo | None]]:
    """Memory for a frame as it is measured, and what reads the next one into it."""
    if camera.bit_depth > 8:
        luma = np.empty((camera.height_px, camera.width_px), np.float32)
        return luma, lambda: camera.read_luma_into(luma)
    frame = FrameRing(1, width_px=camera.width_px, height_px=camera.height_px).frame(0)
    return frame, lambda: camera.read_into(frame)


def clips_in(folder: Path) -> tuple[Path, ...]:
    """Clips of a folder in natural order; none where its pictures are one sequence.

    A clip is a file with the suffix of a video, of raw frames, or of a plug-in, or a folder of pictures within. TIFF
    files are clips where the first has several pages. Pictures beside clips, such as previews, are none.
    """
    from tremorscope.runtime.cameras.stacks import tiff
    from tremorscope.runtime.cameras.stacks.pictures import holds_pictures

    try:
        found = sorted(
            (each for each in folder.iterdir() if not each.name.startswith(".")), key=natural_order
        )
    except OSError as error:
        raise ClipFault(f"{folder}: {reason_of(error)}", remedy="check the path") from None
    files = [each for each in found if each.is_file()]
    names = {each.name.lower() for each in files}
    pages = [each for each in files if each.suffix.lower() in tiff.SUFFIXES]
    stacks = set(pages) if pages and tiff.is_stack(pages[0]) else set()
    clips = [each for each in files if each in stacks or (each not in pages and _is_clip(each, names))]
    if not clips and holds_pictures(folder):
        return ()
    return (*clips, *(each for each in found if each.is_dir() and holds_pictures(each)))


def _is_clip(path: Path, beside: set[str]) -> bool:
    """True for a file whose suffix says that it is a clip; a .mraw is none beside its header."""
    suffix, stem = path.suffix.lower(), path.stem.lower()
    if suffix == ".mraw":
        return not beside & {f"{stem}.cih", f"{stem}.cihx"}
    return suffix in _VIDEO_SUFFIXES or suffix in _stacks() or bool(_plugins(suffix))


def _stacks() -> dict[str, Callable[[Path], Stack]]:
    """The project's own formats, by suffix."""
    from tremorscope.runtime.cameras.stacks import arrays, phantom, photron, tiff

    return {
        **dict.fromkeys(arrays.SUFFIXES, arrays.ArrayStack),
        **dict.fromkeys(phantom.SUFFIXES, phantom.PhantomStack),
        **dict.fromkeys(photron.SUFFIXES, photron.PhotronStack),
        **dict.fromkeys(tiff.SUFFIXES, tiff.TiffStack),
    }


def _open_stack(path: Path) -> Stack | None:
    """The stack that a path names; None for what FFmpeg reads."""
    from tremorscope.runtime.cameras.stacks.deep_avi import DeepAviStack, is_deep_avi
    from tremorscope.runtime.cameras.stacks.pictures import PictureSequence, is_pattern

    if path.is_dir() or is_pattern(path):
        return PictureSequence(path)
    suffix = path.suffix.lower()
    if (own := _stacks().get(suffix)) is not None:
        inspect_clip(path)
        return own(path)
    if is_deep_avi(path):
        if inspect_clip(path).missing_bytes:
            raise ClipFault(f"{path}: cut short", remedy="copy it again from the camera")
        return DeepAviStack(path)
    found = _plugins(suffix)
    if not found:
        return None
    if len(found) > 1:
        names = ", ".join(sorted(each.value for each in found))
        raise ClipFault(
            f"{path}: several plug-ins read {suffix}: {names}", remedy="uninstall all but one of them"
        )
    inspect_clip(path)
    return _PluginStack(found[0], path)


def _plugins(suffix: str) -> list[metadata.EntryPoint]:
    """Plug-ins that read a suffix; none of them is imported."""
    return [
        each
        for each in metadata.entry_points(group=PLUGINS)
        if suffix and f".{each.name.lower().lstrip('.')}" == suffix
    ]


class _PluginStack:
    """A stack of a plug-in, whose faults are told with its name."""

    def __init__(self, plugin: metadata.EntryPoint, path: Path) -> None:
        self._plugin, self._path = plugin, path
        self._stack = self._call(lambda: cast(Stack, plugin.load()(path)))
        self._call(lambda: check_stack(path, self._stack))
        self.width_px, self.height_px = int(self._stack.width_px), int(self._stack.height_px)
        self.frames, self.bit_depth = int(self._stack.frames), int(self._stack.bit_depth)
        self.rate_hz = self._stack.rate_hz
        for name in ("times_s", "places", "white", "notes"):
            if hasattr(self._stack, name):
                setattr(self, name, getattr(self._stack, name))

    def picture(self, number: int) -> RawPicture:
        """Picture ``number``."""
        return self._call(lambda: self._stack.picture(number))

    def close(self) -> None:
        """Close the file."""
        self._call(self._stack.close)

    def _call(self, action: Callable[[], _Result]) -> _Result:
        try:
            return action()
        except Exception as error:
            told = error.what if isinstance(error, Fault) else f"{type(error).__name__}: {error}"
            raise ClipFault(
                f"{self._path}: the plug-in {self._plugin.value} failed: {(told.splitlines() or ['?'])[0][:200]}",
                remedy="mend or uninstall it",
            ) from None
