"""TLS contexts from certificate files, which may be missing, renewed or wrong for a while."""

from __future__ import annotations

import ssl
from pathlib import Path

from tremorscope.runtime.errors import OutputFault


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS context of a server, from its certificate with the chain and its key.

    Raises:
        OutputFault: a file is missing, unreadable or encrypted, or they do not belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, certificate, key, "outputs.http.tls_certificate")
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
    try:
        context = ssl.create_default_context(cafile=authority)
    except OSError as error:  # ssl.SSLError is one
        raise OutputFault(
            f"outputs.mqtt.tls.ca_file: {authority} cannot be used ({error.strerror or error})",
            remedy="give a PEM file that the service may read",
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None and key is not None:
        _load(context, certificate, key, "outputs.mqtt.tls.certificate")
    return context


def _load(context: ssl.SSLContext, certificate: Path, key: Path, where: str) -> None:
    _check_readable(certificate, where)
    _check_readable(key, where)
    try:
        # An empty password, or OpenSSL would prompt at the terminal for that of an encrypted key.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except OSError as error:  # ssl.SSLError is one
        raise OutputFault(
            f"{where}: {certificate} and {key} cannot be used together ({error.strerror or error})",
            remedy="give a PEM certificate with its chain, and its own key, not encrypted",
        ) from None


def _check_readable(path: Path, where: str) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise OutputFault(
            f"{where}: {path} cannot be read ({(error.strerror or str(error)).lower()})",
            remedy="put a PEM file there that the service may read",
        ) from None
