"""Answers to open points from a step's outcome: by its facts and checks, not by its state alone.

A question that the step could not examine stays open, e.g. on a camera that is not one of Argus, or on ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tremorscope.runtime.clips.nvenc import ELEMENT
from tremorscope.runtime.prove.outcome import Check, Outcome

Answer = Literal["holds", "fails", "open"]
Answers = Callable[[Outcome], Answer]
_AS_FAST = 1.1
"""Largest ratio of step times up to which mapped memory counts as fast as the device's own."""


def by_state(outcome: Outcome) -> Answer:
    """Answer of a step that examines only this point: its state."""
    return "holds" if outcome.state == "holds" else "fails"


def by_checks(*names: str) -> Answers:
    """Answer by the checks whose names begin with one of ``names``; open if there are none."""

    def answer(outcome: Outcome) -> Answer:
        found = _checks(outcome, *names)
        if not found:
            return "open"
        return "holds" if all(each.holds for each in found) else "fails"

    return answer


def on_tensorrt(*facts: str) -> Answers:
    """Answer of a step that may run on ONNX Runtime as well: open there, and if one of these facts is missing."""

    def answer(outcome: Outcome) -> Answer:
        if not outcome.facts.get("on_tensorrt"):
            return "open"
        known = all(outcome.facts.get(name) is not None for name in facts)
        return by_state(outcome) if known or outcome.state != "holds" else "open"

    return answer


def build_seconds(outcome: Outcome) -> Answer:
    """Answer for build time and memory: open if the engine is of an earlier run."""
    built_now = outcome.facts.get("built_pairwise") == "now"
    return on_tensorrt()(outcome) if built_now or outcome.state != "holds" else "open"


def every_precision(outcome: Outcome) -> Answer:
    """Answer for all precisions: every one was compared and agrees; open if one is missing."""
    answer = on_tensorrt()(outcome)
    missing = {
        "fp16",
        "int8",
    } & outcome.facts.keys()  # present if the precision was not compared, with the reason
    return "open" if answer == "holds" and missing else answer


def captured(outcome: Outcome) -> Answer:
    """Answer for CUDA graphs: open without cuda-bindings, as nothing can be captured then."""
    graphs = outcome.facts.get("captured")
    if graphs is None:
        return "open" if outcome.state == "holds" else "fails"
    return by_state(outcome) if graphs else "fails"


def layers(outcome: Outcome) -> Answer:
    """Answer for the time by layer: open if no layer is named after the warp."""
    return "open" if "warp" in outcome.facts else on_tensorrt("warp_part")(outcome)


def mapped_is_as_fast(outcome: Outcome) -> Answer:
    """Answer by the step times with mapped and device memory."""
    mapped_ms, device_ms = (_number(outcome, name) for name in ("mapped_ms", "device_ms"))
    if mapped_ms is None or device_ms is None:
        return by_state(outcome)
    return "holds" if mapped_ms <= _AS_FAST * device_ms else "fails"


def of_argus(answers: Answers) -> Answers:
    """Answer for CSI cameras; open for others."""
    return lambda outcome: answers(outcome) if outcome.facts.get("kind") == "csi" else "open"


def opened(outcome: Outcome) -> Answer:
    """Answer for an opened camera: frames came, at the stated rate."""
    return by_checks("frames", "true rate")(outcome) if _checks(outcome, "true rate") else by_state(outcome)


def registered(outcome: Outcome) -> Answer:
    """Answer for frames in NVIDIA's memory, of which the CPU copies nothing; open if a copy was configured."""
    memory, copied = (outcome.facts.get(name) for name in ("memory", "copied_bytes_per_frame"))
    if memory == "nvmm":
        return "open" if copied is None else "holds" if copied == 0 else "fails"
    return (
        "fails" if memory == "copy" and outcome.facts.get("why") and outcome.facts.get("on_gpu") else "open"
    )


def pitch_is_known(outcome: Outcome) -> Answer:
    """Answer for the pitch; open for copied frames, whose pitch is not known."""
    return "open" if outcome.facts.get("pitch_bytes") is None else "holds"


def times_of_the_sensor(outcome: Outcome) -> Answer:
    """Answer for the clock of the frames' times: it is the sensor's."""
    times = outcome.facts.get("times")
    return "open" if times is None else "holds" if times == "sensor" else "fails"


def opens_again(outcome: Outcome) -> Answer:
    """Answer for repeated openings: open if the first failed; fails if a later one did."""
    if not _checks(outcome, "frames"):
        return "open"
    return "fails" if outcome.facts.get("openings") is None else by_checks("opening")(outcome)


def cured(outcome: Outcome) -> Answer:
    """Answer for a restart of the camera daemon; open if the restart was refused."""
    if not all(each.holds for each in _checks(outcome, "the restart")):
        return "open"
    return by_checks("a frame after the restart")(outcome)


def heat(outcome: Outcome) -> Answer:
    """Answer for heat, by a thermometer: fails if the device reports throttling, or the last third is slower."""
    if _number(outcome, "temperature_most_c") is None:
        return "open"
    slower = by_checks("last third")(outcome) == "fails"
    return "fails" if slower or outcome.facts.get("throttled") else "holds"


def watts(outcome: Outcome) -> Answer:
    """Answer for the power, by the device's power meter."""
    return "open" if _number(outcome, "power_w") is None else "holds"


def kept_right(outcome: Outcome) -> Answer:
    """Answer for the clock: fails if no service synchronises it, however even it is."""
    return "fails" if "what_mends_it" in outcome.facts else by_state(outcome)


def encodes_in_time(outcome: Outcome) -> Answer:
    """Answer for the device's own encoder; open if the CPU encoded."""
    if outcome.facts.get("encoder") not in (None, ELEMENT):
        return "open"
    timed = by_checks("speed")(outcome)
    return timed if timed == "open" and outcome.state == "holds" else by_state(outcome)


def _checks(outcome: Outcome, *names: str) -> list[Check]:
    return [each for each in outcome.checks if each.what.startswith(names)]


def _number(outcome: Outcome, name: str) -> float | None:
    value = outcome.facts.get(name)
    return float(value) if isinstance(value, (int, float)) else None
