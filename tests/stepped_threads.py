"""Threads of a supervised camera that are stepped by the test."""

from __future__ import annotations

import threading
from typing import Any

from tremorscope.runtime.cameras.supervision.reader import Reader
from tremorscope.runtime.host.threads import Threads


class SteppedThreads(Threads):
    """Starts nothing: a test steps the readers."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Reader] = []

    def start(self, name: str, work: Any, **_: object) -> threading.Thread:
        if name == "camera":
            self.readers.append(work.__self__)
        return threading.Thread()
