"""Conversion of a camera's pixels, by the GPU's kernel and by the CPU, which must equal NumPy's to the bit; and
comparison of pictures: repetitions, and agreement of two ways of reading them.
"""

from __future__ import annotations

import zlib
from collections import deque
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.errors import CameraFault, EngineFault
from tremorscope.runtime.gpu.protocol import Gpu
from tremorscope.runtime.prove.outcome import Outcome, Skip, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan
from tremorscope.runtime.prove.tensorrt import has_tensorrt, opened_gpu

_SIZES = ((64, 36), (97, 61), (1920, 1080))
"""Width and height; the second has rows that end within a word, as no camera has them."""
_FORMATS = {"RGBA": (0, 1, 2), "BGRx": (2, 1, 0)}
"""Format -> positions of red, green and blue."""


def run(plan: ProvePlan, findings: StepFindings) -> Outcome:
    """Convert noise by the GPU and by the CPU."""
    told = []
    if has_tensorrt(plan):
        with opened_gpu() as gpu:
            told.append(check_kernel(gpu, _sizes(plan), findings))
    try:
        _on_cpu(plan, findings)
        told.append("the CPU's converter equals NumPy")
    except CameraFault as fault:
        findings.fact("cpu_converter", f"not looked at: {fault.what}")
    if not told:
        raise Skip("neither a GPU nor GStreamer is here")
    return findings.outcome("; ".join(told))


def check_kernel(gpu: Gpu, sizes: tuple[tuple[int, int], ...], findings: StepFindings) -> str:
    """Let the kernel write pictures of several sizes, with rows padded as a camera's, and compare."""
    from tremorscope.runtime.gpu.egl import DevicePicture, EglPictures

    try:
        pictures = EglPictures(gpu)
    except EngineFault as fault:
        findings.fact("gpu_kernel", f"not looked at: {fault}")
        return "the GPU's kernel cannot be loaded without cuda-bindings"
    with closing(pictures):
        for width_px, height_px in sizes:
            pitch = -(-4 * width_px // 256) * 256
            rows = np.random.default_rng(width_px).integers(0, 256, (height_px, pitch), np.uint8)
            target = gpu.allocate_mapped(3 * width_px * height_px).reshape(height_px, width_px, 3)
            with gpu.current():
                source = gpu.allocate_device(rows.nbytes)
                gpu.upload(rows, source)
            pictures.write(DevicePicture(source.address, pitch, width_px, height_px), target)
            truth = rows[:, : 4 * width_px].reshape(height_px, width_px, 4)[..., :3]
            wrong = int((target != truth).sum())
            del target
            with gpu.current():
                source.free()
            findings.check(f"GPU, {width_px}x{height_px}: bytes that differ", wrong, 0, holds=wrong == 0)
    return "the GPU's kernel equals NumPy"


def _on_cpu(plan: ProvePlan, findings: StepFindings) -> None:
    from tremorscope.runtime.cameras.gstreamer.load import load_gstreamer
    from tremorscope.runtime.cameras.gstreamer.memory import RgbConverter

    gst = load_gstreamer()
    for width_px, height_px in _sizes(plan):
        for name, order in _FORMATS.items():
            caps, rgb = (
                gst.Caps.from_string(
                    f"video/x-raw,format={each},width={width_px},height={height_px},framerate=30/1"
                )
                for each in (name, "RGB")
            )
            filmed = np.random.default_rng(height_px).integers(0, 256, (height_px, width_px, 4), np.uint8)
            written = np.zeros((height_px, width_px, 3), np.uint8)
            converter = RgbConverter(caps, rgb, width_px, height_px)
            converter.convert(gst.Buffer.new_wrapped(filmed.tobytes()), written)
            converter.close()
            wrong = int((written != filmed[..., list(order)]).sum())
            what = f"CPU, {name} {width_px}x{height_px}: bytes that differ"
            findings.check(what, wrong, 0, holds=wrong == 0)


def _sizes(plan: ProvePlan) -> tuple[tuple[int, int], ...]:
    return _SIZES[:2] if plan.quick else _SIZES


_ROWS = 8
"""Distance of the rows that are compared: noise in any of them makes pictures differ."""
_REMEMBERED = 16
"""Pictures that are remembered, more than the buffers of any camera: a stale buffer comes again at its turn."""
_GRID = 8
_LEAST_GAIN, _MOST_GAIN = 0.5, 2.0
_MOST_OFF = 5.0
_AGREEING = 75


class Repetitions:
    """Counter of pictures that are equal to the byte to an earlier one, which a sensor's noise excludes."""

    def __init__(self) -> None:
        self.count = 0
        self._seen: deque[int] = deque(maxlen=_REMEMBERED)

    def look(self, pixels: NDArray[np.uint8]) -> None:
        """Take a picture, u8[H, W, 3]."""
        digest = zlib.crc32(np.ascontiguousarray(pixels[::_ROWS]).data)
        self.count += digest in self._seen
        self._seen.append(digest)


def off_by(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Difference of two pictures, u8[H, W, 3], of a scene, in grey levels of a region's mean.

    It is the third quartile over 8 by 8 regions, so that a passing object may be in one of the pictures; a change of
    light or exposure between them, by a factor of two at most, is compensated.
    """
    means, others = _means(one), _means(other)
    gain = float(np.clip(np.median(others / np.maximum(means, 1.0)), _LEAST_GAIN, _MOST_GAIN))
    # What was clipped in the brighter picture does not follow the gain.
    off = np.abs(np.minimum(gain * means, 255.0) - others).max(axis=-1)  # (8, 8)
    return float(np.percentile(off, _AGREEING))


def agree(off: float) -> bool:
    """True if two pictures of this difference show the same scene."""
    return off <= _MOST_OFF


def wanted() -> str:
    """Human-readable limit of `agree`."""
    return f"at most {_MOST_OFF:g} grey levels in three regions of four"


def _means(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean of each region and channel, f64[8, 8, 3]."""
    rows = [
        np.stack([part.mean(axis=(0, 1), dtype=np.float64) for part in np.array_split(row, _GRID, axis=1)])
        for row in np.array_split(pixels, _GRID, axis=0)
    ]
    return np.stack(rows)
