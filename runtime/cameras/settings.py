"""The ``camera`` section of a configuration, one class for each kind of camera.

`CameraSettings` tells the kinds apart by ``kind``. Units stand in the names; a key that is not known is refused. A
password never stands here: ``credential`` names where it is kept (`runtime.host.secrets`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, TypeAdapter, field_validator, model_validator
from typing_extensions import Self

from tremorscope.runtime.cameras.gstreamer.exposure import ExposureSettings, Flip
from tremorscope.runtime.settings import Section

Side = Annotated[int, Field(ge=16, le=8192, multiple_of=2)]
Rate = Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)]
_QUARTERS = ("rotate-90", "rotate-270")


class _CameraBase(Section):
    """Settings that every camera has."""

    may_stand_still: bool = False
    """Allow the same picture to come again and again, noise and all, as of a test pattern. Else that is a fault: no
    sensor gives the same noise twice, a stuck encoder does."""
    lens: Path | None = None
    """File of `tremorscope calibrate lens`: displacements are undistorted by it, as points; null: ideal."""


class _SizedCamera(_CameraBase):
    """A camera whose size is chosen."""

    width_px: Side = 1920
    """Width of a frame as the sensor gives it, before it is turned."""
    height_px: Side = 1080
    """Height of a frame as the sensor gives it, before it is turned."""
    rate_hz: Rate = 30.0
    """Frames a second."""
    flip: Flip = "none"
    """Turn of the picture, clockwise, for a camera that hangs upside down or stands on its side."""

    @property
    def size_px(self) -> tuple[int, int] | None:
        """Width and height of the frames that come, turned; None where only the source knows."""
        turned = self.flip in _QUARTERS
        return (self.height_px, self.width_px) if turned else (self.width_px, self.height_px)


class CsiSettings(_SizedCamera):
    """A camera on the CSI connector, through NVIDIA's Argus (nvarguscamerasrc)."""

    kind: Literal["csi"] = "csi"
    sensor_id: int = Field(default=0, ge=0, le=15)
    """Number of the camera, as Argus counts them, from 0."""
    sensor_mode: int | None = Field(default=None, ge=0, le=255)
    """Mode of the sensor; empty: the one that fits size and rate best."""
    memory: Literal["auto", "nvmm", "copy"] = "auto"
    """nvmm: frames stay where the camera wrote them and the GPU reads them there. copy: one copy into ordinary memory.
    auto: nvmm, or copy with a stated reason where that cannot be."""
    exposure: ExposureSettings = ExposureSettings()

    @field_validator("rate_hz")
    @classmethod
    def _is_whole(cls, rate_hz: float) -> float:
        """The plugin divides integers: it would run 29 frames a second, and go on saying 29.97."""
        if rate_hz != int(rate_hz):
            raise ValueError(f"Argus runs whole rates alone: write {max(1, round(rate_hz))}")
        return rate_hz


class V4l2Settings(_SizedCamera):
    """A USB camera, or any other that Linux offers as a video device (V4L2)."""

    kind: Literal["v4l2"] = "v4l2"
    device: Path = Path("/dev/video0")
    """The device; a name under /dev/v4l/by-id stays the same wherever the camera is plugged in."""
    format: Literal["auto", "raw", "mjpeg", "y10", "y12", "y16"] = "auto"
    """Format that the camera sends. raw has no compression noise, but USB 2 carries little of it; auto: raw where the
    camera offers it at this size and rate, else mjpeg. y10, y12, y16: grey of so many bits, measured in full depth."""
    bits: int | None = Field(default=None, ge=9, le=16)
    """Bits of brightness in a y16 camera's words, counted from the lowest; empty: all 16."""
    exposure: ExposureSettings = ExposureSettings()

    @property
    def bit_depth(self) -> int:
        """Bits that tell brightnesses apart."""
        return self.bits or {"y10": 10, "y12": 12, "y16": 16}.get(self.format, 8)

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.bits is not None and self.format != "y16":
            raise ValueError(
                "bits: only words of 16 bits leave open how many are used: leave it out, or choose y16"
            )
        if self.bit_depth > 8 and self.flip != "none":
            raise ValueError("flip: grey of more than 8 bits is taken as it comes: choose none")
        return self

    @field_validator("device")
    @classmethod
    def _is_a_device(cls, device: Path) -> Path:
        if not device.is_absolute() or device.parts[1:2] != ("dev",):
            raise ValueError("is no device: write its path, such as /dev/video0")
        return device


class RtspCameraSettings(_CameraBase):
    """A camera on the network that speaks RTSP. Its exposure is set in the camera itself."""

    kind: Literal["rtsp"] = "rtsp"
    url: str
    """Address of the stream, e.g. rtsp://10.0.0.5/stream1, without user or password."""
    user: str | None = Field(default=None, min_length=1, max_length=256)
    """Name of the user who logs in; empty for a camera that lets in anybody."""
    credential: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,127}$")
    """Name of the password: a file of that name in $CREDENTIALS_DIRECTORY, or a variable of the environment."""
    transport: Literal["tcp", "udp", "auto"] = "tcp"
    """tcp loses nothing on the way; udp comes sooner; auto tries udp first."""
    latency_ms: int = Field(default=200, ge=0, le=10_000)
    """Most lateness of packets: every picture is delayed by as much."""
    width_px: Side | None = None
    """Width that the camera must have; empty: whatever it sends."""
    height_px: Side | None = None
    """Height that the camera must have; empty: whatever it sends."""
    rate_hz: Rate | None = None
    """Frames a second, for a camera that does not state its rate; empty: as stated."""
    flip: Flip = "none"
    """Turn of the picture, clockwise."""
    silence_s: float = Field(default=5.0, ge=1, le=60, allow_inf_nan=False)
    """Time without a packet after which the camera counts as lost."""

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("rtsp", "rtsps") or not parts.hostname or re.search(r"[\s\"\x00-\x1f]", url):
            raise ValueError("is no address of a stream: write rtsp://HOST/PATH")
        if parts.username is not None or parts.password is not None:
            raise ValueError(
                "holds a user or a password, and this file may be read by others: "
                "write the user under `user`, and under `credential` the name of the password"
            )
        return url

    @model_validator(mode="after")
    def _whole(self) -> RtspCameraSettings:
        if (self.width_px is None) != (self.height_px is None):
            raise ValueError("width_px and height_px belong together: give both or neither")
        if self.credential is not None and self.user is None:
            raise ValueError("credential is the password of a user: give `user` as well")
        return self

    @property
    def size_px(self) -> tuple[int, int] | None:
        """Width and height of the frames that come, turned; None where only the source knows."""
        if self.width_px is None or self.height_px is None:
            return None
        turned = self.flip in _QUARTERS
        return (self.height_px, self.width_px) if turned else (self.width_px, self.height_px)


class ClipSettings(_CameraBase):
    """A recorded clip, replayed as if it were a camera."""

    kind: Literal["clip"] = "clip"
    path: Path
    """The clip: a video, a file of raw frames, or pictures."""
    speed: Literal["true", "fast"] = "true"
    """true: every frame when it is due; fast: as soon as it is asked for."""
    loop: bool = False
    """Begin again at the end; times and numbers go on."""
    capture_rate_hz: Rate | None = None
    """The true rate of a high-speed clip, whose file holds only the playback rate."""

    @property
    def size_px(self) -> tuple[int, int] | None:
        """None: only the clip knows."""
        return None


class SyntheticModeSettings(Section):
    """One mode of vibration of the drawn structure."""

    frequency_hz: Rate
    """Natural frequency."""
    amplitude_px: float = Field(ge=-1, le=1, allow_inf_nan=False)
    """Largest displacement along the span."""
    half_waves: int = Field(default=1, ge=1, le=20)
    """Half-waves of the mode's shape along the span."""
    phase_rad: float = Field(default=0.0, allow_inf_nan=False)
    """Phase at time 0."""


class SyntheticCameraSettings(_CameraBase):
    """A drawn footbridge that vibrates in known modes: to try out an installation without a camera."""

    kind: Literal["synthetic"] = "synthetic"
    width_px: int = Field(default=640, ge=64, le=1920)
    """Width of a frame. Drawing the structure at the start takes about 2 s for 640x360, and 30 s for 1920x1080."""
    height_px: int = Field(default=360, ge=36, le=1080)
    """Height of a frame."""
    rate_hz: Rate = 30.0
    """Frames a second."""
    noise_sigma: float = Field(default=1.0, ge=0, le=64, allow_inf_nan=False)
    """Standard deviation of the sensor's noise in grey levels."""
    seed: int = Field(default=1, ge=0)
    """Seed of noise and drawing: the same seed gives the same frames."""
    modes: tuple[SyntheticModeSettings, ...] | None = None
    """Its modes of vibration; empty: 2.1 Hz at 0.12 px and 4.7 Hz at 0.05 px."""
    reuse_noise: bool = True
    """Take every frame's noise from a store of two frames' worth, at another place each time, instead of drawing it
    anew: a quarter of the time, and no two frames have the same noise at the same place."""
    duration_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Time after which it ends; empty: never."""
    speed: Literal["true", "fast"] = "true"
    """true: every frame when it is due; fast: as soon as it is asked for."""

    @property
    def size_px(self) -> tuple[int, int] | None:
        """Width and height of every frame."""
        return self.width_px, self.height_px


CameraSettings = Annotated[
    CsiSettings | V4l2Settings | RtspCameraSettings | ClipSettings | SyntheticCameraSettings,
    Field(discriminator="kind"),
]
"""Any camera, told apart by ``kind``."""

camera_settings: TypeAdapter[
    CsiSettings | V4l2Settings | RtspCameraSettings | ClipSettings | SyntheticCameraSettings
] = TypeAdapter(CameraSettings, config=ConfigDict(hide_input_in_errors=True))
"""Reads the ``camera`` section by itself, e.g. ``camera_settings.validate_python({"kind": "csi"})``."""
