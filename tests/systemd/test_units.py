"""The unit files as they stand: understood by systemd without a word, confined, and alike where they must be."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support import ROOT

from tremorscope.runtime.host.settings import RecoverySettings
from tremorscope.runtime.service.recovery import (
    EXIT_CONFIGURATION,
    EXIT_RECOVERY,
    LEAST_LIFE_S,
    RecoveryLadder,
)

SYSTEMD = ROOT / "systemd"
UNITS = sorted(path for suffix in ("service", "timer", "path") for path in SYSTEMD.glob(f"*.{suffix}"))
SERVICES = [path for path in UNITS if path.suffix == ".service"]
NEWER_THAN_249 = {
    "RestartSteps", "RestartMaxDelaySec", "ImportCredential", "OpenFile", "Type=notify-reload",
    "TriggerLimitIntervalSec", "MemoryZSwapMax", "RootEphemeral", "SurviveFinalKillSignal",
}  # fmt: skip
"""What JetPack 6 does not know, whose systemd is 249."""


@pytest.fixture
def analyze() -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("needs systemd")
    return program


def settings(unit: Path) -> dict[str, list[str]]:
    """All settings of a unit: name -> values in their order."""
    found: dict[str, list[str]] = {}
    text = re.sub(r"\\\n\s*", "", unit.read_text())
    for line in text.splitlines():
        name, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_systemd_understands_every_unit_without_a_word(analyze: str, tmp_path: Path) -> None:
    for unit in UNITS:  # with programs that are there: those of the units come with an installation
        text = re.sub(r"^(Exec\w+=[+]?)/opt\S+", r"\1/bin/true", unit.read_text(), flags=re.MULTILINE)
        (tmp_path / unit.name.replace("@.", "@north.")).write_text(text)
    done = subprocess.run(
        [analyze, "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.name)
def test_no_service_is_exposed_more_than_it_must_be(analyze: str, unit: Path) -> None:
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=40", str(unit)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-200:]
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert exposure is not None
    assert float(exposure[1]) <= 4.0


def test_units_use_nothing_that_the_systemd_of_jetpack_6_does_not_know() -> None:
    for unit in UNITS:
        known = settings(unit)
        assert not NEWER_THAN_249 & {*known, *(f"Type={value}" for value in known.get("Type", []))}, unit.name


def test_whatever_opens_a_camera_keeps_what_gstreamer_found_and_is_not_after_what_comes_last() -> None:
    for unit in SERVICES:
        known = settings(unit)
        if "-m tremorscope" in "".join(known.get("ExecStart", [])):
            assert "GST_REGISTRY=%C/tremorscope/" in " ".join(known["Environment"]), unit.name
            assert not {"multi-user.target", "jtop.service"} & set(" ".join(known["After"]).split()), (
                unit.name
            )


def test_the_template_and_the_single_service_differ_in_their_instance_alone() -> None:
    single = (SYSTEMD / "tremorscope.service").read_text().splitlines()[1:]
    template = (SYSTEMD / "tremorscope@.service").read_text().splitlines()[1:]
    expected = [
        line.replace("%i.yaml", "config.yaml").replace(", %i", "").replace("%i", "main") for line in template
    ]
    assert single == expected


def test_the_watchdog_outlasts_the_ladder_and_starting_outlasts_both() -> None:
    """Else systemd would kill the service before it has tried everything itself."""
    service = {name: values[-1] for name, values in settings(SYSTEMD / "tremorscope.service").items()}
    ladder_s = max(
        RecoveryLadder(RecoverySettings(), opening_s=18).longest_s,  # on the CSI connector
        RecoveryLadder(RecoverySettings(), opening_s=25).longest_s,  # on the network
    )
    assert ladder_s + 30 <= float(service["WatchdogSec"]) <= float(service["TimeoutStartSec"])
    assert float(service["TimeoutStopSec"]) > 10


def test_a_camera_that_is_away_never_uses_up_the_restarts_but_a_crash_does() -> None:
    service = {name: values[-1] for name, values in settings(SYSTEMD / "tremorscope.service").items()}
    interval_s, burst = float(service["StartLimitIntervalSec"]), int(service["StartLimitBurst"])
    pause_s = float(service["RestartSec"])
    ladder_s = min(RecoveryLadder(RecoverySettings()).longest_s, LEAST_LIFE_S)  # the shortest there is
    assert burst * (pause_s + ladder_s) > interval_s
    assert burst * (pause_s + 20) < interval_s


def test_exit_statuses_mean_to_systemd_what_they_mean_to_us() -> None:
    service = settings(SYSTEMD / "tremorscope.service")
    assert service["RestartForceExitStatus"] == [str(EXIT_RECOVERY)]
    assert str(EXIT_CONFIGURATION) in service["RestartPreventExitStatus"][0].split()


@pytest.mark.parametrize("rules", sorted(SYSTEMD.glob("*.rules")), ids=lambda path: path.name)
def test_polkit_rules_are_for_our_user_alone(rules: Path) -> None:
    text = rules.read_text()
    assert (
        text.count("polkit.addRule")
        == text.count('subject.user == "tremorscope"')
        == text.count("Result.YES")
        == 1
    )


def test_every_unit_that_is_named_is_there() -> None:
    text = (SYSTEMD / "lib.sh").read_text()
    named = re.search(r'UNIT_FILES="([^"]*)"\nREBOOT_UNIT_FILES="([^"]*)"', text)
    assert named is not None
    assert sorted((named[1] + " " + named[2]).split()) == sorted(unit.name for unit in UNITS)


@pytest.mark.parametrize(
    "script",
    [
        *sorted(SYSTEMD.glob("**/*.sh")),
        *sorted(SYSTEMD.glob("package/p*[tm]")),
        ROOT / "tests/systemd/boot.sh",
    ],
    ids=lambda path: path.name,
)
def test_scripts_are_clean(script: Path) -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("needs shellcheck")
    done = subprocess.run(
        [shellcheck, "-x", script.name],
        cwd=script.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == ""
