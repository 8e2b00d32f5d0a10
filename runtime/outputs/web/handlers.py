"""What is answered under which address. Who may ask is said with each route; docs/outputs.md lists them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tremorscope.runtime.frames.views import VIEWS, View
from tremorscope.runtime.health import HealthBoard
from tremorscope.runtime.live.feed import LiveFeed
from tremorscope.runtime.outputs import metrics
from tremorscope.runtime.outputs.controls import Controls
from tremorscope.runtime.outputs.liveness import Verdict, judge, judge_readiness
from tremorscope.runtime.outputs.web import answers
from tremorscope.runtime.outputs.web.access import COOKIE, Level
from tremorscope.runtime.outputs.web.archive import Archive
from tremorscope.runtime.outputs.web.limits import Limits
from tremorscope.runtime.outputs.web.listener import answering
from tremorscope.runtime.outputs.web.pictures import EncodedPicture, LivePictures
from tremorscope.runtime.store.faults import StoreFault

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_FRESH_S = 0.25
"""The state and the metrics of the service serve everybody who asks within this time."""
_BOUNDARY = b"picture"
LEVEL = web.RequestKey("level", Level)
"""What whoever asks may do; set before a handler is called."""
_BODY_S = 5.0
_NO_PICTURE_S = 3.0
_DAY_S = 86_400.0


@dataclass(frozen=True)
class Route:
    """One address."""

    method: str
    path: str
    level: Level
    handler: Handler
    for_players: bool = False
    """Whether players ask for it, which may show their token otherwise, if so configured."""


class _ClipResponse(web.FileResponse):
    """A file that is sent after the handler has returned, for a bounded time, and counted while it is sent."""

    def __init__(
        self,
        path: Path,
        *,
        headers: Mapping[str, str],
        sending: Callable[[], contextlib.AbstractContextManager[None]],
        longest_s: float,
    ) -> None:
        super().__init__(path, headers=headers)
        self._sending, self._longest_s = sending, longest_s

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        with self._sending(), answering(request):
            return await asyncio.wait_for(super().prepare(request), self._longest_s)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Acknowledge(_Body):
    alarm: str = Field(min_length=1, max_length=200)
    by: str = Field(default="web page", min_length=1, max_length=80)


class _Adjust(_Body):
    amplification: float | None = Field(default=None, ge=1, le=1000, allow_inf_nan=False)
    bands_hz: list[tuple[float, float]] | None = Field(default=None, min_length=1, max_length=2)


class _Record(_Body):
    reason: str = Field(default="by hand", min_length=1, max_length=200)


_Asked = TypeVar("_Asked", bound=_Body)


class Handlers:
    """Answers requests from what board, feed and store say."""

    def __init__(
        self,
        *,
        board: HealthBoard,
        feed: LiveFeed,
        pictures: LivePictures,
        archive: Archive,
        controls: Controls | None,
        adjustable: bool,
        most_viewers: int,
        limits: Limits,
        counts: Callable[[], metrics.Counts],
    ) -> None:
        self._board, self._feed, self._pictures, self._archive = board, feed, pictures, archive
        self._controls, self._adjustable = controls, adjustable
        self._most_viewers, self._limits, self._counts = most_viewers, limits, counts
        self._state: tuple[float, dict[str, Any]] = (-_FRESH_S, {})
        self._metrics: tuple[float, bytes] = (-_FRESH_S, b"")
        self._downloads = 0

    def probes(self) -> list[Route]:
        """What a supervisor asks; it says nothing that is worth a token."""
        return [
            Route("GET", "/healthz", Level.NONE, self.healthz),
            Route("GET", "/readyz", Level.NONE, self.readyz),
        ]

    def scraped(self, level: Level) -> list[Route]:
        """What Prometheus asks."""
        return [Route("GET", "/metrics", level, self.metrics)]

    def of_page(self) -> list[Route]:
        """What the page asks."""
        return [
            Route("GET", "/api/state", Level.VIEW, self.state),
            Route("GET", "/api/live", Level.VIEW, self.live),
            Route("GET", "/api/frequencies", Level.VIEW, self.frequencies),
            Route("GET", "/api/history", Level.VIEW, self.history),
            Route("GET", "/api/series.csv", Level.VIEW, self.series),
            Route("GET", "/live.mjpeg", Level.VIEW, self.stream, for_players=True),
            Route("GET", "/live.jpg", Level.VIEW, self.still, for_players=True),
            Route("GET", "/clips/{file}", Level.VIEW, self.clip, for_players=True),
            Route("POST", "/api/acknowledge", Level.CONTROL, self.acknowledge),
            Route("POST", "/api/adjust", Level.CONTROL, self.adjust),
            Route("POST", "/api/record", Level.CONTROL, self.record),
        ]

    async def healthz(self, _: web.Request) -> web.Response:
        """200 while frames flow, 503 with the reason when they do not."""
        return _verdict(judge(self._board.snapshot()))

    async def readyz(self, _: web.Request) -> web.Response:
        """200 while the service does its work and is to stay."""
        return _verdict(judge_readiness(self._board.snapshot()))

    async def metrics(self, _: web.Request) -> web.Response:
        """Everything for Prometheus."""
        now_s = time.monotonic()
        if now_s - self._metrics[0] >= _FRESH_S:
            self._metrics = (now_s, metrics.render(self._board.snapshot, self._counts))
        return web.Response(body=self._metrics[1], headers={"Content-Type": metrics.CONTENT_TYPE})

    async def state(self, request: web.Request) -> web.Response:
        """How everything stands, and what who asks may do."""
        now_s = time.monotonic()
        if now_s - self._state[0] >= _FRESH_S:
            self._state = (now_s, answers.state(self._board.snapshot()))
        may_control = request[LEVEL] >= Level.CONTROL and self._controls is not None
        rights = {
            "may_control": may_control,
            "may_adjust": may_control and self._adjustable,
            "logged_in": COOKIE in request.cookies,
        }
        return _json(self._state[1] | rights)

    async def live(self, request: web.Request) -> web.Response:
        """Displacement of a region since a time, and its spectrum if there is a new one."""
        query = request.query
        after_s, spectrum_after_s = _number(query, "after"), _number(query, "spectrum_after")
        region = query.get("region", "")
        return _json(
            answers.live(self._feed, region=region, after_s=after_s, spectrum_after_s=spectrum_after_s)
        )

    async def frequencies(self, request: web.Request) -> web.Response:
        """Natural frequencies since a time."""
        return _json(answers.frequencies(self._feed.frequency_history(_number(request.query, "after"))))

    async def history(self, _: web.Request) -> web.Response:
        """Alarms and events."""
        return _json(await asyncio.wait_for(self._archive.history(), self._limits.answer_s))

    async def series(self, request: web.Request) -> web.StreamResponse:
        """What was stored of all displacements, ``from`` a Unix time ``to`` another; the latest day unless told."""
        to_s = _number(request.query, "to") or time.time()
        from_s = _number(request.query, "from") or to_s - _DAY_S
        if self._downloads >= self._limits.downloads:
            raise web.HTTPServiceUnavailable(text="too much is being sent: try again in a while\n")
        if request.method == "HEAD":
            return web.Response(content_type="text/csv", charset="utf-8")
        name = f"series-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(from_s))}.csv"
        response = web.StreamResponse(headers={"Content-Disposition": f'attachment; filename="{name}"'})
        response.content_type, response.charset = "text/csv", "utf-8"
        with self._sending():
            parts = self._archive.series(from_s, to_s)
            try:
                first = await asyncio.wait_for(anext(parts), self._limits.answer_s)
            except StoreFault as fault:
                raise web.HTTPServiceUnavailable(text=f"{fault}\n") from None
            await asyncio.wait_for(_send(response, request, first, parts), self._limits.stream_s)
        return response

    async def clip(self, request: web.Request) -> web.StreamResponse:
        """A clip to play, in parts if so asked, or with ``?download`` to keep."""
        file = request.match_info["file"]
        path = await asyncio.wait_for(self._archive.clip(file), self._limits.answer_s)
        if path is None:
            raise web.HTTPNotFound(text="there is no such clip\n")
        if self._downloads >= self._limits.downloads:
            raise web.HTTPServiceUnavailable(text="too many clips are being sent: try again in a while\n")
        headers = {"Content-Type": "video/mp4"}
        if "download" in request.query:
            headers["Content-Disposition"] = f'attachment; filename="{file}"'
        return _ClipResponse(path, headers=headers, sending=self._sending, longest_s=self._limits.stream_s)

    async def still(self, request: web.Request) -> web.Response:
        """The next live picture."""
        view = _view(request)
        with self._watching(view):
            picture = await self._pictures.following(view, -1, _NO_PICTURE_S)
        if picture is None:
            raise web.HTTPServiceUnavailable(text="no picture: no frames come at present\n")
        return web.Response(body=picture.jpeg, content_type="image/jpeg")

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """The live picture, picture by picture (multipart/x-mixed-replace), for as long as somebody looks."""
        view = _view(request)
        kind = f"multipart/x-mixed-replace; boundary={_BOUNDARY.decode()}"
        if request.method == "HEAD":
            return web.Response(headers={"Content-Type": kind})
        with self._watching(view):
            response = web.StreamResponse()
            response.content_type = kind
            response.force_close()
            await response.prepare(request)
            await response.write(b"--%b\r\n" % _BOUNDARY)
            sequence = -1
            while request.transport is not None and not request.transport.is_closing():
                picture = await self._pictures.following(view, sequence, 1.0)
                if picture is not None:
                    sequence = picture.sequence
                    await response.write(_part(picture))
        return response

    async def acknowledge(self, request: web.Request) -> web.Response:
        """Somebody has seen an alarm."""
        asked, controls = await _body(request, _Acknowledge), self._need_controls()
        return _json({"done": controls.acknowledge(asked.alarm, asked.by)})

    async def adjust(self, request: web.Request) -> web.Response:
        """Other amplification or bands."""
        asked, controls = await _body(request, _Adjust), self._need_controls()
        if not self._adjustable:
            raise web.HTTPForbidden(text="outputs.http.adjustable is off\n")
        bands_hz = None if asked.bands_hz is None else tuple(asked.bands_hz)
        controls.adjust(amplification=asked.amplification, bands_hz=bands_hz)
        return _json({"done": True})

    async def record(self, request: web.Request) -> web.Response:
        """Record what happens now."""
        asked, controls = await _body(request, _Record), self._need_controls()
        return _json({"event": controls.record_event(asked.reason)})

    def _need_controls(self) -> Controls:
        if self._controls is None:
            raise web.HTTPForbidden(text="nothing can be changed here\n")
        return self._controls

    @contextlib.contextmanager
    def _watching(self, view: View) -> Iterator[None]:
        if self._pictures.viewers >= self._most_viewers:
            raise web.HTTPServiceUnavailable(text=f"{self._most_viewers} people watch already\n")
        with self._pictures.watch(view):
            yield

    @contextlib.contextmanager
    def _sending(self) -> Iterator[None]:
        self._downloads += 1
        try:
            yield
        finally:
            self._downloads -= 1


async def _send(
    response: web.StreamResponse, request: web.Request, first: bytes, parts: AsyncIterator[bytes]
) -> None:
    await response.prepare(request)
    await response.write(first)
    async for part in parts:
        await response.write(part)
    await response.write_eof()


def _part(picture: EncodedPicture) -> bytes:
    # The boundary comes at once behind a picture: browsers show it when they have seen that it is whole.
    head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\nX-Timestamp: %.3f\r\n\r\n"
    return head % (len(picture.jpeg), picture.time_s) + picture.jpeg + b"\r\n--%b\r\n" % _BOUNDARY


def _verdict(verdict: Verdict) -> web.Response:
    return web.Response(status=200 if verdict.ok else 503, text=f"{verdict.text}\n")


def _json(answer: object) -> web.Response:
    return web.Response(body=answers.encode(answer), content_type="application/json")


def _number(query: Mapping[str, str], name: str) -> float:
    try:
        number = float(query.get(name, "0"))
    except ValueError:
        number = float("nan")
    if not -1e12 < number < 1e12:
        raise web.HTTPBadRequest(text=f"{name} is no number\n")
    return number


def _view(request: web.Request) -> View:
    view = request.query.get("view", "magnified")
    if view not in VIEWS:
        raise web.HTTPBadRequest(text=f"view is one of {', '.join(VIEWS)}\n")
    return view


async def _body(request: web.Request, kind: type[_Asked]) -> _Asked:
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="send application/json\n")
    text = await asyncio.wait_for(request.read(), _BODY_S)
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise web.HTTPBadRequest(text=f"{where or 'body'}: {first['msg']}\n") from None
