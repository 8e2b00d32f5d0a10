"""The demonstration's service as a process, for those who watch it from outside: crowd.py, first_look.py, soak.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
_START_S = 180.0
_ANSWER_S = 60.0


class DemoService:
    """configs/demo.yaml with a directory and a port of its own, from `tremorscope run` to its end."""

    def __init__(self, directory: Path, port: int, changes: dict[str, dict[str, Any]] | None = None) -> None:
        """Start it; ``changes`` are keys of the configuration's sections, put over the demonstration's."""
        self.url = f"http://127.0.0.1:{port}"
        self.configuration = yaml.safe_load((ROOT / "configs" / "demo.yaml").read_text(encoding="utf-8"))
        self.configuration["store"]["directory"] = str(directory / "state")
        self.configuration["outputs"] = {"http": {"port": port}}
        for section, keys in (changes or {}).items():
            self.configuration[section] |= keys
        self._file = directory / "demo.yaml"
        self.configure()
        self.log = directory / "log"
        with self.log.open("w") as stderr:
            command = [sys.executable, "-m", "tremorscope", "run", "--config", str(self._file)]
            self.process = subprocess.Popen(command, stderr=stderr)

    def configure(self) -> None:
        """Put the configuration as it is now before the service, which sees that its file has changed."""
        partial = self._file.with_suffix(".partial")
        partial.write_text(yaml.safe_dump(self.configuration), encoding="utf-8")
        partial.replace(self._file)

    def ask(self, path: str) -> bytes:
        """What it answers."""
        with urllib.request.urlopen(self.url + path, timeout=_ANSWER_S) as answer:
            found: bytes = answer.read()
        return found

    def state(self) -> dict[str, Any]:
        """What the page is told."""
        found: dict[str, Any] = json.loads(self.ask("/api/state"))
        return found

    def wait(self, condition: Callable[[dict[str, Any]], object]) -> None:
        """Until its state is as asked."""
        until_s = time.monotonic() + _START_S
        while time.monotonic() < until_s:
            self.check_alive()
            try:
                if condition(self.state()):
                    return
            except OSError:
                pass
            time.sleep(0.25)
        raise TimeoutError(self.log.read_text(encoding="utf-8"))

    def check_alive(self) -> None:
        """Show its log if it has ended."""
        assert self.process.poll() is None, self.log.read_text(encoding="utf-8")

    def processor_s(self) -> float:
        """Processor time that it has had."""
        fields = self.stat()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stat(self) -> list[str]:
        """/proc/PID/stat behind the name, from the process's state on."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()

    def stop(self) -> float:
        """End it as systemd does; how long that took, in s."""
        begun_s = time.monotonic()
        self.process.terminate()
        self.process.wait(60)
        return time.monotonic() - begun_s

    def kill(self) -> None:
        """Whatever happened, leave nothing behind."""
        self.process.kill()
        self.process.wait()
