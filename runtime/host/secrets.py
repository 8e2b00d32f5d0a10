"""Passwords, tokens and certificates: secrets from systemd's credentials or from the environment, never from a
configuration; TLS contexts from certificate files, which may be missing, renewed or wrong for a while.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from tremorscope.files import open_regular, reason_of, regular_bytes
from tremorscope.runtime.errors import OptionFault, OutputFault

Secret = Literal["web-token", "control-token", "mqtt-password", "rtsp-password"]
_LONGEST = 4096


def variable_of(name: Secret) -> str:
    """The environment variable of a secret, e.g. TREMORSCOPE_WEB_TOKEN."""
    return f"TREMORSCOPE_{name.upper().replace('-', '_')}"


def read_secret(name: Secret, environment: Mapping[str, str] = os.environ) -> str | None:
    """Read a secret from the file ``$CREDENTIALS_DIRECTORY/NAME``, else from its variable; None if neither exists.

    Raises:
        OptionFault: the secret is empty, too long or not text.
        OutputFault: the file cannot be read at present.
    """
    directory = environment.get("CREDENTIALS_DIRECTORY")
    path = Path(directory) / name if directory else None
    if path is not None:
        try:
            return _checked(regular_bytes(path)[: _LONGEST + 1], str(path))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise OutputFault(
                f"credential {path}: cannot be read ({reason_of(error)})",
                remedy="let the service's user read it, or remove it",
            ) from error
    text = environment.get(variable_of(name))
    return None if text is None else _checked(text.encode(), variable_of(name))


def check_login(section: str, username: str | None, password: str | None) -> None:
    """Refuse a password without a username: it would never be sent, and the login always refused.

    Raises:
        OptionFault: there is a password and no username.
    """
    if password is not None and username is None:
        raise OptionFault(
            f"{section}: there is a password, and no username", remedy=f"set {section}.username"
        )


def _checked(content: bytes, where: str) -> str:
    try:
        text = content.decode().strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(text) > _LONGEST or not text.isprintable():
        raise OptionFault(
            f"{where}: is empty, too long, or not one line of text",
            remedy="put the secret there, or remove it altogether",
        )
    return text


def read_credential(name: str, environment: Mapping[str, str] = os.environ) -> str:
    """The password called ``name``: the file of that name in $CREDENTIALS_DIRECTORY, else the variable.

    Raises:
        OptionFault: there is neither, or it is empty or unreadable. The message never holds the password.
    """
    directory = environment.get("CREDENTIALS_DIRECTORY")
    path = Path(directory) / name if directory else None
    if path is not None and path.is_file():
        try:
            secret = path.read_bytes()[: _LONGEST + 1].decode()
        except (OSError, UnicodeDecodeError) as error:
            raise OptionFault(
                f"credential {name}: {path} cannot be read ({type(error).__name__})",
                remedy="write the password into it as one line of text that the service may read",
            ) from None
    else:
        secret = environment.get(name, "")
    secret = secret.rstrip("\r\n")
    if not secret or len(secret) > _LONGEST or "\n" in secret:
        raise OptionFault(
            f"credential {name}: there is no such password, or it is not one line",
            remedy=f"hand it to the service with systemd's LoadCredential={name}:FILE, "
            f"or set the variable {name} in its environment",
        )
    return secret


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS context of a server, from its certificate with the chain and its key.

    Raises:
        OutputFault: a file is missing, unreadable or encrypted, or they do not belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, certificate, key, "outputs.http.tls_")
    return context


def client_context(authority: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """TLS context of an MQTT client.

    Args:
        authority: certificate of the authority that signed the broker's; None trusts the system's authorities.
        certificate: the client's own certificate; None shows none.
        key: the key of that certificate.

    Raises:
        OutputFault: a file is missing, unreadable or encrypted, or they do not belong together.
    """
    if authority is not None:
        _check_readable(authority, "outputs.mqtt.tls.ca_file")
    try:
        context = ssl.create_default_context(cafile=authority)
    except OSError as error:  # ssl.SSLError is one
        raise OutputFault(
            f"outputs.mqtt.tls.ca_file: {authority} cannot be used ({reason_of(error)})",
            remedy="give a PEM file that the service may read",
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None and key is not None:
        _load(context, certificate, key, "outputs.mqtt.tls.")
    return context


def _load(context: ssl.SSLContext, certificate: Path, key: Path, prefix: str) -> None:
    """``prefix`` and "certificate" or "key" are the configuration's names of the two."""
    _check_readable(certificate, f"{prefix}certificate")
    _check_readable(key, f"{prefix}key")
    try:
        # An empty password, or OpenSSL would prompt at the terminal for that of an encrypted key.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except OSError as error:  # ssl.SSLError is one
        raise OutputFault(
            f"{prefix}certificate: {certificate} and {key} cannot be used together ({reason_of(error)})",
            remedy="give a PEM certificate with its chain, and its own key, not encrypted",
        ) from None


def _check_readable(path: Path, where: str) -> None:
    try:
        open_regular(path).close()
    except OSError as error:
        raise OutputFault(
            f"{where}: {path} cannot be read ({reason_of(error)})",
            remedy="put a PEM file there that the service may read",
        ) from None
