"""Access to GStreamer: the only module that imports PyGObject, when a camera first needs it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from tremorscope.runtime.errors import CameraFault

PACKAGES = {
    "appsink": "gstreamer1.0-plugins-base",
    "decodebin": "gstreamer1.0-plugins-base",
    "avdec_h264": "gstreamer1.0-libav",
    "avdec_h265": "gstreamer1.0-libav",
    "capsfilter": "gstreamer1.0-plugins-base",
    "h264parse": "gstreamer1.0-plugins-bad",
    "h265parse": "gstreamer1.0-plugins-bad",
    "jpegdec": "gstreamer1.0-plugins-good",
    "nvarguscamerasrc": "nvidia-l4t-camera nvidia-l4t-gstreamer",
    "nvv4l2decoder": "nvidia-l4t-gstreamer",
    "nvv4l2h264enc": "nvidia-l4t-gstreamer",
    "nvvidconv": "nvidia-l4t-gstreamer",
    "rtspsrc": "gstreamer1.0-plugins-good",
    "v4l2src": "gstreamer1.0-plugins-good",
    "videoflip": "gstreamer1.0-plugins-good",
}
"""Packages of Ubuntu, Debian and JetPack that hold the elements which a camera may need."""
BINDINGS = "python3-gi gir1.2-gstreamer-1.0"
_LOADING = threading.Lock()


class LinkFault(CameraFault):
    """Two elements of a pipeline do not fit together."""


class PipelineFault(CameraFault):
    """This GStreamer does not understand the description of a pipeline, e.g. for want of a property."""


def load_gstreamer() -> Any:
    """The module ``Gst``, ready for use; safe to call again, from any thread.

    Raises:
        CameraFault: PyGObject, or GStreamer's description for it, is not there.
    """
    try:
        import gi

        gi.require_version("Gst", "1.0")
        from gi.repository import Gst
    except (ImportError, ValueError, AttributeError) as error:
        raise CameraFault(
            f"GStreamer cannot be used from Python ({error})",
            remedy=f"sudo apt install {BINDINGS}; in a virtual environment without --system-site-packages "
            "also: pip install 'tremorscope[gstreamer]'",
        ) from None
    with _LOADING:
        if not Gst.is_initialized():
            Gst.init(None)
    return Gst


def has_element(name: str) -> bool:
    """Tell whether this machine has an element of GStreamer.

    Raises:
        CameraFault: GStreamer itself is not there.
    """
    return load_gstreamer().ElementFactory.find(name) is not None


def properties_of(element: str) -> frozenset[str]:
    """Names of the properties that an element of GStreamer has on this machine; none where it is not there.

    Raises:
        CameraFault: GStreamer itself is not there.
    """
    made = load_gstreamer().ElementFactory.make(element)
    return frozenset() if made is None else frozenset(each.name for each in made.list_properties())


def require_elements(names: Iterable[str], camera: str) -> None:
    """Check that this machine has all elements of a pipeline.

    Raises:
        CameraFault: something is missing; the message names it and its package.
    """
    missing = [name for name in names if not has_element(name)]
    if not missing:
        return
    packages = dict.fromkeys(
        package for name in missing for package in PACKAGES.get(name, "gstreamer1.0-plugins-good").split()
    )
    if any(package.startswith("nvidia-") for package in packages):
        remedy = f"on a Jetson: sudo apt install {' '.join(packages)}; elsewhere there is no such camera"
    else:
        remedy = f"sudo apt install {' '.join(packages)}"
    plural = "s" if len(missing) > 1 else ""
    raise CameraFault(
        f"{camera}: GStreamer has no element{plural} {', '.join(missing)}",
        remedy=remedy,
    )


def parse_pipeline(text: str, camera: str) -> Any:
    """A pipeline from its description in the language of gst-launch.

    Raises:
        LinkFault: two elements do not fit together: the camera has no such size, rate or format.
        PipelineFault: this GStreamer does not understand it, e.g. for want of a property.
    """
    gst = load_gstreamer()
    from gi.repository import GLib

    try:
        # Without the flag what could be built is returned beside the error, and lost.
        return gst.parse_launch_full(text, None, gst.ParseFlags.FATAL_ERRORS)
    except GLib.Error as error:
        if error.matches(gst.ParseError.quark(), gst.ParseError.LINK):
            raise LinkFault(error.message, remedy="") from None
        raise PipelineFault(
            f"{camera}: {gst.version_string()} does not understand the pipeline ({error.message})",
            remedy="bring GStreamer and, on a Jetson, JetPack up to date",
        ) from None


def hanging_calls() -> int:
    """Number of calls into drivers that were left behind in this process because they did not return."""
    return sum(thread.name.startswith(_CALL) for thread in threading.enumerate())


def call_bounded(call: Callable[[], object], timeout_s: float, what: str) -> bool:
    """Make a call that may hang in a driver; returns False if it did not return in time.

    Its thread is then left behind, since nothing but the end of the process ends it; `hanging_calls` counts it.
    """
    thread = threading.Thread(target=call, name=f"{_CALL}{what}", daemon=True)
    thread.start()
    thread.join(timeout_s)
    return not thread.is_alive()


_CALL = "gstreamer: "
