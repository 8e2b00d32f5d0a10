"""A USB camera, or any other video device of Linux, through v4l2src."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

from tremorscope.runtime.cameras.gstreamer.camera import SILENCE_S, GStreamerCamera, RequestedFormat
from tremorscope.runtime.cameras.gstreamer.exposure import ExposureControl, ExposureHold
from tremorscope.runtime.cameras.gstreamer.faults import Advice, Cause
from tremorscope.runtime.cameras.gstreamer.pipeline import PipelinePlan, first_offered
from tremorscope.runtime.cameras.gstreamer.settings import ExposureSettings
from tremorscope.runtime.cameras.gstreamer.text import FLIPS, SINK_ANY_TEXT, SINK_TEXT, rate_text
from tremorscope.runtime.cameras.gstreamer.v4l2_controls import V4l2Controls
from tremorscope.runtime.cameras.gstreamer.writers import cpu_writer
from tremorscope.runtime.cameras.settings import V4l2Settings
from tremorscope.runtime.frames.copies import CopyAccount

_REMEDIES: MappingProxyType[Cause, str] = MappingProxyType(
    {
        "absent": "plug it in; `v4l2-ctl --list-devices` lists what is there",
        "busy": "stop the program that uses it; `fuser -v` followed by the device names it",
        "forbidden": "let the user into group video: sudo usermod -aG video USER, and log in again",
        "not negotiable": "choose a size and rate that it offers, e.g. as `v4l2-ctl --list-formats-ext` lists",
    }
)


def open_v4l2(
    settings: V4l2Settings,
    *,
    account: CopyAccount | None = None,
    silence_s: float = SILENCE_S,
    controls: Callable[[V4l2Settings], ExposureControl] | None = None,
) -> GStreamerCamera:
    """Open a video device.

    Args:
        settings: of the device.
        account: takes note of what the CPU copies.
        silence_s: time without a frame after which the camera counts as frozen.
        controls: makes the control of exposure and gain; None takes the device's own controls.

    Raises:
        CameraFault: it cannot be opened, or does not offer what is asked for.
    """
    make_controls = controls or _controls
    return GStreamerCamera(
        plan(settings),
        RequestedFormat(settings.size_px, settings.rate_hz),
        cpu_writer(account),
        hold=lambda _: ExposureHold(settings.exposure, make_controls(settings)),
        silence_s=silence_s,
    )


def plan(settings: V4l2Settings) -> PipelinePlan:
    """The pipeline; with format auto the device is asked what it offers.

    Raises:
        CameraFault: GStreamer is not there, or the device cannot be opened.
    """
    compressed = settings.format == "mjpeg"
    if settings.format == "auto":
        asking = replace(_plan(settings, compressed=False), text=f"v4l2src name=source ! {SINK_ANY_TEXT}")
        choices = [_caps(settings, compressed=False), _caps(settings, compressed=True)]
        compressed = first_offered(asking, choices) == 1
    return _plan(settings, compressed=compressed)


def _plan(settings: V4l2Settings, *, compressed: bool) -> PipelinePlan:
    parts = ["v4l2src name=source", _caps(settings, compressed=compressed)]
    elements = ["v4l2src", "appsink"]
    if compressed:
        parts.append("jpegdec")
        elements.append("jpegdec")
    if settings.flip != "none":
        parts.append(f"videoflip video-direction={FLIPS[settings.flip]}")
        elements.append("videoflip")
    return PipelinePlan(
        text=" ! ".join([*parts, SINK_TEXT]),
        elements=tuple(elements),
        advice=Advice(f"camera {settings.device}", _REMEDIES),
        properties=(("device", str(settings.device)),),
    )


def _caps(settings: V4l2Settings, *, compressed: bool) -> str:
    kind = "image/jpeg" if compressed else "video/x-raw"
    return f"{kind},width={settings.width_px},height={settings.height_px},framerate={rate_text(settings.rate_hz)}"


def _controls(settings: V4l2Settings) -> ExposureControl:
    exposure: ExposureSettings = settings.exposure
    return V4l2Controls(settings.device, exposure)
