"""Redaction of a report: known secrets are replaced everywhere."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from tremorscope.runtime.cameras.credentials import read_credential
from tremorscope.runtime.cameras.settings import RtspCameraSettings
from tremorscope.runtime.configuration.schema import Configuration
from tremorscope.runtime.errors import Fault
from tremorscope.runtime.host.secrets import Secret, read_secret

HIDDEN = "[left out]"
_SHORTEST = 4
"""Length below which a secret is not redacted: it would match ordinary words, and protects nothing."""
_IN_ADDRESS = re.compile(r"(?<=://)[^/\s@\"']+:[^/\s@\"']*(?=@)")
"""User and password in an address."""


def known_secrets(
    configurations: Iterable[Configuration], environment: Mapping[str, str] = os.environ
) -> frozenset[str]:
    """Every password and token that this process could read."""
    found: set[str] = set()
    for name in get_args(Secret):
        with contextlib.suppress(Fault):
            found.add(read_secret(name, environment) or "")
    for configuration in configurations:
        camera = configuration.camera
        if isinstance(camera, RtspCameraSettings) and camera.credential is not None:
            with contextlib.suppress(Fault):
                found.add(read_credential(camera.credential, environment))
    directory = environment.get("CREDENTIALS_DIRECTORY")
    for path in sorted(Path(directory).glob("*")) if directory else ():
        with contextlib.suppress(OSError, UnicodeDecodeError):
            found.add(path.read_text(encoding="utf-8").strip())
    return frozenset(each for each in found if len(each) >= _SHORTEST)


def redacted(plain: Any, secrets: frozenset[str]) -> Any:
    """Replace the secrets in values of JSON, in names as in texts."""
    if isinstance(plain, str):
        for secret in sorted(secrets, key=len, reverse=True):
            plain = plain.replace(secret, HIDDEN)
        return _IN_ADDRESS.sub(HIDDEN, plain)
    if isinstance(plain, Mapping):
        return {redacted(name, secrets): redacted(value, secrets) for name, value in plain.items()}
    if isinstance(plain, (list, tuple)):
        return [redacted(each, secrets) for each in plain]
    return plain
