"""The connection to an MQTT broker, as configured: who we are, how it is encrypted, how often it is tried."""

from __future__ import annotations

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tremorscope.runtime.host.secrets import check_login
from tremorscope.runtime.outputs.certificates import client_context
from tremorscope.runtime.outputs.settings import MqttSettings

_RECONNECT_S = (1, 60)


def make_client(settings: MqttSettings, *, client_id: str, password: str | None) -> Client:
    """A client that is not connected yet.

    Raises:
        OptionFault: there is a password and no username.
        OutputFault: the certificates cannot be used at present.
    """
    check_login("outputs.mqtt", settings.username, password)
    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id)
    if settings.username is not None:
        client.username_pw_set(settings.username, password)
    tls = settings.tls
    if tls is not None:
        client.tls_set_context(client_context(tls.ca_file, tls.certificate, tls.key))
    client.reconnect_delay_set(*_RECONNECT_S)
    return client
