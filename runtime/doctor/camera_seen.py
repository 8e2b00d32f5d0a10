"""What the service's camera said of itself when it was last opened: doctor itself opens none, as one is in use."""

from __future__ import annotations

import json

from tremorscope.runtime.cameras.gstreamer.text import WHOSE_TIMES
from tremorscope.runtime.doctor.finding import Finding, ok, wrong
from tremorscope.runtime.doctor.machine import Machine
from tremorscope.runtime.doctor.needs import Needs

_FILE = "camera.json"  # as runtime.service.opening.CAMERA_FILE, which is not imported for that alone


def seen(machine: Machine, needs: Needs) -> list[Finding]:
    """Mode, memory and whose times the frames have, a finding for each instance of the service that has run."""
    files = [*machine.glob(f"{needs.data}/{_FILE}"), *machine.glob(f"{needs.data}/*/{_FILE}")]
    return [finding for file in files if (finding := _finding(machine.text(file)))]


def _finding(text: str) -> Finding | None:
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
