"""The command ``tremorscope export``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from tremorscope.commands.options import frame_size

if TYPE_CHECKING:
    from tremorscope.export.bundle import NetworkSource
    from tremorscope.runtime.engines.interface.manifest import FrameSize


def _size_or_any(text: str) -> FrameSize | None:
    return None if text == "any" else frame_size(text)


@click.command()
@click.option("--model", required=True, help="realtime, lite, nano or baseline (shipped weights), or a file.")
@click.option(
    "--size",
    type=_size_or_any,
    default="any",
    metavar="WxH",
    show_default=True,
    help="Frame size, such as 1920x1080; 'any' makes a graph that takes every size.",
)
@click.option(
    "-o", "--output", "directory", type=click.Path(path_type=Path), required=True, help="Bundle to write."
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
    help="Of the network inside the graphs; frames are of 8 bits in each.",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    metavar="SET",
    help="INT8: the set to measure ranges on.  [default: drawn pairs]",
)
@click.option("--untrained", is_flag=True, help="Random weights, to time a network that has no weights yet.")
@click.option("--overwrite", is_flag=True, help="Replace the bundle if it exists.")
def export(
    model: str,
    size: FrameSize | None,
    directory: Path,
    precision: Literal["fp32", "fp16", "int8"],
    calibration: Path | None,
    untrained: bool,
    overwrite: bool,
) -> None:
    """Export a network as a bundle: ONNX step graphs and their manifest, checked against PyTorch."""
    from tremorscope.export.bundle import check_place, trained_source, untrained_source, write_bundle
    from tremorscope.export.check import comparison_table

    if calibration is not None and precision != "int8":
        raise click.UsageError("--calibration is for --precision int8")
    check_place(directory, overwrite)
    source = untrained_source(model) if untrained else trained_source(model)
    if precision == "int8":
        lines = _export_int8(source, size, directory, calibration, overwrite=overwrite)
    else:
        lines = comparison_table(write_bundle(source, size, directory, overwrite, precision))
    for line in (*lines, f"bundle: {directory}"):
        click.echo(line)


def _export_int8(
    source: NetworkSource,
    size: FrameSize | None,
    directory: Path,
    calibration: Path | None,
    *,
    overwrite: bool,
) -> list[str]:
    """Quantise a temporary FP32 bundle; returns the lines of the report."""
    from tremorscope.calibration.quantise.quantise import QuantiseJob, quantise
    from tremorscope.export.bundle import write_bundle
    from tremorscope.runtime.host.progress import progress_bar
    from tremorscope.runtime.host.signals import orderly_stop

    with tempfile.TemporaryDirectory() as place, orderly_stop(), progress_bar("calibrate", "pairs") as bar:
        fp32 = Path(place) / "fp32"
        write_bundle(source, size, fp32)
        return quantise(QuantiseJob(fp32, directory, calibration, overwrite=overwrite), bar).lines()
