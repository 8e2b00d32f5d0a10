"""The MQTT publisher of a bridge: its board, edges of its alarms, its settings and certificates."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mosquitto_rig import Broker

from tremorscope.runtime.health import CameraHealth, HealthBoard, NaturalFrequency, RegionHealth
from tremorscope.runtime.outputs.mqtt.messages import slug
from tremorscope.runtime.outputs.mqtt.publisher import MqttPublisher
from tremorscope.runtime.outputs.settings import MqttSettings
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge, AlarmRule, AlarmStatus

RULE = AlarmRule("mid span/RMS", "midspan", "rms", 0.2, 0.16, unit="mm")
ALARM_TOPIC = f"site/bridge-7/alarm/{slug(RULE.name)}"


def edge(number: int, kind: str = "raised") -> AlarmEdge:
    return AlarmEdge(
        f"alarm {number}", "midspan", "rms", "raised" if kind == "raised" else "cleared",
        1_795_000_000.0 + number, 1_795_000_000.0, 0.25, 0.2, "mm",
    )  # fmt: skip


def board_of_bridge(**clocks: Callable[[], float]) -> HealthBoard:
    board = HealthBoard("bridge-7", version="0.1.0", **clocks)
    board.update(
        camera=CameraHealth(status="running", rate_hz=30.0),
        regions=(
            RegionHealth("mid span", displacement_rms_px=0.08, mm_per_px=2.5, scale_relative_sigma=0.01),
            RegionHealth("pier"),
        ),
        modes=(NaturalFrequency(1, 2.1, 0.004, 0.01, 1_795_000_000.0),),
        alarms=(AlarmStatus(RULE, "normal", 0.1, None, None, None),),
    )
    board.frame_processed(1)
    return board


def settings(port: int, **changes: object) -> MqttSettings:
    given = {"host": "127.0.0.1", "port": port, "topic": "site", "summary_every_s": 3600.0} | changes
    return MqttSettings.model_validate(given)


def openssl(*command: str | Path) -> None:
    subprocess.run(["openssl", *map(str, command)], check=True, capture_output=True)


def make_certificates(directory: Path) -> tuple[Path, Path, Path]:
    """An authority, and a certificate of 127.0.0.1 by it with its key."""
    authority, authority_key, key = directory / "ca.pem", directory / "ca.key", directory / "key.pem"
    request, certificate, extension = directory / "request", directory / "cert.pem", directory / "extension"
    extension.write_text("subjectAltName=IP:127.0.0.1\n")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for command in (
        ["req", "-x509", *curve, "-keyout", authority_key, "-out", authority, "-subj", "/CN=test", "-days", "2"],
        ["req", *curve, "-keyout", key, "-out", request, "-subj", "/CN=127.0.0.1"],
        ["x509", "-req", "-in", request, "-CA", authority, "-CAkey", authority_key, "-out", certificate,
         "-days", "2", "-extfile", extension, "-set_serial", "2"],
    ):  # fmt: skip
        openssl(*command)
    return authority, certificate, key


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    directory = tmp_path / "broker"
    directory.mkdir()
    broker = Broker(directory).start()
    yield broker
    broker.stop()


@pytest.fixture
def publish(tmp_path: Path) -> Iterator[Callable[..., MqttPublisher]]:
    """Starts a publisher, which is closed at the end."""
    started: list[MqttPublisher] = []

    def start(board: HealthBoard, port: int, password: str | None = None, **changes: object) -> MqttPublisher:
        publisher = MqttPublisher(
            settings(port, **changes), board=board, state_directory=tmp_path, password=password
        )
        publisher.start()
        started.append(publisher)
        return publisher

    yield start
    for publisher in started:
        publisher.close(0.2)
