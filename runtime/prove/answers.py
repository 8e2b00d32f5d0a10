"""What a step's outcome says of an open point: by its facts and checks, not by whether all of the step held.

A question that the step did not come to look at stays open: on a camera that is none of Argus, on ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tremorscope.runtime.clips.nvenc import ELEMENT
from tremorscope.runtime.prove.outcome import Check, Outcome

Answer = Literal["holds", "fails", "open"]
Answers = Callable[[Outcome], Answer]
_AS_FAST = 1.1
"""Mapped memory is as fast as the device's own where a step takes no more than so many times as long."""


def by_state(outcome: Outcome) -> Answer:
    """Of a step that is about nothing else."""
    return "holds" if outcome.state == "holds" else "fails"


def by_checks(*names: str) -> Answers:
    """Of the checks whose names begin so; open where there are none."""

    def answer(outcome: Outcome) -> Answer:
        found = _checks(outcome, *names)
        if not found:
            return "open"
        return "holds" if all(each.holds for each in found) else "fails"

    return answer


def on_tensorrt(*facts: str) -> Answers:
    """Of a step that may run on ONNX Runtime as well, and must have found these facts."""

    def answer(outcome: Outcome) -> Answer:
        if not outcome.facts.get("on_tensorrt"):
            return "open"
        known = all(outcome.facts.get(name) is not None for name in facts)
        return by_state(outcome) if known or outcome.state != "holds" else "open"

    return answer


def build_seconds(outcome: Outcome) -> Answer:
    """An engine of an earlier run tells nothing of memory."""
    built_now = outcome.facts.get("built_pairwise") == "now"
    return on_tensorrt()(outcome) if built_now or outcome.state != "holds" else "open"


def every_precision(outcome: Outcome) -> Answer:
    """All that were compared agree, and none was missing."""
    answer = on_tensorrt()(outcome)
    missing = {"fp16", "int8"} & outcome.facts.keys()  # they say why one was not looked at
    return "open" if answer == "holds" and missing else answer


def captured(outcome: Outcome) -> Answer:
    """Without cuda-bindings nothing can be captured, which is not TensorRT's answer."""
    graphs = outcome.facts.get("captured")
    if graphs is None:
        return "open" if outcome.state == "holds" else "fails"
    return by_state(outcome) if graphs else "fails"


def layers(outcome: Outcome) -> Answer:
    """The warp's part is known where a layer is named after it."""
    return "open" if "warp" in outcome.facts else on_tensorrt("warp_part")(outcome)


def mapped_is_as_fast(outcome: Outcome) -> Answer:
    """Neither of them fails the step."""
    mapped_ms, device_ms = (_number(outcome, name) for name in ("mapped_ms", "device_ms"))
    if mapped_ms is None or device_ms is None:
        return by_state(outcome)
    return "holds" if mapped_ms <= _AS_FAST * device_ms else "fails"


def of_argus(answers: Answers) -> Answers:
    """Of CSI cameras alone."""
    return lambda outcome: answers(outcome) if outcome.facts.get("kind") == "csi" else "open"


def opened(outcome: Outcome) -> Answer:
    """Frames came, and at the rate that was stated."""
    return by_checks("frames", "true rate")(outcome) if _checks(outcome, "true rate") else by_state(outcome)


def registered(outcome: Outcome) -> Answer:
    """Frames in NVIDIA's memory, of which the CPU copies nothing; open where a copy was asked for."""
    memory, copied = (outcome.facts.get(name) for name in ("memory", "copied_bytes_per_frame"))
    if memory == "nvmm":
        return "open" if copied is None else "holds" if copied == 0 else "fails"
    return (
        "fails" if memory == "copy" and outcome.facts.get("why") and outcome.facts.get("on_gpu") else "open"
    )


def pitch_is_known(outcome: Outcome) -> Answer:
    """Of frames that were copied nobody knows it."""
    return "open" if outcome.facts.get("pitch_bytes") is None else "holds"


def times_of_the_sensor(outcome: Outcome) -> Answer:
    """By whose clock the frames have their times."""
    times = outcome.facts.get("times")
    return "open" if times is None else "holds" if times == "sensor" else "fails"


def opens_again(outcome: Outcome) -> Answer:
    """Open where it did not open even once; where the openings broke off, it does not."""
    if not _checks(outcome, "frames"):
        return "open"
    return "fails" if outcome.facts.get("openings") is None else by_checks("opening")(outcome)


def cured(outcome: Outcome) -> Answer:
    """A restart that was refused cures nothing, and spoils nothing."""
    if not all(each.holds for each in _checks(outcome, "the restart")):
        return "open"
    return by_checks("a frame after the restart")(outcome)


def heat(outcome: Outcome) -> Answer:
    """Known by a thermometer; held back where the device says so, or the last third is slower."""
    if _number(outcome, "temperature_most_c") is None:
        return "open"
    slower = by_checks("last third")(outcome) == "fails"
    return "fails" if slower or outcome.facts.get("throttled") else "holds"


def watts(outcome: Outcome) -> Answer:
    """Known by a meter."""
    return "open" if _number(outcome, "power_w") is None else "holds"


def kept_right(outcome: Outcome) -> Answer:
    """A clock that goes evenly and is kept by nobody is not kept right."""
    return "fails" if "what_mends_it" in outcome.facts else by_state(outcome)


def encodes_in_time(outcome: Outcome) -> Answer:
    """By the device's own encoder: that of the CPU says nothing of it."""
    if outcome.facts.get("encoder") not in (None, ELEMENT):
        return "open"
    timed = by_checks("speed")(outcome)
    return timed if timed == "open" and outcome.state == "holds" else by_state(outcome)


def _checks(outcome: Outcome, *names: str) -> list[Check]:
    return [each for each in outcome.checks if each.what.startswith(names)]


def _number(outcome: Outcome, name: str) -> float | None:
    value = outcome.facts.get(name)
    return float(value) if isinstance(value, (int, float)) else None
