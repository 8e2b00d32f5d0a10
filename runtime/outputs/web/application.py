"""The web application: routes, access, limits, headers, and the page's static files, kept in memory: a request never
names a file of the disk.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from typing import NoReturn

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Middleware

from tremorscope.runtime.errors import Fault
from tremorscope.runtime.outputs.web.access import COOKIE, SESSION_S, Access, AccessLevel
from tremorscope.runtime.outputs.web.handlers import LEVEL, Handler, Route
from tremorscope.runtime.outputs.web.limits import CpuBudget, HttpLimits, TokenBucket
from tremorscope.runtime.outputs.web.listener import answering
from tremorscope.runtime.reports.moving import SCRIPT

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
    """All files of the page by name, and the script that it shares with reports."""
    found = {}
    for entry in (*files("tremorscope.runtime.outputs.web").joinpath("page").iterdir(), SCRIPT):
        suffix = "." + entry.name.rpartition(".")[2]
        if suffix in _TYPES:
            body = entry.read_bytes()
            tag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
            found[entry.name] = SiteFile(body, _TYPES[suffix], tag)
    return found


_PROBES = ("/healthz", "/readyz")
"""Answered also when the processor's share is used up: a supervisor must not be misled."""
_WRONG_TOKEN_S = 1.0
"""Delay of the answer to a wrong token."""


class Application:
    """The application of aiohttp, with its counts."""

    def __init__(
        self, access: Access, routes: list[Route], limits: HttpLimits, *, has_page: bool, is_encrypted: bool
    ) -> None:
        self._access, self._is_encrypted = access, is_encrypted
        self._bucket = TokenBucket(limits.requests_hz, burst=limits.requests_hz / 2)
        self.budget: CpuBudget | None = None
        """Made in the event loop's thread before anything is answered."""
        self.responses: Counter[str] = Counter()
        """Answers by class of their status, e.g. 2xx."""
        self.app = web.Application(middlewares=[self._middleware()], client_max_size=limits.body_bytes)
        self.app.on_response_prepare.append(_secure)
        for route in routes:
            self._add(route)
        self._site = load_site() if has_page else {}
        if has_page:
            self._add_page()

    def _add_page(self) -> None:
        for method, path, handler in (
            ("GET", "/", self._index),
            ("GET", "/page/{name}", self._file),
            ("GET", "/login", self._login_page),
            ("POST", "/login", self._login),
            ("POST", "/logout", self._logout),
        ):
            self._add(Route(method, path, AccessLevel.NONE, handler))
        if base := self._access.base_path:
            self._add(Route("GET", "", AccessLevel.NONE, self._to_index), bases=(base,))

    def _add(self, route: Route, bases: tuple[str, ...] | None = None) -> None:
        """Register an address, alone and behind the base path; HEAD wherever GET is answered."""
        handler = self._for(route)
        for base in bases or {"", self._access.base_path}:
            for method in (route.method, "HEAD") if route.method == "GET" else (route.method,):
                self.app.router.add_route(method, base + route.path, handler)

    def _for(self, route: Route) -> Handler:
        async def allowed(request: web.Request) -> web.StreamResponse:
            level, shown = request[LEVEL], "Authorization" in request.headers
            if route.for_players and level is AccessLevel.NONE:
                token = request.query.get("token")
                authorization = request.headers.get("Authorization")
                level = self._access.level_of_player(authorization=authorization, token=token)
                shown = shown or token is not None
            if level >= route.level:
                return await route.handler(request)
            if level > AccessLevel.NONE:
                raise web.HTTPForbidden(text="this token may view, not control: use the control token\n")
            if shown:
                await asyncio.sleep(_WRONG_TOKEN_S)
            basic = 'Basic realm="tremorscope", ' if route.for_players and self._access.takes_basic else ""
            raise web.HTTPUnauthorized(
                text="a token is needed\n", headers={"WWW-Authenticate": f"{basic}Bearer"}
            )

        return allowed

    def _middleware(self) -> Middleware:
        @web.middleware
        async def judge(request: web.Request, handler: Handler) -> web.StreamResponse:
            with answering(request):
                try:
                    response = await self._answer(request, handler)
                except web.HTTPException as error:
                    self.responses[f"{error.status // 100}xx"] += 1
                    raise
                except ConnectionError:  # the client disconnected while it was answered
                    raise web.HTTPBadRequest from None
                self.responses[f"{response.status // 100}xx"] += 1
                return response

        return judge

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        await self._bucket.take()
        path = request.path.removeprefix(self._access.base_path)
        if path not in _PROBES:
            assert self.budget is not None
            await self.budget.take()
        if not all(_is_text(value) for value in request.headers.values()):
            raise web.HTTPBadRequest(text="a header is no text\n")
        reason = self._access.refuses(request.method, request.headers)
        if reason and path not in _PROBES:
            raise web.HTTPForbidden(text=f"{reason}\n")
        request[LEVEL] = self._access.level_of(
            authorization=request.headers.get("Authorization"), cookie=request.cookies.get(COOKIE)
        )
        try:
            return await handler(request)
        except Fault as fault:
            raise web.HTTPConflict(text=f"{fault}\n") from None
        except asyncio.TimeoutError:
            raise web.HTTPRequestTimeout(text="that took too long\n") from None
        except (web.RequestPayloadError, HttpProcessingError):
            raise web.HTTPBadRequest(text="the body cannot be read\n") from None

    async def _index(self, request: web.Request) -> web.StreamResponse:
        token = request.query.get("token")
        if token is not None:
            await self._enter(token)
        if request[LEVEL] is AccessLevel.NONE:
            raise web.HTTPSeeOther("login")  # redirects are relative: a proxy may put levels before them
        return self._site["index.html"].answer(request)

    async def _to_index(self, _: web.Request) -> web.StreamResponse:
        raise web.HTTPSeeOther(f"{self._access.base_path}/")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        file = self._site.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound(text="there is no such file\n")
        return file.answer(request)

    async def _login_page(self, request: web.Request) -> web.StreamResponse:
        return self._site["login.html"].answer(request)

    async def _login(self, request: web.Request) -> web.StreamResponse:
        try:
            form = await asyncio.wait_for(request.post(), 5.0)
        except (ValueError, LookupError, AssertionError, RuntimeError, HttpProcessingError, zlib.error):
            # aiohttp raises all of them for bad parts.
            raise web.HTTPBadRequest(text="the form cannot be read\n") from None
        await self._enter(str(form.get("token", "")).strip())

    async def _enter(self, token: str) -> NoReturn:
        level = self._access.level_of_token(token)
        if level is AccessLevel.NONE and self._access.needs_token:
            await asyncio.sleep(_WRONG_TOKEN_S)
            raise web.HTTPSeeOther("login?wrong")
        response = web.HTTPSeeOther(".")
        if level is not AccessLevel.NONE:
            response.set_cookie(
                COOKIE,
                self._access.open_session(level),
                max_age=int(SESSION_S),
                httponly=True,
                samesite="Lax",
                secure=self._is_encrypted,
                path=self._access.base_path or "/",
            )
        raise response

    async def _logout(self, _: web.Request) -> web.StreamResponse:
        response = web.HTTPSeeOther("login")
        response.del_cookie(COOKIE, path=self._access.base_path or "/")
        raise response


def _is_text(value: str) -> bool:
    """True if a header was UTF-8: aiohttp keeps other bytes as lone surrogates, which cannot be encoded."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


async def _secure(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SECURITY_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Server"] = "tremorscope"
    if request.protocol.transport is None:
        response.force_close()
