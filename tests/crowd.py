"""Sets 200 clients on the whole service, most of them ill-behaved, and says whether its frames keep their rate.

    python tests/crowd.py                        # three rounds: nobody, one viewer, 200 clients, 10 s each
    python tests/crowd.py --rounds 6 --seconds 20 -o crowd.json

The demonstration's configuration as it stands, in a process of its own: a camera of 30 frames/s, measuring, storing,
magnifying for whoever watches. The clients (`tests/runtime/outputs/client_swarm.py`, a process as well) poll,
watch, stare without reading, send a byte now and then, hold connections, send rubbish and too much, and climb paths.

Frames are counted by the service and divided by its own time, both from one answer of /api/state, so it does not matter
how long that answer had to wait. The rates of all rounds are of one run; what is judged is their ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from demo_service import DemoService

SWARM = Path(__file__).resolve().parent / "runtime" / "outputs" / "web" / "client_swarm.py"
LOSS = 0.02
"""Most of the rate that may be lost, as a part."""


@dataclass(frozen=True)
class Window:
    """One stretch of time in which nothing changes."""

    who: str
    rate_hz: float
    """Frames that were measured, a second."""
    dropped: int
    cpu: float
    """Of one core, of the service."""
    magnified_hz: float
    viewers: int
    clients: dict[str, int] = field(default_factory=dict)


def window_of(service: DemoService, who: str, seconds: float) -> Window:
    """Count for so long."""
    before = service.state()
    time.sleep(seconds)
    after = service.state()
    elapsed_s = after["time_s"] - before["time_s"]

    def rose(of: Callable[[dict[str, Any]], float]) -> float:
        return of(after) - of(before)

    return Window(
        who,
        rose(lambda state: state["frames"]) / elapsed_s,
        round(rose(lambda state: sum(state["camera"]["drops"].values()))),
        rose(lambda state: state["device"]["cpu_s"]) / elapsed_s,
        rose(lambda state: state["magnification"]["frames"]) / elapsed_s,
        after["viewers"],
    )


def swarm(port: int, seconds: float) -> subprocess.Popen[bytes]:
    """Clients are elsewhere as a rule: here they at least step back behind the service."""
    command = [sys.executable, str(SWARM), str(port), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=lambda: os.nice(10))


def one_viewer(port: int, seconds: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(SWARM), str(port), str(seconds), "watch=1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=lambda: os.nice(10))


def crowd(rounds: int, seconds: float, directory: Path, port: int, most_viewers: int | None) -> list[Window]:
    """Let nobody, one viewer and 200 clients take turns, so that a busy neighbour is busy for all of them."""
    http = {"http": {"port": port, "most_viewers": most_viewers}} if most_viewers else {}
    service = DemoService(directory, port, {"outputs": http})
    windows: list[Window] = []
    try:
        service.wait(lambda state: state["frames"] > 60)
        for _ in range(rounds):
            for who, start in (("nobody", None), ("one viewer", one_viewer), ("200 clients", swarm)):
                service.wait(lambda state: not state["viewers"] and not state["magnification"]["active"])
                clients = start(port, 600.0) if start else None
                if clients:
                    service.wait(lambda state: state["viewers"] and state["magnification"]["active"])
                window = window_of(service, who, seconds)
                if clients:
                    clients.terminate()  # who says then what they did
                    assert window.viewers, "the clients were gone before the window was over"
                    window.clients.update(json.loads(clients.communicate(timeout=120)[0]))
                print(window, flush=True)
                windows.append(window)
        service.stop()
    finally:
        service.kill()
    return windows


def judge(windows: list[Window]) -> dict[str, Any]:
    """The mean rate of each kind of window, and what part of it is lost to the clients."""
    rates = {
        who: statistics.mean(w.rate_hz for w in windows if w.who == who)
        for who in ("nobody", "one viewer", "200 clients")
    }
    lost = {who: 1 - rate / rates["nobody"] for who, rate in rates.items()}
    return {"rates_hz": rates, "lost": lost, "holds": max(lost.values()) <= LOSS}


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Set 200 clients on the whole service; see that frames keep their rate."
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument(
        "--most-viewers", type=int, help="outputs.http.most_viewers [default: as shipped, 12]"
    )
    parser.add_argument("--port", type=int, default=18081)
    parser.add_argument("-o", "--output", type=Path, help="write all windows and the verdict as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        windows = crowd(options.rounds, options.seconds, Path(directory), options.port, options.most_viewers)
    verdict = judge(windows)
    if options.output is not None:
        result = {"verdict": verdict, "windows": [asdict(each) for each in windows]}
        options.output.write_text(json.dumps(result), encoding="utf-8")
    print(json.dumps(verdict, indent=2))
    sys.exit(not verdict["holds"])


if __name__ == "__main__":
    main()
