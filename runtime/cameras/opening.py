"""Opening of the camera that a configuration describes; a kind's modules are imported only when it is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import assert_never

from tremorscope.runtime.cameras.settings import (
    CameraSettings,
    ClipSettings,
    CsiSettings,
    RtspCameraSettings,
    SyntheticCameraSettings,
    V4l2Settings,
)
from tremorscope.runtime.cameras.supervision.settings import SupervisorSettings
from tremorscope.runtime.frames.buffers import CopyAccount
from tremorscope.runtime.frames.frame import Camera
from tremorscope.runtime.gpu.protocol import Gpu

if TYPE_CHECKING:
    from tremorscope.runtime.cameras.synthetic import SyntheticSettings


MOST_BITS = 11
"""Bits of brightness that three channels of 8 bits carry of a grey picture."""


def open_camera(
    settings: CameraSettings,
    *,
    account: CopyAccount | None = None,
    gpu: Gpu | None = None,
    frozen_least_s: float = 0.5,
) -> Camera:
    """Open a camera; returns in time for the supervisor of `supervisor_settings`, be it with a fault.

    Args:
        settings: of the camera.
        account: takes note of every byte of pixels that the CPU copies on the way into the ring.
        gpu: on which the engine runs, where the ring lies in its mapped memory: a CSI camera's frames are then
            written there by the GPU, and the CPU copies nothing.
        frozen_least_s: as ``SupervisorSettings.frozen_least_s``: a live camera gives a read up a little sooner, so
            that it closes in good order. A network camera goes by its own ``silence_s``.

    Raises:
        CameraFault: it cannot be opened.
        ClipFault: the clip cannot be read.
        OptionFault: the settings contradict each other.
    """
    if isinstance(settings, SyntheticCameraSettings):
        return _open_synthetic(settings)
    if isinstance(settings, ClipSettings):
        return _open_clip(settings, account)
    if isinstance(settings, V4l2Settings) and settings.bit_depth > 8:
        from tremorscope.runtime.cameras.deep_v4l2 import DeepV4l2Camera

        return DeepV4l2Camera(settings, account=account, silence_s=0.9 * frozen_least_s)
    if isinstance(settings, V4l2Settings):
        from tremorscope.runtime.cameras.v4l2 import open_v4l2

        return open_v4l2(settings, account=account, silence_s=0.9 * frozen_least_s)
    if isinstance(settings, RtspCameraSettings):
        from tremorscope.runtime.cameras.rtsp import open_rtsp

        return open_rtsp(settings, account=account)
    if isinstance(settings, CsiSettings):
        from tremorscope.runtime.cameras.csi import open_csi

        return open_csi(settings, account=account, gpu=gpu, silence_s=0.9 * frozen_least_s)
    assert_never(settings)


def supervisor_settings(settings: CameraSettings) -> SupervisorSettings:
    """Time limits for this kind of camera: a network is slower to answer than a cable, and exposure has to settle."""
    still_s = None if settings.may_stand_still else SupervisorSettings.still_s
    if isinstance(settings, RtspCameraSettings):
        return SupervisorSettings(still_s=still_s, frozen_least_s=settings.silence_s + 1, open_timeout_s=25)
    if isinstance(settings, CsiSettings):  # starting, the first frame, and stopping where it did not come
        return SupervisorSettings(still_s=still_s, open_timeout_s=16 + settings.exposure.settle_s)
    if isinstance(settings, V4l2Settings):
        return SupervisorSettings(still_s=still_s, open_timeout_s=10 + settings.exposure.settle_s)
    return SupervisorSettings(still_s=still_s, end_is_fault=not ends_in_good_order(settings))


def measured_bits(settings: CameraSettings) -> int:
    """Bits of brightness that the meter sees of a camera's frames: of a deep grey camera, those that RGB carries."""
    return min(settings.bit_depth, MOST_BITS) if isinstance(settings, V4l2Settings) else 8


def ends_in_good_order(settings: CameraSettings) -> bool:
    """True where the source ends by itself, as a clip does: the opposite of `SupervisorSettings.end_is_fault`."""
    if isinstance(settings, ClipSettings):
        return not settings.loop
    return isinstance(settings, SyntheticCameraSettings) and settings.duration_s is not None


def frame_size(settings: CameraSettings) -> tuple[int, int]:
    """Width and height in pixels of the frames that will come, to make the ring; opens the camera if need be.

    Raises:
        Fault: see `open_camera`.
    """
    if (size := settings.size_px) is not None:
        return size
    camera = open_camera(settings)
    try:
        return camera.width_px, camera.height_px
    finally:
        camera.close()


def has_argus(settings: CameraSettings) -> bool:
    """True for a camera behind nvargus-daemon, for which restarting the daemon may help."""
    return isinstance(settings, CsiSettings)


def describe(settings: CameraSettings) -> str:
    """Name of the camera in messages, without secrets."""
    if isinstance(settings, CsiSettings):
        return f"CSI camera {settings.sensor_id}"
    if isinstance(settings, V4l2Settings):
        return f"camera {settings.device}"
    if isinstance(settings, RtspCameraSettings):
        return f"camera {settings.url}"
    if isinstance(settings, ClipSettings):
        return f"clip {settings.path}"
    if isinstance(settings, SyntheticCameraSettings):
        return "synthetic footbridge"
    assert_never(settings)


def drawn_settings(settings: SyntheticCameraSettings) -> SyntheticSettings:
    """Settings of the footbridge that a synthetic camera films."""
    from tremorscope.runtime.cameras.synthetic import FOOTBRIDGE_MODES, SyntheticMode, SyntheticSettings

    modes = FOOTBRIDGE_MODES if settings.modes is None else settings.modes
    return SyntheticSettings(
        width_px=settings.width_px,
        height_px=settings.height_px,
        rate_hz=settings.rate_hz,
        noise_sigma=settings.noise_sigma,
        seed=settings.seed,
        modes=tuple(SyntheticMode(m.frequency_hz, m.amplitude_px, m.half_waves, m.phase_rad) for m in modes),
        duration_s=settings.duration_s,
        reuse_noise=settings.reuse_noise,
    )


def _open_synthetic(settings: SyntheticCameraSettings) -> Camera:
    from tremorscope.runtime.cameras.replay import ReplayCamera
    from tremorscope.runtime.cameras.synthetic import SyntheticCamera

    drawn = drawn_settings(settings)
    return ReplayCamera(lambda: SyntheticCamera(drawn), pace=settings.speed)


def _open_clip(settings: ClipSettings, account: CopyAccount | None) -> Camera:
    from tremorscope.runtime.cameras.recordings import open_recording
    from tremorscope.runtime.cameras.replay import CapturedFasterCamera, ReplayCamera

    def open_clip() -> Camera:
        clip = open_recording(settings.path, capture_rate_hz=settings.capture_rate_hz, account=account)
        return clip if clip.capture_rate_hz is None else CapturedFasterCamera(clip, clip.capture_rate_hz)

    return ReplayCamera(open_clip, pace=settings.speed, loop=settings.loop)
