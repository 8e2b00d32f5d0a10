"""The command ``tremorscope bench``."""

from __future__ import annotations

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
    from tremorscope.runtime.bench.report import lines
    from tremorscope.runtime.bench.settings import BenchOptions, bench_job
    from tremorscope.runtime.host.files import check_place, whole_file
    from tremorscope.runtime.host.progress import progress_bar
    from tremorscope.runtime.host.signals import orderly_stop

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
