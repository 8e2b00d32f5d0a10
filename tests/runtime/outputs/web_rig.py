"""A web server for tests, on the loopback interface alone."""

from __future__ import annotations

from service_rig import ServiceRig

from tremorscope.runtime.health import HealthBoard
from tremorscope.runtime.outputs.settings import HttpSettings
from tremorscope.runtime.outputs.state import ServiceView
from tremorscope.runtime.outputs.web.access import Tokens
from tremorscope.runtime.outputs.web.limits import HttpLimits
from tremorscope.runtime.outputs.web.server import WebServer
from tremorscope.runtime.vibration.displacement.geometry import PlaneScale

TOKENS = Tokens(view="view-0123456789abcdef", control="control-0123456789abcdef")


def make_server(
    rig: ServiceRig,
    tokens: Tokens = Tokens(),  # noqa: B008
    *,
    limits: HttpLimits | None = None,
    at_port: int = 0,
    board: HealthBoard | None = None,
    planes: tuple[PlaneScale, ...] = (),
    **settings: object,
) -> WebServer:
    """A server on a port of the loopback interface, a free one unless it is named, for the rig's board or another."""
    given = HttpSettings.model_validate({"port": 1} | settings).model_copy(update={"port": at_port})
    view = ServiceView(
        board or rig.board, rig.feed, rig.store, rig.clips, rig.controls, planes=lambda: planes
    )
    server = WebServer(given, tokens, view, limits=limits)
    server.start()
    return server
