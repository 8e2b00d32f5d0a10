"""Rebuild of engines after an upgrade of the system, in a process of its own, while measuring goes on.

The build runs at the lowest priority, and is the first to be killed where memory runs out. It is tried a limited
number of times for one state of the system, over all restarts. When the engines that the service started without fit
again, the service asks to be started anew: its rings must lie in memory that the GPU maps.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import queue
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from tremorscope.files import reason_of
from tremorscope.runtime.engines.interface.bundle import Bundle, open_bundle
from tremorscope.runtime.engines.interface.engine import BandEngine, PairwiseEngine
from tremorscope.runtime.engines.selection import RuntimeName
from tremorscope.runtime.engines.tensorrt.upgrading import Attempts, StaleEngines, find_stale, refusal
from tremorscope.runtime.errors import EngineFault, Fault
from tremorscope.runtime.frames.buffers import Allocator, allocate_host
from tremorscope.runtime.host.threads import Threads

log = logging.getLogger("tremorscope.engines")

LOWEST_PRIORITY = 19
_LONGEST_S = 7200.0
"""A build that takes longer hangs: minutes are usual."""
_PAUSE_S = 3600.0
"""From a build that failed to the next."""
_POLL_S = 0.5
_STOP_S = 1.0
_FIRST_TO_GO = "800"


class EngineUpkeep:
    """Queue of stale engines and their builder; any thread may read its state."""

    def __init__(self, tell: Callable[[str], None] = lambda _text: None) -> None:
        """``tell`` takes lines for the store."""
        self._tell = tell
        self._waiting: queue.SimpleQueue[tuple[StaleEngines, bool]] = queue.SimpleQueue()
        self._known: set[str] = set()
        self.state = ""
        """Human-readable state of building; empty where nothing is to be built."""
        self.wants_restart = False
        """True once the engines that the service started without exist."""

    def add(self, stale: StaleEngines, *, needs_restart: bool) -> None:
        """Queue engines to be built; the same ones only once."""
        if stale.identity in self._known:
            return
        self._known.add(stale.identity)
        self.state = "the engines do not fit this system any more; they will be built anew"
        self._waiting.put((stale, needs_restart))

    def work(self, threads: Threads) -> None:
        """Build queued engines one after the other until all threads end; the thread's priority is the build's."""
        while not threads.stopping:
            try:
                stale, needs_restart = self._waiting.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if self._build_until_they_fit(stale, threads) and needs_restart:
                self.wants_restart = True

    def _build_until_they_fit(self, stale: StaleEngines, threads: Threads) -> bool:
        while not threads.stopping:
            problem = ""
            try:
                with _alone(stale.directory, threads):
                    if not threads.stopping:
                        problem = self._attempt(stale, threads)
            except (Fault, OSError, ValueError) as error:
                problem = str(error)
            if threads.stopping:
                return False
            if not problem:
                self._say(logging.INFO, "the engines were built anew and fit", "")
                return True
            again = Attempts(stale.directory).may(stale.identity)
            then = f"tried again in {_PAUSE_S / 60:.0f} min" if again else "not tried again for this system"
            text = f"building the engines anew failed ({problem}); {then}"
            self._say(logging.ERROR, text, text)
            if not again or threads.wait(_PAUSE_S):
                return False
        return False

    def _attempt(self, stale: StaleEngines, threads: Threads) -> str:
        """Build once; returns the reason of a failure. Engines that another instance has built meanwhile are used."""
        if not _is_stale(stale):
            return ""
        attempts = Attempts(stale.directory)
        if not attempts.may(stale.identity):
            return attempts.problem(stale.identity) or "they do not fit, however often they are built"
        attempts.begin(stale.identity)
        text = f"{stale.reason.partition(': build it again')[0]}: the engines are being built anew; measuring goes on"
        self._say(logging.WARNING, text, text)
        problem = _run_build(stale, threads)
        if not problem and _is_stale(stale):
            problem = "they were built and do not fit all the same"
        if threads.stopping:
            attempts.withdraw(stale.identity)
        else:
            attempts.end(stale.identity, problem)
        return problem

    def _say(self, level: int, text: str, state: str) -> None:
        self.state = state
        log.log(level, "%s", text)
        self._tell(text)


class WaitingRuntime:
    """A runtime whose engines are being built: nothing is magnified yet, and all else works."""

    name: RuntimeName = "tensorrt"
    description = "TensorRT, whose engines do not fit this system"
    why = "the configuration asks for it"
    notes: tuple[str, ...] = ()
    gpu = None

    def __init__(self, stale: StaleEngines, bundle: Bundle, upkeep: EngineUpkeep) -> None:
        self._stale, self.bundle, self._upkeep = stale, bundle, upkeep
        self.passed_over = (stale.reason,)

    @property
    def allocate(self) -> Allocator:
        """Allocator of ordinary memory."""
        return allocate_host

    def open_pairwise(self) -> PairwiseEngine:
        """Refuse, with the state of the build as the reason."""
        raise refusal(self._stale, self._upkeep.state)

    def open_band(self) -> BandEngine:
        """Refuse, with the state of the build as the reason."""
        raise refusal(self._stale, self._upkeep.state)

    def give_back(self, engine: PairwiseEngine | BandEngine) -> None:
        """Do nothing: none was opened."""

    def close(self) -> None:
        """Do nothing: nothing is held."""


def _is_stale(stale: StaleEngines) -> bool:
    return find_stale(open_bundle(stale.bundle), stale.size, stale.graphs, stale.directory) is not None


def _command(stale: StaleEngines) -> list[str]:
    isolated = ["-I"] if sys.flags.isolated else []
    graphs = [part for graph in stale.graphs for part in ("--graph", graph)]
    size = f"{stale.size.width_px}x{stale.size.height_px}"
    return [
        sys.executable,
        *isolated,
        *("-m", "tremorscope", "build", str(stale.bundle)),
        *("--size", size),
        *graphs,
        *("--sections", str(stale.most_sections)),
        *("--output", str(stale.directory)),
        "--rebuild",
    ]


def _run_build(stale: StaleEngines, threads: Threads) -> str:
    """Run the build to its end; returns the reason of a failure, in one line."""
    with tempfile.TemporaryFile() as output:
        try:
            build = subprocess.Popen(
                _command(stale), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        except OSError as error:
            return f"no process could be started ({reason_of(error)})"
        with contextlib.suppress(OSError):  # where memory runs out it is killed, not the service
            Path(f"/proc/{build.pid}/oom_score_adj").write_text(_FIRST_TO_GO, encoding="ascii")
        until_s = time.monotonic() + _LONGEST_S
        while build.poll() is None and not threads.wait(_POLL_S) and time.monotonic() < until_s:
            pass
        if build.poll() is None:
            _end(build)
            return f"it took more than {_LONGEST_S / 3600:.0f} h"
        if build.returncode == 0:
            return ""
        if build.returncode < 0:
            known = {each.value: each.name for each in signal.Signals}  # those for real time have no names
            name = known.get(-build.returncode, f"signal {-build.returncode}")
            return f"it was ended by {name}" + (", as where memory runs out" if name == "SIGKILL" else "")
        return _last_line(output)


def _end(build: subprocess.Popen[bytes]) -> None:
    build.terminate()
    try:
        build.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        build.kill()
        build.wait()


def _last_line(output: IO[Any]) -> str:
    output.seek(0)
    lines = output.read().decode("utf-8", "replace").replace("\r", "\n").split("\n")
    printed = [line.strip() for line in lines if line.strip()]
    return printed[-1].removeprefix("tremorscope: ")[:500] if printed else "it printed nothing"


@contextlib.contextmanager
def _alone(directory: Path, threads: Threads) -> Iterator[None]:
    """Be the only instance that builds in a directory, however long that takes."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / ".building").open("w")
    except OSError as error:
        raise EngineFault(
            f"{directory}: no engine can be built there ({reason_of(error)})",
            remedy="set magnification.engines to a directory that the service may write to",
        ) from None
    with lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if threads.wait(_POLL_S):
                    break
        yield
