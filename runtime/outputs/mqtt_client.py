"""The connection to an MQTT broker, as configured: who we are, how it is encrypted, how often it is tried."""

from __future__ import annotations

import ssl

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from runtime.configuration.outputs import MqttSettings
from runtime.errors import OptionFault

_RECONNECT_S = (1, 60)


def make_client(settings: MqttSettings, *, client_id: str, password: str | None) -> Client:
    """A client that is not connected yet.

    Raises:
        OptionFault: the certificates cannot be used, or there is a password and no username.
    """
    if password is not None and settings.username is None:
        raise OptionFault(
            "outputs.mqtt: there is a password, and no username", remedy="set outputs.mqtt.username"
        )
    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id)
    if settings.username is not None:
        client.username_pw_set(settings.username, password)
    if settings.tls is not None:
        try:
            client.tls_set_context(_tls(settings))
        except OSError as error:  # ssl.SSLError is one
            raise OptionFault(
                f"outputs.mqtt.tls: its files cannot be used ({error.strerror or error})",
                remedy="give PEM files that the service may read",
            ) from None
    client.reconnect_delay_set(*_RECONNECT_S)
    return client


def _tls(settings: MqttSettings) -> ssl.SSLContext:
    assert settings.tls is not None
    context = ssl.create_default_context(cafile=settings.tls.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.tls.certificate is not None:
        context.load_cert_chain(settings.tls.certificate, settings.tls.key)
    return context
