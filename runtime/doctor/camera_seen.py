"""Probe of the service's camera as it was last opened: doctor does not open a camera that may be in use."""

from __future__ import annotations

import json

from tremorscope.runtime.cameras.gstreamer.text import WHOSE_TIMES
from tremorscope.runtime.doctor.finding import ProbeFinding, ok, wrong
from tremorscope.runtime.doctor.machine import Machine
from tremorscope.runtime.doctor.needs import Needs

_FILE = "camera.json"  # as runtime.service.opening.CAMERA_FILE, which is not imported for that alone


def seen(machine: Machine, needs: Needs) -> list[ProbeFinding]:
    """Probe of mode, memory and clock of the frames, a finding for each instance of the service that has run."""
    files = [*machine.glob(f"{needs.data}/{_FILE}"), *machine.glob(f"{needs.data}/*/{_FILE}")]
    return [finding for file in files if (finding := _finding(machine.text(file)))]


def _finding(text: str) -> ProbeFinding | None:
    try:
        report = json.loads(text)
        name = f"{report['camera']} when last opened"
        found = f"{report['width_px']}x{report['height_px']} px at {report['rate_hz']:g} Hz"
        if report["mode"]:
            found += f", sensor mode {report['mode']}"
        means = WHOSE_TIMES[report["times"]]
        if report["remarks"]:
            command = "change width_px, height_px or rate_hz of the camera in the configuration"
            return wrong(name, found, "; ".join([*report["remarks"], means]), command)
        return ok(name, found, means)
    except (ValueError, KeyError, TypeError):  # of another release, or cut short
        return None
