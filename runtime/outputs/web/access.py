"""Authentication and authorisation of requests.

Two tokens: one to view, one to control as well. If there is a token every client needs one, also on the device
itself, because a reverse proxy connects from there. If there is none only programs on the device can connect
(``check_exposure``), and only under names of the device, so that a foreign page in a browser there cannot reach it
under another name (DNS rebinding).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from urllib.parse import urlsplit

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.host.secrets import Secret, read_secret, variable_of
from tremorscope.runtime.outputs.settings import HttpSettings

COOKIE = "tremorscope"
SHORTEST_TOKEN = 16
SESSION_S = 30 * 86_400.0
_STATE_CHANGING = ("POST", "PUT", "PATCH", "DELETE")


class AccessLevel(IntEnum):
    """Rights of a client."""

    NONE = 0
    VIEW = 1
    CONTROL = 2


@dataclass(frozen=True)
class Tokens:
    """The configured tokens; None grants no client that level."""

    view: str | None = None
    control: str | None = None

    def __repr__(self) -> str:
        return "Tokens(...)"

    @property
    def any(self) -> bool:
        """True if there is at least one token."""
        return self.view is not None or self.control is not None

    def level_of(self, token: str) -> AccessLevel:
        """Rights of a token's holder, in the same time for every token."""
        given = hashlib.sha256(token.encode()).digest()
        level = AccessLevel.NONE
        for known, grants in ((self.view, AccessLevel.VIEW), (self.control, AccessLevel.CONTROL)):
            expected = hashlib.sha256((known or "").encode()).digest()
            if hmac.compare_digest(given, expected) and known:
                level = max(level, grants)
        return level


def read_tokens(environment: Mapping[str, str] | None = None) -> Tokens:
    """The tokens from credentials or environment.

    Raises:
        OptionFault: one is too short to be a secret.
    """
    found: dict[Secret, str | None] = {"web-token": None, "control-token": None}
    for name in found:
        token = read_secret(name) if environment is None else read_secret(name, environment)
        if token is not None and len(token) < SHORTEST_TOKEN:
            raise OptionFault(
                f"{variable_of(name)}: {len(token)} characters are too short for a secret",
                remedy=f"give at least {SHORTEST_TOKEN}, e.g. from: openssl rand -hex 24",
            )
        found[name] = token
    return Tokens(view=found["web-token"], control=found["control-token"])


def check_exposure(settings: HttpSettings, tokens: Tokens) -> None:
    """Refuse to serve the network without a token.

    Raises:
        OptionFault: the host can be reached over the network, and there is no token.
    """
    if not settings.is_local and not tokens.any:
        raise OptionFault(
            f"outputs.http.host: {settings.host} can be reached over the network, and there is no token",
            remedy=f"set {variable_of('web-token')} or the credential web-token, or listen at 127.0.0.1",
        )


class Access:
    """Rights of requests, by token, session cookie and origin."""

    def __init__(
        self, settings: HttpSettings, tokens: Tokens, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings, self._tokens, self._clock = settings, tokens, clock
        self._names = {settings.host.lower(), "localhost", *(name.lower() for name in settings.allowed_hosts)}

    @property
    def base_path(self) -> str:
        """First levels of every address, as a proxy passes them on; empty if there are none."""
        return self._settings.base_path

    @property
    def takes_basic(self) -> bool:
        """True if players may show the token as a password."""
        return self._settings.players_need_no_header

    @property
    def needs_token(self) -> bool:
        """True if every client has to show a token."""
        return self._tokens.any

    def level_of(self, *, authorization: str | None, cookie: str | None) -> AccessLevel:
        """Rights by a request's headers."""
        if not self._tokens.any:
            return AccessLevel.CONTROL
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            return self._tokens.level_of(token.strip()) if scheme.lower() == "bearer" else AccessLevel.NONE
        return self._level_of_session(cookie) if cookie else AccessLevel.NONE

    def level_of_token(self, token: str) -> AccessLevel:
        """Rights of a token's holder."""
        return self._tokens.level_of(token)

    def level_of_player(self, *, authorization: str | None, token: str | None) -> AccessLevel:
        """Rights of a player that shows the token in its address, or as a password: to view, or none."""
        if not self._settings.players_need_no_header:
            return AccessLevel.NONE
        scheme, _, encoded = (authorization or "").partition(" ")
        if token is None and scheme.lower() == "basic":
            try:
                token = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[2]
            except ValueError:  # not base64, or no text
                return AccessLevel.NONE
        return min(AccessLevel.VIEW, self._tokens.level_of(token or ""))

    def open_session(self, level: AccessLevel) -> str:
        """Signed cookie value that grants a level for ``SESSION_S``; a change of the token ends it."""
        text = f"{int(level)}.{int(self._clock() + SESSION_S)}"
        return f"{text}.{self._sign(text, level)}"

    def refuses(self, method: str, headers: Mapping[str, str]) -> str:
        """Reason to refuse a request with any rights; empty if there is none.

        Refused are requests under a name that is not the device's, and changes requested by another site's page.
        """
        host = headers.get("Host", "")
        if not self._tokens.any and not self._is_ours(host):
            return f"this page is not known as {host[:80]!r}: name it in outputs.http.allowed_hosts"
        if method in _STATE_CHANGING:
            origin = headers.get("Origin")
            # "null", as of a sandboxed page, is a foreign origin as well.
            if origin is not None and origin.lower().partition("://")[2] != host.lower():
                return "requests that change something must come from this page"
            if headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
                return "requests that change something must come from this page"
        return ""

    def _is_ours(self, host: str) -> bool:
        name = _host_name(f"//{host}")
        if name in self._names:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False

    def _level_of_session(self, value: str) -> AccessLevel:
        text, _, signature = value.rpartition(".")
        number, _, until = text.partition(".")
        if number not in ("1", "2") or not until.isdecimal() or len(until) > 12:
            return AccessLevel.NONE
        level = AccessLevel(int(number))
        expected = self._sign(text, level)
        if expected is None or not hmac.compare_digest(signature.encode(), expected.encode()):
            return AccessLevel.NONE
        return level if self._clock() < int(until) else AccessLevel.NONE

    def _sign(self, text: str, level: AccessLevel) -> str | None:
        token = self._tokens.control if level is AccessLevel.CONTROL else self._tokens.view
        if not token:
            return None  # a level without a token cannot be granted
        key = hashlib.sha256(b"tremorscope session " + token.encode()).digest()
        digest = hmac.new(key, text.encode(), "sha256").digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _host_name(url: str) -> str:
    try:
        parts = urlsplit(url)
        return "" if parts.path or parts.username is not None else (parts.hostname or "")
    except ValueError:
        return ""
