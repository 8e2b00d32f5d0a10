"""From the camera to clips and viewers no frame is copied by the CPU: numpy's copies are counted by their callers."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from running_service import frames, running, until
from service_parts import SMALL, configured

from tremorscope.runtime.bench.rig import PageViewer
from tremorscope.runtime.frames.ring import LeasingRing
from tremorscope.runtime.service import assembly
from tremorscope.runtime.service.measuring import _LEARNING_FRAMES
from tremorscope.runtime.service.process import Service
from tremorscope.runtime.store.reader import StoreReader

FRAME_BYTES = SMALL["width_px"] * SMALL["height_px"] * 3  # type: ignore[operator]


class Watched(np.ndarray):
    """Memory of a ring: every view of it tells whole frames that are copied out of it or into it, by who copies."""

    told: ClassVar[Counter[str]] = Counter()

    def tell(self, nbytes: int) -> None:
        if nbytes < FRAME_BYTES:
            return
        caller = sys._getframe(2)
        while caller.f_back is not None and caller.f_code.co_filename == __file__:
            caller = caller.f_back
        Watched.told[f"{Path(caller.f_code.co_filename).stem}.{caller.f_code.co_name}"] += nbytes

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        sizes = [each.nbytes for each in (*args, *kwargs.values()) if isinstance(each, np.ndarray)]
        self.tell(max(sizes, default=0))
        return super().__array_function__(function, types, args, kwargs)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.tell(self[key].nbytes)
        super().__setitem__(key, value)

    def copy(self, *args: Any, **kwargs: Any) -> Any:
        self.tell(self.nbytes)
        return super().copy(*args, **kwargs)

    def astype(self, *args: Any, **kwargs: Any) -> Any:
        self.tell(self.nbytes)
        return super().astype(*args, **kwargs)

    def tobytes(self, *args: Any, **kwargs: Any) -> bytes:
        self.tell(self.nbytes)
        return super().tobytes(*args, **kwargs)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Bytes copied, by function, while the rings of the service lie in watched memory."""

    def ring(slots: int, *, allocate: Any, **size: int) -> LeasingRing:
        return LeasingRing(slots, allocate=lambda nbytes: allocate(nbytes).view(Watched), **size)

    monkeypatch.setattr(assembly, "LeasingRing", ring)
    Watched.told.clear()
    yield Watched.told
    Watched.told.clear()


def test_each_way_to_copy_is_seen(told: Counter[str]) -> None:
    frame = np.zeros(FRAME_BYTES, np.uint8).view(Watched)
    other = np.zeros(FRAME_BYTES, np.uint8)
    np.copyto(other, frame)
    np.copyto(frame, other)
    frame[:] = other
    frame.copy()
    frame.astype(np.float32)
    frame.tobytes()
    frame[: FRAME_BYTES - 1].copy()  # no whole frame
    assert sum(told.values()) == 6 * FRAME_BYTES


@pytest.mark.usefixtures("camera")
def test_none_between_camera_clips_and_viewer(
    tmp_path: Path, linear_bundle: Path, told: Counter[str]
) -> None:
    loaded = configured(
        tmp_path,
        linear_bundle,
        magnification={"mode": "dynamic"},
        recording={"pre_roll_s": 0.5, "post_roll_s": 0.5, "encoder": "x264"},
    )
    with running(Service(loaded)) as service:
        viewer = PageViewer(service.parts.feed)
        viewer.start()
        try:
            until(service, lambda: service.parts.magnifying.health().frames > 20)
            assert service.record_event("by hand") is not None
            frames(service, 30)
            until(service, lambda: sum(service.parts.storage.health().clips.values()) == 2)
        finally:
            viewer.close()
        account, read = service.parts.account.by_place(), service.parts.loop.frames
        holders = set(service.parts.ring.holders)
    assert service.parts.storage.health().clips["saved"] == 2
    assert viewer.encoded > 5
    # The camera's own writing is the picture's first place; what a viewer sees is composed of what the rings hold.
    assert set(told) == {"running_service.read_into", "frame.compose", "buffers.copy_pixels"}
    assert told["running_service.read_into"] >= read * FRAME_BYTES
    assert account == {"measuring: frame to learn from": told["buffers.copy_pixels"]}
    assert told["buffers.copy_pixels"] % (_LEARNING_FRAMES * FRAME_BYTES) == 0  # once an attempt to learn
    assert "the pre-roll" in holders
    service.parts.ring.close()  # every frame was given back
    with StoreReader(service.parts.storage.path) as reader:
        assert {clip.dropped for clip in reader.clips()} == {0}
