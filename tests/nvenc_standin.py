"""A stand-in for nvv4l2h264enc and the nvvidconv before it, so that real GStreamer runs our whole pipeline.

It codes by x264enc, and has what is peculiar of the real one, from `gst-inspect-1.0 nvv4l2h264enc` and the source of
gst-nvvideo4linux2 (L4T 36): it takes NVIDIA's memory alone; its bit rate is in bits a second, where x264enc's is in
thousands; parameter sets come once unless insert-sps-pps is set; a fixed quantizer counts only with rate control and
presets off; some pictures are on their way before the first comes out. Where a device has no encoder, the element is
missing (Orin Nano, by its module's number), or, before that was asked, can be made and not opened.

`CardEncoder` is the same element where the plugin finds the driver of a graphics card (``is_cuvid``), as on Thor, by
gst_v4l2_video_enc_class_init and gst_v4l2_h264_enc_class_init: no quant-*, preset-level, ratecontrol-enable,
maxperf-enable and insert-sps-pps, which are installed for Tegra alone, but preset-id, tuning-info-id and constqp, which
counts where control-rate is constantQP, a value that Tegra's has not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gi
import numpy as np

from tremorscope.runtime.cameras.gstreamer.load import load_gstreamer

load_gstreamer()
gi.require_version("GstBase", "1.0")
from gi.repository import GLib, GObject, Gst, GstBase  # noqa: E402

NVMM = "video/x-raw(memory:NVMM)"


@dataclass
class Hardware:
    """What the device's encoder does."""

    opens: bool = True
    takes: int = 1_000_000
    """Pictures that it codes; later ones are swallowed."""
    fails_after: int = 1_000_000
    """Pictures after which the driver reports an error."""
    runs: list[dict[str, Any]] = field(default_factory=list)
    """The properties of each run, in order."""


HARDWARE = Hardware()


def rows_of_four(width: int) -> int:
    return (width + 3) // 4 * 4


class Converter(GstBase.BaseTransform):
    """nvvidconv: from I420 in ordinary memory to NV12 in NVIDIA's."""

    __gtype_name__ = "StandInUpload"

    def do_transform_caps(self, direction: Any, caps: Any, wanted: Any) -> Any:
        kind = f"{NVMM},format=NV12" if direction == Gst.PadDirection.SINK else "video/x-raw,format=I420"
        made = Gst.Caps.new_empty()
        for number in range(caps.get_size()):
            text = caps.get_structure(number).to_string()
            rest = re.findall(r"(?:width|height|framerate)=\(\w+\)(?:\[.*?\]|[^,;]+)", text)
            made.append(Gst.Caps.from_string(",".join([kind, *rest])))
        return made.intersect(wanted) if wanted is not None else made

    def do_get_unit_size(self, caps: Any) -> tuple[bool, int]:
        structure = caps.get_structure(0)
        width, height = structure.get_value("width"), structure.get_value("height")
        if structure.get_value("format") == "NV12":
            return True, rows_of_four(width) * height * 3 // 2
        return True, rows_of_four(width) * height + rows_of_four(width // 2) * height

    def do_set_caps(self, sink: Any, _source: Any) -> bool:
        structure = sink.get_structure(0)
        self.width, self.height = structure.get_value("width"), structure.get_value("height")
        return True

    def do_transform(self, given: Any, made: Any) -> Any:
        width, height = self.width, self.height
        luma, chroma = rows_of_four(width), rows_of_four(width // 2)
        data = np.frombuffer(given.extract_dup(0, given.get_size()), np.uint8)
        assert data.size == luma * height + chroma * height, "rows of I420 begin at multiples of four"
        y, u, v = np.split(data, [luma * height, luma * height + chroma * height // 2])
        uv = np.zeros((height // 2, luma), np.uint8)
        for offset, plane in enumerate((u, v)):
            uv[:, offset:width:2] = plane.reshape(-1, chroma)[:, : width // 2]
        made.fill(0, y.tobytes() + uv.tobytes())
        return Gst.FlowReturn.OK


class Download(GstBase.BaseTransform):
    """Within the encoder: the same bytes, called ordinary memory."""

    __gtype_name__ = "StandInDownload"
    pictures = 0

    def do_transform_caps(self, direction: Any, caps: Any, wanted: Any) -> Any:
        made = caps.copy()
        inward = direction == Gst.PadDirection.SINK
        for number in range(made.get_size()):
            made.set_features(
                number, Gst.CapsFeatures.from_string("memory:SystemMemory" if inward else "memory:NVMM")
            )
        return made.intersect(wanted) if wanted is not None else made

    def do_transform_ip(self, _buffer: Any) -> Any:
        self.pictures += 1
        if self.pictures > HARDWARE.fails_after:
            error = GLib.Error.new_literal(Gst.ResourceError.quark(), "Could not get/set settings", 13)
            self.post_message(Gst.Message.new_error(self, error, ""))
            return Gst.FlowReturn.ERROR
        return Gst.FlowReturn.CUSTOM_SUCCESS if self.pictures > HARDWARE.takes else Gst.FlowReturn.OK


def setting(name: str, kind: Any, default: Any) -> Any:
    def get(self: Any) -> Any:
        return self.values.get(name, default)

    def put(self: Any, value: Any) -> None:
        self.values[name] = value

    extra = {"minimum": 0, "maximum": 2**31 - 1} if kind is int else {}
    return GObject.Property(get, put, type=kind, default=default, nick=name, **extra)


class Coding:
    """Of nvv4l2h264enc, what all its shapes do alike. PyGObject makes elements of one class below its own alone."""

    insert_sps_pps = False

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Any] = {}
        self.download = Download()
        self.coder = Gst.ElementFactory.make("x264enc")
        caps = Gst.ElementFactory.make("capsfilter")
        caps.set_property("caps", Gst.Caps.from_string("video/x-h264,stream-format=byte-stream,alignment=au"))
        for each in (self.download, self.coder, caps):
            self.add(each)
        assert self.download.link(self.coder)
        assert self.coder.link(caps)
        caps.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, self._coded)
        self.units = 0
        for name, element in (("sink", self.download), ("src", caps)):
            pad = Gst.GhostPad.new_from_template(
                name, element.get_static_pad(name), self.get_pad_template(name)
            )
            self.add_pad(pad)

    def change_state(self, transition: Any) -> Any:
        if transition == Gst.StateChange.NULL_TO_READY:
            HARDWARE.runs.append(dict(self.values))
            if not HARDWARE.opens:
                text = "Could not open device '/dev/v4l2-nvenc' for reading and writing."
                self.post_message(
                    Gst.Message.new_error(
                        self, GLib.Error.new_literal(Gst.ResourceError.quark(), text, 7), ""
                    )
                )
                return Gst.StateChangeReturn.FAILURE
            self._configure()
        return Gst.Bin.do_change_state(self, transition)

    def _configure(self) -> None:
        coder = self.coder
        Gst.util_set_object_arg(coder, "speed-preset", "ultrafast")
        every = min(self.iframeinterval, self.idrinterval)
        for name, value in {
            "bframes": 0,
            "rc-lookahead": 2,
            "sync-lookahead": 0,
            "key-int-max": every,
        }.items():
            coder.set_property(name, value)
        if (quantizer := self.fixed_quantizer()) is not None:
            Gst.util_set_object_arg(coder, "pass", "quant")
            coder.set_property("quantizer", quantizer)
        else:
            coder.set_property("bitrate", max(1, self.bitrate // 1000))
        coder.set_property("threads", 3)

    def _coded(self, _pad: Any, info: Any) -> Any:
        self.units += 1
        if self.units > 1 and not self.insert_sps_pps:
            buffer = info.get_buffer()
            data = buffer.extract_dup(0, buffer.get_size())
            units = data.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01").split(b"\x00\x00\x01")[1:]
            kept = b"".join(b"\x00\x00\x00\x01" + unit for unit in units if unit[0] & 31 not in (7, 8))
            if len(kept) < len(data):
                made = Gst.Buffer.new_wrapped(kept)
                made.pts, made.dts = buffer.pts, buffer.dts
                self.get_static_pad("src").push(made)
                return Gst.PadProbeReturn.DROP
        return Gst.PadProbeReturn.OK


def shape(name: str, fixed_quantizer: Any = lambda _: None, **properties: tuple[Any, Any]) -> Any:
    """A class of elements with these properties, each with its type and default, and those that every shape has."""
    usual = {"bitrate": 4_000_000, "profile": 0, "iframeinterval": 30, "idrinterval": 256}
    all_of_them = {**{each: (int, default) for each, default in usual.items()}, **properties}
    content: dict[str, Any] = {each: setting(each.replace("_", "-"), *of) for each, of in all_of_them.items()}
    content |= {"__gtype_name__": name, "fixed_quantizer": fixed_quantizer}
    content["do_change_state"] = Coding.change_state  # PyGObject looks for it in the class itself
    return type(Gst.Bin)(name, (Coding, Gst.Bin), content)


OldCardEncoder = shape("StandInNvencOldCard", control_rate=(int, 1))
"""As a graphics card had it before it learned to hold a quantizer."""
CardEncoder = shape(
    "StandInNvencCard",
    lambda self: int(self.constqp.split(":")[1]) if self.control_rate == "constantQP" else None,
    control_rate=(str, "constant_bitrate"),
    preset_id=(int, 1),
    tuning_info_id=(int, 2),
    constqp=(str, "0:0:0"),
)
"""As on Thor. The real control-rate is an enumeration, which is written by name or number."""
Encoder = shape(
    "StandInNvenc",
    lambda self: self.quant_p_frames if not self.ratecontrol_enable and self.preset_level == 0 else None,
    control_rate=(int, 1),
    preset_level=(int, 1),
    quant_i_frames=(int, 2**31 - 1),
    quant_p_frames=(int, 2**31 - 1),
    maxperf_enable=(bool, False),
    insert_sps_pps=(bool, False),
    ratecontrol_enable=(bool, True),
)
"""As on Orin."""


def _describe(kind: Any, klass: str, sink: str, source: str) -> None:
    kind.set_metadata(kind.__gtype_name__, klass, "a stand-in for tests", "tremorscope")
    for name, direction, caps in (
        ("sink", Gst.PadDirection.SINK, sink),
        ("src", Gst.PadDirection.SRC, source),
    ):
        kind.add_pad_template(
            Gst.PadTemplate.new(name, direction, Gst.PadPresence.ALWAYS, Gst.Caps.from_string(caps))
        )


_describe(Converter, "Filter/Converter/Video", "video/x-raw,format=I420", f"{NVMM},format=NV12")
_describe(Download, "Filter/Video", f"{NVMM},format=NV12", "video/x-raw,format=NV12")
for _shape in (OldCardEncoder, Encoder, CardEncoder):
    _describe(
        _shape,
        "Codec/Encoder/Video",
        f"{NVMM},format=NV12",
        "video/x-h264,stream-format=byte-stream,alignment=au",
    )


@contextmanager
def device_with(hardware: Hardware, *, element: Any = Encoder) -> Iterator[Hardware]:
    """Be a device with this encoder in some shape, None where GStreamer has none; afterwards all is as before."""
    global HARDWARE
    HARDWARE = hardware
    registry = Gst.Registry.get()
    kinds: dict[str, Any] = {"nvvidconv": Converter, "nvv4l2h264enc": element}
    before = {name: registry.lookup_feature(name) for name in kinds}
    for name, kind in kinds.items():
        if kind is not None:
            assert Gst.Element.register(None, name, Gst.Rank.NONE, kind)
        elif before[name] is not None:
            registry.remove_feature(before[name])
    try:
        yield hardware
    finally:
        for name, feature in before.items():
            there = registry.lookup_feature(name)
            if there is not None:
                registry.remove_feature(there)
            if feature is not None:
                registry.add_feature(feature)
