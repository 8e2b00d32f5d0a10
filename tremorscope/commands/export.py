"""The commands ``tremorscope export`` and ``tremorscope cost``."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import click

from tremorscope.commands.options import frame_size

if TYPE_CHECKING:
    from tremorscope.export.bundle import NetworkSource
    from tremorscope.runtime.engines.interface.manifest import FrameSize


@dataclass(frozen=True)
class ExportJob:
    """Options of ``tremorscope export``."""

    model: str
    size: FrameSize | None
    directory: Path
    precision: Literal["fp32", "fp16", "int8"]
    calibration: Path | None
    untrained: bool
    overwrite: bool


def _size_or_any(text: str) -> FrameSize | None:
    return None if text == "any" else frame_size(text)


@click.command()
@click.option("--model", required=True, help="realtime, lite or baseline (shipped weights), or a file.")
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
@click.pass_context
def export(ctx: click.Context, /, **options: Any) -> None:
    """Export a network as a bundle: ONNX step graphs and their manifest, checked against PyTorch."""
    from tremorscope.export.bundle import check_place, trained_source, untrained_source, write_bundle

    job = ExportJob(**options)
    if job.calibration is not None and job.precision != "int8":
        raise click.UsageError("--calibration is for --precision int8", ctx)
    check_place(job.directory, job.overwrite)
    source = untrained_source(job.model) if job.untrained else trained_source(job.model)
    if job.precision == "int8":
        _export_int8(ctx, source, job)
        return
    comparisons = write_bundle(source, job.size, job.directory, job.overwrite, job.precision)
    click.echo("ONNX Runtime against PyTorch:")
    click.echo("graph            size  amplification  worst difference  values that differ")
    for found in comparisons:
        click.echo(
            f"{found.graph:<9} {f'{found.width_px}x{found.height_px}':>11}  {found.amplification:13g}  "
            f"{found.worst_grey_levels:4d} grey levels  {found.differing_share:18.4%}"
        )
    click.echo(f"bundle: {job.directory}")


def _export_int8(ctx: click.Context, source: NetworkSource, job: ExportJob) -> None:
    """Quantise a temporary FP32 bundle, by the command that calibration offers for it."""
    from tremorscope.export.bundle import write_bundle

    with tempfile.TemporaryDirectory() as place:
        fp32 = Path(place) / "fp32"
        write_bundle(source, job.size, fp32)
        # Found by the root command: export does not import calibration.
        calibrate = cast("click.Group", ctx.find_root().command).get_command(ctx, "calibrate")
        quantise = cast("click.Group", calibrate).get_command(ctx, "quantise")
        assert quantise is not None
        ctx.invoke(
            quantise,
            bundle=fp32,
            output=job.directory,
            calibration=job.calibration,
            overwrite=job.overwrite,
        )


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

    MODEL is the name of shipped weights, a weights file, or a family (baseline, realtime), whose weights are then
    random: they do not change the cost. The first is what the others are compared with.
    [default: baseline realtime lite]
    """
    import json

    from tremorscope.export.timing.cost import measure_costs

    costs = measure_costs(
        models or ("baseline", "realtime", "lite"),
        sizes,
        rounds,
        steps,
        lambda text: click.echo(f"{text} ...", err=True),
    )
    click.echo(
        "network        size  kMAC/px  parameters    ms/frame  frames/s   ns/px  peak MiB  cheaper  faster"
    )
    for found in costs:
        base = next(c for c in costs if (c.width_px, c.height_px) == (found.width_px, found.height_px))
        click.echo(
            f"{found.network:<9} {f'{found.width_px}x{found.height_px}':>9}  {found.kmac_per_pixel:7.1f}  "
            f"{found.parameters:10,}  {found.step_ms:10.1f}  {found.rate_hz:8.2f}  {found.pixel_ns:6.0f}  "
            f"{found.peak_memory_mib:8.0f}  {base.kmac_per_pixel / found.kmac_per_pixel:6.1f}x  "
            f"{base.step_ms / found.step_ms:5.1f}x"
        )
    if output:
        from tremorscope.model.files import write_atomically

        write_atomically(output, json.dumps([found.as_json() for found in costs], indent=2).encode())
        click.echo(f"figures: {output}")
