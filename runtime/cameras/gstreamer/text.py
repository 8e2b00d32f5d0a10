"""Parts of gst-launch descriptions that several kinds of camera share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Literal

from tremorscope.runtime.cameras.gstreamer.settings import Flip

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
