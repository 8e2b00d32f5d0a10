"""Sound of a clip, laid beside the pictures of a video as these are written: copied, or coded anew."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from tremorscope.runtime.clips.containers import Container
from tremorscope.runtime.host.files import file_address


def sound_of(clip: Path) -> tuple[Any, Any] | None:
    """An opened container, to be closed, and its stream of sound; None where a clip has none."""
    try:
        source: Any = av.open(file_address(clip), metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError):  # a folder, a file of raw frames
        return None
    streams = [each for each in source.streams.audio if each.codec_context is not None]
    if not streams:
        source.close()
        return None
    return source, source.streams.best("audio") or streams[0]


class SoundTrack:
    """Sound of a clip in a video; its times count, as the pictures' do, from the first picture.

    Args:
        clip: the clip.
        target: an output of PyAV of which nothing was written yet.
        container: its kind.
    """

    def __init__(self, clip: Path, target: Any, container: Container) -> None:
        self.note = ""
        """Human-readable fate of the sound; empty where the clip has none."""
        self._target, self._packets = target, None
        found = sound_of(clip)
        if found is None:
            return
        self._source, stream = found
        name = stream.codec_context.name.removesuffix("float")
        if not container.sound_codec:
            self.note = f"left out: {container.format} holds none"
            self._source.close()
            return
        self._copied = container.sounds is None or name in container.sounds
        try:
            if self._copied:
                self._stream = target.add_stream_from_template(stream)
                self.note = f"{name}, copied"
            else:
                self._stream = target.add_stream(container.sound_codec, rate=48_000)
                self._stream.bit_rate = 160_000
                self._stream.layout = "mono" if stream.codec_context.layout.nb_channels == 1 else "stereo"
                self.note = f"{name}, coded anew as {container.sound_codec.removeprefix('lib')}"
        except (av.FFmpegError, ValueError) as error:
            self.note = f"left out: {name} cannot be kept ({error})"
            self._source.close()
            return
        self._packets = self._coded(stream)
        self._start_s = 0.0
        self._waiting: Any = None

    def begin(self, start_s: float) -> None:
        """State the time of the first picture in the clip."""
        self._start_s = start_s

    def carry(self, until_s: float) -> None:
        """Write the sound up to a time since the first picture.

        Raises:
            av.FFmpegError: it cannot be written.
        """
        while self._packets is not None:
            packet, self._waiting = self._waiting or self._next(), None
            if packet is None:
                return
            if packet.pts * packet.time_base > until_s:
                self._waiting = packet
                return
            packet.stream = self._stream
            self._target.mux(packet)

    def close(self) -> None:
        """Close the clip, and empty the encoder of what comes after the pictures; closing twice is harmless."""
        if self._packets is not None:
            self._packets = None
            if not self._copied:
                with contextlib.suppress(av.FFmpegError):  # as it is where it was emptied already
                    self._stream.encode(None)
            self._source.close()

    def _next(self) -> Any:
        """The next packet to write; None at the end, or where the rest of the sound cannot be read."""
        assert self._packets is not None
        try:
            packet = next(self._packets, None)
        except av.FFmpegError:
            self.note += ", up to where it is damaged"
            packet = None
        if packet is None:
            self.close()
        return packet

    def _coded(self, stream: Any) -> Iterator[Any]:
        """Packets of the video's sound from the first picture on."""
        if not self._copied:
            yield from self._encoded(stream)
            return
        for packet in self._source.demux(stream):
            if packet.size and packet.pts is not None:
                ticks = round(self._start_s / packet.time_base)
                packet.pts -= ticks
                packet.dts = packet.pts if packet.dts is None else packet.dts - ticks
                if packet.pts >= 0:
                    yield packet

    def _encoded(self, stream: Any) -> Iterator[Any]:
        context = self._stream.codec_context
        resampler = av.AudioResampler(format=context.format, layout=context.layout, rate=context.rate)
        written = 0
        for frame in self._source.decode(stream):
            if frame.pts is None or frame.pts * frame.time_base < self._start_s:
                continue
            for each in resampler.resample(frame):
                if not written:
                    written = round((float(frame.pts * frame.time_base) - self._start_s) * context.rate)
                each.pts, each.time_base = written, Fraction(1, context.rate)
                written += each.samples
                yield from self._stream.encode(each)
        with contextlib.suppress(EOFError):
            yield from self._stream.encode(None)
