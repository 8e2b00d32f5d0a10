"""The command ``tremorscope compare``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from tremorscope.commands.options import FiniteRange


@click.command()
@click.argument("bundles", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="BUNDLE...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Directory to leave report.html and comparison.json in.",
)
@click.option(
    "--calibration", type=click.Path(path_type=Path), metavar="SET", help="Judge on frames of this set, too."
)
@click.option(
    "--photographs",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Photographs to judge on.  [default: drawn pictures]",
)
@click.option("--most", type=click.IntRange(min=1), default=8, show_default=True, help="Photographs at most.")
@click.option(
    "--pairs", type=click.IntRange(min=1), default=16, show_default=True, help="Pairs of the set at most."
)
@click.option(
    "--noise",
    "noise_grey_levels",
    type=FiniteRange(min=0, min_open=True),
    default=2.0,
    show_default=True,
    help="Noise for the noise floor, in grey levels.",
)
@click.option(
    "--input-noise",
    "input_noise_grey_levels",
    type=FiniteRange(min=0),
    default=0.0,
    show_default=True,
    help="Noise on the inputs of the sub-pixel test, in grey levels.",
)
@click.option("--max-ssim-loss", "ssim_loss", type=FiniteRange(min=0), help="[default: 0.001; INT8 0.01]")
@click.option(
    "--max-displacement-error",
    "displacement_percent",
    type=FiniteRange(min=0),
    metavar="PERCENT",
    help="[default: 0.5; INT8 2]",
)
@click.option("--max-noise-ratio", "noise_ratio", type=FiniteRange(min=0), help="[default: 1.02; INT8 1.1]")
@click.option(
    "--max-grey-levels", "grey_levels", type=click.IntRange(min=0), help="[default: 2; INT8 no limit]"
)
@click.option(
    "--sensitivity/--no-sensitivity",
    default=True,
    show_default=True,
    help="Find out which layers of an INT8 bundle cost the quality.",
)
@click.option(
    "--proof/--no-proof",
    default=True,
    show_default=True,
    help="Show what INT8 would be if features were subtracted, not pixels.",
)
@click.option("--no-mark", is_flag=True, help="Leave the bundles' manifests as they are.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier report.")
def compare(
    ssim_loss: float | None,
    displacement_percent: float | None,
    noise_ratio: float | None,
    grey_levels: int | None,
    no_mark: bool,
    **options: Any,
) -> None:
    """Judge bundles of one network, in FP32, FP16 and INT8, side by side, and mark which may be deployed.

    Ends with status 3 if one lost more than it may.
    """
    from tremorscope.calibration.comparison.comparison import left_unmarked
    from tremorscope.calibration.comparison.job import CompareJob, run_comparison, summary_lines
    from tremorscope.calibration.comparison.verdict import LimitChanges
    from tremorscope.runtime.host.progress import progress_bar
    from tremorscope.runtime.host.signals import orderly_stop

    displacement_error = None if displacement_percent is None else displacement_percent / 100
    limits = LimitChanges(ssim_loss, displacement_error, noise_ratio, grey_levels)
    with orderly_stop(), progress_bar("compare", "pictures") as bar:
        comparison = run_comparison(CompareJob(**options, limits=limits, mark=not no_mark), bar)
    for line in summary_lines(comparison):
        click.echo(line)
    for line in [] if no_mark else left_unmarked(comparison):
        click.echo(line)
    click.echo(f"report: {options['output'] / 'report.html'}")
    if not all(verdict.deployable for verdict in comparison.verdicts):
        sys.exit(3)
