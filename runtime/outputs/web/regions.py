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

_FRESH_S = 20.0
"""Time for which the same frames serve all requests."""
_FRAMES, _APART_S = 6, 0.125
"""Frames to judge by, and the least time between two of them, as where a measurement begins."""
_NO_PICTURE_S = 2.5
_MOST_WAITING = 4
"""Requests that may wait for a thread's time."""
_Found = TypeVar("_Found")


class _RegionRequest(RectangleSettings):
    name: str = Field(min_length=1, max_length=64)
    was: str | None = Field(default=None, max_length=64)
    still: bool = False


class _RegionsRequest(RequestBody):
    regions: list[_RegionRequest] = Field(max_length=64)
    before: list[str] = Field(max_length=64)
    by: str = Field(default="web page", min_length=1, max_length=80)


class _Judge:
    """Judges regions by the latest frames, for one thread at a time."""

    def __init__(self, feed: LiveFeed, bit_depth: int) -> None:
        self._feed, self._bit_depth = feed, bit_depth
        self._frames: list[NDArray[np.float16]] = []
        self._sigma, self._taken_s = 0.0, -_FRESH_S

    def quality(self, region: Region) -> ExpectedQuality:
        """Expected quality of a region.

        Raises:
            CameraFault: no frames come.
        """
        if time.monotonic() - self._taken_s > _FRESH_S:
            self._take()
        return expected_quality(self._frames, region, self._sigma)

    def _take(self) -> None:
        self._frames, sequence, due_s = [], -1, 0.0
        with self._feed.watch():
            while len(self._frames) < _FRAMES:
                lent = self._feed.latest(sequence, _NO_PICTURE_S)
                if lent is None:
                    raise CameraFault(
                        "no picture", remedy="no frames come at present: see the camera's state"
                    )
                with lent:
                    sequence = lent.info.sequence
                    if lent.info.time_s < due_s:
                        continue
                    due_s, grey = lent.info.time_s + _APART_S, luma(lent.frame)
                if not self._frames:
                    self._sigma = estimate_noise_sigma(grey, self._bit_depth)
                # An eighth of a grey level is far below the noise, and takes a quarter of the memory.
                self._frames.append(grey.astype(np.float16))
        self._taken_s = time.monotonic()

    def forget(self) -> None:
        """Free the memory of the frames."""
        self._frames, self._taken_s = [], -_FRESH_S


class RegionHandlers:
    """Handlers of these requests; their work is done in a thread of low priority."""

    def __init__(self, settings: HttpSettings, service: ServiceView, limits: HttpLimits) -> None:
        self._controls = service.controls if settings.adjustable else None
        self._judge, self._longest_s = _Judge(service.feed, service.bit_depth), limits.answer_s
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="web regions", initializer=step_back)
        self._waiting = 0
        self._forgetting: asyncio.TimerHandle | None = None

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
        loop = asyncio.get_running_loop()
        if self._forgetting is not None:
            self._forgetting.cancel()
        self._forgetting = loop.call_later(_FRESH_S, self._pool.submit, self._judge.forget)
        return answers.json_answer(answers.plain(found))

    async def change(self, request: web.Request) -> web.Response:
        """Measure in these regions from now on, and write them into the configuration file."""
        asked = await body_of(request, _RegionsRequest)
        wanted = [RegionEdit(each.name, each.region(), each.was, each.still) for each in asked.regions]
        change = partial(
            self._need_controls().change_regions,
            wanted,
            before=asked.before,
            by=f"{asked.by} from {request.remote}",
        )
        taken = await self._beside(change)
        self._pool.submit(self._judge.forget)
        return answers.json_answer(answers.plain(taken))

    def close(self) -> None:
        """End the thread, after what it is doing."""
        if self._forgetting is not None:
            self._forgetting.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _need_controls(self) -> Controls:
        if self._controls is None:
            raise web.HTTPForbidden(text="outputs.http.adjustable is off\n")
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
