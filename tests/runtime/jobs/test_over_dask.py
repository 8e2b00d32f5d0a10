"""Clips of a folder over a local Dask cluster of two workers: the same results, and none lost with a worker."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from raw_recordings import REGION, drawn, write_mraw, write_plugins
from support import run_command

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.jobs.measure import MeasureJob
from tremorscope.runtime.jobs.measure_folder import TABLE, measure_folder, over_cores
from tremorscope.runtime.jobs.over_dask import over_dask

distributed = pytest.importorskip("distributed", reason="needs distributed")


@pytest.fixture
def scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a scheduler with two workers, which know the plug-in that waits."""
    write_plugins(tmp_path / "site", {"lab": "lab_readers:Once"})
    monkeypatch.syspath_prepend(
        str(tmp_path / "site")
    )  # workers take over this path, processes of clips the other
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}:{os.environ.get('PYTHONPATH', '')}")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        yield cluster.scheduler_address


def test_a_worker_is_killed_and_nothing_is_lost(scheduler: str, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for number in range(2):
        write_mraw(clips / f"{number}.cihx", drawn(12), rate_hz=500 + number)
    (clips / "bad.mp4").write_bytes(b"no clip")
    (clips / "slow.lab").write_bytes(drawn(12).tobytes())
    job = MeasureJob(clips, tmp_path / "dask", (REGION,))

    def kill() -> None:
        until_s = time.monotonic() + 300
        while not (begun := list(clips.glob("*.begun"))) and time.monotonic() < until_s:
            time.sleep(0.05)
        os.kill(int(begun[0].suffixes[0][1:]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    found = measure_folder(clips, job, over_dask(scheduler))
    killer.join()
    assert [result.clip for result in found.results] == ["0.cihx", "1.cihx", "bad.mp4", "slow.lab"]
    assert [bool(result.fault) for result in found.results] == [False, False, True, False]
    alone = measure_folder(clips, MeasureJob(clips, tmp_path / "cores", (REGION,)), over_cores())
    for one, other in zip(alone.results, found.results, strict=True):
        assert (one.clip, one.fault, one.frames) == (other.clip, other.fault, other.frames)
        for peak, same in zip(one.peaks, other.peaks, strict=True):
            # Sums of another number of threads round in another order.
            assert peak["frequency_hz"] == pytest.approx(same["frequency_hz"], rel=1e-9)
            assert peak["amplitude_px"] == pytest.approx(same["amplitude_px"], rel=1e-9)
    assert (tmp_path / "dask" / TABLE).is_file()
    assert not list((tmp_path / "dask").glob(".*"))


def test_a_scheduler_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tremorscope.runtime.jobs.over_dask._ANSWER_S", "1s")
    (tmp_path / "c.mp4").write_bytes(b"x")
    with pytest.raises(OptionFault, match=r"--dask tcp://127.0.0.1:9: no scheduler answers"):
        measure_folder(tmp_path, MeasureJob(tmp_path, tmp_path / "out"), over_dask("tcp://127.0.0.1:9"))


def test_several_names_for_one_clip_are_told() -> None:
    done = run_command("measure", "a.png", "b.png", "-o", "out")
    assert done.returncode == 2
    assert done.stderr == (
        "tremorscope: 2 names for one CLIP: quote a pattern, as 'frames/*.png', against the shell: "
        "see tremorscope measure --help\n"
    )
