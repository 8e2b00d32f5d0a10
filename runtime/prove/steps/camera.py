"""A camera: 300 frames, their true rate, mode, memory, copies, pixels and exposure, then five openings in a row."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.cameras.gstreamer.camera import HeldFrame
from tremorscope.runtime.cameras.opening import describe, frame_size, open_camera, supervisor_settings
from tremorscope.runtime.cameras.settings import (
    CameraSettings,
    ClipSettings,
    CsiSettings,
    SyntheticCameraSettings,
    V4l2Settings,
)
from tremorscope.runtime.errors import CameraFault, EngineFault
from tremorscope.runtime.frames.buffers import Allocator, CopyAccount, allocate_host
from tremorscope.runtime.frames.frame import Camera, FrameInfo
from tremorscope.runtime.gpu.protocol import Gpu
from tremorscope.runtime.prove.outcome import Outcome, Row, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan
from tremorscope.runtime.prove.steps.pixels import Repetitions, agree, off_by, wanted
from tremorscope.runtime.prove.tensorrt import has_tensorrt, opened_gpu

_FRAMES, _OPENINGS = 300, 5
_RATE_OFF = 0.02
"""Relative difference allowed between the true rate and the stated one."""
_LOST = 0.02
_BRIGHTER = 3.0
"""Grey levels by which the mean of a picture may move while exposure is held; a passing cloud moves it more."""
_LIMIT_S = 60.0
_PAUSE_S, _PAUSES = 8.0, 2
"""Pause and number of openings after one: some drivers fail at the second opening only if more than 5 s have passed
since the first (Kurokesu/ar0234-jetson-driver, issue 8)."""


def run(plan: ProvePlan, findings: StepFindings, number: int) -> Outcome:
    """Read the camera as the supervisor does, straight into memory that the engine reads."""
    settings = plan.camera(number)
    findings.fact("camera", describe(settings))
    findings.fact("kind", settings.kind)
    frames = 30 if plan.quick else _FRAMES
    with ExitStack() as undo:
        gpu, allocate = _memory(plan, findings, undo)
        findings.fact("on_gpu", gpu is not None)
        width_px, height_px = frame_size(settings)
        block = allocate(2 * width_px * height_px * 3).reshape(2, height_px, width_px, 3)
        account = CopyAccount()
        said = _read(settings, findings, frames, block, account, gpu)
        if findings.facts.get("memory") == "nvmm":
            _compare_with_a_copy(settings, findings, block)
        pauses = _PAUSES if isinstance(settings, CsiSettings) and not plan.quick else 0
        openings = 2 if plan.quick else _OPENINGS
        said += f"; {_reopen(settings, findings, openings, block[0], gpu, pauses=pauses)}"
        del block
    return findings.outcome(said)


def _memory(plan: ProvePlan, findings: StepFindings, undo: ExitStack) -> tuple[Gpu | None, Allocator]:
    """Memory for the frames, mapped by the GPU if engines run there."""
    if has_tensorrt(plan):
        try:
            gpu = undo.enter_context(opened_gpu())
        except EngineFault as fault:
            findings.fact("memory_of_frames", f"ordinary: {fault}")
            return None, allocate_host
        return gpu, gpu.allocate_mapped
    return None, allocate_host


def _read(
    settings: CameraSettings,
    findings: StepFindings,
    frames: int,
    block: NDArray[np.uint8],
    account: CopyAccount,
    gpu: Gpu | None,
) -> str:
    begun_s = time.monotonic()
    camera = open_camera(settings, account=account, gpu=gpu)
    try:
        infos, brightness, repeated = _frames(camera, frames, block)
        stated_hz = camera.nominal_rate_hz
        report = getattr(camera, "report", None)
        _tell_report(findings, report() if report is not None else None)
        if findings.facts.get("memory") == "nvmm":
            tell_surface(findings, camera.read_held())  # type: ignore[attr-defined]
    finally:
        camera.close()
    findings.fact("first_frame_s", (infos[0].arrived_s or begun_s) - begun_s)
    spans = len(infos) - 1
    lasted_s = infos[-1].timestamp_s - infos[0].timestamp_s
    numbered = infos[-1].sequence - infos[0].sequence
    rate_hz = numbered / lasted_s if lasted_s > 0 else math.nan
    lost = 1 - spans / numbered if numbered else math.nan
    findings.check("frames", len(infos), frames, holds=len(infos) == frames)
    findings.fact("stated_hz", stated_hz)
    findings.fact("true_rate_hz", rate_hz)
    findings.check(
        "true rate",
        f"{rate_hz:.4g} Hz",
        f"{stated_hz:.4g} Hz within {_RATE_OFF:.0%}",
        holds=abs(rate_hz / stated_hz - 1) <= _RATE_OFF,
    )
    if not isinstance(settings, (ClipSettings, SyntheticCameraSettings)):
        findings.check("lost", f"{lost:.1%}", f"at most {_LOST:.0%}", holds=lost <= _LOST)
    # A clip may repeat pictures, and so may the codec of a camera on the network.
    if isinstance(settings, (CsiSettings, V4l2Settings)):
        findings.check("frames equal to one before", repeated, 0, holds=repeated == 0)
    _tell_copies(settings, findings, account, frames, gpu)
    _tell_exposure(settings, findings, brightness)
    copied = f"{account.total_bytes / frames:,.0f} bytes copied a frame"
    return f"{describe(settings)}: {rate_hz:.4g} of {stated_hz:.4g} Hz, {copied}"


def _frames(camera: Camera, count: int, block: NDArray[np.uint8]) -> tuple[list[FrameInfo], list[float], int]:
    """Read frames; returns their arrival times, the mean of every fifth, and the number that equal an earlier one."""
    infos: list[FrameInfo] = []
    repetitions = Repetitions()
    brightness: list[float] = []
    until_s = time.monotonic() + _LIMIT_S + count / camera.nominal_rate_hz * 2
    while len(infos) < count:
        if time.monotonic() > until_s:
            raise CameraFault(
                f"only {len(infos)} of {count} frames came in time", remedy="see what tremorscope doctor says"
            )
        slot = block[len(infos) % 2]
        info = camera.read_into(slot)
        if info is None:
            raise CameraFault(f"it ended after {len(infos)} frames", remedy="name a camera, or loop the clip")
        infos.append(
            FrameInfo(info.sequence, info.timestamp_s, info.segment, info.captured_s, time.monotonic())
        )
        repetitions.look(slot)
        if len(infos) % 5 == 1:
            brightness.append(float(slot[::4, ::4].mean()))
    return infos, brightness, repetitions.count


def _tell_report(findings: StepFindings, report: Any) -> None:
    """Add mode, format, memory and pitch of a camera behind GStreamer."""
    if report is None:
        return
    for name in ("width_px", "height_px", "rate_hz", "format", "memory", "why", "decoder", "pipeline"):
        findings.fact(name, getattr(report, name, None))
    for name in ("mode", "times", "remarks"):  # if this kind of camera has them
        told = getattr(report, name, None)
        findings.fact(name, "; ".join(told) if isinstance(told, tuple) else told)


def tell_surface(findings: StepFindings, held: HeldFrame) -> None:
    """Add pitch and kind of the memory in which a CSI camera leaves its frames, of one that it still holds."""
    findings.fact("pitch_bytes", held.picture.pitch_bytes)
    findings.fact("memory_type", "CUDA's" if held.picture.resource is None else "a surface, through EGL")
    held.release()


def _compare_with_a_copy(settings: CameraSettings, findings: StepFindings, block: NDArray[np.uint8]) -> None:
    """Read one picture by the CPU, which needs no EGL, and compare it with one of the last that the GPU read."""
    by_gpu = block[0].copy()
    camera = open_camera(settings.model_copy(update={"memory": "copy"}))
    try:
        info = camera.read_into(block[0])
    finally:
        camera.close()
    off = off_by(by_gpu, block[0])
    findings.check(
        "GPU's picture against one that was copied",
        f"{off:.1f} grey levels" if info else "none was copied",
        wanted(),
        holds=info is not None and agree(off),
    )


def _tell_copies(
    settings: CameraSettings, findings: StepFindings, account: CopyAccount, frames: int, gpu: Gpu | None
) -> None:
    each = account.total_bytes / frames
    findings.fact("copied_bytes_per_frame", each)
    if isinstance(settings, CsiSettings) and settings.memory != "copy" and gpu is not None:
        findings.check("bytes copied by the CPU", f"{each:.0f} a frame", 0, holds=each == 0)


def _tell_exposure(settings: CameraSettings, findings: StepFindings, brightness: list[float]) -> None:
    """Check the change of brightness from the first to the last frame, which must be small while exposure is held."""
    moved = max(brightness) - min(brightness)
    findings.fact("brightness_mean", float(np.mean(brightness)))
    findings.fact("brightness_moved", moved)
    exposure = getattr(settings, "exposure", None)
    if exposure is not None and exposure.lock:
        findings.check(
            "brightness while exposure is held",
            f"moved by {moved:.2f} grey levels",
            f"at most {_BRIGHTER:g}",
            holds=moved <= _BRIGHTER,
        )


def _reopen(
    settings: CameraSettings,
    findings: StepFindings,
    count: int,
    slot: NDArray[np.uint8],
    gpu: Gpu | None,
    *,
    pauses: int,
) -> str:
    """Open, read a frame and close repeatedly; the last openings follow a pause."""
    rows: list[Row] = []
    allowed_s = supervisor_settings(settings).open_timeout_s
    for opening in range(1, count + 1):
        if opening > count - pauses:
            time.sleep(_PAUSE_S)
        begun_s = time.monotonic()
        camera = open_camera(settings, gpu=gpu)
        try:
            opened_s = time.monotonic() - begun_s
            info = camera.read_into(slot)
            first_s = time.monotonic() - begun_s
        finally:
            camera.close()
        rows.append([opening, round(opened_s, 3), round(first_s, 3), round(time.monotonic() - begun_s, 3)])
        findings.check(
            f"opening {opening}",
            f"first frame after {first_s:.2f} s" if info else "no frame",
            f"within {allowed_s:g} s",
            holds=info is not None and first_s <= allowed_s,
        )
    findings.fact("openings", count)
    findings.table("Openings", ["opening", "open, s", "first frame, s", "closed, s"], rows)
    return f"opened {count} times more, first frame after {max(float(row[2] or 0) for row in rows):.2f} s at most"
