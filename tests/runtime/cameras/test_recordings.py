"""Plug-ins that read further formats: found by their suffix, and told by their name where they fail."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from raw_recordings import REGION, Raw, drawn, frequency_hz, write_plugins

from tremorscope.runtime.cameras.recordings import open_recording
from tremorscope.runtime.errors import ClipFault
from tremorscope.runtime.jobs.measure import MeasureJob, measure_clip


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Install readers by suffix, as pip leaves them on the disk."""
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    def with_readers(named: dict[str, str]) -> None:
        write_plugins(tmp_path / "site", named)
        importlib.invalidate_caches()

    return with_readers


def write(path: Path, pictures: Raw) -> Path:
    path.write_bytes(pictures.astype("<u2").tobytes())
    return path


def test_a_plug_in_reads_its_suffix(install: Callable[[dict[str, str]], None], tmp_path: Path) -> None:
    install({"lab": "lab_readers:Reader", "bad": "lab_broken:Reader"})
    path = write(tmp_path / "c.LAB", drawn(12))
    with closing(open_recording(path)) as camera:
        assert camera.bit_depth == 12
    found = measure_clip(MeasureJob(path, None, (REGION,)))
    assert found.analysis.findings[0].peak.frequency_hz == pytest.approx(frequency_hz(500), rel=1e-3)


@pytest.mark.parametrize(
    ("reader", "told"),
    [
        ("lab_broken:Reader", "the plug-in lab_broken:Reader failed: ModuleNotFoundError: No module named"),
        ("lab_readers:Nothing", "the plug-in lab_readers:Nothing failed: AttributeError"),
        ("lab_readers:Late", "the plug-in lab_readers:Late failed: IndexError: three"),
        ("lab_readers:Wide", "the plug-in lab_readers:Wide failed: "),
        ("lab_readers:Other", "picture 1 is 96x5 px of uint16, and the first is 96x64 px"),
        ("lab_readers:READER", "the plug-in lab_readers:READER failed: AttributeError"),
    ],
)
def test_a_broken_plug_in_is_told_by_name(
    reader: str, told: str, install: Callable[[dict[str, str]], None], tmp_path: Path, clip: Path
) -> None:
    install({"lab": reader})
    path = write(tmp_path / "c.lab", drawn(12, frames=20))
    with pytest.raises(ClipFault) as caught:
        measure_clip(MeasureJob(path, None, (REGION,)))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    with closing(open_recording(clip)) as camera:
        assert camera.width_px == 64, "other formats are read on"


def test_two_plug_ins_for_one_suffix_are_told(
    install: Callable[[dict[str, str]], None], tmp_path: Path
) -> None:
    install({"lab": "lab_readers:Reader", ".lab": "lab_readers:Late"})
    with pytest.raises(ClipFault, match=r"several plug-ins read .lab: lab_readers:Late, lab_readers:Reader"):
        open_recording(write(tmp_path / "c.lab", np.zeros((1, 64, 96))))
