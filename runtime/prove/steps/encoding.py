"""Ten seconds of video, as in the clip of an event, through this device's encoder."""

from __future__ import annotations

import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

from tremorscope.runtime.bench.rig import draw_frames
from tremorscope.runtime.cameras.synthetic import SyntheticSettings
from tremorscope.runtime.clips.h264 import EncodingSettings, encoder_of
from tremorscope.runtime.clips.nvenc import ELEMENT
from tremorscope.runtime.clips.video import VideoWriter
from tremorscope.runtime.prove.outcome import Outcome, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan

_SECONDS = 10
_NOISE = 2
_PICTURES = 16
"""Pictures that are drawn beforehand and repeated: drawing one takes longer than encoding it."""


def run(plan: ProvePlan, findings: StepFindings) -> Outcome:
    """Encode frames of the drawn structure, with noise that an encoder cannot predict."""
    size = plan.site_size
    rate_hz = getattr(plan.camera(), "rate_hz", None) or 30.0
    count = max(10, round((1 if plan.quick else _SECONDS) * rate_hz))
    drawn = draw_frames(SyntheticSettings(width_px=size.width_px, height_px=size.height_px))
    noise = np.random.default_rng(0).integers(0, _NOISE + 1, drawn[0].shape, np.uint8)
    pictures = [
        drawn[number % len(drawn)] // 2 + np.roll(noise, number, axis=1) for number in range(_PICTURES)
    ]
    configuration = plan.configuration()
    recording = configuration.recording if configuration else None
    encoder, why = encoder_of(recording.encoder if recording else "auto", size.width_px, size.height_px)
    findings.fact("encoder", encoder)
    findings.fact("why", why)
    with tempfile.TemporaryDirectory(dir=plan.work) as directory:
        file = Path(directory) / "ten-seconds.mp4"
        begun_s, processor_s = time.perf_counter(), time.process_time()
        with VideoWriter(
            file,
            EncodingSettings(size.width_px, size.height_px, rate_hz, Fraction(1, 90_000)),
            encoder="nvenc" if encoder == ELEMENT else "x264",  # required, as a fall-back would hide a fault
        ) as video:
            for number in range(count):
                video.write(pictures[number % _PICTURES], number / rate_hz)
        taken_s, processor_s = time.perf_counter() - begun_s, time.process_time() - processor_s
        nbytes = file.stat().st_size
    findings.fact("frames", f"{size.width_px}x{size.height_px}")
    findings.fact("rate_hz", count / taken_s)
    findings.fact("processor_cores", processor_s / taken_s)
    findings.fact("mbit_s", 8 * nbytes * rate_hz / count / 1e6)
    findings.check("pictures that read back", video.count, count, holds=video.count == count)
    if not plan.quick:
        findings.check(
            "speed",
            f"{count / taken_s:.1f} frames/s",
            f"at least {rate_hz:g}",
            holds=count / taken_s >= rate_hz,
        )
    return findings.outcome(
        f"{encoder}: {count / taken_s:.0f} frames/s of {size.width_px}x{size.height_px} px on "
        f"{processor_s / taken_s:.1f} cores"
    )
