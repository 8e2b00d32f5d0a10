"""300 bad configurations, made from good ones: each is refused in readable lines, or the service can be built of it."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from mutations import Mutator
from support import ROOT

from tremorscope.runtime.configuration.problems import ConfigurationFault
from tremorscope.runtime.configuration.reading import LoadedConfiguration, parse_configuration
from tremorscope.runtime.errors import Fault
from tremorscope.runtime.service.process import Service

COUNT = 300
SEED = 20_261_122


def good_ones(directory: Path) -> list[dict[str, Any]]:
    """The ready configurations, with their stores in a directory, and between them every section that there is."""
    found = []
    for name in ("demo", "bridge", "mast", "rotating-machine"):
        data = yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text(encoding="utf-8"))
        data["store"]["directory"] = str(directory)
        data.setdefault("recording", {"pre_roll_s": 1})["memory_mb"] = 2048
        found.append(data)
    found[0]["magnification"] |= {"mode": "band", "bands_hz": [[1.8, 2.4]], "threads": 1, "refresh_s": None}
    found[0]["recovery"] = {"reopen_after_s": 5, "reboot": {"enabled": True, "most_a_day": 1}}
    found[0]["thermal"] = {"levels": [{"enter_c": 80}, {"enter_c": 90, "rate_fraction": 0.5}]}
    found[0]["outputs"] = {"mqtt": {"host": "127.0.0.1"}, "http": {"port": 8099}}
    return found


def refusal(lines: tuple[str, ...]) -> None:
    """Check that these lines can be read by a person."""
    assert lines
    for line in lines:
        assert line.startswith("m.yaml")
        assert line.isprintable(), line
        assert 20 < len(line) < 600, line
        assert line.count(": ") >= 2, line
        for never in ("Traceback", "pydantic", "object at 0x", "Input should", "Value error"):
            assert never not in line


def build(loaded: LoadedConfiguration, directory: Path) -> Service | None:
    """Build the service; None where a fault refuses it in one line."""
    store = loaded.configuration.store.model_copy(update={"directory": directory})
    configuration = loaded.configuration.model_copy(update={"store": store})
    try:
        return Service(LoadedConfiguration(configuration, loaded.file, loaded.digest, loaded.from_version))
    except Fault as fault:
        refusal((f"m.yaml: {fault}",))
        return None


def wait_for_frames(service: Service) -> None:
    until_s = time.monotonic() + 60
    while service.parts.loop.frames < 3:
        assert time.monotonic() < until_s
        time.sleep(0.05)


@pytest.mark.parametrize("part", range(3))
def test_is_refused_in_readable_lines_or_can_be_built(part: int, tmp_path: Path) -> None:
    mutator = Mutator(good_ones(tmp_path / "state"), SEED + part)
    refused, built, unlike, ran = 0, 0, set(), False
    runs = part < 2  # drawing its bridge takes a camera seconds
    with ThreadPoolExecutor(8) as closing:
        for number in range(COUNT // 3):
            content = mutator.next()
            try:
                loaded = parse_configuration(content, Path("m.yaml"))
            except ConfigurationFault as fault:
                refusal(fault.lines)
                refused += 1
                unlike.add(json.dumps([problem.what for problem in fault.problems]))
                continue
            service = build(loaded, tmp_path / str(number))
            if service is None:
                continue
            built += 1
            camera = loaded.configuration.camera
            if runs and not ran and camera.kind == "synthetic" and camera.width_px <= 640:
                ran = True
                service.start()
                wait_for_frames(service)
            closing.submit(service.close)
    assert refused + built > 0.95 * COUNT / 3
    # Were all of them refused for one reason, or none at all, nothing would be shown.
    assert len(unlike) > 20
    assert built > 10
    assert ran == runs
