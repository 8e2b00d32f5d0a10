"""A recorded clip as a camera: every frame of any video that FFmpeg decodes, at the times the file states."""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.cameras.clip_coding import EXPORT_QUANTISERS, ClipCoding, CodingAccount
from tremorscope.runtime.cameras.clip_stream import (
    FORMATS,
    FrameConverter,
    choose_stream,
    layout_of,
    open_clip,
    storage_of,
)
from tremorscope.runtime.cameras.intactness import inspect_clip
from tremorscope.runtime.errors import ClipFault
from tremorscope.runtime.frames.buffers import CopyAccount
from tremorscope.runtime.frames.frame import Colour, FrameInfo

_PEEKED = 12
"""Packets from whose times is judged which times a clip has."""
_PICTURES = {1: "I", 2: "P", 3: "B"}


class ClipCamera:
    """Reads a clip's frames in order as RGB, upright, with their presentation times, in constant memory.

    Grey, 10-bit and subsampled pictures are converted straight to 8-bit RGB by the matrix and the range that
    the clip states; a picture that was filmed turned or mirrored is shown as every player shows it.

    Where a container has no presentation times (AVI, some WMV), frames take the decode times in their order; where
    it has none at all, or those do not rise, they are taken as evenly spaced.
    """

    def __init__(
        self,
        path: Path,
        *,
        capture_rate_hz: float | None = None,
        account: CopyAccount | None = None,
        quantisers: bool = False,
    ) -> None:
        """Open a clip and check that it is whole.

        Args:
            path: the clip.
            capture_rate_hz: true rate of capture, where the file states only that of playback.
            account: takes note of the one copy from the decoder's memory.
            quantisers: have the decoder hand out how coarsely it was coded, for `coding`.

        Raises:
            ClipFault: it is missing, not a video, too small, or cut short.
        """
        self.path, self.capture_rate_hz = path, capture_rate_hz
        self._quoted = shlex.quote(str(path))
        self._structure = inspect_clip(path)
        self._container = open_clip(path, self._structure)
        self.picture_types = bytearray()
        """Type of every picture read so far: ``K`` a key frame, else ``I``, ``P``, ``B``, or ``?``."""
        self._coding = CodingAccount()
        self._interlaced = 0
        self._decode_ticks: deque[int | None] = deque()
        try:
            self._stream, self._stream_note = choose_stream(path, self._container)
            if quantisers:
                self._stream.codec_context.options |= EXPORT_QUANTISERS
            first, decoded = self._begin()
            self._layout = layout_of(path, first, self._stream)
            self.time_base = Fraction(self._stream.time_base)
            self.bit_depth = max(8, int(first.format.components[0].bits))  # of luma, or red
            self._converter = FrameConverter(path, first, self.time_base, self._layout, account)
        except ClipFault:
            self._container.close()
            raise
        self._frames = chain([first], decoded)
        self._rate = Fraction(self._stream.average_rate or self._stream.guessed_rate or 25)
        self.has_timestamps = self._ticks_of(first, peek=True) is not None
        self._sequence = 0
        self._previous_ticks: int | None = None
        self._even_from: int | None = None
        """Ticks of frame 0 once frames are taken as evenly spaced."""

    @property
    def width_px(self) -> int:
        """Width of every frame in pixels, turned upright."""
        return self._layout.width_px

    @property
    def height_px(self) -> int:
        """Height of every frame in pixels, turned upright."""
        return self._layout.height_px

    @property
    def nominal_rate_hz(self) -> float:
        """Frames a second as the container states them: of a high-speed clip often the playback rate."""
        return float(self._rate)

    @property
    def frame_count_estimate(self) -> int | None:
        """Number of frames that the container announces, for a progress display; None where it states none."""
        stream: Any = self._stream
        if stream.frames:
            return int(stream.frames)
        rate = stream.average_rate or stream.guessed_rate
        if not rate:
            return None
        if stream.duration and stream.time_base:
            return int(stream.duration * stream.time_base * rate + 0.5)
        if self._container.duration:
            return int(Fraction(self._container.duration, av.time_base) * rate + 0.5)
        return None

    @property
    def colour(self) -> Colour:
        """Matrix, primaries and transfer of the clip."""
        return self._layout.colour

    @property
    def pixel_aspect(self) -> Fraction:
        """Width over height of one pixel, turned upright; 1 for square pixels."""
        return self._layout.pixel_aspect

    def read_into(self, pixels: NDArray[np.uint8]) -> FrameInfo | None:
        """Write the next frame into ``pixels``, u8[H, W, 3] RGB, and return its data, or None at the end.

        Raises:
            ClipFault: a frame is damaged or lost, changes its size, or its time runs backwards.
        """
        return self._read(lambda frame: self._converter.to_rgb(frame, pixels))

    def read_luma_into(self, luma: NDArray[np.float32]) -> FrameInfo | None:
        """Write the next frame's luma into ``luma``, f32[H, W], in grey levels of 0 to 255 with their fractions.

        Raises:
            ClipFault: as `read_into`.
        """
        return self._read(lambda frame: self._converter.to_luma(frame, luma))

    def _read(self, convert: Callable[[Any], None]) -> FrameInfo | None:
        frame = next(self._frames, None)
        if frame is None:
            return None
        if storage_of(frame) != self._layout.storage:
            raise ClipFault(
                f"{self.path}: the picture changes from {self._layout.storage} to {storage_of(frame)} "
                f"at frame {self._sequence + 1}",
                remedy=f"make it uniform: ffmpeg -i {self._quoted} uniform.mp4",
            )
        convert(frame)
        self._take_note_of(frame)
        ticks = self._ticks_of(frame) if self.has_timestamps else None
        if ticks is None or (self._by_decode_times and not self._rises(ticks)):
            self.has_timestamps = False
            ticks = self._even_ticks()
        if not self._rises(ticks):
            raise ClipFault(
                f"{self.path}: frame {self._sequence + 1} has no time later than the frame before it",
                remedy=f"space the frames evenly: ffmpeg -i {self._quoted} -vf setpts=N/FRAME_RATE/TB repaired.mp4",
            )
        info = FrameInfo(sequence=self._sequence, timestamp_s=float(ticks * self.time_base))
        self._previous_ticks = ticks
        self._sequence += 1
        return info

    def notes(self) -> list[str]:
        """Human-readable peculiarities of the clip that bear on what is measured in it, as far as it was read."""
        notes = [self._stream_note] if self._stream_note else []
        if self._interlaced:
            notes.append(
                f"{self._interlaced} of {self._sequence} frames are interlaced, two fields of different times in "
                "each: amplitudes come out too small; make a frame of each field first: "
                f"ffmpeg -i {self._quoted} -vf bwdif=send_field -crf 10 fields.mp4"
            )
        if self._by_decode_times and self.has_timestamps:
            notes.append("the clip holds no presentation times: frames take the decode times in their order")
        return notes

    def coding(self) -> ClipCoding:
        """Account of how the clip was compressed, as far as it was read."""
        pixels = self._layout.width_px * self._layout.height_px
        codec = self._stream.codec_context.codec
        types = bytes(self.picture_types)
        if (
            codec.lossless and not codec.lossy
        ):  # FFV1's pictures refer to others, but for their statistics alone
            types = b"K" * len(types)
        found = self._coding.coding(codec.name, types, pixels)
        if found.quantiser is None:
            return found
        return replace(found, quantiser=self._layout.upright(found.quantiser))

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._container.close()

    def _begin(self) -> tuple[Any, Iterator[Any]]:
        """The first frame, and those after it."""
        if self._structure.missing_bytes:
            raise self._cut_short()
        packets = self._container.demux(self._stream)
        peeked = list(islice(packets, _PEEKED))
        self._by_decode_times = self._lacks_presentation_times(peeked)
        decoded = self._decode(chain(peeked, packets))
        first = next(decoded, None)
        if first is None:
            raise ClipFault(f"{self.path}: holds no frame", remedy=f"name a video clip: {FORMATS}")
        return first, decoded

    def _lacks_presentation_times(self, packets: list[Any]) -> bool:
        """True where frames must take the decode times: AVI has no others, and FFmpeg makes them up."""
        filled = [packet for packet in packets if packet.size]
        return self._container.format.name == "avi" or any(packet.pts is None for packet in filled)

    def _ticks_of(self, frame: Any, *, peek: bool = False) -> int | None:
        """The time that the file gives a frame; frames leave the decoder in the order of their times."""
        if not self._by_decode_times:
            return None if frame.pts is None else int(frame.pts)
        if not self._decode_ticks:
            return None
        return self._decode_ticks[0] if peek else self._decode_ticks.popleft()

    def _even_ticks(self) -> int:
        """The time of the next frame at an even rate, from the last time that the file gave on."""
        interval = 1 / self._rate / self.time_base
        if self._even_from is None:
            self._even_from = (
                0
                if self._previous_ticks is None
                else self._previous_ticks - round((self._sequence - 1) * interval)
            )
        return self._even_from + round(self._sequence * interval)

    def _rises(self, ticks: int) -> bool:
        return self._previous_ticks is None or ticks > self._previous_ticks

    def _take_note_of(self, frame: Any) -> None:
        self._interlaced += bool(frame.interlaced_frame)
        self._coding.add_picture(frame)
        # Some decoders, as CineForm's, tell neither type nor key frame; then the packets' marks hold.
        kind = _PICTURES.get(int(frame.pict_type), "?")
        is_key = frame.key_frame or (kind == "?" and self._coding.only_keys)
        self.picture_types += b"K" if is_key else kind.encode()

    def _decode(self, packets: Iterator[Any]) -> Iterator[Any]:
        """Every frame in order of presentation; raises ClipFault where one is damaged."""
        decoded = 0
        try:
            for packet in packets:
                if packet.is_corrupt:
                    raise self._damaged(decoded)
                if packet.size:
                    self._coding.add_packet(packet)
                    if self._by_decode_times:
                        self._decode_ticks.append(packet.dts)
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise self._damaged(decoded)
                    yield frame
                    decoded += 1
        except av.FFmpegError:
            raise self._damaged(decoded) from None

    def _damaged(self, decoded: int) -> ClipFault:
        announced = self.frame_count_estimate
        of_announced = f" of {announced}" if announced else ""
        return ClipFault(
            f"{self.path}: damaged: frame {decoded + 1}{of_announced} cannot be decoded",
            remedy=f"copy it again from the camera, or keep what can be read: "
            f"ffmpeg -i {self._quoted} -crf 10 repaired.mp4",
        )

    def _cut_short(self) -> ClipFault:
        readable = 0
        try:
            for packet in self._container.demux(self._stream):
                if packet.is_corrupt:
                    break
                readable += packet.size > 0
        except av.FFmpegError:
            pass  # reading fails where the file ends: what came before it counts
        announced = self.frame_count_estimate or "an unknown number of"
        return ClipFault(
            f"{self.path}: cut short: {readable} of {announced} frames are readable, "
            f"{self._structure.missing_bytes} bytes are missing",
            remedy=f"copy it again from the camera, or keep what can be read: "
            f"ffmpeg -i {self._quoted} -c copy repaired.mp4",
        )
