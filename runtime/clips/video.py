"""Video files, H.264 in MP4 that browsers play unless named otherwise, at the frames' own times, complete or not there
at all."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.clips.containers import NAMES, container_of, converter, pictures_of
from tremorscope.runtime.clips.h264 import Encoder, EncodingSettings, FfmpegEncoder, open_encoder
from tremorscope.runtime.clips.nvenc import EncoderChoice
from tremorscope.runtime.clips.pictures import PngWriter, check_pictures
from tremorscope.runtime.clips.sound import SoundTrack
from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.host.files import cannot_be_written, check_place, file_address

SUFFIX = ".mp4"


def check_output(path: Path, *, overwrite: bool, source: Path | None = None) -> None:
    """Check, before any work is done, that an output can and may be written.

    Args:
        path: the video, or the pictures, to be written.
        overwrite: allow the replacement of an existing file.
        source: the clip that is read meanwhile, which must never be replaced.

    Raises:
        OutputFault: the video cannot or must not be written there.
    """
    try:
        if (numbered := pictures_of(path)) is not None:
            check_pictures(*numbered, overwrite=overwrite, source=source)
            return
        if container_of(path) is None:
            raise OutputFault(
                f"{path}: not written as {path.suffix}",
                remedy=f"name it with {NAMES}, e.g. {path.stem}{SUFFIX}",
            )
        if source is not None and path.exists() and source.exists() and path.samefile(source):
            raise OutputFault(f"{path}: is the clip itself", remedy="name another file")
        check_place(path, overwrite=overwrite)
    except OSError as error:  # a name that is too long, a directory that may not be entered
        raise cannot_be_written(path, error) from None


def open_writer(
    path: Path,
    settings: EncodingSettings,
    *,
    comment: str = "",
    overwrite: bool = False,
    sound: Path | None = None,
) -> VideoWriter | PngWriter:
    """Writer of a video, or of numbered pictures, by the name of the output; see `VideoWriter`.

    Raises:
        OutputFault: it cannot be written.
    """
    if (numbered := pictures_of(path)) is not None:
        return PngWriter(*numbered, comment=comment, overwrite=overwrite)
    return VideoWriter(path, settings, comment=comment, overwrite=overwrite, sound=sound)


class VideoWriter:
    """Writer of a video: H.264 in MP4 with its index first, H.264 in Matroska, VP9 in WebM, or GIF.

    The file is written under a temporary name beside the target, read back, and only then renamed: after a
    failure or an interruption nothing is left. As a context manager it finishes on success and discards on
    any exception.

    Times count from the first picture and are whole ticks of the time base, so a variable rate is kept
    exactly; in Matroska, WebM and GIF they are rounded to ticks of the file's own, and pictures that come closer than
    it can hold are left out. A side of odd length gets one more row or column, a repetition of its edge, as yuv420p
    needs even ones.
    """

    def __init__(
        self,
        path: Path,
        settings: EncodingSettings,
        *,
        comment: str = "",
        overwrite: bool = False,
        encoder: EncoderChoice = "x264",
        sound: Path | None = None,
    ) -> None:
        """Start a video.

        Args:
            path: name of the finished video, whose suffix says its kind.
            settings: size, rate, times and colours of the pictures.
            comment: text for the file's metadata.
            overwrite: allow the replacement of an existing file.
            encoder: choice of the encoder of H.264.
            sound: clip whose sound is kept; None keeps none.

        Raises:
            OutputFault: the file cannot be written.
        """
        check_output(path, overwrite=overwrite)
        if (kind := container_of(path)) is None:
            raise OutputFault(f"{path}: names pictures, no video", remedy=f"name it {path.stem}{SUFFIX}")
        self.path, self._overwrite, self._kind = path, overwrite, kind
        if kind.tick is not None:
            settings = replace(settings, time_base=kind.tick)
        self._time_base = settings.time_base
        self._left_out = 0
        self._start_s: float | None = None
        self._previous_ticks: int | None = None
        self._count = 0
        self._done = False
        self._encoder: Encoder | None = None
        self._sound: SoundTrack | None = None
        self._height_px, self._width_px = height_px, width_px = settings.height_px, settings.width_px
        self._padded = np.empty((height_px + height_px % 2, width_px + width_px % 2, 3), np.uint8)
        self._converter, pixels = converter(self._padded, settings.time_base, settings.colour, kind)
        self._container: Any = self._open(kind.format)
        self._container.metadata["comment"] = comment
        self._encoder = self._open_encoder(settings, encoder, pixels)
        if sound is not None:
            self._sound = SoundTrack(sound, self._container, kind)

    @property
    def count(self) -> int:
        """Number of pictures written."""
        return self._count

    def notes(self) -> tuple[str, ...]:
        """Human-readable remarks on what was written."""
        left_out = (
            f"{self._left_out} frames are left out: {self._kind.format} cannot show them so close together"
        )
        sound = self._sound.note if self._sound else ""
        return (*([f"sound          {sound}"] if sound else []), *([left_out] if self._left_out else []))

    def write(self, picture: NDArray[np.uint8], timestamp_s: float) -> None:
        """Add a picture, u8[H, W, 3] RGB, that is shown from ``timestamp_s`` on.

        Raises:
            ValueError: the picture has another size, or its time is not at least a tick after the one before.
            OutputFault: it cannot be written; call ``discard`` then.
        """
        if self._start_s is None:
            self._start_s = timestamp_s
            if self._sound is not None:
                self._sound.begin(timestamp_s)
        ticks, before = round((timestamp_s - self._start_s) / self._time_base), self._previous_ticks
        if before is not None and self._kind.tick is not None and ticks < before + self._kind.fewest_ticks:
            self._left_out += 1
            return
        if before is not None and ticks <= before:
            raise ValueError(
                f"picture {self._count + 1} at {timestamp_s} s is not later than the one before it"
            )
        source = av.VideoFrame.from_numpy_buffer(self._even(picture), format="rgb24")
        source.pts, source.time_base = ticks, self._time_base
        self._converter.push(source)
        encoded = self._converter.pull()
        encoded.pts, encoded.time_base = ticks, self._time_base
        self._encode(encoded)
        self._step_s, self._previous_ticks = float((ticks - (before or 0)) * self._time_base), ticks
        self._count += 1
        self._carry_sound(0.0)

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
            self._carry_sound(self._step_s)
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
        with contextlib.suppress(OutputFault):  # the file is removed already
            self._close()

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

    def _open(self, muxer: str) -> Any:
        self._partial = self.path.with_name(f".{self.path.stem}.partial-{os.getpid()}{self.path.suffix}")
        options = {"movflags": "+faststart"} if muxer == "mp4" else {}
        try:
            # Made here, so that a directory that cannot be written shows now and not at the first frame.
            self._partial.touch(exist_ok=True)
            return av.open(file_address(self._partial), mode="w", format=muxer, options=options)
        except (av.FFmpegError, OSError) as error:
            self._remove_partial()
            raise cannot_be_written(self.path, error) from None

    def _open_encoder(self, settings: EncodingSettings, choice: EncoderChoice, pixels: str) -> Encoder:
        height_px, width_px = self._padded.shape[:2]
        padded = replace(settings, width_px=width_px, height_px=height_px)
        try:
            if self._kind.codec != "libx264":
                return FfmpegEncoder(self._container, padded, self._kind.codec, pixels)
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
            raise cannot_be_written(self.path, error) from None

    def _carry_sound(self, after_s: float) -> None:
        """Write the sound up to some time after the latest picture."""
        if self._sound is None or self._previous_ticks is None:
            return
        try:
            self._sound.carry(float(self._previous_ticks * self._time_base) + after_s)
        except (av.FFmpegError, OSError) as error:
            raise cannot_be_written(self.path, error) from None

    def _close(self) -> None:
        if self._sound is not None:
            self._sound.close()
        if self._encoder is not None:
            self._encoder.close()
        try:
            self._container.close()
        except (av.FFmpegError, OSError) as error:
            raise cannot_be_written(self.path, error) from None

    def _verify(self) -> None:
        # The system may have accepted bytes that never reached the disk: only a file that reads back is a result.
        try:
            with self._partial.open("rb") as file:
                os.fsync(file.fileno())
            with av.open(file_address(self._partial)) as written:
                readable = sum(packet.size > 0 for packet in written.demux(video=0))
        except (av.FFmpegError, OSError) as error:
            raise cannot_be_written(self.path, error) from None
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
            raise cannot_be_written(self.path, error) from None

    def _remove_partial(self) -> None:
        with contextlib.suppress(OSError):  # a disk that went away takes the file with it
            self._partial.unlink(missing_ok=True)
