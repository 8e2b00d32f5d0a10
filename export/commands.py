"""The commands ``tremorscope export``, ``tremorscope evaluate`` and ``tremorscope cost``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from runtime.engines.bundle import FrameSize


def _parse_size(_ctx: click.Context, _parameter: click.Parameter, value: str) -> FrameSize | None:
    from runtime.engines.bundle import FrameSize

    if value == "any":
        return None
    width, cross, height = value.lower().partition("x")
    if not (cross and width.isdigit() and height.isdigit() and int(width) >= 16 and int(height) >= 16):
        raise click.BadParameter(f"{value!r} is not WIDTHxHEIGHT of at least 16x16, such as 1920x1080")
    return FrameSize(width_px=int(width), height_px=int(height))


@click.command()
@click.option("--model", required=True, help="realtime or baseline (shipped weights), or a weights file.")
@click.option(
    "--size", callback=_parse_size, default="any", show_default=True,
    help="Frame size, such as 1920x1080; 'any' makes a graph that takes every size.",
)  # fmt: skip
@click.option("-o", "--output", "directory", type=click.Path(path_type=Path), required=True, help="Bundle to write.")
@click.option("--untrained", is_flag=True, help="Random weights, to time a network that has no weights yet.")
@click.option("--overwrite", is_flag=True, help="Replace the bundle if it exists.")
def export(model: str, size: FrameSize | None, directory: Path, untrained: bool, overwrite: bool) -> None:
    """Export a network as a bundle: an ONNX step graph and its manifest, checked against PyTorch."""
    from export.bundle import trained_source, untrained_source, write_bundle

    source = untrained_source(model) if untrained else trained_source(model)
    comparisons = write_bundle(source, size, directory, overwrite)
    click.echo("ONNX Runtime against PyTorch:")
    click.echo("       size  amplification  worst difference  values that differ")
    for found in comparisons:
        click.echo(
            f"{f'{found.width_px}x{found.height_px}':>11}  {found.amplification:13g}  "
            f"{found.worst_grey_levels:4d} grey levels  {found.differing_share:18.4%}"
        )
    click.echo(f"bundle: {directory}")
