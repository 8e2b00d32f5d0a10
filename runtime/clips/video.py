"""Video files: H.264 in MP4 that browsers play, at the frames' own times, complete or not there at all."""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

from tremorscope.runtime.clips.h264 import Encoder, EncodingSettings, open_encoder
from tremorscope.runtime.clips.nvenc import EncoderChoice
from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.frames.frame import Colour
from tremorscope.runtime.host.files import check_place, file_address

SUFFIX = ".mp4"


def check_output(path: Path, *, overwrite: bool, source: Path | None = None) -> None:
    """Check, before any work is done, that an output can and may be written.

    Args:
        path: the video to be written.
        overwrite: allow the replacement of an existing file.
        source: the clip that is read meanwhile, which must never be replaced.

    Raises:
        OutputFault: the video cannot or must not be written there.
    """
    if path.suffix.lower() != SUFFIX:
        raise OutputFault(
            f"{path}: a video is written as MP4 only",
            remedy=f"name it with {SUFFIX}, e.g. {path.stem}{SUFFIX}",
        )
    try:
        if source is not None and path.exists() and source.exists() and path.samefile(source):
            raise OutputFault(f"{path}: is the clip itself", remedy="name another file")
        check_place(path, overwrite=overwrite)
    except OSError as error:  # a name that is too long, a directory that may not be entered
        raise _fault(path, error) from None


class VideoWriter:
    """Writer of an MP4 file (H.264, yuv420p, index first).

    The file is written under a temporary name beside the target, read back, and only then renamed: after a
    failure or an interruption nothing is left. As a context manager it finishes on success and discards on
    any exception.

    Times count from the first picture and are whole ticks of the time base, so a variable rate is kept
    exactly. A side of odd length gets one more row or column, a repetition of its edge, as yuv420p needs
    even ones.
    """

    def __init__(
        self,
        path: Path,
        settings: EncodingSettings,
        *,
        comment: str = "",
        overwrite: bool = False,
        encoder: EncoderChoice = "x264",
    ) -> None:
        """Start a video.

        Args:
            path: name of the finished video; ends in .mp4.
            settings: size, rate, times and colours of the pictures.
            comment: text for the file's metadata.
            overwrite: allow the replacement of an existing file.
            encoder: choice of the encoder.

        Raises:
            OutputFault: the file cannot be written.
        """
        check_output(path, overwrite=overwrite)
        self.path, self._overwrite = path, overwrite
        self._time_base = settings.time_base
        self._start_s: float | None = None
        self._previous_ticks = -1
        self._count = 0
        self._done = False
        self._encoder: Encoder | None = None
        self._height_px, self._width_px = height_px, width_px = settings.height_px, settings.width_px
        self._padded = np.empty((height_px + height_px % 2, width_px + width_px % 2, 3), np.uint8)
        self._converter = _converter_to_yuv(self._padded, settings.time_base, settings.colour)
        self._partial = path.with_name(f".{path.stem}.partial-{os.getpid()}{SUFFIX}")
        try:
            # Made here, so that a directory that cannot be written shows now and not at the first frame.
            self._partial.touch(exist_ok=True)
            self._container: Any = av.open(
                file_address(self._partial), mode="w", format="mp4", options={"movflags": "+faststart"}
            )
        except (av.FFmpegError, OSError) as error:
            self._remove_partial()
            raise _fault(self.path, error) from None
        self._container.metadata["comment"] = comment
        self._encoder = self._open_encoder(settings, encoder)

    @property
    def count(self) -> int:
        """Number of pictures written."""
        return self._count

    def write(self, picture: NDArray[np.uint8], timestamp_s: float) -> None:
        """Add a picture, u8[H, W, 3] RGB, that is shown from ``timestamp_s`` on.

        Raises:
            ValueError: the picture has another size, or its time is not at least a tick after the one before.
            OutputFault: it cannot be written; call ``discard`` then.
        """
        if self._start_s is None:
            self._start_s = timestamp_s
        ticks = round((timestamp_s - self._start_s) / self._time_base)
        if ticks <= self._previous_ticks:
            raise ValueError(
                f"picture {self._count + 1} at {timestamp_s} s is not later than the one before it"
            )
        source = av.VideoFrame.from_numpy_buffer(self._even(picture), format="rgb24")
        source.pts, source.time_base = ticks, self._time_base
        self._converter.push(source)
        encoded = self._converter.pull()
        encoded.pts, encoded.time_base = ticks, self._time_base
        self._encode(encoded)
        self._previous_ticks = ticks
        self._count += 1

    def finish(self) -> None:
        """Complete the video, read it back, and rename it to its final name.

        Raises:
            ValueError: no picture was written.
            OutputFault: it could not be completed; nothing is left then.
        """
        try:
            if self._count == 0:
                raise ValueError(f"{self.path}: no picture was written")
            self._encode(None)
            assert self._encoder is not None
            self._encoder.close()
            self._close()
            self._verify()
            self._publish()
            self._done = True
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what was written so far; harmless after ``finish`` and when called twice."""
        if self._done:
            return
        self._done = True
        self._remove_partial()
        if self._encoder is not None:
            self._encoder.close()
        with contextlib.suppress(av.FFmpegError, OSError):  # the file is removed already
            self._container.close()

    def __enter__(self) -> VideoWriter:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish, or discard after an exception."""
        if kind is None:
            self.finish()
        else:
            self.discard()

    def _even(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture itself where its sides are even, else a padded copy."""
        height_px, width_px = self._height_px, self._width_px
        if picture.shape == self._padded.shape and picture.flags.c_contiguous:
            return picture
        self._padded[:height_px, :width_px] = picture
        self._padded[height_px:, :width_px] = picture[height_px - 1 :]
        self._padded[:, width_px:] = self._padded[:, width_px - 1 : width_px]
        return self._padded

    def _open_encoder(self, settings: EncodingSettings, choice: EncoderChoice) -> Encoder:
        height_px, width_px = self._padded.shape[:2]
        padded = replace(settings, width_px=width_px, height_px=height_px)
        try:
            return open_encoder(self._container, padded, choice, self.path.name)
        except OutputFault as fault:
            self.discard()
            raise OutputFault(f"{self.path}: {fault.what}", remedy=fault.remedy) from None

    def _encode(self, frame: Any) -> None:
        try:
            assert self._encoder is not None
            for packet in self._encoder.encode(frame):
                self._container.mux(packet)
        except (av.FFmpegError, OSError) as error:
            raise _fault(self.path, error) from None

    def _close(self) -> None:
        try:
            self._container.close()
        except (av.FFmpegError, OSError) as error:
            raise _fault(self.path, error) from None

    def _verify(self) -> None:
        # The system may have accepted bytes that never reached the disk: only a file that reads back is a result.
        try:
            with self._partial.open("rb") as file:
                os.fsync(file.fileno())
            with av.open(file_address(self._partial)) as written:
                readable = sum(packet.size > 0 for packet in written.demux(video=0))
        except (av.FFmpegError, OSError) as error:
            raise _fault(self.path, error) from None
        if readable != self._count:
            raise OutputFault(
                f"{self.path}: only {readable} of {self._count} pictures can be read back",
                remedy="check the disk and its free space, then run again",
            )

    def _publish(self) -> None:
        check_output(self.path, overwrite=self._overwrite)
        try:
            self._partial.replace(self.path)
        except OSError as error:
            raise _fault(self.path, error) from None

    def _remove_partial(self) -> None:
        with contextlib.suppress(OSError):  # a disk that went away takes the file with it
            self._partial.unlink(missing_ok=True)


def _fault(path: Path, error: Exception) -> OutputFault:
    number = getattr(error, "errno", None)
    reason = getattr(error, "strerror", None) or str(error)
    if number == errno.ENOSPC:
        return OutputFault(f"{path}: the disk is full", remedy="free some space, or name another directory")
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputFault(
            f"{path}: cannot be written ({reason.lower()})",
            remedy="name a directory that you may write to",
        )
    return OutputFault(f"{path}: cannot be written ({reason})", remedy="name another directory")


def _converter_to_yuv(picture: NDArray[np.uint8], time_base: Fraction, colour: Colour) -> Graph:
    """A filter graph from packed RGB to limited-range yuv420p, with exact rounding and full chroma."""
    height_px, width_px = picture.shape[:2]
    graph = Graph()
    source = graph.add(
        "buffer",
        f"video_size={width_px}x{height_px}:pix_fmt=rgb24"
        f":time_base={time_base.numerator}/{time_base.denominator}:pixel_aspect=1/1",
    )
    scale = graph.add(
        "scale",
        "flags=bilinear+accurate_rnd+full_chroma_int+full_chroma_inp"
        f":out_color_matrix={colour.scaler_name}:out_range=tv",
    )
    to_yuv, sink = graph.add("format", "pix_fmts=yuv420p"), graph.add("buffersink")
    source.link_to(scale)
    scale.link_to(to_yuv)
    to_yuv.link_to(sink)
    graph.configure()
    return graph
