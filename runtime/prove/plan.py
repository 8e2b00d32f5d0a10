"""Plan of a run: configurations, bundles, duration and output, and the steps in the order in which they run, with
their time limits.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tremorscope.runtime.engines.interface.bundle import SHIPPED_BUNDLES, Bundle, open_bundle
from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.gpu.device import read_device
from tremorscope.runtime.prove.outcome import Outcome, StepFindings

if TYPE_CHECKING:
    from tremorscope.runtime.cameras.settings import CameraSettings
    from tremorscope.runtime.configuration.schema import Configuration

LOAD_ON_A_DEVICE_S, LOAD_ON_A_PC_S, LOAD_QUICK_S = 300.0, 60.0, 3.0
_DRAWN_HZ = 30.0


@dataclass(frozen=True)
class ProvePlan:
    """Parameters of a run, in plain values, so that they can be passed to another process."""

    output: Path
    """Directory of the report."""
    work: Path
    """Directory of the steps' files; engines are kept there from run to run."""
    configurations: tuple[Path, ...] = ()
    """One configuration per camera; with none, a drawn camera is used."""
    bundles: tuple[Path, ...] = ()
    """Bundles to compare besides the configuration's and the shipped ones."""
    quick: bool = False
    """Take small frames and short times, for a trial of the command itself."""
    load_s: float | None = None
    """Duration of the load; None takes five minutes with a GPU, one without."""
    restart_argus: bool = False
    """Allow a restart of the camera daemon, which interrupts every camera of the device."""

    def as_text(self) -> str:
        """The plan as text for another process."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_text(cls, text: str) -> ProvePlan:
        """The plan from the text of `as_text`."""
        plain: dict[str, Any] = json.loads(text)
        for name in ("output", "work"):
            plain[name] = Path(plain[name])
        for name in ("configurations", "bundles"):
            plain[name] = tuple(Path(each) for each in plain[name])
        return cls(**plain)

    @property
    def cameras(self) -> int:
        """Number of cameras."""
        return max(1, len(self.configurations))

    def configuration(self, number: int = 0) -> Configuration | None:
        """The configuration of a camera; None if none was named.

        Raises:
            ConfigurationFault: it cannot be read or is invalid.
        """
        if not self.configurations:
            return None
        # Imported here, as it takes a second in the process of every step.
        from tremorscope.runtime.configuration.reading import load_configuration

        return load_configuration(self.configurations[number]).configuration

    def camera(self, number: int = 0) -> CameraSettings:
        """Settings of the configured camera, or of the drawn one."""
        configuration = self.configuration(number)
        if configuration is not None:
            return configuration.camera
        from tremorscope.runtime.cameras.settings import SyntheticCameraSettings

        size = self.drawn_size
        return SyntheticCameraSettings(
            width_px=size.width_px, height_px=size.height_px, rate_hz=_DRAWN_HZ, speed="true"
        )

    @property
    def drawn_size(self) -> FrameSize:
        """Size of the drawn camera's frames: full HD with a GPU."""
        if self.quick:
            return FrameSize(width_px=160, height_px=90)
        if read_device()[0].gpu is not None:
            return FrameSize(width_px=1920, height_px=1080)
        return FrameSize(width_px=640, height_px=360)

    @property
    def small_size(self) -> FrameSize:
        """Size of the small engine's frames."""
        return FrameSize(width_px=96, height_px=64) if self.quick else FrameSize(width_px=320, height_px=180)

    @property
    def site_size(self) -> FrameSize:
        """Size of the first camera's frames.

        Raises:
            Fault: only the camera can tell, and it cannot be opened.
        """
        from tremorscope.runtime.cameras.opening import frame_size

        width_px, height_px = frame_size(self.camera())
        return FrameSize(width_px=width_px, height_px=height_px)

    @property
    def bundle(self) -> Bundle:
        """The network that the site runs.

        Raises:
            BundleFault: it is missing or damaged.
        """
        configuration = self.configuration()
        named = configuration.magnification.bundle if configuration else None
        return open_bundle(named)

    def all_bundles(self) -> list[Bundle]:
        """The site's bundle, the shipped ones of its network in other precisions, and the named ones, each once."""
        own = self.bundle
        found = {own.directory.resolve(): own}
        for directory in (*sorted(SHIPPED_BUNDLES.glob(f"{own.manifest.network}*")), *self.bundles):
            bundle = open_bundle(directory)
            if bundle.manifest.network == own.manifest.network or directory in self.bundles:
                found.setdefault(bundle.directory.resolve(), bundle)
        return list(found.values())

    @property
    def seconds_of_load(self) -> float:
        """Duration of the load."""
        if self.load_s is not None:
            return self.load_s
        if self.quick:
            return LOAD_QUICK_S
        return LOAD_ON_A_DEVICE_S if read_device()[0].gpu is not None else LOAD_ON_A_PC_S

    def checked(self) -> ProvePlan:
        """The plan with absolute paths, after every configuration and bundle was read.

        Raises:
            Fault: one of them cannot be used.
        """
        whole = replace(
            self,
            output=self.output.resolve(),
            work=self.work.resolve(),
            configurations=tuple(each.resolve() for each in self.configurations),
            bundles=tuple(open_bundle(each).directory.resolve() for each in self.bundles),
        )
        for number in range(len(whole.configurations)):
            whole.configuration(number)
        whole.all_bundles()
        return whole


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
    """Module, and after a colon the function in it that is called; ``run`` without one."""
    limit_s: float
    """Time after which it is aborted."""
    camera: int | None = None
    """Index of the configuration with the camera, for a step that is run for each."""

    @property
    def arguments(self) -> list[str]:
        """Arguments of the step on the command line of `runtime.prove.apart`."""
        return [self.module, *([] if self.camera is None else [str(self.camera)])]


def load_step(module: str, camera: int | None = None) -> RunStep:
    """Function that runs a step."""
    name, _, function = module.partition(":")
    run = getattr(importlib.import_module(name), function or "run")
    if camera is None:
        plain: RunStep = run
        return plain
    return lambda plan, findings: run(plan, findings, camera)


def steps_of(plan: ProvePlan) -> list[ProveStep]:
    """All steps of a plan; those of a camera once for each configuration."""
    brief_s = 2 * _MINUTE_S
    load_s = plan.seconds_of_load
    return [
        _step("machine", "Versions and board", brief_s, "device:run_machine"),
        _step("clock", "Clock", brief_s, "device:run_clock"),
        _step("storage", "Storage: fsync", brief_s, "device:run_storage"),
        _step("pixels", "Camera's pixels against NumPy", brief_s),
        _step("engine-small", "A small engine: parsed, built, run", _BUILD_S / 3, "engines:run_small"),
        _step("engine-site", "The site's engine: parsed, built, run", _BUILD_S, "engines:run_site"),
        _step("accuracy", "Engines against ONNX Runtime", _BUILD_S),
        _step("layers", "Time by layer", 5 * _MINUTE_S, "engines:run_layers"),
        _step("graphs", "CUDA graphs", 5 * _MINUTE_S, "engines:run_graphs"),
        _step("memory", "Mapped against device memory", 5 * _MINUTE_S, "engines:run_memory"),
        *(_camera_step(plan, number) for number in range(plan.cameras)),
        _step("argus", "Camera daemon: restart and recovery", 3 * _MINUTE_S, "recovery:run_argus"),
        _step("encoding", "Ten seconds of video", 3 * _MINUTE_S, "load:run_encoding"),
        _step("load", "At load", load_s + 5 * _MINUTE_S, "load:run_load"),
        _step("watchdog", "The service and its watchdog", 4 * _MINUTE_S, "recovery:run_watchdog"),
    ]


def _step(name: str, title: str, limit_s: float, where: str = "") -> ProveStep:
    return ProveStep(name, title, f"{_STEPS}.{where or name}", limit_s)


def _camera_step(plan: ProvePlan, number: int) -> ProveStep:
    only = plan.cameras == 1
    name = "camera" if only else f"camera-{number + 1}"
    title = "Camera" if only else f"Camera of {plan.configurations[number].name}"
    return ProveStep(name, title, f"{_STEPS}.camera", _CAMERA_S, number)
