"""Progress of a build, from the nested phases that TensorRT reports."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Progress = Callable[[int, int | None], None]
"""Called with the per cent done and 100."""


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class PhaseProgress:
    """The share of a build that is done, from phases that start, step and finish; safe for several threads.

    A phase of n steps that is at step k, with a phase below it done by the share s, is done by (k + s) / n.
    The percentage never falls, though TensorRT starts some phases more than once.
    """

    def __init__(self, show: Progress) -> None:
        self._show = show
        self._phases: dict[str, _Phase] = {}
        self._shown_percent = -1
        self._lock = threading.Lock()

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """A phase of ``steps`` steps begins, within ``parent`` or (None) by itself."""
        with self._lock:
            self._phases[phase] = _Phase(parent, max(1, steps))

    def step(self, phase: str, step: int) -> None:
        """Step number ``step``, from 0, of a phase is done."""
        with self._lock:
            if phase in self._phases:
                self._phases[phase].done = step + 1
                self._show_progress()

    def finish(self, phase: str) -> None:
        """A phase ends, be it early."""
        with self._lock:
            ended = self._phases.pop(phase, None)
            if ended is not None and ended.parent is None:
                self._shown_percent = 99  # 100 only with the finished engine
            self._show_progress()

    def _show_progress(self) -> None:
        outermost = [name for name, phase in self._phases.items() if phase.parent is None]
        share = max((self._share(name) for name in outermost), default=0.0)
        percent = min(99, int(100 * share))
        if percent > self._shown_percent:
            self._shown_percent = percent
            self._show(percent, 100)

    def _share(self, name: str) -> float:
        phase = self._phases[name]
        below = max(
            (self._share(child) for child, other in self._phases.items() if other.parent == name), default=0.0
        )
        return min(1.0, (phase.done + below) / phase.steps)


def progress_monitor(trt: Any, progress: PhaseProgress, stop_wanted: Callable[[], bool]) -> Any:
    """``IProgressMonitor`` that reports to ``progress``, and ends the build once a stop is wanted."""

    class _BuildMonitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress.step(phase_name, step)
            return not stop_wanted()

        def phase_finish(self, phase_name: str) -> None:
            progress.finish(phase_name)

    return _BuildMonitor()
