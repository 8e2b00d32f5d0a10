"""Stages of the service that the bench's loop does not have, timed by themselves, each with the least it must do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np

from tremorscope.runtime.bench.graph_cost import StageCost
from tremorscope.runtime.bench.rig import draw_frames
from tremorscope.runtime.cameras.synthetic import SyntheticSettings
from tremorscope.runtime.clips.jpeg import JpegEncoder
from tremorscope.runtime.errors import EngineFault
from tremorscope.runtime.gpu.protocol import Gpu
from tremorscope.runtime.vibration.displacement.estimator import RegionTracker
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.displacement.resampling import MARGIN_PX

_TRIALS = 15
_SIDE_PX = 64
_TAPS = 2 * MARGIN_PX + 1
_JPEG_QUALITY = 80


def stages_apart(
    width_px: int, height_px: int, gpu: Gpu | None
) -> Iterator[tuple[str, float, StageCost, bool]]:
    """Stage, median in ms, cost, and whether the GPU does it."""
    yield "meter", _meter_ms(), _meter_cost(), False
    picture = np.random.default_rng(0).integers(0, 256, (height_px, width_px, 3), np.uint8)
    encoder = JpegEncoder(
        width_px=width_px, height_px=height_px, most_width_px=width_px, quality=_JPEG_QUALITY
    )
    size = len(encoder.encode(picture))
    yield "jpeg", _median_ms(lambda: encoder.encode(picture)), StageCost({}, picture.nbytes + size), False
    if gpu is not None and (taken_ms := _pixel_kernel_ms(gpu, width_px, height_px)) is not None:
        yield "pixels", taken_ms, StageCost({}, 7.0 * width_px * height_px), True


def _meter_ms() -> float:
    """A region of 64x64 px against its reference, on frames of the drawn structure."""
    drawn = draw_frames(SyntheticSettings(width_px=160, height_px=90))
    tracker = RegionTracker(drawn[0], Region(48, 13, _SIDE_PX, _SIDE_PX))
    return _median_ms(lambda: tracker.measure(drawn[1]))


def _meter_cost() -> StageCost:
    """One iteration: luma, the windowed sinc along both axes, gain and two steps, in FP64 at half the rate of FP32."""
    window, region = (_SIDE_PX + 2 * MARGIN_PX) ** 2, _SIDE_PX**2
    resampled = 2 * _TAPS * (_SIDE_PX * (_SIDE_PX + 2 * MARGIN_PX) + region)
    flops = 5 * window + resampled + 3 * 2 * region
    return StageCost({"fp32": 2.0 * flops}, 3 * window + 8 * 3 * region)


def _pixel_kernel_ms(gpu: Gpu, width_px: int, height_px: int) -> float | None:
    """The kernel that writes a camera's picture into the ring; None where cuda-bindings are not there."""
    from tremorscope.runtime.gpu.egl import DevicePicture, EglPictures

    try:
        pictures = EglPictures(gpu)
    except EngineFault:
        return None
    with closing(pictures):
        target = gpu.allocate_mapped(3 * width_px * height_px).reshape(height_px, width_px, 3)
        with gpu.current():
            source = gpu.allocate_device(4 * width_px * height_px)
        try:
            picture = DevicePicture(source.address, 4 * width_px, width_px, height_px)
            return _median_ms(lambda: pictures.write(picture, target))
        finally:
            with gpu.current():
                source.free()


def _median_ms(work: Callable[[], object]) -> float:
    work()
    times_s = []
    for _ in range(_TRIALS):
        begun_s = time.perf_counter()
        work()
        times_s.append(time.perf_counter() - begun_s)
    return 1e3 * float(np.median(times_s))
