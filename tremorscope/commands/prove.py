"""The command ``tremorscope prove``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from tremorscope.commands.options import FiniteRange


@click.command()
@click.option(
    "--config",
    "configurations",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Configuration of the site; once for each camera. Without one, a drawn camera stands in.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("out/prove"),
    show_default=True,
    metavar="DIR",
    help="Directory of prove.html and prove.json, and of the engines that are built, for the next time.",
)
@click.option(
    "--bundle",
    "bundles",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="DIR",
    help="Compare this bundle too, e.g. one in INT8; may be given several times.",
)
@click.option("--quick", is_flag=True, help="Small frames and short times: does the command itself work?")
@click.option(
    "--load",
    "load_s",
    type=FiniteRange(min=1.0, max=86_400.0),
    metavar="SECONDS",
    help="How long the load lasts.  [default: 300 where a GPU computes, else 60]",
)
@click.option(
    "--restart-daemon",
    "restart_argus",
    is_flag=True,
    help="Restart the camera daemon once and time its recovery; every camera of the device notices.",
)
def prove(configurations: tuple[Path, ...], output: Path, bundles: tuple[Path, ...], **options: Any) -> None:
    """Run all of it once on this device, and say what holds: engines, cameras, encoder, service, disk and clock.

    The service must not hold the camera meanwhile. What is there must hold, what is not is skipped with the reason;
    the exit status is 0 only if all holds. An interrupted run leaves a valid report of what was found until then.
    """
    from tremorscope.runtime.host.progress import progress_bar
    from tremorscope.runtime.host.signals import orderly_stop
    from tremorscope.runtime.prove.conductor import progress_on, verdict
    from tremorscope.runtime.prove.conductor import prove as prove_all
    from tremorscope.runtime.prove.plan import ProvePlan
    from tremorscope.runtime.prove.record import PAGE_NAME

    plan = ProvePlan(output, output / "work", configurations, bundles, **options).checked()
    try:
        with orderly_stop(), progress_bar("prove", "steps") as bar:
            record = prove_all(plan, progress_on(bar))
    except KeyboardInterrupt:
        click.echo(f"interrupted: what was found until then is in {plan.output / PAGE_NAME}")
        raise
    for line in verdict(record):
        click.echo(line)
    sys.exit(0 if record.holds else 1)
