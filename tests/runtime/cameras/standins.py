"""Stand-ins for elements that exist on a Jetson or need a device, so that real GStreamer runs our whole pipelines.

nvarguscamerasrc and nvvidconv take the properties that we set and speak the caps of the real ones; v4l2src offers a
few modes. What they film is `picture`, a function of the frame's number, so that every pixel can be foretold. What
goes wrong is written into `Scene`, which all of them share.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.cameras.gstreamer.load import load_gstreamer


@dataclass
class Scene:
    """What the stand-ins film, and how they fail."""

    frames: int = 1_000_000
    """So many, then the end of the stream."""
    period_s: float = 0.0
    """Real time from one frame to the next; 0: as fast as can be."""
    act: Callable[[int], Any] = lambda number: None  # noqa: ARG005
    """Called before each frame with its number, in GStreamer's thread; what it returns tells what happens:
    None: a good frame; "skip": lost before it left; "short": half a frame; "end"; bytes: these instead of a picture;
    ("size", width, height): of this and all later frames; ("error", domain, code, text, debug)."""
    start: Callable[[Any], bool] = lambda element: True  # noqa: ARG005
    """Called when the camera is opened; may post an error, and returns whether it is there."""
    stop: Callable[[], None] = lambda: None
    """Called when it is closed."""
    sensor_time: Callable[[int], int] | None = None
    """Sensor's own time of a frame in ns; None: nothing is attached to the buffers."""
    produced: int = 0
    """Frames that left the source, good or short."""
    opened: int = 0
    nvmm: Any = None
    """Where nvvidconv takes surfaces from: `surfaces.FakeSurfaces`."""
    unnumbered: bool = False
    """Whether a video device gives every frame the number 0."""
    daemon: Any = None
    """nvargus-daemon: a `standin_argus.DaemonHere` unless another is given."""
    event_wait_s: float = 3.0
    """How long nvarguscamerasrc waits for the daemon before it ends the stream."""
    converts_nvmm: bool = True
    """Whether nvvidconv can leave pictures in NVIDIA's memory."""
    seen: dict[str, Any] = field(default_factory=dict)
    """The last value of each property that was set."""
    log: list[tuple[str, Any]] = field(default_factory=list)
    """All of them in order."""


SCENE = Scene()
PROVIDER: Any = None
"""The connection to the daemon that nvarguscamerasrc keeps, made when its plugin is loaded, with the first element;
None: it was not loaded yet, as in a new process."""


def picture(number: int, width_px: int, height_px: int) -> NDArray[np.uint8]:
    """What is filmed, u8[H, W, 3]: a slope that moves, with the frame's number in the first pixel."""
    filmed = _slope(width_px, height_px) + np.array([number & 255, 2 * number & 255, 0], np.uint8)
    filmed[0, 0] = number & 255, number >> 8 & 255, number >> 16 & 255
    return filmed


@functools.cache
def _slope(width_px: int, height_px: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[:height_px, :width_px]
    return np.stack([x, y, x + y], axis=-1).astype(np.uint8)


def number_in(pixels: NDArray[np.uint8]) -> int:
    """The number that is written in a picture."""
    low, middle, high = (int(v) for v in pixels[0, 0])
    return low | middle << 8 | high << 16


@contextmanager
def registered(scene: Scene) -> Iterator[Scene]:
    """Put the stand-ins in place of the real elements; afterwards they are as before."""
    from standin_argus import ArgusSource, DaemonHere
    from standin_elements import VideoConverter, VideoDevice

    global SCENE, PROVIDER
    elements = {"nvarguscamerasrc": ArgusSource, "v4l2src": VideoDevice, "nvvidconv": VideoConverter}
    gst = load_gstreamer()
    SCENE = scene
    scene.daemon = scene.daemon or DaemonHere()
    PROVIDER = None
    registry = gst.Registry.get()
    before = {name: registry.lookup_feature(name) for name in elements}
    for name, kind in elements.items():
        assert gst.Element.register(None, name, gst.Rank.NONE, kind)
    try:
        yield scene
    finally:
        for name, feature in before.items():
            registry.remove_feature(registry.lookup_feature(name))
            if feature is not None:
                registry.add_feature(feature)


def turn(filmed: NDArray[np.uint8], method: int) -> NDArray[np.uint8]:
    """As nvvidconv's flip-method: 1 and 3 are quarters against and with the clock."""
    if method in (1, 2, 3):
        return np.ascontiguousarray(np.rot90(filmed, method))
    if method == 4:
        return np.ascontiguousarray(filmed[:, ::-1])
    return np.ascontiguousarray(filmed[::-1]) if method == 6 else filmed
