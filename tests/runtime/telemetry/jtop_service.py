"""A stand-in for the service of jtop: a process that shares a queue, a dictionary and an event over a socket.

The protocol is that of jetson-stats 7.2.2 (jtop/service.py), whose own client can speak to it: a client puts its
interval into the queue and finds the service's greeting there; after that every interval brings new numbers into the
dictionary, and the event is set. Files beside the socket command it: `hang` stops new numbers, `mute` the greeting.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from multiprocessing.managers import SyncManager
from pathlib import Path

INTERVAL_S = 0.05


class Service(SyncManager):
    """What the service shares."""


def serve(socket: Path, authkey: bytes, version: str, answers: dict[str, object]) -> None:
    """Serve until the process is killed."""
    messages: queue.Queue[dict[str, object]] = queue.Queue()
    numbers: dict[str, object] = {}
    fresh = threading.Event()
    Service.register("get_queue", callable=lambda: messages)
    Service.register("sync_data", callable=lambda: numbers)
    Service.register("sync_event", callable=lambda: fresh)
    greeting = {
        "version": version, "interval": INTERVAL_S, "board": {"hardware": {}}, "memory": "", "fan": {}, "jc": True,
        "nvpmodel": {"models": [], "default": {}},
    }  # fmt: skip

    def greet() -> None:
        while True:
            message = messages.get()
            if "init" in message:  # not ours to read: a client's
                messages.put(message)
                time.sleep(0.001)
            elif "interval" in message and not (socket.parent / "mute").exists():
                messages.put({"init": greeting})

    def tell() -> None:
        while True:
            if not (socket.parent / "hang").exists():
                numbers.update({**answers, "uptime": time.monotonic()})
            fresh.set()
            time.sleep(INTERVAL_S)

    for work in (greet, tell):
        threading.Thread(target=work, daemon=True).start()
    Service(address=str(socket), authkey=authkey).get_server().serve_forever()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2].encode(), sys.argv[3], json.loads(sys.stdin.read()))
