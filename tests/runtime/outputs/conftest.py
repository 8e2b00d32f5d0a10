"""Fixtures of the outputs' tests: a service in miniature, and its web server with and without tokens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from service_rig import ServiceRig
from web_rig import TOKENS, make_server

from runtime.outputs.web.server import WebServer


@pytest.fixture(scope="session")
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
