"""Requests of those who edit regions on the live picture: the quality of one, and the change of all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np
from aiohttp import web
from numpy.typing import NDArray
from pydantic import Field

from tremorscope.runtime.errors import CameraFault
from tremorscope.runtime.host.threads import step_back
from tremorscope.runtime.live.feed import LiveFeed
from tremorscope.runtime.outputs.settings import HttpSettings
from tremorscope.runtime.outputs.state import Controls, ServiceView
from tremorscope.runtime.outputs.web import answers
from tremorscope.runtime.outputs.web.access import AccessLevel
from tremorscope.runtime.outputs.web.handlers import Route
from tremorscope.runtime.outputs.web.limits import HttpLimits
from tremorscope.runtime.outputs.web.questions import RequestBody, body_of
from tremorscope.runtime.vibration.displacement.proposal import ExpectedQuality, expected_quality
from tremorscope.runtime.vibration.displacement.regions import Region, RegionEdit
from tremorscope.runtime.vibration.displacement.windows import estimate_noise_sigma, luma
from tremorscope.runtime.vibration.region_settings import RectangleSettings

_FRESH_S = 2.0
"""Time for which one reference serves all requests."""
_APART = 3
"""Frames between the reference and the frame that is compared with it: video repeats its noise from one to the next."""
_NO_PICTURE_S = 3.0
_MOST_WAITING = 4
"""Requests that may wait for a thread's time."""
_Found = TypeVar("_Found")


class _RegionRequest(RectangleSettings):
    name: str = Field(min_length=1, max_length=64)
    was: str | None = Field(default=None, max_length=64)


class _RegionsRequest(RequestBody):
    regions: list[_RegionRequest] = Field(max_length=64)
    before: list[str] = Field(max_length=64)
    by: str = Field(default="web page", min_length=1, max_length=80)


class _Judge:
    """Judges regions by the newest frames, for one thread at a time."""

    def __init__(self, feed: LiveFeed) -> None:
        self._feed = feed
        self._reference: NDArray[np.float32] | None = None
        self._sigma, self._sequence, self._taken_s = 0.0, -1, -_FRESH_S

    def quality(self, region: Region) -> ExpectedQuality:
        """Expected quality of a region.

        Raises:
            CameraFault: no frames come.
        """
        with self._feed.watch():
            if time.monotonic() - self._taken_s > _FRESH_S:
                self._take_reference()
            later = self._feed.latest(self._sequence + _APART, _NO_PICTURE_S)
            if later is None or self._reference is None:
                raise _nothing_comes()
            with later:
                return expected_quality(self._reference, region, later.frame, self._sigma)

    def _take_reference(self) -> None:
        first = self._feed.latest(-1, _NO_PICTURE_S)
        if first is None:
            raise _nothing_comes()
        with first:
            self._sequence, grey = first.info.sequence, luma(first.frame)
        self._sigma, self._reference = estimate_noise_sigma(grey), grey.astype(np.float32)
        self._taken_s = time.monotonic()

    def forget(self) -> None:
        """Free the reference's memory."""
        self._reference, self._taken_s = None, -_FRESH_S


class RegionHandlers:
    """Handlers of these requests; their work is done in a thread of low priority."""

    def __init__(self, settings: HttpSettings, service: ServiceView, limits: HttpLimits) -> None:
        self._controls = service.controls if settings.adjustable else None
        self._judge, self._longest_s = _Judge(service.feed), limits.answer_s
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="web regions", initializer=step_back)
        self._waiting = 0

    def routes(self) -> list[Route]:
        """Routes, for those who may control."""
        return [
            Route("POST", "/api/regions", AccessLevel.CONTROL, self.change),
            Route("POST", "/api/regions/quality", AccessLevel.CONTROL, self.quality),
        ]

    async def quality(self, request: web.Request) -> web.Response:
        """Noise floor that is to be expected in a rectangle, or the reason why nothing can be measured there."""
        asked = await body_of(request, RectangleSettings)
        self._need_controls()
        found = await self._beside(partial(self._judge.quality, asked.region()))
        return answers.json_answer(answers.plain(found))

    async def change(self, request: web.Request) -> web.Response:
        """Measure in these regions from now on, and write them into the configuration file."""
        asked = await body_of(request, _RegionsRequest)
        wanted = [RegionEdit(each.name, each.region(), each.was) for each in asked.regions]
        change = partial(
            self._need_controls().change_regions,
            wanted,
            before=asked.before,
            by=f"{asked.by} from {request.remote}",
        )
        taken = await self._beside(change)
        self._judge.forget()
        return answers.json_answer(answers.plain(taken))

    def close(self) -> None:
        """End the thread, after what it is doing."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _need_controls(self) -> Controls:
        if self._controls is None:
            raise web.HTTPForbidden(text="nothing can be adjusted here: see outputs.http.adjustable\n")
        return self._controls

    async def _beside(self, work: Callable[[], _Found]) -> _Found:
        if self._waiting >= _MOST_WAITING:
            raise web.HTTPServiceUnavailable(text="too many ask at once: try again in a while\n")
        self._waiting += 1
        try:
            running = asyncio.get_running_loop().run_in_executor(self._pool, work)
            return await asyncio.wait_for(running, self._longest_s)
        finally:
            self._waiting -= 1


def _nothing_comes() -> CameraFault:
    return CameraFault("no picture", remedy="no frames come at present: see the camera's state")
