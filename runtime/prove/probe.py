"""One frame of a camera, in a process of its own: ``python -m tremorscope.runtime.prove.probe``, its plan on stdin.

Argus binds a process to the daemon that it met first; so each test after a restart needs a new process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np

from tremorscope.runtime.cameras.opening import frame_size, open_camera
from tremorscope.runtime.errors import Fault
from tremorscope.runtime.prove.apart import module_command
from tremorscope.runtime.prove.plan import ProvePlan


def first_frame_s(plan: ProvePlan, number: int, limit_s: float) -> tuple[float | None, str]:
    """Seconds until a new process had a frame, or None and the reason for which it had none."""
    try:
        done = subprocess.run(
            module_command("tremorscope.runtime.prove.probe", str(number)),
            input=plan.as_text(),
            capture_output=True,
            text=True,
            check=False,
            timeout=limit_s,
        )
    except subprocess.TimeoutExpired:
        return None, f"no answer within {limit_s:.0f} s"
    try:
        answer = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return None, f"exit status {done.returncode}"
    return answer["first_frame_s"], answer["why"]


def main() -> None:
    """Read a frame, and print the result as the last line of stdout."""
    plan, number = ProvePlan.from_text(sys.stdin.read()), int(sys.argv[1])
    begun_s = time.monotonic()
    try:
        settings = plan.camera(number)
        width_px, height_px = frame_size(settings)
        camera = open_camera(settings)
        try:
            info = camera.read_into(np.zeros((height_px, width_px, 3), np.uint8))
        finally:
            camera.close()
        answer = {
            "first_frame_s": time.monotonic() - begun_s if info else None,
            "why": "" if info else "it ended",
        }
    except Fault as fault:
        answer = {"first_frame_s": None, "why": str(fault)}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
