"""The elements behind `standins` but for `standin_argus`: imported only where GStreamer is there."""

from __future__ import annotations

import io
import struct
import threading
import time
from typing import Any

import gi
import numpy as np
import standins
from standins import picture, turn

from tremorscope.runtime.cameras.gstreamer.load import load_gstreamer

load_gstreamer()
gi.require_version("GstBase", "1.0")
from gi.repository import GLib, GObject, Gst, GstBase  # noqa: E402

NVMM = "video/x-raw(memory:NVMM)"
_CODE = struct.Struct("<qii")  # of what standin_argus gives out


def recorded(name: str, kind: Any, default: Any) -> Any:
    def get(self: Any) -> Any:
        return self.values.get(name, default)

    def put(self: Any, value: Any) -> None:
        self.values[name] = value
        standins.SCENE.seen[name] = value
        standins.SCENE.log.append((name, value))

    extra = {"minimum": -1, "maximum": 10**9} if kind is int else {}
    return GObject.Property(get, put, type=kind, default=default, nick=name, **extra)


class Source(GstBase.BaseSrc):
    """Gives out frames of `standins.SCENE`; what is in them is made by ``content``."""

    __gtype_name__ = "StandInSource"

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Any] = {}
        self.number, self.size = -1, (0, 0)
        self.set_format(Gst.Format.TIME)
        self.set_live(True)
        self.interrupted = threading.Event()

    def do_start(self) -> bool:
        standins.SCENE.opened += 1
        self.number = -1
        self.began_s = time.monotonic()
        return standins.SCENE.start(self)

    def do_stop(self) -> bool:
        standins.SCENE.stop()
        return True

    def do_unlock(self) -> bool:
        self.interrupted.set()
        return True

    def do_unlock_stop(self) -> bool:
        self.interrupted.clear()
        return True

    def do_set_caps(self, caps: Any) -> bool:
        structure = caps.get_structure(0)
        self.size = structure.get_value("width"), structure.get_value("height")
        self.kind = structure.get_name()
        _, numerator, denominator = structure.get_fraction("framerate")
        self.period_ns = 10**9 * denominator // numerator
        return True

    def do_create(self, offset: int, size: int, given: Any) -> Any:  # noqa: ARG002
        while True:
            self.number += 1
            if self.number >= standins.SCENE.frames:
                return Gst.FlowReturn.EOS, None
            if standins.SCENE.period_s:
                due_s = self.began_s + self.number * standins.SCENE.period_s
                self.interrupted.wait(max(0.0, due_s - time.monotonic()))
            if self.interrupted.is_set():
                return Gst.FlowReturn.FLUSHING, None
            what = standins.SCENE.act(self.number)
            if what == "end":
                return Gst.FlowReturn.EOS, None
            if isinstance(what, tuple) and what[0] == "error":
                self.fail(*what[1:])
                return Gst.FlowReturn.ERROR, None
            if isinstance(what, tuple):
                _, width, height = what
                self.set_caps(
                    Gst.Caps.from_string(
                        f"{self.kind},format=RGB,width={width},height={height},framerate=30/1"
                    )
                )
            if what != "skip":
                break
        content = what if isinstance(what, bytes) else self.content(self.number)
        buffer = Gst.Buffer.new_wrapped(content[: len(content) // 2] if what == "short" else content)
        buffer.pts = self.number * self.period_ns
        buffer.duration = self.period_ns
        self.mark(buffer)
        standins.SCENE.produced += 1
        return Gst.FlowReturn.OK, buffer

    def fail(self, domain: str, code: int, text: str, debug: str = "") -> None:
        error = GLib.Error.new_literal(GLib.quark_from_string(domain), text, code)
        self.post_message(Gst.Message.new_error(self, error, debug))

    def content(self, number: int) -> bytes:
        raise NotImplementedError

    def mark(self, buffer: Any) -> None:
        pass


class VideoDevice(Source):
    __gtype_name__ = "StandInVideoDevice"
    device = recorded("device", str, "/dev/video0")

    def content(self, number: int) -> bytes:
        filmed = picture(number, *self.size)
        if self.kind == "image/jpeg":
            from PIL import Image

            packed = io.BytesIO()
            Image.fromarray(filmed).save(packed, "jpeg", quality=95, subsampling=0)
            return packed.getvalue()
        return filmed.tobytes()

    def mark(self, buffer: Any) -> None:
        buffer.offset = 0 if standins.SCENE.unnumbered else self.number


class Converting:
    """Of nvvidconv, what it does whatever it can be told. PyGObject makes elements of one class below its own alone."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Any] = {}
        self.sink = Gst.Pad.new_from_template(self.get_pad_template("sink"), "sink")
        self.src = Gst.Pad.new_from_template(self.get_pad_template("src"), "src")
        self.sink.set_chain_function_full(self.chain)
        self.sink.set_event_function_full(self.event)
        self.add_pad(self.sink)
        self.add_pad(self.src)
        self.in_nvmm = False

    def event(self, pad: Any, _parent: Any, event: Any) -> bool:
        if event.type != Gst.EventType.CAPS:
            return pad.event_default(self, event)
        structure = event.parse_caps().get_structure(0)
        width, height = structure.get_value("width"), structure.get_value("height")
        _, numerator, denominator = structure.get_fraction("framerate")
        if self.values.get("flip-method", 0) in (1, 3):
            width, height = height, width
        allowed = self.src.peer_query_caps(None)
        self.in_nvmm = allowed.get_size() > 0 and allowed.get_features(0).contains("memory:NVMM")
        kind = NVMM if self.in_nvmm else "video/x-raw"
        made = Gst.Caps.from_string(
            f"{kind},format=RGBA,width={width},height={height},framerate={numerator}/{denominator}"
        )
        if not made.can_intersect(allowed) or (self.in_nvmm and not standins.SCENE.converts_nvmm):
            return False
        return self.src.push_event(Gst.Event.new_caps(made))

    def chain(self, _pad: Any, _parent: Any, buffer: Any) -> Any:
        _, info = buffer.map(Gst.MapFlags.READ)
        code = bytes(info.data)
        buffer.unmap(info)
        whole = len(code) == _CODE.size
        made = self.convert(*_CODE.unpack(code)) if whole else Gst.Buffer.new_wrapped(bytes(10))
        made.pts, made.duration = buffer.pts, buffer.duration
        return self.src.push(made)

    def convert(self, number: int, width: int, height: int) -> Any:
        turned = turn(picture(number, width, height), self.values.get("flip-method", 0))
        rgba = np.concatenate([turned, np.full((*turned.shape[:2], 1), 255, np.uint8)], axis=-1)
        return standins.SCENE.nvmm.buffer(rgba) if self.in_nvmm else Gst.Buffer.new_wrapped(rgba.tobytes())


class PlainVideoConverter(Converting, Gst.Element):
    """nvvidconv as another release may have it, with none but the property that it always had."""

    __gtype_name__ = "StandInPlainVideoConverter"
    flip_method = recorded("flip-method", int, 0)


class VideoConverter(Converting, Gst.Element):
    """nvvidconv: makes RGBA of what ArgusSource says, turned, in ordinary or in NVIDIA's memory."""

    __gtype_name__ = "StandInVideoConverter"
    flip_method = recorded("flip-method", int, 0)
    output_buffers = recorded("output-buffers", int, 4)
    compute_hw = recorded("compute-hw", str, "Default")


def describe(kind: Any, klass: str, pads: dict[str, str]) -> None:
    """Say what an element is, and which caps its pads have."""
    kind.set_metadata(kind.__gtype_name__, klass, "a stand-in for tests", "tremorscope")
    for name, caps in pads.items():
        direction = Gst.PadDirection.SINK if name == "sink" else Gst.PadDirection.SRC
        kind.add_pad_template(
            Gst.PadTemplate.new(name, direction, Gst.PadPresence.ALWAYS, Gst.Caps.from_string(caps))
        )


_MODES = "width=64,height=48,framerate={10/1,30/1};"
_SIZES = f"format=RGB,{_MODES} image/jpeg,{_MODES} video/x-raw,format=RGB,width=80,height=60,framerate=30/1"
describe(
    VideoDevice,
    "Source/Video",
    {"src": f"video/x-raw,{_SIZES}; image/jpeg,width=128,height=96,framerate=30/1"},
)
for _kind in (PlainVideoConverter, VideoConverter):
    describe(
        _kind,
        "Filter/Converter/Video",
        {"sink": f"{NVMM},format=NV12", "src": f"video/x-raw,format=RGBA;{NVMM},format=RGBA"},
    )
