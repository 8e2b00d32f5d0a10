"""Passwords of cameras, by name: from systemd's credentials or the environment, never from a configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tremorscope.runtime.errors import OptionFault

_MOST_BYTES = 4096


def read_credential(name: str, environment: Mapping[str, str] = os.environ) -> str:
    """The password called ``name``: the file of that name in $CREDENTIALS_DIRECTORY, else the variable.

    Raises:
        OptionFault: there is neither, or it is empty or unreadable. The message never holds the password.
    """
    directory = environment.get("CREDENTIALS_DIRECTORY")
    path = Path(directory) / name if directory else None
    if path is not None and path.is_file():
        try:
            secret = path.read_bytes()[: _MOST_BYTES + 1].decode()
        except (OSError, UnicodeDecodeError) as error:
            raise OptionFault(
                f"credential {name}: {path} cannot be read ({type(error).__name__})",
                remedy="write the password into it as one line of text that the service may read",
            ) from None
    else:
        secret = environment.get(name, "")
    secret = secret.rstrip("\r\n")
    if not secret or len(secret) > _MOST_BYTES or "\n" in secret:
        raise OptionFault(
            f"credential {name}: there is no such password, or it is not one line",
            remedy=f"hand it to the service with systemd's LoadCredential={name}:FILE, "
            f"or set the variable {name} in its environment",
        )
    return secret
