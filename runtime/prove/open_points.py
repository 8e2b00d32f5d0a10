"""Questions that only a Jetson can answer, and the steps of `tremorscope prove` that answer them there.

One table for all guides, with stable identifiers: docs/prove.md lists it, and the guides refer to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tremorscope.runtime.prove import answers
from tremorscope.runtime.prove.answers import Answer, Answers
from tremorscope.runtime.prove.outcome import Outcome


@dataclass(frozen=True)
class OpenPoint:
    """One question that only a Jetson can answer."""

    id: str
    """T for TensorRT, C for cameras, D for the device guide and the service, B for bench and doctor."""
    question: str
    guide: str
    """File in docs that raises it."""
    step: str
    """Name of the step that answers it; empty if no run of a few minutes can."""
    facts: tuple[str, ...] = ()
    """Facts of that step that belong to the answer."""
    by: str = ""
    """Manual procedure that answers it, if no step does."""
    answer: Answers = answers.by_state
    """Answer of an outcome of that step."""


OPEN_POINTS = (
    OpenPoint("T1", "Does TensorRT parse and build the graphs at all?", "tensorrt.md", "engine-small",
              ("build_pairwise_s", "build_band_s"),
              answer=answers.on_tensorrt("build_pairwise_s")),
    OpenPoint("T2", "How long does the site's build take, and with how much memory?", "tensorrt.md", "engine-site",
              ("build_pairwise_s", "build_band_s", "build_peak_system_mib"),
              answer=answers.build_seconds),
    OpenPoint("T3", "How fast is an engine?", "tensorrt.md", "engine-site", ("step_median_ms",),
              answer=answers.on_tensorrt("step_median_ms")),
    OpenPoint("T4", "Do its pictures agree with ONNX Runtime's, in every precision?", "tensorrt.md", "accuracy",
              ("fp16", "int8"), answer=answers.every_precision),
    OpenPoint("T5", "Does TensorRT let the networks be captured as CUDA graphs?", "tensorrt.md", "graphs",
              ("launched", "captured", "captures", "why_not"),
              answer=answers.captured),
    OpenPoint("T6", "What does the runner cost beyond a step, and what part of the roofline is reached?",
              "tensorrt.md", "load", ("rate_hz", "runtime", "roofline_reached"),
              answer=answers.on_tensorrt("rate_hz", "roofline_reached")),
    OpenPoint("T7", "Which layers take the time, and how much of it is the warp?", "tensorrt.md", "layers",
              ("warp_part", "warp"),
              answer=answers.layers),
    OpenPoint("T8", "Is mapped memory as fast for frames as the device's own?", "tensorrt.md", "memory",
              ("mapped_ms", "device_ms"),
              answer=answers.mapped_is_as_fast),
    OpenPoint("T9", "Are timing caches used, and builds shorter for them?", "tensorrt.md", "",
              by="run prove again with another --output and compare the seconds of engine-site"),
    OpenPoint("T10", "Does DLA run the networks?", "tensorrt.md", "",
              by="tremorscope build --dla 0, then trtexec --useDLACore=0"),
    OpenPoint("C1", "Does a CSI camera open through Argus, and give its true rate?", "cameras.md", "camera",
              ("stated_hz", "true_rate_hz", "pipeline"),
              answer=answers.of_argus(answers.opened)),
    OpenPoint("C2", "Are its frames registered with CUDA and read without a copy by the CPU?", "cameras.md", "camera",
              ("memory", "copied_bytes_per_frame", "why"),
              answer=answers.of_argus(answers.registered)),
    OpenPoint("C3", "Does nvvidconv leave RGBA in rows, with which pitch?", "cameras.md", "camera",
              ("format", "pitch_bytes", "memory_type"),
              answer=answers.of_argus(answers.pitch_is_known)),
    OpenPoint("C4", "Do number and time come from the sensor?", "cameras.md", "camera", ("times",),
              answer=answers.of_argus(answers.times_of_the_sensor)),
    OpenPoint("C5", "Does exposure stay as it was locked?", "cameras.md", "camera", ("brightness_moved",),
              answer=answers.by_checks("brightness while exposure is held")),
    OpenPoint("C6", "Does the kernel that writes pictures into the ring do so to the bit?", "cameras.md", "pixels",
              answer=answers.by_checks("GPU,")),
    OpenPoint("C7", "Does a camera open again and again without a wedge?", "cameras.md", "camera",
              answer=answers.of_argus(answers.opens_again)),
    OpenPoint("C8", "Do a hanging driver, a loose cable and a wedge of hours end well?", "cameras.md", "",
              by="unplug the camera while the service runs; leave it for a week"),
    OpenPoint("D1", "Does the device have all that it needs, under its true names?", "device-guide.md", "machine"),
    OpenPoint("D2", "Does a restart of nvargus-daemon cure what it should?", "device-guide.md", "argus", ("back_s",),
              answer=answers.cured),
    OpenPoint("D3", "Is the service ready, fed and stopped in time on this systemd?", "device-guide.md", "watchdog"),
    OpenPoint("D4", "How hot does it become at load, and is it held back?", "device-guide.md", "load",
              ("temperature_most_c", "throttled"),
              answer=answers.heat),
    OpenPoint("D5", "Is the disk quick enough for store and clips?", "device-guide.md", "storage",
              ("fsync_p99_ms",)),
    OpenPoint("D6", "Is the clock right, and kept so?", "device-guide.md", "clock", ("kept_right_by",),
              answer=answers.kept_right),
    OpenPoint("D7", "Does its encoder write a clip as fast as frames come?", "device-guide.md", "encoding",
              ("encoder", "rate_hz"),
              answer=answers.encodes_in_time),
    OpenPoint("D8", "Does the device come back from a power cut, and from a restart by the ladder?",
              "device-guide.md", "", by="pull the plug; then see tremorscope doctor and the store"),
    OpenPoint("B1", "How many watts does it draw, for how many frames a second?", "bench.md", "load",
              ("power_w", "frames_per_j", "rate_hz"),
              answer=answers.watts),
)  # fmt: skip


@dataclass(frozen=True)
class Answered:
    """An open point after a run."""

    point: OpenPoint
    answer: Answer
    said: str


def answer_points(outcomes: Mapping[str, Outcome], *, on_a_jetson: bool) -> list[Answered]:
    """Answers of a run to all points. On a PC none is answered: the same code ran, on other hardware."""
    return [_answered(point, outcomes, on_a_jetson=on_a_jetson) for point in OPEN_POINTS]


def _answered(point: OpenPoint, outcomes: Mapping[str, Outcome], *, on_a_jetson: bool) -> Answered:
    if not point.step:
        return Answered(point, "open", f"by hand: {point.by}")
    found = [
        _of_one(point, outcome, on_a_jetson=on_a_jetson)
        for name, outcome in outcomes.items()
        if _is_of(name, point.step)
    ]
    # Of several cameras the first that failed speaks for all, then any that holds.
    ranked = sorted(found, key=lambda each: ("fails", "holds", "open").index(each.answer))
    return ranked[0] if ranked else Answered(point, "open", "its step was not run")


def _of_one(point: OpenPoint, outcome: Outcome, *, on_a_jetson: bool) -> Answered:
    said = _said(point, outcome)
    if outcome.state == "skipped":
        return Answered(point, "open", f"not looked at: {said}")
    if not on_a_jetson:
        return Answered(point, "open", f"ran on this computer, which is no Jetson: {said}")
    return Answered(point, point.answer(outcome), said)


def _is_of(name: str, step: str) -> bool:
    """True if a name is that of the step, or of the step for one of several cameras."""
    rest = name.removeprefix(f"{step}-")
    return name == step or (rest != name and rest.isdecimal())


def _said(point: OpenPoint, outcome: Outcome) -> str:
    facts = {name: outcome.facts.get(name) for name in point.facts}
    known = [f"{name} {_value(value)}" for name, value in facts.items() if value is not None]
    return f"{outcome.said} ({', '.join(known)})" if known and outcome.state != "skipped" else outcome.said


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
