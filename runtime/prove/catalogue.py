"""Catalogue of the steps, in the order in which they run, with their time limits."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from tremorscope.runtime.prove.outcome import Outcome, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan

_MINUTE_S = 60.0
_BUILD_S = 45 * _MINUTE_S
"""Limit for builds: an engine of full HD takes minutes on a device, and twice as long if its memory is short."""
_STEPS = "tremorscope.runtime.prove.steps"
_CAMERA_S = 12 * _MINUTE_S
"""Limit for a camera, which is opened seven times, twice after a pause; drawing the synthetic one at full HD takes a
device half a minute each time."""
RunStep = Callable[[ProvePlan, StepFindings], Outcome]


@dataclass(frozen=True)
class ProveStep:
    """One step: a module that is run in a process of its own."""

    name: str
    """Stable identifier in reports and open points."""
    title: str
    module: str
    """Module whose ``run`` is called."""
    limit_s: float
    """Time after which it is aborted."""
    camera: int | None = None
    """Index of the configuration with the camera, for a step that is run for each."""

    @property
    def arguments(self) -> list[str]:
        """Arguments of the step on the command line of `runtime.prove.child`."""
        return [self.module, *([] if self.camera is None else [str(self.camera)])]


def load_step(module: str, camera: int | None = None) -> RunStep:
    """Function that runs a step."""
    run = importlib.import_module(module).run
    if camera is None:
        plain: RunStep = run
        return plain
    return lambda plan, findings: run(plan, findings, camera)


def steps_of(plan: ProvePlan) -> list[ProveStep]:
    """All steps of a plan; those of a camera once for each configuration."""
    brief_s = 2 * _MINUTE_S
    load_s = plan.seconds_of_load
    return [
        _step("machine", "Versions and board", brief_s),
        _step("clock", "Clock", brief_s),
        _step("storage", "Storage: fsync", brief_s),
        _step("pixels", "Camera's pixels against NumPy", brief_s),
        _step("engine-small", "A small engine: parsed, built, run", _BUILD_S / 3),
        _step("engine-site", "The site's engine: parsed, built, run", _BUILD_S),
        _step("accuracy", "Engines against ONNX Runtime", _BUILD_S),
        _step("layers", "Time by layer", 5 * _MINUTE_S),
        _step("graphs", "CUDA graphs", 5 * _MINUTE_S),
        _step("memory", "Mapped against device memory", 5 * _MINUTE_S),
        *(_camera_step(plan, number) for number in range(plan.cameras)),
        _step("argus", "Camera daemon: restart and recovery", 3 * _MINUTE_S),
        _step("encoding", "Ten seconds of video", 3 * _MINUTE_S),
        _step("load", "At load", load_s + 5 * _MINUTE_S),
        _step("watchdog", "The service and its watchdog", 4 * _MINUTE_S),
    ]


def _step(name: str, title: str, limit_s: float) -> ProveStep:
    return ProveStep(name, title, f"{_STEPS}.{name.replace('-', '_')}", limit_s)


def _camera_step(plan: ProvePlan, number: int) -> ProveStep:
    only = plan.cameras == 1
    name = "camera" if only else f"camera-{number + 1}"
    title = "Camera" if only else f"Camera of {plan.configurations[number].name}"
    return ProveStep(name, title, f"{_STEPS}.camera", _CAMERA_S, number)
