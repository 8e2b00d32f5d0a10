"""GStreamer pipeline from a camera to an appsink: start, read and stop, with a bound on every wait."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tremorscope.runtime.cameras.gstreamer.faults import Advice, GStreamerError, fault, fault_of
from tremorscope.runtime.cameras.gstreamer.load import (
    LinkFault,
    TimesFrom,
    call_bounded,
    hanging_calls,
    load_gstreamer,
    modes_text,
    parse_pipeline,
    require_elements,
)
from tremorscope.runtime.cameras.gstreamer.memory import argus_frame
from tremorscope.runtime.cameras.supervision.timeline import FrameNumbers
from tremorscope.runtime.errors import CameraFault

SINK = "sink"
SOURCE = "source"
_LOOK_EVERY_S = 0.05
_ASK_TIMEOUT_S = 2.0
_MOST_MARKS = 64
_MOST_HANGING = 2
_NONE = 2**64 - 1


@dataclass(frozen=True)
class PipelinePlan:
    """Description of a pipeline and the elements that it needs."""

    text: str
    """In the language of gst-launch. The first element is named ``source``, the last is an appsink named ``sink``."""
    elements: tuple[str, ...]
    """Names of the elements that must be there, the source first."""
    advice: Advice
    properties: tuple[tuple[str, object], ...] = field(default=(), repr=False)
    """Properties of the source, set apart from the text because they are secret or hard to quote."""
    numbers_frames: bool = True
    """True where numbers and times are taken from the source's own buffers."""
    times: TimesFrom = "driver"
    """Clock of those times, where the source attaches none of the sensor's."""
    why_copied: str = ""
    """Reason why frames do not stay in NVIDIA's memory; empty where that was not to be expected."""
    most_waiting: int = 2
    """Most frames that wait to be read; a newer one replaces the oldest, whose number is then missing."""


@dataclass(frozen=True)
class Arrival:
    """One frame as it came to the end of the pipeline."""

    number: int
    """The source's own number where it numbers its frames, else counted on arrival."""
    time_s: float
    """Capture time on the source's own clock; NaN where it has none."""
    pipeline_s: float
    """Its time in the pipeline, from when that was started; NaN where it has none."""
    sample: Any
    """The GstSample: buffer and caps live as long as it is held."""


class GStreamerPipeline:
    """One run of one plan. One thread reads; GStreamer's own threads fill the queue that it reads from."""

    def __init__(self, plan: PipelinePlan) -> None:
        """Build the pipeline; nothing is opened yet.

        Raises:
            CameraFault: an element is missing, or too many earlier calls hang in drivers.
        """
        self._gst = load_gstreamer()
        require_elements(plan.elements, plan.advice.camera)
        if hanging_calls() > _MOST_HANGING:
            raise CameraFault(
                f"{plan.advice.camera}: {hanging_calls()} calls hang in the camera's driver",
                remedy="restart the service, and the device if that does not help",
            )
        self.plan = plan
        self._pipeline = self._parse()
        self._source, self._sink = self._named(SOURCE), self._named(SINK)
        for name, value in plan.properties:
            self._source.set_property(name, value)
        self._changed = threading.Condition()
        self._waiting: deque[Arrival] = deque()
        self._marks: OrderedDict[int, tuple[int, int]] = OrderedDict()
        self._numbers = FrameNumbers(numbered=plan.numbers_frames)
        self.arrived = 0
        """Frames that came to the end of the pipeline."""
        self.pushed_out = 0
        """Frames of these that a newer one replaced before they were read."""
        self.times: TimesFrom = plan.times
        """Clock of the frames' times, as far as the latest frame tells."""
        self._sink.set_property("emit-signals", True)
        self._handler = self._sink.connect("new-sample", self._on_sample)
        pad = self._source.get_static_pad("src") if plan.numbers_frames else None
        self._probe = (pad, pad.add_probe(self._gst.PadProbeType.BUFFER, self._on_source)) if pad else None
        # The message, not the fault: an exception that was raised keeps its frames alive by its traceback.
        self._failure: GStreamerError | Literal["ended", ""] = ""
        self._stopped: bool | None = None

    def start(self, timeout_s: float) -> None:
        """Open the camera and let frames flow.

        Raises:
            CameraFault: it cannot be opened, or did not answer in time.
        """
        self._set_state(self._gst.State.PLAYING, timeout_s)

    def can_give(self, caps: str) -> bool:
        """Tell whether the source offers frames of these caps; opens it, but lets nothing flow.

        Raises:
            CameraFault: it cannot be opened, or did not answer in time.
        """
        self._set_state(self._gst.State.READY, _ASK_TIMEOUT_S)
        pad = self._source.get_static_pad("src")
        wanted = self._gst.Caps.from_string(caps)
        return pad is None or bool(pad.query_caps(None).can_intersect(wanted))

    def take(self, timeout_s: float) -> Arrival | None:
        """The oldest frame that waits, or None if none came in time.

        Raises:
            CameraFault: the camera failed, or ended.
        """
        give_up_s = time.monotonic() + timeout_s
        while True:
            self._look_at_bus(0.0)
            with self._changed:
                if not self._waiting and not self._failure:
                    self._changed.wait(max(0.0, min(_LOOK_EVERY_S, give_up_s - time.monotonic())))
                if self._waiting:
                    return self._waiting.popleft()
            if self._failure:
                raise self._fault()
            if time.monotonic() >= give_up_s:
                return None

    def stop(self, timeout_s: float) -> bool:
        """Stop and close the camera; returns False where a driver did not return in time and was left behind."""
        if self._stopped is None:
            self._stopped = call_bounded(self._stop, timeout_s, f"stop {self._camera}")
            with self._changed:
                self._waiting.clear()
        return self._stopped

    def element(self, name: str) -> Any:
        """An element by its name in the plan, or None."""
        return self._pipeline.get_by_name(name)

    @property
    def source(self) -> Any:
        """The element named ``source``."""
        return self._source

    def host_time_s(self, arrival: Arrival) -> float | None:
        """Capture time of a frame on the clock of ``time.monotonic``; None where GStreamer's clock is another."""
        clock = self._pipeline.get_clock()
        if clock is None or arrival.pipeline_s != arrival.pipeline_s:
            return None
        if type(clock).__gtype__.name != "GstSystemClock" or int(clock.get_property("clock-type")) != 1:
            return None
        return float(self._pipeline.get_base_time() * 1e-9 + arrival.pipeline_s)

    def decoder(self) -> str:
        """Names of the elements that decode a compressed stream, as they were found; empty if there are none."""
        found, elements = [], self._pipeline.iterate_recurse()
        while True:
            result, element = elements.next()
            if result != self._gst.IteratorResult.OK:
                break
            factory = element.get_factory()
            if factory is not None and "Decoder" in (factory.get_metadata("klass") or ""):
                found.append(factory.get_name())
        return ", ".join(found)

    @property
    def _camera(self) -> str:
        return self.plan.advice.camera

    def _stop(self) -> None:
        self._pipeline.set_state(self._gst.State.NULL)
        # Only now, when none of GStreamer's threads can be in them: PyGObject frees the calls at once. They must be
        # taken away, because the references they hold are none that Python's garbage collector sees.
        self._sink.disconnect(self._handler)
        if self._probe is not None:
            pad, number = self._probe
            pad.remove_probe(number)

    def _parse(self) -> Any:
        try:
            return parse_pipeline(self.plan.text, self._camera)
        except LinkFault as error:
            source = self._gst.ElementFactory.make(self.plan.elements[0])
            raise fault("not negotiable", self.plan.advice, error.what[:160], _offers(source)) from None

    def _set_state(self, state: Any, timeout_s: float) -> None:
        """Change the state, which opens the camera; raises CameraFault if that fails or takes too long."""
        results: list[Any] = []
        begun_s = time.monotonic()
        if not call_bounded(
            lambda: results.append(self._pipeline.set_state(state)), timeout_s, f"start {self._camera}"
        ):
            raise fault("broken", self.plan.advice, f"no answer within {timeout_s:.3g} s")
        if not results or results[0] == self._gst.StateChangeReturn.FAILURE:
            # The error is on the bus, or about to be.
            left_s = max(0.0, min(1.0, timeout_s - (time.monotonic() - begun_s)))
            self._look_at_bus(left_s)
            raise self._fault()

    def _named(self, name: str) -> Any:
        element = self._pipeline.get_by_name(name)
        if element is None:
            raise ValueError(f"the pipeline has no element named {name}: {self.plan.text}")
        return element

    def _on_source(self, _pad: Any, info: Any) -> Any:
        """Note a frame's own number and time where the source gives it out; runs in GStreamer's thread."""
        buffer = info.get_buffer()
        pts = buffer.pts
        sensor = argus_frame(buffer)
        self.times = "sensor" if sensor else self.plan.times
        mark = sensor or (buffer.offset, pts)
        if _NONE not in mark and pts != _NONE:
            with self._changed:
                self._marks[pts] = mark
                while len(self._marks) > _MOST_MARKS:
                    self._marks.popitem(last=False)
        return self._gst.PadProbeReturn.OK

    def _on_sample(self, sink: Any) -> Any:
        """Put a frame into the queue, the newest last; runs in GStreamer's thread."""
        sample = sink.emit("pull-sample")
        if sample is None:
            return self._gst.FlowReturn.EOS
        pts = sample.get_buffer().pts
        pipeline_s = pts * 1e-9 if pts != _NONE else math.nan
        with self._changed:
            mark = self._marks.pop(pts, None)
            time_s = mark[1] * 1e-9 if mark else pipeline_s
            number = self._numbers.next(mark[0] if mark else None, time_s)
            self.arrived += 1
            self._waiting.append(Arrival(number, time_s, pipeline_s, sample))
            if len(self._waiting) > self.plan.most_waiting:
                self._waiting.popleft()
                self.pushed_out += 1
            self._changed.notify()
        return self._gst.FlowReturn.OK

    def _look_at_bus(self, timeout_s: float) -> None:
        """Keep the first error or end; discard all other messages, so that the bus never fills."""
        kinds = self._gst.MessageType.ERROR | self._gst.MessageType.EOS
        message = self._pipeline.get_bus().timed_pop_filtered(int(timeout_s * 1e9), kinds)
        if message is None or self._failure:
            return
        if message.type == self._gst.MessageType.EOS:
            self._failure = "ended"
            return
        error, debug = message.parse_error()
        self._failure = GStreamerError(error.domain, error.code, error.message, debug or "")

    def _fault(self) -> CameraFault:
        """The first error or end on the bus, as a fault."""
        if isinstance(self._failure, GStreamerError):
            return fault_of(self._failure, self.plan.advice, _offers(self._source))
        if self._failure == "ended":
            return fault("ended", self.plan.advice)
        return fault("broken", self.plan.advice, "it could not be started")


def first_offered(plan: PipelinePlan, choices: Sequence[str]) -> int | None:
    """Open the source of a plan, and return the index of the first caps that it offers; None if it has none.

    Raises:
        CameraFault: it cannot be opened, or did not answer in time.
    """
    pipeline = GStreamerPipeline(plan)
    try:
        return next((n for n, caps in enumerate(choices) if pipeline.can_give(caps)), None)
    finally:
        pipeline.stop(_ASK_TIMEOUT_S)


def _offers(source: Any) -> str:
    """Modes that a camera offers, in a few words; empty where its element does not tell."""
    pad = source.get_static_pad("src") if source is not None else None
    caps = pad.query_caps(None) if pad is not None else None
    if caps is None or caps.is_any() or caps.is_empty():
        return ""
    return modes_text(caps.get_structure(n).to_string() for n in range(min(caps.get_size(), 200)))
