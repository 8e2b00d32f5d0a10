"""H.264 encoding of clips and the live stream: by the device's own encoder if it has one, else by the CPU.

Both give packets of one stream in an FFmpeg container, so that the caller need not know which it is.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from numpy.typing import NDArray

from tremorscope.runtime.clips.nvenc import (
    ELEMENT,
    EncoderChoice,
    NvencPipeline,
    NvencSettings,
    is_key_picture,
    rows_of_four,
    why_no_nvenc,
)
from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.frames.frame import Colour

log = logging.getLogger("tremorscope.encoder")

_X264 = "libx264"
_LIMITED_RANGE, _FULL_RANGE = 1, 2
NEAR_LOSSLESS = 2
"""CRF of what is kept as evidence: what is measured in it is what was filmed, to some thousandths of a pixel."""
_NVENC_ABOVE_X264 = 2
"""Quantizer of the device's encoder above the CRF of x264 that looks alike."""
_CLIP_OPTIONS = {
    "preset": "veryfast",
    "bf": "0",  # without B-frames the first picture is at time zero in every player, edit lists or not
}
_VP9_OPTIONS = {"crf": "18", "b": "0", "deadline": "good", "cpu-used": "5", "row-mt": "1"}
_LIVE_OPTIONS = {
    "preset": "ultrafast",  # leaves the CPU to measurement and magnification
    "tune": "zerolatency",
    "forced-idr": "1",
}


@dataclass(frozen=True)
class EncodingSettings:
    """Size, rate, times and colours of the pictures to encode, and the rate control."""

    width_px: int
    """Even for an encoder, as is ``height_px``; `VideoWriter` pads odd ones."""
    height_px: int
    rate_hz: float
    """Nominal pictures a second, a hint to encoder and players."""
    time_base: Fraction
    """Seconds a tick of the pictures' times, the finest step between two pictures."""
    key_every: int = 60
    """Longest distance of two key pictures, in pictures: players can seek to these."""
    bitrate_kbps: int | None = None
    """Constant bit rate of a live stream; None keeps the quality constant, for a clip."""
    constant_rate_factor: int = 16
    """x264's quality of a clip: 0 loses nothing, 51 is the coarsest; 16 keeps the texture that shows motion."""
    colour: Colour = field(default_factory=Colour)
    """Conversion of RGB to YUV; BT.601 if not stated."""
    pixel_aspect: Fraction = Fraction(1)
    """Width over height of one pixel."""

    @property
    def rate(self) -> Fraction:
        """Nominal rate as the fraction that containers store."""
        return Fraction(self.rate_hz).limit_denominator(1001)


class Encoder(Protocol):
    """Encoder of pictures into packets of one stream."""

    name: str
    """Name of the encoder in GStreamer or FFmpeg."""

    def encode(self, picture: Any) -> Iterable[Any]:
        """Packets that are ready after a picture (an av.VideoFrame in yuv420p with its time), or after None at the end.

        Raises:
            OutputFault: the encoder failed.
            av.FFmpegError: FFmpeg failed.
        """

    def close(self) -> None:
        """Release the encoder; closing twice is harmless."""


def encoder_of(choice: EncoderChoice, width_px: int, height_px: int) -> tuple[str, str]:
    """Name of the encoder that a choice resolves to for pictures of a size, and the reason in a few words.

    Raises:
        OutputFault: nvenc is required and not available.
    """
    if choice == "x264":
        return _X264, "the configuration asks for it"
    reason = why_no_nvenc(width_px // 2 * 2, height_px // 2 * 2)
    if not reason:
        return ELEMENT, "the device has this encoder"
    if choice == "nvenc":
        raise OutputFault(reason, remedy="set encoder: x264, or auto")
    return _X264, reason


def open_encoder(container: Any, coding: EncodingSettings, choice: EncoderChoice, what: str) -> Encoder:
    """Add a stream of H.264 to a container, by the encoder that the choice resolves to, which is logged.

    Args:
        container: an output of PyAV of which nothing was written yet.
        coding: settings of the stream.
        choice: choice of the encoder.
        what: name of the stream, for the log.

    Raises:
        OutputFault: there is no such encoder.
    """
    name, why = encoder_of(choice, coding.width_px, coding.height_px)
    if name == ELEMENT:
        try:
            encoder: Encoder = _Nvenc(container, coding)
        except OutputFault as fault:  # it has worked before: other streams may use all its sessions
            if choice == "nvenc":
                raise
            name, why = _X264, fault.what
    if name == _X264:
        encoder = FfmpegEncoder(container, coding)
    log.info("%s: encoded by %s (%s)", what, name, why)
    return encoder


class FfmpegEncoder:
    """An encoder of FFmpeg's on the CPU, of H.264 unless another is named."""

    def __init__(
        self, container: Any, coding: EncodingSettings, codec: str = _X264, pixel_format: str = "yuv420p"
    ) -> None:
        self.name = codec
        try:
            stream = container.add_stream(codec, rate=coding.rate, options=_options(codec, coding))
        except (av.FFmpegError, ValueError):
            raise OutputFault(
                f"this build of PyAV has no encoder {codec}", remedy="pip install --force-reinstall av"
            ) from None
        context = stream.codec_context
        stream.width, stream.height, stream.pix_fmt = coding.width_px, coding.height_px, pixel_format
        context.time_base = coding.time_base
        context.sample_aspect_ratio = coding.pixel_aspect
        if pixel_format == "yuv420p":
            context.color_range = _FULL_RANGE if coding.colour.full_range else _LIMITED_RANGE
            context.colorspace = coding.colour.matrix
            context.color_primaries, context.color_trc = coding.colour.primaries, coding.colour.transfer
        if coding.bitrate_kbps is not None:
            stream.bit_rate = 1000 * coding.bitrate_kbps
            context.thread_count = 1
        self._stream = stream

    def encode(self, picture: Any) -> Iterable[Any]:
        """Packets that are ready; see `Encoder.encode`."""
        return list(self._stream.encode(picture))

    def close(self) -> None:
        """Do nothing: the container owns the encoder."""


def _options(codec: str, coding: EncodingSettings) -> dict[str, str]:
    if (
        codec == "gif"
    ):  # what has not changed is found by places in the palette, which is another in each picture
        return {"gifflags": "0"}
    if codec != _X264:
        return _VP9_OPTIONS | {"g": str(coding.key_every)}
    live = coding.bitrate_kbps is not None
    quality = {} if live else {"crf": str(coding.constant_rate_factor)}
    mastering = {"x264-params": coding.colour.mastering} if coding.colour.mastering else {}
    return (_LIVE_OPTIONS if live else _CLIP_OPTIONS) | quality | mastering | {"g": str(coding.key_every)}


class _Nvenc:
    """The device's encoder; colours and aspect, which it does not take, are written into its headers."""

    name = ELEMENT

    def __init__(self, container: Any, coding: EncodingSettings) -> None:
        self._pipeline = NvencPipeline(
            NvencSettings(
                coding.width_px,
                coding.height_px,
                coding.rate,
                coding.bitrate_kbps,
                coding.key_every,
                quantizer=coding.constant_rate_factor + _NVENC_ABOVE_X264,
            )
        )
        try:
            self._stream, self._headers = self._describe(container, coding)
        except BaseException:
            self._pipeline.close()
            raise
        self._time_base = coding.time_base
        self._times: deque[int] = deque()

    def _describe(self, container: Any, coding: EncodingSettings) -> tuple[Any, Any]:
        stream = container.add_mux_stream(
            "h264", rate=coding.rate, width=coding.width_px, height=coding.height_px
        )
        stream.time_base = coding.time_base
        colour, aspect = coding.colour, coding.pixel_aspect
        headers = (
            f"h264_metadata=colour_primaries={colour.primaries}:transfer_characteristics={colour.transfer}"
            f":matrix_coefficients={colour.matrix}:video_full_range_flag={int(colour.full_range)}"
            f":sample_aspect_ratio={aspect.numerator}/{aspect.denominator}"
        )
        return stream, BitStreamFilterContext(headers, stream, stream)

    def encode(self, picture: Any) -> Iterable[Any]:
        if picture is not None:
            self._times.append(picture.pts)
        coded = self._pipeline.encode(None if picture is None else _i420(picture))
        return [each for unit in coded for each in self._packets(unit)]

    def close(self) -> None:
        self._pipeline.close()

    def _packets(self, coded: bytes) -> Iterable[Any]:
        packet = av.Packet(coded)
        # Without B-frames coded pictures come in the order in which they are shown.
        packet.pts = packet.dts = self._times.popleft()
        packet.time_base, packet.stream = self._time_base, self._stream
        packet.is_keyframe = is_key_picture(coded)
        for each in self._headers.filter(packet):
            each.time_base, each.stream = self._time_base, self._stream
            yield each


def _i420(picture: Any) -> bytes:
    """The planes of a picture in yuv420p with rows padded to multiples of four bytes, as GStreamer expects them."""
    planes: list[bytes] = []
    for plane in picture.planes:
        rows: NDArray[np.uint8] = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]
        laid: NDArray[np.uint8] = np.zeros((plane.height, rows_of_four(plane.width)), np.uint8)
        laid[:, : plane.width] = rows[:, : plane.width]
        planes.append(laid.tobytes())
    return b"".join(planes)
