"""Conversion of a camera's pixels, by the GPU's kernel and by the CPU, which must equal NumPy's to the bit."""

from __future__ import annotations

from contextlib import closing

import numpy as np

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
