"""Client of an MQTT broker with the configured login, encryption and reconnection."""

from __future__ import annotations

import secrets

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tremorscope.runtime.host.secrets import check_login
from tremorscope.runtime.outputs.certificates import client_context
from tremorscope.runtime.outputs.mqtt.messages import OFFLINE, slug
from tremorscope.runtime.outputs.settings import MqttSettings

AT_LEAST_ONCE = 1
"""Quality of service of all messages."""
_RECONNECT_S = (1, 60)


def make_client(settings: MqttSettings, instance: str, status_topic: str, password: str | None) -> Client:
    """Create a client that is not connected yet; its last will is the offline status.

    Raises:
        OptionFault: there is a password and no username.
        OutputFault: the certificates cannot be used at present.
    """
    check_login("outputs.mqtt", settings.username, password)
    # Random, as a broker disconnects a client when another connects under the same identifier.
    client_id = f"tremorscope-{slug(instance)}-{secrets.token_hex(4)}"
    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id)
    client.will_set(status_topic, OFFLINE, AT_LEAST_ONCE, retain=True)
    if settings.username is not None:
        client.username_pw_set(settings.username, password)
    tls = settings.tls
    if tls is not None:
        client.tls_set_context(client_context(tls.ca_file, tls.certificate, tls.key))
    client.reconnect_delay_set(*_RECONNECT_S)
    return client
