"""The command ``tremorscope train``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", "directory", type=click.Path(path_type=Path), required=True, help="The run's directory."
)
@click.option(
    "--photographs",
    type=click.Path(path_type=Path),
    help="A folder of photographs, beside the drawn pictures.",
)
@click.option(
    "--start-from",
    type=click.Path(path_type=Path),
    help="Weights that a new run starts from, instead of random ones.",
)
@click.option(
    "--go-on-from",
    type=click.Path(path_type=Path),
    help="A carried run (run.safetensors, which a training leaves) that a new run goes on from.",
)
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option(
    "--threads", type=click.IntRange(min=1), help="CPU threads of the network's step.  [default: all cores]"
)
def train(
    recipe: Path,
    directory: Path,
    photographs: Path | None,
    start_from: Path | None,
    go_on_from: Path | None,
    device: str,
    threads: int | None,
) -> None:
    """Train the network that RECIPE (a YAML file, see configs/) describes.

    Started again with the same arguments it goes on from the last checkpoint, however it was stopped.
    """
    import torch

    from tremorscope.model.training.recipe import load_recipe
    from tremorscope.model.training.train import train as run

    if threads:
        torch.set_num_threads(threads)
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise click.BadParameter(
            "this machine has no CUDA device that PyTorch can use", param_hint="--device"
        )
    weights = run(load_recipe(recipe), directory, photographs, device, start_from, go_on_from)
    click.echo(f"weights: {weights}")
