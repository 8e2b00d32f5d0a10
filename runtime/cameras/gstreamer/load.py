"""Access to GStreamer: the only module that imports PyGObject, when a camera first needs it; and the parts of gst-
launch descriptions that several kinds of camera share.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
import threading
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any, Literal

from tremorscope.runtime.cameras.gstreamer.exposure import Flip
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
FORGET = "sudo rm -f ~/.cache/gstreamer-1.0/registry.*.bin /var/cache/tremorscope/*/gstreamer-registry.bin"
"""Command that makes GStreamer look again for plugins that it failed to load once, e.g. for want of a library: it
remembers them for good."""
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
    _keep_exceptions()
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


def _keep_exceptions() -> None:
    """Let C++ libraries that are loaded after GStreamer unwind their exceptions as those before it do.

    Debian's and Ubuntu's libgstreamer needs libunwind, which exports ``_Unwind_Resume``, too, and GObject introspection
    loads it for all to see. A library that comes later (OpenCV, ONNX Runtime, TensorRT) takes that one for exceptions
    that libgcc has thrown, and the first of them aborts the process. So libgcc's stands before it.
    """
    with contextlib.suppress(OSError):  # no such system
        ctypes.CDLL("libgcc_s.so.1", mode=ctypes.RTLD_GLOBAL)


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
        remedy = (
            f"on a Jetson: sudo apt install {' '.join(packages)}, and where they are there: {FORGET}; "
            "elsewhere there is no such camera"
        )
    else:
        remedy = f"sudo apt install {' '.join(packages)}"
    plural = "s" if len(missing) > 1 else ""
    raise CameraFault(f"{camera}: GStreamer has no element{plural} {', '.join(missing)}", remedy=remedy)


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


TimesFrom = Literal["sensor", "driver", "sender", "arrival"]
"""Clock of a frame's time. sensor: with its number, from the sensor's start of the frame. driver: the kernel's, when
it had the frame. sender: a network camera's. arrival: this machine's, when the frame came out of the source, so that
all that delays it on the way is in the time."""
WHOSE_TIMES: dict[TimesFrom, str] = {
    "sensor": "numbers and times of frames are the sensor's own",
    "driver": "times of frames are the kernel driver's",
    "sender": "times of frames are those of the camera that sends them",
    "arrival": "times of frames are those of their arrival, with this machine's jitter in them, and frames that were "
    "lost before are known by gaps in time alone",
}
"""The same as sentences for reports."""

SINK_TEXT = (
    "appsink name=sink caps=video/x-raw sync=false qos=false enable-last-sample=false max-buffers=1 "
    "wait-on-eos=false"
)
"""Sink for frames in ordinary memory: each is given on at once, and nothing waits for a clock."""

SINK_ANY_TEXT = "appsink name=sink"
"""Sink of a pipeline that only asks which modes a camera offers."""

NVMM_SINK_TEXT = SINK_TEXT.replace("caps=video/x-raw", 'caps="video/x-raw(memory:NVMM)"')
"""Sink for frames in NVIDIA's memory."""

FLIPS: dict[Flip, str] = {
    "none": "identity",
    "rotate-90": "90r",
    "rotate-180": "180",
    "rotate-270": "90l",
    "mirror": "horiz",
    "upside-down": "vert",
}
"""videoflip's ``video-direction``: its older ``method`` is ignored by GStreamer 1.22 in a description of a pipeline."""

NV_FLIPS: dict[Flip, int] = {
    "none": 0,
    "rotate-270": 1,
    "rotate-180": 2,
    "rotate-90": 3,
    "mirror": 4,
    "upside-down": 6,
}
"""Methods of nvvidconv, which counts quarters the other way round."""


def rate_text(rate_hz: float) -> str:
    """A rate as GStreamer writes it; 29.97 is 30000/1001."""
    broadcast = Fraction(round(rate_hz * 1.001) * 1000, 1001)
    rate = Fraction(rate_hz).limit_denominator(1000)
    if rate.denominator != 1 and abs(broadcast - Fraction(rate_hz)) < Fraction(1, 200):
        rate = broadcast
    return f"{rate.numerator}/{rate.denominator}"


def modes_text(structures: Iterable[str]) -> str:
    """Modes that a camera offers, from the structures of its caps, in a few words: ``1280x720 YUY2 at 10, 30 Hz``."""
    modes = list(dict.fromkeys(_mode(structure) for structure in structures))
    more = f" and {len(modes) - _MOST_MODES} more" if len(modes) > _MOST_MODES else ""
    return "; ".join(modes[:_MOST_MODES]) + more


def _mode(structure: str) -> str:
    fields = {name: value.strip() for name, value in _FIELD.findall(structure)}
    kind = fields.get("format") or structure.partition(",")[0].partition("/")[2].partition("(")[0]
    rate = re.sub(r"/1\b", "", fields.get("framerate", ""))
    size = f"{fields.get('width', '?')}x{fields.get('height', '?')}"
    return f"{size} {kind}" + (f" at {rate.strip('{} ')} Hz" if rate else "")


_MOST_MODES = 8
_FIELD = re.compile(r"([a-z-]+)=\(\w+\)([\[{].*?[\]}]|[^,;]+)")
