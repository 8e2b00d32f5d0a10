"""Requests as they are asked: numbers, spans, views, pages and bodies, checked before anything is done."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TypeVar, get_args

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tremorscope.runtime.frames.frame import VIEWS, View
from tremorscope.runtime.store.pages import Cursor, HistoryKind

KINDS: tuple[HistoryKind, ...] = get_args(HistoryKind)
MOST_ON_PAGE = 200
"""Records on any page at most."""
_BODY_S = 5.0
"""Most time for the body of a request."""


class RequestBody(BaseModel):
    """Body of a request: nothing is taken that is not known, and nothing is guessed."""

    model_config = ConfigDict(extra="forbid", strict=True)


class AcknowledgeRequest(RequestBody):
    """Acknowledge an alarm."""

    alarm: str = Field(min_length=1, max_length=200)
    by: str = Field(default="web page", min_length=1, max_length=80)


class AdjustRequest(RequestBody):
    """Change the magnification; what is not named stays."""

    amplification: float | None = Field(default=None, ge=1, le=1000, allow_inf_nan=False)
    bands_hz: list[tuple[float, float]] | None = Field(default=None, min_length=1, max_length=2)


class RecordRequest(RequestBody):
    """Record a clip."""

    reason: str = Field(default="by hand", min_length=1, max_length=200)


_Asked = TypeVar("_Asked", bound=BaseModel)


def page_of(query: Mapping[str, str]) -> tuple[HistoryKind, Cursor | None, int] | None:
    """Kind, cursor and length of the page that is asked for; None where no kind is.

    Raises:
        HTTPBadRequest: they are none.
    """
    if "kind" not in query:
        return None
    kind, before = query["kind"], query.get("before", "")
    try:
        most = int(query.get("most", MOST_ON_PAGE))
        time_s, _, number = before.rpartition(",")
        cursor = (float(time_s), int(number)) if before else None
    except ValueError:
        most, cursor = 0, None
    # NaN is no time, and SQLite has no larger numbers.
    if (
        kind not in KINDS
        or not 1 <= most <= MOST_ON_PAGE
        or (cursor and not abs(cursor[0]) < 1e12 > cursor[1])
    ):
        raise web.HTTPBadRequest(
            text=f"give kind ({', '.join(KINDS)}), before as next in the answer has it, "
            f"and most from 1 to {MOST_ON_PAGE}\n"
        )
    return kind, cursor, most


def number_of(query: Mapping[str, str], name: str) -> float:
    """A number of the address, 0 where it is not named.

    Raises:
        HTTPBadRequest: it is none.
    """
    try:
        number = float(query.get(name, "0"))
    except ValueError:
        number = float("nan")
    if not -1e12 < number < 1e12:
        raise web.HTTPBadRequest(text=f"{name} is no number\n")
    return number


def view_of(request: web.Request) -> View:
    """The view that is asked for.

    Raises:
        HTTPBadRequest: there is none of that name.
    """
    view = request.query.get("view", "magnified")
    if view not in VIEWS:
        raise web.HTTPBadRequest(text=f"view is one of {', '.join(VIEWS)}\n")
    return view


async def body_of(request: web.Request, kind: type[_Asked]) -> _Asked:
    """The body, checked.

    Raises:
        HTTPBadRequest: it is not of this kind.
        HTTPUnsupportedMediaType: it is no JSON.
    """
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="send application/json\n")
    text = await asyncio.wait_for(request.read(), _BODY_S)
    try:
        return kind.model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise web.HTTPBadRequest(text=f"{where or 'body'}: {first['msg']}\n") from None
