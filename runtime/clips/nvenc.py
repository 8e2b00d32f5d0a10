"""H.264 by the hardware encoder of a Jetson, through GStreamer's ``nvv4l2h264enc``.

It is the only way to that encoder: Tegra has no libnvidia-encode, which FFmpeg's h264_nvenc needs. AGX Orin, Orin NX
and Thor have one, Orin Nano has none: there NVIDIA's plugin (gst-nvvideo4linux2, from L4T 35 on) leaves the element
out, and before that it could be created but not opened. So one picture is encoded before the encoder is chosen.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from tremorscope.runtime.cameras.gstreamer.load import (
    call_bounded,
    has_element,
    load_gstreamer,
    parse_pipeline,
    properties_of,
)
from tremorscope.runtime.errors import Fault, OutputFault

EncoderChoice = Literal["auto", "nvenc", "x264"]
"""auto: the device's own encoder if it has one that works, else the CPU; nvenc and x264 insist."""

ELEMENT = "nvv4l2h264enc"
_CONVERTER = "nvvidconv"
_OPEN_S, _ANSWER_S = 5.0, 5.0
_MOST_IN_FLIGHT = 8
_NAL_TYPE = re.compile(rb"\x00\x00\x01(.)", re.DOTALL)
_KEY_PICTURE = 5
_HIGH_PROFILE = 4
_VARIABLE_BITRATE, _CONSTANT_BITRATE = 0, 1
_BITS_A_PIXEL, _PER_DOUBLING = 0.5, 5
"""Bit rate of clips if no quantizer can be fixed, in place of one of 18: 31 Mbit/s of full HD at 30 Hz, more than most
scenes need; and the quantizers by which it doubles."""
_PARAMETER_SETS = re.compile(rb"\x00\x00\x01[\x27\x28\x47\x48\x67\x68].*?(?=\x00*\x00\x00\x01)", re.DOTALL)
"""Parameter sets of H.264 in Annex B: types 7 and 8 with any nal_ref_idc, each up to the next start code."""


@dataclass(frozen=True)
class NvencSettings:
    """Size, rate and rate control of the encoder."""

    width_px: int
    """Even, as is ``height_px``."""
    height_px: int
    rate: Fraction
    """Pictures a second, as a hint."""
    bitrate_kbps: int | None
    """Constant bit rate; None keeps the quality constant."""
    key_every: int
    """Pictures from one key picture to the next."""
    quantizer: int = 18
    """Quantizer of a clip: 0 loses nothing, 51 is the coarsest; 18 is about libx264's CRF of 16."""

    def properties(self, known: Collection[str]) -> str:
        """The element's properties in the language of gst-launch, restricted to those ``known`` to it.

        Two elements share the name: with the driver of a graphics card, as on Thor, it lacks half of the properties
        that it has on Orin, and has others. An unknown property would invalidate the whole pipeline.
        """
        helpful: list[tuple[str, object]] = [
            ("profile", _HIGH_PROFILE),
            ("maxperf-enable", "true"),
            ("insert-sps-pps", "true"),
            ("iframeinterval", self.key_every),
            ("idrinterval", self.key_every),
            ("preset-level", 0 if self.bitrate_kbps is None else 1),
        ]
        kept = [each for each in helpful if each[0] in known] + self._quality(known)
        return " ".join(f"{name}={value}" for name, value in kept)

    def _quality(self, known: Collection[str]) -> list[tuple[str, object]]:
        """Properties of the rate control, which are required. Unlike x264enc's, the bit rate is in bits a second."""
        if self.bitrate_kbps is not None:
            return [("control-rate", _CONSTANT_BITRATE), ("bitrate", 1000 * self.bitrate_kbps)]
        if "quant-p-frames" in known:
            # It counts only with rate control and presets off (gst-inspect-1.0 nvv4l2h264enc).
            fixed: list[tuple[str, object]] = [("ratecontrol-enable", "false")]
            return [*fixed, ("quant-i-frames", self.quantizer), ("quant-p-frames", self.quantizer)]
        if "constqp" in known:
            return [("control-rate", "constantQP"), ("constqp", ":".join([str(self.quantizer)] * 3))]
        bits_a_pixel = _BITS_A_PIXEL * 2 ** ((18 - self.quantizer) / _PER_DOUBLING)
        bits = round(bits_a_pixel * self.width_px * self.height_px * self.rate)
        return [("control-rate", _VARIABLE_BITRATE), ("bitrate", bits)]

    def pipeline(self, known: Collection[str]) -> str:
        """Pipeline from I420 in ordinary memory, which nvvidconv copies into NVIDIA's, to an access unit a picture."""
        return (
            f"appsrc name=source format=time caps=video/x-raw,format=I420,width={self.width_px},"
            f"height={self.height_px},framerate={self.rate.numerator}/{self.rate.denominator} "
            f"! {_CONVERTER} ! video/x-raw(memory:NVMM),format=NV12 "
            f"! {ELEMENT} name=encoder {self.properties(known)} "
            "! video/x-h264,stream-format=byte-stream,alignment=au "
            "! appsink name=sink sync=false async=false"
        )


class NvencPipeline:
    """One run of the encoder, for one thread."""

    def __init__(self, settings: NvencSettings) -> None:
        """Open the encoder.

        Raises:
            OutputFault: there is none, or it cannot be opened.
        """
        try:
            self._gst = load_gstreamer()
            self._pipeline: Any = parse_pipeline(settings.pipeline(properties_of(ELEMENT)), ELEMENT)
        except Fault as fault:
            raise _no_encoder(fault.what) from None
        self._source, self._sink = (self._pipeline.get_by_name(name) for name in ("source", "sink"))
        self._period_ns = round(1e9 / settings.rate)
        self._pushed = self._came = 0
        self._parameter_sets = b""
        self._open()

    def encode(self, picture: bytes | None) -> list[bytes]:
        """Encode a picture, I420 as GStreamer lays it out, or None after the last; returns finished access units.

        Raises:
            OutputFault: the encoder failed, or gives nothing any more.
        """
        if picture is None:
            self._source.emit("end-of-stream")
        else:
            buffer = self._gst.Buffer.new_wrapped(picture)
            buffer.pts, buffer.duration = self._pushed * self._period_ns, self._period_ns
            if self._source.emit("push-buffer", buffer) != self._gst.FlowReturn.OK:
                raise _no_encoder(self._reason("it takes no more pictures"))
            self._pushed += 1
        most_left = 0 if picture is None else _MOST_IN_FLIGHT
        coded: list[bytes] = []
        until_s = time.monotonic() + _ANSWER_S
        while self._came < self._pushed:
            must_wait = self._pushed - self._came > most_left
            sample = self._sink.emit("try-pull-sample", 50_000_000 if must_wait else 0)
            if sample is not None:
                data = sample.get_buffer()
                coded.append(self._with_parameter_sets(data.extract_dup(0, data.get_size())))
                self._came += 1
                until_s = time.monotonic() + _ANSWER_S
            elif not must_wait:
                break
            elif (reason := self._reason("")) or time.monotonic() > until_s:
                raise _no_encoder(reason or f"it gave nothing for {_ANSWER_S:g} s")
        return coded

    def close(self) -> None:
        """Close the encoder; closing twice is harmless. A driver that hangs is abandoned after a time."""
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            call_bounded(lambda: pipeline.set_state(self._gst.State.NULL), _OPEN_S, "close the encoder")

    def _with_parameter_sets(self, coded: bytes) -> bytes:
        """The access unit, with parameter sets before a key picture: not every such element repeats them."""
        if not is_key_picture(coded):
            return coded
        if found := _PARAMETER_SETS.findall(coded):
            self._parameter_sets = b"".join(b"\x00" + each for each in found)
            return coded
        return self._parameter_sets + coded

    def _open(self) -> None:
        pipeline, answers = self._pipeline, []
        started = call_bounded(
            lambda: answers.append(pipeline.set_state(self._gst.State.PLAYING)), _OPEN_S, "open the encoder"
        )
        if not started or not answers or answers[0] == self._gst.StateChangeReturn.FAILURE:
            reason = self._reason("it does not open") if started else f"it did not open within {_OPEN_S:g} s"
            self.close()
            raise _no_encoder(reason)

    def _reason(self, otherwise: str) -> str:
        """The pipeline's error message in one line, or ``otherwise`` if there is none."""
        message = self._pipeline.get_bus().pop_filtered(self._gst.MessageType.ERROR)
        if message is None:
            return otherwise
        error, _ = message.parse_error()
        return " ".join(str(error.message).split())[:200]


def is_key_picture(coded: bytes) -> bool:
    """True if an access unit in Annex B is an IDR picture."""
    return any(found[1][0] & 31 == _KEY_PICTURE for found in _NAL_TYPE.finditer(coded))


_has_encoded: set[tuple[int, int]] = set()
"""Sizes of which the encoder of this device has encoded a picture; failures are not kept, as they may pass."""


def why_no_nvenc(width_px: int, height_px: int) -> str:
    """Reason why this device's encoder cannot be used for pictures of an even size; empty if it has encoded one."""
    if (width_px, height_px) in _has_encoded:
        return ""
    reason = _try_nvenc(width_px, height_px)
    if not reason:
        _has_encoded.add((width_px, height_px))
    return reason


def _try_nvenc(width_px: int, height_px: int) -> str:
    try:
        missing = [name for name in (ELEMENT, _CONVERTER) if not has_element(name)]
    except Fault as fault:
        return fault.what
    if missing:
        return (
            f"GStreamer has no {' and no '.join(missing)}, as on devices without such an encoder (Orin Nano)"
        )
    try:
        pipeline = NvencPipeline(NvencSettings(width_px, height_px, Fraction(30), None, 30))
        try:
            black = bytes(i420_size(width_px, height_px))
            coded = [*pipeline.encode(black), *pipeline.encode(None)]
        finally:
            pipeline.close()
    except OutputFault as fault:
        return fault.what
    return "" if len(coded) == 1 and is_key_picture(coded[0]) else f"{ELEMENT}: its first picture is none"


def i420_size(width_px: int, height_px: int) -> int:
    """Bytes of a picture of an even size in I420 as GStreamer lays it out: rows begin at multiples of four."""
    return height_px * (rows_of_four(width_px) + rows_of_four(width_px // 2))


def rows_of_four(width_px: int) -> int:
    """Distance of rows in bytes: the width rounded up to a multiple of four."""
    return -(-width_px // 4) * 4


def _no_encoder(reason: str) -> OutputFault:
    return OutputFault(f"{ELEMENT}: {reason}", remedy="set encoder: x264, or auto")
