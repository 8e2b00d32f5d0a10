"""Settings of the outputs: what is accepted, and what is refused in a line that says why."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tremorscope.runtime.outputs.settings import HttpSettings, MqttSettings, OutputSettings, RtspSettings


def test_the_defaults_serve_this_device_alone() -> None:
    settings = OutputSettings()
    assert settings.http.is_local
    assert settings.http.metrics_need_token
    assert (settings.mqtt, settings.rtsp) == (None, None)


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
    ],
)
def test_local_is_only_what_cannot_be_reached_from_outside(host: str, is_local: bool) -> None:
    assert HttpSettings(host=host).is_local is is_local


def test_the_port_follows_the_encryption() -> None:
    assert MqttSettings(host="broker").broker_port == 1883
    assert MqttSettings.model_validate({"host": "broker", "tls": {}}).broker_port == 8883
    assert MqttSettings(host="broker", port=99).broker_port == 99


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        (HttpSettings, {"host": "no host"}, "neither an IP address nor a host name"),
        (HttpSettings, {"prot": 80}, "Extra inputs are not permitted"),
        (HttpSettings, {"tls_key": "k.pem"}, "belong together"),
        (MqttSettings, {"host": "b", "topic": "a/#"}, "is no topic"),
        (MqttSettings, {"host": "b", "topic": "/a"}, "is no topic"),
        (MqttSettings, {"host": "b", "topic": "a//b"}, "is no topic"),
        (MqttSettings, {"host": "b", "password": "x"}, "Extra inputs are not permitted"),
        (RtspSettings, {"url": "http://a/b"}, "looks like rtsp://HOST:8554/NAME"),
        (RtspSettings, {"url": "rtsp://host"}, "looks like rtsp://HOST:8554/NAME"),
        (RtspSettings, {"url": "rtsp://u:p@host/x"}, "no user or password belongs into a URL"),
    ],
)
def test_what_cannot_work_is_refused(kind: type[HttpSettings], given: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        kind.model_validate(given)
