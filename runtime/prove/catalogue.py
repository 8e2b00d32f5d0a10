"""The steps, in the order in which they run, and the bound of each."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from runtime.prove.outcome import Findings, Outcome
from runtime.prove.plan import Plan

_MINUTE_S = 60.0
_BUILD_S = 45 * _MINUTE_S
"""An engine of full HD takes minutes on a device, and twice as long where its memory is short."""
RunStep = Callable[[Plan, Findings], Outcome]


@dataclass(frozen=True)
class Step:
    """One step, as it is told to a process of its own."""

    name: str
    """Stable: reports and open points name it."""
    title: str
    module: str
    """In `runtime.prove.steps`; its ``run`` is called."""
    limit_s: float
    """After so long it is ended."""
    camera: int | None = None
    """Which configuration's camera, of a step that is run for each."""

    def load(self) -> Callable[[Plan, Findings], Outcome]:
        """What runs it."""
        module = importlib.import_module(f"runtime.prove.steps.{self.module}")
        if self.camera is None:
            run: RunStep = module.run
            return run
        number, run_camera = self.camera, module.run
        return lambda plan, findings: run_camera(plan, findings, number)


def steps_of(plan: Plan) -> list[Step]:
    """All steps of a plan; those of a camera once for each configuration."""
    brief_s = 2 * _MINUTE_S
    load_s = plan.seconds_of_load
    return [
        Step("machine", "Versions and board", "machine", brief_s),
        Step("clock", "Clock", "clock", brief_s),
        Step("storage", "Storage: fsync", "storage", brief_s),
        Step("pixels", "Camera's pixels against NumPy", "pixels", brief_s),
        Step("engine-small", "A small engine: parsed, built, run", "engine_small", _BUILD_S / 3),
        Step("engine-site", "The site's engine: parsed, built, run", "engine_site", _BUILD_S),
        Step("accuracy", "Engines against ONNX Runtime", "accuracy", _BUILD_S),
        Step("layers", "Time by layer", "layers", 5 * _MINUTE_S),
        Step("graphs", "CUDA graphs", "graphs", 5 * _MINUTE_S),
        Step("memory", "Mapped against device memory", "memory", 5 * _MINUTE_S),
        *(
            Step(_numbered("camera", number, plan), _titled("Camera", number, plan), "camera",
                 5 * _MINUTE_S, number)
            for number in range(plan.cameras)
        ),
        Step("argus", "Camera daemon: restart and recovery", "argus", 3 * _MINUTE_S),
        Step("encoding", "Ten seconds of video", "encoding", 3 * _MINUTE_S),
        Step("load", "At load", "load", load_s + 5 * _MINUTE_S),
        Step("watchdog", "The service and its watchdog", "watchdog", 4 * _MINUTE_S),
    ]  # fmt: skip


def find_step(plan: Plan, name: str) -> Step:
    """The step of a name.

    Raises:
        KeyError: there is none.
    """
    return {step.name: step for step in steps_of(plan)}[name]


def _numbered(name: str, number: int, plan: Plan) -> str:
    return name if plan.cameras == 1 else f"{name}-{number + 1}"


def _titled(title: str, number: int, plan: Plan) -> str:
    return title if plan.cameras == 1 else f"{title} of {plan.configurations[number].name}"
