"""A stand-in for the module `jtop` (jetson-stats): its names, its ways of failing, and its threads.

Peculiarities of jetson-stats 7.2.2, from jtop/jtop.py unless another place is named:
* `start` waits for the first numbers, and raises JtopException with several lines where the service is away;
* where the service does not greet, `start` waits for ever: its time limit is given where the queue expects `block`;
* its reader is a thread of its own that keeps what ended it; `ok` raises that in the thread that asks;
* `ok` waits, and says False where nothing new came within three intervals;
* a service that hangs looks alive: the wait for new numbers ends, and the old ones are taken again;
* a client in a thread whose earlier connection broke gets BrokenPipeError for ever (issues 261 and 601), which comes
  from the standard library, whose managers are used here as there;
* gpu, memory and fan are objects that can be read like dictionaries; nvpmodel and jetson_clocks are objects or None.
"""

from __future__ import annotations

import threading
import types
from datetime import timedelta
from multiprocessing import AuthenticationError
from multiprocessing.managers import SyncManager
from pathlib import Path
from typing import Any

AUTHKEY, VERSION = "key", "7.2.2"
INTERVALS_TO_WAIT = 3


class JtopException(Exception):
    """Anything that keeps jtop from working, in so many lines."""


class Manager(SyncManager):
    """What is shared with the service."""


for _name in ("get_queue", "sync_data", "sync_event"):
    Manager.register(_name)


class Readable:
    """Can be read like a dictionary, and is none."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._data = data

    def keys(self) -> Any:
        return self._data.keys()

    def __getitem__(self, key: str) -> Any:
        return self._data[key]


class PowerMode:
    """The mode of nvpmodel; its name raises where `nvpmodel -q` said nothing (jtop/core/nvpmodel.py)."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self._answer = answer

    @property
    def name(self) -> str:
        return str(self._answer["model"]["name"])


class HeldClocks:
    """True or false, and equal to a truth value without being one."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self._answer = answer

    def __bool__(self) -> bool:
        return bool(self._answer["enable"])


class Answers:
    """The properties of `jtop.jtop`, over the latest numbers."""

    def __init__(self, numbers: dict[str, Any] | None = None) -> None:
        self._numbers = numbers or {}
        self.gpu, self.memory, self.fan = (
            Readable(self._numbers.get(key, {})) for key in ("gpu", "mem", "fan")
        )
        self.nvpmodel = PowerMode(self._numbers["nvp"]) if "nvp" in self._numbers else None
        self.jetson_clocks = HeldClocks(self._numbers["jc"]) if "jc" in self._numbers else None

    @property
    def engine(self) -> dict[str, Any]:
        return dict(self._numbers.get("engines", {}))

    @property
    def power(self) -> dict[str, Any]:
        return dict(self._numbers["power"])

    @property
    def temperature(self) -> dict[str, Any]:
        return dict(self._numbers["temperature"])

    @property
    def uptime(self) -> timedelta:
        return timedelta(seconds=self._numbers["uptime"])


class Jtop(threading.Thread):
    """A client."""

    socket = ""

    def __init__(self, interval: float = 1.0) -> None:
        super().__init__(daemon=True)
        self._interval, self._answers = interval, Answers()
        self._fresh, self._running = threading.Event(), False
        self._error: Exception | None = None
        self._manager = Manager(address=self.socket, authkey=AUTHKEY.encode())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._answers, name)

    def start(self) -> None:
        self._connect()
        greeting: dict[str, Any] = {}
        while "init" not in greeting:  # its own message may come back
            self._queue.put({"interval": self._interval})
            greeting = self._queue.get(self._interval * INTERVALS_TO_WAIT)
        version = greeting["init"]["version"]
        if version.split(".")[:2] != VERSION.split(".")[:2]:
            raise JtopException(
                f"Mismatch version jtop service: [{version}] and client: [{VERSION}]\n\nPlease run:"
            )
        self._take()
        self._running = True
        super().start()

    def _connect(self) -> None:
        try:
            self._manager.connect()
        except (FileNotFoundError, ConnectionRefusedError):
            raise JtopException("The jtop.service is not active. Please run:\nsudo jtop --install") from None
        except PermissionError:
            raise JtopException("I can't access jtop.service.\nPlease logout or reboot.") from None
        except AuthenticationError:
            raise JtopException("Authentication with jetson-stats server failed") from None
        shared: Any = self._manager
        self._queue, self._shared, self._event = shared.get_queue(), shared.sync_data(), shared.sync_event()

    def _take(self) -> None:
        try:
            self._event.wait(self._interval * INTERVALS_TO_WAIT)
            numbers = self._shared.copy()
            if not numbers:
                raise JtopException("Error connection")
            self._event.clear()
        except EOFError:
            raise JtopException("Lost connection with jtop server") from None
        self._answers = Answers(numbers)
        self._fresh.set()

    def run(self) -> None:
        try:
            while self._running:
                self._take()
        except Exception as error:
            self._error = error

    def ok(self, spin: bool = False) -> bool:
        if not spin and not self._fresh.wait(self._interval * INTERVALS_TO_WAIT):
            self._running = False
        if self._error:
            raise self._error
        if self._running:
            self._fresh.clear()
        return self._running

    def close(self) -> None:
        self._running = False


def module(socket: Path) -> Any:
    """The module `jtop`, whose service listens at this socket."""
    made: Any = types.ModuleType("jtop")
    made.jtop, made.JtopException = type("jtop", (Jtop,), {"socket": str(socket)}), JtopException
    return made
