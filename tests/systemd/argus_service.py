"""The real service, with stand-ins for what a Jetson has: its CSI camera asks the daemon of argus_daemon.py."""

from __future__ import annotations

import site
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = ["/srv/source", "/srv/source/tests/runtime/cameras", "/srv/source/tests/systemd"]
site.addsitedir("/srv/libraries")

from argus_daemon import Connection  # noqa: E402

from tremorscope.runtime.cameras.gstreamer.load import load_gstreamer  # noqa: E402
from tremorscope.runtime.service.running import run_service  # noqa: E402

load_gstreamer()
from standin_argus import SMALL, Mode  # noqa: E402
from standins import Scene, registered  # noqa: E402


class DaemonByItsSocket:
    """What the plugin asks of the daemon."""

    def connect(self) -> Connection | None:
        try:
            return Connection()
        except OSError:
            return None

    def cameras(self, connection: Any) -> tuple[tuple[Mode, ...], ...]:  # noqa: ARG002
        return (SMALL, SMALL)

    def is_connected(self, connection: Connection) -> bool:
        return not connection.broken

    def create_session(self, connection: Connection, sensor_id: int) -> bool:  # noqa: ARG002
        return connection.ask("session")

    def gives_frames(self, connection: Connection) -> bool:
        return connection.ask("frames")


if __name__ == "__main__":
    with registered(Scene(period_s=1 / 30, daemon=DaemonByItsSocket())):
        sys.exit(run_service(Path(sys.argv[1])))
