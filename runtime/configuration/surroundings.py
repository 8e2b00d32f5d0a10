"""Needs of a configuration in its machine, as far as they are known before the service runs: `tremorscope check`.

The service itself goes on without any of it, and tries again; whoever stands beside the device wants to know at once.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from tremorscope.files import reason_of
from tremorscope.runtime.cameras.opening import open_camera
from tremorscope.runtime.cameras.settings import ClipSettings
from tremorscope.runtime.configuration.checking import Contradiction, rate_of
from tremorscope.runtime.configuration.schema import Configuration
from tremorscope.runtime.errors import Fault
from tremorscope.runtime.host.secrets import client_context, server_context
from tremorscope.runtime.outputs.settings import HttpSettings
from tremorscope.runtime.store.disk import mount_trouble
from tremorscope.runtime.vibration.limit_settings import CurveAlarmSettings, StandardAlarmSettings
from tremorscope.runtime.vibration.monitoring.limits import coverage

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
    """Conditions that do not hold at present and may come to (an address, a port, a disk), and limits judged in part.

    Args:
        configuration: what is wanted.
        directory: where everything is kept.
    """
    if configuration.outputs.http.enabled:
        yield from _address(configuration.outputs.http)
    yield from _judged_in_part(configuration)
    there = next(each for each in (directory, *directory.absolute().parents) if os.path.exists(each))
    path = ("store", "directory")
    if not os.access(there, os.W_OK | os.X_OK):
        yield path, f"{there} cannot be written by this user", "let the service's user write there"
    kept, required = directory.absolute(), configuration.store.require_mount
    if trouble := mount_trouble(kept, required):
        yield ("store", "require_mount"), trouble, "mount it: until then nothing is stored"
    elif isinstance(required, Path) and not kept.is_relative_to(required):
        yield (
            ("store", "require_mount"),
            f"{kept} does not lie on the disk at {required}",
            "name its mount point",
        )
    elif (
        required is False
        and any(kept.is_relative_to(each) for each in _FOR_DISKS)
        and (trouble := mount_trouble(kept, True))
    ):
        yield path, trouble, "mount it first, and set store.require_mount: true"


def _judged_in_part(configuration: Configuration) -> Iterator[Contradiction]:
    rate_hz = rate_of(configuration)
    for at, alarm in enumerate(configuration.vibration.alarms):
        if rate_hz is not None and isinstance(alarm, (CurveAlarmSettings, StandardAlarmSettings)):
            partly = coverage(alarm.criterion(), rate_hz).partly
            if partly:
                what = f"is {partly} at {rate_hz:g} frames a second"
                yield ("vibration", "alarms", at), what, "film faster to judge all of it"


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
            what = f"{http.host} cannot be listened at now ({reason_of(error)})"
            yield ("outputs", "http", "host"), what, "name an address of this device, or wait until it has it"


def _without_key(what: str) -> str:
    """A fault's text without the key that it begins with: the line has it already."""
    return what.partition(": ")[2]
