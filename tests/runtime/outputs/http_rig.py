"""Plain HTTP for tests: whole answers, and raw bytes for what no client would send."""

from __future__ import annotations

import http.client
import json
import socket
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    port: int, path: str, *, method: str = "GET", body: bytes | str | None = None, timeout_s: float = 60.0,
    **headers: str,
) -> Answer:  # fmt: skip
    """Ask once; underscores in names of headers stand for hyphens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request(
            method, path, body=body, headers={name.replace("_", "-"): text for name, text in headers.items()}
        )
        response = connection.getresponse()
        return Answer(
            response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        )  # fmt: skip
    finally:
        connection.close()


def post(port: int, path: str, content: object, **headers: str) -> Answer:
    """Send JSON, as the page does."""
    return ask(
        port, path, method="POST", body=json.dumps(content), Content_Type="application/json", **headers
    )


def raw(port: int, *pieces: bytes, timeout_s: float = 5.0) -> bytes:
    """Send bytes as they are; what comes back until it is closed or quiet for a while, after four whiles at most."""
    until_s = time.monotonic() + 4 * timeout_s
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        found = b""
        try:
            for piece in pieces:
                connection.sendall(piece)
            while (part := connection.recv(65536)) and time.monotonic() < until_s:
                found += part
        except OSError:  # cut off, or quiet
            pass
        return found
