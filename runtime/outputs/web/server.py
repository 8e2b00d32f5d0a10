"""The HTTP server: a thread with an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from tremorscope.files import reason_of
from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.host.secrets import server_context
from tremorscope.runtime.host.threads import Threads
from tremorscope.runtime.outputs.metrics import Counts
from tremorscope.runtime.outputs.settings import HttpSettings
from tremorscope.runtime.outputs.state import ServiceView
from tremorscope.runtime.outputs.web.access import Access, AccessLevel, Tokens, check_exposure
from tremorscope.runtime.outputs.web.application import Application
from tremorscope.runtime.outputs.web.archive import Archive
from tremorscope.runtime.outputs.web.handlers import Handlers
from tremorscope.runtime.outputs.web.limits import CpuBudget, HttpLimits, TokenBucket
from tremorscope.runtime.outputs.web.listener import Listener
from tremorscope.runtime.outputs.web.pictures import LivePictures
from tremorscope.runtime.outputs.web.regions import RegionHandlers

_BACKLOG = 128
_log = logging.getLogger(__name__)


class _Complaints(logging.Filter):
    """Log filter that drops clients' errors, which could fill the log, and limits the rate of the others."""

    def __init__(self) -> None:
        super().__init__()
        self.malformed = 0
        self._bucket = TokenBucket(0.2, burst=10)

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            self.malformed += 1
            return False
        return record.levelno > logging.DEBUG and self._bucket.try_take()


class WebServer:
    """Server of health, metrics and the page, from start to close."""

    def __init__(
        self,
        settings: HttpSettings,
        tokens: Tokens,
        service: ServiceView,
        *,
        counts: Callable[[], Counts] = dict,
        limits: HttpLimits | None = None,
        threads: Threads | None = None,
    ) -> None:
        """Bind the port; nothing is answered yet.

        Args:
            settings: address, encryption and content of the server.
            tokens: tokens that clients have to show.
            service: the service that is shown.
            counts: counts of the other outputs, for the metrics.
            limits: bounds on connections and requests; None takes the usual ones.
            threads: starter of the server's threads.

        Raises:
            OptionFault: the network could reach the page without a token.
            OutputFault: at present, the port cannot be bound or the certificate cannot be used.
        """
        check_exposure(settings, tokens)
        self._settings, self._tokens, self._service = settings, tokens, service
        self._limits = limits or HttpLimits(connections=settings.most_connections)
        certificate, key = settings.tls_certificate, settings.tls_key
        self._tls = server_context(certificate, key) if certificate and key else None
        self._listening = _listen(settings)
        self._threads = threads or Threads()
        self._thread: threading.Thread | None = None
        self._more_counts = counts
        self._complaints = _Complaints()
        self._prepare()
        self.port: int = self._listening.getsockname()[1]
        """The port that is bound."""
        self._listener: Listener | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()
        self._is_used = False

    def start(self) -> None:
        """Start answering; returns when the event loop runs."""
        self._thread = self._threads.start("http", self._run, again=True, owned=True)
        self._started.wait(10.0)
        scheme = "http" if self._tls is None else "https"
        logging.getLogger("tremorscope.outputs").info(
            "served at %s://%s:%d", scheme, self._settings.host, self.port
        )

    def close(self, timeout_s: float = 3.0) -> None:
        """Cut every connection and stop, within ``timeout_s``."""
        if self._loop is not None and self._stop is not None and self._thread is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(timeout_s)
        self._listening.close()

    def counts(self) -> Counts:
        """Counts of answers and refusals, and those of the other outputs."""
        refused = dict(self._listener.refused) if self._listener is not None else {}
        return {
            "http_responses": dict(self._application.responses),
            "http_refused": refused | {"malformed": self._complaints.malformed},
            "pictures": {"encoded": self._pictures.encoded},
            **self._more_counts(),
        }

    def _prepare(self) -> None:
        settings, service = self._settings, self._service
        self._pictures = LivePictures(service.feed, settings, self._threads)
        self._archive = Archive(service.store, service.clips, service.on_damage)
        self._regions = RegionHandlers(settings, service, self._limits)
        handlers = Handlers(
            settings,
            service,
            pictures=self._pictures,
            archive=self._archive,
            limits=self._limits,
            counts=self.counts,
        )
        routes = handlers.probes()
        if settings.metrics:
            routes += handlers.scraped(AccessLevel.VIEW if settings.metrics_need_token else AccessLevel.NONE)
        if settings.page:
            routes += handlers.of_page() + self._regions.routes()
        self._application = Application(
            Access(settings, self._tokens),
            routes,
            self._limits,
            has_page=settings.page,
            is_encrypted=self._tls is not None,
        )

    def _run(self) -> None:
        if self._is_used:  # objects of an event loop that has ended cannot be used in another
            self._prepare()
        self._is_used = True
        try:
            asyncio.run(self._serve())
        except Exception as error:
            self._service.board.update_output("http", f"{type(error).__name__}: is started again")
            raise

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        logger = logging.Logger(f"{__name__}.aiohttp", logging.DEBUG)  # the filter decides, and counts
        logger.parent = _log
        logger.addFilter(self._complaints)
        runner = web.AppRunner(
            self._application.app,
            access_log=None,
            logger=logger,
            keepalive_timeout=self._limits.idle_s,
            lingering_time=1.0,
            handler_cancellation=True,
            auto_decompress=False,  # nobody sends compressed bodies, and a broken one is a mistake of aiohttp's
            shutdown_timeout=0.5,
        )
        await runner.setup()
        assert runner.server is not None
        budget = CpuBudget(self._limits.cpu_share, self._limits.cpu_burst_s)
        self._application.budget = budget
        self._listener = Listener(self._listening, runner.server, self._limits, budget=budget, tls=self._tls)
        tasks: list[asyncio.Task[object]] = []
        try:
            self._pictures.start()
            accepting = asyncio.create_task(self._listener.run())
            stopping = asyncio.create_task(self._stop.wait())
            tasks += accepting, stopping
            self._started.set()
            self._service.board.update_output("http", "")
            await asyncio.wait((accepting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if accepting.done():
                accepting.result()  # raises the mistake that ended it
        finally:
            for task in tasks:
                task.cancel()
            self._listener.close()
            await runner.cleanup()
            self._pictures.close()
            self._archive.close()
            self._regions.close()


def _listen(settings: HttpSettings) -> socket.socket:
    where = f"outputs.http: {settings.host} port {settings.port}"
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:  # socket.gaierror is one
        reason = reason_of(error).partition(" (while")[0]  # drops the repeated address
        raise OutputFault(
            f"{where} cannot be listened at ({reason})",
            remedy="free the port, name another in outputs.http.port, or one of the device's own addresses as host",
        ) from None
