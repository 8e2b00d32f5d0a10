"""Needs of a configuration in its machine, as far as they are known before the service runs: `tremorscope check`.

The service itself goes on without any of it, and tries again; whoever stands beside the device wants to know at once.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from tremorscope.runtime.cameras.opening import open_camera
from tremorscope.runtime.cameras.settings import ClipSettings
from tremorscope.runtime.configuration.checking import Contradiction
from tremorscope.runtime.configuration.schema import Configuration
from tremorscope.runtime.errors import Fault
from tremorscope.runtime.outputs.certificates import client_context, server_context
from tremorscope.runtime.outputs.settings import HttpSettings

_FOR_DISKS = (Path("/media"), Path("/mnt"), Path("/run/media"))
"""Mount points of other disks, by the Filesystem Hierarchy Standard and udisks."""


def missing(configuration: Configuration) -> Iterator[Contradiction]:
    """Files that are named and cannot be used: certificates, keys, authorities, a clip."""
    http, mqtt, camera = configuration.outputs.http, configuration.outputs.mqtt, configuration.camera
    if http.enabled and http.tls_certificate and http.tls_key:
        try:
            server_context(http.tls_certificate, http.tls_key)
        except Fault as fault:
            yield ("outputs", "http", "tls_certificate"), _without_key(fault.what), fault.remedy
    if mqtt is not None and mqtt.tls is not None:
        try:
            client_context(mqtt.tls.ca_file, mqtt.tls.certificate, mqtt.tls.key)
        except Fault as fault:
            key = "ca_file" if ".ca_file:" in fault.what else "certificate"
            yield ("outputs", "mqtt", "tls", key), _without_key(fault.what), fault.remedy
    if isinstance(camera, ClipSettings):
        try:
            open_camera(camera).close()
        except Fault as fault:
            yield ("camera", "path"), fault.what, fault.remedy


def remarks(configuration: Configuration, directory: Path) -> Iterator[Contradiction]:
    """Conditions that do not hold at present and may come to: an address, a port, a disk.

    Args:
        configuration: what is wanted.
        directory: where everything is kept.
    """
    if configuration.outputs.http.enabled:
        yield from _address(configuration.outputs.http)
    there = next(each for each in (directory, *directory.absolute().parents) if os.path.exists(each))
    path = ("store", "directory")
    if not os.access(there, os.W_OK | os.X_OK):
        yield path, f"{there} cannot be written by this user", "let the service's user write there"
    kept = directory.absolute()
    if any(kept.is_relative_to(each) for each in _FOR_DISKS) and os.stat(there).st_dev == os.stat("/").st_dev:
        yield path, f"no disk is mounted at {kept}, which would be the system's own", "mount it first"


def _address(http: HttpSettings) -> Iterator[Contradiction]:
    try:
        family, kind, _, _, address = socket.getaddrinfo(http.host, http.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:  # socket.gaierror is one
        if error.errno == errno.EADDRINUSE:
            what = f"port {http.port} is taken at present, perhaps by this very service"
            yield ("outputs", "http", "port"), what, "if it is another program, name another port"
        else:
            what = f"{http.host} cannot be listened at now ({(error.strerror or str(error)).lower()})"
            yield ("outputs", "http", "host"), what, "name an address of this device, or wait until it has it"


def _without_key(what: str) -> str:
    """A fault's text without the key that it begins with: the line has it already."""
    return what.partition(": ")[2]
