"""Settings of the outputs: health, metrics and the live page over HTTP; MQTT; RTSP.

Secrets never stand in a configuration: see `runtime.host.secrets`.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from tremorscope.runtime.clips.nvenc import EncoderChoice
from tremorscope.runtime.frames.frame import View
from tremorscope.runtime.settings import Section


def _is_address(text: str) -> str:
    """Check the address of a machine or of one of its interfaces."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        if not re.fullmatch(r"(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*", text):
            raise ValueError(f"{text!r} is neither an IP address nor a host name") from None
    return text


def _is_topic(text: str) -> str:
    """Check a topic that is published to: no wildcards, no empty levels."""
    if not re.fullmatch(r"[^/+#\x00\s$][^/+#\x00\s]*(/[^/+#\x00\s]+)*", text) or len(text) > 200:
        raise ValueError(
            f"{text!r} is no topic: levels of letters and digits, separated by /, without + # or blanks"
        )
    return text


Address = Annotated[str, AfterValidator(_is_address)]
Topic = Annotated[str, AfterValidator(_is_topic)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class HttpSettings(Section):
    """Health, metrics and the live page, all on one port."""

    enabled: bool = True
    """Serve health, metrics and the page over HTTP."""
    host: Address = "127.0.0.1"
    """The device's own address to listen at. Any but a loopback address needs a token (docs/outputs.md)."""
    port: Port = 8080
    """TCP port."""
    allowed_hosts: tuple[Address, ...] = ()
    """Further names by which browsers reach a page without a token, e.g. through a reverse proxy."""
    base_path: str = Field(default="", pattern=r"^(/[A-Za-z0-9._~-]+)*$", max_length=200)
    """First levels of every address behind a proxy that passes them on, or of the cookie's path behind one that takes
    them off, e.g. ``/bridge-7``; every address answers without them as well."""
    players_need_no_header: bool = False
    """Let the live picture and clips also take the token to look as ``?token=TOKEN`` or as the password of HTTP Basic,
    for players that cannot send another header. Addresses end up in logs and histories (docs/outputs.md)."""
    tls_certificate: Path | None = None
    """PEM file with the certificate and its chain; without it the page is served unencrypted."""
    tls_key: Path | None = None
    """PEM file with the certificate's key."""
    page: bool = True
    """Serve the live page."""
    metrics: bool = True
    """Serve /metrics, for Prometheus."""
    metrics_need_token: bool = True
    """Require the token for /metrics, where there is one."""
    adjustable: bool = True
    """Let those who may control change amplification and band on the page."""
    picture_rate_hz: float = Field(default=15.0, ge=0.5, le=60, allow_inf_nan=False)
    """Most live pictures a second."""
    picture_width_px: int = Field(default=960, ge=160, le=3840)
    """Wider pictures are made smaller for the page."""
    picture_quality: int = Field(default=75, ge=20, le=95)
    """JPEG quality of the live picture."""
    most_viewers: int = Field(default=12, ge=1, le=200)
    """Most live pictures watched at a time."""
    most_connections: int = Field(default=256, ge=8, le=2000)
    """Most connections open at a time; the longest idle one makes room for a new one."""

    @model_validator(mode="after")
    def _certificate_has_key(self) -> HttpSettings:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together: give both, or neither")
        return self

    @property
    def is_local(self) -> bool:
        """True where only programs on the device itself can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class MqttTlsSettings(Section):
    """Encryption of the connection to the broker."""

    ca_file: Path | None = None
    """PEM file of the authority that the broker's certificate is checked against; none: the system's."""
    certificate: Path | None = None
    """PEM file of a certificate for ourselves, where the broker asks for one."""
    key: Path | None = None
    """PEM file with its key."""

    @model_validator(mode="after")
    def _certificate_has_key(self) -> MqttTlsSettings:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together: give both, or neither")
        return self


class MqttSettings(Section):
    """Alarms and summaries to a broker."""

    host: Address
    """The broker."""
    port: Port | None = None
    """TCP port; none: 8883 with TLS, 1883 without."""
    username: str | None = Field(default=None, min_length=1, max_length=200)
    """The password comes from a credential or the environment (docs/outputs.md)."""
    tls: MqttTlsSettings | None = None
    """Encrypt the connection: ``tls: {}`` checks the broker against the system's authorities."""
    topic: Topic = "tremorscope"
    """First levels of every topic; the name of the instance follows."""
    discovery_prefix: Topic | None = "homeassistant"
    """First level of Home Assistant's discovery topics; null announces no devices."""
    summary_every_s: Seconds = 60.0
    """Time from summary to summary."""
    keepalive_s: int = Field(default=30, ge=5, le=3600)
    """The broker tells that we are gone after one and a half times this."""
    most_buffered_summaries: int = Field(default=10_000, ge=0, le=1_000_000)
    """Summaries kept on the disk while the broker cannot be reached; the newest win. 10 000 are a week."""
    most_buffered_alarms: int = Field(default=100_000, ge=100, le=1_000_000)
    """Edges of alarms kept likewise; no more than a bound for the disk's sake."""

    @property
    def broker_port(self) -> int:
        """The port that is connected to."""
        return self.port or (8883 if self.tls else 1883)


class RtspSettings(Section):
    """The live picture to a media server, which serves it on."""

    url: str
    """Address to publish to, e.g. ``rtsp://127.0.0.1:8554/bridge``, without a password."""
    username: str | None = Field(default=None, min_length=1, max_length=200)
    """The password comes from a credential or the environment (docs/outputs.md)."""
    transport: Literal["tcp", "udp"] = "tcp"
    """Transport of the packets."""
    view: View = "magnified"
    """View that is published."""
    rate_hz: float = Field(default=15.0, ge=1, le=60, allow_inf_nan=False)
    """Most pictures a second."""
    bitrate_kbps: int = Field(default=2000, ge=100, le=50_000)
    """Thousands of bits a second."""
    encoder: EncoderChoice = "auto"
    """Video encoder: auto takes the device's own where it has one, else the CPU; nvenc and x264 insist."""

    @field_validator("url")
    @classmethod
    def _is_rtsp(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("rtsp", "rtsps") or not parts.hostname or not parts.path.strip("/"):
            raise ValueError("a media server's URL looks like rtsp://HOST:8554/NAME")
        if parts.username is not None or parts.password is not None:
            raise ValueError(
                "no user or password belongs into a URL: set username, and the password as a secret"
            )
        _is_address(parts.hostname)
        return url


class OutputSettings(Section):
    """Outputs of the device."""

    http: HttpSettings = HttpSettings()
    """Health, metrics and the live page."""
    mqtt: MqttSettings | None = None
    """Alarms and summaries to a broker; none unless it is named."""
    rtsp: RtspSettings | None = None
    """The live picture to a media server; none unless it is named."""
