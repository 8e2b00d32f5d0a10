"""The device at load: frames a second, watts and degrees of the live loop, and their stability; and ten seconds of
video, as in the clip of an event, through the encoder.
"""

from __future__ import annotations

import math
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

from tremorscope.runtime.bench.job import run_bench
from tremorscope.runtime.bench.report import BOUNDED
from tremorscope.runtime.bench.result import BenchResult
from tremorscope.runtime.bench.rig import draw_frames
from tremorscope.runtime.bench.settings import BenchJob
from tremorscope.runtime.cameras.synthetic import SyntheticSettings
from tremorscope.runtime.clips.h264 import EncodingSettings, encoder_of
from tremorscope.runtime.clips.nvenc import ELEMENT
from tremorscope.runtime.clips.video import VideoWriter
from tremorscope.runtime.magnification.settings import MagnificationSettings
from tremorscope.runtime.prove.outcome import Outcome, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan
from tremorscope.runtime.prove.tensorrt import engines_directory, has_tensorrt, site_bundle

_SLOWER = 0.9
"""Least rate of the last third, as a share of the first's; below it the device is throttled, e.g. by heat."""
_GROWTH_MIB = 32.0


def run_load(plan: ProvePlan, findings: StepFindings) -> Outcome:
    """Run the loop on the site's camera and settings."""
    findings.fact("on_tensorrt", has_tensorrt(plan))
    configuration, seconds = plan.configuration(), plan.seconds_of_load
    camera = plan.camera()
    rate_hz = getattr(camera, "rate_hz", None) or 30.0
    job = BenchJob(
        bundle=site_bundle(plan).directory,
        camera=camera,
        magnification=configuration.magnification if configuration else MagnificationSettings(refresh_s=None),
        frames=max(10, math.ceil(1.1 * rate_hz * seconds)),
        most_s=seconds,
        warm_up=5,
        engines=engines_directory(plan, site_bundle(plan)) if has_tensorrt(plan) else None,
        runtime="tensorrt" if has_tensorrt(plan) else "onnxruntime",
        threads=configuration.magnification.threads if configuration else None,
        roofline=True,
    )
    found = run_bench(job)
    _tell(findings, found)
    findings.check("faults of the camera", len(found.faults), 0, holds=not found.faults)
    if not plan.quick:
        _check_memory(findings, found)
        if has_tensorrt(plan):  # on a PC other programs disturb the rate more than heat
            _check_steady(findings, found)
    return findings.outcome(_said(found))


def _tell(findings: StepFindings, found: BenchResult) -> None:
    heat = found.trace.heat()
    facts = {
        "runtime": found.runtime,
        "seconds": found.elapsed_s,
        "frames": found.frames,
        "rate_hz": found.rate_hz,
        "camera_hz": found.nominal_rate_hz,
        "keeps_up": found.keeps_up,
        "copied_bytes_per_frame": found.copies.bytes_per_frame,
        "peak_mib": found.memory.peak_bytes / 2**20,
        "power_w": found.power.mean_w if found.power else None,
        "power_of": found.power.of if found.power else None,
        "frames_per_j": found.power.frames_per_j if found.power else None,
        "pixel_nj": found.power.pixel_nj if found.power else None,
        "temperature_first_c": heat["first_c"],
        "temperature_most_c": heat["most_c"],
        "throttled": ", ".join(heat["throttled"]) or None,
    }
    for name, value in facts.items():
        findings.fact(name, value)
    findings.table(
        "Stages, ms",
        ["stage", "median", "95 %", "99 %", "most"],
        [
            [name, *(round(each, 3) for each in (of.median_ms, of.p95_ms, of.p99_ms, of.max_ms))]
            for name, of in found.stages.items()
        ],
    )
    if found.roofline is not None:
        reached = {each.stage: each.share for each in found.roofline.bounds}
        findings.fact("roofline_reached", reached.get("network"))
        findings.table(
            "Roofline",
            ["stage", "bound, ms", "took, ms", "reached", "bound by", "of"],
            [
                [
                    BOUNDED[each.stage],
                    round(each.bound_ms, 4),
                    round(each.measured_ms, 4),
                    f"{each.share:.1%}",
                    each.limit,
                    each.peaks,
                ]
                for each in found.roofline.bounds
            ],
        )


def _check_steady(findings: StepFindings, found: BenchResult) -> None:
    """Check that the last third is as fast as the first."""
    thirds = np.searchsorted(found.timeline.since_s, np.linspace(0, found.elapsed_s, 4))
    first, last = int(thirds[1] - thirds[0]), int(thirds[3] - thirds[2])
    part = last / first if first else 0.0
    findings.check(
        "last third against the first",
        f"{part:.2f} times as fast",
        f"at least {_SLOWER:g}",
        holds=part >= _SLOWER,
    )


def _check_memory(findings: StepFindings, found: BenchResult) -> None:
    growth_mib = found.memory.growth_bytes / 2**20
    findings.check(
        "growth of memory",
        f"{growth_mib:+.1f} MiB",
        f"at most {_GROWTH_MIB:g}",
        holds=growth_mib <= _GROWTH_MIB,
    )


def _said(found: BenchResult) -> str:
    told = [f"{found.rate_hz:.3g} of {found.nominal_rate_hz:.4g} frames/s over {found.elapsed_s:.0f} s"]
    if found.power is not None:
        told.append(f"{found.power.mean_w:.3g} W ({found.power.frames_per_j:.3g} frames a joule)")
    else:
        told.append("power is not measured here")
    if found.trace.temperature_c:
        told.append(f"{max(found.trace.temperature_c):.1f} °C at most")
    return ", ".join(told)


_SECONDS = 10
_NOISE = 2
_PICTURES = 16
"""Pictures that are drawn beforehand and repeated: drawing one takes longer than encoding it."""


def run_encoding(plan: ProvePlan, findings: StepFindings) -> Outcome:
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
