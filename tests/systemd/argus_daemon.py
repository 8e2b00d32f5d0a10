"""nvargus-daemon on the machine of a test: clients are served over its socket until SIGUSR1 wedges it for good."""

from __future__ import annotations

import signal
import socket
import socketserver
from pathlib import Path

SOCKET = Path("/tmp/argus_socket")


class Daemon(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    wedged = False


class Client(socketserver.StreamRequestHandler):
    """One process: it asks, line by line, whether there is a session and whether frames come."""

    def handle(self) -> None:
        while self.rfile.readline():
            self.wfile.write(b"no\n" if Daemon.wedged else b"yes\n")


def main() -> None:
    SOCKET.unlink(missing_ok=True)  # a socket that nobody listens on any more stays behind
    with Daemon(str(SOCKET), Client) as daemon:
        SOCKET.chmod(0o777)
        signal.signal(signal.SIGUSR1, lambda *_: setattr(Daemon, "wedged", True))
        print("listening", flush=True)
        daemon.serve_forever()


class Connection:
    """A process's connection, as the plugin keeps one: once it is broken it stays so."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(5)
        self._socket.connect(str(SOCKET))
        self._lines = self._socket.makefile("rwb")
        self.broken = False

    def ask(self, what: str) -> bool:
        """Whether the daemon says yes."""
        try:
            self._lines.write(f"{what}\n".encode())
            self._lines.flush()
            answer = self._lines.readline()
        except (OSError, ValueError):
            answer = b""
        self.broken = self.broken or not answer
        return not self.broken and answer == b"yes\n"


if __name__ == "__main__":
    main()
