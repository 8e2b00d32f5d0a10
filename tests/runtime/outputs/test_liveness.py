"""The rule behind /healthz: frames flow, or they do not and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tremorscope.runtime.health import CameraHealth, Health
from tremorscope.runtime.outputs.state import judge, judge_readiness

RUNNING = Health(ready=True, last_frame_age_s=0.03, camera=CameraHealth(status="running", rate_hz=30.0))


@pytest.mark.parametrize(
    ("health", "ok", "text"),
    [
        (RUNNING, True, "ok: 30 frames/s, the last 0.03 s ago"),
        (replace(RUNNING, last_frame_age_s=2.9), True, "ok"),
        (replace(RUNNING, last_frame_age_s=3.1), False, "no frame for 3.1 s: camera running"),
        (Health(uptime_s=4.0), False, "no frame yet, 4 s after the start: camera opening"),
        (
            replace(RUNNING, last_frame_age_s=60, camera=CameraHealth(status="waiting", faults=("frozen",))),
            False,
            r"no frame for 60\.0 s: camera waiting \(frozen\)",
        ),
        # A camera of one frame in five seconds is not dead after four.
        (replace(RUNNING, last_frame_age_s=4.0, camera=CameraHealth(nominal_rate_hz=0.2)), True, "ok"),
    ],
)
def test_frames_flow_or_the_reason_is_told(health: Health, ok: bool, text: str) -> None:
    import re

    verdict = judge(health)
    assert verdict.ok is ok
    assert re.match(text, verdict.text)


def test_a_service_on_its_way_out_is_not_ready() -> None:
    assert judge_readiness(RUNNING).ok
    assert not judge_readiness(replace(RUNNING, stopping=True)).ok
    assert judge(replace(RUNNING, stopping=True)).ok
