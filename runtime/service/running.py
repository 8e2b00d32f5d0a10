"""From a configuration file to an exit status."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from runtime import logs
from runtime.configuration.problems import ConfigurationFault
from runtime.configuration.reading import load_configuration
from runtime.errors import CameraFault, EngineFault, Fault
from runtime.notify import Notifier
from runtime.recovery import EXIT_CONFIGURATION, EXIT_RECOVERY, LEAST_LIFE_S
from runtime.service.memory import share_arenas
from runtime.service.process import Service
from runtime.service.signals import STOPPING, SignalQueue
from runtime.store.faults import StoreBusyFault

log = logging.getLogger("tremorscope.service")


def run_service(file: Path, log_level: str = "info") -> int:
    """Run the service of a configuration to its end; returns the exit status.

    A fault is logged in one line: 75 where starting again may help (no camera, no engine, a store that another instance
    holds), 78 where only another configuration does. Before 75 it waits until the process is as old as systemd's limit
    of starts asks for.
    """
    began_s = time.monotonic()
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
            if not isinstance(fault, (CameraFault, EngineFault, StoreBusyFault)):
                return EXIT_CONFIGURATION
            left_s = LEAST_LIFE_S - (time.monotonic() - began_s)
            while left_s > 0 and signals.wait(left_s) not in STOPPING:
                left_s = LEAST_LIFE_S - (time.monotonic() - began_s)
            return EXIT_RECOVERY
