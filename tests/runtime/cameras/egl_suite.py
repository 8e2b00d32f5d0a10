"""The whole zero-copy path with PyCUDA and cuda-bindings themselves, over the driver of `fake_cuda.c`.

Run by `test_csi_egl.py` in a process that finds that driver.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from standins import picture
from surfaces import FakeSurfaces, compile_library

from tremorscope.runtime.cameras.csi import open_csi
from tremorscope.runtime.cameras.gstreamer.camera import GStreamerCamera
from tremorscope.runtime.cameras.gstreamer.nvmm import SurfaceLibrary
from tremorscope.runtime.cameras.settings import CsiSettings
from tremorscope.runtime.frames.buffers import CopyAccount
from tremorscope.runtime.frames.ring import LeasingRing
from tremorscope.runtime.gpu.pycuda_gpu import PycudaGpu, open_gpu

driver = ctypes.CDLL("libcuda.so.1")
driver.fake_count.restype = ctypes.c_long
SETTINGS = CsiSettings.model_validate({"width_px": 64, "height_px": 48, "exposure": {"settle_s": 0}})


def count(what: str) -> int:
    return int(driver.fake_count(what.encode()))


@pytest.fixture
def gpu() -> Iterator[PycudaGpu]:
    made = open_gpu()
    yield made
    made.close()
    for what in ("egl", "modules", "streams", "events", "host_bytes", "device_bytes", "misuses", "retained"):
        assert count(what) == 0, what


class Bench:
    def __init__(self, scene: Any, gpu: PycudaGpu, directory: Path) -> None:
        self.path = compile_library(directory, "L4T 36")
        self.surfaces = scene.nvmm = FakeSurfaces(self.path)
        self.gpu, self.account = gpu, CopyAccount()
        scene.period_s = 0.001

    def open(self) -> GStreamerCamera:
        return open_csi(
            SETTINGS.model_copy(update={"memory": "nvmm"}),
            account=self.account,
            gpu=self.gpu,
            silence_s=20,
            load_surfaces=lambda: SurfaceLibrary((str(self.path),)),
        )


def test_fifty_reopenings_leave_nothing_registered_and_nothing_mapped(
    scene: Any, gpu: PycudaGpu, tmp_path: Path
) -> None:
    bench = Bench(scene, gpu, tmp_path)
    ring = LeasingRing(3, width_px=64, height_px=48, allocate=gpu.allocate_mapped)
    for _ in range(50):
        camera = bench.open()
        for _ in range(3):
            with ring.acquire("test") as lease:
                info = camera.read_into(lease.pixels)
                assert info is not None
                np.testing.assert_array_equal(lease.pixels, picture(info.sequence, 64, 48))
        assert count("egl") == bench.surfaces.library.fake_mapped() >= 1
        camera.close()
        assert count("egl") == bench.surfaces.library.fake_mapped() == 0
    assert bench.account.total_bytes == 0
    ring.close()


def test_an_image_that_is_given_back_while_it_is_registered_is_seen(
    scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the test above relies on: the driver notices the wrong order."""
    gpu = open_gpu()
    bench = Bench(scene, gpu, tmp_path)
    camera = bench.open()
    writer: Any = camera._format.writer
    for surface in writer._mapped:
        writer._surfaces.unmap(surface)
    monkeypatch.setattr(writer, "_mapped", [])
    registered = writer.registered
    camera.close()
    assert count("misuses") == registered >= 1
    gpu.close()
