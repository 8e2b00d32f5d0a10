"""Subcommands for the device itself: examine it, build its engines, time it, prove it.

Only click is imported here; each command imports what it needs when it runs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from tremorscope.commands.options import (
    FiniteRange,
    bundle_option,
    engines_option,
    frame_size,
    threads_option,
)


@click.command()
@click.option(
    "--config",
    "configuration",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Judge by what this configuration needs: its camera, its runtime, its directory.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def doctor(configuration: Path | None, as_json: bool) -> None:
    """Say what this device has, what is missing, and the command that mends it.

    Nothing is changed. The exit status is 0 where the device can run, and 1 where something that it needs is amiss.
    """
    import json

    from tremorscope.runtime.configuration.reading import load_configuration
    from tremorscope.runtime.doctor.examination import examine
    from tremorscope.runtime.doctor.machine import Machine
    from tremorscope.runtime.doctor.needs import Needs, needs_of
    from tremorscope.runtime.doctor.report import lines
    from tremorscope.runtime.host.progress import progress_bar

    needs = needs_of(load_configuration(configuration).configuration) if configuration else Needs()
    with progress_bar("doctor", "things") as bar:
        examined = examine(Machine(), needs, bar)
    if as_json:
        click.echo(json.dumps(examined.as_json(), indent=2, ensure_ascii=False))
    else:
        for line in lines(examined):
            click.echo(line)
    sys.exit(0 if examined.can_run else 1)


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--size",
    type=frame_size,
    metavar="WxH",
    help="Size of the frames; needed where the bundle takes any.",
)
@click.option(
    "--target",
    type=click.Choice(["tensorrt", "tensorrt-rtx"]),
    default="tensorrt",
    show_default=True,
    help="TensorRT for a Jetson or a server, TensorRT for RTX for a workstation with an RTX GPU.",
)
@click.option(
    "--workspace-mib",
    type=click.IntRange(min=1),
    help="Scratch memory for the builder.  [default: half of what is free, to 4096]",
)
@click.option(
    "--timing-cache",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What earlier builds on this device timed; read and added to.  [default: beside the engines]",
)
@click.option(
    "--sections",
    "most_sections",
    type=click.IntRange(min=1, max=256),
    default=8,
    show_default=True,
    help="Most sections of a band filter, for which memory is set aside: its order for each band, one a notch.",
)
@click.option("--dla", "dla_core", type=click.IntRange(min=0), metavar="CORE", help="Use a DLA core, from 0.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory of the engines.  [default: engines, within the bundle]",
)
@click.option(
    "--graph",
    "graphs",
    type=click.Choice(["pairwise", "band"]),
    multiple=True,
    help="Build this step graph alone; may be repeated.  [default: all of the bundle's]",
)
@click.option("--rebuild", is_flag=True, help="Replace engines that are there, whether they fit or not.")
def build(**options: Any) -> None:
    """Build TensorRT engines from BUNDLE, a directory or the name of a shipped one, on the device that runs them."""
    from tremorscope.runtime.engines.tensorrt.build_job import BuildJob, build_bundle
    from tremorscope.runtime.host.interruption import orderly_stop
    from tremorscope.runtime.host.progress import progress_bar

    options["graphs"] = options["graphs"] or None
    with orderly_stop(), progress_bar("build", "%") as progress:
        reports = list(build_bundle(BuildJob(**options), progress))
    for report in reports:
        for line in report.lines():
            click.echo(line)


@click.command()
@bundle_option
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Bundle of a baseline, whose step is timed in turns with the network's.",
)
@click.option(
    "--config",
    "configuration",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take camera, magnification and runtime from this configuration; other options go before it.",
)
@click.option(
    "--camera",
    metavar="KIND|YAML",
    help="csi, v4l2, synthetic, or settings such as '{kind: v4l2, device: /dev/video2}'.  [default: drawn frames]",
)
@click.option(
    "--size", type=frame_size, metavar="WxH", help="Size of the frames.  [default: the bundle's, or 640x360]"
)
@click.option(
    "--rate",
    "rate_hz",
    type=FiniteRange(min=0.1, max=10_000),
    metavar="HZ",
    help="Frames a second of the drawn camera.  [default: 30]",
)
@click.option(
    "--mode", type=click.Choice(["static", "dynamic", "band"]), help="See magnify.  [default: static]"
)
@click.option(
    "--band",
    "bands_hz",
    type=float,
    nargs=2,
    multiple=True,
    metavar="LOW HIGH",
    help="Band mode: its frequencies in Hz.",
)
@click.option(
    "--runtime",
    type=click.Choice(["auto", "onnxruntime", "tensorrt"]),
    help="What computes.",
)
@engines_option
@threads_option
@click.option(
    "--frames",
    type=click.IntRange(min=10, max=1_000_000),
    default=200,
    show_default=True,
    help="How many magnified frames are timed.",
)
@click.option(
    "--roofline/--no-roofline",
    default=True,
    show_default=True,
    help="Show what part of the device's peaks each stage reaches.",
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write all numbers as JSON."
)
@click.option("--picture", type=click.Path(path_type=Path), metavar="FILE", help="Draw them as a PNG.")
def bench(json_file: Path | None, picture: Path | None, **options: Any) -> None:
    """Run the live loop as the service does, and time every stage from the camera to the outputs.

    Nothing is stored or shown. Drawn frames come at their rate; a real camera is opened as by the service, which must
    not hold it meanwhile.
    """
    import json

    from tremorscope.runtime.bench.job import run_bench
    from tremorscope.runtime.bench.options import BenchOptions, bench_job
    from tremorscope.runtime.bench.report import lines
    from tremorscope.runtime.host.files import check_place, whole_file
    from tremorscope.runtime.host.interruption import orderly_stop
    from tremorscope.runtime.host.progress import progress_bar

    job = bench_job(BenchOptions(**options))
    for wanted in (json_file, picture):
        if wanted is not None:
            check_place(wanted)
    with orderly_stop(), progress_bar("bench") as bar:
        found = run_bench(job, bar, bar.note)
    for line in lines(found):
        click.echo(line)
    if json_file is not None:
        with whole_file(json_file) as file:
            file.write(json.dumps(found.as_json(), indent=1, ensure_ascii=False).encode())
    if picture is not None:
        from tremorscope.runtime.bench.picture import save_bench_picture

        save_bench_picture(found, picture)


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
    from tremorscope.runtime.host.interruption import orderly_stop
    from tremorscope.runtime.host.progress import progress_bar
    from tremorscope.runtime.prove.conductor import prove as prove_all
    from tremorscope.runtime.prove.plan import ProvePlan
    from tremorscope.runtime.prove.record import PAGE_NAME
    from tremorscope.runtime.prove.telling import progress_on, verdict

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
