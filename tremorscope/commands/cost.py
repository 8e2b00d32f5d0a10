"""The command ``tremorscope cost``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tremorscope.commands.options import frame_size

if TYPE_CHECKING:
    from tremorscope.runtime.engines.interface.manifest import FrameSize


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--size",
    "sizes",
    type=frame_size,
    metavar="WxH",
    multiple=True,
    show_default=True,
    default=("320x240", "640x360"),
    help="Frame size; may be given several times.",
)
@click.option(
    "--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Turns of each network."
)
@click.option("--steps", type=click.IntRange(min=1), default=10, show_default=True, help="Steps a turn.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the figures as JSON.")
def cost(
    models: tuple[str, ...],
    sizes: tuple[FrameSize, ...],
    rounds: int,
    steps: int,
    output: Path | None,
) -> None:
    """Compare what networks cost on this machine's CPU, taking turns in one run.

    MODEL is the name of shipped weights, a weights file, or another family, whose weights are then random: they do
    not change the cost. The first is what the others are compared with.
    [default: baseline realtime lite nano]
    """
    from tremorscope.export.timing.cost import cost_table, measure_costs, write_costs

    costs = measure_costs(
        models or ("baseline", "realtime", "lite", "nano"),
        sizes,
        rounds,
        steps,
        lambda text: click.echo(f"{text} ...", err=True),
    )
    for line in cost_table(costs):
        click.echo(line)
    if output:
        write_costs(costs, output)
        click.echo(f"figures: {output}")
