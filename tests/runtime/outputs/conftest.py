"""Fixtures of the outputs' tests: a service in miniature, and its web server with and without tokens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from service_rig import ServiceRig

from runtime.configuration.outputs import HttpSettings
from runtime.outputs.web.access import Tokens
from runtime.outputs.web.limits import Limits
from runtime.outputs.web.server import WebServer

TOKENS = Tokens(view="view-0123456789abcdef", control="control-0123456789abcdef")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceRig]:
    """A small frame loop with everything that outputs show; shared, so put back what you change."""
    with ServiceRig(tmp_path_factory.mktemp("service"), width_px=320, height_px=180) as rig:
        yield rig


def make_server(
    rig: ServiceRig, tokens: Tokens = Tokens(), *, limits: Limits | None = None, at_port: int = 0, **settings: object  # noqa: B008
) -> WebServer:  # fmt: skip
    """A server on a port of the loopback interface, a free one unless it is named."""
    given = HttpSettings.model_validate({"port": 1} | settings).model_copy(update={"port": at_port})
    server = WebServer(
        given, tokens, board=rig.board, feed=rig.feed, store=rig.store, clips=rig.clips,
        controls=rig.controls, limits=limits,
    )  # fmt: skip
    server.start()
    return server


@pytest.fixture(scope="module")
def web(service: ServiceRig) -> Iterator[WebServer]:
    """The page without a token, as on the device itself."""
    server = make_server(service)
    yield server
    server.close()


@pytest.fixture(scope="module")
def guarded(service: ServiceRig) -> Iterator[WebServer]:
    """The page with both tokens."""
    server = make_server(service, TOKENS)
    yield server
    server.close()
