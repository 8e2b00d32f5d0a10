"""Camera behind a GStreamer pipeline: frames come in any raw format and are written once, into the ring."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.cameras.gstreamer.exposure import ExposureHold
from tremorscope.runtime.cameras.gstreamer.faults import fault
from tremorscope.runtime.cameras.gstreamer.load import TimesFrom
from tremorscope.runtime.cameras.gstreamer.memory import MakeWriter, PictureWriter, pointer_to
from tremorscope.runtime.cameras.gstreamer.pipeline import Arrival, GStreamerPipeline, PipelinePlan
from tremorscope.runtime.errors import CameraFault, CorruptFrameFault, FrozenCameraFault
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.gpu.egl import DevicePicture

START_TIMEOUT_S = 4.0
FIRST_FRAME_TIMEOUT_S = 3.0
STOP_TIMEOUT_S = 2.5
SILENCE_S = 0.45
"""A little less than ``SupervisorSettings.frozen_least_s``."""
_FALLBACK_RATE_HZ = 25.0


@dataclass(frozen=True)
class RequestedFormat:
    """Size and rate that a camera is asked for; None leaves it to the camera."""

    size_px: tuple[int, int] | None = None
    """Width and height as they leave the pipeline, turned."""
    rate_hz: float | None = None


@dataclass(frozen=True)
class CameraReport:
    """Settings that a camera was asked for, and those that it runs with."""

    camera: str
    wanted: RequestedFormat
    width_px: int
    height_px: int
    rate_hz: float
    format: str
    """Pixel format as the pictures leave GStreamer, e.g. ``YUY2``."""
    memory: Literal["copy", "nvmm"]
    """copy: written once into the ring by the CPU. nvmm: read by the GPU where the camera wrote them."""
    why: str
    """Reason why not nvmm; empty where that is not to be expected."""
    decoder: str
    """Elements that decode a compressed stream; empty for one that is not compressed."""
    times: TimesFrom
    """Clock that gives the frames their times, and on a CSI camera their numbers."""
    mode: str
    """Mode in which the sensor runs; empty where it is not known."""
    remarks: tuple[str, ...]
    """Differences from the settings that do not keep the camera from giving frames."""
    pipeline: str
    """Description of the pipeline, without secrets."""


@dataclass(frozen=True)
class SensorFindings:
    """Mode of a running sensor, and its differences from the settings."""

    mode: str = ""
    remarks: tuple[str, ...] = ()


@dataclass
class _Format:
    """Present format of the frames, and its writer."""

    caps: Any
    width_px: int
    height_px: int
    rate_hz: float
    name: str
    writer: PictureWriter


class HeldFrame:
    """A frame in the camera's own memory. Release it once the GPU is done with it.

    The camera has few buffers (`runtime.cameras.csi.POOL_BUFFERS`): whoever holds them all stops it.
    """

    def __init__(self, info: FrameInfo, picture: DevicePicture, sample: Any) -> None:
        self.info, self.picture = info, picture
        self._sample: Any = sample

    def release(self) -> None:
        """Let go of it; releasing twice is harmless."""
        self._sample = None


class GStreamerCamera:
    """Any camera that GStreamer reads.

    The CPU or the GPU writes each picture that is read once, as RGB, from GStreamer's buffer into the ring. Frames
    that are pushed out meanwhile cost nothing.
    """

    def __init__(
        self,
        plan: PipelinePlan,
        wanted: RequestedFormat,
        make_writer: MakeWriter,
        *,
        hold: Callable[[GStreamerPipeline], ExposureHold] | None = None,
        find: Callable[[GStreamerPipeline], SensorFindings] = lambda _: SensorFindings(),
        silence_s: float = SILENCE_S,
        first_frame_timeout_s: float = FIRST_FRAME_TIMEOUT_S,
    ) -> None:
        """Start the pipeline and wait for its first frame.

        Args:
            plan: the pipeline.
            wanted: size and rate that the plan asks for.
            make_writer: makes the writer of pictures into the ring, once their format is known.
            hold: makes the lock of exposure and gain, once the pipeline is built.
            find: reads the sensor's mode, once the first frame is there.
            silence_s: time without a frame, and 13 periods at least, after which the camera counts as frozen: a little
                less than the supervisor's limit for its thread.
            first_frame_timeout_s: most time from the start to the first frame.

        Raises:
            CameraFault: it cannot be opened, or gives no frame in time.
        """
        self._plan, self._wanted, self._make_writer = plan, wanted, make_writer
        self._silence_s = silence_s
        self._pipeline = GStreamerPipeline(plan)
        with ExitStack() as undo:
            undo.callback(self._pipeline.stop, STOP_TIMEOUT_S)
            self._hold = hold(self._pipeline) if hold else None
            self._pipeline.start(START_TIMEOUT_S)
            first = self._pipeline.take(first_frame_timeout_s)
            if first is None:
                raise fault(
                    "ended", plan.advice, f"no frame within {first_frame_timeout_s:.3g} s of its start"
                )
            self._format = self._format_of(first)
            self._findings = find(self._pipeline)
            undo.pop_all()
        self._first: Arrival | None = first

    @property
    def width_px(self) -> int:
        """Width of every frame in pixels."""
        return self._format.width_px

    @property
    def height_px(self) -> int:
        """Height of every frame in pixels."""
        return self._format.height_px

    @property
    def nominal_rate_hz(self) -> float:
        """Frames a second as the source states them."""
        return self._format.rate_hz

    @property
    def pixel_aspect(self) -> float:
        """Width over height of one pixel; 1 where the source states none."""
        stated, width, height = self._format.caps.get_structure(0).get_fraction("pixel-aspect-ratio")
        return width / height if stated and width > 0 and height > 0 else 1.0

    @property
    def pushed_out(self) -> int:
        """Number of frames that newer ones replaced before they were read; their numbers are skipped."""
        return self._pipeline.pushed_out

    def report(self) -> CameraReport:
        """Settings that the camera was asked for, and those that it runs with."""
        got = self._format
        return CameraReport(
            camera=self._plan.advice.camera,
            wanted=self._wanted,
            width_px=got.width_px,
            height_px=got.height_px,
            rate_hz=got.rate_hz,
            format=got.name,
            memory=got.writer.memory,
            why=self._plan.why_copied,
            decoder=self._pipeline.decoder(),
            times=self._pipeline.times,
            mode=self._findings.mode,
            remarks=self._findings.remarks,
            pipeline=self._plan.text,
        )

    def read_into(self, pixels: NDArray[np.uint8]) -> FrameInfo | None:
        """Write the next frame into ``pixels``, u8[H, W, 3] RGB, contiguous, and return its data.

        Raises:
            CorruptFrameFault: the frame is shorter than a picture; read on.
            FrozenCameraFault: no frame came in time.
            CameraFault: the camera failed or ended.
        """
        arrival = self._next()
        if not self._same_format(arrival):
            # Of another size: the caller sees that by width_px and height_px, and drops it.
            return FrameInfo(arrival.number, arrival.time_s)
        try:
            self._format.writer.write(arrival.sample.get_buffer(), pixels)
        except CorruptFrameFault as short:
            raise CorruptFrameFault(
                f"{self._plan.advice.camera}: {short.what}", remedy=short.remedy, sequence=arrival.number
            ) from None
        segment = 0
        if self._hold is not None:
            segment = self._hold.look(pixels, time.monotonic())
        return FrameInfo(arrival.number, arrival.time_s, segment, captured_s=self._captured_s(arrival))

    def read_held(self) -> HeldFrame:
        """Hold the next frame in the camera's own memory, for an engine that reads four channels: nothing is copied.

        Brightness is not looked at here, so that an exposure which was locked stays so.

        Raises:
            FrozenCameraFault: no frame came in time.
            CameraFault: the camera failed or ended, changed its size, or its frames are in the CPU's memory.
        """
        arrival = self._next()
        same = self._same_format(arrival)
        picture = self._format.writer.picture(arrival.sample.get_buffer())
        if picture is None or not same:
            raise CameraFault(
                f"{self._plan.advice.camera}: the frame cannot be read by the GPU where it is",
                remedy="read it into the ring",
            )
        return HeldFrame(
            FrameInfo(arrival.number, arrival.time_s, captured_s=self._captured_s(arrival)),
            picture,
            arrival.sample,
        )

    def close(self) -> None:
        """Stop the pipeline; closing twice is harmless.

        Raises:
            CameraFault: the driver did not return in time; its thread is left behind.
        """
        try:
            self._format.writer.close()  # while the buffers that it knows still exist
        finally:
            stopped = self._pipeline.stop(STOP_TIMEOUT_S)
        if not stopped:
            raise fault("broken", self._plan.advice, f"it did not stop within {STOP_TIMEOUT_S:.3g} s")

    def _next(self) -> Arrival:
        """The next frame to be given out; frames that come while the camera adapts to the light are dropped."""
        while True:
            arrival, self._first = self._first, None
            arrival = arrival or self._pipeline.take(self._limit_s)
            if arrival is None:
                raise FrozenCameraFault(
                    f"{self._plan.advice.camera}: no frame within {self._limit_s:.3g} s",
                    remedy="check the camera's cable and its power",
                )
            if self._hold is None or self._hold.is_settled(time.monotonic()):
                return arrival

    @property
    def _limit_s(self) -> float:
        return max(13 / self._format.rate_hz, self._silence_s)

    def _captured_s(self, arrival: Arrival) -> float | None:
        # Those of a network camera are its own clock's, and those of the arrival say nothing of the capture.
        return self._pipeline.host_time_s(arrival) if self._pipeline.times in ("sensor", "driver") else None

    def _same_format(self, arrival: Arrival) -> bool:
        """Follow a change of format; returns False where the size is another one now."""
        caps = arrival.sample.get_caps()
        if pointer_to(caps) == pointer_to(self._format.caps):
            return True
        size = self._format.width_px, self._format.height_px
        self._format.writer.close(buffers_are_gone=True)
        self._format = self._format_of(arrival)
        return size == (self._format.width_px, self._format.height_px)

    def _format_of(self, arrival: Arrival) -> _Format:
        caps = arrival.sample.get_caps()
        structure = caps.get_structure(0)
        width_px, height_px = structure.get_value("width"), structure.get_value("height")
        stated, numerator, denominator = structure.get_fraction("framerate")
        rate_hz = numerator / denominator if stated and numerator and denominator else 0.0
        return _Format(
            caps,
            width_px,
            height_px,
            rate_hz or self._wanted.rate_hz or _FALLBACK_RATE_HZ,
            structure.get_value("format"),
            self._make_writer(arrival.sample, width_px, height_px),
        )
