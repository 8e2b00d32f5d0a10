"""A camera on the network that speaks RTSP, through rtspsrc and whatever decoder this machine has."""

from __future__ import annotations

from types import MappingProxyType

from tremorscope.runtime.cameras.gstreamer.camera import GStreamerCamera, RequestedFormat
from tremorscope.runtime.cameras.gstreamer.faults import Advice, Cause
from tremorscope.runtime.cameras.gstreamer.load import FLIPS, NV_FLIPS, SINK_TEXT, has_element
from tremorscope.runtime.cameras.gstreamer.memory import cpu_writer
from tremorscope.runtime.cameras.gstreamer.pipeline import PipelinePlan
from tremorscope.runtime.cameras.settings import RtspCameraSettings
from tremorscope.runtime.frames.buffers import CopyAccount
from tremorscope.runtime.host.secrets import read_credential

FIRST_FRAME_TIMEOUT_S = 15.0
"""Cameras that save bandwidth send a whole picture only every ten seconds or so; nothing can be seen before it."""
_ANSWER_TIMEOUT_US = 5_000_000
_PROTOCOLS = {"tcp": "tcp", "udp": "udp", "auto": "udp+tcp"}
_BUFFER_MODES = {"tcp": "none", "udp": "slave", "auto": "slave"}
"""none: times are the camera's own, by RTP. slave: they are drawn towards this machine's clock, by milliseconds a
minute at first; it takes that to know how long to wait for a packet that UDP has lost."""
_REMEDIES: MappingProxyType[Cause, str] = MappingProxyType(
    {
        "absent": "check the address, the network and whether the camera is on: "
        "`gst-discoverer-1.0` followed by the address tells more",
        "unauthorised": "check `user`, and the password that `credential` names",
        "undecodable": "set the camera to H.264, H.265 or MJPEG, and install the decoder: "
        "sudo apt install gstreamer1.0-libav gstreamer1.0-plugins-good gstreamer1.0-plugins-bad",
        "ended": "check the camera and the network",
        "broken": "check the camera and the network",
    }
)


def open_rtsp(
    settings: RtspCameraSettings,
    *,
    account: CopyAccount | None = None,
    first_frame_timeout_s: float = FIRST_FRAME_TIMEOUT_S,
) -> GStreamerCamera:
    """Connect to a camera and wait for its first picture.

    Raises:
        CameraFault: it cannot be reached, refuses, or sends nothing that can be decoded.
        OptionFault: the password cannot be found.
    """
    return GStreamerCamera(
        plan(settings, jetson=has_element("nvvidconv")),
        RequestedFormat(settings.size_px, settings.rate_hz),
        cpu_writer(account),
        silence_s=settings.silence_s,
        first_frame_timeout_s=first_frame_timeout_s,
    )


def plan(settings: RtspCameraSettings, *, jetson: bool) -> PipelinePlan:
    """The pipeline; on a Jetson its decoder leaves pictures in its own memory, from where nvvidconv fetches them."""
    parts = [
        f"rtspsrc name=source protocols={_PROTOCOLS[settings.transport]} latency={settings.latency_ms} "
        f"buffer-mode={_BUFFER_MODES[settings.transport]} drop-on-latency=true tcp-timeout={_ANSWER_TIMEOUT_US}",
        "application/x-rtp,media=video",
        "decodebin",
    ]
    elements = ["rtspsrc", "decodebin", "appsink"]
    if jetson:
        parts += [f"nvvidconv flip-method={NV_FLIPS[settings.flip]}", "video/x-raw,format=RGBA"]
        elements.append("nvvidconv")
    elif settings.flip != "none":
        parts.append(f"videoflip video-direction={FLIPS[settings.flip]}")
        elements.append("videoflip")
    properties: list[tuple[str, object]] = [("location", settings.url)]
    if settings.user is not None:
        properties.append(("user-id", settings.user))
    if settings.credential is not None:
        properties.append(("user-pw", read_credential(settings.credential)))
    return PipelinePlan(
        text=" ! ".join([*parts, SINK_TEXT]),
        elements=tuple(elements),
        advice=Advice(f"camera {settings.url}", _REMEDIES),
        properties=tuple(properties),
        numbers_frames=False,
        times="sender",
    )
