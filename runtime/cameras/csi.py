"""A camera on the CSI connector of a Jetson, through NVIDIA's Argus (nvarguscamerasrc)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

from tremorscope.runtime.cameras.gstreamer.argus_messages import Sensor, argus_messages
from tremorscope.runtime.cameras.gstreamer.camera import (
    SILENCE_S,
    GStreamerCamera,
    RequestedFormat,
    SensorFindings,
)
from tremorscope.runtime.cameras.gstreamer.exposure import ExposureHold
from tremorscope.runtime.cameras.gstreamer.faults import Advice, Cause, DriverMessage, GStreamerFault
from tremorscope.runtime.cameras.gstreamer.load import (
    NV_FLIPS,
    NVMM_SINK_TEXT,
    SINK_TEXT,
    PipelineFault,
    properties_of,
    rate_text,
)
from tremorscope.runtime.cameras.gstreamer.memory import MakeWriter, cpu_writer
from tremorscope.runtime.cameras.gstreamer.nvmm import DevicePictures, NvmmFault, NvmmWriter, SurfaceLibrary
from tremorscope.runtime.cameras.gstreamer.pipeline import GStreamerPipeline, PipelinePlan
from tremorscope.runtime.cameras.settings import CsiSettings
from tremorscope.runtime.errors import CameraFault, EngineFault
from tremorscope.runtime.frames.buffers import CopyAccount
from tremorscope.runtime.gpu.egl import EglPictures
from tremorscope.runtime.gpu.protocol import Gpu

POOL_BUFFERS = 12
"""Pictures that nvvidconv makes room for on the zero-copy path: as many may be held at a time, less two."""
FIRST_FRAME_TIMEOUT_S = 8.0
"""The plugin itself waits 3 s for an event and 5 s for a frame (its event-wait and acquire-wait) before it gives up."""
_REMEDIES: MappingProxyType[Cause, str] = MappingProxyType(
    {
        "absent": "check the ribbon cable on both ends with the device switched off, and the connector set with "
        "jetson-io; `v4l2-ctl --list-devices` lists the sensors that the kernel sees",
        "busy": "stop the program that uses it, or sudo systemctl restart nvargus-daemon",
        "forbidden": "let the user into group video: sudo usermod -aG video USER, and log in again",
        "not negotiable": "choose size and rate of one of the sensor's modes, which Argus lists in the journal",
        "no such camera": "write the sensor_id of one that is there, counted from 0: `v4l2-ctl --list-devices` lists "
        "them; or check the ribbon cable of this one with the device switched off",
        "no such mode": "leave sensor_mode empty, or write the number of a mode, counted from 0",
        "too fast": "write a slower rate_hz, or a smaller size",
        "no daemon": "sudo systemctl restart nvargus-daemon, then start this program anew, which asks for the daemon "
        "only once; see journalctl -u nvargus-daemon",
        "ended": "check the ribbon cable, then sudo systemctl restart nvargus-daemon; see journalctl -u nvargus-daemon",
        "broken": "sudo systemctl restart nvargus-daemon, and see journalctl -u nvargus-daemon",
    }
)


def open_csi(
    settings: CsiSettings,
    *,
    account: CopyAccount | None = None,
    gpu: Gpu | None = None,
    silence_s: float = SILENCE_S,
    make_pictures: Callable[[Gpu], DevicePictures] = EglPictures,
    load_surfaces: Callable[[], SurfaceLibrary] = SurfaceLibrary,
) -> GStreamerCamera:
    """Open a CSI camera. From then on stdout is read for messages of libraries, and passed on.

    Args:
        settings: of the camera.
        account: takes note of what the CPU copies: nothing where frames stay in NVIDIA's memory.
        gpu: runs the engine, and maps the ring's memory; None where there is none.
        silence_s: time without a frame after which the camera counts as frozen.
        make_pictures: makes the interface through which pictures reach the GPU.
        load_surfaces: loads NVIDIA's buffer library.

    Raises:
        CameraFault: it cannot be opened, or does not offer what is asked for.
    """
    why_copied = ""
    if settings.memory != "copy":
        try:
            return _open_nvmm(settings, silence_s, gpu, make_pictures, load_surfaces)
        except (NvmmFault, EngineFault, GStreamerFault, PipelineFault) as reason:
            if isinstance(reason, GStreamerFault) and reason.cause != "not negotiable":
                raise
            if settings.memory == "nvmm":
                raise CameraFault(
                    f"CSI camera {settings.sensor_id}: its frames cannot stay in NVIDIA's memory: {reason.what}",
                    remedy=f"{reason.remedy}, or set memory: auto",
                ) from None
            why_copied = reason.what
    return _open(settings, silence_s, "copy", cpu_writer(account), why_copied)


def _open_nvmm(
    settings: CsiSettings,
    silence_s: float,
    gpu: Gpu | None,
    make_pictures: Callable[[Gpu], DevicePictures],
    load_surfaces: Callable[[], SurfaceLibrary],
) -> GStreamerCamera:
    if gpu is None:
        raise NvmmFault("the engine does not run on a GPU", remedy="choose runtime: tensorrt")
    surfaces = load_surfaces()
    # With either of them set EGL looks for a display, and a headless device has none.
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        os.environ.pop(variable, None)

    def make_writer(sample: Any, width_px: int, height_px: int) -> NvmmWriter:
        return NvmmWriter(
            sample, width_px, height_px, surfaces=surfaces, make_pictures=lambda: make_pictures(gpu)
        )

    return _open(settings, silence_s, "nvmm", make_writer, "")


def _open(
    settings: CsiSettings,
    silence_s: float,
    memory: Literal["copy", "nvmm"],
    make_writer: MakeWriter,
    why_copied: str,
) -> GStreamerCamera:
    argus_messages().begin()
    try:
        made = plan(settings, memory, chooses_hardware="compute-hw" in properties_of("nvvidconv"))
        return GStreamerCamera(
            replace(made, why_copied=why_copied),
            RequestedFormat(settings.size_px, settings.rate_hz),
            make_writer,
            hold=lambda pipeline: ExposureHold(settings.exposure, ArgusExposure(pipeline.source)),
            find=partial(_find, settings),
            silence_s=silence_s,
            first_frame_timeout_s=FIRST_FRAME_TIMEOUT_S,
        )
    finally:
        argus_messages().opened()


def _find(settings: CsiSettings, pipeline: GStreamerPipeline) -> SensorFindings:
    """Mode in which the sensor runs, and its differences from the settings, on which the plugin itself is silent."""
    sensor, remarks = argus_messages().sensor(), []
    number = int(pipeline.source.get_property("sensor-mode")) if sensor.chosen is None else sensor.chosen
    mode, asked = sensor.mode, (settings.width_px, settings.height_px)
    if mode is not None and (mode.width_px, mode.height_px) != asked:
        sizes = dict.fromkeys(f"{each.width_px}x{each.height_px}" for each in sensor.modes)
        remarks.append(
            f"the sensor has no mode of {asked[0]}x{asked[1]} px at {settings.rate_hz:g} Hz: its pictures of "
            f"{mode.width_px}x{mode.height_px} px are scaled, which blurs small motion; it has {', '.join(sizes)}"
        )
    # The plugin takes 34 us to 358.733 ms and gains of 1 to 16, and passes over others with a printed word alone.
    printed = "\n".join(argus_messages().lines())
    remarks += [
        f"the {what} of the configuration is not taken by Argus, which adapts it instead: write another, or none"
        for what in dict.fromkeys(re.findall(r"Invalid (.+) Range Input", printed))
    ]
    named = f"{number}: {mode}" if mode is not None else f"{number}"
    return SensorFindings(named if number >= 0 else "", tuple(remarks))


def _driver_message(settings: CsiSettings) -> DriverMessage:
    """Cause that Argus printed, with the highest rate of this sensor at this size."""
    message, sensor = argus_messages().driver_message(), argus_messages().sensor()
    fastest = fastest_hz(sensor, settings)
    if message.cause != "too fast" or fastest is None:
        return message
    return replace(message, offers=f"{fastest} Hz at most at this size; its modes are {message.offers}")


def fastest_hz(sensor: Sensor, settings: CsiSettings) -> int | None:
    """The fastest rate at which a sensor gives pictures of a size, in its own mode or scaled; None: unknown."""
    modes = sensor.modes if settings.sensor_mode is None else (sensor.mode,)
    rates = [
        mode.fastest_hz
        for mode in modes
        if mode and mode.width_px >= settings.width_px and mode.height_px >= settings.height_px
    ]
    return max(rates, default=None)


def plan(
    settings: CsiSettings, memory: Literal["copy", "nvmm"], *, chooses_hardware: bool = True
) -> PipelinePlan:
    """The pipeline. The sensor's temporal noise reduction and edge enhancement are off: both alter small motion.

    The video image compositor (VIC) turns NV12 into RGBA: it costs neither CPU nor GPU time.
    An nvvidconv too old for the property (``chooses_hardware`` False) uses the VIC on a Jetson anyway.
    """
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
    convert_by = f"nvvidconv flip-method={NV_FLIPS[settings.flip]}" + " compute-hw=VIC" * chooses_hardware
    if memory == "nvmm":
        convert = [f"{convert_by} output-buffers={POOL_BUFFERS}"]
        convert += [f"video/x-raw(memory:NVMM),format=RGBA,{turned}", NVMM_SINK_TEXT]
    else:
        convert = [convert_by, f"video/x-raw,format=RGBA,{turned}", SINK_TEXT]
    return PipelinePlan(
        text=" ! ".join([" ".join(source), sensor, *convert]),
        elements=("nvarguscamerasrc", "nvvidconv", "appsink"),
        advice=Advice(f"CSI camera {settings.sensor_id}", _REMEDIES, partial(_driver_message, settings)),
        times="arrival",
    )


class ArgusExposure:
    """Lock of the exposure, gain and white balance that Argus adapts. Ranges that the plan fixed stay fixed."""

    def __init__(self, source: Any) -> None:
        self._source = source

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
