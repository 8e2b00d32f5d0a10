"""CSI frames in NVIDIA's memory: real GStreamer, structures that a compiler laid out, a GPU that is the CPU."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from host_gpu import HostGpu
from standins import number_in, picture
from surfaces import CUDA_DEVICE, L4T, FakeSurfaces, HostPictures, compile_library, read

from tremorscope.runtime.cameras.csi import open_csi
from tremorscope.runtime.cameras.gstreamer.camera import GStreamerCamera
from tremorscope.runtime.cameras.gstreamer.load import load_gstreamer
from tremorscope.runtime.cameras.gstreamer.nvmm import NvmmFault, SurfaceLibrary, _Parameters, _Surface
from tremorscope.runtime.cameras.settings import CsiSettings
from tremorscope.runtime.cameras.supervision.faults import BackoffSettings
from tremorscope.runtime.cameras.supervision.settings import SupervisorSettings
from tremorscope.runtime.cameras.supervision.supervisor import CameraSupervisor
from tremorscope.runtime.errors import CameraFault
from tremorscope.runtime.frames.buffers import CopyAccount
from tremorscope.runtime.frames.ring import LeasingRing

SIZE = {"width_px": 64, "height_px": 48, "exposure": {"settle_s": 0}}


@pytest.fixture(scope="session", params=sorted(L4T))
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_library(tmp_path_factory.mktemp("nvbufsurface"), request.param)


class Bench:
    """A CSI camera whose frames come in fake surfaces, and a ring in mapped memory."""

    def __init__(self, scene: Any, library: Path, **options: Any) -> None:
        self.scene, self.library = scene, library
        self.surfaces = scene.nvmm = FakeSurfaces(library, **options)
        self.gpu = HostGpu()
        self.account = CopyAccount()
        self.pictures: list[HostPictures] = []
        self.refuses = False
        self.ring = LeasingRing(3, width_px=64, height_px=48, allocate=self.gpu.allocate_mapped)

    def open(self, *, gpu: bool = True, **keys: Any) -> GStreamerCamera:
        def make(on: Any) -> HostPictures:
            self.pictures.append(HostPictures(on))
            self.pictures[-1].refuses = self.refuses
            return self.pictures[-1]

        return open_csi(
            CsiSettings.model_validate(SIZE | keys),
            account=self.account,
            gpu=self.gpu if gpu else None,
            silence_s=20,
            make_pictures=make,
            load_surfaces=lambda: SurfaceLibrary((str(self.library),)),
        )


MakeBench = Callable[..., Bench]


@pytest.fixture
def bench(scene: Any, library: Path) -> MakeBench:
    scene.period_s = 0.004
    return lambda **options: Bench(scene, library, **options)


def test_the_layout_is_that_of_the_documented_structures(library: Path) -> None:
    surfaces = FakeSurfaces(library)
    size = {"L4T 36": 384, "L4T 39": 416}
    assert surfaces.library.fake_params_size() in size.values()
    assert surfaces.library.fake_surface_size() == 64
    made = surfaces.library.fake_make(1920, 1080, 7680, 4, 77, 1)
    surface = SurfaceLibrary((str(library),)).read(made, 64, 1920, 1080)
    assert (surface.pitch_bytes, surface.key[1], surface.cuda_address) == (7680, 77, None)
    assert (_Surface.surface_list.offset, _Parameters.data_ptr.offset) == (24, 40)
    assert _Parameters.egl_image.offset == 312


def test_the_gpu_writes_every_frame_and_the_cpu_copies_none(bench: MakeBench) -> None:
    made = bench()
    camera = made.open()
    report = camera.report()
    assert (report.memory, report.why, report.format) == ("nvmm", "", "RGBA")
    for _ in range(100):
        with made.ring.acquire("test") as lease:
            info = camera.read_into(lease.pixels)
            assert info is not None
            np.testing.assert_array_equal(lease.pixels, picture(info.sequence, 64, 48))
    camera.close()
    assert made.account.total_bytes == 0
    (pictures,) = made.pictures
    assert pictures.written == 100
    # Each buffer of the pool was registered once, and forgotten at the end.
    assert len(pictures.registered) == len(set(pictures.registered)) <= 12
    assert pictures.unregistered == len(pictures.registered) > 1
    assert made.surfaces.library.fake_mapped() == 0
    assert pictures.closed
    del camera  # an appsink keeps the last buffer as long as it lives
    gc.collect()
    assert (made.surfaces.held, made.surfaces.starved) == (0, 0)


def test_fifty_reopenings_leave_no_egl_image_mapped(bench: MakeBench) -> None:
    made = bench()
    made.scene.period_s = 0.001
    mapped = []
    for _ in range(50):
        camera = made.open()
        with made.ring.acquire("test") as lease:
            assert camera.read_into(lease.pixels) is not None
        mapped.append(made.surfaces.library.fake_mapped())
        camera.close()
    assert min(mapped) >= 1
    assert made.surfaces.library.fake_mapped() == 0
    assert all(pictures.unregistered == len(pictures.registered) for pictures in made.pictures)


def test_an_egl_image_that_another_made_is_left_to_it(bench: MakeBench) -> None:
    made = bench()
    address = made.surfaces.library.fake_make(64, 48, 256, 4, 77, 1)
    library = SurfaceLibrary((str(made.library),))
    surface = library.read(address, 64, 64, 48)
    assert library.egl_image(surface)[1]
    assert not library.egl_image(surface)[1]
    library.unmap(surface)
    assert made.surfaces.library.fake_mapped() == 0


def test_a_held_frame_stays_as_it_was_until_it_is_released(bench: MakeBench) -> None:
    made = bench()
    camera = made.open()
    held = [camera.read_held() for _ in range(8)]  # as many as the pool leaves beside those on their way
    numbers = [frame.info.sequence for frame in held]
    assert numbers == sorted(set(numbers))
    pixels = made.ring.acquire("test")
    for _ in range(40):  # the camera goes on in the buffers that are left
        camera.read_into(pixels.pixels)
    for frame in held:
        np.testing.assert_array_equal(read(frame.picture)[..., :3], picture(frame.info.sequence, 64, 48))
    assert made.surfaces.held >= 8
    for frame in held:
        frame.release()
        frame.release()
    gc.collect()
    assert made.surfaces.held <= 6  # two that wait, and those on their way
    assert made.account.total_bytes == 0
    camera.close()
    pixels.release()


def test_memory_of_cuda_is_read_where_its_pointer_says(bench: MakeBench) -> None:
    made = bench(mem_type=CUDA_DEVICE)
    camera = made.open()
    with made.ring.acquire("test") as lease:
        info = camera.read_into(lease.pixels)
        assert info is not None
        np.testing.assert_array_equal(lease.pixels, picture(info.sequence, 64, 48))
    camera.close()
    assert made.pictures[0].registered == []


def break_nothing_but_the_gpu(made: Bench) -> dict[str, Any]:  # noqa: ARG001
    return {"gpu": False}


def break_registration(made: Bench) -> dict[str, Any]:
    made.refuses = True
    return {}


def break_egl(made: Bench) -> dict[str, Any]:
    made.surfaces.library.fake_fail(1)
    return {}


def break_layout(made: Bench) -> dict[str, Any]:
    made.surfaces.lie_px = 8
    return {}


def break_batch(made: Bench) -> dict[str, Any]:
    made.surfaces.batch = 2
    return {}


def break_converter(made: Bench) -> dict[str, Any]:
    made.scene.converts_nvmm = False
    return {}


def break_property(made: Bench) -> dict[str, Any]:  # noqa: ARG001
    from standin_elements import PlainVideoConverter

    gst = load_gstreamer()
    assert gst.Element.register(None, "nvvidconv", gst.Rank.NONE, PlainVideoConverter)
    return {}


def break_library(made: Bench) -> dict[str, Any]:
    made.library = Path("/nowhere/libnvbufsurface.so")
    return {}


@pytest.mark.parametrize(
    ("breaks", "why"),
    [
        (break_nothing_but_the_gpu, "the engine does not run on a GPU"),
        (break_registration, "the GPU refused to register the camera's buffer"),
        (break_egl, "NvBufSurfaceMapEglImage failed (-1)"),
        (break_layout, "it says 72x48 px, the caps 64x48 px"),
        (break_batch, "it holds 2 pictures"),
        (break_converter, "does not offer what is asked of it"),
        (
            break_property,
            'does not understand the pipeline (no property "output-buffers" in element "nvvidconv',
        ),
        (break_library, "NVIDIA's buffer library cannot be loaded"),
    ],
)
def test_where_frames_cannot_stay_they_are_copied_and_the_reason_is_told(
    bench: MakeBench, breaks: Callable[[Bench], dict[str, Any]], why: str
) -> None:
    made = bench()
    options = breaks(made)
    try:
        with pytest.raises(CameraFault) as insisted:
            made.open(memory="nvmm", **options)
        assert why in insisted.value.what
        camera = made.open(**options)
    finally:
        made.surfaces.library.fake_fail(0)
    report = camera.report()
    assert report.memory == "copy"
    assert why in report.why
    with made.ring.acquire("test") as lease:
        info = camera.read_into(lease.pixels)
        assert info is not None
        np.testing.assert_array_equal(lease.pixels, picture(info.sequence, 64, 48))
    assert made.account.total_bytes == 64 * 48 * 3
    camera.close()
    assert all(pictures.closed for pictures in made.pictures)


def test_a_buffer_that_is_no_surface_is_refused(library: Path) -> None:
    with pytest.raises(NvmmFault, match="a buffer of 8 bytes is no NvBufSurface"):
        SurfaceLibrary((str(library),)).read(0x1000, 8, 64, 48)


def test_a_fault_of_the_camera_itself_is_no_reason_to_copy(bench: MakeBench) -> None:
    made = bench()

    def nobody(element: Any) -> bool:
        element.fail("gst-resource-error-quark", 3, "No cameras available")
        return False

    made.scene.start = nobody
    with pytest.raises(CameraFault, match=r"CSI camera 0 cannot be opened \(No cameras available"):
        made.open()
    assert made.scene.opened == 1


@pytest.mark.usefixtures("quick_threads")
def test_under_the_supervisor_argus_may_die_again_and_again_and_the_cpu_still_copies_nothing(
    bench: MakeBench,
) -> None:
    made = bench()
    made.scene.period_s = 0.001
    made.scene.act = lambda number: "end" if number == 300 else None
    settings = SupervisorSettings(frozen_least_s=30, backoff=BackoffSettings(first_s=0.001, longest_s=0.002))
    ring = LeasingRing(
        settings.slots(held_by_consumer=2), width_px=64, height_px=48, allocate=made.gpu.allocate_mapped
    )
    supervisor = CameraSupervisor(lambda: made.open(), ring, settings=settings)
    supervisor.start()
    taken, until_s = 0, time.monotonic() + 60
    while taken < 100 or supervisor.state().openings < 5:
        assert time.monotonic() < until_s
        lease = supervisor.take(10)
        if lease is not None:
            with lease:
                np.testing.assert_array_equal(lease.pixels, picture(number_in(lease.pixels), 64, 48))
                taken += 1
    state = supervisor.close()
    ring.close()
    assert state.taken == taken
    assert state.abandoned_threads == 0
    assert len(made.pictures) == state.openings
    assert all(pictures.closed for pictures in made.pictures)
    assert sum(pictures.unregistered for pictures in made.pictures) == sum(
        len(pictures.registered) for pictures in made.pictures
    )
    assert (made.account.total_bytes, made.surfaces.starved) == (0, 0)
