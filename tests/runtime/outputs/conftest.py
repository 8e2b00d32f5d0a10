"""Fixtures of the outputs' tests: a service in miniature, and its web server with and without tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from bridge_publisher import broker, publish
from browser_rig import DESK, eventually, open_chromium, show
from service_rig import ServiceRig
from web_rig import TOKENS, make_server

from tremorscope.runtime.outputs.web.server import WebServer

__all__ = ["broker", "publish"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceRig]:
    """A small frame loop with everything that outputs show; shared, so put back what you change."""
    with ServiceRig(tmp_path_factory.mktemp("service"), width_px=320, height_px=180) as rig:
        yield rig


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


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser that remembers nothing of another module's pages."""
    with open_chromium() as driver:
        yield driver


@pytest.fixture
def opened(request: pytest.FixtureRequest, chromium: Any, web: WebServer) -> Any:
    """The browser with the page, once it lives."""
    show(chromium, f"http://localhost:{web.port}/", getattr(request, "param", DESK))
    lives = "page.picture.count > 3 && page.charts.found && page.charts.scale"
    eventually(chromium, f"return {lives} && document.querySelector('#events li button')")
    return chromium
