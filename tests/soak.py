"""Runs the service for hours as it runs in the field, and says whether it stays as it is.

    python tests/soak.py                   # two hours
    python tests/soak.py --seconds 900 -o soak.json

The demonstration's camera at its real rate; somebody watches for 20 s of every minute; a clip is recorded every three
minutes; the configuration changes every four; Prometheus asks every 5 s. Checked are

* resident memory: the least of the last quarter against that of the first quarter after the warm-up, below 1 %. The
  least, because a clip that is being written or a picture that somebody looks at comes and goes, and a leak stays;
* queues: what waits for the disk; threads and open files: no more in the last quarter than in the first;
* drops: frames processed and frames counted as dropped are together all that the camera has numbered.

`tests/runtime/service/test_service_soak.py` runs it where TREMORSCOPE_SOAK_S says for how long.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import signal
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from demo_service import DemoService

GROWTH, SHORT_GROWTH = 0.01, 0.03
"""Largest growth of resident memory, as a part; the latter in less than an hour, in which what is opened again and
again has not yet found its places."""
SLACK_FRAMES = 40
"""Frames on their way while the counts are read: drops are told once a second, and a few frames wait."""
_EVERY_S = 5.0
_WATCH_S, _WATCH_EVERY_S = 20.0, 60.0
_RECORD_EVERY_S, _CHANGE_EVERY_S = 180.0, 240.0
_TIMES = 5
"""In a short run clips and changes come so often at least, so that the warm-up sees them, too. In one of five minutes a
clip is then written while somebody watches, and each minute has its rest, in which memory is at its least."""
_ROUND_S = 75.0
"""In this time there is a clip at least, a viewer comes and goes, and freed memory is given back."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Sample:
    """How the process stood at one moment."""

    at_s: float
    rss_bytes: int
    threads: int
    files: int
    cpu_s: float
    metrics: dict[str, float]


@dataclass
class Verdict:
    """What was found."""

    seconds: float
    rss_first_mb: float
    rss_last_mb: float
    rss_growth: float
    most_pending: float
    threads: tuple[float, float]
    """Median in the first quarter and in the last: a clip that is written has a dozen for itself."""
    files: tuple[float, float]
    frames: float
    drops: float
    numbered: float
    """By the camera; frames and drops together must be as many."""
    rate_hz: float
    """Frames that the camera gave a second; below 30 where the machine is too busy to draw them."""
    magnified: float
    clips: float
    openings: float
    cpu: float
    """Of one core."""
    memory_mb: dict[str, float] = field(default_factory=dict)
    """Resident at the end: what the program holds, libraries' files, and frames kept for clips."""
    stopped_s: float = 0.0
    status: int = 0
    faults: list[str] = field(default_factory=list)


class Soaked(DemoService):
    """The service with those who use it."""

    def __init__(self, directory: Path, port: int) -> None:
        super().__init__(directory, port, {"magnification": {"threads": 1}})
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def wait_for_frames(self) -> None:
        self.wait(lambda state: state["frames"] > 0)
        self._watcher.start()

    def sample(self, start_s: float) -> Sample:
        process = Path(f"/proc/{self.process.pid}")
        rss_bytes = int((process / "statm").read_text().split()[1]) * _PAGE_BYTES
        return Sample(
            time.monotonic() - start_s,
            rss_bytes,
            int(self.stat()[17]),
            len(os.listdir(process / "fd")),
            self.processor_s(),
            self.metrics(),
        )

    def memory_mb(self) -> dict[str, float]:
        """Resident memory by kind."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        kinds = {"RssAnon": "program", "RssFile": "libraries", "RssShmem": "frames"}
        return {
            kinds[key]: int(kib) * 1024 / 1e6
            for key, kib in re.findall(r"^(\w+):\s+(\d+) kB$", status, re.M)
            if key in kinds
        }

    def metrics(self) -> dict[str, float]:
        """Every metric, summed over its labels."""
        text = self.ask("/metrics").decode()
        found: dict[str, float] = {}
        for name, value in re.findall(r"^(\w+)(?:\{[^}]*\})? (\S+)$", text, re.MULTILINE):
            found[name] = found.get(name, 0.0) + float(value)
        return found

    def record(self) -> None:
        self.process.send_signal(signal.SIGUSR1)

    def change(self) -> None:
        magnification = self.configuration["magnification"]
        magnification["amplification"] = 60 - magnification["amplification"]
        self.configure()

    def stop(self) -> float:
        self._stop.set()
        return super().stop()

    def _watch(self) -> None:
        """Look at the live picture now and then, as people do."""
        while not self._stop.wait(_WATCH_EVERY_S - _WATCH_S):
            until_s = time.monotonic() + _WATCH_S
            try:
                with urllib.request.urlopen(f"{self.url}/live.mjpeg", timeout=30) as stream:
                    while time.monotonic() < until_s and not self._stop.is_set():
                        stream.read(65536)
            except (OSError, http.client.HTTPException):
                continue


def soak(seconds: float, directory: Path, port: int, warm_up_s: float) -> tuple[Verdict, list[Sample]]:
    """Run for so long, and judge."""
    service = Soaked(directory, port)
    samples: list[Sample] = []
    try:
        service.wait_for_frames()
        start_s = time.monotonic()
        record_s, change_s = 30.0, 60.0
        record_every_s = min(_RECORD_EVERY_S, seconds / _TIMES)
        change_every_s = min(_CHANGE_EVERY_S, seconds / _TIMES)
        while (at_s := time.monotonic() - start_s) < seconds:
            samples.append(service.sample(start_s))
            if at_s >= record_s:
                record_s += record_every_s
                service.record()
            if at_s >= change_s:
                change_s += change_every_s
                service.change()
            time.sleep(_EVERY_S)
        samples.append(service.sample(start_s))
        memory_mb = service.memory_mb()
        stopped_s = service.stop()
    finally:
        service.kill()
    verdict = judge(samples, warm_up_s)
    verdict.stopped_s, verdict.status = stopped_s, service.process.returncode
    verdict.memory_mb = memory_mb
    if stopped_s > 10 or service.process.returncode:
        verdict.faults.append(f"the end took {stopped_s:.1f} s, with status {service.process.returncode}")
    if "Traceback" in service.log.read_text(encoding="utf-8"):
        verdict.faults.append("a traceback in the log")
    return verdict, samples


def judge(samples: list[Sample], warm_up_s: float) -> Verdict:
    """What the samples say."""
    warm = [each for each in samples if each.at_s >= warm_up_s]
    quarter = max(len(warm) // 4, min(len(warm) // 2, round(_ROUND_S / _EVERY_S)), 1)
    first, last = warm[:quarter], warm[-quarter:]

    def rose(name: str) -> float:
        return warm[-1].metrics.get(name, 0.0) - warm[0].metrics.get(name, 0.0)

    rss_first, rss_last = (min(each.rss_bytes for each in part) for part in (first, last))
    seconds = warm[-1].at_s - warm[0].at_s
    frames, drops = rose("tremorscope_frames_total"), rose("tremorscope_drops_total")
    numbered = rose("tremorscope_camera_frames_total")
    verdict = Verdict(
        seconds=samples[-1].at_s,
        rss_first_mb=rss_first / 1e6,
        rss_last_mb=rss_last / 1e6,
        rss_growth=rss_last / rss_first - 1,
        most_pending=max(each.metrics.get("tremorscope_store_records_pending", 0) for each in warm),
        threads=(statistics.median(e.threads for e in first), statistics.median(e.threads for e in last)),
        files=(statistics.median(e.files for e in first), statistics.median(e.files for e in last)),
        frames=frames,
        drops=drops,
        numbered=numbered,
        rate_hz=numbered / seconds,
        magnified=rose("tremorscope_magnified_frames_total"),
        clips=rose("tremorscope_clips_total"),
        openings=warm[-1].metrics.get("tremorscope_camera_openings_total", 0.0),
        cpu=(warm[-1].cpu_s - warm[0].cpu_s) / seconds,
    )
    uncounted = numbered - frames - drops
    checks = {
        f"memory grew by {verdict.rss_growth:.2%}": verdict.rss_growth
        < (GROWTH if seconds > 3000 else SHORT_GROWTH),
        f"{verdict.most_pending:.0f} records waited for the disk": verdict.most_pending < 256,
        f"threads rose from {verdict.threads}": verdict.threads[1] <= verdict.threads[0] + 1,
        f"open files rose from {verdict.files}": verdict.files[1] <= verdict.files[0] + 2,
        f"{uncounted:.0f} frames are unaccounted for": abs(uncounted) <= SLACK_FRAMES,
        "nothing was magnified": verdict.magnified > 0,
    }
    verdict.faults = [text for text, holds in checks.items() if not holds]
    return verdict


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Run the service for long, and check that it stays as it is."
    )
    parser.add_argument("--seconds", type=float, default=7200.0)
    parser.add_argument(
        "--warm-up", type=float, help="seconds that do not count [default: a fifth, 300 at most]"
    )
    parser.add_argument("--port", type=int, default=18080)
    parser.add_argument("-o", "--output", type=Path, help="write all samples and the verdict as JSON")
    options = parser.parse_args()
    warm_up_s = options.warm_up if options.warm_up is not None else min(300.0, options.seconds / 5)
    with tempfile.TemporaryDirectory() as directory:
        verdict, samples = soak(options.seconds, Path(directory), options.port, warm_up_s)
    result: dict[str, Any] = {"verdict": asdict(verdict), "samples": [asdict(each) for each in samples]}
    if options.output is not None:
        options.output.write_text(json.dumps(result), encoding="utf-8")
    print(json.dumps(asdict(verdict), indent=2))
    sys.exit(bool(verdict.faults))


if __name__ == "__main__":
    main()
