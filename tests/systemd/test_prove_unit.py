"""The unit that proves the device does so as the service runs: its user, its groups, its sandbox."""

from __future__ import annotations

from test_units import SYSTEMD, settings

OF_ITS_LIFE = {
    "Description", "After", "StartLimitIntervalSec", "StartLimitBurst", "Type", "NotifyAccess", "ExecStart",
    "ExecStartPre", "ExecStopPost", "ExecReload", "TimeoutStartSec", "WatchdogSec", "KillMode", "TimeoutStopSec",
    "TimeoutAbortSec", "Restart", "RestartForceExitStatus", "RestartPreventExitStatus", "RestartSec", "StateDirectory",
    "CacheDirectory", "LogsDirectory", "LogsDirectoryMode", "ConfigurationDirectory", "WorkingDirectory", "Environment",
    "EnvironmentFile", "SyslogIdentifier", "CPUWeight", "OOMScoreAdjust", "WantedBy",
}  # fmt: skip
"""What a service that runs for months has, or one that runs once; all else is what it may do."""


def rights(name: str) -> dict[str, list[str]]:
    return {key: value for key, value in settings(SYSTEMD / name).items() if key not in OF_ITS_LIFE}


def test_it_may_do_what_the_service_may_and_no_more() -> None:
    service = rights("tremorscope.service")
    assert rights("tremorscope-prove.service") == service
    assert len(service) > 25


def test_it_keeps_its_own_state_beside_the_services() -> None:
    unit = settings(SYSTEMD / "tremorscope-prove.service")
    assert unit["StateDirectory"] == ["tremorscope/prove"]
    assert "--output %S/tremorscope/prove" in unit["ExecStart"][0]
    assert unit["Type"] == ["oneshot"]
    # Cameras have one user: what runs is stopped before, and started again whatever comes of it.
    assert "systemctl stop" in unit["ExecStartPre"][0]
    assert "start" in unit["ExecStopPost"][0]
    assert unit["ExecStartPre"][0].startswith("+")
    assert unit["ExecStopPost"][0].startswith("+")
