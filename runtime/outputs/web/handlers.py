"""Routes of the HTTP server with their handlers and required access levels; docs/outputs.md lists them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tremorscope.runtime.frames.frame import View
from tremorscope.runtime.outputs import metrics
from tremorscope.runtime.outputs.settings import HttpSettings
from tremorscope.runtime.outputs.state import Controls, LivenessVerdict, ServiceView, judge, judge_readiness
from tremorscope.runtime.outputs.web import answers
from tremorscope.runtime.outputs.web.access import COOKIE, AccessLevel
from tremorscope.runtime.outputs.web.archive import Archive, ClipResponse, send_parts
from tremorscope.runtime.outputs.web.limits import HttpLimits
from tremorscope.runtime.outputs.web.pictures import BOUNDARY, LivePictures
from tremorscope.runtime.outputs.web.questions import (
    AcknowledgeRequest,
    AdjustRequest,
    RecordRequest,
    body_of,
    number_of,
    page_of,
    view_of,
)
from tremorscope.runtime.reports.scale_grid import scale_svg
from tremorscope.runtime.store.sqlite_file import StoreFault

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_FRESH_S = 0.25
"""Time for which an answer with state or metrics serves all requests."""
LEVEL = web.RequestKey("level", AccessLevel)
"""Rights of the request; set before a handler is called."""
_NO_PICTURE_S = 3.0
_DAY_S = 86_400.0


@dataclass(frozen=True)
class Route:
    """One address."""

    method: str
    path: str
    level: AccessLevel
    handler: Handler
    for_players: bool = False
    """True lets players show their token in the address or as a password, if so configured."""


class Handlers:
    """Handlers of requests, which read the service's board, feed and store."""

    def __init__(
        self,
        settings: HttpSettings,
        service: ServiceView,
        *,
        pictures: LivePictures,
        archive: Archive,
        limits: HttpLimits,
        counts: Callable[[], metrics.Counts],
    ) -> None:
        self._board, self._feed, self._controls = service.board, service.feed, service.controls
        self._planes = service.planes
        self._adjustable, self._most_viewers = settings.adjustable, settings.most_viewers
        self._pictures, self._archive = pictures, archive
        self._limits, self._counts = limits, counts
        self._state: tuple[float, dict[str, Any]] = (-_FRESH_S, {})
        self._metrics: tuple[float, bytes] = (-_FRESH_S, b"")
        self._downloads = 0

    def probes(self) -> list[Route]:
        """Routes of a supervisor, which need no token."""
        return [
            Route("GET", "/healthz", AccessLevel.NONE, self.healthz),
            Route("GET", "/readyz", AccessLevel.NONE, self.readyz),
        ]

    def scraped(self, level: AccessLevel) -> list[Route]:
        """Route of Prometheus."""
        return [Route("GET", "/metrics", level, self.metrics)]

    def of_page(self) -> list[Route]:
        """Routes of the page."""
        return [
            Route("GET", "/api/state", AccessLevel.VIEW, self.state),
            Route("GET", "/api/live", AccessLevel.VIEW, self.live),
            Route("GET", "/api/frequencies", AccessLevel.VIEW, self.frequencies),
            Route("GET", "/api/modes", AccessLevel.VIEW, self.modes),
            Route("GET", "/api/scale.svg", AccessLevel.VIEW, self.scale),
            Route("GET", "/api/history", AccessLevel.VIEW, self.history),
            Route("GET", "/api/overview", AccessLevel.VIEW, self.overview),
            Route("GET", "/api/series.csv", AccessLevel.VIEW, self.series),
            Route("GET", "/live.mjpeg", AccessLevel.VIEW, self.stream, for_players=True),
            Route("GET", "/live.jpg", AccessLevel.VIEW, self.still, for_players=True),
            Route("GET", "/clips/{file}", AccessLevel.VIEW, self.clip, for_players=True),
            Route("POST", "/api/acknowledge", AccessLevel.CONTROL, self.acknowledge),
            Route("POST", "/api/adjust", AccessLevel.CONTROL, self.adjust),
            Route("POST", "/api/record", AccessLevel.CONTROL, self.record),
        ]

    async def healthz(self, _: web.Request) -> web.Response:
        """Status 200 while frames are processed, else 503 with the reason."""
        return _verdict(judge(self._board.snapshot()))

    async def readyz(self, _: web.Request) -> web.Response:
        """Status 200 while frames are processed and the service is not stopping, else 503."""
        return _verdict(judge_readiness(self._board.snapshot()))

    async def metrics(self, _: web.Request) -> web.Response:
        """All metrics in Prometheus' text format."""
        now_s = time.monotonic()
        if now_s - self._metrics[0] >= _FRESH_S:
            self._metrics = (now_s, metrics.render(self._board.snapshot, self._counts))
        return web.Response(body=self._metrics[1], headers={"Content-Type": metrics.CONTENT_TYPE})

    async def state(self, request: web.Request) -> web.Response:
        """State of the service, and the rights of the request."""
        now_s = time.monotonic()
        if now_s - self._state[0] >= _FRESH_S:
            self._state = (now_s, answers.state(self._board.snapshot()))
        may_control = request[LEVEL] >= AccessLevel.CONTROL and self._controls is not None
        rights = {
            "may_control": may_control,
            "may_adjust": may_control and self._adjustable,
            "logged_in": COOKIE in request.cookies,
        }
        return answers.json_answer(self._state[1] | rights)

    async def live(self, request: web.Request) -> web.Response:
        """Displacement of a region since a time, and its spectrum if there is a new one."""
        query, region = request.query, request.query.get("region", "")
        after_s, spectrum_after_s = number_of(query, "after"), number_of(query, "spectrum_after")
        return answers.json_answer(
            answers.live(self._feed, region=region, after_s=after_s, spectrum_after_s=spectrum_after_s)
        )

    async def frequencies(self, request: web.Request) -> web.Response:
        """Natural frequencies since a time."""
        return answers.json_answer(
            answers.frequencies(self._feed.frequency_history(number_of(request.query, "after")))
        )

    async def modes(self, _: web.Request) -> web.Response:
        """The latest modes with their shapes, and the data by which the page moves its photograph."""
        answer = self._archive.modes(self._board.snapshot())
        return answers.json_answer(await asyncio.wait_for(answer, self._limits.answer_s))

    async def scale(self, _: web.Request) -> web.Response:
        """Axes and grid of the calibrated planes, to lie over the live picture."""
        planes = await asyncio.wait_for(self._archive.apart(self._planes), self._limits.answer_s)
        camera = self._board.snapshot().camera
        picture = scale_svg(planes, camera.width_px or 16, camera.height_px or 9)
        return web.Response(text=picture, content_type="image/svg+xml")

    async def history(self, request: web.Request) -> web.Response:
        """The latest alarms, events and notices; or, with ``kind``, a page of one kind ``before`` a cursor."""
        asked = page_of(request.query)
        answer = self._archive.page(*asked) if asked else self._archive.history()
        return answers.json_answer(await asyncio.wait_for(answer, self._limits.answer_s))

    async def overview(self, request: web.Request) -> web.Response:
        """A region over days or months, ``from`` a Unix time ``to`` another; the latest 30 days by default."""
        to_s = number_of(request.query, "to") or time.time()
        from_s = number_of(request.query, "from") or to_s - 30 * _DAY_S
        if not from_s < to_s:
            raise web.HTTPBadRequest(text="from must be before to\n")
        answer = self._archive.overview(request.query.get("region", ""), from_s, to_s)
        return answers.json_answer(await asyncio.wait_for(answer, self._limits.answer_s))

    async def series(self, request: web.Request) -> web.StreamResponse:
        """Stored displacements as CSV, ``from`` a Unix time ``to`` another; the latest day by default."""
        to_s = number_of(request.query, "to") or time.time()
        from_s = number_of(request.query, "from") or to_s - _DAY_S
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
            await asyncio.wait_for(send_parts(response, request, first, parts), self._limits.stream_s)
        return response

    async def clip(self, request: web.Request) -> web.StreamResponse:
        """A clip to play, in ranges if requested, or with ``?download`` to save."""
        file = request.match_info["file"]
        path = await asyncio.wait_for(self._archive.clip(file), self._limits.answer_s)
        if path is None:
            raise web.HTTPNotFound(text="there is no such clip\n")
        if self._downloads >= self._limits.downloads:
            raise web.HTTPServiceUnavailable(text="too many clips are being sent: try again in a while\n")
        headers = {"Content-Type": "video/mp4"}
        if "download" in request.query:
            headers["Content-Disposition"] = f'attachment; filename="{file}"'
        return ClipResponse(path, headers=headers, sending=self._sending, longest_s=self._limits.stream_s)

    async def still(self, request: web.Request) -> web.Response:
        """The next live picture."""
        view = view_of(request)
        with self._watching(view):
            picture = await self._pictures.following(view, -1, _NO_PICTURE_S)
        if picture is None:
            raise web.HTTPServiceUnavailable(text="no picture: no frames come at present\n")
        return web.Response(body=picture.jpeg, content_type="image/jpeg")

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """The live picture as multipart/x-mixed-replace, until the client disconnects."""
        view = view_of(request)
        kind = f"multipart/x-mixed-replace; boundary={BOUNDARY.decode()}"
        if request.method == "HEAD":
            return web.Response(headers={"Content-Type": kind})
        with self._watching(view):
            response = web.StreamResponse()
            response.content_type = kind
            response.force_close()
            await response.prepare(request)
            await response.write(b"--%b\r\n" % BOUNDARY)
            sequence = -1
            while request.transport is not None and not request.transport.is_closing():
                picture = await self._pictures.following(view, sequence, 1.0)
                if picture is not None:
                    sequence = picture.sequence
                    await response.write(picture.as_part())
        return response

    async def acknowledge(self, request: web.Request) -> web.Response:
        """Acknowledge an alarm."""
        asked, controls = await body_of(request, AcknowledgeRequest), self._need_controls()
        return answers.json_answer({"done": controls.acknowledge(asked.alarm, asked.by)})

    async def adjust(self, request: web.Request) -> web.Response:
        """Change the amplification or the bands."""
        asked, controls = await body_of(request, AdjustRequest), self._need_controls()
        if not self._adjustable:
            raise web.HTTPForbidden(text="outputs.http.adjustable is off\n")
        bands_hz = None if asked.bands_hz is None else tuple(asked.bands_hz)
        controls.adjust(amplification=asked.amplification, bands_hz=bands_hz)
        return answers.json_answer({"done": True})

    async def record(self, request: web.Request) -> web.Response:
        """Record a clip around the present."""
        asked, controls = await body_of(request, RecordRequest), self._need_controls()
        return answers.json_answer({"event": controls.record_event(asked.reason)})

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


def _verdict(verdict: LivenessVerdict) -> web.Response:
    return web.Response(status=200 if verdict.ok else 503, text=f"{verdict.text}\n")
