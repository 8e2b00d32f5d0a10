"""Passwords and tokens, from systemd's credentials or from the environment, never from a configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

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
            return _checked(path.read_bytes()[: _LONGEST + 1], str(path))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise OutputFault(
                f"credential {path}: cannot be read ({error.strerror or error})",
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
