"""From a configuration file to an exit status."""

from __future__ import annotations

import logging
from pathlib import Path

from runtime import logs
from runtime.configuration.problems import ConfigurationFault
from runtime.configuration.reading import load_configuration
from runtime.errors import CameraFault, Fault
from runtime.notify import Notifier
from runtime.recovery import EXIT_CONFIGURATION, EXIT_RECOVERY
from runtime.service.memory import share_arenas
from runtime.service.process import Service
from runtime.service.signals import SignalQueue
from runtime.store.faults import StoreBusyFault

log = logging.getLogger("tremorscope.service")


def run_service(file: Path, log_level: str = "info") -> int:
    """Run the service of a configuration to its end; returns the exit status.

    A fault is logged in one line: 75 where starting again may help (no camera, a store that another instance holds),
    78 where only another configuration does.
    """
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
            passing = isinstance(fault, (CameraFault, StoreBusyFault))
            return EXIT_RECOVERY if passing else EXIT_CONFIGURATION
