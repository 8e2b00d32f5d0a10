"""The whole command on this computer: ONNX Runtime, the drawn camera and the stand-ins."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from support import command_line, run_command

from tremorscope.runtime.prove.open_points import OPEN_POINTS

SECRET = "a-token-nobody-should-read"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    directory = tmp_path_factory.mktemp("prove")
    site = directory / "site.yaml"
    site.write_text(
        "version: 1\ncamera: {kind: synthetic, width_px: 128, height_px: 96, rate_hz: 30}\n"
        "magnification: {mode: dynamic, amplification: 7, runtime: onnxruntime}\n"
    )
    done = subprocess.run(
        command_line(
            "prove", "--quick", "--load", 1, "--config", site, "--bundle", "lite", "-o", directory / "report"
        ),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"TREMORSCOPE_WEB_TOKEN": SECRET},
    )
    return done, directory / "report"


def test_all_that_is_here_holds(run: Any) -> None:
    done, output = run
    report = json.loads((output / "prove.json").read_text())
    states = {each["name"]: (each["state"], each["said"]) for each in report["steps"]}
    assert done.returncode == 0, done.stdout + done.stderr
    assert {state for state, _ in states.values()} == {"holds", "skipped"}
    held = {name for name, (state, _) in states.items() if state == "holds"}
    assert held >= {
        "machine", "clock", "storage", "engine-small", "engine-site", "accuracy", "layers", "camera",
        "encoding", "load", "watchdog",
    }  # fmt: skip
    assert states["graphs"] == ("skipped", "no GPU answers here")
    assert report["holds"] is True
    assert report["end"] == "complete"
    assert f"report   {output / 'prove.html'}" in done.stdout
    assert len([line for line in done.stdout.splitlines() if line.startswith(("holds ", "skipped "))]) == len(
        states
    )


def test_the_report_has_the_figures(run: Any) -> None:
    _, output = run
    report = json.loads((output / "prove.json").read_text())
    steps = {each["name"]: each for each in report["steps"]}
    assert steps["engine-site"]["facts"]["frames"] == "128x96"
    assert steps["engine-small"]["facts"]["peak_process_mib"] > 50
    assert 0 < steps["layers"]["facts"]["warp_part"] < 0.5
    assert steps["camera"]["facts"]["stated_hz"] == 30.0
    assert steps["encoding"]["facts"]["rate_hz"] > 0
    assert steps["load"]["facts"]["rate_hz"] > 0
    assert {row[0] for row in steps["accuracy"]["tables"][0]["rows"]} >= {"realtime", "lite"}
    roof = next(table for table in steps["load"]["tables"] if table["title"] == "Roofline")
    assert roof["rows"][0][0] == "network's step"
    assert [each["id"] for each in report["open_points"]] == [point.id for point in OPEN_POINTS]
    assert {each["answer"] for each in report["open_points"]} == {"open"}  # this is no Jetson
    for name in ("prove.json", "prove.html"):
        assert SECRET not in (output / name).read_text()


def test_what_cannot_be_followed_is_told_before_anything_is_run(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("version: 1\ncamera: {kind: csj}\n")
    done = run_command("prove", "--quick", "--config", wrong, "-o", tmp_path / "report")
    assert done.returncode != 0
    assert "wrong.yaml" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "report").exists()


def test_ctrl_c_leaves_a_report_and_no_process(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command_line("prove", "--quick", "-o", tmp_path / "report"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    file = tmp_path / "report/prove.json"
    until_s = time.monotonic() + 90
    while time.monotonic() < until_s and not (file.exists() and '"holds",' in file.read_text()):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert f"what was found until then is in {tmp_path / 'report/prove.html'}" in out
    report = json.loads(file.read_text())
    assert report["end"] == "interrupted"
    assert report["steps"][0]["state"] == "holds"
    assert report["steps"][-1]["state"] == "unfinished"
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in listed
