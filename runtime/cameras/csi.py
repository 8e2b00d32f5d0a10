"""A camera on the CSI connector of a Jetson, through NVIDIA's Argus (nvarguscamerasrc)."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Literal

from runtime.cameras.exposure import ExposureHold
from runtime.cameras.gst_camera import GStreamerCamera, Wanted
from runtime.cameras.gst_faults import Advice, Cause
from runtime.cameras.gst_pipeline import GStreamerPipeline, PipelinePlan
from runtime.cameras.gst_text import NV_FLIPS, NVMM_SINK_TEXT, SINK_TEXT, rate_text
from runtime.cameras.settings import CsiSettings, ExposureSettings
from runtime.copies import CopyAccount

POOL_BUFFERS = 12
"""Pictures that nvvidconv makes room for on the zero-copy path: as many may be held at a time, less two."""
_REMEDIES: MappingProxyType[Cause, str] = MappingProxyType(
    {
        "absent": "check the ribbon cable and the connector set with jetson-io; `v4l2-ctl --list-devices` lists "
        "the sensors that the kernel sees",
        "busy": "stop the program that uses it, or sudo systemctl restart nvargus-daemon",
        "forbidden": "let the user into group video: sudo usermod -aG video USER, and log in again",
        "not negotiable": "choose size and rate of one of the sensor's modes, which Argus lists in the journal",
        "ended": "check the ribbon cable, then sudo systemctl restart nvargus-daemon; see journalctl -u nvargus-daemon",
        "broken": "sudo systemctl restart nvargus-daemon, and see journalctl -u nvargus-daemon",
    }
)


def open_csi_copying(
    settings: CsiSettings, *, account: CopyAccount | None = None, why: str = ""
) -> GStreamerCamera:
    """Open a CSI camera whose frames are copied once, by the CPU, into the ring.

    Args:
        settings: which camera, and how.
        account: is told of what the CPU copies.
        why: why frames do not stay in the camera's memory.

    Raises:
        CameraFault: it cannot be opened, or does not offer what is asked for.
    """
    return GStreamerCamera(
        plan(settings, "copy"),
        Wanted(settings.size_px, settings.rate_hz),
        account=account,
        hold=lambda pipeline: hold_of(settings, pipeline),
        why=why,
    )


def plan(settings: CsiSettings, memory: Literal["copy", "nvmm"]) -> PipelinePlan:
    """The pipeline. The sensor's temporal noise reduction and edge enhancement are off: both alter small motion."""
    exposure = settings.exposure
    source = [
        f"nvarguscamerasrc name=source sensor-id={settings.sensor_id}",
        f"sensor-mode={-1 if settings.sensor_mode is None else settings.sensor_mode}",
        "tnr-mode=0 ee-mode=0",
    ]
    if exposure.exposure_us is not None:
        source.append(f'exposuretimerange="{_range(round(exposure.exposure_us * 1000))}"')
    if exposure.gain is not None:
        source.append(f'gainrange="{_range(exposure.gain)}" ispdigitalgainrange="1 1"')
    size = f"width={settings.width_px},height={settings.height_px}"
    sensor = f"video/x-raw(memory:NVMM),format=NV12,{size},framerate={rate_text(settings.rate_hz)}"
    turned = "width={},height={}".format(*(settings.size_px or ()))
    flip = f"flip-method={NV_FLIPS[settings.flip]}"
    if memory == "nvmm":
        convert = [f"nvvidconv {flip} output-buffers={POOL_BUFFERS}"]
        convert += [f"video/x-raw(memory:NVMM),format=RGBA,{turned}", NVMM_SINK_TEXT]
    else:
        convert = [f"nvvidconv {flip}", f"video/x-raw,format=RGBA,{turned}", SINK_TEXT]
    return PipelinePlan(
        text=" ! ".join([" ".join(source), sensor, *convert]),
        elements=("nvarguscamerasrc", "nvvidconv", "appsink"),
        advice=Advice(f"CSI camera {settings.sensor_id}", _REMEDIES),
    )


def hold_of(settings: CsiSettings, pipeline: GStreamerPipeline) -> ExposureHold:
    """What holds exposure and white balance of a camera in a pipeline."""
    return ExposureHold(settings.exposure, ArgusExposure(pipeline.source, settings.exposure))


class ArgusExposure:
    """Locks and frees what Argus adapts by itself. Ranges that the plan fixed stay fixed."""

    def __init__(self, source: Any, settings: ExposureSettings) -> None:
        self._source, self._settings = source, settings

    def lock(self) -> None:
        """Hold exposure, gain and white balance at what was found."""
        self._source.set_property("aelock", True)
        self._source.set_property("awblock", True)

    def free(self) -> None:
        """Let Argus adapt again."""
        self._source.set_property("aelock", False)
        self._source.set_property("awblock", False)


def _range(value: float) -> str:
    return f"{value:g} {value:g}" if isinstance(value, float) else f"{value} {value}"
