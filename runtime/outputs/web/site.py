"""Static files of the page, kept in memory: a request never names a file of the disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from aiohttp import web

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: under that a browser also conceals the origin of this page's forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
"""Sent with every answer: nothing is loaded from elsewhere, and no other page may frame or read this one."""


@dataclass(frozen=True)
class SiteFile:
    """One file of the page."""

    body: bytes
    content_type: str
    tag: str

    def answer(self, request: web.Request) -> web.Response:
        """Response with the file, or with status 304 if the client has this version."""
        headers = {"ETag": self.tag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == self.tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=self.body, headers=headers | {"Content-Type": self.content_type})


def load_site() -> dict[str, SiteFile]:
    """All files of the page by name."""
    found = {}
    for entry in files("tremorscope.runtime.outputs.web").joinpath("page").iterdir():
        suffix = "." + entry.name.rpartition(".")[2]
        if suffix in _TYPES:
            body = entry.read_bytes()
            tag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
            found[entry.name] = SiteFile(body, _TYPES[suffix], tag)
    return found
