"""Run of the service, from a configuration file to an exit status."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from tremorscope.runtime.configuration.problems import ConfigurationFault
from tremorscope.runtime.configuration.reading import load_configuration
from tremorscope.runtime.errors import CameraFault, ClipFault, EngineFault, Fault, OutputFault
from tremorscope.runtime.host import systemd as logs
from tremorscope.runtime.host.signals import STOPPING, SignalQueue
from tremorscope.runtime.host.systemd import Notifier
from tremorscope.runtime.host.threads import share_arenas
from tremorscope.runtime.service.process import Service
from tremorscope.runtime.service.recovery import EXIT_CONFIGURATION, EXIT_RECOVERY, LEAST_LIFE_S
from tremorscope.runtime.store.sqlite_file import StoreFault

log = logging.getLogger("tremorscope.service")

_PASSING = (CameraFault, ClipFault, EngineFault, OutputFault, StoreFault)
"""Faults outside the service and its configuration, which may pass."""


def run_service(file: Path, log_level: str = "info") -> int:
    """Run the service of a configuration to its end; returns the exit status.

    A fault is logged in one line; the status is 75 where it may pass (no camera, no clip, no engine, a store that
    another instance holds), 78 where only another configuration helps. Faults of outputs do not end the service: see
    `runtime.service.publishing`.
    """
    begun_s = time.monotonic()
    logs.set_up(log_level.upper())
    share_arenas()
    with SignalQueue() as signals:
        notifier = Notifier.from_environment()
        try:
            loaded = load_configuration(file)
            return Service(loaded, notifier=notifier).run(signals)
        except ConfigurationFault as fault:
            for line in fault.lines:
                log.error("%s", line)
            notifier.status(fault.lines[0])
            return EXIT_CONFIGURATION
        except Fault as fault:
            log.error("%s", fault)
            notifier.status(str(fault))
            if not isinstance(fault, _PASSING):
                return EXIT_CONFIGURATION
            # Under systemd not too soon: it gives a service up that ends ten times within five minutes.
            while notifier.enabled and time.monotonic() < begun_s + LEAST_LIFE_S:
                if signals.wait(1.0) in STOPPING:
                    return 0
            return EXIT_RECOVERY
