"""The command ``tremorscope run``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click


@click.command()
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Configuration, in YAML; `tremorscope check FILE` says whether it can be followed.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="What is logged: to the journal under systemd, else to stderr.",
)
def run(file: Path, log_level: str) -> None:
    """Run the service: a camera, what is measured and magnified, alarms, clips, store, and what leaves the device.

    SIGTERM or Ctrl-C ends it within 10 s with clips and store complete. SIGHUP, or a change of the file, takes over
    what can change while it runs, and tells what cannot. SIGUSR1 records a clip.

    Exit status: 0 ended as asked, 75 to be started again (no camera), 78 the configuration cannot be followed.
    """
    # Its threads spin while they wait for each other, and each has memory of its own; matrices are small here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from tremorscope.runtime.host.threads import load_scipy_alone

    load_scipy_alone()
    from tremorscope.runtime.service.running import run_service

    sys.exit(run_service(file, log_level))
